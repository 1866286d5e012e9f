"""The bootstrap: refits under resampled weights, crossed with questions, as compiled batches."""

import jax.numpy as jnp
import numpy as np

from t2jax import passk
from t2jax._precision import double
from t2jax.errors import InputError, Refusal
from t2jax.fit import FitResult
from t2jax.fit.refit import Refits, Resample, fitted_stages, refit
from t2jax.fit.stages import Stage
from t2jax.observations import Observations
from t2jax.uncertainty.ensemble import Ensemble, fitted_table
from t2jax.uncertainty.noise import residual_noise

__all__ = ["bootstrap"]


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
    table = fitted_table(fit, runs, "the bootstrap")
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
    stages = fitted_stages(fit, table)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=draws)
    row_weight = counts[:, clusters].astype(float)
    question_weight = None
    if table.task is not None:
        question_weight = np.ones((draws, table.n_questions))
        if resample_questions:
            question_weight = _question_weights(rng, table.task, draws)
    resamples = [_resample(s, table, row_weight, question_weight) for s in stages]
    done = refit(fit, stages, resamples, draws, title="bootstrap", progress=progress)
    return Ensemble(
        law=done.law,
        point=fit.law,
        kind="bootstrap",
        unit=unit,
        seed=seed,
        hull=fit.hull,
        diagnostics=_diagnostics(done, unit, n_clusters) | {"noise": residual_noise(fit, table)},
        source=fit.source,
        data_hash=fit.data_hash,
    )


def _question_weights(rng: np.random.Generator, task: np.ndarray, draws: int) -> np.ndarray:
    weight = np.zeros((draws, len(task)))
    for name in np.unique(task):
        where = np.flatnonzero(task == name)
        share = np.full(len(where), 1 / len(where))
        weight[:, where] = rng.multinomial(len(where), share, size=draws)
    return weight


def _resample(
    stage: Stage, table: Observations, row_weight: np.ndarray, question_weight: np.ndarray | None
) -> Resample:
    repeat = stage.rows.weight.size // table.n_rows
    weight = np.repeat(row_weight, repeat, axis=1)
    if table.kind == "loss":
        if repeat == 0:  # a law of one sample on a table with several: rows at k = 1 only
            weight = row_weight[:, np.asarray(table.samples) == 1.0]
        return Resample(weight=weight)
    if stage.problem.objective.counts:
        return Resample(weight=weight, question_weight=question_weight)
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
    return Resample(weight=weight, value=value)


def _diagnostics(done: Refits, unit: str, clusters: int) -> dict:
    # A nuisance coefficient at its bound (Gaussian tails, say) says nothing about the law.
    names = [(c.name, c in p.objective.nuisance) for p in done.problems for c in p.cards]
    shares = zip(names, done.pinned.mean(0), strict=True)
    at_bound = {name: float(s) for (name, nuisance), s in shares if s > 0 and not nuisance}
    converged = float(np.mean(done.converged))
    notes = [f"{clusters} units of '{unit}' resampled; {converged:.1%} of refits converged"]
    notes += [f"{name} is at a bound in {share:.0%} of draws" for name, share in at_bound.items()]
    if converged < 0.95:
        notes.append("MANY REFITS DID NOT CONVERGE: do not use these intervals")
    return {"converged": converged, "at_bound": at_bound, "units": clusters, "notes": notes}
