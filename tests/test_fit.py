"""Fits: published minimisers, SciPy as referee, recovery of known laws, and what a fit admits."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from law_cases import CASES, RANGES, Ageing, coefficients, written

from t2jax.errors import InputError, Refusal
from t2jax.fitting import BetaBinomial, FitResult, driver, fit
from t2jax.fitting.minimise import Minimum
from t2jax.fitting.rows import counts_rows
from t2jax.fitting.starts import nonnegative_least_squares
from t2jax.laws import Additive, BetaMonotone, T2Accuracy, predict
from t2jax.observations import Observations

# Tables ----------------------------------------------------------------------------------------
# Every loss table but the published ones has 240 rows, so that compiled programs are shared.

SIZES, RATIOS, SAMPLES = np.geomspace(1e7, 3e9, 6), np.geomspace(3, 300, 8), [1, 8, 64, 512, 2048]
WITH_K = [x.ravel() for x in np.meshgrid(SIZES, RATIOS, SAMPLES, indexing="ij")]
WITHOUT_K = [
    x.ravel()
    for x in np.meshgrid(np.geomspace(1e7, 3e9, 15), np.geomspace(3, 300, 16), indexing="ij")
]
NEAR = RANGES | {
    "E": (1.0, 2.0), "E1": (3.0, 5.0), "A": (0.3, 1.0), "B": (0.3, 1.0), "alpha": (0.2, 0.5),
    "beta": (0.2, 0.5), "kappa": (0.5, 1.1), "R_D": (5.0, 15.0), "R_N": (3.0, 10.0),
    "S": (0.1, 0.5), "G": (0.5, 2.0), "gamma": (0.15, 0.5), "s": (0.5, 2.0), "s1": (0.5, 2.0),
    "v": (0.0, 0.5), "c": (0.1, 2.0), "T": (1.0, 10.0), "L0": (4.0, 6.0), "D0": (3e9, 5e9),
}  # fmt: skip


def loss_table(loss, params, tokens, **more) -> Observations:
    names = np.arange(len(params)).astype(str)
    more = {name: values for name, values in more.items() if values is not None}
    return Observations(kind="loss", run=names, params=params, tokens=tokens, loss=loss, **more)


def table_of(law, noise: float = 0.0, seed: int = 0) -> Observations:
    """240 losses of a law, with relative noise of that size."""
    if law.uses_samples:
        params, ratio, samples = WITH_K
    else:
        (params, ratio), samples = WITHOUT_K, None
    tokens, unique = params * ratio, None
    if law.base.name == "data_constrained":  # half of the runs repeat their text twenty times
        unique = np.where(np.arange(240) % 2 == 0, tokens / 20, tokens * 2)
    place = (params, tokens, 1.0 if samples is None else samples)
    loss = np.asarray(predict(law, *place, np.inf if unique is None else unique))
    loss = loss * np.exp(noise * np.random.default_rng(seed).standard_t(3, 240))
    return loss_table(loss, params, tokens, samples=samples, unique_tokens=unique)


TRUE = Additive(E=1.7, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3)


def free_of(law):
    """Logs, amplitudes taken in the middle of the data: coordinates of our own for the referee."""
    c = law.coefficients()
    return np.array([
        c["E"], np.log(c["A"]) - 19 * c["alpha"], np.log(c["B"]) - 22 * c["beta"],
        np.log(c["alpha"]), np.log(c["beta"]),
    ])  # fmt: skip


def objective_of(name, table, nuisance):
    """The objective in plain NumPy and SciPy, as a function of `free_of` and its own scale."""
    n, d, y = np.log(table.params), np.log(table.tokens), table.loss

    def value(u):
        with np.errstate(over="ignore"):  # far away on a line search
            size = np.exp(u[1] + np.exp(u[3]) * (19 - n))
            data = np.exp(u[2] + np.exp(u[4]) * (22 - d))
            predicted = u[0] + size + data
            if name == "sse":
                return min(np.sum((predicted - y) ** 2), 1e30)
        residual = np.log(y) - np.log(np.maximum(predicted, 1e-12))
        if name == "huber":
            return np.sum(1e-3**2 * scipy.special.huber(1.0, residual / 1e-3))
        sigma, nu = np.exp(u[5]), 1 + 199 / (1 + np.exp(-u[6]))
        # The priors of scale and tails, on the coordinates: they belong to the fit.
        scale = scipy.stats.norm.logpdf(u[5], np.log(0.01), 0.75) + np.log(
            0.75 * np.sqrt(2 * np.pi)
        )
        tails = (
            np.log(nu) - 0.1 * nu + scipy.special.log_expit(u[6]) + scipy.special.log_expit(-u[6])
        )
        return -np.sum(scipy.stats.t.logpdf(residual, nu, scale=sigma)) - scale - tails

    start = [np.log(nuisance["sigma"]), scipy.special.logit((nuisance["nu"] - 1) / 199)]
    return value, np.array(start) if name == "student_t" else np.zeros(0)


@pytest.fixture(scope="module")
def noisy() -> Observations:
    return table_of(TRUE, noise=0.01)


@pytest.fixture(scope="module")
def noisy_fits(noisy) -> dict[str, FitResult]:
    return {
        name: fit(noisy, law="additive", objective=name) for name in ("sse", "huber", "student_t")
    }


# Published minimisers --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def epoch(shared_data):
    pandas = pytest.importorskip("pandas")
    points = pandas.read_csv(shared_data / "chinchilla_epoch" / "points.csv")
    return points[points.epoch_fit_subset == 1]


def test_epoch_points_reach_the_minimum_of_the_published_objective(epoch, golden):
    table = loss_table(epoch.loss, epoch.n_params, epoch.d_tokens)
    result = fit(table, law="additive", objective="huber", delta=1e-3)
    best = golden("epoch")["huber objective"]
    assert result.objective_value <= best.value + best.tolerance
    assert result.success
    assert result.certificate.agreement == 1.0
    exponents = {name: getattr(result.law, name) for name in ("alpha", "beta")}
    assert exponents == golden("epoch")["huber exponents"].approx


def test_epoch_points_by_least_squares_give_the_published_coefficients(epoch, golden):
    small = epoch[epoch.train_flops < 1e21]
    assert len(small) == 217
    result = fit(
        loss_table(small.loss, small.n_params / 1e6, small.d_tokens / 1e9),
        "additive",
        objective="sse",
    )
    assert result.law.coefficients() == golden("epoch")["sse"].approx
    assert result.objective_value == golden("epoch")["sse objective"].approx


@pytest.mark.parametrize(
    ("subset", "rows", "run_set", "low", "high"),
    [
        ("main", 770, "main", 0, np.inf),
        ("main up to 1.01e11 tokens", 220, "main", 0, 1.01e11),
        ("main from 1.2e11 tokens", 528, "main", 1.2e11, np.inf),
        ("cooldown_end", 199, "cooldown_end", 0, np.inf),
        ("lr_half", 200, "lr_half", 0, np.inf),
    ],
)
def test_gemstones_objectives_are_at_or_below_the_best_known(
    subset, rows, run_set, low, high, shared_data, golden
):
    pandas = pytest.importorskip("pandas")
    grid = pandas.read_csv(shared_data / "gemstones" / "loss_grid.csv")
    grid = grid[(grid.run_set == run_set) & (grid.d_tokens >= low) & (grid.d_tokens <= high)]
    assert len(grid) == rows
    table = loss_table(grid.loss, grid.n_params, grid.d_tokens)
    best = golden("gemstones")[subset]
    result = fit(table, law="additive", objective="huber", delta=1e-4)
    assert result.objective_value <= best.value + best.tolerance


# SciPy as referee ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sse", "huber", "student_t"])
def test_scipy_finds_nothing_lower_and_agrees_on_the_value(name, noisy, noisy_fits):
    result = noisy_fits[name]
    value, tail = objective_of(name, noisy, {"sigma": 0.01, "nu": 5.0} | result.nuisance)
    found = np.concatenate([free_of(result.law), tail])
    assert value(found) == pytest.approx(result.objective_value, rel=1e-9)

    rng = np.random.default_rng(0)
    starts = [found, *(found + rng.normal(0, 0.4, (20, len(found))))]
    with np.errstate(all="ignore"):  # some random starts run off to infinity
        ends = [scipy.optimize.minimize(value, start, method="BFGS").fun for start in starts]
    assert min(ends) >= result.objective_value - 1e-9 * abs(result.objective_value)
    assert sorted(ends)[5] == pytest.approx(result.objective_value, rel=1e-4)  # it does get there


@pytest.mark.parametrize("name", ["sse", "student_t"])
def test_the_slope_at_the_minimum_is_zero(name, noisy, noisy_fits):
    result = noisy_fits[name]
    value, tail = objective_of(name, noisy, {"sigma": 0.01, "nu": 5.0} | result.nuisance)
    at = np.concatenate([free_of(result.law), tail])
    steps = 1e-4 * np.eye(len(at))
    slopes = np.array([(value(at + h) - value(at - h)) / 2e-4 for h in steps])
    curves = np.array([(value(at + h) - 2 * value(at) + value(at - h)) / 1e-8 for h in steps])
    assert (np.abs(slopes) < 1e-4 * np.sqrt(np.abs(curves) * abs(value(at)))).all()


compiled_nnls = jax.jit(nonnegative_least_squares)


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_nonnegative_least_squares_is_scipys(seed, size):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(12, size)) * 10 ** rng.uniform(-3, 3, size)
    target = rng.normal(size=12)
    with jax.enable_x64(True):
        ours = compiled_nnls(columns.T @ columns, columns.T @ target)
    exact, _ = scipy.optimize.nnls(columns, target)
    scale = np.linalg.norm(columns, axis=0)
    assert np.asarray(ours) * scale == pytest.approx(exact * scale, rel=1e-7, abs=1e-9)


# Recovery --------------------------------------------------------------------------------------

SLOW = (
    "data_constrained",
    "ceiling",
    "farseer",
    "t2_loss_paper",
    "tied",
    "ageing",
)
LOSS_LAWS = [
    pytest.param(form, marks=[pytest.mark.slow] if form in SLOW else [])
    for form in CASES
    if "(" not in form and form not in ("t2_accuracy", "beta_monotone", "size")
]


@pytest.mark.parametrize("form", LOSS_LAWS)
@settings(max_examples=3)
@given(data=st.data())
def test_a_table_without_noise_returns_its_law(form, data):
    true = Ageing(E=1.5, A=300.0, B=0.5, alpha=0.3, T=3.0) if form == "ageing" else None
    true = true or written(form, data.draw(coefficients(form, ranges=NEAR)))
    result = fit(table_of(true), law=Ageing if form == "ageing" else form, objective="sse")
    assert result.certificate.positive_definite
    assert result.law.coefficients() == pytest.approx(true.coefficients(), rel=1e-6, abs=1e-9)
    assert result.residuals == pytest.approx(np.zeros(240), abs=1e-9)


def test_a_table_without_noise_is_certified():
    for name in ("sse", "huber", "student_t"):
        result = fit(table_of(TRUE), objective=name)
        assert result.success, f"{name}: {result.message}"


def test_units_of_params_change_the_amplitude_only(noisy, noisy_fits):
    one = noisy_fits["sse"].law.coefficients()
    result = fit(dataclasses.replace(noisy, params=noisy.params / 1e6), "additive", objective="sse")
    other = result.law.coefficients()
    same = ("E", "B", "alpha", "beta")
    assert {n: other[n] for n in same} == pytest.approx({n: one[n] for n in same}, rel=1e-7)
    assert other["A"] * 1e6 ** other["alpha"] == pytest.approx(one["A"], rel=1e-6)
    assert result.objective_value == pytest.approx(noisy_fits["sse"].objective_value, rel=1e-10)


def test_the_order_of_rows_does_not_matter(noisy, noisy_fits):
    order = np.random.default_rng(1).permutation(240)
    shuffled = fit(noisy.select(order), "additive", objective="student_t")
    one = noisy_fits["student_t"]
    assert shuffled.law.coefficients() == pytest.approx(one.law.coefficients(), rel=1e-6)
    assert shuffled.observed == pytest.approx(one.observed[order])


def test_every_row_twice_doubles_the_objective_and_leaves_the_law(noisy):
    half = noisy.select(slice(0, 240, 2))
    once = fit(half, objective="sse")
    columns = (np.tile(np.asarray(x), 2) for x in (half.loss, half.params, half.tokens))
    twice = fit(loss_table(*columns), objective="sse")
    assert twice.objective_value == pytest.approx(2 * once.objective_value, rel=1e-10)
    assert twice.law.coefficients() == pytest.approx(once.law.coefficients(), rel=1e-6)


def test_criteria_are_those_of_their_definitions(noisy, noisy_fits):
    found = noisy_fits["student_t"]
    loss = np.asarray(noisy.loss)
    told = np.asarray(predict(found.law, noisy.params, noisy.tokens))
    sigma, nu = found.nuisance["sigma"], found.nuisance["nu"]
    # The density of a loss is that of its log over the loss itself; 5 coefficients, 2 of noise.
    density = scipy.stats.t.logpdf(np.log(loss / told), nu, scale=sigma) - np.log(loss)
    expected = {
        "R2": 1 - np.mean((loss - told) ** 2) / np.var(loss),
        "mean relative error": np.mean(np.abs(told - loss) / loss),
        "AIC": 2 * 7 - 2 * np.sum(density),
        "BIC": 7 * np.log(240) - 2 * np.sum(density),
    }
    assert found.criteria == pytest.approx(expected, rel=1e-9)
    assert set(noisy_fits["sse"].criteria) == {"R2", "mean relative error"}  # no likelihood


# What a fit admits -----------------------------------------------------------------------------


def test_a_loss_below_any_irreducible_loss_reports_the_bound():
    sunk = TRUE.replace(E=0.0)
    table = table_of(sunk)
    table = dataclasses.replace(table, loss=np.asarray(table.loss) - 0.05)
    result = fit(table, objective="sse")
    assert result.law.coefficients()["E"] == 0.0
    assert result.certificate.at_bound == ("E",)
    assert "E at a bound" in result.message
    assert "AT ITS BOUND" in result.summary()


@pytest.mark.slow
def test_coefficients_that_the_design_never_tests_are_not_certified():
    # Nothing is repeated, so nothing is known of what repeated tokens are worth.
    fresh = dataclasses.replace(table_of(TRUE, noise=0.01), unique_tokens=None)
    result = fit(fresh, law="data_constrained", objective="sse")
    assert not result.success
    assert "NOT CERTIFIED" in result.summary()


def test_a_saddle_and_a_point_above_the_minimum_are_not_certified():
    cards = [SimpleNamespace(name=name) for name in "ab"]
    problem: Any = SimpleNamespace(cards=cards, objective=SimpleNamespace(nuisance=()))
    one, none = np.ones(2), np.zeros(2)

    def verdict(curvature, fall):
        at: list[Any] = [none, 1.0, none, np.diag(curvature), fall, 1, none.astype(bool)]
        place = Minimum(*at)
        return driver._verdict(driver._certificate(problem, place, one, 2 * one), 1.0)

    assert verdict([1.0, 2.0], 1e-9)[0]
    saddle, above = verdict([-1.0, 2.0], 1e-9), verdict([1.0, 2.0], 1e-6)
    assert not saddle[0]
    assert "not positive definite" in saddle[1]
    assert not above[0]
    assert "above a stationary point" in above[1]


def test_tables_that_cannot_answer_are_refused(noisy):
    line = noisy.select(np.isclose(noisy.tokens_per_param, 3.0))
    with pytest.raises(Refusal, match="tokens per parameter"):
        fit(line)
    with pytest.raises(Refusal, match="has 6 coefficients; add 3 or more runs"):
        fit(noisy.select([0, 17, 100, 239]))
    with pytest.raises(Refusal, match=r"describes pass@k.*per-question"):
        fit(noisy, law="beta_monotone")
    with pytest.raises(Refusal, match=r"three or more k.*law='additive'"):
        fit(noisy, law="softplus")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "hubber"}, "did you mean 'huber'"),
        ({"objective": "sse", "delta": 1e-3}, "delta=0.001 does not go with objective 'sse'"),
        ({"objective": "huber", "delta": -1.0}, "delta=-1.0"),
        ({"objective": "beta_binomial"}, "describes a loss"),
        ({"n_starts": 0}, "n_starts = 0"),
        ({"law": "addditive"}, "did you mean 'additive'"),
    ],
)
def test_options_that_contradict_each_other_are_named_in_a_line(noisy, options, words):
    with pytest.raises(InputError, match=words) as caught:
        fit(noisy, **options)
    assert "\n" not in str(caught.value)


def test_a_path_is_not_a_table():
    runs: Any = "runs.csv"
    with pytest.raises(InputError, match=r"got str; .*t2jax\.read"):
        fit(runs)


def test_a_result_survives_json_exactly(noisy_fits, tmp_path):
    for name, result in noisy_fits.items():
        description = json.loads(json.dumps(result.to_dict()))
        assert FitResult.from_dict(description).to_dict() == result.to_dict()
        result.save(tmp_path / f"{name}.json")
        back = FitResult.load(tmp_path / f"{name}.json")
        assert back.law == result.law
        assert np.array_equal(back.residuals, result.residuals)


@pytest.mark.parametrize("text", ["", "3", "[]", "{}", '{"format": "t2jax.fit/1"}'])
def test_a_file_that_is_no_fit_is_named(text, tmp_path):
    path = tmp_path / "fit.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"fit\.json.*(cannot be read as|not) a fit"):
        FitResult.load(path)


def test_the_summary_shows_every_coefficient_and_the_certificate(noisy_fits):
    for result in noisy_fits.values():
        text = result.summary()
        for name, value in result.law.coefficients().items():
            assert any(line.split()[:1] == [name] for line in text.splitlines())
            assert f"{value:.6g}" in text
        for word in ("240 rows", "positive definite", "starts agree", result.objective):
            assert word in text


# Questions -------------------------------------------------------------------------------------

BASE = TRUE.replace(E=0.4)
ACCURACY = [
    BetaMonotone(loss=BASE, a0=1.2, a1=0.8, b0=-0.6, b1=0.5),
    T2Accuracy(loss=BASE, th0=1.5, th1=1.2, th2=0.9, th3=1.5, th4=-0.3),
]
PLACES = [
    x.ravel()
    for x in np.meshgrid(np.geomspace(1e8, 3e9, 5), np.geomspace(10, 300, 5), indexing="ij")
]


def spread_of(law):
    params, ratio = PLACES
    with jax.enable_x64(True):
        return [np.asarray(x)[:, None] for x in law.spread(params=params, tokens=params * ratio)]


def question_table(kind, count, **cells) -> Observations:
    params, ratio = PLACES
    names, runs = (np.arange(n).astype(str) for n in (count, len(params)))
    return Observations(
        kind=kind, run=runs, params=params, tokens=params * ratio, question=names,
        task=np.repeat("task", count), **cells,
    )  # fmt: skip


def counts_table(law, questions=100, trials=64, seed=0) -> Observations:
    rng = np.random.default_rng(seed)
    a, b = spread_of(law)
    solved = rng.binomial(trials, rng.beta(a, b, (len(a), questions)))
    return question_table(
        "counts", questions, successes=solved, trials=np.full(solved.shape, trials)
    )


@pytest.mark.parametrize(
    "law", [ACCURACY[0], pytest.param(ACCURACY[1], marks=pytest.mark.slow)], ids=lambda x: x.name
)
def test_likelihoods_drawn_from_a_law_return_its_pass_at_k(law):
    # Questions at even quantiles of the law's Beta, so that pass@k is the law's own.
    a, b = spread_of(law)
    quantile = (np.arange(800) + 0.5) / 800
    nll = -np.log(np.maximum(scipy.stats.beta.ppf(quantile, a, b), 1e-300))
    samples = [1, 4, 16, 64]
    result = fit(question_table("nll", 800, nll=nll), law=law, samples=samples)
    params, ratio = (x[:, None] for x in PLACES)
    place = {"params": params, "tokens": params * ratio, "samples": np.array(samples, float)}
    exact = predict(law, **place)
    assert result.objective == "sse"
    # Not exactly: the mean NLL of such questions is no longer additive in N and D.
    assert np.abs(result.predict(**place) - exact).max() < 0.05
    assert np.corrcoef(result.predicted, result.observed)[0, 1] > 0.998


@pytest.mark.slow
def test_counts_return_the_spread_within_sampling_error():
    law = next(law for law in ACCURACY if law.name == "beta_monotone")
    table = counts_table(law)
    result = fit(table, law=law, n_starts=8)
    assert result.objective == "beta_binomial"
    assert result.success, result.message
    pure = BetaBinomial(anchor=0.0)
    with jax.enable_x64(True):
        rows = counts_rows(table)
        fitted = jax.tree.map(jnp.asarray, result.law)
        gain = 2 * float(pure(law, (), rows) - pure(fitted, (), rows))
    # Twice the gain in log likelihood over the truth is chi-squared, and never negative.
    assert 0 <= gain < scipy.stats.chi2.ppf(0.9999, len(law.cards()))
    for ours, true in zip(spread_of(result.law), spread_of(law), strict=True):
        assert np.abs(np.log(ours / true)).max() < 0.5


def test_count_likelihood_is_the_beta_binomial():
    law = ACCURACY[0]
    table = counts_table(law, questions=20)
    trials = np.array(table.trials)
    trials[3, 4] = 0  # a question that was not asked adds nothing
    solved = np.minimum(np.asarray(table.successes), trials)
    table = dataclasses.replace(table, trials=trials, successes=solved)
    a, b = spread_of(law)
    exact = -scipy.stats.betabinom.logpmf(solved, trials.astype(int), a, b)
    exact = np.where(trials > 0, exact, 0.0)
    with jax.enable_x64(True):
        rows = counts_rows(table)
        ours = float(BetaBinomial(anchor=0.0)(law, (), rows))
        weighted = rows.weighed(jnp.arange(20.0))
        heavy = float(BetaBinomial(anchor=0.0)(law, (), weighted))
    assert ours == pytest.approx(exact.sum(), rel=1e-9)
    assert heavy == pytest.approx((exact * np.arange(20)).sum(), rel=1e-9)
