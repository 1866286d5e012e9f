"""pass@k of one question: from counts or from a likelihood (floor 0)."""

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._precision import double
from t2jax._programs import program
from t2jax._typing import ArrayLike, Floats
from t2jax.beta import as_floats, decay_mean, log_gamma_corner
from t2jax.errors import InputError

__all__ = ["host_log_pass_at_k", "log_pass_at_k", "neg_log_pass_at_k", "pass_at_k"]


def _whole(name: str, values, least: int) -> np.ndarray:
    """The values as float64, or an error that names the first one that is not a count."""
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers", remedy="give whole numbers") from None
    wrong = ~(np.isfinite(array) & (array >= least) & (array == np.floor(array)))
    if wrong.any():
        raise InputError(
            f"{name} contains {array[wrong].flat[0]:g}",
            remedy=f"every entry must be a whole number of at least {least}",
        )
    return array


def pass_at_k(successes, trials, k) -> np.ndarray:
    """Unbiased estimate of pass@k from counts: the chance that k of the trials hold a success.

    `1 - prod_{j=trials-successes+1..trials} (1 - k/j)`

    Args:
      successes: correct samples of each question, whole numbers, any shape.
      trials: samples drawn of each question, whole numbers that broadcast with `successes`.
      k: samples allowed, whole numbers of at least 1 that broadcast with both.

    Returns:
      float64 array of the common shape; NaN where `k > trials`, where no unbiased estimate
      exists. Estimates at different k share samples and are not independent.

    Raises:
      InputError: an entry is not a whole number, is negative, k is below 1, or there are more
        successes than trials.

    >>> pass_at_k([0, 1, 2], 4, 2)
    array([0.        , 0.5       , 0.83333333])
    >>> float(pass_at_k(0, 2, 5))
    nan

    Source: Chen et al. 2021, arXiv:2107.03374.
    """
    successes = _whole("successes", successes, 0)
    trials = _whole("trials", trials, 0)
    k = _whole("k", k, 1)
    try:
        successes, trials, k = np.broadcast_arrays(successes, trials, k)
    except ValueError:
        raise InputError(
            f"shapes {successes.shape}, {trials.shape} and {k.shape} do not broadcast",
            remedy="add a trailing axis to the counts when k is a grid: successes[:, None]",
        ) from None
    if (successes > trials).any():
        at = np.flatnonzero((successes > trials).ravel())[0]
        raise InputError(
            f"{successes.flat[at]:g} successes in {trials.flat[at]:g} trials",
            remedy="successes may not exceed trials; check the column mapping",
        )
    spare = trials - successes - k  # failures left over when all k samples fail
    # The same second difference of log-gamma as in the Beta mean: base, steps c and k.
    missed = log_gamma_corner(0, np.maximum(spare, 0) + 1, successes, k, np.log1p)
    estimate = np.where((spare < 0) & (successes > 0), 1.0, -np.expm1(-missed))
    return np.where(k > trials, np.nan, estimate)


def _surprise_ratio(nll):
    """-log(1-p)/p at p = exp(-nll); 1 where p vanishes, differentiable everywhere."""
    p = jnp.exp(-nll)
    likely, rare = nll < 0.7, p < 0.03
    from_nll = -jnp.log(-jnp.expm1(-jnp.where(likely, nll, 0.7))) / p
    middle = jnp.where(likely | rare, 0.5, p)
    taylor = jnp.zeros_like(p)
    for n in range(12, 0, -1):
        taylor = 1 / n + jnp.where(rare, p, 0) * taylor
    return jnp.where(likely, from_nll, jnp.where(rare, taylor, -jnp.log1p(-middle) / middle))


def _surprise(nll, k):
    """-log(1-p)/p, and k times -log(1-p), a step off zero where both are infinite."""
    positive = nll + 1e3 * jnp.finfo(nll.dtype).tiny
    ratio = _surprise_ratio(positive)
    return positive, ratio, k * jnp.exp(-positive) * ratio


def _failure(nll):
    """1-p; below 1 by less than rounding, its derivative by `expm1` would be lost."""
    return jnp.where(nll < 0.7, -jnp.expm1(-nll), 1 - jnp.exp(-nll))


@jax.custom_jvp
def _log_pass(nll, k):
    positive, ratio, surprise = _surprise(nll, k)
    few = surprise < 0.7  # p may underflow here, and its logarithm may not
    rare = jnp.log(k) - positive + jnp.log(ratio * decay_mean(jnp.where(few, surprise, 0)))
    value = jnp.where(few, rare, jnp.log1p(-jnp.exp(-jnp.where(few, 1, surprise))))
    return jnp.where(nll == 0, 0, value)


@_log_pass.defjvp
def _log_pass_jvp(primals, tangents):
    (nll, k), (nll_dot, k_dot) = primals, tangents
    positive, ratio, surprise = _surprise(nll, k)
    slope = jnp.exp(-surprise) / decay_mean(surprise)  # of the value, per unit of log(surprise)
    tangent = slope * (k_dot / k - nll_dot / (ratio * _failure(positive)))
    return _log_pass(nll, k), tangent


def log_pass_at_k(nll: ArrayLike, k: ArrayLike) -> Floats:
    """Log pass@k of a question whose success probability is `exp(-nll)`.

    `log(1 - (1 - exp(-nll))^k)`

    Args:
      nll: negative log-likelihood of the correct answer, nats, summed over its tokens; >= 0.
      k: samples, real, at least 1; broadcasts with `nll`.

    Returns:
      Array of the common shape, nats, at most 0; NaN for negative `nll`. Exact where the
      probability underflows (`log(k) - nll`) and where it is near 1; differentiable.

    >>> with jax.enable_x64(True):
    ...     print(log_pass_at_k(np.array([0.0, 2.0, 2000.0]), 10))
    [ 0.00000000e+00 -2.66054237e-01 -1.99769741e+03]

    Source: Roberts et al. 2026, arXiv:2604.01411.
    """
    return _log_pass(*jnp.broadcast_arrays(*as_floats(nll, k)))


def neg_log_pass_at_k(nll: ArrayLike, k: ArrayLike) -> Floats:
    """`-log pass@k` of a question whose success probability is `exp(-nll)`: its loss in nats.

    `-log(1 - (1 - exp(-nll))^k)`

    Args:
      nll: negative log-likelihood of the correct answer, nats, summed over its tokens; >= 0.
      k: samples, real, at least 1; broadcasts with `nll`.

    Returns:
      Array of the common shape, nats, at least 0; at k = 1 it is `nll`.

    >>> with jax.enable_x64(True):
    ...     print(neg_log_pass_at_k(5.0, np.array([1, 10, 100])))
    [5.         2.72764974 0.71051595]

    Source: Roberts et al. 2026, arXiv:2604.01411.
    """
    return -log_pass_at_k(nll, k)


_of_host = double(program(log_pass_at_k))
# To which tables are filled up, so that those of a few checkpoints each share a program: another
# shape takes a third of a second to compile, 32 rows of 2,000 questions 3 ms to compute.
_ROWS = 32


def host_log_pass_at_k(nll: ArrayLike, k: float) -> np.ndarray:
    """`log_pass_at_k` of NumPy arrays, double: one program, where it is thirty eagerly."""
    nll = np.asarray(nll, float)
    if nll.ndim != 2:
        return np.asarray(_of_host(nll, k))
    filled = np.pad(nll, ((0, -len(nll) % _ROWS), (0, 0)))
    return np.asarray(_of_host(filled, np.asarray(k, float)))[: len(nll)]
