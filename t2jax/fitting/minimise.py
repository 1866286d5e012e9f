"""Minimisers over one small unconstrained vector: Optax L-BFGS to arrive, Newton to settle.

L-BFGS with a zoom line search travels from a start to the basin; under `vmap` its line
search costs ten times a sequential map, so starts go through `lax.map`. Newton with the
exact Hessian converges to rounding error from there, is straight-line code, and vmaps: it
is also what a thousand warm-started bootstrap refits use.

Free coordinates are logs of coefficients for the most part, so that lengths of steps below are
factors: the same numbers serve every law and every table.
"""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from t2jax._typing import Floats, Scalar
from t2jax.fitting.problem import Data, Problem

__all__ = ["Minimum", "Smooth", "lbfgs", "minimise_all", "newton"]

_MEMORY = 10  # pairs that L-BFGS remembers: as many as a law has coefficients, so nearly all
_STILL = 1e-9  # longest coordinate of a step that moves nothing an interval would show
_FIRST_DAMPING = 1e-3  # L-BFGS has arrived: begin all but undamped
_LEAST_DAMPING = 1e-4  # where damping begins again after a step that failed
_NO_DAMPING = 1e-9  # below this it only costs digits, and plain Newton converges quadratically
_SURE = 1e-2  # damping under which a short step is short because the slope is, not the damping
_HOPELESS = 1e10  # damping past which a step is rounding error: no descent is left to find
_FACTOR = 8.0  # of damping, up and down; Marquardt 1963 has 10, Nielsen 1999 about the same
_LONGEST = 3.0  # coordinate of a step: a factor of 20, past which no quadratic model is believed
_SLACK = 4e-15  # share of the objective that a sum over rows loses to rounding
_SMALL = 16  # coordinates of a law and its noise; more are those of checkpoints
_FLAT = 1e-14  # share of the largest curvature that stands for none, so that scaling stays finite
_TINY = 1e-300  # keeps a division by zero finite; far below anything that is compared


class Smooth(Protocol):
    """What a minimiser needs to know: a twice differentiable function in a box."""

    @property
    def objective(self) -> Any:
        """Whose `likelihood` says whether the function counts in nats."""
        ...

    def value(self, free: Floats, data: Any, /) -> Scalar:
        """The function at a vector."""
        ...

    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper limits."""
        ...


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


class _Travel(NamedTuple):
    """Where L-BFGS is, what it remembers, and whether it still moves."""

    free: Floats
    memory: Any
    steps: Scalar
    still: Scalar


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

    # Near enough to a bound to feel it, far enough from it for the log to move.
    start = jnp.where(closed, jnp.log(jnp.maximum(start, 1e-6)), start)
    solver = optax.lbfgs(memory_size=_MEMORY)
    value_and_grad = optax.value_and_grad_from_state(value)

    def step(travel):
        free = travel.free
        current, gradient = value_and_grad(free, state=travel.memory)
        updates, memory = solver.update(
            gradient, travel.memory, free, value=current, grad=gradient, value_fn=value
        )
        moved = free + updates
        # The line search may step where a law overflows: stay, and let `still` end the travel.
        moved = jnp.where(jnp.all(jnp.isfinite(moved)), moved, free)
        still = jnp.max(jnp.abs(moved - free)) < _STILL
        return _Travel(moved, memory, travel.steps + 1, still)

    begin = _Travel(start, solver.init(start), jnp.asarray(0), jnp.asarray(False))
    end = jax.lax.while_loop(lambda t: (t.steps < max_steps) & ~t.still, step, begin)
    return to_free(end.free)


class _NewtonState(NamedTuple):
    free: Floats
    value: Scalar
    gradient: Floats
    hessian: Floats
    damping: Scalar
    steps: Scalar
    done: Scalar
    pinned: Floats


class _Derivatives(NamedTuple):
    value: Scalar
    gradient: Floats
    hessian: Floats


def _derivatives(problem: Smooth, free: Floats, data: Any) -> _Derivatives:
    """Value, gradient and Hessian; the first two come with the third, forward over reverse."""

    def gradient(x):
        value, slope = jax.value_and_grad(problem.value)(x, data)
        return slope, (value, slope)

    hessian, (value, slope) = jax.jacfwd(gradient, has_aux=True)(free)
    return _Derivatives(value, slope, hessian)


def _pins(box: tuple[Floats, Floats], free: Floats, gradient: Floats) -> Floats:
    """Coordinates on the box that the objective would push out of it: as good as at the bound."""
    lower, upper = box
    return ((free <= lower) & (gradient >= 0)) | ((free >= upper) & (gradient <= 0))


def _newton_step(gradient: Floats, hessian: Floats, pinned: Floats, damping: Any) -> Floats:
    """`-(H + damping diag|H|)^-1 g` in the coordinates that are not pinned.

    NaN where that matrix is not positive definite. Coordinates are scaled by their own curvature
    first: amplitudes and noise differ by many orders, and Cholesky should not see it. Damping in
    that scale is Marquardt's (1963, doi:10.1137/0111030): a share of each curvature.
    """
    keep = jnp.where(pinned, 0.0, 1.0)
    scale = jnp.abs(jnp.diagonal(hessian))
    scale = jnp.where(pinned, 1.0, scale + _FLAT * jnp.max(scale) + _TINY)
    root = jnp.sqrt(scale)
    scaled = hessian / root[:, None] / root[None, :] * keep[:, None] * keep[None, :]
    scaled = scaled + jnp.diag(damping * keep + (1.0 - keep))
    return -_solved(scaled, gradient * keep / root) / root


def _solved(matrix: Floats, rhs: Floats) -> Floats:
    """Solution of a system by Cholesky; NaN unless positive definite.

    jaxlib 0.10 shares batches of LAPACK out among threads that wait for each other, and a few at
    a time wait for ever. Large systems come alone (tests/test_lapack.py), and small
    ones, column by column, need none.
    """
    if len(rhs) > _SMALL:
        factor = jnp.linalg.cholesky(matrix)
        return jax.scipy.linalg.cho_solve((factor, True), rhs)
    place, rows = jnp.arange(len(rhs)), range(len(rhs))
    columns, pivots = [], []
    for j in rows:
        pivots.append(jnp.sqrt(matrix[j, j]))
        columns.append(jnp.where(place > j, matrix[:, j] / pivots[-1], 0.0))
        matrix = matrix - columns[-1][:, None] * columns[-1][None, :]
    for j in rows:
        here = rhs[j] / pivots[j]
        rhs = jnp.where(place == j, here, rhs - columns[j] * here)
    for j in reversed(rows):
        here = (rhs[j] - jnp.sum(columns[j] * rhs)) / pivots[j]
        rhs = jnp.where(place == j, here, rhs)
    return rhs


class _Trial(NamedTuple):
    """A step that was tried: the damping, the move, where it leads, and whether to take it."""

    damping: Scalar
    move: Floats
    free: Floats
    better: Scalar


def _trial(
    problem: Smooth, data: Any, box: tuple[Floats, Floats], state: _NewtonState, damping: Scalar
) -> _Trial:
    """The step of one damping, which needs the value there and no derivative."""
    move = _newton_step(state.gradient, state.hessian, state.pinned, damping)
    definite = jnp.all(jnp.isfinite(move))
    move = jnp.where(definite, move, 0.0)
    move = move * jnp.minimum(1.0, _LONGEST / jnp.maximum(jnp.max(jnp.abs(move)), _TINY))
    free = jnp.clip(state.free + move, *box)
    value = problem.value(free, data)
    better = value <= state.value + _SLACK * jnp.abs(state.value)
    return _Trial(damping, move, free, definite & better)


def _damped(damping: Scalar) -> Scalar:
    """The damping after a step that failed."""
    return jnp.maximum(_FACTOR * damping, _LEAST_DAMPING)


def _advance(
    problem: Smooth, data: Any, box: tuple[Floats, Floats], tolerance: float, state: _NewtonState
) -> _NewtonState:
    """One step that does not raise the objective: the damping goes up until there is one."""

    def again(trial):
        return _trial(problem, data, box, state, _damped(trial.damping))

    # Derivatives cost as much as twenty values: they are taken once, after the trials.
    trial = jax.lax.while_loop(
        lambda t: ~t.better & (_damped(t.damping) <= _HOPELESS),
        again,
        _trial(problem, data, box, state, state.damping),
    )
    there = _derivatives(problem, trial.free, data)
    finite = jnp.isfinite(there.value) & jnp.all(jnp.isfinite(there.hessian))
    better = trial.better & finite

    def pick(new, old):
        return jnp.where(better, new, old)

    kept, slope = pick(trial.free, state.free), pick(there.gradient, state.gradient)
    damping = jnp.where(better, trial.damping / _FACTOR, _damped(trial.damping))
    damping = jnp.where(damping < _NO_DAMPING, 0.0, damping)
    unit = 1.0 if problem.objective.likelihood else jnp.abs(state.value)
    promised = -jnp.dot(jnp.where(state.pinned, 0.0, state.gradient), trial.move)
    still = jnp.max(jnp.abs(trial.move)) < _STILL
    settled = better & (still | (promised < tolerance * unit)) & (trial.damping < _SURE)
    return _NewtonState(
        free=kept,
        value=pick(there.value, state.value),
        gradient=slope,
        hessian=pick(there.hessian, state.hessian),
        damping=damping,
        steps=state.steps + 1,
        done=settled | (damping > _HOPELESS),
        pinned=_pins(box, kept, slope),
    )


def newton(
    problem: Smooth,
    start: Floats,
    data: Any,
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
    box = problem.bounds()
    start = jnp.clip(start, *box)
    here = _derivatives(problem, start, data)
    first = _NewtonState(
        free=start,
        value=here.value,
        gradient=here.gradient,
        hessian=here.hessian,
        damping=jnp.asarray(_FIRST_DAMPING, start.dtype),
        steps=jnp.asarray(0),
        done=jnp.asarray(False),
        pinned=_pins(box, start, here.gradient),
    )
    step = functools.partial(_advance, problem, data, box, tolerance)
    last = jax.lax.while_loop(lambda s: ~s.done & (s.steps < max_steps), step, first)
    # Undamped, whatever the last step was: what a true Newton step still promises.
    move = _newton_step(last.gradient, last.hessian, last.pinned, 0.0)
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
