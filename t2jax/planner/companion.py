"""`Companion`: the accuracy law fitted beside a loss law, which turns plans into pass@k."""

import dataclasses

import numpy as np

from t2jax.fitting import FitResult
from t2jax.planning import Optimum
from t2jax.uncertainty import Ensemble
from t2jax.uncertainty.ensemble import central_interval

__all__ = ["Companion", "predicted"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Companion:
    """A second law on the same table and budgets, in another unit.

    Args:
      fit: the fitted accuracy law.
      draws: its bootstrap.
      best: its own optimum under the same budgets.
    """

    fit: FitResult
    draws: Ensemble
    best: Optimum

    def pass_at_k(self, plan: Optimum, level: float = 0.9) -> tuple[float, float, float]:
        """Mean pass@k of somebody's plan: estimate, and the ends of its interval."""
        return predicted(self.draws, plan, level)

    def disagrees(self, plan: Optimum, level: float = 0.9) -> bool:
        """Whether the intervals of N* under the two laws have nothing in common."""
        mine, theirs = self.best.interval("params", level), plan.interval("params", level)
        return mine[1] < theirs[0] or theirs[1] < mine[0]


def predicted(draws: Ensemble, plan: Optimum, level: float = 0.9) -> tuple[float, float, float]:
    """A law's value at one fixed plan: estimate, and the ends of its interval over draws.

    Unlike the interval of the optimum's own value, in which every draw plans for itself, this
    is about the run that will be trained.
    """
    point = {name: float(getattr(plan, name)) for name in ("params", "tokens", "samples")}
    low, high = central_interval(draws.predict(**point), level)
    single = Ensemble(law=draws.point, point=draws.point, kind="point")
    return float(np.asarray(single.predict(**point))), low, high
