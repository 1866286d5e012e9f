"""The bootstrap: refits under resampled weights, crossed with questions, as compiled batches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import passk
from t2jax._precision import double, to_numpy
from t2jax._progress import track
from t2jax._typing import ArrayLike, Floats
from t2jax.errors import InputError, Refusal
from t2jax.fit import FitResult
from t2jax.fit.minimise import newton
from t2jax.fit.objectives import objective_by_name
from t2jax.fit.problem import Data, Problem
from t2jax.fit.stages import Stage, plan_stages
from t2jax.laws import Law
from t2jax.observations import Observations
from t2jax.uncertainty.ensemble import Ensemble
from t2jax.uncertainty.noise import residual_noise

__all__ = ["bootstrap"]

_BATCH = 32  # draws per compiled call: a batch waits for its slowest draw
_CONVERGED = 1e-6  # nats, or share of the objective, that a converged refit may still fall


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Resample:
    """What changes from draw to draw in one stage, each with a leading draws axis."""

    weight: ArrayLike
    value: ArrayLike | None = None
    question_weight: ArrayLike | None = None


@double
def bootstrap(
    fit: FitResult,
    *,
    draws: int = 1000,
    unit: str | None = None,
    seed: int = 0,
    runs: Observations | None = None,
    resample_questions: bool = True,
    progress: bool = True,
) -> Ensemble:
    """Bootstrap a fit by whole runs, crossed with questions.

    Checkpoints of one unit enter or leave together, with every k they were judged at.
    Questions are resampled within tasks, once per draw and alike for every checkpoint.
    Draws are multinomial weights, so that all refits are one compiled program, started at
    the fit.

    Args:
      fit: the fit to repeat.
      draws: number of refits.
      unit: "run", "trunk" (runs that share a trajectory), or "row" (naive; too narrow where
        rows share a run). Trunks unless given, where the table names them, else runs.
      seed: of the resampling.
      runs: the table, where the fit was read from a file.
      resample_questions: whether questions are resampled too.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      The draws, as the law with a leading axis.

    Raises:
      InputError: no table at hand, a table other than the one fitted, or too few draws.
      Refusal: fewer than five units to resample.

    Source: Efron 1979; weights as in Rubin 1981. For scaling laws see arXiv:2404.10102.
    """
    table = _table(fit, runs)
    if fit.recipe is not None and fit.law.kind == "accuracy":
        raise InputError(
            "the paper's profile over E is not resampled",
            remedy="fit law='t2_accuracy' without a recipe and bootstrap that",
        )
    if draws < 1:
        raise InputError(f"draws = {draws} leaves nothing to draw", remedy="use draws=1000")
    unit = unit or ("row" if table.n_rows == len(set(table.run)) and table.trunk is None else "run"
                    if table.trunk is None else "trunk")  # fmt: skip
    clusters = table.cluster(unit)
    n_clusters = int(clusters.max()) + 1
    if n_clusters < 5:
        raise Refusal(
            f"{table.source} has {n_clusters} of unit '{unit}': too few to resample",
            remedy="add runs, or use unit='row' and treat the intervals as too narrow",
        )
    options = fit.objective_options
    stages = plan_stages(
        fit.law,
        table,
        objective=dataclasses.replace(objective_by_name(fit.objective), **options),
        samples=fit.samples if table.kind != "loss" and fit.law.uses_samples else None,
    )
    stages = tuple(stage for stage in stages if not stage.starts_only)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=draws)
    row_weight = counts[:, clusters].astype(float)
    question_weight = None
    if table.task is not None:
        question_weight = np.ones((draws, table.n_questions))
        if resample_questions:
            question_weight = _question_weights(rng, table.task, draws)
    problems, data, starts = _warm_start(fit, stages)
    resamples = [_resample(s, table, row_weight, question_weight) for s in stages]

    entry = [jnp.broadcast_to(start, (draws, len(start))) for start in starts]
    law, fall, pinned = _refit_all(problems, entry, data, resamples, progress)
    return Ensemble(
        law=to_numpy(law),
        point=fit.law,
        kind="bootstrap",
        unit=unit,
        seed=seed,
        hull=fit.hull,
        diagnostics=_diagnostics(problems, fall, pinned, unit, n_clusters)
        | {"noise": residual_noise(fit, table)},
        source=fit.source,
        data_hash=fit.data_hash,
    )


def _table(fit: FitResult, runs: Observations | None) -> Observations:
    table = runs if runs is not None else fit.observations
    if table is None:
        raise InputError(
            "the bootstrap needs the table, which a fit read from a file does not carry",
            remedy="pass runs=t2jax.read(...)",
        )
    if table.data_hash() != fit.data_hash:
        raise InputError(
            f"{table.source} is not the table that was fitted ({fit.source})",
            remedy="pass the same table, or fit again",
        )
    return table


def _question_weights(rng: np.random.Generator, task: np.ndarray, draws: int) -> np.ndarray:
    weight = np.zeros((draws, len(task)))
    for name in np.unique(task):
        where = np.flatnonzero(task == name)
        share = np.full(len(where), 1 / len(where))
        weight[:, where] = rng.multinomial(len(where), share, size=draws)
    return weight


def _resample(
    stage: Stage, table: Observations, row_weight: np.ndarray, question_weight: np.ndarray | None
) -> _Resample:
    repeat = stage.rows.weight.size // table.n_rows
    weight = np.repeat(row_weight, repeat, axis=1)
    if table.kind == "loss":
        if repeat == 0:  # a law of one sample on a table with several: rows at k = 1 only
            weight = row_weight[:, np.asarray(table.samples) == 1.0]
        return _Resample(weight=weight)
    if stage.problem.objective.counts:
        return _Resample(weight=weight, question_weight=question_weight)
    assert stage.grid is not None
    assert question_weight is not None
    share = jnp.asarray(question_weight.T / table.n_questions)
    nll = jnp.asarray(table.nll)
    columns = []
    for k in stage.grid:
        missed = passk.neg_log_pass_at_k(nll, k)
        if stage.problem.template.kind == "accuracy":
            missed = jnp.exp(-missed)
        columns.append(np.asarray(missed @ share))
    value = np.stack(columns, axis=1).transpose(2, 0, 1).reshape(len(row_weight), -1)
    return _Resample(weight=weight, value=value)


def _warm_start(
    fit: FitResult, stages: tuple[Stage, ...]
) -> tuple[tuple[Problem, ...], tuple[Data, ...], tuple[Floats, ...]]:
    """Each stage's problem, data and minimum under unit weights."""
    inner: Law | None = None
    problems, datas, starts = [], [], []
    for stage in stages:
        problem, data = stage.problem, stage.data(inner)
        law = fit.law if stage is stages[-1] else fit.law.base
        law = jax.tree.map(jnp.asarray, law)
        nuisance = problem.objective.start_nuisance(stage.rows.predict(law), stage.rows)
        minimum = _settle(problem, problem.free(law, data, nuisance), data)
        inner = problem.law(minimum, data)
        problems.append(problem)
        datas.append(data)
        starts.append(minimum)
    return tuple(problems), tuple(datas), tuple(starts)


@functools.partial(jax.jit, static_argnums=0)
def _settle(problem: Problem, start: Floats, data: Data) -> Floats:
    return newton(problem, start, data).free


def _refit_all(
    problems: tuple[Problem, ...],
    entry: list,
    data: tuple[Data, ...],
    resamples: list[_Resample],
    progress: bool,
):
    """Refit every draw: a short pass over all, a long one over those that need it.

    A batch runs until its slowest draw is done, so the few slow ones are gathered first.
    """
    draws = len(entry[0])
    todo, limit = np.arange(draws), 12
    out = None
    for title in ("bootstrap", "slow refits"):
        size = min(_BATCH, draws)
        batches = [todo[i : i + _BATCH] for i in range(0, len(todo), _BATCH)]
        for batch in track(batches, title, show=progress):
            picked = np.resize(batch, size)  # one shape, one compiled program
            chunk = jax.tree.map(lambda x, p=picked: jnp.asarray(x[p]), (entry, resamples))
            part = to_numpy(_refit(problems, data, *chunk, jnp.asarray(limit)))
            if out is None:
                out = jax.tree.map(lambda x: np.zeros((draws, *x.shape[1:]), x.dtype), part)
            for whole, piece in zip(jax.tree.leaves(out), jax.tree.leaves(part), strict=True):
                whole[batch] = piece[: len(batch)]
        assert out is not None
        entry = [np.asarray(free) for free in out[3]]
        todo, limit = np.flatnonzero(~(out[1] < _CONVERGED)), 200
    return out[:3]


@functools.partial(jax.jit, static_argnums=0)
def _refit(problems: tuple[Problem, ...], data: tuple[Data, ...], starts, resamples, limit):
    """The law, the promised fall, the pins and the free vectors of every draw in a batch."""

    def one(starts, resamples):
        inner, pinned, frees, fall = None, [], [], jnp.asarray(0.0)
        for problem, start, given, new in zip(problems, starts, data, resamples, strict=True):
            changed = {f.name: getattr(new, f.name) for f in dataclasses.fields(new)}
            changed = {name: x for name, x in changed.items() if x is not None}
            rows = dataclasses.replace(given.rows, **changed)
            case = dataclasses.replace(given, rows=rows, inner=inner if problem.own else None)
            minimum = newton(problem, start, case, max_steps=limit, tolerance=1e-10)
            inner = problem.law(minimum.free, case)
            unit = 1.0 if problem.objective.likelihood else jnp.abs(minimum.value) + 1e-300
            # NaN, from a Hessian that is not positive definite, must not pass for converged.
            fall = jnp.maximum(fall, jnp.where(minimum.fall >= 0, minimum.fall / unit, jnp.inf))
            pinned.append(minimum.pinned)
            frees.append(minimum.free)
        return inner, fall, jnp.concatenate(pinned), frees

    return jax.vmap(one)(starts, resamples)


def _diagnostics(
    problems: tuple[Problem, ...], fall: np.ndarray, pinned: np.ndarray, unit: str, clusters: int
) -> dict:
    # A nuisance coefficient at its bound (Gaussian tails, say) says nothing about the law.
    names = [(c.name, c in p.objective.nuisance) for p in problems for c in p.cards]
    shares = zip(names, pinned.mean(0), strict=True)
    at_bound = {name: float(s) for (name, nuisance), s in shares if s > 0 and not nuisance}
    converged = float(np.mean(fall < _CONVERGED))
    notes = [f"{clusters} units of '{unit}' resampled; {converged:.1%} of refits converged"]
    notes += [f"{name} is at a bound in {share:.0%} of draws" for name, share in at_bound.items()]
    if converged < 0.95:
        notes.append("MANY REFITS DID NOT CONVERGE: do not use these intervals")
    return {"converged": converged, "at_bound": at_bound, "units": clusters, "notes": notes}
