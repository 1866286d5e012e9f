"""Figures: every panel takes `ax=` and gives it back; nothing here fits or optimises.

The only module that knows matplotlib. Figures are made without pyplot, so that drawing one
changes nothing outside it.
"""

import functools
import importlib.resources
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib.style
import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from t2jax import _text, cost
from t2jax._typing import ArrayLike
from t2jax.fit import FitResult
from t2jax.hull import Hull
from t2jax.observations import Observations
from t2jax.optimum import Frontier, Optimum

__all__ = [
    "frontier_figure",
    "frontier_panel",
    "isoflop_figure",
    "isoflop_panel",
    "measured",
    "save",
]

P = ParamSpec("P")
R = TypeVar("R")

OURS, CHINCHILLA, RULE, LIMIT = "#0072B2", "#D55E00", "#666666", "#CC79A7"
SHADE, GREY = "#f1f1ec", "#555555"
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
_FLOPS = "training FLOPs (6ND)"


def _styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the house style and leave matplotlib's settings as they were."""

    @functools.wraps(draw)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        sheet = importlib.resources.files("t2jax.report") / "t2jax.mplstyle"
        with importlib.resources.as_file(sheet) as path, matplotlib.style.context(path):
            return draw(*args, **kwargs)

    return run


@_styled
def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, format="png")


# The frontier ---------------------------------------------------------------------------------


@_styled
def frontier_figure(
    front: Frontier,
    best: Optimum | None = None,
    hull: Hull | None = None,
    inside: Optimum | None = None,
    level: float = 0.9,
) -> Figure:
    """D*/N*, N* and D* against training FLOPs, with what Chinchilla and 20:1 would choose.

    Args:
      front: the optima along training budgets.
      best: the planned optimum, marked in every panel.
      hull: ranges of the table, shaded: whatever lies outside is extrapolation.
      inside: the best plan within those ranges, marked too.
      level: of the band.
    """
    figure = Figure(figsize=(11.6, 4.3))
    panels: Sequence[Axes] = figure.subplots(1, 3)
    for ax, name in zip(panels, _TITLES, strict=True):
        frontier_panel(front, name, ax=ax, best=best, hull=hull, inside=inside, level=level)
    banded = front.optimum.draws is not None
    keys: list[Any] = [Line2D([], [], color=OURS, label=_frontier_label(front))]
    if banded:
        keys.append(Patch(color=OURS, alpha=0.2, lw=0, label=f"{level:.0%} interval"))
    if _has_rival(front):
        label = "Chinchilla (single sample)"
        keys.append(Line2D([], [], color=CHINCHILLA, ls="--", label=label))
    keys.append(Line2D([], [], color=RULE, ls=":", label="20:1"))
    if best is not None:
        keys.append(_point("the plan" if inside is None else "law's optimum", "o"))
    if inside is not None:
        keys.append(_point("plan in range", "s"))
    if hull is not None:
        keys.append(Patch(facecolor=SHADE, edgecolor="#cccccc", label="measured range"))
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), columnspacing=1.4)
    return figure


@_styled
def frontier_panel(
    front: Frontier,
    name: str,
    *,
    ax: Axes,
    best: Optimum | None = None,
    hull: Hull | None = None,
    inside: Optimum | None = None,
    level: float = 0.9,
) -> Axes:
    """One quantity of the optimum along training budgets.

    Args:
      front: the optima.
      name: "tokens_per_param", "params" or "tokens".
      ax: where to draw.
      best: the planned optimum.
      hull: ranges of the table.
      inside: the best plan within them.
      level: of the band.
    """
    flops = np.asarray(front.train_flops)
    line = np.asarray(getattr(front.optimum, name))
    low, high = front.band(name, level)
    rule = {
        "tokens_per_param": np.full_like(flops, RULE_OF_THUMB),
        "params": np.sqrt(flops / (cost.TRAIN_FLOPS * RULE_OF_THUMB)),
        "tokens": np.sqrt(flops * RULE_OF_THUMB / cost.TRAIN_FLOPS),
    }[name]
    shown = [line, low, high, rule]
    if _has_rival(front):
        rival = np.asarray(getattr(front.optimum.chinchilla, name))
        ax.plot(flops, rival, color=CHINCHILLA, ls="--", label="Chinchilla")
        shown.append(rival)
    ax.plot(flops, rule, color=RULE, ls=":", label="20:1")
    if front.optimum.draws is not None:
        ax.fill_between(flops, low, high, color=OURS, alpha=0.2, lw=0, label="band")
    ax.plot(flops, line, color=OURS, label="optimum")
    across = [flops]
    if best is not None:
        shown.append(_mark_plan(best, name, ax, level))
        across.append(np.atleast_1d(np.asarray(best.train_flops, float)))
    if inside is not None:
        ax.plot(float(inside.train_flops), float(getattr(inside, name)), "s", ms=6, mfc="white",
                mec=OURS, mew=1.6, zorder=5, label="inside")  # fmt: skip
    if hull is not None:
        shown.append(np.asarray(getattr(hull, name)))
        across.append(np.asarray(hull.train_flops))
    x, y = _limits(across, 0.04), _limits(shown, 0.06)
    ceiling = _ceiling(front) if name == "params" else None
    if ceiling is not None and ceiling < y[1] * 3:
        y = _limits([*shown, np.asarray([ceiling])], 0.06)
        ax.axhline(ceiling, color=LIMIT, lw=1.0, label="saturation")
        # At the left, where N* is furthest below its ceiling.
        ax.annotate(
            f"limit of N*: {_text.count(ceiling)}",
            (x[0], ceiling), xytext=(6, 3), textcoords="offset points",
            color=LIMIT, fontsize=8, ha="left", va="bottom",
        ).set_path_effects(_HALO)  # fmt: skip
    if hull is not None:
        _shade(ax, hull.train_flops, getattr(hull, name))
    _log_axis(ax.xaxis, *x, _power, most=5)
    _log_axis(ax.yaxis, *y, _count)
    ax.set(xlabel=_FLOPS, ylabel=_AXES[name], title=_TITLES[name])
    return ax


_HALO: list[patheffects.AbstractPathEffect] = [
    patheffects.withStroke(linewidth=2.5, foreground="white")
]


def _mark_plan(best: Optimum, name: str, ax: Axes, level: float) -> np.ndarray:
    """The planned optimum with its interval; returns the values drawn."""
    flops, value = float(best.train_flops), float(getattr(best, name))
    low, high = best.interval(name, level)
    ax.axvline(flops, color=OURS, lw=0.8, alpha=0.5, zorder=1, label="planned budget")
    if math.isfinite(low):
        ax.plot([flops, flops], [low, high], color=OURS, lw=1.2, label="plan's interval")
    ax.plot(flops, value, "o", ms=6, mfc="white", mec=OURS, mew=1.6, zorder=5, label="plan")
    return np.asarray([value, low, high])


def _point(label: str, marker: str, color: str = OURS, ms: float = 6) -> Line2D:
    """An open symbol for a legend."""
    line = Line2D([], [], label=label, marker=marker, markersize=ms, markerfacecolor="white")
    line.set(linestyle="", markeredgecolor=color, markeredgewidth=1.6)
    return line


def _frontier_label(front: Frontier) -> str:
    if front.saturation is None:
        return "optimum, single sample"
    return "optimum, repeated sampling"


def _has_rival(front: Frontier) -> bool:
    """Whether Chinchilla's choice is another problem than the one solved."""
    return front.optimum.chinchilla is not None and front.saturation is not None


def _ceiling(front: Frontier) -> float | None:
    if front.saturation is None:
        return None
    limits = np.unique(np.asarray(front.saturation))
    return float(limits[0]) if len(limits) == 1 and np.isfinite(limits[0]) else None


# IsoFLOP profiles -----------------------------------------------------------------------------


@_styled
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
    bar = figure.colorbar(
        ScalarMappable(norm=norm, cmap="viridis"), ax=list(panels), pad=0.015, aspect=32
    )
    _log_axis(bar.ax.yaxis, *norm_range(norm), _power)
    bar.set_label(_FLOPS)
    bar.ax.spines["outline"].set_visible(False)
    best_word = "largest" if fit.law.kind == "accuracy" else "least"
    keys = [
        Line2D([], [], color=GREY, label="fitted law at one budget"),
        Line2D([], [], color=GREY, ls=(0, (1, 1.4)), label="beyond the measured range"),
        _point(f"{best_word} value, by the law", "D", GREY),
    ]
    if any(len(ax.collections) for ax in panels):
        dot = Line2D([], [], color=GREY, marker="o", ls="", label="measured checkpoint")
        keys.append(dot)
    figure.legend(handles=keys, loc="outside upper center", ncols=2 if len(budgets) == 1 else 4)
    return figure


@_styled
def isoflop_panel(
    fit: FitResult,
    front: Frontier,
    *,
    ax: Axes,
    inference_flops: float | None = None,
    norm: LogNorm | None = None,
    n_curves: int = 5,
) -> Axes:
    """The law against parameters at some training budgets, with the measured checkpoints.

    Args:
      fit: the fitted law.
      front: the optima, whose budgets are drawn and whose optima are marked.
      ax: where to draw.
      inference_flops: budget for sampling, which gives a model of N parameters
        `k = C_i/(2N)` samples; None for a single sample.
      norm: colour scale of training FLOPs.
      n_curves: number of budgets.
    """
    norm = norm or _norm(fit, front)
    flops = np.asarray(front.train_flops)
    # The two ends of the table's range hold few checkpoints; curves stand between them.
    inside = np.flatnonzero((flops >= fit.hull.train_flops[0]) & (flops <= fit.hull.train_flops[1]))
    inside = inside if len(inside) >= n_curves else np.arange(len(flops))
    chosen = inside[np.linspace(0, len(inside) - 1, min(n_curves, len(inside))).round().astype(int)]
    single = inference_flops is None
    optima = front.optimum
    if single and front.optimum.chinchilla is not None:
        optima = front.optimum.chinchilla
    sizes = np.asarray(optima.params)[chosen]
    one_sample = math.inf if single else inference_flops / cost.INFERENCE_FLOPS
    x = _limits([np.asarray(fit.hull.params), sizes[sizes <= one_sample]], 0.06)
    ks = (1.0, fit.hull.samples[1])
    drawn = []
    for i in chosen:
        n = np.geomspace(x[0], min(x[1], one_sample), 300)
        d = flops[i] / (cost.TRAIN_FLOPS * n)
        k = np.ones_like(n) if single else one_sample / n
        y = fit.predict(params=n, tokens=d, samples=k)
        within = np.ones_like(n, bool)
        for column, (low, high) in ((n, fit.hull.params), (d, fit.hull.tokens), (k, ks)):
            within &= (column >= low) & (column <= high)
        color = colormaps["viridis"](norm(flops[i]))
        ax.plot(n, y, color=color, lw=1.3, ls=(0, (1, 1.4)), label=f"{flops[i]:.2g}, all")
        ax.plot(n, np.where(within, y, np.nan), color=color, lw=2, label=f"{flops[i]:.2g}")
        drawn.append(y[within])
        size = float(np.asarray(optima.params)[i])
        if size <= one_sample:
            point = {"params": size, "tokens": flops[i] / (cost.TRAIN_FLOPS * size)}
            least = float(fit.predict(**point, samples=1.0 if single else one_sample / size))
            ax.plot(size, least, "D", ms=6, mfc="white", mec=color, mew=1.6, zorder=6,
                    label="optimum")  # fmt: skip
            drawn.append(np.asarray([least]))
    points = measured(fit, inference_flops)
    if points is not None:
        n, c, y = points
        ax.scatter(n, y, c=c, cmap="viridis", norm=norm, s=26, lw=0.6, edgecolors="white",
                   zorder=4)  # fmt: skip
        drawn.append(y)
    _value_axis(ax, drawn, fit)
    _log_axis(ax.xaxis, *x, _count)
    ax.set_xlabel("N, parameters")
    if single:
        # As high as the title over the second axis of the other panel.
        ax.set_title("Single pass, k = 1", pad=33 if front.saturation is not None else None)
    else:
        ax.set_title("Inference budget spent on samples, k = C/(2N)")
        _samples_axis(ax, one_sample, x)
    return ax


def measured(
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

    top = ax.secondary_xaxis("top", functions=(convert, convert))  # pyright: ignore
    _ticks(top.xaxis, one_sample / x[1], one_sample / x[0], _count)
    top.set_xlabel("k, samples per question that the budget leaves", fontsize=8.5)
    top.spines["top"].set_visible(True)


def _value_axis(ax: Axes, drawn: Sequence[np.ndarray], fit: FitResult) -> None:
    values = np.concatenate([np.asarray(y).ravel() for y in drawn])
    if fit.law.kind == "accuracy":
        ax.set_ylim(0.0, min(1.02, float(values.max()) * 1.08))
        ax.set_ylabel("mean pass@k over questions")
        return
    _log_axis(ax.yaxis, *_limits([values], 0.05), lambda v, _=None: _text.number(v, 2))
    asked = fit.samples is not None or fit.law.uses_samples
    ax.set_ylabel("mean of −log pass@k, nats" if asked else "loss, nats")  # noqa: RUF001


def _norm(fit: FitResult, front: Frontier) -> LogNorm:
    low, high = fit.hull.train_flops
    if fit.observations is None:
        low, high = np.min(front.train_flops), np.max(front.train_flops)
    return LogNorm(float(low), float(high) if high > low else float(low) * 1.01)


def norm_range(norm: LogNorm) -> tuple[float, float]:
    """The ends of a colour scale."""
    return float(norm.vmin), float(norm.vmax)  # pyright: ignore[reportArgumentType]


# Axes -----------------------------------------------------------------------------------------


def _shade(ax: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """The box of the measured table."""
    size = (x[1] - x[0], y[1] - y[0])
    box = Rectangle((x[0], y[0]), *size, facecolor=SHADE, edgecolor="#cccccc", lw=0.8, zorder=0)
    box.set_label("measured range")
    ax.add_patch(box)


def _limits(columns: Sequence[ArrayLike], margin: float) -> tuple[float, float]:
    """Ends of a log axis that holds every finite value, with a share of margin in logs."""
    values = np.concatenate([np.asarray(column, float).ravel() for column in columns])
    logs = np.log(values[np.isfinite(values) & (values > 0)])
    low, high = float(logs.min()), float(logs.max())
    pad = max(margin * (high - low), 0.05)
    return math.exp(low - pad), math.exp(high + pad)


def _log_axis(axis: Axis, low: float, high: float, show: Callable, most: int = 7) -> None:
    """A log axis with few, readable, labelled ticks, however short or long it is."""
    if isinstance(axis, XAxis):
        axis.axes.set(xscale="log", xlim=(low, high))
    else:
        axis.axes.set(yscale="log", ylim=(low, high))
    _ticks(axis, low, high, show, most)


def _ticks(axis: Axis, low: float, high: float, show: Callable, most: int = 7) -> None:
    axis.set_major_locator(FixedLocator(log_ticks(low, high, most)))
    axis.set_major_formatter(FuncFormatter(show))
    axis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers between two ends of a log axis: three to `most` of them where possible.

    >>> log_ticks(3e3, 2e5), log_ticks(1.31, 1.9)
    ([5000.0, 10000.0, 20000.0, 50000.0, 100000.0, 200000.0], [1.4, 1.5, 1.6, 1.7, 1.8, 1.9])
    """
    if high < 2.5 * low:  # as good as linear
        power = 10.0 ** math.floor(math.log10((high - low) / 3))
        step = next(m * power for m in (5, 2, 1) if (high - low) / (m * power) >= 3)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [float(f"{i * step:.12g}") for i in range(first, last + 1)]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = [
        [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 6, 8], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1],
    ]  # fmt: skip
    found: list[float] = []
    for steps in choices:
        found = [float(f"{m}e{p}") for p in powers for m in steps]
        found = [v for v in found if low <= v * (1 + 1e-9) and v <= high * (1 + 1e-9)]
        if len(found) <= most:
            return found
    every = math.ceil(len(found) / most)
    return found[::every]


def _count(value: float, _=None) -> str:
    return _text.count(value) if value < 1e15 else _power(value)


def _power(value: float, _=None) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    lead = value / 10.0**exponent
    head = "" if abs(lead - 1) < 1e-6 else rf"{lead:g}{{\times}}"
    return rf"${head}10^{{{exponent}}}$"
