"""What stands beside a plan where the data allow it, and why it is missing where they do not."""

from t2jax.decision import Decision, Design, design, regret
from t2jax.errors import Refusal
from t2jax.fitting import FitResult
from t2jax.planning import Budget
from t2jax.uncertainty import Ensemble
from t2jax.validation import Profile, profile

__all__ = ["decide", "profiled"]


def decide(
    draws: Ensemble, budget: Budget
) -> tuple[Decision | None, Design | None, tuple[str, ...]]:
    """What not knowing the law costs, and the runs to buy next, as far as the draws can tell.

    Returns:
      The decision, the design, and why one of them is missing, in sentences.
    """
    if draws.n_draws < 20:
        return None, None, ("Too few draws to say what not knowing the law costs.",)
    try:
        decision = regret(draws, budget)
    except Refusal as refused:
        return None, None, (f"What not knowing the law costs is not said: {refused.problem}.",)
    lacking = "the draws do not carry the noise of runs"
    if draws.diagnostics.get("noise") is not None:
        try:
            return decision, design(draws, budget, simulate=False), ()
        except Refusal as refused:
            lacking = refused.problem
    return decision, None, (f"Which runs to buy next is not said: {lacking}.",)


def profiled(fit: FitResult, budget: Budget, unit: str) -> tuple[Profile | None, tuple[str, ...]]:
    """Profile intervals of a plan where the law has them, and why they are missing elsewhere."""
    if fit.law.kind != "loss":
        return None, ()
    try:
        return profile(fit, "params", budget=budget, level=0.9, unit=unit or None), ()
    except Refusal as refused:
        return None, (f"The plan has no profile interval: {refused.problem}.",)
