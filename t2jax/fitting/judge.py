"""Laws fitted to one table and ordered by what they make of rows held out; `law="auto"`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from t2jax.errors import Refusal
from t2jax.fitting.held_out import HeldOut, held_out
from t2jax.fitting.result import FitResult
from t2jax.observations import Observations

__all__ = ["Judged", "choose", "judge"]


class Judged(NamedTuple):
    """Laws on one table.

    Attributes:
      found: each fit with what it made of rows held out, certified fits with a finite error
        first and the least error first among them.
      failed: laws that could not be fitted or judged, with the reason.
    """

    found: list[tuple[FitResult, HeldOut]]
    failed: dict[str, str]


def judge(
    runs: Observations,
    fits: Mapping[str, Callable[[], FitResult]],
    *,
    each: bool = True,
    progress: bool = False,
) -> Judged:
    """Fit every law and judge it by what it was not fitted to.

    Args:
      runs: the table.
      fits: what fits each law to it, by name.
      each: hold out every checkpoint in turn too, not only the far ends of the axes.
      progress: whether to draw progress bars on a terminal.

    Raises:
      Refusal: no law could be fitted and judged.
    """
    found, failed = [], {}
    for name, fit_it in fits.items():
        try:
            fit = fit_it()
            found.append((fit, held_out(fit, runs, each=each, progress=progress)))
        except Refusal as refused:
            failed[name] = str(refused)
    if not found:
        told = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise Refusal(
            f"no law could be judged on {runs.source} ({told})",
            remedy="add checkpoints, or name a law with fewer coefficients, such as law='additive'",
        )
    found.sort(key=lambda pair: (not _sound(*pair), pair[1].score))
    return Judged(found, failed)


def choose(runs: Observations, fits: Mapping[str, Callable[[], FitResult]]) -> FitResult:
    """The law with the least error where plans extrapolate.

    Returns:
      The fit of the chosen law; its message says what was compared.

    Raises:
      Refusal: no law has a certified fit that could be judged.
    """
    found, failed = judge(runs, fits, each=False)
    sound = [pair for pair in found if _sound(*pair)]
    failed = failed | {
        judged.law_name: "no certified minimum of the table or of a part"
        for fit, judged in found
        if not _sound(fit, judged)
    }
    left = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    if not sound:
        raise Refusal(
            f"no law could be chosen for {runs.source} ({left})",
            remedy="name a law, such as law='additive'",
        )
    best, judged = sound[0]
    scores = ", ".join(f"{each.law_name} {each.score:.4g}" for _, each in sound)
    axes = ", ".join(judged.axis_error)
    text = f"law chosen by its {judged.quantity} where {axes} are largest and held out: {scores}"
    if failed:
        text += f" (left out: {left})"
    return dataclasses.replace(best, message=f"{best.message}; {text}")


def _sound(fit: FitResult, judged: HeldOut) -> bool:
    return fit.success and bool(np.isfinite(judged.score))
