"""The Beta spread of one checkpoint's questions, from its counts alone."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import beta
from t2jax._typing import Floats
from t2jax.fitting.count_likelihood import Tally, log_likelihood, tally_of

__all__ = ["beta_posterior", "pass_draws"]

_PROPOSALS = 1500  # per round and checkpoint
_TAILS = 5  # degrees of freedom of the proposals, heavier than any posterior here
_ROUNDS = 6  # each but the first learns its shape from the one before
_LEAST = 60.0  # effective proposals to learn a shape from
_PRIORS = ((-1.0, 2.0), (4.0, 5.0))  # of log a and log b: normal mean and standard deviation


def beta_posterior(
    successes: np.ndarray, trials: np.ndarray, *, weight: np.ndarray | None = None,
    impossible: bool, n_draws: int, seed: int,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Draws of the spread of one checkpoint's questions, by adaptive importance resampling.

    Args:
      successes: solved attempts [questions].
      trials: attempts [questions].
      weight: how often a question counts [questions]; once unless given.
      impossible: whether a share of the questions may be impossible.
      n_draws: how many.
      seed: of the proposals.

    Returns:
      Columns a, b and impossible share [3, draws], and the effective number of proposals.

    Source: Cappe et al. 2004, Journal of Computational and Graphical Statistics 13, 907.
    """
    rng = np.random.default_rng(seed)
    weight = np.ones(len(trials)) if weight is None else weight
    counts = tally_of(successes[None], trials[None], weight)
    rate = (weight @ successes + 0.5) / (weight @ trials + 1.0)
    odds = math.log((1.0 - rate) / rate)
    # The mean is known far better than the spread: log b follows log a.
    centre = np.array([-1.0, -1.0 + odds, -1.0])[: 2 + impossible]
    root = np.array([[1.5, 0.0, 0.0], [1.5, 0.7, 0.0], [0.0, 0.0, 1.5]])
    root = root[: len(centre), : len(centre)]
    proposals, share, effective = np.zeros((0, len(centre))), np.zeros(0), 0.0
    for _ in range(_ROUNDS):
        white = rng.standard_t(_TAILS, (_PROPOSALS, len(centre)))
        proposals = centre + white @ root.T
        density = -np.sum(np.log1p(white**2 / _TAILS), axis=1) * (_TAILS + 1) / 2
        log_weight = np.asarray(_log_density(jnp.asarray(proposals), counts)) - density
        share = _weights(log_weight)
        effective = float(1.0 / np.sum(share**2))
        if effective > _PROPOSALS / 3:
            break
        flat = log_weight
        while 1.0 / np.sum(_weights(flat) ** 2) < _LEAST:  # too few to learn a shape from
            flat = 0.7 * flat
        learned = _weights(flat)
        centre = learned @ proposals
        offset = proposals - centre
        covariance = (offset * learned[:, None]).T @ offset
        root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(centre)))
    picked = proposals[rng.choice(_PROPOSALS, n_draws, p=share)]
    never = 1.0 / (1.0 + np.exp(-picked[:, 2])) if impossible else np.zeros(n_draws)
    return np.stack([*np.exp(picked[:, :2].T), never]), effective


def _weights(log_weight: np.ndarray) -> np.ndarray:
    log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()


@jax.jit
def _log_density(points: Floats, counts: Tally) -> Floats:
    """Log posterior density, up to a constant, of points [points, 2 or 3]."""

    def one(point):
        a, b = jnp.exp(point[:1]), jnp.exp(point[1:2])
        prior = sum(-0.5 * ((point[i] - mean) / sd) ** 2 for i, (mean, sd) in enumerate(_PRIORS))
        if point.shape[0] == 2:
            return jnp.sum(log_likelihood(a, b, counts)) + prior
        share = jax.nn.sigmoid(point[2])
        stretch = jax.nn.log_sigmoid(point[2]) + jax.nn.log_sigmoid(-point[2])  # flat on the share
        return jnp.sum(log_likelihood(a, b, counts, share)) + prior + stretch

    return jax.lax.map(one, points, batch_size=64)


def pass_draws(
    spread: np.ndarray,
    samples: np.ndarray,
    successes: np.ndarray,
    trials: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Mean pass@k of these very questions, in draws of their success probabilities.

    A question's own counts update the spread: `p ~ Beta(a + c, b + n - c)`, and an unsolved one
    is impossible with the share's odds over the odds of failing so often.

    Args:
      spread: columns a, b and impossible share [3, draws].
      samples: numbers of samples [K].
      successes: solved attempts [questions]; zero, with zero trials, for new questions.
      trials: attempts [questions].
      rng: the generator.

    Returns:
      Means over questions [draws, K].
    """
    a, b, share = (column[:, None] for column in spread)
    p = rng.beta(*np.broadcast_arrays(a + successes, b + trials - successes))
    # Where both parameters are tiny the generator divides zero by zero: p is then 0 or 1.
    p = np.where(np.isfinite(p), p, rng.random(p.shape) < a / (a + b))
    if np.any(share > 0):
        failed = np.exp(np.asarray(_log_failures(jnp.asarray(a), jnp.asarray(b), trials)))
        odds = np.where(successes > 0, 0.0, share / (share + (1.0 - share) * failed))
        p = np.where(rng.random(p.shape) < odds, 0.0, p)
    # Held just below one, so that a sure question is solved at k = 1 without a warning.
    rest = np.log1p(-np.minimum(p, 1.0 - 1e-16))
    return np.stack([-np.expm1(k * rest).mean(axis=1) for k in samples], axis=1)


@jax.jit
def _log_failures(a: Floats, b: Floats, trials) -> Floats:
    return beta.log_beta_ratio(a, b, jnp.asarray(trials, a.dtype))
