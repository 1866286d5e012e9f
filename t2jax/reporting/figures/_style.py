"""The look of every figure: style sheets, colours of a light and a dark page, log axes."""

import contextlib
import contextvars
import dataclasses
import functools
import importlib.resources
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib.style
import numpy as np
from matplotlib import colormaps, patheffects, rc_context, rc_params_from_file
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from t2jax import _text
from t2jax._typing import ArrayLike
from t2jax.errors import InputError

__all__ = [
    "THEMES",
    "Palette",
    "alone",
    "color_bar",
    "lay_out",
    "log_ticks",
    "palette",
    "save",
    "styled",
    "svg",
    "theme",
]

P = ParamSpec("P")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours by what they stand for, after Okabe and Ito: every kind of colour vision.

    Attributes:
      ours: the optimum, and whatever we recommend.
      chinchilla: what it is compared with.
      third: a third kind of thing.
      fourth: a fourth.
      rule: rules of thumb and reference lines.
      limit: a ceiling or floor.
      shade: the measured range.
      edge: its edge.
      grey: text and keys without a colour of their own.
      paper: behind everything.
      ramp: ends of the part of viridis that can be told from the paper.
    """

    ours: str
    chinchilla: str
    third: str
    fourth: str
    rule: str
    limit: str
    shade: str
    edge: str
    grey: str
    paper: str
    ramp: tuple[float, float]


THEMES = {
    "light": Palette(ours="#0072B2", chinchilla="#D55E00", third="#009E73", fourth="#A0527E",
                     rule="#666666", limit="#A0527E", shade="#f1f1ec", edge="#cccccc",
                     grey="#555555", paper="#ffffff", ramp=(0.0, 0.92)),
    "dark": Palette(ours="#56B4E9", chinchilla="#E69F00", third="#4DC9A0", fourth="#E0A0C4",
                    rule="#a9adb4", limit="#E0A0C4", shade="#24272c", edge="#3d4249",
                    grey="#a9adb4", paper="#15171a", ramp=(0.28, 1.0)),
}  # fmt: skip
"""The looks that `theme` takes."""

_NO_LAYOUT: dict[Any, Any] = {"figure.constrained_layout.use": False}
"""With it `savefig` gives no layout to a figure that has its own for good."""

_SHEETS = ("t2jax.mplstyle", "t2jax-dark.mplstyle")  # the second is laid over the first

_SHADES = 64  # of a colour map: each is a strip of its colour bar

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_theme = contextvars.ContextVar("theme", default="light")


@contextlib.contextmanager
def theme(name: str) -> Iterator[None]:
    """Draw and save in one look, "light" or "dark".

    Raises:
      InputError: no such look.
    """
    if name not in THEMES:
        raise InputError(f"no theme '{name}'", remedy=f"use one of {', '.join(THEMES)}")
    token = _theme.set(name)
    try:
        yield
    finally:
        _theme.reset(token)


def palette() -> Palette:
    """The colours of the look in force."""
    return THEMES[_theme.get()]


def ramp() -> ListedColormap:
    """The colour map of training FLOPs on the paper in force."""
    return _viridis(palette().ramp)


def _viridis(ends: tuple[float, float]) -> ListedColormap:
    return ListedColormap(colormaps["viridis"](np.linspace(*ends, _SHADES)))


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the house style and leave matplotlib's settings as they were."""

    @functools.wraps(draw)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        names = _SHEETS if _theme.get() == "dark" else _SHEETS[:1]
        with matplotlib.style.context([_sheet(name) for name in names]):
            return draw(*args, **kwargs)

    return run


@functools.cache
def _sheet(name: str) -> dict[Any, Any]:
    """A style sheet of ours."""
    place = importlib.resources.files("t2jax.reporting.figures") / name
    with importlib.resources.as_file(place) as path:
        return dict(rc_params_from_file(path, use_default_template=False))


@styled
def alone(draw: Callable[[Axes], object], size: tuple[float, float] = (5.6, 4.2)) -> Figure:
    """One panel on a page of its own, whose axes have the house style too.

    Args:
      draw: takes the axes, such as `lambda ax: grid_panel(params, tokens, ax=ax)`.
      size: width and height in inches.
    """
    figure = Figure(figsize=size)
    draw(figure.subplots())
    return figure


def on(ax: Axes | None) -> Axes:
    """The axes, or those of a figure of their own."""
    return Figure(figsize=(5.6, 4.2)).subplots() if ax is None else ax


def lay_out(figure: Figure) -> None:
    """Give a figure its layout for good; every saving would make it anew, and draw all for that.

    Args:
      figure: all that it will hold is in it.
    """
    engine = figure.get_layout_engine()
    if engine is not None and any(ax.get_subplotspec() for ax in figure.axes):
        engine.execute(figure)
    with rc_context(_NO_LAYOUT):
        figure.set_layout_engine(None)


@styled
def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure, as what its name ends with: `.png`, `.svg` or `.pdf`."""
    with rc_context(_NO_LAYOUT):
        figure.savefig(path, metadata=_undated(str(path)))


def _undated(path: str) -> dict[str, Any]:
    """Without dates, so that the same figure is the same file."""
    return {"Date": None} if path.endswith(".svg") else {}


@styled
def svg(figure: Figure, name: str) -> str:
    """A figure as an SVG element to stand in a page, dark where the reader's screen is.

    Args:
      figure: what to draw, made in the light look.
      name: begins every identifier of it, so that several can stand in one page.
    """
    out = io.StringIO()
    settings: dict[Any, Any] = {"svg.hashsalt": name, **_NO_LAYOUT}
    with rc_context(settings):
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # A hundredth of a point is less than a screen shows; matplotlib writes millionths.
    text = re.sub(r'(?<= )(?:d|x|y|points)="[^"]*"', _rounded, text)
    text = re.sub(r">\s+<", "><", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{name}-", text)
    return _turning(text.strip())


def _turning(text: str) -> str:
    """An SVG whose colours are variables, given others on a dark screen; paper stays light."""
    dark = _on_dark()
    used = {}

    def variable(found: re.Match[str]) -> str:
        color = found[2]
        if color not in dark:
            return found[0]
        used[color] = dark[color]
        return f"{found[1]}:var(--{color[1:]},{color})"

    text = re.sub(r"\b(fill|stroke): (#[0-9a-f]{6})\b", variable, text)
    turned = "".join(f"--{light[1:]}:{color};" for light, color in sorted(used.items()))
    sheet = f"<style>@media screen and (prefers-color-scheme:dark){{:root{{{turned}}}}}</style>"
    end = text.index(">") + 1
    return text[:end] + sheet + text[end:]


@functools.cache
def _on_dark() -> dict[str, str]:
    """The dark look's colour for each of the light look."""
    light, dark = (_sheet(name) for name in _SHEETS)
    pairs = [(light[name], dark[name]) for name in dark if name != "axes.prop_cycle"]
    ours, theirs = (dataclasses.asdict(THEMES[name]) for name in ("light", "dark"))
    ramps = [_viridis(look.pop("ramp")) for look in (ours, theirs)]
    pairs += [*zip(*(ramp.colors for ramp in ramps), strict=True)]
    pairs += [(ours[name], theirs[name]) for name in ours]
    return {to_hex(one): to_hex(other) for one, other in pairs}


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates with two decimals, and one space between them."""
    short = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", attribute[0])
    return re.sub(r"\s+", " ", short)


def shade(ax: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """The box of the measured table."""
    size = (x[1] - x[0], y[1] - y[0])
    box = Rectangle(
        (x[0], y[0]), *size, facecolor=palette().shade, edgecolor=palette().edge, lw=0.8, zorder=0
    )
    box.set_label("measured range")
    ax.add_patch(box)


def limits(columns: Sequence[ArrayLike], margin: float) -> tuple[float, float]:
    """Ends of a log axis that holds every finite value, with a share of margin in logs."""
    values = np.concatenate([np.asarray(column, float).ravel() for column in columns])
    logs = np.log(values[np.isfinite(values) & (values > 0)])
    low, high = float(logs.min()), float(logs.max())
    pad = max(margin * (high - low), 0.05)
    return math.exp(low - pad), math.exp(high + pad)


def log_axis(axis: Axis, low: float, high: float, show: Callable, most: int = 7) -> None:
    """A log axis with few, readable, labelled ticks, however short or long it is."""
    if isinstance(axis, XAxis):
        axis.axes.set(xscale="log", xlim=(low, high))
    else:
        axis.axes.set(yscale="log", ylim=(low, high))
    ticks(axis, low, high, show, most)


def ticks(axis: Axis, low: float, high: float, show: Callable, most: int = 7) -> None:
    axis.set_major_locator(FixedLocator(log_ticks(low, high, most)))
    axis.set_major_formatter(FuncFormatter(show))
    axis.set_minor_locator(NullLocator())


@styled
def color_bar(figure: Figure, panels: list[Axes], norm: LogNorm, label: str, most: int = 7) -> None:
    """What the colours of some panels stand for, beside them."""
    keyed = ScalarMappable(norm=norm, cmap=ramp())
    bar = figure.colorbar(keyed, ax=panels, pad=0.015, aspect=32)
    # Whoever made the scale gave both ends.
    assert norm.vmin is not None
    assert norm.vmax is not None
    log_axis(bar.ax.yaxis, float(norm.vmin), float(norm.vmax), power, most)
    bar.set_label(label)
    bar.ax.spines["outline"].set_visible(False)
    assert bar.solids is not None
    bar.solids.set_rasterized(False)  # no style sheet turns the colours of a bitmap
    bar.solids.set_edgecolor("face")  # else the paper shines through between the strips


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


def count(value: float, _=None) -> str:
    return _text.count(value) if value < 1e15 else power(value)


def power(value: float, _=None) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    lead = value / 10.0**exponent
    head = "" if abs(lead - 1) < 1e-6 else f"{lead:g}×"  # noqa: RUF001
    # Characters rather than formulas, which take matplotlib a tenth of all drawing to set.
    return f"{head}10{str(exponent).translate(_RAISED)}"


def point(label: str, marker: str, color: str = "", ms: float = 6) -> Line2D:
    """An open symbol for a legend."""
    colors = palette()
    line = Line2D([], [], label=label, marker=marker, markersize=ms, markerfacecolor=colors.paper)
    line.set(linestyle="", markeredgecolor=color or colors.ours, markeredgewidth=1.6)
    return line


def plain(name: str) -> str:
    r"""A name out of a table as text that nobody typesets, and that no legend leaves out.

    >>> print(plain("$x$"), plain("_a"))
    \$x\$  _a
    """
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def halo() -> list[patheffects.AbstractPathEffect]:
    """A rim of paper about text that stands on lines."""
    return [patheffects.withStroke(linewidth=2.5, foreground=palette().paper)]
