"""TensorBoard: scalars of event files, read by `tbparse` (floor 1)."""

import importlib
from pathlib import Path
from typing import Any, Unpack

from t2jax.errors import InputError
from t2jax.importers._losses import History, LossOptions
from t2jax.importers._records import Paths, as_number, find_files, show
from t2jax.observations import Observations

__all__ = ["tensorboard"]


def tensorboard(
    paths: Paths, runs: Any = None, *, metric: str = "", **options: Unpack[LossOptions]
) -> Observations:
    """Losses of TensorBoard's event files; a run is called after its folder.

    Needs the package tbparse: `pip install 't2jax[tensorboard]'`.

    Args:
      paths: event files, or folders of them.
      runs: which run is which: a table with `run`, `params`, `tokens` and perhaps `trunk`, or a
        mapping from names to `(params, tokens)`.
      metric: tag of the loss; not needed where exactly one tag has "loss" in it.
      options: see `LossOptions`.

    Returns:
      A loss table.

    Raises:
      InputError: tbparse is not installed, no such tag, or an unknown run.
    """
    # Named at run time: an extra, and the only reader of this format.
    package = "tbparse"
    try:
        tbparse = importlib.import_module(package)
    except ImportError:
        raise InputError(
            "event files need the package tbparse", remedy="pip install 't2jax[tensorboard]'"
        ) from None
    files = find_files(paths, ["*tfevents*"], "event files")
    history = History(runs, options, metric or "loss")
    for path in files:
        try:
            reader = tbparse.SummaryReader(str(path))
            # TensorFlow 2 writes what it calls scalars as tensors of one number.
            frame = next((f for f in (reader.scalars, reader.tensors) if len(f)), reader.scalars)
        except Exception as error:  # the library lets those of its own parsers through
            text = " ".join(str(error).split())
            raise InputError(f"cannot be read ({text})", source=str(path),
                             remedy="leave this file out") from None  # fmt: skip
        tags = sorted(set(frame["tag"])) if len(frame) else []
        tag = _tag(tags, metric, path)
        if not tag:
            continue
        rows = frame[frame["tag"] == tag]
        folder = path.absolute().parent
        for step, value in zip(rows["step"].tolist(), rows["value"].tolist(), strict=True):
            loss = as_number(value)
            if loss is None:
                raise InputError(f"{show(value)} at step {step} is no single number",
                                 source=str(path), remedy="name another tag")  # fmt: skip
            history.add([folder.name, folder.parent.name], float(step), loss, None)
    return history.table(str(files[0]) if len(files) == 1 else f"{len(files)} event files")


def _tag(tags: list[str], metric: str, path: Path) -> str:
    if metric:
        return metric if metric in tags else ""
    likely = [tag for tag in tags if "loss" in tag.lower()]
    if len(likely) > 1:
        raise InputError(
            f"has {len(likely)} tags of losses",
            source=str(path),
            remedy=f"name one with --metric: {', '.join(map(show, likely[:8]))}",
        )
    return likely[0] if likely else ""
