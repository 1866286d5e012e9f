"""Laws side by side: how far each misses what it was not fitted to."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from t2jax import _text
from t2jax.reporting.figures._style import on, palette, styled
from t2jax.validation import Comparison

__all__ = ["comparison_panel"]


@styled
def comparison_panel(found: Comparison, *, ax: Axes | None = None) -> Axes:
    """The error of each law at held-out checkpoints and beyond each end, the best on top.

    Args:
      found: laws judged on one table.
      ax: where to draw; a figure of its own where None.
    """
    ax = on(ax)
    rows = found.records()
    axes = list(found.held_out[0].axis_error)
    colors = palette()
    looks = {"checkpoints": ("o", colors.ours), **dict(zip(
        axes, zip("DsvP^", (colors.chinchilla, colors.third, colors.fourth, colors.rule,
                            colors.grey), strict=True), strict=False))}  # fmt: skip
    place = np.arange(len(rows))[::-1]
    for name, (marker, color) in looks.items():
        error = [100 * row[name] for row in rows]
        label = "each checkpoint" if name == "checkpoints" else f"most {name}"
        ax.plot(error, place, marker, ms=6.5, mew=0, alpha=0.85, color=color, label=label)
    ax.set_yticks(place, [row["law"] for row in rows])
    ax.yaxis.set_minor_locator(NullLocator())
    best = rows[0]
    error = _text.number(100 * best[axes[0]], 2)
    ax.set(xlabel=f"error where held out, %: {found.held_out[0].quantity}", xlim=(0, None),
           ylim=(-0.6, len(rows) - 0.4),
           title=f"'{best['law']}' misses the runs with most {axes[0]} by {error}%")  # fmt: skip
    ax.legend(loc="best")
    return ax
