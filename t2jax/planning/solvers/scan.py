"""Solvers for any law and any cost: a dense scan with a polish, and projected descent with Optax.

All are straight-line code in the coordinates that are left once the budget is spent (log N, and
for a total the logit of the training share), so that `jax.vmap` over draws and budgets serves a
sweep.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from t2jax._typing import Floats, Scalar
from t2jax.laws import Law
from t2jax.planning.solvers.box import ALL_TRAINING, Box
from t2jax.planning.solvers.objective import cost_of
from t2jax.planning.solvers.root import falling_root

__all__ = ["SCAN_POINTS", "Valleys", "descend", "polish", "scan"]

SCAN_POINTS = 128
_GRID = (128, 64)  # log N x logit of the share, for a total
_FINE = 17  # places between three neighbours of that grid
_SHARE = 24.0  # how far the scan of logits goes
_DESCENT_STARTS = 5
_DESCENT_STEPS = 600


class Valleys(NamedTuple):
    """The valleys that a scan or a descent found.

    Attributes:
      best: log N of the deepest.
      second: log N of the next one, NaN where there is none.
      width: how far the optimum may lie from either.
      depth: the least cost that was seen.
      gap: how much more the second valley costs there.
    """

    best: Scalar
    second: Scalar
    width: Scalar
    depth: Scalar
    gap: Scalar


def path_cost(law: Law, box: Box) -> Callable[..., Floats]:
    """The cost at log N and the logit of the training share, with everything spent."""
    cost = cost_of(law, box)

    def at(n, u):
        return cost(n, *box.split(law, n, u))

    return at


def scan(law: Law, box: Box) -> Valleys:
    """The two deepest valleys of a dense grid over log N, the best share taken at each."""
    points = SCAN_POINTS if box.separate else _GRID[0]
    n = jnp.linspace(box.lower(), box.upper(), points)
    if box.separate:
        cost = path_cost(law, box)(n, 0.0)
    else:
        cost = _at_best_share(path_cost(law, box), n, _share_grid(box))
    cost = jnp.where(jnp.isnan(cost), jnp.inf, cost)
    best = jnp.argmin(cost)
    # An end of the grid is a valley too: the cost rises from it.
    beside = jnp.pad(cost, 1, constant_values=jnp.inf)
    valley = (cost < beside[:-2]) & (cost <= beside[2:]) & (jnp.abs(jnp.arange(points) - best) > 1)
    other = jnp.where(valley, cost, jnp.inf)
    second = jnp.argmin(other)
    width = (box.upper() - box.lower()) / (points - 1)
    there = jnp.where(jnp.isfinite(other[second]), n[second], jnp.nan)
    return Valleys(n[best], there, width, cost[best], other[second] - cost[best])


def _at_best_share(cost: Callable[..., Floats], n: Floats, grid: Floats) -> Floats:
    """The least cost over the share at each log N, by a finer grid about the best of the first.

    The first alone is so rough that the valleys over log N would be steps away from their place.
    """
    every = jax.vmap(lambda u: cost(n, jnp.broadcast_to(u, n.shape)))
    rough = every(grid)
    if len(grid) == 1:
        return rough[0]
    at = jnp.argmin(jnp.where(jnp.isnan(rough), jnp.inf, rough), axis=0)
    ends = grid[jnp.maximum(at - 1, 0)], grid[jnp.minimum(at + 1, len(grid) - 1)]
    fine = every(jnp.linspace(*ends, _FINE))
    return jnp.minimum(jnp.nanmin(rough, 0), jnp.nanmin(fine, 0))


def _share_grid(box: Box) -> Floats:
    if box.pinned:
        return jnp.array([2 * ALL_TRAINING])
    return jnp.append(jnp.linspace(-_SHARE, _SHARE, _GRID[1] - 1), ALL_TRAINING)


def best_share(law: Law, box: Box, n: Scalar) -> Scalar:
    """The logit of the best training share at log N; twice `ALL_TRAINING` where all of it."""
    cost = path_cost(law, box)
    grid = jnp.minimum(_share_grid(box), box.most_training(n))
    if box.pinned:
        return jnp.asarray(2 * ALL_TRAINING)
    values = cost(n, grid)
    at = jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values))
    low, high = grid[jnp.maximum(at - 1, 0)], grid[jnp.minimum(at + 1, len(grid) - 1)]

    def slope(u):
        value, rise = jax.jvp(lambda u: cost(n, u), (u,), (jnp.ones_like(u),))
        return rise / jax.nn.sigmoid(-u), value  # keeps its digits where nearly all is training

    u, value = falling_root(slope, low, high)
    u = jnp.where(value <= values[at], u, grid[at])
    # Past the most that is useful, so that a derivative follows that bound and not this number.
    return jnp.where(u >= box.most_training(n), 2 * ALL_TRAINING, u)


def polish(law: Law, box: Box, start: Scalar, width: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """The stationary point near a start.

    Args:
      law: one law.
      box: one budget in logs.
      start: log N.
      width: how far the optimum may lie from the start.

    Returns:
      Log N, the logit of the share, and the cost. Log N is an end of the bracket where the cost
      has no stationary point inside, which is the optimum when the box ends there.
    """
    cost = path_cost(law, box)

    def slope(n):
        u = jnp.zeros_like(n) if box.separate else best_share(law, box, n)
        # The share's own derivative does not count: the cost is stationary in it, or bound.
        value, rise = jax.jvp(lambda n: cost(n, u), (n,), (jnp.ones_like(n),))
        return rise, (u, value)

    low = jnp.maximum(start - width, box.lower())
    high = jnp.minimum(start + width, box.upper())
    n, (u, value) = falling_root(slope, low, high)
    return n, u, value


def descend(law: Law, box: Box) -> Valleys:
    """Projected gradient descent with Optax in log-coordinates, from several starts.

    The coordinates are log N and, for a total, the logit of the training share; the projection
    clips them to the box after every step.

    Args:
      law: one law, of any kind.
      box: one budget in logs.

    Returns:
      The valleys that the starts ended in, to about 1e-3; `polish` takes them from there.
    """
    cost = path_cost(law, box)
    low = jnp.stack([box.lower(), jnp.full_like(box.lower(), -_SHARE)])
    high = jnp.stack([box.upper(), jnp.full_like(box.upper(), _SHARE)])
    scale = jnp.stack([high[0] - low[0], jnp.full_like(high[0], 20.0)])
    schedule = optax.cosine_decay_schedule(1.0, _DESCENT_STEPS)
    solver = optax.chain(optax.scale_by_adam(b1=0.8), optax.scale_by_learning_rate(schedule))
    slope = jax.grad(lambda z: cost(z[0], z[1]))

    def run(start: Floats) -> Floats:
        def step(carry, _):
            z, state = carry
            updates, state = solver.update(slope(z), state, z)
            moved = jnp.clip(z + 0.03 * scale * jnp.asarray(updates), low, high)
            return (moved, state), None

        (z, _), _ = jax.lax.scan(step, (start, solver.init(start)), length=_DESCENT_STEPS)
        return z

    shares = jnp.linspace(0.1, 0.9, _DESCENT_STARTS)
    starts = jnp.stack([low[0] + shares * (high[0] - low[0]), jnp.zeros_like(shares)], axis=1)
    ends = jax.vmap(run)(starts)
    values = jax.vmap(lambda z: cost(z[0], z[1]))(ends)
    values = jnp.where(jnp.isnan(values), jnp.inf, values)
    best, n = jnp.argmin(values), ends[:, 0]
    width = 2.5 * (high[0] - low[0]) / (SCAN_POINTS - 1)
    # Starts that ended beside the best are in its valley.
    other = jnp.where(jnp.abs(n - n[best]) > 2 * width, values, jnp.inf)
    second = jnp.argmin(other)
    there = jnp.where(jnp.isfinite(other[second]), n[second], jnp.nan)
    return Valleys(n[best], there, width, values[best], other[second] - values[best])
