"""Where the words of a figure stand on the page as it is saved."""

import itertools

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every word that is seen, with its box in pixels, after the layout has run."""
    figure.draw_without_rendering()
    found: list[Text] = []
    for ax in figure.axes:
        if ax.get_visible():
            found += of_axes(ax)
    for legend in figure.legends:
        found += legend.get_texts()
    # Of an annotation the words alone: its own method counts the arrow in.
    return [(t.get_text(), Text.get_window_extent(t)) for t in found if t.get_text().strip()]


def of_axes(ax: Axes) -> list[Text]:
    """Titles, labels, ticks within the limits, annotations and the legend of one panel."""
    legend = ax.get_legend()
    found = [ax.xaxis.label, ax.yaxis.label, *ax.texts, *([] if legend is None else legend.texts)]
    found += [ax.title, *(t for t in ax.findobj(Text) if t.get_text() == ax.get_title(loc="left"))]
    found += [*ticks(ax.xaxis), *ticks(ax.yaxis)]
    once = {id(text): text for text in found if text.get_visible()}
    return list(once.values())


def ticks(axis: Axis) -> list[Text]:
    """The labels of the ticks that are drawn."""
    low, high = sorted(axis.get_view_interval())
    drawn = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1 for tick in drawn if tick.label1.get_visible()]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of words that lie on one another by more than a pixel."""
    return [
        (a, b)
        for (a, one), (b, other) in itertools.combinations(boxes(figure), 2)
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 1
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    ]


def cut(figure: Figure) -> list[str]:
    """Words that leave the page."""
    page = figure.bbox.padded(1)
    return [
        text
        for text, box in boxes(figure)
        if not (page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1))
    ]
