"""How far a law misses what it was not fitted to: by checkpoint, and where plans extrapolate.

Every hold-out is a refit with the held-out rows at weight zero, started at the fit of the whole
table: one compiled program for all of them.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import beta, passk
from t2jax._precision import double
from t2jax._typing import Floats
from t2jax.errors import Refusal
from t2jax.fitting.count_likelihood import log_likelihood
from t2jax.fitting.objectives import Objective
from t2jax.fitting.problem import Problem
from t2jax.fitting.refit import Resample, fitted_stages, refit, resettled
from t2jax.fitting.result import FitResult, relative_errors
from t2jax.fitting.rows import Rows, counts_rows, value_rows
from t2jax.fitting.spread import spreads
from t2jax.fitting.stages import Stage
from t2jax.laws.spread import Quantile
from t2jax.observations import Observations

__all__ = ["AXES", "HeldOut", "Mean", "held_out", "thinned"]

AXES = ("tokens_per_param", "train_flops", "samples")
"""Along which plans extrapolate, the furthest first: the top quarter of checkpoints, or the larger
k, is held out; of counts, the samples beyond a smaller k."""

_WORST = 1e6  # an error past which none is told from another, so that means stay finite
_SHARE = 0.25  # of checkpoints at the far end of an axis


class Mean(NamedTuple):
    """A mean error and its standard error, clustered by run."""

    value: float
    error: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """What a law made of rows it was not fitted to.

    Attributes:
      law_name: name of the law.
      form: name of the loss of N and D inside it, its own where there is none.
      quantity: what `error` measures: "relative error" of losses, or "error of pass@k".
      points: parameters and tokens of each checkpoint [points, 2].
      point_error: mean absolute error at each checkpoint when it is held out [points].
      point_density: log density of each checkpoint when it is held out [points]; NaN where the
        objective is no likelihood.
      axes: the axes that the table has, that along which plans extrapolate most first.
      error: sum over the held-out rows of each run of their absolute error, by axis [axes, runs].
      rows: how many rows of each run an axis holds out [axes, runs].
      converged: share of refits that converged.
    """

    law_name: str
    form: str
    quantity: str
    points: np.ndarray
    point_error: np.ndarray
    point_density: np.ndarray
    axes: tuple[str, ...]
    error: np.ndarray
    rows: np.ndarray
    converged: float

    @property
    def axis_error(self) -> dict[str, float]:
        """Mean absolute error at the far end of each axis."""
        means = self.error.sum(axis=1) / self.rows.sum(axis=1)
        return dict(zip(self.axes, means.tolist(), strict=True))

    @property
    def score(self) -> float:
        """Mean error over the axes of extrapolation: what laws are chosen by."""
        return self.mean().value

    def mean(self, axes: Sequence[str] | None = None, *, beside: "HeldOut | None" = None) -> "Mean":
        """Mean error over some axes, or how far it lies above that of another law.

        The standard error takes runs as independent, not their rows, and an axis as no new data.

        Args:
          axes: which; all of them unless given.
          beside: the law whose error at the same rows is taken off.
        """
        axes = axes or [name for name in self.axes if beside is None or name in beside.axes]
        value, pull = self._pull(axes)
        if beside is not None:
            other, push = beside._pull(axes)
            value, pull = value - other, pull - push
        runs = int(np.sum(self.rows[[self.axes.index(name) for name in axes]].any(axis=0)))
        return Mean(value, float(np.sqrt(np.sum(pull**2) * runs / max(runs - 1, 1))))

    def _pull(self, axes: Sequence[str]) -> tuple[float, np.ndarray]:
        """The mean over axes, and how far each run pulls it from where the others would put it."""
        places = [self.axes.index(name) for name in axes]
        error, rows = self.error[places], self.rows[places]
        count = rows.sum(axis=1, keepdims=True)
        means = error.sum(axis=1, keepdims=True) / count
        return float(means.mean()), np.mean((error - means * rows) / count, axis=0)


@double
def held_out(
    fit: FitResult, runs: Observations, *, each: bool = True, progress: bool = False
) -> HeldOut:
    """Refit a law without parts of its table and judge it there.

    Checkpoints with equal parameters and tokens are one point and leave together.

    Args:
      fit: the fit of the whole table.
      runs: the table.
      each: hold out every point in turn too, not only the far ends of the axes.
      progress: whether to draw a progress bar on a terminal.

    Raises:
      Refusal: too few checkpoints to hold any out.
    """
    stages = fitted_stages(fit, runs)
    rows = stages[-1].rows
    place = np.stack([np.asarray(rows.params), np.asarray(rows.tokens)], axis=1)
    points = np.unique(place, axis=0)
    needed = len(fit.law.base.cards()) + 1
    if len(points) - int(np.ceil(_SHARE * len(points))) < needed:
        raise Refusal(
            f"{runs.source} has {len(points)} checkpoints, too few to hold a quarter of them out",
            remedy=f"bring at least {int(np.ceil((needed + 1) / (1 - _SHARE)))}, or choose the law",
        )
    ends = _far_ends(rows, points)
    # A linked law is fitted to mean losses and judged at every k.
    rows = value_rows(runs, fit.law, fit.samples) if rows.of_mean else rows
    whole = [*(stage.rows for stage in stages), rows]
    keep = [[~end(part) for end in ends.values()] for part in whole]
    if each:
        for masks, part in zip(keep, whole, strict=True):
            masks += [~_at(part, point) for point in points]
    folds = len(keep[-1])
    resamples = [Resample(weight=np.stack(masks).astype(float)) for masks in keep[:-1]]
    spread = stages[-1].spread
    if isinstance(spread, Quantile):
        every = np.ones((folds, runs.n_questions))
        bent = spread.bend is not None
        left = spreads(runs, np.asarray(resamples[-1].weight), every, bent=bent)
        resamples[-1] = dataclasses.replace(resamples[-1], spread=left)
    done = refit(
        fit, stages, resamples, folds, title=f"held out: {fit.law.name}", progress=progress
    )
    counts = stages[-1].problem.objective.counts
    seen = _measured(runs, fit.samples) if counts else None
    judged = _judge(stages[-1].problem, done.law, done.nuisance, rows, stages[-1].rows, seen)
    error, density = _at_worst(np.asarray(judged[0])), np.asarray(judged[1])
    out, fitted_out = ~np.stack(keep[-1]), ~np.stack(keep[-2])
    clusters = runs.cluster("run")[np.asarray(rows.place)]
    n_runs = int(runs.cluster("run").max()) + 1
    far = {name: (error[i], out[i]) for i, name in enumerate(ends) if out[i].any()}
    if counts:
        far |= _beyond_samples(fit, stages, runs)
    by_run = [
        [np.bincount(clusters, np.where(held, x, 0.0), n_runs) for x in (missed, held)]
        for missed, held in far.values()
    ]
    single = range(len(ends), folds)
    accuracy = fit.law.kind == "accuracy"
    return HeldOut(
        law_name=_name(fit),
        form=fit.law.base.name,
        quantity="error of pass@k" if accuracy else "relative error",
        points=points,
        point_error=np.array([np.mean(error[i][out[i]]) for i in single]),
        point_density=np.array([np.sum(density[i][fitted_out[i]]) for i in single]),
        axes=tuple(far),
        error=np.stack([missed for missed, _ in by_run]),
        rows=np.stack([held for _, held in by_run]),
        converged=float(np.mean(done.converged)),
    )


def _name(fit: FitResult) -> str:
    """The law as `t2jax.fit` would be asked for it."""
    usual = fit.law.base is fit.law or isinstance(fit.law.base, type(type(fit.law).template().base))
    return fit.law.name if usual else fit.law.form


def _at(rows: Rows, point: np.ndarray) -> np.ndarray:
    return (np.asarray(rows.params) == point[0]) & (np.asarray(rows.tokens) == point[1])


def _far_ends(rows: Rows, points: np.ndarray) -> dict:
    """A mask of rows for each axis that the table has."""
    flops, ratio = 6.0 * points[:, 0] * points[:, 1], points[:, 1] / points[:, 0]
    most, longest = (np.quantile(x, 1.0 - _SHARE, method="higher") for x in (flops, ratio))
    ends = {
        "tokens_per_param": lambda r: np.asarray(r.tokens / r.params) >= longest * (1 - 1e-12),
        "train_flops": lambda r: np.asarray(6.0 * r.params * r.tokens) >= most * (1 - 1e-12),
    }
    grid = np.unique(np.asarray(rows.samples))
    if len(grid) >= 4:
        bound = _last_k(grid)
        ends["samples"] = lambda r: np.asarray(r.samples) > bound
    return ends


def _last_k(grid: np.ndarray) -> float:
    """The largest k that a law is fitted to: beyond it lies the upper third of log k.

    What is left has at least two k.

    >>> _last_k(np.array([1.0, 4.0, 16.0, 64.0]))
    16.0
    """
    bound = min(grid[-1] ** (2 / 3) * grid[0] ** (1 / 3), grid[-2]) * (1 + 1e-9)
    return float(max(grid[grid <= bound][-1], grid[1]))


def _beyond_samples(
    fit: FitResult, stages: tuple[Stage, ...], runs: Observations
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Error of pass@k at the largest k of a law that saw fewer samples of each question.

    The samples it saw are drawn without replacement from those that were taken; the measured
    pass@k is the unbiased estimate from all of them.
    """
    grid = np.asarray(fit.samples or (1.0,))
    if len(grid) < 4:
        return {}
    bound = _last_k(grid)
    rows = stages[-1].rows
    successes, trials = thinned(runs, int(bound))
    fewer = counts_rows(dataclasses.replace(runs, successes=successes, trials=trials))
    law, _ = resettled(fit, (*stages[:-1], dataclasses.replace(stages[-1], rows=fewer)))
    k, measured = _measured(runs, tuple(grid[grid > bound]))
    error = np.asarray(_counts_error(law, rows, k, measured)[0])
    return {"samples": (_at_worst(error), np.ones(len(error), bool))}


def _at_worst(error: np.ndarray) -> np.ndarray:
    """Errors of a law that may have gone astray: what is no number is a very large one."""
    return np.minimum(np.where(np.isnan(error), _WORST, error), _WORST)


def thinned(runs: Observations, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Successes and trials had no question been sampled more often [checkpoints, questions].

    Args:
      runs: a table of counts.
      most: samples of a question that are kept, drawn without replacement.
    """
    assert runs.successes is not None
    assert runs.trials is not None
    successes, trials = runs.successes.astype(np.int64), runs.trials.astype(np.int64)
    kept = np.minimum(trials, most)
    rng = np.random.default_rng(0)
    return rng.hypergeometric(successes, trials - successes, kept), kept


@functools.partial(jax.jit, static_argnums=0)
def _judge(
    problem: Problem, law, nuisance, rows: Rows, fitted: Rows, seen
) -> tuple[Floats, Floats]:
    """Absolute error of the rows that are judged, and log density of those that are fitted.

    Under every refit [folds, rows].
    """

    def one(law, nuisance):
        if seen is not None:
            return _counts_error(law, rows, *seen)
        predicted = rows.predict(law)
        accuracy = law.kind == "accuracy"
        error = abs(predicted - rows.value) if accuracy else relative_errors(predicted, rows.value)
        return error, _density(problem.objective, fitted.predict(law), nuisance, fitted)

    return jax.lax.map(lambda pair: one(*pair), (law, nuisance))


def _density(objective: Objective, predicted: Floats, nuisance, rows: Rows) -> Floats:
    if not objective.likelihood:
        return jnp.full_like(predicted, jnp.nan)
    # Of the loss itself, so that it compares with any other density of losses.
    return -objective.per_row(predicted, nuisance, rows) - jnp.log(rows.value)


def _measured(runs: Observations, grid: tuple[float, ...] | None) -> tuple[Floats, Floats]:
    """The k grid of a fit to counts, and the unbiased pass@k there [checkpoints, K]."""
    assert runs.successes is not None
    assert runs.trials is not None
    k = np.asarray(grid or (1.0,))
    each = passk.pass_at_k(runs.successes[..., None], runs.trials[..., None], k)
    asked = np.asarray(runs.trials > 0)[..., None]
    mean = np.where(asked, each, 0.0).sum(axis=1) / np.maximum(asked.sum(axis=1), 1)
    return jnp.asarray(k), jnp.asarray(mean)


def _counts_error(law, rows: Rows, k: Floats, measured: Floats) -> tuple[Floats, Floats]:
    """Error of mean pass@k, averaged over k, and log likelihood, of every checkpoint."""
    assert rows.tally is not None
    a, b = rows.spread(law)
    error = jnp.mean(jnp.abs(beta.pass_at_k(a[:, None], b[:, None], k) - measured), axis=1)
    return error, log_likelihood(a, b, rows.tally)
