"""Solvers for one law and one budget: a scan with a polish, and Optax gradient descent.

All are straight-line code in the single coordinate log N that is left once both budgets are
spent, so that `jax.vmap` over draws and budgets serves a sweep.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from t2jax._typing import Floats, Scalar
from t2jax.laws import Law
from t2jax.optimum.budget import Box

__all__ = ["cost_of", "descend", "polish", "scan"]

SCAN_POINTS = 512
_DESCENT_STARTS = 5
_DESCENT_STEPS = 400


def cost_of(law: Law) -> Callable[[Scalar, Scalar, Scalar], Scalar]:
    """What is minimised, in logs of N, D and k: the loss, or minus the accuracy."""
    sign = -1.0 if law.kind == "accuracy" else 1.0

    def cost(n, d, x):
        return sign * law(params=jnp.exp(n), tokens=jnp.exp(d), samples=jnp.exp(x))

    return cost


def path_cost(law: Law, box: Box) -> Callable[[Scalar], Scalar]:
    """The cost along the path on which both budgets are spent."""
    cost = cost_of(law)
    return lambda n: cost(n, box.tokens(n), box.samples(n))


def scan(law: Law, box: Box) -> tuple[Scalar, Scalar]:
    """The best of a dense grid over log N, and whether another valley is nearly as deep.

    Returns:
      log N [] and a boolean [].
    """
    n = jnp.linspace(box.lower(), box.upper(), SCAN_POINTS)
    cost = path_cost(law, box)(n)
    best = jnp.argmin(cost)
    inside = cost[1:-1]
    valley = (inside < cost[:-2]) & (inside <= cost[2:])
    other = valley & (jnp.abs(jnp.arange(1, SCAN_POINTS - 1) - best) > 1)
    near = inside - cost[best] < 0.01 * jnp.abs(cost[best])
    return n[best], jnp.any(other & near)


def polish(law: Law, box: Box, start: Scalar, width: Scalar) -> Scalar:
    """The stationary point near a start: Newton kept inside a shrinking bracket.

    Args:
      law: one law.
      box: one budget in logs.
      start: log N.
      width: how far the optimum may lie from the start.

    Returns:
      log N; an end of the bracket where the cost has no stationary point inside, which is
      the optimum when the box ends there.
    """
    cost = path_cost(law, box)

    def slope(n):  # forward mode: one coordinate in, one number out, and cheap to compile
        return jax.jvp(cost, (n,), (jnp.ones_like(n),))[1]

    low = jnp.maximum(start - width, box.lower())
    high = jnp.minimum(start + width, box.upper())

    def step(_, state):
        n, low, high = state
        gradient, curvature = jax.jvp(slope, (n,), (jnp.ones_like(n),))
        low, high = jnp.where(gradient < 0, n, low), jnp.where(gradient > 0, n, high)
        trial = n - gradient / curvature
        # Anything that leaves the bracket, or is not a number, becomes a bisection.
        fine = (trial > low) & (trial < high)
        return jnp.where(gradient == 0, n, jnp.where(fine, trial, 0.5 * (low + high))), low, high

    n, _, _ = jax.lax.fori_loop(0, 60, step, (jnp.clip(start, low, high), low, high))
    return n


def descend(law: Law, box: Box) -> Scalar:
    """Optax gradient descent in log N, projected on the box, from several starts.

    Args:
      law: one law, of any kind.
      box: one budget in logs.

    Returns:
      log N of the best start, to about 1e-3; `polish` takes it from there.
    """
    cost = path_cost(law, box)
    low, high = box.lower(), box.upper()
    schedule = optax.cosine_decay_schedule(1.0, _DESCENT_STEPS)
    solver = optax.chain(optax.scale_by_adam(b1=0.8), optax.scale_by_learning_rate(schedule))

    def run(start: Floats) -> Scalar:
        def step(carry, _):
            n, state = carry
            updates, state = solver.update(jax.grad(cost)(n), state, n)
            moved = jnp.clip(n + 0.03 * (high - low) * updates, low, high)  # pyright: ignore
            return (moved, state), None

        (n, _), _ = jax.lax.scan(step, (start, solver.init(start)), length=_DESCENT_STEPS)
        return n

    shares = jnp.linspace(0.1, 0.9, _DESCENT_STARTS)
    ends = jax.vmap(run)(low + shares * (high - low))
    return ends[jnp.argmin(jax.vmap(cost)(ends))]
