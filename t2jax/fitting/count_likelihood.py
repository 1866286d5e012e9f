"""The beta-binomial log likelihood of each checkpoint, with derivatives summed over questions.

A checkpoint's questions share one a and one b, so the cells are differentiated in these two
alone and summed before the chain rule meets the law's coefficients: a Hessian in nine
coefficients costs as many passes over the cells as one in two.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import beta
from t2jax._typing import Floats

__all__ = ["Rising", "distinct_cells", "log_likelihood", "rising", "rising_log_likelihood"]


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


_MOST = 4096  # trials up to which products are written out


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Rising:
    """Counts as exponents of the factors of rising factorials: a whole checkpoint in a few sums.

    `prod_q B(a + c_q, b + n_q - c_q)/B(a, b)` is a product of powers of `a + i`, of `b + i` and of
    `1/(a + b + i)`, so its cost does not grow with the number of questions.

    Attributes:
      solved: questions with more than i successes [checkpoints, i].
      failed: questions with more than i failures [checkpoints, i].
      asked: questions with more than i trials [checkpoints, i].
      lost: trials of questions without a success that are counted apart [checkpoints, kinds].
      lost_count: how many questions have those [checkpoints, kinds].
      apart_count: questions with a success, where the others are counted apart [checkpoints].
    """

    solved: Floats
    failed: Floats
    asked: Floats
    lost: Floats
    lost_count: Floats
    apart_count: Floats


def rising(successes: np.ndarray, trials: np.ndarray, *, apart: bool) -> Rising | None:
    """Counts as exponents; None where a question has too many trials for it.

    Args:
      successes: solved attempts [checkpoints, questions].
      trials: attempts [checkpoints, questions].
      apart: leave out the questions without a success and list them by their trials.
    """
    if trials.max() > _MOST:
        return None
    inside = successes > 0 if apart else np.ones(successes.shape, bool)
    failures = trials - successes

    def above(counts):
        kept = np.where(inside, counts, 0)
        steps = np.arange(max(int(kept.max()), 1))
        return np.stack([(row[:, None] > steps).sum(axis=0) for row in kept]).astype(float)

    kinds = [np.unique(t[(c == 0) & (t > 0)], return_counts=True)
             for c, t in zip(successes, trials, strict=True)]  # fmt: skip
    width = max(max(len(n) for n, _ in kinds), 1)
    lost, count = np.ones((2, len(kinds), width))
    count[:] = 0.0
    if apart:
        for i, (n, many) in enumerate(kinds):
            lost[i, : len(n)], count[i, : len(n)] = n, many
    columns = (above(successes), above(failures), above(trials), lost, count)
    return Rising(
        **{f.name: jnp.asarray(x, float) for f, x in zip(
            dataclasses.fields(Rising), (*columns, (inside & (trials > 0)).sum(axis=1)), strict=True
        )}
    )  # fmt: skip


def rising_log_likelihood(a: Floats, b: Floats, counts: Rising, share: Floats | None) -> Floats:
    """Log likelihood of each checkpoint's counts, binomial coefficients left out.

    Args:
      a: first Beta parameter [checkpoints].
      b: second Beta parameter [checkpoints].
      counts: from `rising`, apart where `share` is given.
      share: of impossible questions, or None.

    Returns:
      Sums over questions [checkpoints].
    """

    def powers(base, exponent):
        return jnp.sum(exponent * jnp.log(base[:, None] + jnp.arange(exponent.shape[1])), axis=1)

    total = powers(a, counts.solved) + powers(b, counts.failed) - powers(a + b, counts.asked)
    if share is None:
        return total
    missed = beta.log_beta_ratio(a[:, None], b[:, None], counts.lost)
    possible = jnp.log1p(-share)
    lost = jnp.logaddexp(jnp.log(share), possible + missed)
    return total + counts.apart_count * possible + jnp.sum(counts.lost_count * lost, axis=1)


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
