"""How far checkpoints stray from a law of pass@k, from their counts."""

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats
from t2jax.fitting.count_likelihood import Tally, log_likelihood
from t2jax.fitting.rows import Rows
from t2jax.laws import Law

__all__ = ["stray_draws"]

_REACH, _STEP = 8.0, 0.05  # log b of a checkpoint over that of the law: where it is looked for
_LEAST, _MOST = 0.01, 4.0  # deviations that are weighed
_SCALE = 0.5  # of the half-normal prior, as in the posterior with effects of checkpoints


def stray_draws(law: Law, rows: Rows, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the standard deviation of log b of a checkpoint round the law [draws].

    Each checkpoint has `log b = log b(N, D) + normal(0, tau)`, integrated out on a grid, with the
    law held; tau is widened by `sqrt(n/(n - p))` for the p coefficients that were fitted to the
    n checkpoints.

    Args:
      law: the fitted law, which has a spread over questions.
      rows: successes and trials, a row for each checkpoint.
      n_draws: how many.
      rng: the generator.
    """
    assert rows.tally is not None
    offset = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    like = np.asarray(_by_offset(*rows.spread(law), rows.tally, jnp.asarray(offset)))
    like = np.exp(like - like.max(axis=0))
    tau = np.geomspace(_LEAST, _MOST, 200)
    prior = np.exp(-0.5 * (offset / tau[:, None]) ** 2)
    prior /= prior.sum(axis=1, keepdims=True)
    log_density = np.log(np.maximum(prior @ like, 1e-300)).sum(axis=1)
    log_density += np.log(tau) - 0.5 * (tau / _SCALE) ** 2
    share = np.exp(log_density - log_density.max())
    checkpoints = len(like[0])
    charge = np.sqrt(checkpoints / max(checkpoints - len(law.cards()), 1))
    return charge * rng.choice(tau, n_draws, p=share / share.sum())


@jax.jit
def _by_offset(a: Floats, b: Floats, counts: Tally, offset: Floats) -> Floats:
    """Log likelihood of each checkpoint with log b moved [offsets, checkpoints]."""

    def one(moved):
        return log_likelihood(a, b * jnp.exp(moved), counts)

    return jax.lax.map(one, offset)
