"""Public models beside an optimum: marks, and names that never lie on one another."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from t2jax.datasets import PublicModel
from t2jax.reporting.figures._style import halo, palette, plain

__all__ = ["mark_models"]

_LINE = 11.5  # points from one name to the next


def mark_models(
    models: Sequence[PublicModel],
    name: str,
    ax: Axes,
    x: tuple[float, float],
    y: tuple[float, float],
) -> list[PublicModel]:
    """Mark the models within the axes, and write their names along the right edge.

    Args:
      models: what was trained.
      name: what the vertical axis shows.
      ax: where to draw; both axes logarithmic.
      x: ends of the axis of training FLOPs.
      y: ends of the vertical axis.

    Returns:
      The models within the axes.
    """
    seen = [model for model in models if x[0] <= model.train_flops <= x[1]]
    inside = [(float(getattr(model, name)), model) for model in seen]
    inside = [(value, model) for value, model in inside if y[0] <= value <= y[1]]
    inside.sort(key=lambda pair: (pair[0], pair[1].train_flops))
    heights = np.asarray([np.log(v / y[0]) / np.log(y[1] / y[0]) for v, _ in inside])
    # The height is known only when the page is laid out; the figure's own is never too far off.
    tall = 72.0 * 0.62 * _height(ax)
    colors = palette()
    for (value, model), place in zip(inside, _spread(heights, _LINE / tall), strict=True):
        ax.plot(model.train_flops, value, "^", ms=5.5, mew=0.8, mfc=colors.third,
                mec=colors.paper, zorder=6, label=plain(model.name))  # fmt: skip
        ax.annotate(
            plain(model.name), (model.train_flops, value), xytext=(1.03, place),
            textcoords="axes fraction", fontsize=7.5, color=colors.grey, va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colors.third, "lw": 0.5, "alpha": 0.7,
                        "shrinkA": 1, "shrinkB": 3},
        ).set_path_effects(halo())  # fmt: skip
    return [model for _, model in inside]


def _height(ax: Axes) -> float:
    """Of the figure, in inches."""
    figure = ax.get_figure(root=True)
    return 4.0 if figure is None else float(figure.get_size_inches()[1])


def _spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """Rising heights moved as little as need be to lie a gap apart, within 0 and 1 if they fit."""
    count = len(heights)
    if not count:
        return heights
    steps = gap * np.arange(count)
    # Pool neighbours that would collide: least squares under an order, solved exactly.
    pools: list[list[float]] = []
    for value in heights - steps:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n), (b, m) = pools[-2], pools.pop()
            pools[-1] = [(a * n + b * m) / (n + m), n + m]
    middle = np.concatenate([np.full(int(n), v) for v, n in pools])
    return np.clip(middle, 0.0, max(0.0, 1.0 - steps[-1])) + steps
