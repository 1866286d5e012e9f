"""Many refits of one fit under other weights, warm-started, as one compiled program."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._devices import at_once
from t2jax._precision import to_numpy
from t2jax._progress import track
from t2jax._threads import side_by_side
from t2jax._typing import ArrayLike, Floats
from t2jax.fitting.minimise import Minimum, newton
from t2jax.fitting.objectives import objective_by_name
from t2jax.fitting.problem import Data, Problem
from t2jax.fitting.result import FitResult
from t2jax.fitting.rows import Rows
from t2jax.fitting.stages import Stage, plan_stages
from t2jax.laws import Law, Spread
from t2jax.observations import Observations

__all__ = ["Refits", "Resample", "fitted_stages", "refit", "resettled"]

_BATCH = 32  # draws per compiled call: a batch waits for its slowest draw,
_BATCH_ACCELERATOR = 4096  # and an accelerator for its launches
_STEPS = (12, 12, 24, 48, 200)  # of Newton's method, by pass
_CONVERGED = 1e-6  # nats, or share of the objective, that a converged refit may still fall


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Resample:
    """What changes from draw to draw in one stage, each with a leading draws axis."""

    weight: ArrayLike
    value: ArrayLike | None = None
    question_weight: ArrayLike | None = None
    spread: Spread | None = None

    def on(self, rows: Rows) -> Rows:
        """The rows of one draw."""
        value = rows.value if self.value is None else jnp.asarray(self.value)
        rows = dataclasses.replace(rows, weight=jnp.asarray(self.weight), value=value)
        if self.question_weight is None:
            return rows
        return rows.weighed(jnp.asarray(self.question_weight))


class Refits(NamedTuple):
    """What `refit` found, each array with a leading draws axis.

    Attributes:
      law: the refitted laws.
      nuisance: coefficients of the last stage's objective.
      converged: whether each refit did [draws].
      pinned: which coordinates of all stages sit at a bound [draws, coordinates].
      problems: of the stages.
    """

    law: Law
    nuisance: tuple[np.ndarray, ...]
    converged: np.ndarray
    pinned: np.ndarray
    problems: tuple[Problem, ...]


def fitted_stages(fit: FitResult, table: Observations) -> tuple[Stage, ...]:
    """The minimisations that a fit consists of, those that only make starts left out."""
    stages = plan_stages(
        fit.law,
        table,
        objective=dataclasses.replace(objective_by_name(fit.objective), **fit.objective_options),
        samples=fit.samples if table.kind != "loss" and fit.law.uses_samples else None,
    )
    return tuple(stage for stage in stages if not stage.starts_only)


def refit(
    fit: FitResult,
    stages: tuple[Stage, ...],
    resamples: list[Resample],
    n_draws: int,
    *,
    title: str,
    progress: bool,
) -> Refits:
    """Refit a law under other weights, each refit started at the fit.

    Args:
      fit: the fit.
      stages: its minimisations, from `fitted_stages`.
      resamples: per stage, what changes from draw to draw.
      n_draws: number of refits.
      title: of the progress bar.
      progress: whether to draw one on a terminal.
    """
    problems, data, starts, _ = _warm_start(fit, stages)
    entry = [np.broadcast_to(start, (n_draws, len(start))) for start in starts]
    law, fall, pinned, frees = _refit_all(problems, entry, data, resamples, title, progress)
    nuisance = jax.vmap(problems[-1].nuisance)(jnp.asarray(frees[-1]))
    return Refits(to_numpy(law), to_numpy(nuisance), fall < _CONVERGED, pinned, problems)


def resettled(fit: FitResult, stages: tuple[Stage, ...]) -> tuple[Law, bool]:
    """The law at the minimum of other rows in the same shape, started at the fit.

    Args:
      fit: the fit.
      stages: its minimisations, from `fitted_stages`, with rows of their own.

    Returns:
      The law, and whether the refit converged.
    """
    problems, data, starts, fall = _warm_start(fit, stages)
    return to_numpy(problems[-1].law(starts[-1], data[-1])), bool(fall < _CONVERGED)


def _warm_start(
    fit: FitResult, stages: tuple[Stage, ...]
) -> tuple[tuple[Problem, ...], tuple[Data, ...], tuple[Floats, ...], float]:
    """Each stage's problem, data and minimum under unit weights, and the fall still promised."""
    inner: Law | None = None
    problems, datas, starts, fall = [], [], [], 0.0
    for stage in stages:
        problem, data = stage.problem, stage.data(inner)
        law = fit.law if stage is stages[-1] else fit.law.base
        law = jax.tree.map(jnp.asarray, law)
        nuisance = problem.objective.start_nuisance(stage.rows.predict(law), stage.rows)
        free, promised = _settle(problem, problem.free(law, data, nuisance), data)
        inner = problem.law(free, data)
        problems.append(problem)
        datas.append(data)
        starts.append(free)
        fall = max(fall, float(promised))
    return tuple(problems), tuple(datas), tuple(starts), fall


@functools.partial(jax.jit, static_argnums=0)
def _settle(problem: Problem, start: Floats, data: Data) -> tuple[Floats, Floats]:
    minimum = newton(problem, start, data)
    return minimum.free, _promised(problem, minimum)


def _promised(problem: Problem, minimum: Minimum) -> Floats:
    """What a minimum may still fall by, in nats or as a share of the objective."""
    unit = 1.0 if problem.objective.likelihood else jnp.abs(minimum.value) + 1e-300
    # NaN, from a Hessian that is not positive definite, must not pass for converged.
    return jnp.where(minimum.fall >= 0, minimum.fall / unit, jnp.inf)


def _refit_all(
    problems: tuple[Problem, ...],
    entry: list,
    data: tuple[Data, ...],
    resamples: list[Resample],
    title: str,
    progress: bool,
):
    """Refit every draw: a short pass over all, ever longer ones over those that need them.

    A batch runs until its slowest draw is done, so the slow ones are gathered after every pass.
    """
    draws = len(entry[0])
    todo = np.arange(draws)
    out = None
    for number, limit in enumerate(_STEPS):
        name = "slow refits" if number else title
        size = min(at_once(_BATCH, _BATCH_ACCELERATOR), draws)
        batches = [todo[i : i + size] for i in range(0, len(todo), size)]

        def run(batch, size=size, entry=entry, limit=limit):
            picked = np.resize(batch, size)  # one shape, one compiled program
            chunk = jax.tree.map(lambda x: jnp.asarray(x[picked]), (entry, resamples))
            return to_numpy(_refit(problems, data, *chunk, jnp.asarray(limit)))

        done = track(batches, name, show=progress)
        for batch, part in zip(done, side_by_side(run, batches), strict=True):
            if out is None:
                out = jax.tree.map(lambda x: np.zeros((draws, *x.shape[1:]), x.dtype), part)
            for whole, piece in zip(jax.tree.leaves(out), jax.tree.leaves(part), strict=True):
                whole[batch] = piece[: len(batch)]
        assert out is not None
        entry = [np.asarray(free) for free in out[3]]
        todo = np.flatnonzero(~(out[1] < _CONVERGED))
    assert out is not None
    return out


@functools.partial(jax.jit, static_argnums=0)
def _refit(problems: tuple[Problem, ...], data: tuple[Data, ...], starts, resamples, limit):
    """The law, the promised fall, the pins and the free vectors of every draw in a batch."""

    def one(starts, resamples):
        inner, pinned, frees, fall = None, [], [], jnp.asarray(0.0)
        for problem, start, given, new in zip(problems, starts, data, resamples, strict=True):
            rows = new.on(given.rows)
            spread = given.spread if new.spread is None else new.spread
            inner = inner if problem.own else None
            case = dataclasses.replace(given, rows=rows, inner=inner, spread=spread)
            minimum = newton(problem, start, case, max_steps=limit, tolerance=1e-10)
            inner = problem.law(minimum.free, case)
            fall = jnp.maximum(fall, _promised(problem, minimum))
            pinned.append(minimum.pinned)
            frees.append(minimum.free)
        return inner, fall, jnp.concatenate(pinned), frees

    return jax.vmap(one)(starts, resamples)
