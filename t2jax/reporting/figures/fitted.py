"""How a fitted law lies on its own table."""

import numpy as np
from matplotlib.figure import Figure

from t2jax.fitting import FitResult
from t2jax.reporting.figures._style import styled
from t2jax.reporting.figures.diagnostics import predicted_panel, residual_panel
from t2jax.reporting.figures.frontier import FLOPS
from t2jax.reporting.tables import value_label

__all__ = ["fit_figure"]


@styled
def fit_figure(fit: FitResult, held_out: np.ndarray | None = None) -> Figure:
    """Predicted beside observed values, and the relative error along training FLOPs.

    Without its table the fit does not know the FLOPs of its rows: the error is then drawn along
    the predicted value.

    Args:
      fit: the fitted law.
      held_out: whether a row was left out of the fit [rows], or None.
    """
    label = value_label(fit)
    figure = Figure(figsize=(9.6, 4.2))
    if not len(fit.observed):
        figure.text(0.5, 0.5, "This fit does not carry the rows that it was made of.", ha="center")
        return figure
    left, right = figure.subplots(1, 2)
    predicted_panel(fit.observed, fit.predicted, ax=left, held_out=held_out, label=label)
    runs = fit.observations
    if runs is None or len(fit.observed) % runs.n_rows:
        along, name = fit.predicted, f"predicted {label}"
    else:
        along = np.repeat(runs.train_flops, len(fit.observed) // runs.n_rows)
        name = FLOPS
    residual_panel(along, fit.observed, fit.predicted, ax=right, label=name)
    for panel in (left, right):  # the plan beside it may carry the misfit that is seen here
        panel.set_title(panel.get_title(loc="left").replace("law", "law alone", 1))
    return figure
