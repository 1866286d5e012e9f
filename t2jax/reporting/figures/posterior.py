"""Draws of the coefficients: in pairs, and along the chains that made them."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from t2jax import _text
from t2jax._typing import ArrayLike
from t2jax.errors import InputError
from t2jax.reporting.figures._style import log_axis, on, palette, styled
from t2jax.uncertainty import Ensemble

__all__ = ["pair_panel", "pairs_figure", "trace_figure", "trace_panel"]

_WIDE = 5.0  # largest over smallest draw past which an axis is logarithmic
_CELLS = 48
_TAIL = 0.005  # share of the draws beyond the fit below which it is called outside
_SHARES = (0.9, 0.5)  # of the draws that the contours enclose


@styled
def pairs_figure(draws: Ensemble, names: Sequence[str] | None = None) -> Figure:
    """Every pair of coefficients below the diagonal, each coefficient's histogram on it.

    Args:
      draws: draws of a law.
      names: the coefficients; None shows all that vary.

    Raises:
      InputError: fewer than two coefficients that vary, or too few draws.
    """
    columns = _columns(draws, names)
    if len(columns) < 2:
        raise InputError("a pair needs two coefficients that vary", remedy="name two or more")
    shown, size = list(columns), len(columns)
    figure = Figure(figsize=(0.9 + 1.75 * size, 0.9 + 1.6 * size))
    grid = figure.subplots(size, size, sharex="col", squeeze=False)
    point, symbols = draws.point.coefficients(), _symbols(draws)
    for i, below in enumerate(shown):
        for j, across in enumerate(shown):
            ax = grid[i, j]
            if j > i:
                ax.set_visible(False)
            elif j == i:
                _histogram(columns[across], symbols[across], float(point[across]), ax)
            else:
                pair_panel(columns[across], columns[below], ax=ax,
                           names=(symbols[across], symbols[below]),
                           point=(float(point[across]), float(point[below])))  # fmt: skip
            if i < size - 1:
                ax.tick_params(labelbottom=False)
                ax.set_xlabel("")
            if 0 < j < i:
                ax.set_ylabel("")
                ax.yaxis.set_major_formatter(NullFormatter())
    figure.align_labels()
    colors = palette()
    keys = [
        Line2D([], [], marker="o", ls="", ms=3, color=colors.ours, label="draw"),
        Line2D([], [], color=colors.grey, lw=1.1, label="round 50% and 90% of them"),
        Line2D([], [], marker="D", ls="", ms=4.5, mew=1.3, mfc=colors.paper, mec=colors.chinchilla,
               label="fit"),
    ]  # fmt: skip
    legend = figure.legend(handles=keys, loc="upper right", title=_outside(columns, point, symbols),
                           alignment="left", title_fontsize=8)  # fmt: skip
    legend.get_title().set_color(colors.grey)
    return figure


def _outside(
    columns: Mapping[str, np.ndarray], point: Mapping[str, Any], symbols: Mapping[str, str]
) -> str | None:
    """Why the fit lies where hardly any draw does, for the coefficients of which that is so."""
    far = []
    for name, column in columns.items():
        below = float(np.mean(column <= float(point[name])))
        if min(below, 1.0 - below) < _TAIL:
            far.append(symbols[name])
    if not far:
        return None
    text = (
        f"The fit lies outside 99% of the draws in {', '.join(far)}: it is the single likeliest "
        "point, at a bound or along a ridge, whereas the draws weigh priors and everything that "
        "fits nearly as well. Plan with the draws."
    )
    return textwrap.fill(text, 44)


@styled
def pair_panel(
    first: ArrayLike,
    second: ArrayLike,
    *,
    ax: Axes | None = None,
    names: tuple[str, str],
    point: tuple[float, float] | None = None,
) -> Axes:
    """Draws of two coefficients, with lines about the densest half and nine tenths of them.

    Args:
      first: draws, across [draws].
      second: draws, upwards [draws].
      ax: where to draw; a figure of its own where None.
      names: of the two, as they are written on the axes.
      point: the fit's own estimate of both.

    Raises:
      InputError: the columns differ in length or hold fewer than ten draws.
    """
    ax = on(ax)
    x, y = np.asarray(first, float).ravel(), np.asarray(second, float).ravel()
    if len(x) != len(y) or len(x) < 10:
        raise InputError(f"columns of {len(x)} and {len(y)} draws",
                         remedy="give as many of each, ten or more")  # fmt: skip
    colors = palette()
    ax.plot(x, y, "o", ms=1.8, mew=0, alpha=0.25, color=colors.ours, label="draw")
    fits = (None, None) if point is None else point
    _coefficient_axis(ax.xaxis, x, fits[0])
    _coefficient_axis(ax.yaxis, y, fits[1])
    ends = ax.get_xlim(), ax.get_ylim()
    logs = [ax.get_xscale() == "log", ax.get_yscale() == "log"]
    u, v = (np.log(c) if log else c for c, log in zip((x, y), logs, strict=True))
    cells, density, levels = _density(u, v)
    across, up = (np.exp(m) if log else m for m, log in zip(cells, logs, strict=True))
    lines = ax.contour(across, up, density, levels=levels, colors=[colors.grey], linewidths=1.1)
    lines.set_label("of the draws: 90%, 50%")
    if point is not None:
        ax.plot(*point, "D", ms=4.5, mew=1.3, mfc=colors.paper, mec=colors.chinchilla,
                zorder=5, label="fit")  # fmt: skip
    ax.set(xlabel=names[0], ylabel=names[1], xlim=ends[0], ylim=ends[1])
    return ax


@styled
def trace_figure(draws: Ensemble, names: Sequence[str] | None = None) -> Figure:
    """Each coefficient along its chains, with R-hat in the title where the draws carry it.

    Args:
      draws: of a posterior.
      names: the coefficients; None shows all that vary.

    Raises:
      InputError: no coefficient varies, or too few draws.
    """
    columns = _columns(draws, names)
    if not columns:
        raise InputError("no coefficient varies", remedy="name one that does")
    rows = (len(columns) + 1) // 2
    figure = Figure(figsize=(8.6, 0.5 + 1.9 * rows))
    panels = figure.subplots(rows, min(2, len(columns)), squeeze=False).ravel()
    judged, symbols = draws.diagnostics.get("coefficients", {}), _symbols(draws)
    for ax, (name, column) in zip(panels, columns.items(), strict=False):
        r_hat = judged[name]["r_hat"] if name in judged else None
        trace_panel(column.reshape(draws.chains, -1), ax=ax, name=name, r_hat=r_hat)
        ax.set_ylabel(symbols[name])
    for ax in panels[len(columns) :]:
        ax.set_visible(False)
    return figure


@styled
def trace_panel(
    chains: ArrayLike, *, ax: Axes | None = None, name: str, r_hat: float | None = None
) -> Axes:
    """Draws in the order in which they were made, a line a chain.

    Args:
      chains: draws [chains, draws].
      ax: where to draw; a figure of its own where None.
      name: of the coefficient.
      r_hat: how far the chains disagree, 1 at best; written in the title.

    Raises:
      InputError: not two axes.
    """
    ax = on(ax)
    values = np.asarray(chains, float)
    if values.ndim != 2:
        raise InputError(f"chains have {values.ndim} axes", remedy="give [chains, draws]")
    colors = palette()
    cycle = (colors.ours, colors.chinchilla, colors.third, colors.fourth, colors.rule)
    for i, chain in enumerate(values):
        ax.plot(np.arange(1, len(chain) + 1), chain, color=cycle[i % len(cycle)], lw=0.7,
                alpha=0.8, label=f"chain {i + 1}")  # fmt: skip
    _coefficient_axis(ax.yaxis, values.ravel())
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    told = "" if r_hat is None else f", R-hat {r_hat:.3f}"
    ax.set(xlabel="draw", ylabel=name, xlim=(1, max(values.shape[1], 2)),
           title=f"{name}: {len(values)} chain{'s' if len(values) != 1 else ''}{told}")  # fmt: skip
    return ax


def _columns(draws: Ensemble, names: Sequence[str] | None) -> dict[str, np.ndarray]:
    found = {name: np.asarray(v, float) for name, v in draws.law.coefficients().items()}
    if draws.n_draws < 10:
        raise InputError(f"{draws.n_draws} draws are too few to draw", remedy="make ten or more")
    missing = [name for name in names or () if name not in found]
    if missing:
        raise InputError(f"no coefficient {', '.join(missing)}",
                         remedy=f"use some of {', '.join(found)}")  # fmt: skip
    return {n: found[n] for n in names or found if np.ptp(found[n]) > 1e-9 * np.abs(found[n]).max()}


def _coefficient_axis(axis: Axis, values: np.ndarray, point: float | None = None) -> None:
    """Holds the draws and the fit; logarithmic where the draws spread over a factor; few ticks."""
    low, high = (float(v) for v in (values.min(), values.max()))
    log = low > 0 and high > _WIDE * low
    # A fit at a bound of zero would flatten a log axis: it is left outside.
    if point is not None and (not log or point > low / 1e3):
        low, high = min(low, point), max(high, point)
    if log:
        pad = (high / low) ** 0.06
        log_axis(axis, low / pad, high * pad, lambda v, _=None: _text.number(v, 2), most=3)
        return
    pad = 0.06 * (high - low)
    axis.set_view_interval(low - pad, high + pad, ignore=True)
    axis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))


def _histogram(values: np.ndarray, name: str, point: float, ax: Axes) -> None:
    colors = palette()
    _coefficient_axis(ax.xaxis, values, point)
    ends = ax.get_xlim()
    edges = np.linspace(values.min(), values.max(), 25)
    if ax.get_xscale() == "log":
        edges = np.geomspace(values.min(), values.max(), 25)
    ax.hist(values, edges, color=colors.ours, alpha=0.6, label="draws")
    ax.axvline(point, color=colors.chinchilla, lw=1.3, label="fit")
    ax.yaxis.set_major_locator(NullLocator())  # a count of draws says nothing of the coefficient
    ax.set(xlabel=name, xlim=ends)


def _density(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """A smoothed histogram along the principal axes of the draws.

    Returns:
      Middles of its cells [2, cells, cells], the density there, and its levels round `_SHARES`.
    """
    columns = np.stack([x, y])
    middle = columns.mean(axis=1, keepdims=True)
    spread, turn = np.linalg.eigh(np.cov(columns))
    turn = turn * np.sqrt(np.maximum(spread, 1e-12 * spread.max()))
    across, up = np.linalg.solve(turn, columns - middle)
    ends = [(c.min() - 0.6, c.max() + 0.6) for c in (across, up)]
    density, *edges = np.histogram2d(across, up, bins=_CELLS, range=ends)
    for axis in (0, 1):
        # Silverman's rule in cells; along the principal axes the deviation is one.
        width = len(x) ** (-1 / 6) / (edges[axis][1] - edges[axis][0])
        reach = np.arange(-_CELLS // 3, _CELLS // 3 + 1)
        kernel = np.exp(-0.5 * (reach / max(float(width), 0.5)) ** 2)
        lines = density.T if axis == 0 else density
        lines = [np.convolve(line, kernel / kernel.sum(), mode="same") for line in lines]
        density = np.asarray(lines).T if axis == 0 else np.asarray(lines)
    ranked = np.sort(density.ravel())[::-1]
    held = np.cumsum(ranked) / ranked.sum()
    levels = sorted({float(ranked[np.searchsorted(held, share)]) for share in _SHARES})
    cells = np.stack(np.meshgrid(*(0.5 * (e[1:] + e[:-1]) for e in edges), indexing="ij"))
    return np.tensordot(turn, cells, axes=1) + middle[:, :, None], density, levels


def _symbols(draws: Ensemble) -> dict[str, str]:
    return {card.name: card.symbol for card in draws.point.cards()}
