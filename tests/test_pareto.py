"""k-hat: against ArviZ, against what is known of ratios, and where Laplace intervals print it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import t2jax as t2
from t2jax.validation.covariance import coefficients_covariance, in_units, variance_of
from t2jax.validation.held_fit import Setup
from t2jax.validation.pareto import RELIABLE, pareto_k
from t2jax.validation.profile import settled_at


def ratios(seed: int, size: int, power: float) -> np.ndarray:
    """Logs of ratios with a Pareto tail of that shape."""
    return power * np.random.default_rng(seed).exponential(size=size)


@pytest.mark.parametrize("size", [100, 999, 4000])
@pytest.mark.parametrize("power", [0.2, 0.7, 1.5])
def test_k_hat_is_that_of_arviz(size, power):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its next version on import
        arviz = pytest.importorskip("arviz")
    some = [ratios(1, size, power), np.random.default_rng(2).normal(0, 2 * power, size)]
    for log_ratios in some:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = float(arviz.psislw(log_ratios.copy())[1])
        assert pareto_k(log_ratios) == pytest.approx(known, rel=1e-6, abs=1e-9)


def test_k_hat_is_the_shape_of_a_pareto_tail():
    for power in (0.3, 0.8, 1.2):
        found = [pareto_k(ratios(seed, 20_000, power)) for seed in range(20)]
        # 425 ratios in each tail: a standard error of (1 + k)/sqrt(425), of the mean a quarter.
        assert np.mean(found) == pytest.approx(
            power, abs=3 * (1 + power) / np.sqrt(425 * 20) + 0.02
        )


def test_k_hat_of_ratios_that_tell_nothing():
    assert pareto_k(np.zeros(1000)) == 0.0
    for useless in (np.full(1000, -np.inf), np.full(1000, np.nan), np.zeros(0), [0.0, 1.0, 5.0]):
        assert pareto_k(np.asarray(useless)) == np.inf
    beyond = ratios(0, 4000, 0.5)
    beyond[::2] = -np.inf  # half of the draws lie past a bound
    assert 0.2 < pareto_k(beyond) < 0.8


PARAMS = np.repeat(np.geomspace(1e7, 2e9, 4), 4)
TOKENS = PARAMS * np.tile(np.geomspace(5, 500, 4), 4)


def simulated(sd: float) -> t2.FitResult:
    """A fit of sixteen simulated runs."""
    loss = 1.7 + 0.6 * (PARAMS / 2e8) ** -0.34 + 0.5 * (TOKENS / 6e9) ** -0.3
    loss = loss * np.exp(np.random.default_rng(0).normal(0, sd, 16))
    run = np.arange(16).astype(str)
    runs = t2.Observations(kind="loss", run=run, params=PARAMS, tokens=TOKENS, loss=loss)
    return t2.fit(runs, law="additive", objective="huber")


@pytest.fixture(scope="module")
def quiet() -> t2.FitResult:
    return simulated(0.0005)


def test_laplace_intervals_say_how_quadratic_the_squares_are(quiet):
    sharp = t2.profile(quiet, "alpha", level=0.95, method="laplace")
    assert sharp.k_hat is not None
    assert sharp.k_hat < 0.5
    assert "Pareto k-hat of draws from it: 0." in sharp.summary()
    assert not any("k-hat" in note for note in sharp.notes)
    vague = t2.profile(simulated(0.05), "alpha", level=0.95, method="laplace")
    assert vague.k_hat is not None
    assert vague.k_hat > RELIABLE
    assert any("far from quadratic" in note for note in vague.notes)
    assert t2.profile(quiet, "alpha").k_hat is None


def test_the_covariance_is_the_variance_in_every_direction(quiet):
    with jax.enable_x64(True):
        setup = Setup.of(
            quiet.law, quiet.observations, objective="huber", samples=None, box=None, plan=None,
            unit="run",
        )  # fmt: skip
        for method in ("pooled", "robust"):
            units = in_units(settled_at(setup), jnp.asarray(setup.places), method)
            whole = coefficients_covariance(units, method)
            for way in np.random.default_rng(0).normal(size=(3, 5)):
                one = variance_of(units, jnp.asarray(way), method).variance
                assert float(way @ np.asarray(whole) @ way) == pytest.approx(float(one), rel=1e-9)
