"""The beta-binomial likelihood of each checkpoint's counts, written once for fit and posterior.

`prod_q B(a + c_q, b + n_q - c_q)/B(a, b)` over the questions q of a checkpoint is a product of
powers of `a + i`, of `b + i` and of `1/(a + b + i)`: with the exponents tallied beforehand its cost
grows with the largest number of trials and not with the number of questions, and no difference of
log-gammas is taken. Past some thousands of trials i advances in strides, each a small part of i, at
whose middle its factors are taken. Questions without a success stay apart, since they alone may be
impossible.

A checkpoint's questions share one a and one b, so the terms are differentiated in these two alone
and summed before the chain rule meets the law's coefficients: a Hessian in nine coefficients costs
as many passes over the terms as one in two.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from t2jax import beta
from t2jax._typing import Floats, Scalar

__all__ = ["Tally", "log_likelihood", "tally", "tally_of"]

_EACH = 1 << 11  # trials up to which every i has its own term
_STRIDES = 256  # to each e-fold of i: off by up to .0013 nats a question, alike for all a and b


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Tally:
    """The counts of every checkpoint, as exponents of the factors of its likelihood.

    Attributes:
      solved: questions with more than i successes, summed over a stride [checkpoints, strides].
      failed: questions with a success and more than i failures [checkpoints, strides].
      rest: questions with a success and more than i trials, but not failures [same].
      unsolved: questions without a success and more than i trials [same].
      some: questions with a success [checkpoints].
      lost: questions without a success, by their trials [checkpoints, kinds].
      kinds: those numbers of trials [kinds].
      edges: the numbers i at which strides begin, and where the last one ends [strides + 1].
      constant: sum of the logs of the binomial coefficients [checkpoints].
    """

    solved: Floats
    failed: Floats
    rest: Floats
    unsolved: Floats
    some: Floats
    lost: Floats
    kinds: Floats
    edges: Floats
    constant: Floats

    @property
    def steps(self) -> Floats:
        """The middle of each stride, the number i itself where it holds one alone [strides]."""
        return (self.edges[:-1] + self.edges[1:] - 1.0) / 2.0


@jax.jit
def tally(successes: Floats, trials: Floats, weight: Floats, edges: Floats, kinds: Floats) -> Tally:
    """Count up the questions of every checkpoint; pure, so that a bootstrap can weigh them anew.

    Args:
      successes: solved attempts [checkpoints, questions].
      trials: attempts [checkpoints, questions]; zero where a question was not asked.
      weight: how often a question counts [questions].
      edges: 0, 1, ... up to the largest number of trials, in strides where it is large, with
        every count past those that have their own term among them [edges].
      kinds: the numbers of trials that occur, rising [kinds].
    """
    weight = jnp.broadcast_to(weight, successes.shape)
    solved = successes > 0
    asked = jnp.where(trials > 0, weight, 0.0)
    some, lost = jnp.where(solved, asked, 0.0), jnp.where(solved, 0.0, asked)
    place = jnp.searchsorted(kinds, trials)

    def above(counts: Floats, weight: Floats) -> Floats:
        """Weight of the questions whose count exceeds i, summed over the i of each stride."""
        place = jnp.searchsorted(edges, counts, side="right") - 1
        each = _binned(place, weight, len(edges))
        whole = jnp.flip(jnp.cumsum(jnp.flip(each, 1), 1), 1)[:, 1:] * jnp.diff(edges)
        part = _binned(place, weight * (counts - edges[place]), len(edges))
        return whole + part[:, :-1]

    failed = above(trials - successes, some)
    choices = gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)
    return Tally(
        solved=above(successes, some),
        failed=failed,
        rest=above(trials, some) - failed,
        unsolved=above(trials, lost),
        some=jnp.sum(some, axis=1),
        lost=_binned(place, lost, len(kinds)),
        kinds=kinds,
        edges=edges,
        constant=jnp.sum(asked * choices, axis=1),
    )


def tally_of(successes: np.ndarray, trials: np.ndarray, weight: np.ndarray | None = None) -> Tally:
    """The tally of a table's counts, every question counted once unless weights are given.

    Args:
      successes: solved attempts [checkpoints, questions].
      trials: attempts [checkpoints, questions]; zero where a question was not asked.
      weight: how often a question counts [questions].

    >>> tally_of(np.array([[0, 0, 3]]), np.array([[9, 9, 9]])).lost.tolist()
    [[2.0]]
    """
    solved, asked = jnp.asarray(successes, float), jnp.asarray(trials, float)
    kinds = jnp.asarray(np.unique(trials[trials > 0]), float)
    edges = jnp.asarray(_edges(successes, trials), float)
    each = jnp.ones(solved.shape[1]) if weight is None else jnp.asarray(weight, float)
    return tally(solved, asked, each, edges, kinds)


def _edges(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Where strides over the number of trials begin, and where the last one ends [edges]."""
    most = max(int(np.max(trials)), 1)
    each = np.arange(min(most, _EACH) + 1)
    if most <= _EACH:
        return each
    far = np.geomspace(_EACH, most, math.ceil(_STRIDES * math.log(most / _EACH)) + 1).round()
    # A stride that a count divides would be taken at a middle that is not the count's.
    counts = np.unique([successes, trials, trials - successes])
    return np.unique(np.concatenate([each, far, counts[counts > _EACH]]))


def _binned(place: Floats, weight: Floats, bins: int) -> Floats:
    """Sums of the weights that share a place, row by row [rows, bins]."""
    rows = jnp.arange(len(place))[:, None]
    return jnp.zeros((len(place), bins), weight.dtype).at[rows, place].add(weight)


def log_likelihood(a: Floats, b: Floats, counts: Tally, impossible: Scalar | None = None) -> Floats:
    """Log likelihood of each checkpoint's counts, binomial coefficients included.

    Args:
      a: first Beta parameter of the questions that are possible [checkpoints].
      b: second Beta parameter [checkpoints].
      counts: from `tally`.
      impossible: share of questions that no number of samples solves; none unless given.

    Returns:
      Sums over questions [checkpoints].
    """
    if impossible is None:
        counts = dataclasses.replace(counts, failed=counts.failed + counts.unsolved)
        return counts.constant + _factors(a, b, counts)
    possible = jnp.log1p(-impossible)
    missed = beta.log_beta_ratio(a[:, None], b[:, None], counts.kinds)
    lost = counts.lost * jnp.logaddexp(jnp.log(impossible), possible + missed)
    total = counts.constant + _factors(a, b, counts) + counts.some * possible
    return total + jnp.sum(lost, axis=1)


@jax.custom_jvp
def _factors(a: Floats, b: Floats, counts: Tally) -> Floats:
    """Log of the product of all factors [checkpoints]."""
    a, b, i = a[:, None], b[:, None], counts.steps
    # A failure's factor (b + i)/(a + b + i) is close to one where b is large: never as a
    # difference of two logs.
    failures = counts.failed * jnp.log1p(a / (b + i))
    terms = counts.solved * jnp.log(a + i) - failures - counts.rest * jnp.log(a + b + i)
    return jnp.sum(terms, axis=1)


@jax.custom_jvp
def _gradient(a, b, counts):
    """Derivatives of `_factors` in a and in b: two arrays [checkpoints]."""
    a, b, i = a[:, None], b[:, None], counts.steps
    both = 1.0 / (a + b + i)
    by_a = counts.solved / (a + i) - (counts.failed + counts.rest) * both
    by_b = counts.failed * a / (b + i) * both - counts.rest * both
    return jnp.sum(by_a, axis=1), jnp.sum(by_b, axis=1)


def _hessian(a, b, counts):
    """Second derivatives of `_factors`, aa, ab and bb: three arrays [checkpoints]."""
    a, b, i = a[:, None], b[:, None], counts.steps
    own, both = 1.0 / (b + i), 1.0 / (a + b + i)
    mixed = (counts.failed + counts.rest) * both**2
    by_aa = mixed - counts.solved / (a + i) ** 2
    by_bb = counts.rest * both**2 - counts.failed * a * own * both * (own + both)
    return jnp.sum(by_aa, axis=1), jnp.sum(mixed, axis=1), jnp.sum(by_bb, axis=1)


@_factors.defjvp
def _factors_jvp(primals, tangents):
    by_a, by_b = _gradient(*primals)
    return _factors(*primals), by_a * tangents[0] + by_b * tangents[1]


@_gradient.defjvp
def _gradient_jvp(primals, tangents):
    aa, ab, bb = _hessian(*primals)
    da, db = tangents[:2]
    return _gradient(*primals), (aa * da + ab * db, ab * da + bb * db)
