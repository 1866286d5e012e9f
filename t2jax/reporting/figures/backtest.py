"""What plans lost to the best measured size, choice by choice."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from t2jax import _text
from t2jax.planner import Backtest
from t2jax.reporting.figures._style import palette, styled

__all__ = ["backtest_figure", "backtest_panel"]

_NAMES = {
    "plan": "the plan",
    "chinchilla": "Chinchilla, by the law",
    "chinchilla_measured": "Chinchilla, as measured",
    "ratio": "20 tokens per parameter",
    "smallest": "the smallest size",
    "largest": "the largest size",
}


@styled
def backtest_figure(found: Backtest) -> Figure:
    """Every choice's loss in every case, and its mean.

    Args:
      found: plans judged by the runs that they were not made of.
    """
    figure = Figure(figsize=(6.8, 0.46 * len(found.choices()) + 1.7))
    backtest_panel(found, ax=figure.subplots())
    return figure


@styled
def backtest_panel(found: Backtest, *, ax: Axes | None = None) -> Axes:
    """What each choice of size lost to the best measured one.

    Args:
      found: plans judged by the runs that they were not made of.
      ax: where to draw; axes of their own unless given.
    """
    ax = Figure(figsize=(6.8, 4.2)).subplots() if ax is None else ax
    colors = palette()
    names = found.choices()
    top = max(float(found.lost(name).max()) for name in names)
    for row, name in enumerate(names):
        lost = found.lost(name)
        theirs = colors.chinchilla if name.startswith("chinchilla") else colors.rule
        color = colors.ours if name == "plan" else theirs
        # Cases of one place are drawn side by side.
        shift = np.linspace(-0.16, 0.16, len(lost)) if len(lost) > 1 else np.zeros(1)
        ax.plot(lost, row + shift, "o", ms=4, mfc="none", mec=color, mew=1.0, alpha=0.8)
        mean = float(lost.mean())
        ax.plot([mean, mean], [row - 0.3, row + 0.3], color=color, lw=2.6, solid_capstyle="butt")
        ax.annotate(
            _text.number(mean, 2), (1.02, row), xycoords=("axes fraction", "data"), va="center",
            color=color, fontsize=9,
        )  # fmt: skip
    ax.set(ylim=(len(names) - 0.4, -0.6), xlim=(-0.03 * (top or 1.0), 1.05 * (top or 1.0)))
    ax.set_yticks(range(len(names)), [_NAMES[name] for name in names])
    ax.set_xlabel(f"{found.unit} lost to the best measured size; bar and number: the mean")
    ax.set_title(_title(found), fontsize=10)
    return ax


def _title(found: Backtest) -> str:
    """The message in two lines."""
    rival = "chinchilla" if "chinchilla" in found.choices() else "ratio"
    ours, theirs = (_text.number(found.lost(name).mean(), 2) for name in ("plan", rival))
    who = "Chinchilla's choice" if rival == "chinchilla" else "20 tokens per parameter"
    text = (
        f"Planned {found.decades():.2g} decades beyond the runs fitted, the plan lost {ours} "
        f"{found.unit}, {who} {theirs}"
    )
    return "\n".join(textwrap.wrap(text, 56))
