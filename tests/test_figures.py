"""Figures of plain arrays: they show the numbers they are given, with units, in both looks."""

import re

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure

from t2jax.errors import InputError
from t2jax.reporting import figures

N = np.geomspace(1e6, 1e9, 40)
SEEN = 2.0 + 40 * N**-0.3
TOLD = SEEN * np.linspace(0.97, 1.05, 40)
KS = np.array([1.0, 4, 16, 64])
PASS = {"10M": 1 - 0.9**KS, "100M": 1 - 0.7**KS}

PANELS = {
    "predicted": lambda ax: figures.predicted_panel(SEEN, TOLD, ax=ax, held_out=N > 5e8),
    "residual": lambda ax: figures.residual_panel(N, SEEN, TOLD, ax=ax, label="N, parameters"),
    "pass": lambda ax: figures.pass_at_k_panel(
        KS, PASS, ax=ax, laws={k: (v, 0.9 * v, np.minimum(1.1 * v, 1)) for k, v in PASS.items()}
    ),
    "tornado": lambda ax: figures.tornado_panel(
        ["price", "questions", "data"], np.array([2e9, 2.5e9, 1e9]),
        np.array([5e9, 3.3e9, 9e9]), 3.1e9, ax=ax,
        label="N*, parameters",
    ),
    "regret": lambda ax: figures.regret_panel(N, 0.01 * np.log(N / 1e8) ** 2, 0.02, ax=ax),
    "grid": lambda ax: figures.grid_panel(N, 20 * N[::-1], ax=ax),
}  # fmt: skip


def panel(name: str, look: str = "light") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 4))
    with figures.theme(look):
        ax = figure.subplots()
        assert PANELS[name](ax) is ax
    return figure, ax


def line(ax: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    found = [one for one in ax.get_lines() if one.get_label() == label]
    assert found
    x, y = found[0].get_data()
    return np.asarray(x, float), np.asarray(y, float)


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("name", PANELS)
def test_every_axis_is_named_and_every_point_is_inside(name, look):
    _, ax = panel(name, look)
    assert ax.get_title(loc="left")
    assert ax.get_xlabel()
    assert ax.get_ylabel() or name == "tornado"
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    for one in ax.get_lines():
        if one.get_linestyle() != "None":
            continue  # reference lines may leave; points may not
        x, y = (np.asarray(column, float) for column in one.get_data())
        assert ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).all()


def test_the_points_are_the_numbers_given():
    _, ax = panel("predicted")
    x, y = line(ax, "held out")
    np.testing.assert_array_equal(x, SEEN[N > 5e8])
    np.testing.assert_array_equal(y, TOLD[N > 5e8])
    _, ax = panel("residual")
    np.testing.assert_allclose(line(ax, "residual")[1], np.linspace(-3, 5, 40))
    _, ax = panel("pass")
    np.testing.assert_array_equal(line(ax, "100M")[1], PASS["100M"])
    _, ax = panel("grid")
    np.testing.assert_array_equal(line(ax, "checkpoint")[1], 20 * N[::-1])
    x, y = line(ax, "_equal FLOPs")
    np.testing.assert_allclose(6 * x * y, 6 * x[0] * y[0])


def test_the_widest_bar_is_on_top_and_the_flat_region_is_as_wide_as_epsilon_says():
    _, ax = panel("tornado")
    upwards = [text.get_text() for text in ax.get_yticklabels()]
    assert upwards == ["questions", "price", "data"]
    _, ax = panel("regret")
    (span,) = [p for p in ax.patches if "at most" in str(p.get_label())]
    ends = span.get_extents().transformed(ax.transData.inverted())
    reach = np.exp(np.sqrt(2.0))  # 0.01 log(N/1e8)^2 <= 0.02
    step = N[1] / N[0]
    assert 1e8 / reach <= ends.x0 <= 1e8 / reach * step
    assert 1e8 * reach / step <= ends.x1 <= 1e8 * reach


def test_colours_are_those_of_the_page():
    for look, colors in figures.THEMES.items():
        _, ax = panel("regret", look)
        (curve,) = [one for one in ax.get_lines() if one.get_label() == "regret"]
        assert to_rgb(curve.get_color()) == to_rgb(colors.ours)


def colors_of(svg: str) -> list[str]:
    """The colours of an SVG in order, as a dark screen shows them."""
    turned = dict(re.findall(r"--(\w{6}):(#\w{6});", svg))
    shown = re.sub(r"var\(--(\w{6}),#\w{6}\)", lambda found: turned[found[1]], svg)
    return re.findall(r"(?:fill|stroke): ?(#\w{6})", shown)


@pytest.mark.parametrize("name", PANELS)
def test_an_svg_has_on_a_dark_screen_the_colours_of_the_dark_look(name):
    figure, _ = panel(name)
    with figures.theme("dark"):
        dark = figures.svg(panel(name, "dark")[0], name)
    shown = colors_of(figures.svg(figure, name))
    assert shown == colors_of(dark)
    assert len({*shown}) > 3


def test_an_svg_turns_all_that_it_shows():
    figure = figures.alone(PANELS["predicted"])
    figures.color_bar(figure, figure.axes, LogNorm(1.0, 100.0), "training FLOPs")
    text = figures.svg(figure, "one")
    assert "<image" not in text
    assert len(colors_of(text)) > 60  # the strips of the bar among them
    paints = re.findall(r"(?:fill|stroke): ?([^;\"]+)", text.split("</style>", 1)[1])
    assert {paint for paint in paints if paint[0] == "#"} == set()


def test_columns_that_do_not_fit_are_refused():
    ax = Figure().subplots()
    with pytest.raises(InputError, match="columns of 40 and 3 rows"):
        figures.predicted_panel(SEEN, TOLD[:3], ax=ax)
    with pytest.raises(InputError, match="raise epsilon"):
        figures.regret_panel(N, 1 + 0 * N, 0.5, ax=ax)


def test_every_panel_and_figure_is_drawn_in_the_house_style():
    drawn = [name for name in dir(figures) if name.endswith(("_panel", "_figure"))]
    assert len(drawn) > 20
    plain = [name for name in drawn if not hasattr(getattr(figures, name), "__wrapped__")]
    assert plain == []
