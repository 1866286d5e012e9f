"""The quantile spread: each quantile of the questions as a power of the mean loss."""

import itertools
import math

import jax.numpy as jnp

from t2jax._typing import ArrayLike, Floats
from t2jax.laws.spread._spread import Spread, final_spread

__all__ = ["EDGES", "NODES", "Quantile"]

NODES = 32  # error of the mean of -log pass@k against all questions: below .3% of it
_TAIL = 6.5  # logit of the outermost shares: 0.15% of the questions

_LOGITS = [_TAIL * (2.0 * i / NODES - 1.0) for i in range(1, NODES)]
EDGES = (0.0, *(1.0 / (1.0 + math.exp(-logit)) for logit in _LOGITS), 1.0)
"""Shares of questions between the nodes, dense in both tails; the outermost stand for 0 and 1."""
_WEIGHTS = tuple(high - low for low, high in itertools.pairwise(EDGES))


@final_spread
class Quantile(Spread):
    """Questions in `NODES` groups of neighbours in difficulty, each a power of the mean loss.

    `log Q_j = level_j + slope_j x + bend_j x^2`, `x = log L - centre`, scaled so that the mean
    over questions is L. Below the measured range of L each curve goes on straight; above it the
    questions keep their shape, for else the easy ones, which move most, would come to be the mean.

    Args:
      level: log loss of each group at the centre [nodes].
      slope: its change per unit of log L [nodes].
      centre: log L at the middle of the table.
      low: the least log L measured.
      high: the largest.
      bend: half the second derivative [nodes]; None where the curves are straight.

    >>> import jax.numpy as jnp
    >>> nodes = {"level": jnp.zeros(NODES), "slope": jnp.ones(NODES)}
    >>> alike = Quantile(centre=0.0, low=-1.0, high=1.0, **nodes)
    >>> round(float(alike.neg_log_pass(jnp.asarray(0.6931472), jnp.asarray(2.0))), 4)  # p = 1/2
    0.2877
    """

    name = "quantile"

    level: ArrayLike
    slope: ArrayLike
    centre: ArrayLike
    low: ArrayLike
    high: ArrayLike
    bend: ArrayLike | None = None

    def nodes(self, loss: Floats) -> tuple[Floats, Floats]:
        """Losses of the groups [..., nodes] and their shares of the questions [nodes]."""
        weight = jnp.asarray(_WEIGHTS, loss.dtype)
        log = jnp.minimum(jnp.log(loss), self.high)
        x = (log - self.centre)[..., None]
        log_at = jnp.asarray(self.level) + jnp.asarray(self.slope) * x
        if self.bend is not None:
            inside = (jnp.maximum(log, self.low) - self.centre)[..., None]
            log_at = log_at + jnp.asarray(self.bend) * inside * (2.0 * x - inside)
        # Relative to the largest, so that no group overflows before it is scaled.
        top = jnp.max(log_at, axis=-1, keepdims=True)
        share = jnp.exp(log_at - top)
        return share * (loss / (share @ weight))[..., None], weight
