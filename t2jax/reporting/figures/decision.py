"""What not knowing the law costs, over the sizes that might be trained, and what to buy next."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from t2jax._typing import ArrayLike
from t2jax.decision import Decision, Design, Purchase
from t2jax.errors import InputError
from t2jax.reporting.figures._style import (
    color_bar,
    count,
    halo,
    limits,
    log_axis,
    on,
    palette,
    ramp,
    styled,
)
from t2jax.reporting.figures.diagnostics import equal_flops, regret_panel

__all__ = ["design_figure", "design_panel", "regret_figure"]

_SHOWN = 12.0  # widths of the region near the best that the axis reaches
_DECADES = 2.5  # of the gain that the colours tell apart


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


@styled
def design_figure(
    design: Design, params: ArrayLike | None = None, tokens: ArrayLike | None = None
) -> Figure:
    """What each run would bring, over its size and tokens, and which to buy first.

    Args:
      design: runs judged by how far they lower the expected regret.
      params: sizes of the checkpoints at hand [rows], or None.
      tokens: their training tokens [rows].
    """
    figure = Figure(figsize=(6.6, 4.8))
    ax = design_panel(design, params, tokens, ax=figure.subplots())
    norm = ax.collections[-1].norm
    assert isinstance(norm, LogNorm)
    unit = "nats" if design.kind == "loss" else "of pass@k"
    color_bar(figure, [ax], norm, f"expected regret falls, {unit}", most=5)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _advice(bought: list[Purchase]) -> str:
    if not bought:
        return "No training run is worth buying"
    first = bought[0]
    return f"Buy {count(first.params)} parameters on {count(first.tokens)} tokens first"


@styled
def design_panel(
    design: Design,
    params: ArrayLike | None = None,
    tokens: ArrayLike | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """The gain of every training run over (N, D), with the purchases numbered in order.

    Args:
      design: runs judged by how far they lower the expected regret.
      params: sizes of the checkpoints at hand [rows], or None.
      tokens: their training tokens [rows].
      ax: where to draw; a figure of its own where None.

    Raises:
      InputError: no training run among the candidates brings anything.
    """
    ax = on(ax)
    runs = [(c.params, c.tokens, float(fall))
            for c, fall in zip(design.candidates, design.fall, strict=True)
            if c.kind == "train" and fall > 0]  # fmt: skip
    if not runs:
        raise InputError("no training run lowers the regret", remedy="give other candidates")
    n, d, fall = np.asarray(runs).T
    have_n = np.zeros(0) if params is None else np.asarray(params, float)
    have_d = np.zeros(0) if tokens is None else np.asarray(tokens, float)
    x, y = limits([n, have_n], 0.05), limits([d, have_d], 0.05)
    y = (y[0] / (y[1] / y[0]) ** 0.06, y[1])  # room for the names of the lines
    equal_flops(x, y, ax)
    colors = palette()
    if len(have_n):
        ax.plot(have_n, have_d, "x", ms=4.5, mew=1.0, color=colors.grey, zorder=3,
                label="checkpoint at hand")  # fmt: skip
    least = max(float(fall.min()), float(fall.max()) * 10.0**-_DECADES)
    top = float(fall.max())
    norm = LogNorm(least, top if top > least else least * 1.01)
    ax.scatter(n, d, c=np.maximum(fall, least), cmap=ramp(), norm=norm, marker="s", s=46, lw=0,
               zorder=2)  # fmt: skip
    bought = [pick.purchase for pick in design.picks if pick.purchase.kind == "train"]
    places: dict[tuple[float, float], list[str]] = {}
    for i, purchase in enumerate(bought, start=1):
        places.setdefault((purchase.params, purchase.tokens), []).append(str(i))
    for i, (place, numbers) in enumerate(places.items()):
        ax.plot(*place, "o", ms=10, mew=1.6, mfc="none", mec=colors.chinchilla, zorder=5,
                label="" if i else "buy next, in order")  # fmt: skip
        ax.annotate(
            ", ".join(numbers), place, xytext=(0, 8), textcoords="offset points", fontsize=9,
            ha="center", fontweight="bold", color=colors.chinchilla, zorder=6,
        ).set_path_effects(halo())  # fmt: skip
    log_axis(ax.xaxis, *x, count, most=6)
    log_axis(ax.yaxis, *y, count, most=6)
    ax.set(xlabel="N, parameters", ylabel="D, training tokens",
           title=_advice(bought))  # fmt: skip
    return ax
