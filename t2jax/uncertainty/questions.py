"""The Beta spread of one checkpoint's questions, from its counts alone."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import beta
from t2jax._typing import Floats, Scalar
from t2jax.fit import BetaBinomial, Objective
from t2jax.fit.counts import log_likelihood
from t2jax.fit.minimise import newton
from t2jax.uncertainty.target import mixed_log_likelihood

__all__ = ["Spread", "beta_posterior", "pass_draws"]

_PROPOSALS = 1500  # per round and checkpoint
_TAILS = 5  # degrees of freedom of the proposals, heavier than any posterior here
_ROUNDS = 3  # the first from the mode, the others from the weighted draws before
_LOG_A, _LOG_B = (-1.0, 2.0), (4.0, 5.0)  # normal priors: mean and standard deviation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """Minus the log posterior of log a, log b and perhaps logit of the impossible share.

    Attributes:
      impossible: whether a share of the questions may be impossible.
    """

    impossible: bool
    objective: ClassVar[Objective] = BetaBinomial()

    def box(self) -> tuple[float, float]:
        """Anywhere: the priors hold the coordinates."""
        return -jnp.inf, jnp.inf

    def value(self, free: Floats, data: tuple[Floats, Floats]) -> Scalar:
        """Minus the log density, up to a constant, of counts and trials [questions]."""
        successes, trials = (x[None, :] for x in data)
        a, b = jnp.exp(free[:1]), jnp.exp(free[1:2])
        cells = (a, b, successes, trials, jnp.ones_like(data[0]))
        prior = sum(
            -0.5 * ((free[i] - mean) / sd) ** 2 for i, (mean, sd) in enumerate((_LOG_A, _LOG_B))
        )
        if not self.impossible:
            return -jnp.sum(log_likelihood(*cells)) - prior
        stretch = jax.nn.log_sigmoid(free[2]) + jax.nn.log_sigmoid(-free[2])  # flat on the share
        share = jax.nn.sigmoid(free[2])
        return -jnp.sum(mixed_log_likelihood(*cells, share)) - prior - stretch


def beta_posterior(
    successes: np.ndarray, trials: np.ndarray, *, impossible: bool, draws: int, seed: int
) -> tuple[np.ndarray, float]:
    """Draws of the spread of one checkpoint's questions, by importance resampling.

    Args:
      successes: solved attempts [questions].
      trials: attempts [questions].
      impossible: whether a share of the questions may be impossible.
      draws: how many.
      seed: of the proposals.

    Returns:
      Columns a, b and impossible share [3, draws], and the effective number of proposals.
    """
    rng = np.random.default_rng(seed)
    problem = Spread(impossible=impossible)
    data = (jnp.asarray(successes, float), jnp.asarray(trials, float))
    rate = (successes.sum() + 0.5) / (trials.sum() + 1.0)
    start = [np.log(0.3), np.log(0.3 * (1.0 - rate) / rate), -1.0][: 2 + impossible]
    minimum = _mode(problem, jnp.asarray(start), data)
    centre, hessian = np.asarray(minimum.free), np.asarray(minimum.hessian)
    values, axes = np.linalg.eigh(hessian)
    root = axes / np.sqrt(np.maximum(values, 0.05))
    effective, weight, proposals = 0.0, np.ones(1), centre[None]
    for _ in range(_ROUNDS):
        white = rng.standard_t(_TAILS, (_PROPOSALS, len(centre)))
        proposals = centre + white @ root.T
        density = -np.sum(np.log1p(white**2 / _TAILS), axis=1) * (_TAILS + 1) / 2
        log_weight = -np.asarray(_values(problem, jnp.asarray(proposals), data)) - density
        log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        effective = float(1.0 / np.sum(weight**2))
        if effective > _PROPOSALS / 3:
            break
        centre = weight @ proposals
        offset = proposals - centre
        covariance = (offset * weight[:, None]).T @ offset
        root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(centre)))
    picked = proposals[rng.choice(len(proposals), draws, p=weight)]
    share = 1.0 / (1.0 + np.exp(-picked[:, 2])) if impossible else np.zeros(draws)
    return np.stack([*np.exp(picked[:, :2].T), share]), effective


@functools.partial(jax.jit, static_argnums=0)
def _mode(problem: Spread, start: Floats, data: tuple[Floats, Floats]):
    return newton(problem, start, data)  # pyright: ignore[reportArgumentType]


@functools.partial(jax.jit, static_argnums=0)
def _values(problem: Spread, points: Floats, data: tuple[Floats, Floats]) -> Floats:
    return jax.lax.map(lambda x: problem.value(x, data), points, batch_size=64)


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
