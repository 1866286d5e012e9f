"""`plot`: the figure of a result, whatever the result is."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from matplotlib.figure import Figure

from t2jax.decision import Decision, Design
from t2jax.errors import InputError
from t2jax.fitting import FitResult
from t2jax.planner import Backtest, Plan
from t2jax.planning import Frontier
from t2jax.reporting.figures.backtest import backtest_figure
from t2jax.reporting.figures.compared import comparison_panel
from t2jax.reporting.figures.decision import design_figure, regret_figure
from t2jax.reporting.figures.fitted import fit_figure
from t2jax.reporting.figures.frontier import frontier_figure
from t2jax.validation import Comparison

__all__ = ["plot"]

_FIGURES: Mapping[type, Callable[[Any], Figure]] = {
    Backtest: backtest_figure,
    Comparison: lambda found: cast(Figure, comparison_panel(found).figure),
    Decision: regret_figure,
    Design: design_figure,
    FitResult: fit_figure,
    Frontier: frontier_figure,
    Plan: lambda plan: frontier_figure(plan.frontier, plan.optimum, plan.fit.hull, plan.inside),
}


def plot(result: object) -> Figure:
    """The figure that a result's `plot()` gives.

    Args:
      result: of `t2jax.fit`, `frontier`, `plan`, `compare`, `regret` or `design`.

    Raises:
      InputError: there is no figure of it.
    """
    for kind, draw in _FIGURES.items():
        if isinstance(result, kind):
            return draw(result)
    raise InputError(
        f"there is no figure of a {type(result).__name__}",
        remedy=f"there is of {', '.join(sorted(kind.__name__ for kind in _FIGURES))}",
    )
