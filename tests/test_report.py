"""The report: figures show what was computed, and the folder is written whole or not at all."""

import dataclasses
import itertools
import json
import math
import pathlib

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

import t2jax as t2
from t2jax.errors import InputError
from t2jax.hull import Hull
from t2jax.laws import Additive, BetaMonotone, Softplus, predict
from t2jax.planner import Companion
from t2jax.planner.companion import predicted
from t2jax.planner.doubts import doubts
from t2jax.planner.saved import OTHER_AIM
from t2jax.planning.rivals.in_range import inside
from t2jax.reporting import FILES, check_report, figures

INFERENCE = 1.8e6
BUDGET = t2.Budget(train_flops=1e12, inference_flops=INFERENCE)


@pytest.fixture(scope="module")
def ladder():
    """One fit of the built-in ladder, with what follows from it."""
    runs = t2.datasets.load_ladder()
    fit = t2.fit(runs, law="softplus", n_starts=2, samples=[1, 16, 256])
    draws = t2.bootstrap(fit, n_draws=24)
    best = t2.optimum(draws, BUDGET)
    flops = np.geomspace(*fit.hull.train_flops, 9)
    front = t2.frontier(draws, t2.Budget(train_flops=flops, inference_flops=INFERENCE))
    return fit, draws, best, front


@pytest.fixture(scope="module")
def companion(ladder):
    """An accuracy law written down, with draws: what it says is not the question here."""
    fit, draws, _, _ = ladder
    loss = Additive(E=0.1, A=137.0, B=333.0, alpha=0.48, beta=0.378)
    law = BetaMonotone(loss=loss, a0=-1.5, a1=0.02, b0=-3.36, b1=0.82)
    spread = np.linspace(0.98, 1.02, 12)
    many = jax.tree.map(lambda x: x * spread, law)
    ensemble = dataclasses.replace(draws, law=many, point=law)
    best = t2.optimum(ensemble, BUDGET)
    other = dataclasses.replace(fit, law=law)
    return Companion(fit=other, draws=ensemble, best=best)


@pytest.fixture(scope="module")
def bare(ladder) -> t2.Plan:
    """The plan without what may be missing."""
    fit, draws, best, front = ladder
    return t2.Plan(fit=fit, draws=draws, budget=BUDGET, optimum=best, frontier=front)


@pytest.fixture(scope="module")
def whole(bare, companion) -> t2.Plan:
    """The plan with its other aim and a plan in range."""
    said = doubts(bare.fit, bare.draws, bare.optimum, bare.frontier, companion, BUDGET)
    return dataclasses.replace(
        bare, companion=companion, inside=inside(bare.draws, BUDGET), notes=("Budget.",),
        warnings=("W.", *said),
    )  # fmt: skip


def drawn(ax, label):
    """The data of the line with a label."""
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


@pytest.mark.parametrize("name", ["tokens_per_param", "params", "tokens"])
def test_the_frontier_panels_show_the_optimum_its_band_and_its_rivals(ladder, name):
    fit, _, best, front = ladder
    figure = figures.frontier_figure(front, best, fit.hull)
    ax = dict(zip(("tokens_per_param", "params", "tokens"), figure.axes, strict=True))[name]
    flops, line = drawn(ax, "optimum")
    np.testing.assert_array_equal(flops, front.train_flops)
    np.testing.assert_array_equal(line, getattr(front.optimum, name))
    _, rival = drawn(ax, "Chinchilla")
    np.testing.assert_array_equal(rival, getattr(front.optimum.chinchilla, name))
    _, rule = drawn(ax, "20:1")
    n, d = np.sqrt(flops / 120), np.sqrt(flops / 120) * 20
    np.testing.assert_allclose(rule, {"params": n, "tokens": d, "tokens_per_param": d / n}[name])
    (band,) = [c for c in ax.collections if c.get_label() == "band"]
    assert np.isfinite(band.get_paths()[0].vertices).all()
    (box,) = [p for p in ax.patches if isinstance(p, Rectangle)]
    assert box.get_label() == "measured range"
    low, high = getattr(fit.hull, name)
    assert box.get_y() == pytest.approx(low)
    assert box.get_y() + box.get_height() == pytest.approx(high)
    assert drawn(ax, "plan")[1] == pytest.approx(float(getattr(best, name)))
    low, high = ax.get_ylim()
    assert low < line.min() < line.max() < high
    assert "FLOPs" in ax.get_xlabel()
    assert ax.get_ylabel()


def test_the_saturation_is_drawn_where_it_is_finite(ladder):
    fit, _, best, front = ladder
    panels = figures.frontier_figure(front, best, fit.hull).axes
    _, y = drawn(panels[1], "saturation")
    assert y[0] == pytest.approx(float(np.asarray(front.saturation)[0]))
    assert all("saturation" not in [line.get_label() for line in ax.lines] for ax in panels[::2])


def test_the_isoflop_minima_lie_on_their_curves_and_below_them(ladder):
    fit, _, best, front = ladder
    single, spent, _ = figures.isoflop_figure(fit, best, front).axes
    for ax in (single, spent):
        minima = [line for line in ax.lines if line.get_label() == "optimum"]
        curves = [line for line in ax.lines if str(line.get_label()).endswith(", all")]
        assert len(minima) == len(curves) == 5
        for minimum, curve in zip(minima, curves, strict=True):
            n, y = (np.asarray(v, float) for v in curve.get_data())
            assert np.isfinite(y).all()
            size, least = (float(np.asarray(v)[0]) for v in minimum.get_data())
            assert least <= y.min() * (1 + 1e-9)
            assert least == pytest.approx(y.min(), rel=2e-3)
            assert n[0] <= size <= n[-1]
        assert "nats" in ax.get_ylabel()
    assert "k = 1" in single.get_title(loc="left")


def points(fit, inference):
    """The measured points, which there must be."""
    found = figures.measured_points(fit, inference)
    assert found is not None
    return found


def test_measured_points_are_the_table_at_each_models_own_samples(ladder):
    fit, _, _, _ = ladder
    runs = fit.observations
    n, c, y = points(fit, None)
    np.testing.assert_array_equal(n, runs.params)
    np.testing.assert_array_equal(c, runs.train_flops)
    np.testing.assert_allclose(y, runs.mean_nll())
    n, _, y = points(fit, INFERENCE)
    each = [runs.select([i]).neg_log_pass(INFERENCE / (2 * runs.params[i]))[0, 0] for i in (0, 71)]
    np.testing.assert_allclose(y[[0, 71]], each)


def test_the_fit_is_drawn_at_its_own_rows(ladder):
    fit, _, _, _ = ladder
    runs = fit.observations
    left, right = figures.fit_figure(fit).axes
    assert left.get_title(loc="left").startswith("The law alone is off by")
    seen, told = drawn(left, "fitted")
    np.testing.assert_array_equal(seen, fit.observed)
    np.testing.assert_array_equal(told, fit.predicted)
    flops, error = drawn(right, "residual")
    # a checkpoint's rows are its k = 1, 16, 256
    np.testing.assert_array_equal(flops[::3], runs.train_flops)
    np.testing.assert_allclose(fit.observed[::3], runs.mean_nll())
    np.testing.assert_allclose(error, 100 * (fit.predicted / fit.observed - 1))
    unknown = figures.fit_figure(dataclasses.replace(fit, observations=None)).axes[1]
    np.testing.assert_array_equal(drawn(unknown, "residual")[0], fit.predicted)
    assert "predicted" in unknown.get_xlabel()
    bare = dataclasses.replace(fit, observed=np.zeros(0), predicted=np.zeros(0))
    (said,) = figures.fit_figure(bare).texts
    assert "does not carry the rows" in said.get_text()


def test_models_that_cannot_afford_a_sample_are_not_drawn(ladder):
    fit, _, _, _ = ladder
    runs = fit.observations
    n, _, _ = points(fit, 2 * 20_000.0)
    assert n.max() <= 20_000 < runs.params.max()
    assert len(n) == np.sum(runs.params <= 20_000)
    assert figures.measured_points(fit, 2.0) is None
    assert figures.measured_points(dataclasses.replace(fit, observations=None), None) is None


def test_no_tick_labels_overlap(ladder):
    """Every label of an axis ends before the next one begins, on the page as it is saved."""
    fit, _, best, front = ladder
    plan = inside(fit, BUDGET)
    for figure in (
        figures.frontier_figure(front, best, fit.hull, plan),
        figures.isoflop_figure(fit, best, front),
        figures.fit_figure(fit),
    ):
        figure.draw_without_rendering()
        for ax in figure.axes:
            boxes = [
                t.get_window_extent()
                for t in ax.get_xticklabels()
                if t.get_text() and ax.get_xlim()[0] <= t.get_position()[0] <= ax.get_xlim()[1]
            ]
            boxes.sort(key=lambda box: box.x0)
            assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
        width = figure.bbox.width
        for legend in figure.legends:
            assert 0 <= legend.get_window_extent().x0 <= legend.get_window_extent().x1 <= width


@given(st.floats(1e-3, 1e22), st.floats(1.05, 1e15))
def test_log_ticks_are_few_rising_and_inside(low, ratio):
    high = low * ratio
    ticks = figures.log_ticks(low, high)
    assert 2 <= len(ticks) <= 9
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert low * (1 - 1e-6) <= ticks[0] <= ticks[-1] <= high * (1 + 1e-6)


def test_drawing_leaves_matplotlib_as_it_was(ladder):
    import matplotlib

    fit, _, best, front = ladder
    before = dict(matplotlib.rcParams)
    figures.frontier_figure(front, best, fit.hull)
    assert dict(matplotlib.rcParams) == before


def test_the_folder_holds_files_that_can_be_read_back(whole, bare, ladder, tmp_path):
    fit, draws, best, front = ladder
    out = tmp_path / "a" / "report"
    paths = whole.save(out)
    assert [path.name for path in paths] == [*FILES, *OTHER_AIM]
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, *OTHER_AIM])
    assert t2.FitResult.load(paths[1]).law == fit.law
    assert t2.Ensemble.load(paths[2]).n_draws == draws.n_draws
    told = json.loads(paths[3].read_text(), parse_constant=pytest.fail)
    assert told["params"] == pytest.approx(float(best.params))
    assert told["companion"]["kind"] == "accuracy"
    assert {p["of"] for p in told["predictions"]} == {"plan", "chinchilla", "inside"}
    assert len(paths[4].read_text().splitlines()) == 1 + len(front.train_flops)
    for path in paths[5:8]:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 300_000
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    bare.save(out)  # our own files may be replaced, and none is left of another plan
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_behind(bare, tmp_path, monkeypatch, stop):
    def fail(*_, **__):
        raise stop

    monkeypatch.setattr(figures, "isoflop_figure", fail)
    with pytest.raises(stop):
        bare.save(tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_left_alone(bare, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    bare.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["fit.json", "frontier.csv", "companion.npz", "plan.json"])
def test_files_of_our_names_that_are_not_ours_are_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(
        InputError, match=f"{name}, which would be overwritten, and no report; name another folder"
    ):
        check_report(tmp_path)


def test_a_fit_of_ours_makes_no_report_of_the_files_beside_it(ladder, tmp_path):
    ladder[0].save(tmp_path / "fit.json")
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(InputError, match=r"fit\.json, index\.html, which would be"):
        check_report(tmp_path)


def test_a_configuration_of_the_users_is_not_overwritten(tmp_path):
    (tmp_path / "plan.toml").write_text("table = 'mine.csv'")
    assert check_report(tmp_path) == tmp_path
    with pytest.raises(InputError, match=r"plan\.toml, which would be"):
        check_report(tmp_path, "plan.toml")


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "report"
    path.write_text("")
    with pytest.raises(InputError, match="is a file, not a folder"):
        check_report(path)
    assert check_report(tmp_path / "new") == tmp_path / "new"


def test_the_page_is_narrow_and_says_everything(ladder, whole):
    fit, draws, best, _ = ladder
    text = whole.summary(full=True)
    assert max(map(len, text.splitlines())) <= 100
    assert all(line.isprintable() for line in text.splitlines())
    order = ["The verdict", "The plan", "Budget.", "parameters N", "Doubling", "most pass@k"]
    order += ["What this does not know", "- W.", "The fit", "The data"]
    places = [text.index(word) for word in order]
    assert places == sorted(places)
    for word in ("built-in ladder", "6ND", "recognised", "misses"):
        assert word in text
    at_bound = {*fit.certificate.at_bound, *draws.diagnostics["at_bound"]}
    assert at_bound
    for name in at_bound:
        assert f"{name} lies at its bound" in text
    assert ("EXTRAPOLATION" in text) == any(s.endswith("extrapolation") for s in best.status)
    far = t2.optimum(draws, t2.Budget(train_flops=1e14, inference_flops=INFERENCE))
    text = dataclasses.replace(whole, optimum=far).summary(full=True)
    for word in ("EXTRAPOLATION", "in range", "law's optimum"):
        assert word in text


def test_the_doubts_name_what_the_result_carries(ladder):
    fit, draws, best, front = ladder
    lost = dataclasses.replace(draws, diagnostics={"converged": 0.9, "units": 99, "at_bound": {}})
    poor = dataclasses.replace(
        fit, success=False, message="went astray", params_definition="unstated", source="x.csv"
    )
    said = " ".join(doubts(poor, lost, best, front, None, BUDGET))
    assert "10.0% of the refits did not converge" in said
    assert "NOT CERTIFIED: went astray." in said
    assert "does not say what N counts" in said
    assert "could be resampled" not in said
    few = dataclasses.replace(draws, diagnostics={**draws.diagnostics, "units": 23})
    said = " ".join(doubts(fit, few, best, front, None, BUDGET))
    assert "Only 23 independent trainings (trunks) could be resampled" in said
    assert "interim" not in said


def test_predictions_of_a_fixed_plan_are_the_laws_own_values(ladder):
    fit, draws, best, _ = ladder
    value, low, high = predicted(draws, best)
    assert value == pytest.approx(float(best.value), rel=1e-12)
    assert low < value < high
    alone = t2.optimum(fit, t2.Budget(train_flops=1e12, inference_flops=INFERENCE))
    none = dataclasses.replace(draws, law=jax.tree.map(lambda x: x[:0], draws.law))
    assert math.isnan(predicted(none, alone)[1])


HULL = Hull(  # that of a small ladder
    params=(2560.0, 233472.0),
    tokens=(145331.0, 13341409.0),
    samples=(1.0, 1024.0),
    tokens_per_param=(0.622, 5087.0),
    train_flops=(4.96e10, 1.6e12),
)
LAW = Softplus(loss=Additive(E=0.2, A=207.0, B=1884.0, alpha=0.53, beta=0.53), s=2.3)


@settings(max_examples=40)
@given(st.floats(5.3e10, 1.5e12), st.floats(3e4, 1e8))
def test_the_plan_inside_is_inside_and_no_worse_than_any_other_there(train, inference):
    hull = HULL
    empty = jax.tree.map(lambda _: np.zeros(0), LAW)
    model = t2.Ensemble(law=empty, point=LAW, kind="point", hull=hull)
    plan = inside(model, t2.Budget(train_flops=train, inference_flops=inference))
    n, spent = np.meshgrid(np.geomspace(*hull.params, 500), np.linspace(0.05, 1.0, 20))
    d, k = spent * train / (6 * n), inference / (2 * n)
    fits = (d >= hull.tokens[0]) & (d <= hull.tokens[1]) & (k >= 1) & (k <= 1024)
    fits &= (d / n >= hull.tokens_per_param[0]) & (d / n <= hull.tokens_per_param[1])
    if plan is None:
        assert not fits.any()
        return
    for name in ("params", "tokens", "samples", "tokens_per_param"):
        low, high = getattr(hull, name)
        assert low * (1 - 1e-6) <= float(getattr(plan, name)) <= high * (1 + 1e-6)
    # At the table's most tokens a smaller model with more samples may be worth more than FLOPs.
    left = float(plan.train_flops) < train * (1 - 1e-6)
    assert float(plan.train_flops) <= train * (1 + 1e-6)
    assert not left or float(plan.tokens) == pytest.approx(hull.tokens[1], rel=1e-6)
    if fits.any():
        others = np.asarray(predict(LAW, n, d, k))[fits]
        assert float(plan.value) <= others.min() * (1 + 1e-6)


def test_the_style_sheet_is_part_of_the_package():
    assert (pathlib.Path(figures.__file__).parent / "t2jax.mplstyle").is_file()
