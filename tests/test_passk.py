"""pass@k of single questions: exact integers, exact expectations and mpmath."""

from fractions import Fraction
from math import comb

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2jax import passk
from t2jax.errors import InputError


@st.composite
def counts(draw, most):
    trials = draw(st.integers(1, most))
    return draw(st.integers(0, trials)), trials, draw(st.integers(1, trials))


@settings(deadline=None)
@given(counts(400))
def test_estimator_is_the_exact_share_of_samples_with_a_success(drawn):
    successes, trials, k = drawn
    exact = 1 - Fraction(comb(trials - successes, k), comb(trials, k))
    assert passk.pass_at_k(*drawn) == pytest.approx(float(exact), rel=1e-13, abs=0)


@settings(deadline=None)
@given(counts(3_000_000))
def test_estimator_keeps_its_digits_for_millions_of_trials(drawn):
    successes, trials, k = drawn
    with mpmath.workdps(50):
        g = mpmath.loggamma
        spare = trials - successes - k + 1
        missed = g(trials - successes + 1) + g(trials - k + 1) - g(trials + 1)
        exact = -mpmath.expm1(missed - g(spare)) if spare > 0 else mpmath.mpf(1)
        exact = float(exact) if successes else 0.0
    assert passk.pass_at_k(*drawn) == pytest.approx(exact, rel=1e-12, abs=0)


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(0, 1), st.data())
def test_estimator_is_unbiased(trials, p, data):
    k = data.draw(st.integers(1, trials))
    seen = np.arange(trials + 1)
    chance = np.array([comb(trials, c) for c in seen], float) * p**seen * (1 - p) ** (trials - seen)
    mean = (chance * passk.pass_at_k(seen, trials, k)).sum()
    assert mean == pytest.approx(-np.expm1(k * np.log1p(-p)) if p < 1 else 1, rel=1e-10, abs=1e-14)


def test_estimator_is_undefined_beyond_the_trials_and_certain_when_failures_run_out():
    assert np.isnan(passk.pass_at_k([0, 1, 2], 2, 3)).all()
    assert np.isnan(passk.pass_at_k(0, 0, 1))
    assert passk.pass_at_k([1, 3, 4], [4, 4, 4], [4, 2, 1]).tolist() == [1, 1, 1]
    assert passk.pass_at_k(0, 3_000_000, 3_000_000) == 0


def test_estimator_broadcasts_counts_against_a_grid_of_k():
    grid = passk.pass_at_k(np.array([0, 3, 9])[:, None], 10, np.array([1, 2, 10, 11]))
    assert grid.dtype == np.float64
    assert grid[:, 0].tolist() == pytest.approx([0, 0.3, 0.9], rel=1e-14)
    assert grid[:, 2].tolist() == [0, 1, 1]
    assert np.isnan(grid[:, 3]).all()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (([1, 5], 4, 1), "5 successes in 4 trials"),
        ((-1, 4, 1), "successes contains -1"),
        ((1.5, 4, 1), "successes contains 1.5"),
        ((1, float("nan"), 1), "trials contains nan"),
        ((1, float("inf"), 1), "trials contains inf"),
        ((1, -4, 1), "trials contains -4"),
        ((1, 4, 0), "k contains 0"),
        ((1, 4, 2.5), "k contains 2.5"),
        (("many", 4, 1), "successes must be numbers"),
        (([0, 1], [4, 4, 4], 1), "do not broadcast"),
    ],
)
def test_impossible_counts_are_named(args, words):
    with pytest.raises(InputError, match=words):
        passk.pass_at_k(*args)


def exact_log_pass(nll, k):
    """Value, gradient and upper Hessian in (nll, k), with digits enough for any probability."""
    with mpmath.workdps(60 + int(nll) + int(-min(0, mpmath.log10(nll)))):
        nll, k = mpmath.mpf(nll), mpmath.mpf(k)
        log_miss = mpmath.log(-mpmath.expm1(-nll))  # log(1-p)
        odds = 1 / mpmath.expm1(nll)  # p/(1-p), the slope of log_miss
        miss = mpmath.exp(k * log_miss)
        weight = miss / -mpmath.expm1(k * log_miss)  # failures per success
        value = mpmath.log1p(-miss)
        slopes = -k * odds * weight, -log_miss * weight
        curvature = weight * (1 + weight)  # minus the second derivative by log of `miss`
        by_nll = k * odds * (1 + odds) * weight - (k * odds) ** 2 * curvature
        mixed = -odds * weight - k * odds * log_miss * curvature
        by_k = -(log_miss**2) * curvature
        return [float(x) for x in (value, *slopes, by_nll, mixed, by_k)]


@jax.jit
def log_pass_derivatives(nll, k):
    def both(nll, k):
        gradient = jax.grad(passk.log_pass_at_k, (0, 1))(nll, k)
        second = jax.hessian(passk.log_pass_at_k, (0, 1))(nll, k)
        curvature = second[0][0], second[0][1], second[1][1]
        return jnp.stack([passk.log_pass_at_k(nll, k), *gradient, *curvature])

    return jax.vmap(both)(nll, k)


def sweep(count):
    rng = np.random.default_rng(0)
    nll, k = 10 ** rng.uniform(-12, 3.3, count), 10 ** rng.uniform(0, 8, count)
    seams = [0.6931, 0.7, 0.70001, 3.506, 3.5066, 745.0, 2000.0]  # where the formula changes
    return np.r_[nll, np.repeat(seams, 2)], np.r_[k, [1, 30.5] * len(seams)]


def test_log_pass_its_gradient_and_curvature_agree_with_mpmath():
    nll, k = sweep(300)
    with jax.enable_x64(True):
        ours = np.asarray(log_pass_derivatives(nll, k))
    exact = np.array([exact_log_pass(*point) for point in zip(nll, k, strict=True)])
    # Where pass@k is nearly 1 the value is (1-p)^k, whose relative error is k times rounding.
    assert ours[:, :3] == pytest.approx(exact[:, :3], rel=1e-11, abs=1e-290)
    wrong = np.abs(ours[:, 3:] - exact[:, 3:])
    floor = np.where(k == 1, 1e-15, 1e-290)  # at k = 1 the curvature by nll is exactly 0
    assert (wrong <= 1e-9 * np.abs(exact[:, 3:]) + floor[:, None]).all()


def test_log_pass_of_one_sample_is_the_likelihood_and_of_a_sure_answer_zero():
    nll, _ = sweep(200)
    with jax.enable_x64(True):
        assert np.asarray(passk.log_pass_at_k(nll, 1)) == pytest.approx(-nll, rel=1e-13)
        slope = jax.vmap(jax.grad(passk.log_pass_at_k), (None, 0))
        assert passk.log_pass_at_k(0.0, np.array([1, 2.5, 1e8])).tolist() == [0, 0, 0]
        assert np.asarray(slope(0.0, np.array([1, 2.5]))) == pytest.approx([-1, 0], abs=1e-10)
        assert np.isnan(passk.log_pass_at_k(-0.1, 2))


def test_log_pass_of_a_hopeless_answer_grows_by_log_k():
    with jax.enable_x64(True):
        k = np.array([1, 7.5, 1e8])
        ours = passk.log_pass_at_k(5000.0, k)
        assert np.asarray(ours) == pytest.approx(np.log(k) - 5000, rel=1e-15)
        assert np.asarray(passk.neg_log_pass_at_k(5000.0, k)) == pytest.approx(-np.asarray(ours))


def test_log_pass_in_single_precision_is_finite_and_right_to_five_digits():
    nll, k = (x.astype(np.float32) for x in sweep(200))
    exact = np.array([exact_log_pass(float(x), float(y))[:3] for x, y in zip(nll, k, strict=True)])
    with jax.enable_x64(False):
        ours = np.asarray(log_pass_derivatives(nll, k))[:, :3]
        at_zero = jax.grad(passk.log_pass_at_k)(0.0, 1.0)
    assert ours.dtype == np.float32
    assert ours == pytest.approx(exact, rel=1e-4, abs=1e-30)
    assert float(at_zero) == pytest.approx(-1, abs=1e-5)
