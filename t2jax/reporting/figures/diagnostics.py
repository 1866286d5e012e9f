"""Whether a law fits: predicted beside observed, residuals, pass@k, and what a budget buys."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from t2jax import _text
from t2jax._typing import ArrayLike
from t2jax.errors import InputError
from t2jax.reporting.figures._style import (
    count,
    halo,
    limits,
    log_axis,
    on,
    palette,
    plain,
    power,
    styled,
)  # fmt: skip

__all__ = ["equal_flops", "grid_panel", "pass_at_k_panel", "predicted_panel", "regret_panel",
           "residual_panel", "tornado_panel"]  # fmt: skip

_TOLD = 8  # rows held out up to which each one's error is written beside it
_APART = 0.12  # of the axis between two that are written


@styled
def predicted_panel(
    observed: ArrayLike,
    predicted: ArrayLike,
    *,
    ax: Axes | None = None,
    held_out: ArrayLike | None = None,
    label: str = "loss, nats",
) -> Axes:
    """Predicted against observed values, those held out marked apart with their relative error.

    The legend tells the mean relative error of the rows fitted and of those held out; a few rows
    held out are told one by one.

    Args:
      observed: measured values [rows].
      predicted: the law's values at the same rows [rows].
      ax: where to draw; a figure of its own where None.
      held_out: whether a row was left out of the fit [rows]; None where none was.
      label: what the values are, with the unit.

    Raises:
      InputError: the columns differ in length or hold no pair of positive numbers.
    """
    ax = on(ax)
    seen, told = _columns(observed, predicted)
    out = np.zeros(len(seen), bool) if held_out is None else np.asarray(held_out, bool)
    low, high = limits([seen, told], 0.05)
    colors = palette()
    ax.plot([low, high], [low, high], color=colors.rule, ls=":", label="equal")
    if not out.all():
        ax.plot(seen[~out], told[~out], "o", ms=4, mew=0, alpha=0.6, color=colors.ours,
                label="fitted")  # fmt: skip
    if out.any():
        ax.plot(seen[out], told[out], "D", ms=5, mew=1.4, mfc=colors.paper,
                mec=colors.chinchilla, label="held out")  # fmt: skip
        _tell_errors(seen[out], told[out], (low, high), ax)
    log_axis(ax.xaxis, low, high, _plain, most=5)
    log_axis(ax.yaxis, low, high, _plain, most=5)
    ax.set(xlabel=f"observed {label}", ylabel=f"predicted {label}", title=_message(told, seen))
    handles, names = ax.get_legend_handles_labels()
    errors = {"fitted": (told / seen - 1.0)[~out], "held out": (told / seen - 1.0)[out]}
    ax.legend(handles, [_with_error(name, errors.get(name)) for name in names], loc="upper left")
    return ax


def _message(told: np.ndarray, seen: np.ndarray) -> str:
    error = told / seen - 1.0
    return f"The law is off by {_text.number(100 * float(np.mean(np.abs(error))), 2)}% on average"


def _with_error(name: str, error: np.ndarray | None) -> str:
    if error is None:
        return name
    return f"{name}, off by {100.0 * float(np.mean(np.abs(error))):.1f}% on average"


def _tell_errors(seen: np.ndarray, told: np.ndarray, ends: tuple[float, float], ax: Axes) -> None:
    """The relative error of each of a few rows below its mark; none lies on another."""
    if len(seen) > _TOLD:
        return
    taken: list[float] = []
    for i in np.argsort(seen):
        place = float(np.log(seen[i] / ends[0]) / np.log(ends[1] / ends[0]))
        if taken and place - taken[-1] < _APART:
            continue
        taken.append(place)
        # Towards the middle near the right edge.
        right = place < 0.85
        text = f"{100.0 * (told[i] / seen[i] - 1.0):+.1f}%"
        ax.annotate(
            text, (seen[i], told[i]), xytext=(7 if right else -7, -3), va="top", fontsize=7.5,
            ha="left" if right else "right", textcoords="offset points",
            color=palette().chinchilla,
        ).set_path_effects(halo())  # fmt: skip


@styled
def residual_panel(
    along: ArrayLike,
    observed: ArrayLike,
    predicted: ArrayLike,
    *,
    ax: Axes | None = None,
    label: str,
) -> Axes:
    """Relative error of a law along N, D, k or training FLOPs: a pattern means misfit.

    Args:
      along: the quantity [rows].
      observed: measured values [rows].
      predicted: the law's values [rows].
      ax: where to draw; a figure of its own where None.
      label: what `along` is, with the unit, such as "N, parameters".

    Raises:
      InputError: the columns differ in length.
    """
    ax = on(ax)
    seen, told = _columns(observed, predicted)
    x, _ = _columns(along, observed)
    error = 100.0 * (told / seen - 1.0)
    colors = palette()
    ax.axhline(0.0, color=colors.rule, lw=1.0, label="no error")
    ax.plot(x, error, "o", ms=4, mew=0, alpha=0.6, color=colors.ours, label="residual")
    places = np.unique(x)
    if len(places) > 12:  # the median in twelfths of the rows
        parts = np.array_split(np.argsort(x, kind="stable"), 12)
        middle = [np.exp(np.mean(np.log(x[part]))) for part in parts]
        medians = [np.median(error[part]) for part in parts]
    else:
        middle = list(places)
        medians = [np.median(error[x == place]) for place in places]
    ax.plot(np.asarray(middle), np.asarray(medians), color=colors.chinchilla, label="median")
    log_axis(ax.xaxis, *limits([x], 0.05), power if "FLOPs" in label else count, most=5)
    low, high = min(0.0, error.min()), max(0.0, error.max())
    room = max(high - low, 0.1)
    ax.set(xlabel=label, ylabel="predicted above observed, %", title=_drift(x, error),
           ylim=(low - 0.05 * room, high + 0.18 * room))  # fmt: skip
    ax.legend(loc="upper left", ncols=3, columnspacing=1.2)
    return ax


def _drift(x: np.ndarray, error: np.ndarray) -> str:
    """What the error does at the far end, against its scatter."""
    most = np.argsort(x, kind="stable")[-max(len(x) // 10, 1) :]
    mean = float(np.mean(error[most]))
    if abs(mean) < max(0.5 * float(np.mean(np.abs(error))), 0.05):
        return "The error does not drift towards the far end"
    return f"At the far end the law is {abs(mean):.2g}% too {'high' if mean > 0 else 'low'}"


@styled
def pass_at_k_panel(
    samples: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    ax: Axes | None = None,
    laws: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]] | None = None,
    at: ArrayLike | None = None,
) -> Axes:
    """Measured pass@k of some checkpoints as points, with a law and its interval.

    Args:
      samples: k [ks].
      curves: measured pass@k by checkpoint [ks].
      ax: where to draw; a figure of its own where None.
      laws: the law's value and the ends of its interval by checkpoint, each [points].
      at: k of these, dense enough for smooth curves [points]; `samples` where None.
    """
    ax = on(ax)
    k = np.asarray(samples, float)
    fine = k if at is None else np.asarray(at, float)
    colors = palette()
    cycle = (colors.ours, colors.chinchilla, colors.third, colors.fourth, colors.rule)
    marks = []
    for i, (name, measured) in enumerate(curves.items()):
        color = cycle[i % len(cycle)]
        marks += ax.plot(k, np.asarray(measured), "o", ms=4.5, color=color, label=plain(name))
        if laws is not None and name in laws:
            value, low, high = (np.asarray(column, float) for column in laws[name])
            ax.plot(fine, value, color=color, label=plain(f"{name}, law"))
            band = plain(f"{name}, band")
            ax.fill_between(fine, low, high, color=color, alpha=0.18, lw=0, label=band)
    log_axis(ax.xaxis, *limits([k], 0.03), count)
    ax.set(xlabel="k, samples per question", ylabel="mean pass@k over questions",
           title=_gain(k, curves), ylim=(0.0, 1.02))  # fmt: skip
    ax.legend(handles=marks)
    return ax


def _gain(k: np.ndarray, curves: Mapping[str, ArrayLike]) -> str:
    """What sampling more does for the checkpoint that gains most."""
    if not curves:
        return "Repeated sampling"
    ends = {name: np.asarray(y, float)[[np.argmin(k), np.argmax(k)]] for name, y in curves.items()}
    name = max(ends, key=lambda one: float(np.ptp(ends[one])))
    low, high = ends[name]
    return f"{count(k.max())} samples take {plain(name)} from {low:.2f} to {high:.2f}"


@styled
def tornado_panel(
    names: Sequence[str],
    low: ArrayLike,
    high: ArrayLike,
    base: float,
    *,
    ax: Axes | None = None,
    label: str,
) -> Axes:
    """What an answer becomes when each input goes to its low and its high end, widest on top.

    Args:
      names: of the inputs.
      low: the answer with each input at its low end [inputs].
      high: the answer with each input at its high end [inputs].
      base: the answer as planned.
      ax: where to draw; a figure of its own where None.
      label: what the answer is, with the unit.

    Raises:
      InputError: the columns differ in length.
    """
    ax = on(ax)
    down, up = _columns(low, high)
    if len(down) != len(names):
        raise InputError("the columns of a tornado differ in length", remedy="one entry an input")
    order = np.argsort(np.abs(np.log(up / down)), kind="stable")
    colors = palette()
    for place, i in enumerate(order):
        ax.plot([base, float(down[i])], [place, place], color=colors.chinchilla, lw=9,
                solid_capstyle="butt", label="low end")  # fmt: skip
        ax.plot([base, float(up[i])], [place, place], color=colors.ours, lw=9,
                solid_capstyle="butt", label="high end")  # fmt: skip
    ax.axvline(base, color=colors.rule, lw=1.2, label="as planned")
    log_axis(ax.xaxis, *limits([down, up, np.asarray([base])], 0.08), count, most=5)
    ax.set_yticks(range(len(order)), [str(names[i]) for i in order])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.grid(visible=False, axis="y")
    ax.set(xlabel=label, title=f"The answer hangs most on {names[order[-1]]}")
    handles, words = ax.get_legend_handles_labels()
    once = dict(zip(words, handles, strict=True))
    ax.legend(list(once.values()), list(once))
    return ax


@styled
def regret_panel(
    params: ArrayLike,
    regret: ArrayLike,
    epsilon: float,
    *,
    ax: Axes | None = None,
    unit: str = "nats",
) -> Axes:
    """What another size than the best would lose, with the sizes that lose at most epsilon.

    Args:
      params: sizes N, rising [sizes].
      regret: value lost against the best size [sizes].
      epsilon: the loss that does not matter.
      ax: where to draw; a figure of its own where None.
      unit: of the regret.

    Raises:
      InputError: the columns differ in length, or no size loses so little.
    """
    ax = on(ax)
    n, lost = _columns(params, regret)
    near = lost <= epsilon
    if not near.any():
        raise InputError(f"no size loses at most {epsilon:g}", remedy="raise epsilon")
    colors = palette()
    ax.axvspan(n[near].min(), n[near].max(), color=colors.ours, alpha=0.15, lw=0,
               label=f"loses at most {epsilon:g} {unit}")  # fmt: skip
    ax.plot(n, lost, color=colors.ours, label="regret")
    ax.axhline(epsilon, color=colors.rule, ls=":", label="epsilon")
    best = int(np.argmin(lost))
    ax.plot(n[best], lost[best], "D", ms=6, mew=1.6, mfc=colors.paper, mec=colors.ours,
            label="best size")  # fmt: skip
    log_axis(ax.xaxis, *limits([n], 0.02), count)
    ends = f"{count(n[near].min())} to {count(n[near].max())}"
    ax.set(xlabel="N, parameters", ylabel=f"regret, {unit}",
           title=f"Any size from {ends} loses at most {epsilon:g}",
           ylim=(-0.02 * lost.max(), 1.05 * lost.max()))  # fmt: skip
    ax.legend()
    return ax


@styled
def grid_panel(params: ArrayLike, tokens: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """The checkpoints of a table in N and D, with lines of equal training FLOPs.

    Args:
      params: sizes [rows].
      tokens: training tokens [rows].
      ax: where to draw; a figure of its own where None.
    """
    ax = on(ax)
    n, d = _columns(params, tokens)
    colors = palette()
    x, y = limits([n], 0.06), limits([d], 0.06)
    y = (y[0] / (y[1] / y[0]) ** 0.04, y[1])  # room for the names of the lines
    equal_flops(x, y, ax)
    ax.plot(n, d, "o", ms=4.5, mew=0, alpha=0.7, color=colors.ours, label="checkpoint")
    log_axis(ax.xaxis, *x, count, most=6)
    log_axis(ax.yaxis, *y, count, most=6)
    ax.set(xlabel="N, parameters", ylabel="D, training tokens",
           title=f"{len(n)} checkpoints over {np.log10((n * d).max() / (n * d).min()):.1f} decades "
           "of training FLOPs (6ND)")  # fmt: skip
    return ax


def equal_flops(x: tuple[float, float], y: tuple[float, float], ax: Axes) -> None:
    """Lines of equal 6ND a decade apart across two log axes, named at their lower ends.

    Args:
      x: ends of the axis of parameters.
      y: ends of the axis of tokens.
      ax: where to draw.
    """
    colors = palette()
    first, last = (np.log10(6.0 * a * b) for a, b in zip(x, y, strict=True))
    for budget in 10.0 ** np.arange(np.ceil(first), np.floor(last) + 1):
        ax.plot(x, budget / (6.0 * np.asarray(x)), color=colors.edge, lw=1, zorder=1,
                label="_equal FLOPs")  # fmt: skip
        place = budget / (6.0 * y[0] * 1.15)
        # Room for the name itself before the axis ends.
        if x[0] < place < x[1] / (x[1] / x[0]) ** 0.08:
            text = ax.annotate(power(budget), (place, y[0] * 1.15), color=colors.grey, fontsize=7.5)
            text.set_path_effects(halo())


def _plain(value: float, _=None) -> str:
    return f"{value:.3g}"


def _columns(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(first, float).ravel(), np.asarray(second, float).ravel()
    if len(a) != len(b) or not len(a):
        raise InputError(
            f"columns of {len(a)} and {len(b)} rows", remedy="give as many values of each"
        )
    return a, b
