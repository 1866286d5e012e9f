"""The optimum along training budgets, beside Chinchilla's choice and 20 tokens per parameter."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from t2jax import _text, cost
from t2jax.datasets import PublicModel
from t2jax.hull import Hull
from t2jax.planning import Frontier, Optimum
from t2jax.reporting.figures._style import (
    count,
    halo,
    limits,
    log_axis,
    on,
    palette,
    point,
    power,
    shade,
    styled,
)
from t2jax.reporting.figures.public import mark_models

__all__ = ["FLOPS", "frontier_figure", "frontier_panel"]

RULE_OF_THUMB = 20.0
_TITLES = {
    "tokens_per_param": "Tokens per parameter",
    "params": "Parameters",
    "tokens": "Training tokens",
}
_AXES = {
    "tokens_per_param": "D* / N*, tokens per parameter",
    "params": "N*, parameters",
    "tokens": "D*, training tokens",
}
FLOPS = "training FLOPs (6ND)"


@styled
def frontier_figure(
    front: Frontier,
    best: Optimum | None = None,
    hull: Hull | None = None,
    inside: Optimum | None = None,
    level: float = 0.9,
    models: Sequence[PublicModel] = (),
) -> Figure:
    """D*/N*, N* and D* against training FLOPs, with what Chinchilla and 20:1 would choose.

    Args:
      front: the optima along training budgets.
      best: the planned optimum, marked in every panel.
      hull: ranges of the table, shaded: whatever lies outside is extrapolation.
      inside: the best plan within those ranges, marked too.
      level: of the band.
      models: public models, marked where the axis of training FLOPs reaches them.
    """
    figure = Figure(figsize=(15.2, 4.6) if models else (11.6, 4.3))
    panels: Sequence[Axes] = figure.subplots(1, 3)
    for ax, name in zip(panels, _TITLES, strict=True):
        frontier_panel(front, name, ax=ax, best=best, hull=hull, inside=inside, level=level,
                       models=models)  # fmt: skip
    banded = front.optimum.draws is not None
    keys: list[Any] = [Line2D([], [], color=palette().ours, label=_frontier_label(front))]
    if banded:
        keys.append(Patch(color=palette().ours, alpha=0.2, lw=0, label=f"{level:.0%} interval"))
    if front.optimum.rival is not None:
        label = "Chinchilla (single sample)"
        keys.append(Line2D([], [], color=palette().chinchilla, ls="--", label=label))
    keys.append(Line2D([], [], color=palette().rule, ls=":", label="20:1"))
    if best is not None:
        keys.append(point("the plan" if inside is None else "law's optimum", "o"))
    if inside is not None:
        keys.append(point("plan in range", "s"))
    if hull is not None:
        keys.append(
            Patch(facecolor=palette().shade, edgecolor=palette().edge, label="measured range")
        )
    if models:
        keys.append(Line2D([], [], marker="^", ls="", color=palette().third, label="trained model"))
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), columnspacing=1.4)
    return figure


@styled
def frontier_panel(
    front: Frontier,
    name: str,
    *,
    ax: Axes | None = None,
    best: Optimum | None = None,
    hull: Hull | None = None,
    inside: Optimum | None = None,
    level: float = 0.9,
    models: Sequence[PublicModel] = (),
) -> Axes:
    """One quantity of the optimum along training budgets.

    Args:
      front: the optima.
      name: "tokens_per_param", "params" or "tokens".
      ax: where to draw; a figure of its own where None.
      best: the planned optimum.
      hull: ranges of the table.
      inside: the best plan within them.
      level: of the band.
      models: public models, marked where the axis of training FLOPs reaches them.
    """
    ax = on(ax)
    flops = np.asarray(front.train_flops)
    line = np.asarray(getattr(front.optimum, name))
    low, high = front.band(name, level)
    rule = {
        "tokens_per_param": np.full_like(flops, RULE_OF_THUMB),
        "params": np.sqrt(flops / (cost.TRAIN_FLOPS * RULE_OF_THUMB)),
        "tokens": np.sqrt(flops * RULE_OF_THUMB / cost.TRAIN_FLOPS),
    }[name]
    shown = [line, low, high, rule]
    if front.optimum.rival is not None:
        rival = np.asarray(getattr(front.optimum.rival, name))
        ax.plot(flops, rival, color=palette().chinchilla, ls="--", label="Chinchilla")
        shown.append(rival)
    ax.plot(flops, rule, color=palette().rule, ls=":", label="20:1")
    if front.optimum.draws is not None:
        ax.fill_between(flops, low, high, color=palette().ours, alpha=0.2, lw=0, label="band")
    ax.plot(flops, line, color=palette().ours, label="optimum")
    across = [flops]
    if best is not None:
        shown.append(_mark_plan(best, name, ax, level))
        across.append(np.atleast_1d(np.asarray(best.train_flops, float)))
    if inside is not None:
        look = {"mfc": palette().paper, "mec": palette().ours, "mew": 1.6, "zorder": 5}
        where = (float(inside.train_flops), float(getattr(inside, name)))
        ax.plot(*where, "s", ms=6, label="inside", **look)
    if hull is not None:
        shown.append(np.asarray(getattr(hull, name)))
        across.append(np.asarray(hull.train_flops))
    x = limits(across, 0.04)
    reached = [getattr(m, name) for m in models if x[0] <= m.train_flops <= x[1]]
    shown.append(np.asarray(reached, float))
    y = limits(shown, 0.06)
    ceiling = front.ceiling if name == "params" else None
    if ceiling is not None and ceiling < y[1] * 3:
        y = limits([*shown, np.asarray([ceiling])], 0.06)
        ax.axhline(ceiling, color=palette().limit, lw=1.0, label="saturation")
        # At the left, where N* is furthest below its ceiling.
        ax.annotate(
            f"{_text.count(ceiling)}: larger is never best at this inference budget",
            (x[0], ceiling), xytext=(6, 3), textcoords="offset points",
            color=palette().limit, fontsize=8, ha="left", va="bottom",
        ).set_path_effects(halo())  # fmt: skip
    if hull is not None:
        shade(ax, hull.train_flops, getattr(hull, name))
    log_axis(ax.xaxis, *x, power, most=5)
    log_axis(ax.yaxis, *y, count)
    mark_models(models, name, ax, x, y)
    ax.set(
        xlabel=FLOPS,
        ylabel=_AXES[name],
        title=f"{_TITLES[name]}: {count(line[0])} to {count(line[-1])}",
    )
    return ax


def _mark_plan(best: Optimum, name: str, ax: Axes, level: float) -> np.ndarray:
    """The planned optimum with its interval; returns the values drawn."""
    flops, value = float(best.train_flops), float(getattr(best, name))
    low, high = best.interval(name, level)
    ax.axvline(flops, color=palette().ours, lw=0.8, alpha=0.5, zorder=1, label="planned budget")
    if math.isfinite(low):
        ax.plot([flops, flops], [low, high], color=palette().ours, lw=1.2, label="plan's interval")
    ax.plot(
        flops,
        value,
        "o",
        ms=6,
        mfc=palette().paper,
        mec=palette().ours,
        mew=1.6,
        zorder=5,
        label="plan",
    )
    return np.asarray([value, low, high])


def _frontier_label(front: Frontier) -> str:
    if front.axis != "train_flops":
        return "optimum"
    return "optimum, " + ("single sample" if front.saturation is None else "repeated sampling")
