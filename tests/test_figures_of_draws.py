"""Figures of draws, purchases, variants and public models: they show what they are given."""

import dataclasses

import jax
import numpy as np
import pytest
from figure_text import cut, overlaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import t2jax as t2
from t2jax.decision.design import Pick
from t2jax.errors import InputError
from t2jax.laws import Additive
from t2jax.reporting import figures

# arXiv:2404.10102, table of coefficients
LAW = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
RNG = np.random.default_rng(0)
LOGS = {name: s * RNG.standard_normal(400) for name, s in
        (("A", 0.9), ("B", 0.2), ("alpha", 0.05), ("beta", 0.04))}  # fmt: skip
DRAWS = t2.Ensemble(
    law=LAW.replace(E=np.full(400, 1.8172), **{
        name: float(getattr(LAW, name)) * np.exp(z) for name, z in LOGS.items()}),
    point=LAW, kind="posterior", chains=4,
    diagnostics={"coefficients": {n: {"r_hat": 1.0 + i / 1000} for i, n in enumerate(LOGS, 1)}},
)  # fmt: skip
SPENT = np.geomspace(1e22, 1e26, 9)
HAVE = np.asarray([[2e7, 3e8], [2e9, 5e9]])  # checkpoints at hand


@pytest.fixture(scope="module")
def front() -> t2.Frontier:
    return t2.frontier(LAW, t2.Budget(train_flops=SPENT))


@pytest.fixture(scope="module")
def bought() -> t2.Design:
    """Twelve runs whose gain is written down, and what was bought of them."""
    grid = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 4e9, 1.6e10, 6.4e10)]
    runs = tuple(t2.Purchase(params=n, tokens=d, flops=6 * n * d, run_noise=0.01) for n, d in grid)
    fall = 1e-4 * np.arange(12.0)
    picks = tuple(
        Pick(purchase=runs[i], fall=gain, left=left)
        for i, gain, left in ((7, 7e-4, 3e-4), (4, 1e-4, 2e-4), (7, 1e-5, 1e-4))
    )
    return t2.Design(candidates=runs, fall=fall, regret=1e-3, picks=picks, simulated={},
                     kind="loss")  # fmt: skip


def marks(ax, label):
    found = [
        np.asarray(one.get_data(), float) for one in ax.get_lines() if one.get_label() == label
    ]
    assert found
    return found[0]


def test_public_models_are_marked_where_the_budgets_reach_them_and_nowhere_else(front):
    known = t2.datasets.public_models()
    panels = figures.frontier_figure(front, models=known).axes
    bare = figures.frontier_figure(front).axes
    for ax, plain, name in zip(panels, bare, ("tokens_per_param", "params", "tokens"), strict=True):
        assert ax.get_xlim() == plain.get_xlim()
        seen = {one.get_label() for one in ax.get_lines()}
        told = [text.get_text() for text in ax.texts]
        for model in known:
            place = (model.train_flops, getattr(model, name))
            reached = ax.get_xlim()[0] <= place[0] <= ax.get_xlim()[1]
            assert (model.name in seen) == (model.name in told) == reached
            if reached:
                np.testing.assert_array_equal(marks(ax, model.name).ravel(), place)
                assert ax.get_ylim()[0] < place[1] < ax.get_ylim()[1]
    assert "Llama 3 70B" in {one.get_label() for one in panels[1].get_lines()}
    short = t2.frontier(LAW, t2.Budget(train_flops=SPENT[:3]))
    ax = figures.frontier_figure(short, models=known).axes[0]
    assert not {"Llama 3 405B", "GPT-3 175B"} & {one.get_label() for one in ax.get_lines()}


def test_public_models_are_what_their_authors_say():
    known = {model.name: model for model in t2.datasets.public_models()}
    assert known["Chinchilla 70B"].tokens_per_param == 20.0
    # 3.8e25 and 3.14e23 FLOPs are printed in arXiv:2407.21783 and arXiv:2005.14165.
    assert known["Llama 3 405B"].train_flops == pytest.approx(3.8e25, rel=0.01)
    assert known["GPT-3 175B"].train_flops == pytest.approx(3.14e23, rel=0.01)
    # Pythia's batches: 143,000 of 1,024 sequences of 2,048 tokens.
    assert known["Pythia 6.9B"].tokens == 143_000 * 1024 * 2048
    assert all("arXiv:" in model.source for model in known.values())


def test_variants_share_a_scale_and_carry_the_first_ones_optimum(front):
    other = t2.frontier(LAW.replace(beta=0.33), t2.Budget(train_flops=SPENT))
    figure = figures.variants_figure({"base": front, "tuned": other})
    base, tuned = figure.axes
    assert base.get_ylim() == tuned.get_ylim()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["base", "tuned"]
    for ax, one in ((base, front), (tuned, other)):
        np.testing.assert_array_equal(marks(ax, "optimum")[1], one.optimum.tokens_per_param)
    np.testing.assert_array_equal(marks(tuned, "reference")[1], front.optimum.tokens_per_param)
    assert "reference" not in [one.get_label() for one in base.get_lines()]
    low, high = base.get_ylim()
    shown = np.concatenate([front.optimum.tokens_per_param, other.optimum.tokens_per_param])
    assert low < shown.min() < shown.max() < high
    with pytest.raises(InputError, match="no variants"):
        figures.variants_figure({})


def test_pairs_show_the_draws_below_the_diagonal_and_leave_out_what_is_fixed():
    figure = figures.pairs_figure(DRAWS)
    grid = np.asarray(figure.axes).reshape(4, 4)  # E is the same in every draw
    names = list(LOGS)
    for i in range(4):
        for j in range(4):
            assert grid[i, j].get_visible() == (j <= i)
            if j < i:
                x, y = marks(grid[i, j], "draw")
                np.testing.assert_array_equal(x, getattr(DRAWS.law, names[j]))
                np.testing.assert_array_equal(y, getattr(DRAWS.law, names[i]))
    labels = [grid[3, j].get_xlabel() for j in range(4)]
    assert labels == ["A", "B", "α", "β"]
    for i in range(1, 4):  # a coefficient has one scale wherever it stands
        assert len({grid[i, j].get_ylim() for j in range(i)}) == 1
        assert len({grid[k, i].get_xlim() for k in range(i, 4)}) == 1
    far = dataclasses.replace(DRAWS, point=LAW.replace(alpha=0.1))
    panels = np.asarray(figures.pairs_figure(far).axes).reshape(4, 4)
    assert panels[3, 2].get_xlim()[0] < 0.1  # a fit outside its draws is drawn all the same
    assert grid[3, 0].get_xscale() == "log"  # A spreads over a factor of a hundred
    assert grid[3, 2].get_xscale() == "linear"


def test_the_contours_of_a_normal_hold_the_shares_that_they_name():
    x, y = np.random.default_rng(1).standard_normal((2, 20_000))
    ax = Figure().subplots()
    figures.pair_panel(x, 3 * y, ax=ax, names=("x", "y"))
    (lines,) = ax.collections
    outer, inner = lines.get_paths()
    points = np.column_stack([x, 3 * y])
    for path, share in ((outer, 0.9), (inner, 0.5)):
        assert np.mean(path.contains_points(points)) == pytest.approx(share, abs=0.03)
        # of a standard normal, the radius is sqrt(-2 log(1 - share))
        across, up = np.asarray(path.vertices).T
        radius = np.hypot(across, up / 3).mean()
        assert radius == pytest.approx(np.sqrt(-2 * np.log(1 - share)), rel=0.08)


def test_traces_are_the_chains_in_order_with_r_hat_in_the_title():
    panels = [ax for ax in figures.trace_figure(DRAWS).axes if ax.get_visible()]
    assert len(panels) == 4
    for i, (ax, name) in enumerate(zip(panels, LOGS, strict=True), 1):
        assert ax.get_title(loc="left") == f"{name}: 4 chains, R-hat {1 + i / 1000:.3f}"
        chains = np.asarray(getattr(DRAWS.law, name)).reshape(4, 100)
        for j, chain in enumerate(chains):
            np.testing.assert_array_equal(marks(ax, f"chain {j + 1}")[1], chain)
    alone = dataclasses.replace(DRAWS, diagnostics={}, chains=1)
    assert figures.trace_figure(alone, ["B"]).axes[0].get_title(loc="left") == "B: 1 chain"


def test_draws_that_cannot_be_drawn_are_refused():
    few = dataclasses.replace(DRAWS, law=jax.tree.map(lambda x: x[:9], DRAWS.law))
    with pytest.raises(InputError, match="9 draws are too few"):
        figures.pairs_figure(few)
    with pytest.raises(InputError, match="no coefficient gamma; use some of E, A, B"):
        figures.trace_figure(DRAWS, ["gamma"])
    with pytest.raises(InputError, match="two coefficients that vary"):
        figures.pairs_figure(DRAWS, ["E", "A"])
    with pytest.raises(InputError, match=r"give \[chains, draws\]"):
        figures.trace_panel(LOGS["A"], ax=Figure().subplots(), name="A")


def test_the_design_shows_every_gain_where_its_run_lies_and_numbers_the_purchases(bought):
    ax = Figure().subplots()
    assert figures.design_panel(bought, HAVE[0], HAVE[1], ax=ax) is ax
    (squares,) = ax.collections
    gains = np.asarray(squares.get_array())
    shown = bought.fall > 0
    places = [
        (c.params, c.tokens) for c, kept in zip(bought.candidates, shown, strict=True) if kept
    ]
    np.testing.assert_array_equal(squares.get_offsets(), places)
    np.testing.assert_array_equal(gains, bought.fall[shown])
    numbers = [t.get_text() for t in ax.texts if not t.get_text().startswith("10")]
    assert numbers == ["1, 3", "2"]  # the same run twice has one mark
    first = bought.picks[0].purchase
    np.testing.assert_array_equal(
        marks(ax, "buy next, in order").ravel(), [first.params, first.tokens]
    )
    np.testing.assert_array_equal(marks(ax, "checkpoint at hand"), HAVE)
    assert "parameters" in ax.get_xlabel()
    assert "tokens" in ax.get_ylabel()
    nothing = dataclasses.replace(bought, fall=np.zeros(12))
    with pytest.raises(InputError, match="lowers the regret"):
        figures.design_panel(nothing, ax=Figure().subplots())


def test_errors_of_rows_held_out_are_told():
    seen = np.geomspace(2.0, 4.0, 12)
    out = np.arange(12) >= 9
    told = seen * np.where(out, [1.02] * 12, 0.99)
    ax = Figure(figsize=(5, 4)).subplots()
    figures.predicted_panel(seen, told, ax=ax, held_out=out)
    assert {t.get_text() for t in ax.texts} <= {"+2.0%"}
    assert ax.texts
    legend = ax.get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["equal", "fitted, off by 1.0% on average", "held out, off by 2.0% on average"]


def test_a_panel_alone_has_the_house_style():
    figure = figures.alone(lambda ax: figures.grid_panel(SPENT, SPENT, ax=ax))
    (ax,) = figure.axes
    assert not ax.spines["top"].get_visible()
    assert not ax.spines["right"].get_visible()
    with figures.theme("dark"):
        (dark,) = figures.alone(lambda ax: figures.grid_panel(SPENT, SPENT, ax=ax)).axes
    assert to_rgb(dark.get_facecolor()) == to_rgb(figures.THEMES["dark"].paper)
    assert to_rgb(ax.get_facecolor()) == to_rgb(figures.THEMES["light"].paper)


def test_no_words_lie_on_others_or_leave_the_page(front, bought):
    drawn = {
        "models": figures.frontier_figure(front, models=t2.datasets.public_models()),
        "variants": figures.variants_figure({"base": front, "tuned": front}),
        "pairs": figures.pairs_figure(DRAWS),
        "traces": figures.trace_figure(DRAWS),
        "design": figures.design_figure(bought, HAVE[0], HAVE[1]),
        "grid": figures.alone(lambda ax: figures.grid_panel(SPENT, SPENT[::-1], ax=ax)),
    }
    for name, figure in drawn.items():
        assert overlaps(figure) == [], name
        assert cut(figure) == [], name


def test_a_fit_outside_its_draws_is_explained():
    far = dataclasses.replace(DRAWS, point=LAW.replace(alpha=0.1))
    (legend,) = figures.pairs_figure(far).legends
    said = " ".join(legend.get_title().get_text().split())
    assert said.startswith("The fit lies outside 99% of the draws in \N{GREEK SMALL LETTER ALPHA}:")
    (legend,) = figures.pairs_figure(DRAWS).legends
    assert legend.get_title().get_text() == ""


def test_results_draw_themselves_and_panels_need_no_axes(front):
    assert len(front.plot().axes) == 3
    assert figures.grid_panel(SPENT, SPENT).figure is not None
    with pytest.raises(InputError, match="no figure of a Budget"):
        figures.plot(t2.Budget(train_flops=1e20))


def test_smooth_curves_stand_at_their_own_samples():
    fine = np.geomspace(1, 64, 50)
    law = 1 - 0.8**fine
    laws = {"a": (law, law, law)}
    measured = {"a": np.array([0.2, 0.8, 1.0])}
    ax = figures.pass_at_k_panel(np.array([1, 8, 64]), measured, laws=laws, at=fine)
    np.testing.assert_array_equal(marks(ax, "a, law")[0], fine)
