"""IsoFLOP profiles: the law against size at fixed training budgets, with the checkpoints."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from t2jax import _text, cost
from t2jax.fitting import FitResult
from t2jax.fitting.paper import isoflop_groups
from t2jax.laws import Warped
from t2jax.observations import Observations
from t2jax.planning import Frontier, Optimum
from t2jax.reporting.figures._style import (
    color_bar,
    count,
    limits,
    log_axis,
    on,
    palette,
    point,
    ramp,
    styled,
    ticks,
)
from t2jax.reporting.figures.frontier import FLOPS

__all__ = ["isoflop_figure", "isoflop_panel", "measured_points"]

_SIZES = 3  # of a level that is worth a curve
_NEAR = math.log(1.5)  # checkpoints whose FLOPs spread less than this share a level


@styled
def isoflop_figure(fit: FitResult, best: Optimum, front: Frontier) -> Figure:
    """The law against size at fixed training budgets: single pass, and with repeated sampling.

    Args:
      fit: the fitted law; brings the measured checkpoints when it carries its table.
      best: the optimum, which gives the inference budget.
      front: the optima along training budgets, which give the minima.
    """
    budgets = [None] if front.saturation is None else [None, float(best.inference_flops)]
    figure = Figure(figsize=(5.2 + 4.9 * (len(budgets) - 1), 4.7))
    panels = np.atleast_1d(figure.subplots(1, len(budgets)))
    norm = _norm(fit, front)
    for ax, budget in zip(panels, budgets, strict=True):
        isoflop_panel(fit, front, ax=ax, inference_flops=budget, norm=norm)
    color_bar(figure, list(panels), norm, FLOPS)
    best_word = "largest" if fit.law.kind == "accuracy" else "least"
    curve = "law with its misfit" if _carried(fit) else "fitted law"
    keys = [
        Line2D([], [], color=palette().grey, label=f"{curve}, at one budget"),
        Line2D([], [], color=palette().grey, ls=(0, (1, 1.4)), label="beyond the measured range"),
        point(f"{best_word} value, by that curve", "D", palette().grey),
    ]
    if any(len(ax.collections) for ax in panels):
        dot = Line2D([], [], color=palette().grey, marker="o", lw=0.9, ms=5,
                     label="measured, joined by level")  # fmt: skip
        stick = Line2D([], [], color=palette().grey, lw=2.6, alpha=0.35,
                       label="from measured to that curve")  # fmt: skip
        keys += [dot, stick]
    figure.legend(
        handles=keys,
        loc="outside upper center",
        ncols=1 + len(budgets),
        columnspacing=1.2,
    )
    return figure


def _carried(fit: FitResult) -> bool:
    """Whether the curves are of a law times its misfit, as a plan's are."""
    return isinstance(fit.law.searched, Warped)


@styled
def isoflop_panel(
    fit: FitResult,
    front: Frontier,
    *,
    ax: Axes | None = None,
    inference_flops: float | None = None,
    norm: LogNorm | None = None,
    n_curves: int = 5,
) -> Axes:
    """The law against parameters at some training budgets, with the measured checkpoints.

    Args:
      fit: the fitted law.
      front: the optima, whose budgets are drawn and whose optima are marked.
      ax: where to draw; a figure of its own where None.
      inference_flops: budget for sampling, which gives a model of N parameters
        `k = C_i/(2N)` samples; None for a single sample.
      norm: colour scale of training FLOPs.
      n_curves: number of budgets.
    """
    ax = on(ax)
    norm = norm or _norm(fit, front)
    points = measured_points(fit, inference_flops)
    levels = _levels(fit, front, points, n_curves)
    single = inference_flops is None
    one_sample = math.inf if single else inference_flops / cost.INFERENCE_FLOPS
    sizes = _best_sizes(front, levels, single)
    x = limits([np.asarray(fit.hull.params), sizes[sizes <= one_sample]], 0.06)
    ks = (1.0, fit.hull.samples[1])
    sign = -1.0 if fit.law.kind == "accuracy" else 1.0
    drawn = []
    for flops in levels:
        n = np.geomspace(x[0], min(x[1], one_sample), 600)
        d = flops / (cost.TRAIN_FLOPS * n)
        k = np.ones_like(n) if single else one_sample / n
        y = np.asarray(fit.predict(params=n, tokens=d, samples=k))
        within = np.ones_like(n, bool)
        for column, (low, high) in ((n, fit.hull.params), (d, fit.hull.tokens), (k, ks)):
            within &= (column >= low) & (column <= high)
        color = ramp()(norm(flops))
        ax.plot(n, y, color=color, lw=1.3, ls=(0, (1, 1.4)), label=f"{flops:.2g}, all")
        ax.plot(n, np.where(within, y, np.nan), color=color, lw=2, label=f"{flops:.2g}")
        drawn.append(y[within])
        best = int(np.argmin(sign * y))
        ax.plot(n[best], y[best], "D", ms=6, mfc=palette().paper, mec=color, mew=1.6, zorder=6,
                label="optimum")  # fmt: skip
        drawn.append(y[best : best + 1])
    if points is not None:
        drawn.append(_measured(fit, points, levels, one_sample, norm, ax))
    _value_axis(ax, drawn, fit)
    log_axis(ax.xaxis, *x, count)
    ax.set_xlabel("N, parameters")
    if single:
        # As high as the title over the second axis of the other panel.
        ax.set_title("Single pass, k = 1", pad=33 if front.saturation is not None else None)
    else:
        ax.set_title("Inference budget spent on samples, k = C/(2N)")
        _samples_axis(ax, one_sample, x)
    return ax


def _levels(
    fit: FitResult, front: Frontier, points: tuple[np.ndarray, ...] | None, most: int
) -> np.ndarray:
    """Training FLOPs at which curves are drawn: levels that the table has, else the frontier's."""
    if points is not None:
        n, c, _ = points
        group = isoflop_groups(c)
        members = [np.flatnonzero(group == i) for i in np.unique(group)]
        full = [rows for rows in members if len(np.unique(n[rows])) >= _SIZES]
        close = [rows for rows in full if np.ptp(np.log(c[rows])) < _NEAR]
        own = [float(np.exp(np.mean(np.log(c[rows])))) for rows in close]
        if len(own) >= 2:
            return _spread(np.asarray(own), most)
    flops = np.asarray(front.train_flops)
    # The two ends of the table's range hold few checkpoints; curves stand between them.
    low, high = fit.hull.train_flops
    inside = flops[(flops >= low) & (flops <= high)]
    return _spread(inside if len(inside) >= most else flops, most)


def _spread(values: np.ndarray, most: int) -> np.ndarray:
    """So many of them at equal steps, both ends included."""
    return values[np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)]


def _best_sizes(front: Frontier, levels: np.ndarray, single: bool) -> np.ndarray:
    """The sizes that the frontier has at budgets near the levels, which the axis must hold."""
    optima = front.optimum
    if single and front.optimum.chinchilla is not None:
        optima = front.optimum.chinchilla
    flops = np.log(np.asarray(front.train_flops))
    near = [int(np.argmin(np.abs(flops - np.log(level)))) for level in levels]
    return np.asarray(optima.params)[near]


def _measured(
    fit: FitResult, points: tuple[np.ndarray, ...], levels: np.ndarray, one_sample: float,
    norm: LogNorm, ax: Axes,
) -> np.ndarray:  # fmt: skip
    """The checkpoints of the levels that are drawn, joined by level, each with the law's misfit.

    Returns:
      The values drawn.
    """
    n, c, y = points
    nearest = np.argmin(np.abs(np.log(c[:, None] / levels)), axis=1)
    shown = np.abs(np.log(c / levels[nearest])) < _NEAR / 2
    if not shown.any():
        return y[:0]
    n, c, y, nearest = n[shown], c[shown], y[shown], nearest[shown]
    k = np.ones_like(n) if math.isinf(one_sample) else one_sample / n
    told = np.asarray(fit.predict(params=n, tokens=c / (cost.TRAIN_FLOPS * n), samples=k))
    colors = ramp()(norm(levels[nearest]))
    for i in np.unique(nearest):
        sizes = np.unique(n[nearest == i])
        means = [np.exp(np.mean(np.log(y[(nearest == i) & (n == size)]))) for size in sizes]
        ax.plot(sizes, means, color=ramp()(norm(levels[i])), lw=0.9, alpha=0.9, zorder=3,
                label="measured level")  # fmt: skip
    ax.vlines(n, np.minimum(y, told), np.maximum(y, told), colors=list(colors), lw=2.6, alpha=0.35,
              zorder=2, label="misfit")  # fmt: skip
    ax.scatter(n, y, c=levels[nearest], cmap=ramp(), norm=norm, s=26, lw=0.6,
               edgecolors=palette().paper, zorder=4)  # fmt: skip
    off = np.abs(told / y - 1.0)
    worst = int(np.argmax(off))
    ax.annotate(
        f"the curves miss these by {off.mean():.1%} on average,\n{off[worst]:.0%} at most, at "
        f"N = {_text.count(n[worst])} and {_text.number(c[worst], 2)} FLOPs",
        # Under the axis: over the curves it would cover what it speaks of.
        (0.5, -0.15), xycoords="axes fraction", ha="center", va="top", fontsize=8,
        color=palette().grey, annotation_clip=False,
    )  # fmt: skip
    return np.concatenate([y, told])


def measured_points(
    fit: FitResult, inference_flops: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Params, training FLOPs and measured value of the checkpoints, at each one's own k.

    From per-question likelihoods the value at `k = C_i/(2N)` is exact; other tables show the
    rows whose own k is within 10% of it. Checkpoints that cannot afford one sample are left out.

    Returns:
      Three arrays [checkpoints], or None where the table says nothing here.
    """
    runs = fit.observations
    if runs is None:
        return None
    k = np.ones(runs.n_rows)
    if inference_flops is not None:
        k = inference_flops / (cost.INFERENCE_FLOPS * runs.params)
    value = np.full(runs.n_rows, np.nan)
    if runs.kind == "loss":
        own = np.ones(runs.n_rows) if runs.samples is None else runs.samples
        near = np.abs(np.log(own / k)) < math.log(1.1)
        value[near] = np.asarray(runs.loss)[near]
    else:
        for each in np.unique(k[k >= 1]):
            rows = np.flatnonzero(k == each)
            value[rows] = _measured_at(runs.select(rows), each, fit.law.kind)
    seen = np.isfinite(value)
    if not seen.any():
        return None
    return runs.params[seen], runs.train_flops[seen], value[seen]


def _measured_at(runs: Observations, k: float, kind: str) -> np.ndarray:
    if runs.kind == "nll":
        return (runs.pass_at_k if kind == "accuracy" else runs.neg_log_pass)(k)[:, 0]
    whole = round(k)  # an unbiased estimate from counts exists at whole k only
    return runs.pass_at_k(whole)[:, 0] if kind == "accuracy" else np.full(runs.n_rows, np.nan)


def _samples_axis(ax: Axes, one_sample: float, x: tuple[float, float]) -> None:
    """The samples that each size affords, along the top."""

    def convert(n):
        return one_sample / np.maximum(n, 1e-30)

    top = ax.secondary_xaxis("top", functions=(convert, convert))
    ticks(top.xaxis, one_sample / x[1], one_sample / x[0], count)
    top.set_xlabel("k, samples per question that the budget leaves", fontsize=8.5)
    top.spines["top"].set_visible(True)


def _value_axis(ax: Axes, drawn: Sequence[np.ndarray], fit: FitResult) -> None:
    values = np.concatenate([np.asarray(y).ravel() for y in drawn])
    if fit.law.kind == "accuracy":
        ax.set_ylim(0.0, min(1.02, float(values.max()) * 1.08))
        ax.set_ylabel("mean pass@k over questions")
        return
    log_axis(ax.yaxis, *limits([values], 0.05), lambda v, _=None: _text.number(v, 2))
    asked = fit.samples is not None or fit.law.uses_samples
    ax.set_ylabel("mean of −log pass@k, nats" if asked else "loss, nats")  # noqa: RUF001


def _norm(fit: FitResult, front: Frontier) -> LogNorm:
    low, high = fit.hull.train_flops
    if fit.observations is None:
        low, high = np.min(front.train_flops), np.max(front.train_flops)
    return LogNorm(float(low), float(high) if high > low else float(low) * 1.01)
