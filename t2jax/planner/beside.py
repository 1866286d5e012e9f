"""What stands beside a plan where the data allow it, and why it is missing where they do not."""

from collections.abc import Callable
from typing import TypeVar

from t2jax.decision import Decision, Design, design
from t2jax.decision.regret import Lattice, judged, lattice
from t2jax.errors import InputError, Refusal
from t2jax.fitting import FitResult
from t2jax.planner.equal_budgets import Measured, measured
from t2jax.planning import Budget, Optimum
from t2jax.planning.rivals.in_range import inside
from t2jax.uncertainty import Ensemble
from t2jax.validation import Profile, profile

__all__ = ["NOT_COMPARED", "decide", "in_range", "profiled", "without_a_law"]

NOT_COMPARED = "The checkpoints are not compared at equal budgets: "
"""Begins the sentence that says why no measured run judges a plan."""

T = TypeVar("T")


def in_range(draws: Ensemble, budget: Budget, best: Optimum) -> Optimum | None:
    """The best plan within the ranges of the table, where the optimum lies outside."""
    outside = any(sentence.endswith("extrapolation") for sentence in best.status)
    return inside(draws, budget) if outside else None


def without_a_law(fit: FitResult, budget: Budget) -> tuple[Measured | None, tuple[str, ...]]:
    """What the checkpoints themselves say about the budgets, and why not."""
    runs = fit.observations
    if runs is None:
        return None, (f"{NOT_COMPARED}the fit does not carry its table.",)
    found = measured(runs, budget) if budget.cost.monomial else None
    if found is not None:
        return found, ()
    lacking = "no two sizes were trained with about this budget and asked often enough"
    if not budget.cost.monomial:
        lacking = "that is done in 6ND and 2Nk only"
    elif budget.train_flops is None:
        lacking = "that needs a training budget of its own"
    elif runs.kind == "loss":
        lacking = "no two sizes were measured at this training budget and one sample"
    elif budget.inference_flops is None:
        lacking = "that needs an inference budget per question"
    return None, (f"{NOT_COMPARED}{lacking}.",)


def decide(
    draws: Ensemble, budget: Budget, best: Optimum | None
) -> tuple[Decision | None, Design | None, tuple[str, ...]]:
    """What not knowing the law costs, and the runs to buy next, as far as the draws can tell.

    Args:
      draws: draws of a law.
      budget: one budget with something to spend.
      best: its optimum, where that is at hand.

    Returns:
      The decision, the design, and why one of them is missing, in sentences.
    """
    if draws.n_draws < 20:
        return None, None, ("Too few draws to say what not knowing the law costs.",)
    found, why = _or_why(lambda: _judged(draws, budget, best),
                         "What not knowing the law costs is not said")  # fmt: skip
    if found is None:
        return None, None, why
    table, decision = found
    lacking = "Which runs to buy next is not said"
    if draws.diagnostics.get("noise") is None:
        return decision, None, (f"{lacking}: the draws do not carry the noise of runs.",)
    return decision, *_or_why(lambda: design(draws, budget, table=table), lacking)


def _judged(draws: Ensemble, budget: Budget, best: Optimum | None) -> tuple[Lattice, Decision]:
    """Every plan under every draw, and what follows from it."""
    table = lattice(draws, budget, best)
    return table, judged(draws, budget, table)


def profiled(
    fit: FitResult, budget: Budget, unit: str | None
) -> tuple[Profile | None, tuple[str, ...]]:
    """Profile intervals of a plan where the law has them, and why they are missing elsewhere."""
    return _or_why(lambda: profile(fit, "params", budget=budget, level=0.9, unit=unit),
                   "The plan has no profile interval")  # fmt: skip


def _or_why(make: Callable[[], T], what: str) -> tuple[T | None, tuple[str, ...]]:
    """What was made, or a sentence that says why it could not be."""
    try:
        return make(), ()
    except (InputError, Refusal) as refused:
        return None, (f"{what}: {refused.problem}.",)
