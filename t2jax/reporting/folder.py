"""`report`: eight files in one folder, all of them or none."""

import json
import math
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

from t2jax.decision import Decision, Design
from t2jax.errors import InputError
from t2jax.fitting import FitResult
from t2jax.planner import Measured
from t2jax.planner.companion import Companion, predicted
from t2jax.planning import Budget, Frontier, Optimum
from t2jax.reporting import page, tables
from t2jax.uncertainty import Ensemble
from t2jax.validation import Profile

__all__ = ["FILES", "check_folder", "json_ready", "optimum_dict", "report"]

FILES = (
    "fit.json",
    "draws.npz",
    "optimum.json",
    "frontier.csv",
    "frontier.png",
    "isoflop.png",
    "fit.png",
    "index.html",
)
"""What a report folder holds."""

_CAPTIONS = (
    ("The optimum along training budgets", "Size, tokens and their ratio, with what Chinchilla "
     "and 20 tokens per parameter would choose."),
    ("The law against size", "At fixed training budgets, with the measured checkpoints where the "
     "table is at hand."),
    ("Whether the law fits", "Predicted beside measured values, and the relative error along "
     "training FLOPs: a pattern is what the intervals leave out."),
    ("What another size would lose", "Against the best size, on average over the draws."),
)  # fmt: skip


def report(
    fit: FitResult,
    draws: Ensemble,
    best: Optimum,
    front: Frontier,
    *,
    out: str | os.PathLike,
    companion: Companion | None = None,
    inside: Optimum | None = None,
    measured: Measured | None = None,
    budget: Budget | None = None,
    profiled: Profile | None = None,
    decision: Decision | None = None,
    design: Design | None = None,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> tuple[pathlib.Path, ...]:
    """Write a fit, its draws, the optimum and the frontier to a folder, three figures and a page.

    The page, `index.html`, is one file without network: words, tables, figures, and a planner
    that solves other budgets from the draws.

    The files are made in a folder beside `out` and moved there when all of them are done, so
    that a failure leaves nothing behind. Other files in `out` are left alone.

    Args:
      fit: the fitted law.
      draws: its ensemble.
      best: the optimum under one budget.
      front: the optima along training budgets at the same inference budget.
      out: folder, made if need be.
      companion: the accuracy law beside a loss law, or None.
      inside: the best plan within the ranges of the table, where `best` lies outside.
      measured: the checkpoints' own comparison at these budgets, or None.
      budget: the budget of `best`, from which the page's planner starts; None reads it off
        `best`, without caps.
      profiled: profile intervals of the plan, told beside those of the draws; or None.
      decision: what not knowing the law costs, told and drawn on the page; or None.
      design: the runs to buy next, or None.
      notes: what was assumed, told on the page.
      warnings: what else must be said among its doubts.

    Returns:
      The paths written, in the order of `FILES`.

    Raises:
      InputError: `out` is a file, cannot be written, or holds files of these names that t2jax
        did not write.

    >>> print(*FILES)
    fit.json draws.npz optimum.json frontier.csv frontier.png isoflop.png fit.png index.html
    """
    # Matplotlib takes as long to import as everything else together.
    from t2jax.reporting import figures

    folder = check_folder(out)
    # The nearest folder that exists is on the file system of `out`, so that moving is renaming.
    above = next(path for path in folder.absolute().parents if path.is_dir())
    partial = above / f".{folder.name}.{os.getpid()}.partial"
    try:
        partial.mkdir()
        fit.save(partial / "fit.json")
        draws.save(partial / "draws.npz")
        text = json.dumps(json_ready(optimum_dict(draws, best, companion, inside)), indent=1)
        (partial / "optimum.json").write_text(text + "\n", encoding="utf-8")
        front.save(partial / "frontier.csv")
        looks = {}
        for look in figures.THEMES:
            with figures.theme(look):
                sweep = figures.frontier_figure(front, best, fit.hull, inside)
                sizes = figures.isoflop_figure(fit, best, front)
                judged = figures.fit_figure(fit)
                looks[look] = [figures.svg(sweep, f"frontier-{look}"),
                               figures.svg(sizes, f"isoflop-{look}"),
                               figures.svg(judged, f"fit-{look}")]  # fmt: skip
                if decision is not None:
                    flat = figures.regret_figure(decision)
                    looks[look].append(figures.svg(flat, f"regret-{look}"))
                if look == "light":
                    figures.save(sweep, partial / "frontier.png")
                    figures.save(sizes, partial / "isoflop.png")
                    figures.save(judged, partial / "fit.png")
        said: dict[str, Any] = {"notes": notes, "warnings": warnings, "profiled": profiled,
                                "decision": decision, "design": design}  # fmt: skip
        text = page.page_html(
            *(fit, draws, best),
            sections=tables.sections(fit, draws, best, front, companion, inside, measured, **said),
            drawings=[
                (*caption, {look: drawn[i] for look, drawn in looks.items()})
                for i, caption in enumerate(_CAPTIONS[: len(looks["light"])])
            ],
            data=json_ready(
                page.planner_data(fit, draws, best, companion=companion, budget=budget)
            ),
        )
        (partial / "index.html").write_text(text, encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            os.replace(partial / name, folder / name)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})",
            source=str(out),
            remedy="name a folder in which you may write",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tuple(folder / name for name in FILES)


def check_folder(out: str | os.PathLike) -> pathlib.Path:
    """The folder of a report, if a report may be written there.

    Raises:
      InputError: it is a file, or holds files of our names that are not ours.
    """
    folder = pathlib.Path(out)
    problem = None
    try:
        if folder.exists() and not folder.is_dir():
            problem = "is a file, not a folder"
        elif any((folder / name).exists() for name in FILES) and not _is_ours(folder):
            problem = "holds files of the report's names that t2jax did not write"
    except OSError as error:
        problem = f"is no folder ({error.strerror})"
    if problem:
        raise InputError(problem, source=str(out), remedy="name another folder")
    return folder


def _is_ours(folder: pathlib.Path) -> bool:
    try:
        described = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        return described["format"].startswith("t2jax.fit/")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def optimum_dict(
    draws: Ensemble,
    best: Optimum,
    companion: Companion | None,
    inside: Optimum | None = None,
    level: float = 0.9,
) -> dict[str, Any]:
    """The optimum with what is predicted for it and for Chinchilla's choice, for JSON."""
    out = best.to_dict(level)
    plans = {"plan": best}
    if best.chinchilla is not None:
        plans["chinchilla"] = best.chinchilla
    if inside is not None:
        plans["inside"] = inside
        out["inside"] = inside.to_dict(level)
    judges = {draws.point.name: draws}
    if companion is not None:
        judges[companion.fit.law.name] = companion.draws
    out["predictions"] = [
        dict(zip(("estimate", "low", "high"), predicted(judge, plan, level), strict=True))
        | {"of": name, "law": law, "quantity": _quantity(judge)}
        for name, plan in plans.items()
        for law, judge in judges.items()
    ]
    if companion is not None:
        out["companion"] = companion.best.to_dict(level)
        out["companion"]["disagrees"] = companion.disagrees(best, level)
    return out


def _quantity(draws: Ensemble) -> str:
    return "mean pass@k" if draws.point.kind == "accuracy" else "loss"


def json_ready(value: Any) -> Any:
    """The value with null in place of what JSON has no number for."""
    if isinstance(value, dict):
        return {name: json_ready(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
