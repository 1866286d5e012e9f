"""`compare`: laws judged by what they were not fitted to, side by side."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t2jax import _text
from t2jax._precision import double
from t2jax._result import Result
from t2jax.errors import InputError
from t2jax.fitting import FitResult, fit
from t2jax.fitting.default import candidates
from t2jax.fitting.held_out import HeldOut
from t2jax.fitting.judge import judge, win_shares
from t2jax.laws import Law, predict, template
from t2jax.observations import Observations

__all__ = ["Comparison", "SamplesCheck", "compare"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplesCheck:
    """Does the effect of samples change with N and D, and does the law know?

    The exponent of a checkpoint is minus the slope of the log of its loss, or of
    -log(mean pass@k), on log k. It is regressed on log N and log D.

    Attributes:
      exponent: mean over checkpoints.
      measured: slope of the exponent per unit of log N and of log D, each with its standard
        error, by "params" and "tokens".
      residual: the same of measured minus law.
      law_name: the law whose exponents were taken off.
    """

    exponent: float
    measured: Mapping[str, tuple[float, float]]
    residual: Mapping[str, tuple[float, float]]
    law_name: str

    def sentences(self) -> list[str]:
        """What was found."""
        out = [f"the exponent of samples is {self.exponent:.3f} on average over checkpoints"]
        for what, slopes in (
            ("measured", self.measured),
            (f"left by {self.law_name}", self.residual),
        ):
            told = ", ".join(
                f"{slope:+.4f} (se {error:.4f}) per unit of log {name}"
                for name, (slope, error) in slopes.items()
            )
            out.append(f"its slope, {what}: {told}")
        return out


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison(Result):
    """Laws on one table, that which `law="auto"` would choose first.

    Attributes:
      fits: fits of the whole table.
      held_out: how far each misses what was held out.
      weights: how often each has the least error along the first axis when runs are drawn again:
        the weights of law "stack".
      samples: check of the effect of samples, None where the table has too few k.
      failed: laws that could not be judged, with the reason.
      source: file the table came from.
    """

    fits: tuple[FitResult, ...]
    held_out: tuple[HeldOut, ...]
    weights: np.ndarray
    samples: SamplesCheck | None
    failed: Mapping[str, str]
    source: str

    @property
    def best(self) -> FitResult:
        """The fit to plan with: see `t2jax.fitting.judge.best_of`."""
        return self.fits[0]

    def records(self) -> list[dict[str, Any]]:
        """One dictionary per law: error at held-out checkpoints and axes, density, weight."""
        out = []
        for i, judged in enumerate(self.held_out):
            density = float(np.sum(judged.point_density))
            out.append(
                {
                    "law": judged.law_name,
                    "coefficients": self.fits[i].n_free,
                    "checkpoints": float(np.mean(judged.point_error)),
                    **judged.axis_error,
                    "standard_error": judged.mean().error,
                    "log_density": None if np.isnan(density) else density,
                    "weight": float(self.weights[i]),
                    "converged": judged.converged,
                }
            )
        return out

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"{len(self.fits)} laws on {self.source}: {self.held_out[0].quantity}, held out"

    def summary(self) -> str:
        """The comparison as fixed-width text."""
        axes = list(self.held_out[0].axis_error)
        head = ["law", "free", "each checkpoint", *[f"most {name}" for name in axes]]
        head += ["se", "log density", "weight"]
        body = []
        for row in self.records():
            shown = ("checkpoints", *axes, "standard_error")
            errors = [_text.number(row[name], 3) for name in shown]
            more = [
                "" if row[name] is None else f"{row[name]:.{digits}f}"
                for name, digits in (("log_density", 1), ("weight", 2))
            ]
            body.append([row["law"], str(row["coefficients"]), *errors, *more])
        notes = [
            f"{judged.law_name}: {1 - judged.converged:.0%} of the refits did not converge"
            for judged in self.held_out
            if judged.converged < 1
        ]
        notes += [f"{fit.law.name}: {fit.message}" for fit in self.fits if not fit.success]
        notes += [f"{name}: {reason}" for name, reason in self.failed.items()]
        if self.samples is not None:
            notes += self.samples.sentences()
        return "\n".join([_text.underline(self.title), _text.table(head, body), *notes])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        check = None
        if self.samples is not None:
            check = dataclasses.asdict(self.samples)
            check["law"] = check.pop("law_name")
        return {
            "source": self.source,
            "quantity": self.held_out[0].quantity,
            "laws": self.records(),
            "samples": check,
            "failed": dict(self.failed),
        }


@double
def compare(
    runs: Observations,
    laws: Sequence[str | type[Law] | Law] | None = None,
    *,
    objective: str | None = None,
    samples: Sequence[float] | None = None,
    progress: bool = True,
) -> Comparison:
    """Compare laws by what they predict of rows that they were not fitted to.

    Each checkpoint is held out in turn, and so are the far ends of the axes along which plans
    extrapolate: the quarter with the most training FLOPs, the quarter with the most tokens per
    parameter, the largest k. From counts, a law fitted to fewer samples of each question is judged
    at the k that only all of them reach.

    Args:
      runs: the table.
      laws: names, classes or laws; all that the table can tell apart unless given.
      objective: as in `t2jax.fit`.
      samples: k grid of a table of questions, as in `t2jax.fit`.
      progress: whether to draw progress bars on a terminal.

    Returns:
      The laws, that which `law="auto"` chooses first. A difference within its standard error, runs
      and not rows being independent, is a tie, and the coupled law wins ties; laws that bend more
      must be better beyond the data by more than that.

    Raises:
      InputError: laws that describe different quantities or different rows.
      Refusal: no law could be judged.
    """
    names = list(laws) if laws is not None else list(candidates(runs))
    if not names:
        raise InputError("no laws to compare", remedy="name some, or leave laws out")
    forms = [template(law) for law in names]
    if len({(form.kind, form.uses_samples and _several_k(runs)) for form in forms}) > 1:
        raise InputError(
            "these laws describe different rows: loss or pass@k, one k or several",
            remedy="compare laws of one kind, such as laws=['softplus', 'product']",
        )
    every = {
        name if isinstance(name, str) else form.name: functools.partial(
            fit, runs, name, objective=objective, samples=samples
        )
        for name, form in zip(names, forms, strict=True)
    }
    found, failed = judge(runs, every, progress=progress)
    fits, judged = zip(*found, strict=True)
    return Comparison(
        fits=fits,
        held_out=judged,
        weights=win_shares(list(judged)),
        samples=_samples_check(runs, fits[0]),
        failed=failed,
        source=runs.source,
    )


def _several_k(runs: Observations) -> bool:
    return runs.kind != "loss" or (runs.samples is not None and len(np.unique(runs.samples)) > 1)


def _samples_check(runs: Observations, fitted: FitResult) -> SamplesCheck | None:
    """The exponent of k of every checkpoint, regressed on log N and log D."""
    curves = _curves(runs, fitted)
    if curves is None:
        return None
    params, tokens, measured, told = curves
    own, law = (np.array([_exponent(*curve) for curve in each]) for each in (measured, told))
    sound = np.isfinite(own) & np.isfinite(law)
    design = [np.ones(sound.sum())]
    design += [x - x.mean() for x in (np.log(params)[sound], np.log(tokens)[sound])]
    matrix = np.stack(design, axis=1)
    if len(matrix) < 5 or np.linalg.matrix_rank(matrix) < 3:
        return None
    return SamplesCheck(
        exponent=float(own[sound].mean()),
        measured=_slopes(matrix, own[sound]),
        residual=_slopes(matrix, (own - law)[sound]),
        law_name=fitted.law.name,
    )


def _slopes(matrix: np.ndarray, y: np.ndarray) -> dict[str, tuple[float, float]]:
    """Slopes by least squares, with standard errors that allow for unequal noise (HC3)."""
    inverse = np.linalg.inv(matrix.T @ matrix)
    slope = inverse @ matrix.T @ y
    leverage = np.sum((matrix @ inverse) * matrix, axis=1)
    scaled = (y - matrix @ slope) / np.maximum(1.0 - leverage, 1e-6)
    spread = inverse @ (matrix.T * scaled**2) @ matrix @ inverse
    error = np.sqrt(np.diagonal(spread))
    return {name: (float(slope[i]), float(error[i])) for i, name in ((1, "params"), (2, "tokens"))}


def _exponent(k: np.ndarray, loss: np.ndarray) -> float:
    """Minus the slope of log loss on log k."""
    if len(k) < 2 or not np.all(loss > 0):
        return float("nan")
    x = np.log(k) - np.log(k).mean()
    return float(-(x @ np.log(loss)) / (x @ x))


def _curves(runs: Observations, fitted: FitResult):
    """Parameters, tokens, and pairs (k, loss) of every checkpoint, measured and by the law."""
    law = fitted.law
    if not law.uses_samples or not _several_k(runs):
        return None
    if runs.kind == "loss":
        names = np.array([f"{r} {d!r}" for r, d in zip(runs.run, runs.tokens, strict=True)])
        first, code = np.unique(names, return_index=True, return_inverse=True)[1:]
        assert runs.samples is not None
        assert runs.loss is not None
        value = np.asarray(predict(law, runs.params, runs.tokens, runs.samples))
        rows = [np.flatnonzero(code == i) for i in range(len(first))]
        measured = [(runs.samples[at], runs.loss[at]) for at in rows]
        told = [(runs.samples[at], value[at]) for at in rows]
        return runs.params[first], runs.tokens[first], measured, told
    grid = np.asarray(fitted.samples or (1.0,))
    value = np.asarray(predict(law, runs.params[:, None], runs.tokens[:, None], grid))
    if law.kind == "accuracy":
        rate = runs.pass_at_k(grid)
        sound = (rate > 0) & (rate < 1)
        seen = np.where(sound, -np.log(np.where(sound, rate, 0.5)), np.nan)
        value = -np.log(value)
    else:
        seen = runs.neg_log_pass(grid)
    each = [(grid, row) for row in seen]
    return runs.params, runs.tokens, each, [(grid, row) for row in value]
