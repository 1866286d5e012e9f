"""The beta-binomial log likelihood of each checkpoint, with derivatives summed over questions.

A checkpoint's questions share one a and one b, so the cells are differentiated in these two
alone and summed before the chain rule meets the law's coefficients: a Hessian in nine
coefficients costs as many passes over the cells as one in two.
"""

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import beta
from t2jax._typing import Floats

__all__ = ["distinct_cells", "log_likelihood"]


def distinct_cells(
    successes: np.ndarray, trials: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of each checkpoint without repetition: equal cells have equal likelihoods.

    Args:
      successes: solved attempts [checkpoints, questions].
      trials: attempts [checkpoints, questions].

    Returns:
      Successes, trials and how many questions have them, three arrays [checkpoints, cells],
      padded with cells of no trials to a multiple of 16, so that few programs are compiled.

    >>> distinct_cells(np.array([[0, 0, 3]]), np.array([[9, 9, 9]]))[2][0, :3].tolist()
    [2.0, 1.0, 0.0]
    """
    found = [
        np.unique(np.stack(pair, axis=1), axis=0, return_counts=True)
        for pair in zip(successes, trials, strict=True)
    ]
    size = -(-max(len(pairs) for pairs, _ in found) // 16) * 16
    out = np.zeros((3, len(found), size))
    for i, (pairs, count) in enumerate(found):
        out[:2, i, : len(pairs)], out[2, i, : len(pairs)] = pairs.T, count
    return out[0], out[1], out[2]


def _cells(a: Floats, b: Floats, successes: Floats, trials: Floats, weight: Floats) -> Floats:
    """Weighted log probability of every cell [checkpoints, questions]."""
    log_mass = beta.beta_binomial_log_pmf(successes, jnp.maximum(trials, 1.0), a, b)
    asked = jnp.where(trials > 0, weight, 0.0)
    return jnp.where(asked > 0, asked * log_mass, 0.0)


def _spread(a: Floats, b: Floats, like: Floats) -> tuple[Floats, Floats]:
    return jnp.broadcast_to(a[:, None], like.shape), jnp.broadcast_to(b[:, None], like.shape)


@jax.custom_jvp
def log_likelihood(
    a: Floats, b: Floats, successes: Floats, trials: Floats, weight: Floats
) -> Floats:
    """Log likelihood of each checkpoint's counts.

    Args:
      a: first Beta parameter [checkpoints].
      b: second Beta parameter [checkpoints].
      successes: solved attempts [checkpoints, questions].
      trials: attempts [checkpoints, questions]; zero where a question was not asked.
      weight: weight of each question [questions], or of each cell [checkpoints, questions].

    Returns:
      Sums over questions [checkpoints].
    """
    return jnp.sum(_cells(*_spread(a, b, successes), successes, trials, weight), axis=1)


@jax.custom_jvp
def _gradient(a, b, successes, trials, weight):
    """Derivatives in a and b, summed over questions: two arrays [checkpoints]."""
    point = _spread(a, b, successes)
    one, zero = jnp.ones_like(successes), jnp.zeros_like(successes)

    def along(da, db):
        slope = jax.jvp(lambda a, b: _cells(a, b, successes, trials, weight), point, (da, db))[1]
        return jnp.sum(slope, axis=1)

    return along(one, zero), along(zero, one)


def _hessian(a, b, successes, trials, weight):
    """Second derivatives aa, ab, bb, summed over questions: three arrays [checkpoints]."""
    point = _spread(a, b, successes)
    one, zero = jnp.ones_like(successes), jnp.zeros_like(successes)

    def along(first, second):
        def slope(a, b):
            return jax.jvp(lambda a, b: _cells(a, b, successes, trials, weight), (a, b), first)[1]

        return jnp.sum(jax.jvp(slope, point, second)[1], axis=1)

    by_a, by_b = (one, zero), (zero, one)
    return along(by_a, by_a), along(by_a, by_b), along(by_b, by_b)


@log_likelihood.defjvp
def _log_likelihood_jvp(primals, tangents):
    by_a, by_b = _gradient(*primals)
    return log_likelihood(*primals), by_a * tangents[0] + by_b * tangents[1]


@_gradient.defjvp
def _gradient_jvp(primals, tangents):
    aa, ab, bb = _hessian(*primals)
    da, db = tangents[:2]
    return _gradient(*primals), (aa * da + ab * db, ab * da + bb * db)
