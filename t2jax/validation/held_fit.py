"""Least squares on the user's own rows, with one quantity held: what every interval here rests on.

The residual is that of the log of the loss (of the loss itself where the fit minimised `sse`).
A step is Levenberg-Marquardt on the residuals with one linearised equation beside it, so that no
second derivative is taken and a thousand tables are one compiled program.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats, Scalar
from t2jax.errors import InputError, Refusal
from t2jax.fitting import SSE, Huber
from t2jax.fitting.problem import Data, Problem
from t2jax.fitting.stages import plan_stages
from t2jax.laws import Law
from t2jax.observations import Observations
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.objective import cost_of
from t2jax.uncertainty.question_choice import question_scores, question_weight
from t2jax.validation.covariance import Questions

__all__ = [
    "COEFFICIENT", "LOSS", "SIZE", "Aim", "Case", "Settled", "Setup", "held", "prediction",
    "settle",
]  # fmt: skip

COEFFICIENT, SIZE, LOSS = 0, 1, 2
"""Kinds of quantity: a coefficient, the size N* that a budget asks for, the loss of a plan."""

_STEPS = 200
_NO_SLOPE = 1e-300  # stands for a slope that has the wrong sign, or none
_STILL = 1e-9  # longest coordinate, and violation of what is held, that moves no interval
_FALL = 1e-4  # of the noise variance: a promised fall of the squares that no interval would notice
_FIRST_DAMPING = 1e-6  # a start is the fit of a table much like this one: all but undamped
_NO_DAMPING = 1e-9  # below this it only costs digits
_SURE = 1e-3  # damping under which a small promise means that little is left, not a short step
_HOPELESS = 1e8  # damping past which a step is rounding error
_FACTOR = 10.0  # of damping, up and down (Marquardt 1963, doi:10.1137/0111030)
_LONGEST = 2.0  # coordinate of a step: a factor of 7, past which no linear law is believed
_DULL = 1e-12  # share of the largest curvature that stands for none
_ROUNDING = 1e-13  # share of the squares that a sum over rows loses


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """Everything numeric of one table.

    Attributes:
      data: rows and centroid.
      box: the budget in logs, or None.
      plan: logs of N, D and k whose loss is asked for [3].
    """

    data: Data
    box: Box | None
    plan: Floats


class Aim(NamedTuple):
    """One quantity and the value it is held at.

    Attributes:
      kind: COEFFICIENT, SIZE or LOSS.
      index: which coefficient.
      value: in the coordinate of the quantity: that of its card, or a log.
      unit: slope of the held equation in that coordinate, so that its violation is in its units.
    """

    kind: Any
    index: Any
    value: Any
    unit: Any


class Settled(NamedTuple):
    """A least-squares minimum.

    Attributes:
      free: free vector [coordinates].
      square: sum of squared residuals.
      residual: [rows].
      jacobian: of the prediction, on the residual's scale [rows, coordinates].
      missed: violation of the held quantity, 0 where none is held.
      pinned: coordinates held at their box [coordinates].
      done: whether the steps came to rest.
    """

    free: Floats
    square: Scalar
    residual: Floats
    jacobian: Floats
    missed: Scalar
    pinned: Floats
    done: Scalar


def prediction(problem: Problem, free: Floats, data: Data) -> Floats:
    """The law at every row, on the scale of the residuals."""
    value = data.rows.predict(problem.law(free, data))
    return jnp.log(jnp.maximum(value, 1e-12)) if problem.objective.log_scale else value


def held(problem: Problem, free: Floats, case: Case, aim: Aim) -> Scalar:
    """How far a quantity lies from the value of an aim: zero on the profile.

    N* is held by its first-order condition, which needs no optimum to be solved: along the budget
    the loss rises with log N, by fewer tokens and samples, as fast as it falls by the size itself.
    The log of that ratio is nearly linear in the logs of coefficients, which the slope is not.
    """
    law = problem.law(free, case.data)
    values = jnp.stack([jnp.asarray(v) for v in law.coefficients().values()])
    coordinates = [card.to_free(v) for card, v in zip(problem.cards, values, strict=True)]
    found = jnp.stack(coordinates)[aim.index] - aim.value
    n, d, x = case.plan
    at_plan = law(params=jnp.exp(n), tokens=jnp.exp(d), samples=jnp.exp(x))
    found = jnp.where(aim.kind == LOSS, jnp.log(jnp.maximum(at_plan, 1e-12)) - aim.value, found)
    if case.box is None:
        return found / aim.unit
    cost, box, size = cost_of(law, case.box), case.box, aim.value
    spent = box.split(law, size, jnp.zeros(()))
    fall = -jax.jvp(lambda n: cost(n, *spent), (size,), (jnp.ones(()),))[1]
    rise = jax.jvp(
        lambda n: cost(size, *box.split(law, n, jnp.zeros(()))), (size,), (jnp.ones(()),)
    )[1]
    ratio = jnp.log(jnp.maximum(rise, _NO_SLOPE)) - jnp.log(jnp.maximum(fall, _NO_SLOPE))
    return jnp.where(aim.kind == SIZE, ratio, found) / aim.unit


def settle(
    problem: Problem, start: Floats, case: Case, aim: Aim | None = None, *, max_steps: int = _STEPS
) -> Settled:
    """The least-squares minimum near a start, with one quantity held where an aim is given.

    Args:
      problem: law and scale of the residuals.
      start: free vector [coordinates].
      case: the table.
      aim: what is held.
      max_steps: limit on steps.
    """
    squares = _Squares(problem=problem, case=case, aim=aim)
    lower, upper = problem.bounds()
    start = jnp.clip(start, lower, upper)
    zero = jnp.zeros(())
    begin = _Step(
        start, squares.look(start), zero, zero + _FIRST_DAMPING, jnp.asarray(0), jnp.asarray(False)
    )
    end = jax.lax.while_loop(lambda s: ~s.done & (s.steps < max_steps), squares.advance, begin)
    residual = squares.target - end.seen.predicted
    square = jnp.sum(residual**2)
    # Gauss-Newton creeps where residuals are large: the squares are known long before the vector.
    slow = squares.towards(end, _DULL).promised < _FALL * square / residual.size
    return Settled(
        free=end.free,
        square=square,
        residual=residual,
        jacobian=end.seen.slopes,
        missed=jnp.abs(end.seen.miss),
        pinned=(end.free <= lower) | (end.free >= upper),
        done=end.done | slow,
    )


class _Seen(NamedTuple):
    """What there is to see at a vector.

    Attributes:
      predicted: the law, each row times the root of its weight [rows].
      miss: violation of what is held, 0 where nothing is.
      slopes: of the predictions [rows, coordinates].
      normal: slope of the violation [coordinates].
    """

    predicted: Floats
    miss: Scalar
    slopes: Floats
    normal: Floats


class _Move(NamedTuple):
    """A step, the price of the equation, and the fall of the squares that the step promises."""

    step: Floats
    price: Scalar
    promised: Scalar


class _Step(NamedTuple):
    """The state of `settle`: where it is, what it sees there, and how bold it is."""

    free: Floats
    seen: _Seen
    penalty: Scalar
    damping: Scalar
    steps: Scalar
    done: Scalar


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Squares:
    """Weighted squares under one equation, and how to lower them.

    Levenberg and Marquardt's step with a Lagrange multiplier for the linearised equation: its
    second derivatives are never taken. What counts as better is the exact penalty function
    `squares/2 + penalty |violation|`, with a penalty past the multiplier, whose minimum is that of
    the problem with the equation (Nocedal and Wright 2006, section 18.3).
    """

    problem: Problem
    case: Case
    aim: Aim | None

    @property
    def root(self) -> Floats:
        """Root of each row's weight."""
        return jnp.sqrt(self.case.data.rows.weight)

    @property
    def target(self) -> Floats:
        """What the rows hold, on the scale of the predictions."""
        value = self.case.data.rows.value
        return self.root * (jnp.log(value) if self.problem.objective.log_scale else value)

    def equation(self, free: Floats) -> Scalar:
        """The violation of what is held."""
        none = jnp.zeros(())
        return none if self.aim is None else held(self.problem, free, self.case, self.aim)

    def look(self, free: Floats) -> _Seen:
        """Predictions and violation, and the slopes of both in one pass."""

        def both(free):
            predicted = self.root * prediction(self.problem, free, self.case.data)
            out = jnp.append(predicted, self.equation(free))
            return out, out

        slopes, out = jax.jacfwd(both, has_aux=True)(free)
        return _Seen(out[:-1], out[-1], slopes[:-1], slopes[-1])

    def towards(self, state: _Step, damping: Any) -> _Move:
        """The damped step from a state."""
        free, seen = state.free, state.seen
        lower, upper = self.problem.bounds()
        downhill = seen.slopes.T @ (self.target - seen.predicted)
        gram = seen.slopes.T @ seen.slopes
        diagonal = jnp.diagonal(gram)
        ridge = damping * (diagonal + _DULL * jnp.max(diagonal) + _NO_SLOPE)
        system = gram + jnp.diag(ridge)
        if self.aim is None:
            pin = ((free <= lower) & (downhill < 0)) | ((free >= upper) & (downhill > 0))
            keep = jnp.where(pin, 0.0, 1.0)
            bound = system * keep[:, None] * keep + jnp.diag(1.0 - keep)
            move, price = _solved(bound, downhill * keep), jnp.zeros(())
        else:
            room = lower - free, upper - free
            move, price = _held_step(system, downhill, seen.normal, seen.miss, *room)
        return _Move(move, price, move @ gram @ move)

    def aimed(self, state: _Step) -> _Move:
        """The step, corrected for the bend of the equation where one is held."""
        found = self.towards(state, state.damping)
        if self.aim is None:
            return found
        # The equation bends: aim again with what is left of it at the end of the first step,
        # and go less far after a rejection, since damping alone leaves its part as long.
        end = jnp.clip(state.free + found.step, *self.problem.bounds())
        bent = self.equation(end) - state.seen.normal @ found.step
        again = self.towards(state._replace(seen=state.seen._replace(miss=bent)), state.damping)
        return again._replace(step=again.step / (1.0 + state.damping))

    def merit(self, seen: _Seen, penalty: Scalar) -> Scalar:
        """What a step must not raise."""
        return 0.5 * jnp.sum((self.target - seen.predicted) ** 2) + penalty * jnp.abs(seen.miss)

    def advance(self, state: _Step) -> _Step:
        """One trial step: taken if the merit does not rise, and the damping moved either way."""
        move, price, promised = self.aimed(state)
        move = move * jnp.minimum(1.0, _LONGEST / jnp.maximum(jnp.max(jnp.abs(move)), _NO_SLOPE))
        penalty = jnp.maximum(state.penalty, 2.0 * jnp.abs(price))
        tried = jnp.clip(state.free + move, *self.problem.bounds())
        there = self.look(tried)
        before, after = self.merit(state.seen, penalty), self.merit(there, penalty)
        better = jnp.all(jnp.isfinite(move)) & (after <= before * (1 + _ROUNDING) + _NO_SLOPE)
        damping = state.damping
        up = jnp.maximum(_FACTOR * damping, _FIRST_DAMPING)
        damping = jnp.where(better, damping / _FACTOR, up)
        damping = jnp.where(damping < _NO_DAMPING, 0.0, damping)
        still = jnp.max(jnp.abs(tried - state.free)) < _STILL
        square = jnp.sum((self.target - state.seen.predicted) ** 2)
        settled = (damping < _SURE) & (jnp.abs(there.miss) < _STILL)
        settled &= promised < 1e-5 * _FALL * square / self.target.size
        free, seen = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), (tried, there), (state.free, state.seen)
        )
        done = (better & (still | settled)) | (damping > _HOPELESS)
        return _Step(free, seen, penalty, damping, state.steps + 1, done)


def _held_step(
    system: Floats, downhill: Floats, normal: Floats, miss: Scalar, least: Floats, most: Floats
) -> tuple[Floats, Scalar]:
    """The step that lowers a quadratic while a linear equation holds, inside a box.

    Minimises `m' system m / 2 - downhill' m` where `normal' m = -miss`. Coordinates that would
    leave the box end on it and the others are solved for anew, so that what is held stays held:
    clipped afterwards, a step would miss the equation, and a quantity whose own coordinate sits
    at its bound could never leave it.

    Returns:
      The step, and the price of the equation.
    """
    count = len(downhill)
    stopped = jnp.zeros(count, bool)
    edge = jnp.zeros(count)
    move, price = edge, jnp.zeros(())
    for _ in range(3):
        keep = jnp.where(stopped, 0.0, 1.0)
        inner = system * keep[:, None] * keep + jnp.diag(1.0 - keep)
        right = jnp.where(stopped, edge, downhill - system @ edge)
        free_normal = normal * keep
        block = jnp.block([[inner, free_normal[:, None]], [free_normal[None], jnp.zeros((1, 1))]])
        solved = _solved(block, jnp.append(right, -miss - normal @ edge))
        move, price = solved[:count], solved[count]
        edge = jnp.where(stopped, edge, jnp.clip(move, least, most))
        # What is held at the bound itself gets there within rounding, and is not past it.
        stopped = stopped | (move < least - _STILL) | (move > most + _STILL)
        edge = jnp.where(stopped, edge, 0.0)
    return move, price


def _solved(matrix: Floats, right: Floats) -> Floats:
    """`matrix^-1 right`, by Gauss and Jordan with pivots; not finite where there is none.

    Written out, since two of LAPACK's batches at once can wait for each other for ever where XLA
    has two threads (jaxlib 0.10); for systems as small as these it is no slower.
    """
    count = len(right)
    rows = jnp.arange(count)

    def eliminate(i, state):
        here = rows == i
        largest = jnp.argmax(jnp.where(rows >= i, jnp.abs(state[:, i]), -1.0))
        upper, lower = state[i], state[largest]
        state = jnp.where((rows == largest)[:, None], upper, state)
        scaled = lower / lower[i]
        below = state - jnp.where(here, 0.0, state[:, i])[:, None] * scaled
        return jnp.where(here[:, None], scaled, below)

    return jax.lax.fori_loop(0, count, eliminate, jnp.append(matrix, right[:, None], 1))[:, -1]


def check_law(law: Law) -> None:
    """Stop at a law that has no such intervals, which can be said before it is fitted.

    Raises:
      InputError: it is one of accuracy.
    """
    if law.kind != "loss":
        raise InputError(
            f"law '{law.name}' predicts accuracy, and these intervals are for laws of loss",
            remedy="use t2jax.bootstrap for it",
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A table ready for intervals.

    Attributes:
      problem: law and scale of the residuals.
      case: its numbers.
      start: free vector of the fit.
      places: row of each member of each unit, -1 where a unit has fewer [units, members].
      pooled: whether every unit has the same k, so that their noise can be pooled.
      unit: what shares noise.
      scores: deviation of each question from the mean [rows, questions], or None.
      strata: tasks of the questions, as codes [questions], or None.
    """

    problem: Problem
    case: Case
    start: Floats
    places: np.ndarray
    pooled: bool
    unit: str
    scores: np.ndarray | None = None
    strata: np.ndarray | None = None

    @property
    def law(self) -> Law:
        """The law at the start."""
        return self.problem.law(self.start, self.case.data)

    @property
    def covariance(self) -> str:
        """How the noise of these units is measured unless told: "pooled" where it can be."""
        return "pooled" if self.pooled else "robust"

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.places)

    @property
    def questions(self) -> Questions | None:
        """The questions, where there are any."""
        if self.scores is None:
            return None
        assert self.strata is not None
        return Questions(jnp.asarray(self.scores), jnp.asarray(question_weight(self.strata)))

    @classmethod
    def of(
        cls,
        law: Law,
        runs: Observations,
        *,
        objective: str,
        samples: tuple[float, ...] | None,
        box: Box | None,
        plan: tuple[float, float, float] | None,
        unit: str | None,
    ) -> "Setup":
        """The rows that a fit of a law saw, in units.

        Raises:
          InputError: a law of accuracy, or an unknown unit.
          Refusal: not more units than coefficients.
        """
        check_law(law)
        squares = SSE() if objective == "sse" else Huber(delta=math.inf)
        grid = samples if runs.kind != "loss" and law.uses_samples else None
        stage = plan_stages(law, runs, objective=squares, samples=grid)[-1]
        unit = unit or ("run" if runs.trunk is None else "trunk")
        codes = runs.cluster(unit)[np.asarray(stage.rows.place)]
        codes = np.unique(codes, return_inverse=True)[1]
        places, pooled = _places(codes, stage.rows)
        needed = len(law.cards())
        if len(places) <= len(law.base.cards()) and len(places) <= needed:
            raise Refusal(
                f"{runs.source} has {len(places)} units of '{unit}' for {needed} coefficients, "
                "which leaves nothing to measure noise with",
                remedy=f"add {needed + 1 - len(places)} or more runs",
            )
        data = stage.data(None)
        at = jax.tree.map(lambda v: jnp.asarray(v, float), law)
        start = stage.problem.free(at, data, ())
        point = jnp.asarray(plan if plan is not None else (0.0, 0.0, 0.0), float)
        value = np.asarray(stage.rows.value) if squares.log_scale else None
        scores, strata = question_scores(runs, stage.grid, value)
        box = None if box is None else jax.tree.map(lambda v: jnp.asarray(v, float), box)
        return cls(
            problem=stage.problem, case=Case(data=data, box=box, plan=point), start=start,
            places=places, pooled=pooled, unit=unit, scores=scores, strata=strata,
        )  # fmt: skip


def _places(codes: np.ndarray, rows: Any) -> tuple[np.ndarray, bool]:
    """Rows of each unit, ordered by k, and whether all units have one checkpoint and the same k."""
    samples, tokens = np.asarray(rows.samples), np.asarray(rows.tokens)
    members = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    members = [m[np.lexsort((samples[m], tokens[m]))] for m in members]
    places = np.full((len(members), max(map(len, members))), -1)
    for unit, own in enumerate(members):
        places[unit, : len(own)] = own
    alike = bool((places >= 0).all()) and bool((samples[places] == samples[places[0]]).all())
    single = all(len(set(tokens[own].tolist())) == 1 for own in members)
    return places, alike and single
