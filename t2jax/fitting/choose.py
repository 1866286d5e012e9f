"""`law="auto"`: the law that predicts best what it was not fitted to."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from t2jax.errors import Refusal, T2Error
from t2jax.fitting.held_out import HeldOut, held_out
from t2jax.fitting.result import FitResult
from t2jax.observations import Observations

__all__ = ["candidates", "choose"]


def candidates(runs: Observations) -> tuple[str, ...]:
    """The laws that a table can tell apart.

    >>> import t2jax as t2
    >>> candidates(t2.datasets.load_ladder(measure="loss"))
    ('additive', 'tied', 'coupled')
    """
    if runs.kind == "counts":
        return ("beta_monotone", "t2_accuracy")
    if runs.kind == "loss" and (runs.samples is None or len(np.unique(runs.samples)) < 3):
        more = () if runs.unique_tokens is None else ("data_constrained",)
        return ("additive", "tied", "coupled", *more)
    return ("softplus", "softplus_scaled", "softplus(coupled)", "product", "t2_loss")


def choose(
    runs: Observations, laws: Sequence[str], fit_one: Callable[[str], FitResult]
) -> FitResult:
    """Fit every law and keep the one with the least error where plans extrapolate.

    Args:
      runs: the table.
      laws: names.
      fit_one: fits the law of a name to the table.

    Returns:
      The fit of the chosen law; its message says what was compared.

    Raises:
      Refusal: no law could be fitted and judged.
    """
    found: list[tuple[FitResult, HeldOut]] = []
    failed = []
    for name in laws:
        try:
            fit = fit_one(name)
            judged = held_out(fit, runs, each=False)
        except T2Error as error:
            failed.append(f"{name}: {error}")
            continue
        if fit.success and np.isfinite(judged.score):
            found.append((fit, judged))
        else:
            failed.append(f"{name}: no certified minimum of the table or of a part")
    if not found:
        raise Refusal(
            f"no law could be chosen for {runs.source} ({'; '.join(failed)})",
            remedy="name a law, such as law='additive'",
        )
    found.sort(key=lambda pair: pair[1].score)
    best, judged = found[0]
    scores = ", ".join(f"{each.law} {each.score:.4g}" for _, each in found)
    axes = ", ".join(judged.axis_error)
    text = f"law chosen by its {judged.quantity} where {axes} are largest and held out: {scores}"
    if failed:
        text += f" (left out: {'; '.join(failed)})"
    return dataclasses.replace(best, message=f"{best.message}; {text}")
