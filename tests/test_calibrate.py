"""Intervals that cover: profiles against independent references, coverage in simulated tables."""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

import t2jax as t2
from t2jax.errors import InputError, Refusal
from t2jax.laws import Additive
from t2jax.validation.calibrate import _components, _Seen
from t2jax.validation.covariance import student_quantile
from t2jax.validation.coverage import judged
from t2jax.validation.held_fit import Setup
from t2jax.validation.profile import Interval, _follow, _lost, _unequal

PARAMS = np.repeat(np.geomspace(1e7, 2e9, 4), 4)
TOKENS = PARAMS * np.tile(np.geomspace(5, 500, 4), 4)
RUN = np.array([f"run {i:02}" for i in range(16)])
A, B = 0.6 * 2e8**0.34, 0.5 * 6e9**0.3
TRUE = Additive(E=1.7, A=A, B=B, alpha=0.34, beta=0.3)
BUDGET = t2.Budget(train_flops=3e20)


def loss(params, tokens):
    return 1.7 + A * params**-0.34 + B * tokens**-0.3


@pytest.fixture(scope="module")
def fitted() -> t2.FitResult:
    noise = np.random.default_rng(0).normal(0, 0.01, 16)
    value = loss(PARAMS, TOKENS) * np.exp(noise)
    runs = t2.Observations(kind="loss", run=RUN, params=PARAMS, tokens=TOKENS, loss=value)
    return t2.fit(runs, law="additive", objective="huber")


@pytest.fixture(scope="module")
def profiled(fitted) -> t2.Profile:
    return t2.profile(fitted, budget=BUDGET, level=0.95)


def sum_of_squares(fitted, held=None, size=None):
    """The least sum of squares with alpha, or N*, held: SciPy, in another parametrisation."""
    target = np.log(fitted.observations.loss)
    start = fitted.law.coefficients()

    def law(u):
        E, a, b, alpha, beta = u
        if held is not None:
            alpha = held
        if size is not None:
            # The first-order condition of 6ND gives A: alpha A N^-alpha = beta B D^-beta.
            D = 3e20 / 6 / size
            a = np.log(beta * np.exp(b) * (D / 6e9) ** -beta / alpha * (size / 2e8) ** alpha)
        return E + np.exp(a) * (PARAMS / 2e8) ** -alpha + np.exp(b) * (TOKENS / 6e9) ** -beta

    def residual(u):
        return np.log(np.maximum(law(u), 1e-9)) - target

    first = [
        start["E"], np.log(start["A"]) - start["alpha"] * np.log(2e8),
        np.log(start["B"]) - start["beta"] * np.log(6e9), start["alpha"], start["beta"],
    ]  # fmt: skip
    done = optimize.least_squares(residual, first, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    return 2 * done.cost


def test_profile_ends_are_where_the_f_statistic_meets_its_threshold(fitted, profiled):
    least = sum_of_squares(fitted)
    threshold = stats.f.ppf(0.95, 1, 16 - 5)
    for end in (profiled["alpha"].low, profiled["alpha"].high):
        statistic = (sum_of_squares(fitted, held=end) - least) / (least / 11)
        assert statistic == pytest.approx(threshold, rel=1e-4)
    for end in (profiled["params"].low, profiled["params"].high):
        statistic = (sum_of_squares(fitted, size=end) - least) / (least / 11)
        assert statistic == pytest.approx(threshold, rel=1e-4)
    assert profiled["alpha"].dof == pytest.approx(11)


def test_size_tokens_and_their_ratio_are_one_interval(profiled):
    n, d, ratio = (profiled[name] for name in ("params", "tokens", "tokens_per_param"))
    assert 6 * n.low * d.high == pytest.approx(3e20)
    assert 6 * n.high * d.low == pytest.approx(3e20)
    assert ratio.high == pytest.approx(d.high / n.low)
    assert n.low < n.estimate < n.high


@pytest.mark.slow
def test_an_end_that_no_row_rules_out_is_open():
    # Two noisy digits of loss over a factor of two in size say little of E.
    rng = np.random.default_rng(3)
    params = np.repeat(np.geomspace(1e8, 2e8, 4), 4)
    tokens = params * np.tile(np.geomspace(20, 40, 4), 4)
    value = loss(params, tokens) * np.exp(rng.normal(0, 0.03, 16))
    runs = t2.Observations(kind="loss", run=RUN, params=params, tokens=tokens, loss=value)
    found = t2.profile(t2.fit(runs, law="additive", objective="huber"))
    assert not (found["alpha"].bounded and found["E"].bounded)
    assert any("do not bound" in note for note in found.notes)
    assert any("misfit of the law is no part" in note for note in found.notes)


def test_a_quantity_at_its_bound_can_be_held_off_it():
    # Nothing irreducible, and least squares with E = 0: the end of E is still where SciPy's own
    # least squares with E held meets the threshold.
    noise = np.random.default_rng(1).normal(0, 0.02, 16)
    value = (loss(PARAMS, TOKENS) - 1.7) * np.exp(noise)
    runs = t2.Observations(kind="loss", run=RUN, params=PARAMS, tokens=TOKENS, loss=value)
    fit = t2.fit(runs, law="additive", objective="huber", n_starts=2)
    found = t2.profile(fit, "E", level=0.95)["E"]
    assert found.estimate == 0.0
    assert 0 < found.high < np.min(value)

    def squares(E):
        def residual(u):
            a, b, alpha, beta = u
            sizes = np.exp(a) * (PARAMS / 2e8) ** -alpha + np.exp(b) * (TOKENS / 6e9) ** -beta
            return np.log(E + sizes) - np.log(value)

        done = optimize.least_squares(residual, [-0.5, -0.7, 0.34, 0.3], xtol=1e-14, ftol=1e-14)
        return 2 * done.cost

    least = squares(0.0)
    statistic = (squares(found.high) - least) / (least / 11)
    assert statistic == pytest.approx(stats.f.ppf(0.95, 1, 11), rel=1e-3)


def uneven(sizes) -> t2.Observations:
    """Trunks of one size each and so many checkpoints; losses without noise."""
    params = np.repeat(
        np.random.default_rng(0).permutation(np.geomspace(1e7, 2e9, len(sizes))), sizes
    )
    ratio = np.concatenate([
        np.geomspace(5, 500, s + 2)[1:-1] if s > 1 else [20.0 * 4.0 ** (i % 3 - 1)]
        for i, s in enumerate(sizes)
    ])  # fmt: skip
    run = np.repeat([f"run {i:02}" for i in range(len(sizes))], sizes)
    return t2.Observations(
        kind="loss", run=run, params=params, tokens=params * ratio,
        loss=loss(params, params * ratio),
    )  # fmt: skip


@pytest.mark.slow
def test_profile_intervals_cover_on_units_of_unequal_size():
    # Simulation: noise of a run thrice to eight times that of a row. 400 tables, so two standard
    # errors below 95% are 92.8%; the test allows three.
    for sizes in ([4] * 10, [1, 1, 2, 2, 3, 4, 6, 8, 12, 20]):
        found = t2.calibrate(
            uneven(sizes), TRUE, budget=BUDGET, tables=400, run_noise=0.03, row_noise=0.004,
            methods=["profile"], progress=False,
        )  # fmt: skip
        assert min(own[1] for own in found.coverage["profile"].values()) > 0.917
        assert found.recommended == "profile"


@pytest.mark.slow
def test_profile_intervals_cover_on_the_built_in_ladder():
    # Simulation on 51 trunks of unequal length.
    found = t2.calibrate(
        t2.fit(t2.datasets.load_ladder(), "softplus"), tables=400, methods=["profile", "laplace"],
        budget=t2.Budget(train_flops=1e12, inference_flops=1e6), progress=False,
    )  # fmt: skip
    assert min(own[1] for own in found.coverage["profile"].values()) > 0.917
    assert found.recommended == "profile"


def test_units_that_count_as_few_are_said_to():
    for sizes, said in (([1] * 6 + [2] * 6 + [8] * 3 + [30] * 2, True), ([4] * 10, False)):
        runs = uneven(sizes)
        setup = Setup.of(
            TRUE, runs, objective="huber", samples=None, box=None, plan=None, unit="run"
        )  # fmt: skip
        notes = _unequal(setup)
        assert bool(notes) == said
        if said:
            assert "17 units of 'run' count as 5.1: measure the coverage" in notes[0]


def test_ends_that_were_not_found_are_said_in_words():
    known = {"level": 0.95, "dof": 3.0, "standard_error": 0.1}
    alpha = Interval(name="alpha", estimate=0.3, low=0.2, high=np.inf, **known)
    beta = Interval(name="beta", estimate=0.3, low=np.nan, high=np.nan, **known)
    first, second = _lost({"alpha": alpha, "beta": beta}, ["alpha"])
    assert "fit with alpha held did not settle" in first
    assert second.startswith("NO ENDS FOR beta")
    assert _lost({"alpha": alpha}, []) == []


def test_what_follows_from_n_is_as_unknown_as_n():
    known = {"name": "params", "level": 0.9, "dof": 7.0, "standard_error": 0.1}
    budget = t2.Budget(train_flops=6e20, inference_flops=2e12)
    size = Interval(estimate=1e9, low=0.5e9, high=np.nan, **known)
    with jax.enable_x64(True):
        found = _follow(size, budget)
    for name in ("tokens", "samples", "tokens_per_param"):
        assert np.isnan(found[name].low)  # it goes with the upper end of N, which is not known
        assert np.isfinite(found[name].high)
        assert found[name].undefined
    assert found["tokens"].high == pytest.approx(1e20 / 0.5e9)
    # D/N = C/(6 N^2): an error of log N counts twice.
    assert found["tokens"].standard_error == pytest.approx(0.1)
    assert found["tokens_per_param"].standard_error == pytest.approx(0.2)
    with jax.enable_x64(True):
        wide = _follow(Interval(estimate=1e9, low=0.0, high=np.inf, **known), budget)
    for name in ("tokens", "samples", "tokens_per_param"):
        assert (wide[name].low, wide[name].high) == (0.0, np.inf)


def test_students_t_is_scipys():
    for dof in (1.0, 4.0, 11.3, 250.0):
        for level in (0.5, 0.9, 0.95, 0.999):
            ours = float(student_quantile(level, dof))
            assert ours == pytest.approx(stats.t.ppf(0.5 + level / 2, dof), rel=1e-9)


@pytest.fixture(scope="module")
def calibrated(fitted) -> t2.Calibration:
    return t2.calibrate(
        fitted.observations, TRUE, budget=BUDGET, tables=400, run_noise=0.01, row_noise=0.0,
        methods=["profile", "laplace"], progress=False,
    )  # fmt: skip


def test_profile_intervals_cover_as_they_say(calibrated):
    # 400 tables: two standard errors are 2.2 points.
    for name in ("E", "alpha", "beta", "params", "tokens_per_param", "loss"):
        ninety, ninety_five = calibrated.coverage["profile"][name]
        assert 0.925 <= ninety_five <= 0.98
        assert 0.86 <= ninety <= 0.94
    assert calibrated.recommended == "profile"
    assert calibrated.units == 16
    assert calibrated.noise == {"run": 0.01, "row": 0.0}


@pytest.mark.slow
def test_coverage_at_the_truth_is_that_of_the_intervals_themselves(fitted):
    # Ten tables of the same seed, by hand: refit, search both ends, look.
    few = {"tables": 10, "seed": 5, "run_noise": 0.03, "row_noise": 0.0, "progress": False}
    found = t2.calibrate(fitted.observations, TRUE, budget=BUDGET, methods=["profile"], **few)
    rng = np.random.default_rng(5)
    drawn = rng.normal(0, 0.03, (10, 16, 1))[..., 0]
    held = []
    for noise in drawn:
        value = loss(PARAMS, TOKENS) * np.exp(noise)
        runs = t2.Observations(kind="loss", run=RUN, params=PARAMS, tokens=TOKENS, loss=value)
        fit = t2.fit(runs, law="additive", objective="huber")
        band = t2.profile(fit, ["alpha"], level=0.9)["alpha"]
        held.append(band.low <= 0.34 <= band.high)
    assert found.coverage["profile"]["alpha"][0] == pytest.approx(np.mean(held))


@pytest.mark.parametrize("n_draws", [39, 199])
def test_a_bootstrap_interval_leaves_as_many_ranks_on_either_side(fitted, monkeypatch, n_draws):
    # Where the truth is one more draw like the others, its rank among 39 takes each of 40 values
    # equally often: a 95% interval holds 38 of them and a 90% one 36.
    ranks = iter(range(n_draws + 1))

    def seen(problem, covariance, profiled, case, truth, aims, values, *_):
        rows = len(values)
        one = jnp.ones((rows, len(aims.value)))
        return _Seen(jnp.zeros((rows, len(truth))), one, one, one, one, jnp.ones(rows, bool))

    def beyond(problem, case, starts, aims, values, *_):
        found = [next(ranks, 0) for _ in range(len(values))]
        return np.repeat(np.asarray(found)[:, None], len(aims.value), axis=1)

    room = sys.modules["t2jax.validation.calibrate"]  # which has the name of its function
    monkeypatch.setattr(room, "_look", seen)
    monkeypatch.setattr(room, "_beyond", beyond)
    found = t2.calibrate(
        fitted.observations, TRUE, tables=n_draws + 1, n_draws=n_draws, run_noise=0.01,
        row_noise=0.0, methods=["bootstrap"], progress=False,
    )  # fmt: skip
    assert found.coverage["bootstrap"]["alpha"] == (0.9, 0.95)


def test_the_result_is_written_and_printed(calibrated, tmp_path):
    calibrated.save(tmp_path / "calibration.json")
    told = json.loads((tmp_path / "calibration.json").read_text())
    assert len(told.pop("sha256")) == 64
    assert told == json.loads(json.dumps(calibrated.to_dict()))
    text = calibrated.summary()
    assert "trust profile" in text
    assert all(name in text for name in ("alpha", "tokens_per_param", "laplace"))


def test_a_verdict_says_when_no_method_holds():
    name, notes = judged({"laplace": {"alpha": (0.6, 0.7)}}, 400)
    assert name is None
    assert "NO METHOD COVERS" in notes[0]
    assert judged({"laplace": {"alpha": (0.99, 1.0)}}, 400)[0] == "laplace"
    both = {"profile": {"a": (0.7, 0.8)}, "laplace": {"a": (0.9, 0.95)}}
    assert judged(both, 400)[0] == "laplace"


def test_a_verdict_allows_three_points_and_the_error_of_the_simulation():
    # 10,000 tables: twice the error of a share near 90% is 0.6 points.
    near, far = ({"a": (0.9, 0.95), "b": (0.9 - gap, 0.95)} for gap in (0.034, 0.038))
    assert judged({"profile": near}, 10_000)[0] == "profile"
    assert judged({"profile": far}, 10_000)[0] is None
    # Too wide is second best, and said; but a coefficient at its bound may miss on one side only.
    wide = {"a": (0.95, 0.975)}
    assert "wider than they say" in judged({"profile": wide}, 10_000)[1][0]
    assert "cover as they say" in judged({"profile": wide}, 10_000, ["a"])[1][0]


def test_noise_to_simulate_is_told_apart_by_the_analysis_of_variance():
    # m rows of a unit have a mean of variance run^2 + row^2/m; what was fitted is charged to units.
    rng = np.random.default_rng(4)
    residual = rng.normal(0, 0.05, (30, 1)) + rng.normal(0, 0.02, (30, 8))
    products = residual[:, :, None] * residual[:, None, :]
    run, row = _components(products, np.full(30, 8), 5)
    means = np.sum(residual.mean(axis=1) ** 2) / (30 - 5)
    assert run**2 + row**2 / 8 == pytest.approx(means, rel=1e-9)
    assert (run, row) == pytest.approx((0.05, 0.02), rel=0.3)


def test_bad_questions_are_named(fitted):
    runs = fitted.observations
    with pytest.raises(InputError, match="no method 'wild'"):
        t2.calibrate(runs, TRUE, methods=["wild"])
    with pytest.raises(InputError, match="tables = 0"):
        t2.calibrate(runs, TRUE, tables=0)
    with pytest.raises(InputError, match="give both, or neither"):
        t2.calibrate(runs, TRUE, run_noise=0.1)
    with pytest.raises(InputError, match="no quantity 'gamma'"):
        t2.profile(fitted, "gamma")
    with pytest.raises(InputError, match="N\\*, D\\*, k\\*, D/N and loss need a budget"):
        t2.profile(fitted, "N*")
    with pytest.raises(InputError, match="one pair of separate budgets"):
        t2.profile(fitted, budget=t2.Budget(train_flops=[1e20, 1e21]))
    with pytest.raises(Refusal, match=r"4 tokens per parameter.*cheap rows that repair it"):
        t2.calibrate(dataclasses.replace(runs, tokens=4 * PARAMS), "additive")
    with pytest.raises(Refusal, match=r"5 units of 'run' for 5 coefficients.*add 1 or more"):
        t2.calibrate(runs.select([0, 3, 6, 12, 15]), TRUE, run_noise=0.1, row_noise=0.0)
