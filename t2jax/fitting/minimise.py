"""Minimisers over one small unconstrained vector: Optax L-BFGS to arrive, Newton to settle.

L-BFGS with a zoom line search travels from a start to the basin; under `vmap` its line
search costs ten times a sequential map, so starts go through `lax.map`. Newton with the
exact Hessian converges to rounding error from there, is straight-line code, and vmaps: it
is also what a thousand warm-started bootstrap refits use.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from t2jax._typing import Floats, Scalar
from t2jax.fitting.problem import Data, Problem

__all__ = ["Minimum", "lbfgs", "minimise_all", "newton"]


class Minimum(NamedTuple):
    """Where a minimiser stopped.

    Attributes:
      free: the vector [coordinates].
      value: objective there.
      gradient: its gradient [coordinates].
      hessian: its Hessian [coordinates, coordinates].
      fall: what a Newton step still promises, `g' H^-1 g / 2`, in units of the objective.
      steps: iterations used.
      pinned: coordinates held at their box [coordinates].
    """

    free: Floats
    value: Scalar
    gradient: Floats
    hessian: Floats
    fall: Scalar
    steps: Scalar
    pinned: Floats


def lbfgs(problem: Problem, start: Floats, data: Data, *, max_steps: int = 300) -> Floats:
    """Optax L-BFGS from one start; returns the vector, whatever it reached."""
    rows = jnp.sum(data.rows.weight)
    # A line search knows no box: coordinates with a closed bound travel as logs, and Newton
    # settles what lies on the bound itself.
    closed = jnp.asarray([card.closed for card in problem.cards])

    def to_free(open_free):
        return jnp.where(closed, jnp.exp(jnp.where(closed, open_free, 0.0)), open_free)

    def value(open_free):
        # Divided by the rows so that the first step has a sensible length.
        return problem.value(to_free(open_free), data) / rows

    start = jnp.where(closed, jnp.log(jnp.maximum(start, 1e-6)), start)

    solver = optax.lbfgs(memory_size=10)
    value_and_grad = optax.value_and_grad_from_state(value)

    def step(carry):
        free, state, count, _ = carry
        current, gradient = value_and_grad(free, state=state)
        updates, state = solver.update(
            gradient, state, free, value=current, grad=gradient, value_fn=value
        )
        moved = free + updates
        moved = jnp.where(jnp.all(jnp.isfinite(moved)), moved, free)
        still = jnp.max(jnp.abs(moved - free)) < 1e-9
        return moved, state, count + 1, still

    def going(carry):
        _, _, count, still = carry
        return (count < max_steps) & ~still

    carry = (start, solver.init(start), 0, False)
    return to_free(jax.lax.while_loop(going, step, carry)[0])


class _NewtonState(NamedTuple):
    free: Floats
    value: Scalar
    gradient: Floats
    hessian: Floats
    damping: Scalar
    steps: Scalar
    done: Scalar
    pinned: Floats


def _derivatives(problem: Problem, free: Floats, data: Data):
    def gradient(x):
        value, slope = jax.value_and_grad(problem.value)(x, data)
        return slope, (value, slope)

    hessian, (value, slope) = jax.jacfwd(gradient, has_aux=True)(free)
    return value, slope, hessian


def newton(
    problem: Problem,
    start: Floats,
    data: Data,
    *,
    max_steps: int | Scalar = 100,
    tolerance: float = 0.0,
) -> Minimum:
    """Damped Newton with the exact Hessian, projected on the problem's box.

    Args:
      problem: what is minimised.
      start: where to begin [coordinates].
      data: its numbers.
      max_steps: limit on steps; may be traced.
      tolerance: also stop after a step that promised to take less than this off the
        objective, in nats for a likelihood and relative to the objective otherwise.
    """
    lower, upper = problem.bounds()
    start = jnp.clip(start, lower, upper)

    def pins(free, gradient):
        # On the box with the downhill direction pointing out: as good as at the bound.
        return ((free <= lower) & (gradient >= 0)) | ((free >= upper) & (gradient <= 0))

    def solve(gradient, hessian, pinned, damping):
        keep = jnp.where(pinned, 0.0, 1.0)
        scale = jnp.abs(jnp.diagonal(hessian))
        scale = jnp.where(pinned, 1.0, scale + 1e-14 * jnp.max(scale) + 1e-300)
        root = jnp.sqrt(scale)
        scaled = hessian / root[:, None] / root[None, :] * keep[:, None] * keep[None, :]
        scaled = scaled + jnp.diag(damping * keep + (1.0 - keep))
        factor = jnp.linalg.cholesky(scaled)  # NaN where not positive definite
        rhs = gradient * keep / root
        return -jax.scipy.linalg.cho_solve((factor, True), rhs) / root

    def step(state):
        move = solve(state.gradient, state.hessian, state.pinned, state.damping)
        definite = jnp.all(jnp.isfinite(move))
        move = jnp.where(definite, move, 0.0)
        move = move * jnp.minimum(1.0, 3.0 / jnp.maximum(jnp.max(jnp.abs(move)), 1e-300))
        free = jnp.clip(state.free + move, lower, upper)
        value, gradient, hessian = _derivatives(problem, free, data)
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(hessian))
        slack = 4e-15 * jnp.abs(state.value)
        better = definite & finite & (value <= state.value + slack)

        def pick(new, old):
            return jnp.where(better, new, old)

        kept = pick(free, state.free)
        slope = pick(gradient, state.gradient)
        damping = jnp.where(better, state.damping / 8, jnp.maximum(8 * state.damping, 1e-4))
        damping = jnp.where(damping < 1e-9, 0.0, damping)
        unit = 1.0 if problem.objective.likelihood else jnp.abs(state.value)
        small = -jnp.dot(jnp.where(state.pinned, 0.0, state.gradient), move) < tolerance * unit
        still = jnp.max(jnp.abs(move)) < 1e-9
        settled = better & (still | small) & (state.damping < 1e-2)
        return _NewtonState(
            free=kept,
            value=pick(value, state.value),
            gradient=slope,
            hessian=pick(hessian, state.hessian),
            damping=damping,
            steps=state.steps + 1,
            done=settled | (damping > 1e10),
            pinned=pins(kept, slope),
        )

    value, gradient, hessian = _derivatives(problem, start, data)
    first = _NewtonState(
        free=start,
        value=value,
        gradient=gradient,
        hessian=hessian,
        damping=jnp.asarray(1e-3, start.dtype),
        steps=jnp.asarray(0),
        done=jnp.asarray(False),
        pinned=pins(start, gradient),
    )
    last = jax.lax.while_loop(lambda s: ~s.done & (s.steps < max_steps), step, first)
    move = solve(last.gradient, last.hessian, last.pinned, 0.0)
    fall = -0.5 * jnp.dot(jnp.where(last.pinned, 0.0, last.gradient), move)
    return Minimum(
        last.free, last.value, last.gradient, last.hessian, fall, last.steps, last.pinned
    )


@functools.partial(jax.jit, static_argnums=0)
def minimise_all(problem: Problem, starts: Floats, data: Data) -> tuple[Minimum, Floats]:
    """L-BFGS then Newton from each start [starts, coordinates], one after the other.

    Returns:
      The minima, and the objective at the starts [starts].
    """

    def run(start):
        return newton(problem, lbfgs(problem, start, data), data), problem.value(start, data)

    return jax.lax.map(run, starts)
