"""Frontiers of the same models after other training, side by side."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from t2jax.errors import InputError
from t2jax.planning import Frontier
from t2jax.reporting.figures._style import count, limits, log_axis, on, palette, styled
from t2jax.reporting.figures.frontier import frontier_panel

__all__ = ["variant_panel", "variants_figure"]


@styled
def variants_figure(
    fronts: Mapping[str, Frontier], name: str = "tokens_per_param", level: float = 0.9
) -> Figure:
    """One panel a variant on one scale, with the first variant's optimum in the others.

    Args:
      fronts: the optima along training budgets by variant; the first is the one to compare with.
      name: "tokens_per_param", "params" or "tokens".
      level: of the bands.

    Raises:
      InputError: no variants.
    """
    if not fronts:
        raise InputError("no variants to draw", remedy="give one frontier or more")
    first, *_ = fronts
    figure = Figure(figsize=(0.8 + 3.6 * len(fronts), 4.2))
    panels = np.atleast_1d(figure.subplots(1, len(fronts)))
    for ax, (label, front) in zip(panels, fronts.items(), strict=True):
        reference = None if label == first else fronts[first]
        variant_panel(front, name, ax=ax, title=label, reference=reference, level=level)
    ends = np.asarray([ax.get_ylim() for ax in panels])
    for i, ax in enumerate(panels):
        log_axis(ax.yaxis, float(ends[:, 0].min()), float(ends[:, 1].max()), count)
        if i:
            ax.set_ylabel("")
    colors = palette()
    keys = [
        Line2D([], [], color=colors.ours, label="optimum, repeated sampling"),
        Patch(color=colors.ours, alpha=0.2, lw=0, label=f"{level:.0%} interval"),
        Line2D([], [], color=colors.chinchilla, ls="--", label="Chinchilla (single sample)"),
        Line2D([], [], color=colors.rule, ls=":", label="20:1"),
    ]
    if len(fronts) > 1:
        label = f"optimum of '{first}'"
        keys.append(Line2D([], [], color=colors.fourth, ls=(0, (5, 2)), label=label))
    columns = len(keys) if len(fronts) > 2 else 2
    figure.legend(handles=keys, loc="outside upper center", ncols=columns, columnspacing=1.4)
    return figure


@styled
def variant_panel(
    front: Frontier,
    name: str,
    *,
    ax: Axes | None = None,
    title: str,
    reference: Frontier | None = None,
    level: float = 0.9,
) -> Axes:
    """One quantity of one variant's optimum, with another variant's beside it.

    Args:
      front: the optima along training budgets.
      name: "tokens_per_param", "params" or "tokens".
      ax: where to draw; a figure of its own where None.
      title: the variant.
      reference: the variant to compare with.
      level: of the band.
    """
    ax = on(ax)
    frontier_panel(front, name, ax=ax, level=level)
    if reference is not None:
        other = np.asarray(getattr(reference.optimum, name))
        flops = np.asarray(reference.train_flops)
        ax.plot(flops, other, color=palette().fourth, ls=(0, (5, 2)), label="reference")
        low, high = limits([other], 0.06)
        seen = ax.get_ylim()
        log_axis(ax.yaxis, min(low, seen[0]), max(high, seen[1]), count)
    ax.set_title(title)
    return ax
