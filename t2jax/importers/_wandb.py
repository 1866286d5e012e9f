"""Weights & Biases: histories and panels exported as CSV or Parquet (floor 1)."""

import io
import math
import re
from pathlib import Path
from typing import Any, Unpack

from t2jax._bounds import UNREADABLE, check_fits, check_kind, read_whole
from t2jax.errors import InputError
from t2jax.importers._losses import History, LossOptions
from t2jax.importers._records import Paths, find_files, show
from t2jax.observations import Observations, check_once

__all__ = ["wandb"]

# Cells of steps that were not logged; a written NaN is the loss of a run that diverged.
_UNLOGGED = ("", "NA", "N/A", "n/a", "<NA>", "#N/A", "NULL", "null", "None")
_STEPS = ("_step", "Step", "step", "global_step", "trainer/global_step")


def wandb(
    paths: Paths,
    runs: Any = None,
    *,
    metric: str = "train/loss",
    tokens: str = "",
    **options: Unpack[LossOptions],
) -> Observations:
    """Histories of losses that were exported from Weights & Biases.

    Two layouts are read: a run's history, with one column a metric, in a file called after the
    run or with a column that names it; and a panel, with one column a run.

    Args:
      paths: `.csv` or `.parquet` files, or folders of them.
      runs: which run is which: a table with `run`, `params`, `tokens` and perhaps `trunk`, or a
        mapping from names to `(params, tokens)`.
      metric: column of the loss.
      tokens: column that counts training tokens, if there is one.
      options: see `LossOptions`.

    Returns:
      A loss table.

    Raises:
      InputError: no such column, or an unknown run.
    """
    files = find_files(paths, ["*.csv", "*.parquet"], "exported .csv or .parquet files")
    history = History(runs, options, metric)
    for path in files:
        frame = _frame(path)
        step = next((name for name in _STEPS if name in frame.columns), None)
        if step is None:
            raise InputError(
                f"has no column of steps among {', '.join(map(show, list(frame.columns)[:12]))}",
                source=str(path),
                remedy=f"export one of {', '.join(_STEPS)}",
            )
        steps = _numbers(frame, step, path)
        if metric in frame.columns:
            _history(history, frame, path, steps, metric, tokens)
        else:
            _panel(history, frame, path, steps, metric)
    return history.table(str(files[0]) if len(files) == 1 else f"{len(files)} exported histories")


def _frame(path: Path) -> Any:
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            return _columns(path)
        # Bytes, which pandas does not expand by what the name ends with.
        content = read_whole(path)
        options: Any = {"encoding": "utf-8-sig", "keep_default_na": False}
        header = pd.read_csv(io.BytesIO(content), header=None, nrows=1, dtype=str, **options)
        frame = pd.read_csv(io.BytesIO(content), na_values=_UNLOGGED, **options)
        if not isinstance(frame.index, pd.RangeIndex):
            raise ValueError("its rows have more values than its header")
        frame.columns = header.iloc[0].tolist()  # pandas renames the second of one name
        return frame
    except InputError:
        raise  # a ValueError too
    except UNREADABLE as error:
        text = " ".join(str(error).split())
        raise InputError(f"cannot be read ({text})", source=str(path),
                         remedy="export it again") from None  # fmt: skip


def _columns(path: Path) -> Any:
    """A Parquet file that fits into memory, as a frame."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

    check_kind(path)
    file = pyarrow.parquet.ParquetFile(path)
    rows, columns = file.metadata.num_rows, file.metadata.num_columns
    check_fits(16.0 * rows * columns, str(path), f"a table of {rows:,} rows")
    # As Arrow's own numbers, of which one that is not there is no NaN.
    kinds = {kind: pd.ArrowDtype(kind) for kind in (pa.float16(), pa.float32(), pa.float64())}
    return file.read().to_pandas(types_mapper=kinds.get)


def _numbers(frame: Any, name: str, path: Path) -> list[float | None]:
    """The numbers of a column, and None where nothing was logged."""
    import pandas as pd

    check_once(list(frame.columns), [name], str(path))
    column: Any = frame[name]
    values: Any = pd.to_numeric(column, errors="coerce")
    bad = values.isna() & column.notna() & ~column.astype(str).str.lower().isin(("nan", "-nan"))
    if bad.any():
        at = int(bad.to_numpy().argmax())
        raise InputError(
            f"{show(column.iloc[at])} is not a number",
            source=str(path), row=at + 2, column=name, remedy="correct the file",
        )  # fmt: skip
    listed = values.to_numpy(dtype=float, na_value=math.nan).tolist()
    return [None if gone else one for gone, one in zip(column.isna(), listed, strict=True)]


def _history(
    history: History, frame: Any, path: Path, steps: list[float | None], metric: str, tokens: str
) -> None:
    """One column a metric: of one run, or of several that a column names."""
    if tokens and tokens not in frame.columns:
        raise InputError(f"has no column {show(tokens)}", source=str(path), remedy="correct tokens")
    losses = _numbers(frame, metric, path)
    counts = _numbers(frame, tokens, path) if tokens else [None] * len(losses)
    named = next((one for one in ("run", "run_name", "name", "_run") if one in frame.columns), "")
    check_once(list(frame.columns), filter(None, [named]), str(path))
    names = frame[named].astype(str).tolist() if named else [path.stem] * len(losses)
    for name, step, loss, count in zip(names, steps, losses, counts, strict=True):
        # A history has a row for every call of log: most of them are about other things.
        if loss is not None and step is not None and step == step:
            history.add([name], step, loss, count if count == count else None)


def _panel(
    history: History, frame: Any, path: Path, steps: list[float | None], metric: str
) -> None:
    """One column a run, called `run - metric`, with `__MIN` and `__MAX` beside it."""
    ending = re.compile(rf"(.+) - {re.escape(metric)}")
    columns = [(name, match[1]) for name in frame.columns if (match := ending.fullmatch(str(name)))]
    if not columns:
        raise InputError(
            f"has no column {show(metric)}, alone or behind a run's name",
            source=str(path),
            remedy=f"name the loss with --metric; it has {', '.join(map(show, frame.columns[:8]))}",
        )
    for name, run in columns:
        for step, loss in zip(steps, _numbers(frame, name, path), strict=True):
            if loss is not None and step is not None and step == step:
                history.add([run], step, loss, None)
