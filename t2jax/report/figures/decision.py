"""What not knowing the law costs, over the sizes that might be trained."""

import numpy as np
from matplotlib.figure import Figure

from t2jax.optimum import Decision
from t2jax.report.figures._style import styled
from t2jax.report.figures.diagnostics import regret_panel

__all__ = ["regret_figure"]

_SHOWN = 12.0  # widths of the region near the best that the axis reaches


@styled
def regret_figure(decision: Decision) -> Figure:
    """The mean over draws of what each size loses against the best one.

    Args:
      decision: plans judged by all draws.
    """
    lost = decision.expected - decision.best["expected"]
    shown = lost <= _SHOWN * decision.within
    # The region is one stretch about the best size: what lies beyond its neighbours is left out.
    at = int(np.argmin(lost))
    outside = np.flatnonzero(~shown)
    low = max([i for i in outside if i < at], default=-1) + 1
    high = min([i for i in outside if i > at], default=len(lost))
    figure = Figure(figsize=(6.4, 4.2))
    unit = "nats" if decision.kind == "loss" else "of pass@k"
    regret_panel(decision.params[low:high], np.maximum(lost[low:high], 0.0), decision.within,
                 ax=figure.subplots(), unit=unit)  # fmt: skip
    return figure
