"""The Beta kernel against mpmath at 50 digits, and facts that need no referee."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2jax import beta

GOLDEN_SAMPLES = (1, 10, 100, 1e3, 1e4)

RANGES = {"a": (-8, 4), "b": (-2, 9), "k": (0, 8)}  # decades the kernel is certified for
CORNERS = [
    (a, b, k)
    for a in (1e-8, 1e-3, 1.0, 1e4)
    for b in (1e-2, 1.0, 7.9, 1e4, 1e9)
    for k in (1.0, 1.5, 1e3, 1e8)
]


def decades(low, high):
    return st.floats(low, high).map(lambda x: float(10**x))


def sweep(ranges, count, seed=0):
    """Points drawn evenly in the logs, one column each."""
    rng = np.random.default_rng(seed)
    return [10 ** rng.uniform(low, high, count) for low, high in ranges]


def real(x):
    """An mpmath number as a float."""
    return float(mpmath.re(x))


def derivatives(function):
    """Value, gradient and upper Hessian of a scalar function of scalars, in one vector."""

    def all_of_them(*args):
        which = tuple(range(len(args)))
        second = jax.hessian(function, which)(*args)
        upper = [second[i][j] for i in which for j in which[i:]]
        return jnp.stack([function(*args), *jax.grad(function, which)(*args), *upper])

    return jax.jit(jax.vmap(all_of_them))


def exact_ratio(a, b, k):
    """Value, gradient and upper Hessian of log B(a, b+k)/B(a, b), by mpmath."""
    with mpmath.workdps(50):
        a, b, k = mpmath.mpf(a), mpmath.mpf(b), mpmath.mpf(k)
        at = [[f(x) for x in (b, a + b, b + k, a + b + k)] for f in POLYGAMMAS]
        (g0, ga, gk, gak), (p0, pa, pk, pak), (t0, ta, tk, tak) = at
        value = (gk - gak) - (g0 - ga)
        gradient = [pa - pak, (pk - pak) - (p0 - pa), pk - pak]
        hessian = [ta - tak, ta - tak, -tak, (tk - tak) - (t0 - ta), tk - tak, tk - tak]
        return [float(x) for x in (value, *gradient, *hessian)]


POLYGAMMAS = (mpmath.loggamma, lambda x: mpmath.psi(0, x), lambda x: mpmath.psi(1, x))

ratio_derivatives = derivatives(beta.log_beta_ratio)


def test_ratio_gradient_and_hessian_agree_with_mpmath_over_the_whole_range():
    points = np.c_[*sweep(RANGES.values(), 300)]
    a, b, k = np.r_[points, CORNERS].T
    with jax.enable_x64(True):
        ours = np.asarray(ratio_derivatives(a, b, k))
    exact = np.array([exact_ratio(*point) for point in zip(a, b, k, strict=True)])
    assert np.abs(ours / exact - 1).max(0) == pytest.approx(0, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(decades(*RANGES["a"]), decades(*RANGES["b"]), decades(*RANGES["k"]))
def test_ratio_gradient_and_hessian_agree_with_mpmath_anywhere(a, b, k):
    with jax.enable_x64(True):
        ours = ratio_derivatives(*np.array([[a], [b], [k]]))[0]
    assert np.asarray(ours) == pytest.approx(exact_ratio(a, b, k), rel=1e-12, abs=0)


def test_ratio_in_single_precision_is_finite_and_right_to_five_digits():
    points = np.r_[np.c_[*sweep(RANGES.values(), 100)], CORNERS].astype(np.float32)
    with jax.enable_x64(False):
        ours = np.asarray(ratio_derivatives(*points.T))
    exact = np.array([exact_ratio(*map(float, point)) for point in points])
    assert ours.dtype == np.float32
    assert np.abs(ours / exact - 1).max() < 1e-5


def test_third_derivative_exists_and_is_a_polygamma():
    with jax.enable_x64(True):
        third = jax.grad(jax.grad(jax.grad(beta.log_beta_ratio, 2), 2), 2)(0.3, 12.4, 7.0)
        exact = mpmath.psi(2, 12.4 + 7) - mpmath.psi(2, 12.4 + 7 + 0.3)
        assert float(third) == pytest.approx(float(exact), rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(decades(-6, 4), decades(-2, 8), decades(0, 7), decades(0, 7))
def test_failing_twice_as_long_multiplies_and_a_and_k_may_be_swapped(a, b, k, more):
    with jax.enable_x64(True):
        both = beta.log_beta_ratio(a, b, k + more)
        steps = beta.log_beta_ratio(a, b, k) + beta.log_beta_ratio(a, b + k, more)
        assert float(steps) == pytest.approx(float(both), rel=1e-9)
        assert float(beta.log_beta_ratio(k, b, a)) == pytest.approx(
            float(beta.log_beta_ratio(a, b, k)), rel=1e-13
        )


def test_one_sample_succeeds_at_the_mean_of_the_spread():
    a, b = sweep(((-6, 4), (-2, 6)), 200)
    with jax.enable_x64(True):
        assert np.asarray(beta.pass_at_k(a, b, 1)) == pytest.approx(a / (a + b), rel=1e-12)
        assert beta.log_beta_ratio(0.3, 12.4, 0.0) == 0


def test_log_of_mean_pass_matches_the_golden_row(golden):
    with jax.enable_x64(True):
        row = -jnp.log(beta.pass_at_k(0.3, 12.4, np.array(GOLDEN_SAMPLES)))
        assert row.tolist() == golden("beta")["neg log of mean pass"].approx


@pytest.mark.parametrize(
    "function", [beta.log_beta_ratio, beta.mean_neg_log_pass, beta.expected_tries]
)
def test_batched_compiled_and_single_calls_agree_in_both_precisions(function):
    a, b, k = np.array([0.02, 0.3, 8.0]), np.array([[0.5], [12.4]]), 7.0
    compiled = jax.jit(function)
    for wide in (False, True, False):
        with jax.enable_x64(wide):
            batch = np.asarray(compiled(a, b, k))
            single = [[float(function(float(x), float(y), 7)) for x in a] for y in b[:, 0]]
            assert batch.dtype == (np.float64 if wide else np.float32)
            assert batch == pytest.approx(np.array(single), rel=1e-12 if wide else 1e-5)


def exact_mean_neg_log_pass(a, b, k):
    """The series by mpmath: 60 terms, then Euler-Maclaurin with its integral by quadrature."""
    with mpmath.workdps(30):
        a, b, k = mpmath.mpf(a), mpmath.mpf(b), mpmath.mpf(k)
        scale = mpmath.loggamma(a + b) - mpmath.loggamma(b)

        def failing(j):
            return mpmath.exp(mpmath.loggamma(b + k * j) - mpmath.loggamma(a + b + k * j) + scale)

        def term(j):
            return failing(j) / j

        start = mpmath.log(60)
        end = mpmath.log(10**12 * (a + b + 1) / k)
        beyond = max(start, end)
        total = failing(mpmath.exp(beyond)) / a + mpmath.fsum(term(j) for j in range(1, 60))
        if end > start:
            panels = mpmath.linspace(start, end, 9)
            total += mpmath.quad(lambda u: failing(mpmath.exp(u)), panels)
        slope, third = mpmath.diff(term, 60), mpmath.diff(term, 60, 3)
        return float(total + term(60) / 2 - slope / 12 + third / 720)


def test_mean_neg_log_pass_matches_the_golden_row(golden):
    with jax.enable_x64(True):
        row = beta.mean_neg_log_pass(0.3, 12.4, np.array(GOLDEN_SAMPLES))
    assert row.tolist() == golden("beta")["mean of neg log pass"].approx


def test_mean_neg_log_pass_agrees_with_mpmath_over_its_range():
    corners = [(a, b, k) for a in (0.01, 5, 50) for b in (0.1, 1e3, 1e6) for k in (1, 30, 1e6)]
    points = np.r_[np.c_[*sweep(((-2, 1.69), (-1, 6), (0, 6)), 30)], corners]
    with jax.enable_x64(True):
        ours = np.asarray(jax.jit(beta.mean_neg_log_pass)(*points.T))
    exact = np.array([exact_mean_neg_log_pass(*point) for point in points])
    assert np.abs(ours / exact - 1).max() < 1e-9


def test_mean_neg_log_pass_at_one_sample_is_a_digamma_difference_with_its_gradient():
    a, b = sweep(((-2, 1.69), (-1, 6)), 300)
    with jax.enable_x64(True):
        ours = np.asarray(derivatives(lambda a, b: beta.mean_neg_log_pass(a, b, 1.0))(a, b))
    psi = [[real(mpmath.psi(n, x)) for n in (0, 1, 2)] for x in np.r_[a, a + b]]
    at_a, at_sum = np.array(psi).reshape(2, -1, 3)
    assert ours[:, [0, 1, 3]] == pytest.approx(at_sum - at_a, rel=1e-7)
    assert ours[:, [2, 5]] == pytest.approx(at_sum[:, 1:], rel=1e-6)


def test_mean_neg_log_pass_gradient_is_the_limit_of_its_differences():
    @jax.jit
    @jax.value_and_grad
    def log_scale(at):
        return beta.mean_neg_log_pass(*jnp.exp(at))

    with jax.enable_x64(True):
        for k in (3.0, 40.0, 1e5):
            at = np.log([0.3, 12.4, k])
            slopes = log_scale(at)[1]
            for slope, step in zip(slopes, 1e-4 * np.eye(3), strict=True):
                difference = (log_scale(at + step)[0] - log_scale(at - step)[0]) / 2e-4
                assert float(slope) == pytest.approx(float(difference), rel=1e-6)


def test_for_many_samples_the_two_aggregates_differ_by_a_zeta_factor():
    with jax.enable_x64(True):
        k = 1e30
        failures = jnp.exp(beta.log_beta_ratio(0.3, 12.4, k))
        ratio = beta.mean_neg_log_pass(0.3, 12.4, k) / -jnp.log1p(-failures)
    assert float(ratio) == pytest.approx(float(mpmath.zeta(1.3)), rel=1e-8)


def test_expected_tries_matches_the_golden_value_and_the_sum_it_stands_for(golden):
    with jax.enable_x64(True):
        tries = float(beta.expected_tries(0.3, 12.4, 100))
        assert tries == golden("beta")["expected tries"].approx
        a, b = (x[:, None] for x in sweep(((-6, 3), (-2, 5)), 200))
        a = np.r_[a, [[1.0]] * 3, [[0.95]], [[1.05]], [[0.3]]]
        b = np.r_[b, [[0.5]], [[2.0]], [[1e4]], [[2.0]], [[2.0]], [[0.7]]]  # the last: a + b = 1
        still_failing = np.exp(beta.log_beta_ratio(a, b, np.arange(300.0)))
        for k in (1, 2, 17, 300):
            ours = np.asarray(beta.expected_tries(a[:, 0], b[:, 0], k))
            assert ours == pytest.approx(still_failing[:, :k].sum(1), rel=1e-11)


def test_expected_tries_is_differentiable_twice_through_a_equal_to_one():
    def summed(a):  # the sum itself, term by term
        return jnp.exp(beta.log_beta_ratio(a, 3.0, jnp.arange(50.0))).sum()

    at = np.array([0.5, 0.9499, 0.9501, 1 - 1e-9, 1.0, 1 + 1e-9, 1.0499, 1.0501, 7.0])
    with jax.enable_x64(True):
        ours = derivatives(lambda a: beta.expected_tries(a, 3.0, 50.0))(at)
        assert np.asarray(ours) == pytest.approx(np.asarray(derivatives(summed)(at)), rel=1e-10)


def test_decay_mean_is_smooth_through_zero():
    at = np.array([-0.2999, -1e-9, 0.0, 1e-9, 0.2999, 0.3001, 5.0, 700.0])
    with jax.enable_x64(True):
        ours = np.asarray(derivatives(beta.decay_mean)(at))
    for n in range(3):
        exact = [
            real(mpmath.quad(lambda x, n=n, w=w: (-x) ** n * mpmath.exp(-w * x), [0, 0.01, 0.1, 1]))
            for w in at
        ]
        assert ours[:, n] == pytest.approx(exact, rel=1e-12)
