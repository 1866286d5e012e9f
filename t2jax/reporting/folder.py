"""`write_folder`: a plan as files in one folder, all of them or none."""

import dataclasses
import json
import os
import pathlib
import shutil

from t2jax import _text
from t2jax._files import check_folder, put
from t2jax.errors import InputError
from t2jax.planner import Plan
from t2jax.planner.saved import OTHER_AIM, save_plan
from t2jax.reporting import page

__all__ = ["FILES", "check_report", "write_folder"]

FILES = (
    "plan.json",
    "fit.json",
    "draws.npz",
    "optimum.json",
    "frontier.csv",
    "frontier.png",
    "isoflop.png",
    "fit.png",
    "index.html",
)
"""What every report folder holds, first what tells that it is one; with another aim its fit and
draws too."""

_CAPTIONS = (
    ("How the best model changes with compute", "Its size, its tokens and their ratio. Dashed is "
     "Chinchilla's choice, which counts one sample per question; dotted 20 tokens per parameter."),
    ("What each size would reach", "The law at fixed training compute, and the checkpoints that "
     "were measured there, where the table is at hand."),
    ("How well the law alone fits", "Predicted beside measured values, and the error along "
     "training compute. A pattern there is misfit, which the plan carries where the law is one of "
     "losses, and an error that no interval counts in elsewhere."),
    ("What a size near the best one would cost", "How much worse than the best size, on average "
     "over the draws."),
)  # fmt: skip


def write_folder(plan: Plan, out: str | os.PathLike) -> tuple[pathlib.Path, ...]:
    """Write a plan's data, its figures, and a page with a planner that needs no network.

    The files are made in a folder beside `out` and moved there when all of them are done, so
    that a failure leaves nothing behind. Other files in `out` are left alone.

    Args:
      plan: what was found.
      out: folder, made if need be.

    Returns:
      The paths written: those of `FILES`, and those of the other aim where there is one.

    Raises:
      InputError: `out` is a file, cannot be written, or holds files of these names and no
        report.
    """
    folder = check_report(out)
    # The nearest folder that exists is on the file system of `out`, so that moving is renaming.
    above = next(path for path in folder.absolute().parents if path.is_dir())
    partial = above / f".{folder.name}.{os.getpid()}.partial"
    names = (*FILES, *(OTHER_AIM if plan.companion is not None else ()))
    try:
        partial.mkdir()
        save_plan(plan, partial)
        text = json.dumps(_text.json_ready(plan.described()), indent=1)
        (partial / "optimum.json").write_text(text + "\n", encoding="utf-8")
        plan.frontier.save(partial / "frontier.csv")
        text = page.page_html(plan, _drawings(plan, partial))
        (partial / "index.html").write_text(text, encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            put(partial / name, folder / name)
        for name in {*OTHER_AIM} - {*names}:  # of the plan that stood here before
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})",
            source=str(out),
            remedy="name a folder in which you may write",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tuple(folder / name for name in names)


def _drawings(plan: Plan, folder: pathlib.Path) -> list[page.Drawing]:
    """The figures of the page, three of them as files too."""
    # Matplotlib takes as long to import as everything else together.
    from t2jax.reporting import figures

    fit, best, front = plan.fit, plan.optimum, plan.frontier
    # Curves of the law that the plan is made of, which the mean surface of misfit is part of.
    planned = dataclasses.replace(fit, law=plan.draws.point)
    drawn = {
        "frontier": figures.frontier_figure(front, best, fit.hull, plan.inside),
        "isoflop": figures.isoflop_figure(planned, best, front),
        "fit": figures.fit_figure(fit),
    }
    files = [*drawn]
    if plan.decision is not None:
        drawn["regret"] = figures.regret_figure(plan.decision)
    for name, figure in drawn.items():
        figures.lay_out(figure)
        if name in files:
            figures.save(figure, folder / f"{name}.png")
    return [
        (*caption, figures.svg(figure, name))
        for caption, (name, figure) in zip(_CAPTIONS, drawn.items(), strict=False)
    ]


def check_report(out: str | os.PathLike, *more: str) -> pathlib.Path:
    """The folder of a report, if a report may be written there.

    Args:
      out: the folder.
      more: names of files that are written there beside `FILES`.

    Raises:
      InputError: it is a file, or holds files of these names and no report.
    """
    check_folder(out)
    folder = pathlib.Path(out)
    there = [name for name in (*FILES, *OTHER_AIM, *more) if os.path.lexists(folder / name)]
    if there and not _is_ours(folder):
        raise InputError(
            f"holds {', '.join(there)}, which would be overwritten, and no report",
            source=str(out),
            remedy="name another folder",
        )
    return folder


def _is_ours(folder: pathlib.Path) -> bool:
    """Whether a plan was written there: a fit of ours may lie among files of the user's."""
    try:
        described = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
        return described["format"].startswith("t2jax.plan/")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
