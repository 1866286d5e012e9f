"""The bootstrap: refits under resampled weights, crossed with questions, as compiled batches."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from t2jax import passk
from t2jax._arguments import check_seed, check_whole
from t2jax._precision import double
from t2jax.errors import InputError, Refusal
from t2jax.fitting import FitResult
from t2jax.fitting.refit import Refits, Resample, fitted_stages, refit
from t2jax.fitting.spread import spreads
from t2jax.fitting.stages import Stage
from t2jax.laws import Stacked
from t2jax.laws.spread import Quantile
from t2jax.observations import Observations
from t2jax.uncertainty.checkpoint_spread import stray_draws
from t2jax.uncertainty.discrepancy import Surfaces, applies
from t2jax.uncertainty.ensemble import Ensemble, fitted_table
from t2jax.uncertainty.of_forms import of_forms
from t2jax.uncertainty.resampling import (
    check_scheme,
    levels_of,
    question_weights,
    signed_values,
    unit_weights,
)
from t2jax.uncertainty.run_noise import residual_noise

__all__ = ["bootstrap"]


@double
def bootstrap(
    fit: FitResult,
    *,
    n_draws: int = 1000,
    unit: str | None = None,
    scheme: str = "pairs",
    seed: int = 0,
    runs: Observations | None = None,
    resample_questions: bool = True,
    discrepancy: bool = True,
    progress: bool = True,
) -> Ensemble:
    """Bootstrap a fit by whole runs, crossed with questions.

    Checkpoints of one unit enter or leave together, with every k they were judged at.
    Questions are resampled within tasks, once per draw and alike for every checkpoint.
    Draws are weights, or losses under the same weights, so that all refits are one compiled
    program, started at the fit.

    Args:
      fit: the fit to repeat.
      n_draws: number of refits.
      unit: "run", "trunk" (runs that share a trajectory), or "row" (naive; too narrow where
        rows share a run). Trunks unless given, where the table names them, else runs.
      scheme: "pairs" draws units with replacement. "bayesian" gives units, and questions, flat
        Dirichlet weights: no unit is ever left out, so few units do not lose the design.
        "stratified" draws units within isoFLOP levels, a unit belonging to the level where it
        ends. "wild" keeps the design and turns the signs of each unit's log residuals round the
        fit: for laws of loss on tables of losses, whose residuals are as often above as below.
      seed: of the resampling.
      runs: the table, where the fit was read from a file.
      resample_questions: whether questions are resampled too.
      discrepancy: whether intervals carry the misfit of the law: each draw of a law of losses at
        one sample, or of a linked law, is that law times a smooth surface (`Warped`).
      progress: whether to draw a progress bar on a terminal.

    Returns:
      The draws, as the law with a leading axis; with misfit a `Warped` law, whose point estimate
      has the mean surface, and `nuisance["run_sd"]` and `["checkpoint_sd"]`, which `t2jax.predict`
      adds for new runs. Of counts, `nuisance["sd_log_b"]` holds how far a checkpoint strays from
      the law, which `t2jax.extrapolate` adds to what it predicts.

    Raises:
      InputError: no table at hand, a table other than the one fitted, too few draws, an unknown
        scheme, or "wild" for a table that holds no losses.
      Refusal: fewer than five units to resample, or an isoFLOP level of one unit to resample
        within.

    Source: Efron 1979; Dirichlet weights, Rubin 1981, doi:10.1214/aos/1176345338; signs of
    residuals, Wu 1986, doi:10.1214/aos/1176350142. For scaling laws see arXiv:2404.10102.
    """
    table = fitted_table(fit, runs, "the bootstrap")
    if fit.recipe is not None and fit.law.kind == "accuracy":
        raise InputError(
            "the paper's profile over E is not resampled",
            remedy="fit law='t2_accuracy' without a recipe and bootstrap that",
        )
    check_whole("n_draws", n_draws, usual=1000)
    check_seed(seed)
    check_scheme(scheme, fit, table)
    if isinstance(fit.law, Stacked) or isinstance(fit.law.base, Stacked):
        again = functools.partial(
            bootstrap, unit=unit, scheme=scheme, seed=seed, runs=table,
            resample_questions=resample_questions, discrepancy=discrepancy, progress=progress,
        )  # fmt: skip
        return of_forms(fit, n_draws, seed, lambda member, n: again(member, n_draws=n))
    unit = unit or _usual_unit(table)
    clusters = table.cluster(unit)
    n_clusters = int(clusters.max()) + 1
    if n_clusters < 5:
        raise Refusal(
            f"{table.source} has {n_clusters} of unit '{unit}': too few to resample",
            remedy="add runs, or use unit='row' and treat the intervals as too narrow",
        )
    level = levels_of(table, clusters) if scheme == "stratified" else None
    stages = fitted_stages(fit, table)
    rng = np.random.default_rng(seed)
    row_weight = unit_weights(rng, scheme, n_clusters, n_draws, level)[:, clusters]
    asked = None
    if table.task is not None:
        kept = np.ones((n_draws, table.n_questions))
        asked = question_weights(rng, scheme, table.task, n_draws) if resample_questions else kept
    resamples = [_resample(s, table, row_weight, asked) for s in stages]
    place = np.asarray(stages[-1].rows.place)
    if scheme == "wild":
        value = signed_values(rng, fit, stages[-1], clusters[place], n_draws)
        resamples[-1] = dataclasses.replace(resamples[-1], value=value)
    surfaces = None
    if discrepancy and applies(fit):
        surfaces = Surfaces(fit, stages[-1], clusters, n_draws, seed)
        resamples[-1] = _beside(resamples[-1], stages[-1], surfaces.before())
    done = refit(fit, stages, resamples, n_draws, title="bootstrap", progress=progress)
    strays = {}
    if stages[-1].problem.objective.counts:
        strays["sd_log_b"] = stray_draws(fit.law, stages[-1].rows, n_draws, rng)
    law, point, misfit = done.law, fit.law, {}
    if surfaces is not None:
        law, point = surfaces.on_draws(law), surfaces.on_point(point)
        strays |= surfaces.noise()
        misfit = {"misfit": surfaces.misfit._asdict(), "strays": surfaces.strays}
    return Ensemble(
        law=law, point=point, kind="bootstrap", unit=unit, seed=seed, hull=fit.hull,
        diagnostics={
            "scheme": scheme,
            **_diagnostics(done, _told(scheme, n_clusters, unit, level), n_clusters, surfaces),
            "noise": residual_noise(fit, table, place),
            **misfit,
        },
        source=fit.source, data_hash=fit.data_hash, uncertified=fit.uncertified,
        trendless=fit.trendless, nuisance=strays,
    )  # fmt: skip


def _usual_unit(table: Observations) -> str:
    """Trunks where the table names them, else runs; rows where every run has one."""
    if table.trunk is not None:
        return "trunk"
    return "row" if table.n_rows == len(set(table.run)) else "run"


def _beside(resample: Resample, stage: Stage, surface: np.ndarray) -> Resample:
    """The same resample of losses that a surface of misfit was taken off."""
    value = stage.rows.value if resample.value is None else resample.value
    return dataclasses.replace(resample, value=np.asarray(value) * np.exp(-surface))


def _told(scheme: str, count: int, unit: str, level: np.ndarray | None) -> str:
    """What a draw does, in words."""
    units = f"{count} units of '{unit}'"
    how = {
        "pairs": f"{units} resampled",
        "bayesian": f"{units} under Dirichlet weights",
        "stratified": f"{units} resampled within isoFLOP levels",
        "wild": f"signs of the log residuals of {units} turned, the design kept",
    }[scheme]
    if level is not None:
        how = how.replace("isoFLOP", f"{len(set(level.tolist()))} isoFLOP")
    return f"scheme '{scheme}': {how}"


def _resample(
    stage: Stage, table: Observations, row_weight: np.ndarray, question_weight: np.ndarray | None
) -> Resample:
    weight = row_weight[:, np.asarray(stage.rows.place)]
    if table.kind == "loss":
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
    spread = None
    if isinstance(stage.spread, Quantile):
        bent = stage.spread.bend is not None
        spread = spreads(table, row_weight, question_weight, bent=bent)
    return Resample(weight=weight, value=value, spread=spread)


def _diagnostics(done: Refits, what: str, clusters: int, surfaces: Surfaces | None) -> dict:
    # A nuisance coefficient at its bound (Gaussian tails, say) says nothing about the law.
    names = [(c.name, c in p.objective.nuisance) for p in done.problems for c in p.cards]
    shares = zip(names, done.pinned.mean(0), strict=True)
    at_bound = {name: float(s) for (name, nuisance), s in shares if s > 0 and not nuisance}
    converged = float(np.mean(done.converged))
    notes = [f"{what}; {converged:.1%} of refits converged"]
    notes += [f"{name} is at a bound in {share:.0%} of draws" for name, share in at_bound.items()]
    if converged < 0.95:
        notes.append("MANY REFITS DID NOT CONVERGE: do not use these intervals")
    if surfaces is not None and surfaces.strays:
        notes.append(f"rows too far from those near them to tell of misfit: {surfaces.strays}")
    return {"converged": converged, "at_bound": at_bound, "units": clusters, "notes": notes}
