"""Misfit inside the interval: surfaces that follow a table where it is, and are free elsewhere."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import t2jax as t2
from t2jax._precision import double
from t2jax.fitting.refit import fitted_stages
from t2jax.laws import Additive, Warped
from t2jax.uncertainty.discrepancy import Surfaces

TRUTH = Additive(E=1.5, A=400.0, B=900.0, alpha=0.34, beta=0.3)


def table(
    misfit: float = 0.0, *, seed: int = 0, noise: float = 0.004, largest: float = 1e9
) -> t2.Observations:
    """Sizes by tokens, three checkpoints a run, and a smooth departure from the law."""
    rng = np.random.default_rng(seed)
    params = np.repeat(np.geomspace(1e6, largest, 8), 6)
    tokens = np.tile(np.geomspace(1e8, 3e10, 6), 8)
    bump = misfit * np.sin(np.log(params) / 1.5) * np.cos(np.log(tokens) / 1.7)
    loss = t2.laws.predict(TRUTH, params, tokens) * np.exp(bump + noise * rng.normal(size=48))
    run = np.array([f"m{i // 3}" for i in range(48)])
    return t2.Observations(
        kind="loss", run=run, params=params, tokens=tokens, loss=loss, source="a simulated table"
    )


@pytest.fixture(scope="module")
def fitted():
    runs = table(0.03)
    fit = t2.fit(runs, "additive")
    (stage,) = double(fitted_stages)(fit, runs)
    return fit, double(Surfaces)(fit, stage, runs.cluster("run"), 1500, 0)


def test_before_the_fit_surfaces_are_draws_of_the_process(fitted):
    _, surfaces = fitted
    drawn = double(surfaces._surface)(surfaces.rows.place)
    amplitude, lengths = surfaces._each[:, 2], surfaces._each[:, 3:]
    assert np.mean(drawn[:, 5] ** 2) == pytest.approx(np.mean(amplitude**2), rel=0.12)
    apart = surfaces.rows.place[5] - surfaces.rows.place[20]
    covariance = np.mean(amplitude**2 * np.exp(-0.5 * np.sum((apart / lengths) ** 2, axis=1)))
    spread = np.mean(amplitude**2)
    assert np.mean(drawn[:, 5] * drawn[:, 20]) == pytest.approx(covariance, abs=0.12 * spread)


def test_after_it_they_follow_the_table_and_are_free_far_from_it(fitted):
    fit, surfaces = fitted
    law = double(surfaces.on_point)(fit.law)
    assert isinstance(law, Warped)
    runs = fit.observations
    told = t2.laws.predict(law, runs.params, runs.tokens)
    left, before = np.log(runs.loss / told), np.log(runs.loss / fit.predicted)
    assert np.std(left) < 0.5 * np.std(before)
    draws = t2.bootstrap(fit, n_draws=400, progress=False)
    widths = []
    for params, tokens in ((3e7, 2e9), (3e10, 1e12), (3e12, 1e14)):
        plain = t2.laws.predict(Additive(**draws.law.coefficients()), params, tokens)
        warped = draws.predict(params=params, tokens=tokens)
        widths.append(float(np.std(np.log(warped / plain))))
    assert widths[0] < min(widths[1:])
    assert widths[2] == pytest.approx(draws.diagnostics["misfit"]["amplitude"], rel=0.5)


def process(rows, misfit, left, at):
    """Mean of the Gaussian process at log N and log D, given what is left at the rows: exact."""
    run, checkpoint, amplitude, *lengths = misfit

    def alike(first, second):
        apart = (first[:, None] - second[None]) / np.array(lengths)
        return amplitude**2 * np.exp(-0.5 * np.sum(apart**2, axis=-1))

    same = rows.run[:, None] == rows.run[None]
    noise = checkpoint**2 * np.eye(len(same)) + run**2 * same
    inner = np.linalg.solve(alike(rows.place, rows.place) + noise, left)
    return alike(at, rows.place) @ inner


PARAMS, TOKENS = (axis.ravel() for axis in np.meshgrid(
    np.geomspace(1e6, 1e11, 12), np.geomspace(1e7, 1e13, 12)
))  # fmt: skip
PLACES = np.log(np.stack([PARAMS, TOKENS], axis=1))


def test_the_mean_surface_is_that_of_the_process_where_nothing_was_measured_too(fitted):
    fit, surfaces = fitted
    law = double(surfaces.on_point)(fit.law)
    mean = process(surfaces.rows, surfaces.misfit, surfaces.rows.left, PLACES)
    told = np.log(t2.laws.predict(law, PARAMS, TOKENS) / t2.laws.predict(fit.law, PARAMS, TOKENS))
    np.testing.assert_allclose(told, mean, atol=1e-3)
    assert np.max(np.abs(mean)) > 0.01


def test_what_a_draw_says_against_its_prior_is_the_process_with_its_own_lengths():
    runs = table(0.03, largest=1e13)  # so wide that short lengths ask for more than the grid has
    fit = t2.fit(runs, "additive")
    (stage,) = double(fitted_stages)(fit, runs)
    surfaces = double(Surfaces)(fit, stage, runs.cluster("run"), 400, 0)
    each, rng = surfaces._each, np.random.default_rng(2)
    chosen = [*(int(np.argmin(each[:, column])) for column in (3, 4)), *range(8)]
    left = 0.03 * rng.normal(size=(len(chosen), len(surfaces.rows.left)))
    height, none = double(surfaces._heights)(left, each[chosen]), np.zeros((24, 2))
    for own, misfit, bumps in zip(left, each[chosen], height, strict=True):
        law = surfaces._on(fit.law, none, none.ravel(), misfit, bumps)
        told = t2.laws.predict(law, PARAMS, TOKENS) / t2.laws.predict(fit.law, PARAMS, TOKENS)
        mean = process(surfaces.rows, misfit, own, PLACES)
        assert np.max(np.abs(np.log(told) - mean)) < 2e-3 + 0.02 * np.max(np.abs(mean))


def test_intervals_beyond_the_data_hold_what_the_law_alone_misses():
    runs = table(0.03)
    near = runs.train_flops < np.quantile(runs.train_flops, 0.7)
    fit = t2.fit(runs.select(near), "additive")
    far = runs.select(~near)
    held = {}
    for on in (False, True):
        draws = t2.bootstrap(fit, n_draws=200, discrepancy=on, progress=False)
        told = t2.predict(draws, params=far.params, tokens=far.tokens, new="checkpoint")
        low, high = np.quantile(told, [0.05, 0.95], axis=0)
        held[on] = np.mean((low <= far.loss) & (far.loss <= high))
    assert held[True] >= 0.85
    assert held[True] > held[False]


def test_a_law_that_is_true_keeps_a_small_surface():
    draws = t2.bootstrap(t2.fit(table(), "additive"), n_draws=50, progress=False)
    assert draws.diagnostics["misfit"]["amplitude"] < 0.01
    plain = t2.bootstrap(t2.fit(table(), "additive"), n_draws=50, discrepancy=False, progress=False)
    assert isinstance(plain.law, Additive)
    assert isinstance(draws.law, Warped)


def test_a_row_far_from_its_neighbours_is_no_misfit():
    runs = table()
    loss = np.array(runs.loss)
    loss[[5, 30]] *= [1.3, 0.8]
    struck = dataclasses.replace(runs, loss=loss)
    clean = t2.bootstrap(t2.fit(runs, "additive"), n_draws=100, progress=False)
    draws = t2.bootstrap(t2.fit(struck, "additive"), n_draws=100, progress=False)
    assert (clean.diagnostics["strays"], draws.diagnostics["strays"]) == (0, 2)
    assert draws.diagnostics["misfit"]["amplitude"] < 0.01
    budget = t2.Budget(train_flops=1e18)
    widths = [np.ptp(np.log(t2.optimum(one, budget).interval("params"))) for one in (clean, draws)]
    assert widths[1] < 1.5 * widths[0]
    # A table that is one smooth surface off, or exact, has no such rows.
    for other in (table(0.03), table(noise=0.0)):
        one = t2.bootstrap(t2.fit(other, "additive"), n_draws=20, progress=False)
        assert one.diagnostics["strays"] == 0


def test_a_surface_that_could_hide_the_trend_sends_no_exponent_to_its_bound():
    # Chinchilla-like: over three decades of N and D the loss falls by a tenth each, so that
    # surfaces as large as the prior allows are as large as what the law has to say.
    rng = np.random.default_rng(4)
    law = Additive(E=1.8, A=480.0, B=2000.0, alpha=0.35, beta=0.37)
    params = 10 ** rng.uniform(7.6, 10.2, 150)
    tokens = np.clip(params * 10 ** rng.uniform(0.3, 2.3, 150), 1e9, 3e11)
    loss = t2.laws.predict(law, params, tokens) * np.exp(0.003 * rng.normal(size=150))
    runs = t2.Observations(
        kind="loss", run=np.arange(150).astype(str), params=params, tokens=tokens, loss=loss,
        source="a simulated table",
    )  # fmt: skip
    fit = t2.fit(runs, "additive")
    (stage,) = double(fitted_stages)(fit, runs)
    surfaces = double(Surfaces)(fit, stage, runs.cluster("row"), 400, 0)
    surfaces.misfit = surfaces.misfit._replace(amplitude=0.1, length_params=8.0, length_tokens=1.3)
    surfaces._prior *= 0.1 / surfaces._each[:, 2:3]
    steps = np.linalg.lstsq(surfaces.rows.slopes, double(surfaces.before)().T, rcond=None)[0]
    assert np.max(np.std(steps, axis=1)) < 2.0
    raw = double(surfaces._surface)(surfaces.rows.place)
    loose = np.linalg.lstsq(surfaces.rows.slopes, raw.T, rcond=None)[0]
    assert np.all(np.std(steps, axis=1) < np.std(loose, axis=1))


@pytest.mark.slow
def test_chinchillas_table_tells_its_size_with_and_without_its_outliers(shared_data):
    points = pd.read_csv(shared_data / "chinchilla_epoch" / "points.csv")
    for rows in (points, points[points.epoch_fit_subset == 1]):
        runs = t2.Observations(
            kind="loss", run=np.arange(len(rows)).astype(str), params=rows.n_params,
            tokens=rows.d_tokens, loss=rows.loss, source="Chinchilla's runs",
        )  # fmt: skip
        draws = t2.bootstrap(t2.fit(runs, "additive"), n_draws=200, progress=False)
        found = t2.optimum(draws, t2.Budget(train_flops=1e21))
        low, high = found.interval("params")
        assert 2e9 < low < found.params < high < 3.2e9


def test_below_the_smallest_model_the_surface_does_not_change():
    law = Warped(
        loss=TRUTH, by_params=np.array([0.7]), by_tokens=np.array([0.4]), cosine=np.array([0.2]),
        sine=np.array([0.1]), params_nodes=np.zeros(1), tokens_nodes=np.zeros(1),
        params_length=1.0, tokens_length=1.0, height=np.zeros(1), least=1e6,
    )  # fmt: skip
    size, tokens = np.array([1e3, 1e5, 1e6, 1e8]), 1e9
    surface = t2.laws.predict(law, size, tokens) / t2.laws.predict(TRUTH, size, tokens)
    phase = 0.7 * np.log(1e6) + 0.4 * np.log(1e9)
    np.testing.assert_allclose(
        surface[:3], np.exp(0.2 * np.cos(phase) + 0.1 * np.sin(phase)), rtol=1e-9
    )
    assert surface[3] != pytest.approx(surface[2], rel=1e-3)


@pytest.mark.slow
def test_noise_of_a_new_checkpoint_is_shared_by_every_k_and_absent_from_the_law():
    runs = t2.datasets.load_ladder()
    draws = t2.bootstrap(t2.fit(runs), n_draws=30, progress=False)
    at = {"params": 1e4, "tokens": 1e7, "samples": [1.0, 16.0, 16.0]}
    alone = t2.predict(draws, **at)
    for i, k in enumerate(at["samples"]):
        each = draws.predict(params=1e4, tokens=1e7, samples=k)
        np.testing.assert_allclose(alone[:, i], each, rtol=1e-9)
    new = t2.predict(draws, **at, new="checkpoint")
    np.testing.assert_array_equal(new[:, 1], new[:, 2])
    noise = np.log(new[:, 0] / alone[:, 0])
    size = np.hypot(draws.nuisance["run_sd"], draws.nuisance["checkpoint_sd"])
    assert 0.6 < np.std(noise / size) < 1.5
    assert np.all((new[:, 1] > alone[:, 1]) == (noise > 0))
    # Of a whole run less is noise, and another checkpoint has its own.
    run = np.log(t2.predict(draws, **at, new="run")[:, 0] / alone[:, 0])
    assert np.std(run) < np.std(noise)
    with pytest.raises(t2.InputError, match='new="checkpoint"'):
        t2.predict(draws, **at, new="model")
