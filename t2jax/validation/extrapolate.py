"""`extrapolate`: pass@k beyond the samples that were taken, always labelled as such."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import _text, beta
from t2jax._arguments import check_level, check_seed, check_whole
from t2jax._precision import double
from t2jax._result import Result
from t2jax._typing import ArrayLike
from t2jax.errors import InputError, Refusal
from t2jax.laws import BetaSpread, Law, spread_law
from t2jax.observations import Observations
from t2jax.uncertainty.ensemble import Ensemble, central_interval
from t2jax.validation.from_counts import Counts, Drawn, by_line, by_spread, by_stack
from t2jax.validation.question_posterior import pass_draws

__all__ = ["Extrapolation", "extrapolate"]

_METHODS = ("stack", "beta_binomial", "regression")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Extrapolation(Result):
    """Mean pass@k of checkpoints, within and beyond the samples taken.

    Attributes:
      method: "law", "stack", "beta_binomial" or "regression".
      run: name of each checkpoint's run [rows].
      params: parameters [rows].
      tokens: training tokens [rows].
      samples: numbers of samples k [K].
      estimate: median of the predictive law, of a stack its weighted mean in log(-log pass@k)
        [rows, K]; NaN where the method has no answer.
      low: lower end of the interval [rows, K].
      high: upper end of the interval [rows, K].
      beyond: whether k exceeds the trials of any question of the row [rows, K]: extrapolation.
      level: of the interval.
      notes: what must be said beside the numbers.
    """

    method: str
    run: np.ndarray
    params: np.ndarray
    tokens: np.ndarray
    samples: np.ndarray
    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    beyond: np.ndarray
    level: float
    notes: tuple[str, ...] = ()

    def coverage(self, measured: np.ndarray) -> float:
        """Share of measured values [rows, K] inside their intervals; NaN entries left out."""
        known = np.isfinite(measured) & np.isfinite(self.low)
        inside = (self.low <= measured) & (measured <= self.high)
        return float(np.mean(inside[known])) if known.any() else float("nan")

    def error(self, measured: np.ndarray) -> float:
        """Mean absolute error of log pass@k against measured values [rows, K] above zero."""
        known = np.isfinite(measured) & (measured > 0) & (self.estimate > 0)
        gaps = np.log(self.estimate[known] / measured[known])
        return float(np.mean(np.abs(gaps))) if known.any() else float("nan")

    def records(self) -> list[dict[str, Any]]:
        """One record per checkpoint and k; `beyond` says which are extrapolated."""
        names = ("run", "params", "tokens")
        place = [dict(zip(names, row, strict=True))
                 for row in zip(self.run, self.params, self.tokens, strict=True)]  # fmt: skip
        return [
            {**place[i], "samples": k}
            | {name: getattr(self, name)[i, j] for name in ("estimate", "low", "high", "beyond")}
            for i in range(len(place))
            for j, k in enumerate(self.samples)
        ]

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"pass@k of {len(self.run)} checkpoints by {self.method}"

    def summary(self) -> str:
        """One line per checkpoint and k as fixed-width text; extrapolation is marked."""
        head = ["run", "params", "tokens", "k", "pass@k", f"{self.level:.0%} interval", ""]
        rows = [
            [
                str(self.run[i]),
                _text.count(self.params[i]),
                _text.count(self.tokens[i]),
                _text.number(k),
                _text.number(self.estimate[i, j], 3),
                _text.interval(self.low[i, j], self.high[i, j], lambda x: _text.number(x, 3)),
                "EXTRAPOLATED" if self.beyond[i, j] else "",
            ]
            for i in range(len(self.run))
            for j, k in enumerate(self.samples)
        ]
        return "\n".join([_text.underline(self.title), _text.table(head, rows), *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; NaN becomes null."""
        out: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = _without_nan(value.tolist())
            out[field.name] = value
        return out


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


@double
def extrapolate(
    source: Ensemble | Observations,
    samples: Sequence[float] | ArrayLike,
    *,
    runs: Observations | None = None,
    params: Sequence[float] | ArrayLike | None = None,
    tokens: Sequence[float] | ArrayLike | None = None,
    questions: int | None = None,
    method: str = "stack",
    impossible: bool = False,
    level: float = 0.9,
    n_draws: int = 1000,
    seed: int = 0,
) -> Extrapolation:
    """Predict mean pass@k at k beyond the trials, or at checkpoints that were not sampled.

    Draws of a law predict checkpoints from N and D alone. A table of counts is extrapolated
    checkpoint by checkpoint: under a Beta spread of its questions, each updated by its own
    counts; by a regression of log(-log pass@k) on log k; or by the two, weighed by what a tenth of
    the samples says of all of them, which no table that was tried finds far behind the better one.

    Args:
      source: draws of a law of pass@k, or a table of successes and trials.
      samples: numbers of samples k, at least 1.
      runs: with draws, the checkpoints to predict; of its counts nothing is used but the number
        of questions, and the trials to tell where extrapolation begins.
      params: with draws, parameters instead of `runs` [rows].
      tokens: with draws, training tokens instead of `runs` [rows].
      questions: with draws, size of the benchmark, whose questions are a random sample; without
        it, and without `runs`, infinitely many.
      method: with a table, "stack", or one of its two alone, "beta_binomial" or "regression".
      impossible: with method "beta_binomial", whether a share of questions may be impossible.
      level: of the intervals.
      n_draws: of the predictive law.
      seed: of these draws.

    Returns:
      Estimates with intervals; `beyond` marks extrapolation.

    Raises:
      InputError: options that do not go together.
      Refusal: a law that has no spread of questions, or a table without counts.

    Source: Beta laws of single-attempt success, Schaeffer et al. 2025, arXiv:2502.17578; regression
    of coverage, Brown et al. 2024, arXiv:2407.21787.
    """
    grid = np.atleast_1d(np.asarray(samples, float))
    if grid.ndim != 1 or not np.all(np.isfinite(grid) & (grid >= 1)):
        raise InputError(f"samples is {samples}", remedy="give numbers of at least 1")
    check_level(level)
    check_whole("n_draws", n_draws, usual=1000)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    if isinstance(source, Observations):
        if runs is not None or params is not None or tokens is not None or questions is not None:
            raise InputError(
                "a table says itself what its checkpoints are",
                remedy="leave runs, params, tokens and questions out",
            )
        if method not in _METHODS:
            raise InputError(
                f"unknown method '{method}'", remedy=f"the methods are {', '.join(_METHODS)}"
            )
        found = _from_table(_counts(source), grid, method, impossible, n_draws, rng)
        place, trials = (source.run, source.params, source.tokens), np.asarray(source.trials)
    else:
        method, trials = "law", None
        place, questions = _places(runs, params, tokens, questions)
        if runs is not None and runs.trials is not None:
            trials = np.asarray(runs.trials)
        found = _by_law(source, place, grid, questions, n_draws, rng)
    run, params, tokens = (np.asarray(column) for column in place)
    least = np.zeros(len(run)) if trials is None else trials.min(axis=1)
    beyond = grid[None, :] > least[:, None]
    low, high = _ends(found.values, level)
    middle = _middles(found.values) if found.middle is None else found.middle
    notes = found.notes
    if beyond.any():
        notes = [
            f"EXTRAPOLATION in {beyond.sum()} of {beyond.size} entries: k exceeds the trials",
            *notes,
        ]
    return Extrapolation(
        method=method, run=run, params=params, tokens=tokens, samples=grid, estimate=middle,
        low=low, high=high, beyond=beyond, level=level, notes=tuple(notes),
    )  # fmt: skip


def _middles(values: np.ndarray) -> np.ndarray:
    """Medians of the sound draws [rows, K]; NaN where there is none."""
    return np.array([[np.median(x[np.isfinite(x)]) if np.isfinite(x).any() else np.nan
                      for x in row.T] for row in values.swapaxes(0, 1)])  # fmt: skip


def _ends(values: np.ndarray, level: float) -> np.ndarray:
    """Both ends of central intervals of draws [2, rows, K]."""
    each = [[central_interval(x, level) for x in row.T] for row in values.swapaxes(0, 1)]
    return np.moveaxis(np.array(each), -1, 0)


def _from_table(
    counts: Counts, grid: np.ndarray, method: str, impossible: bool, n_draws: int,
    rng: np.random.Generator,
) -> Drawn:  # fmt: skip
    """What a method says of a table of counts."""
    if method == "beta_binomial":
        return by_spread(counts, grid, n_draws, rng, impossible)
    if impossible:
        raise InputError(
            "a straight line knows no impossible questions", remedy="use method='beta_binomial'"
        )
    return (by_line if method == "regression" else by_stack)(counts, grid, n_draws, rng)


def _counts(table: Observations) -> Counts:
    if table.successes is None or table.trials is None:
        raise Refusal(
            f"{table.source} has no counts to extrapolate",
            remedy="give a table of successes and trials; nll knows pass@k at every k already",
        )
    return Counts(np.asarray(table.successes), np.asarray(table.trials))


def _places(runs: Observations | None, params, tokens, questions: int | None):
    """Names, parameters and tokens of the checkpoints, and the number of questions."""
    if (runs is None) == (params is None or tokens is None):
        raise InputError(
            "draws of a law need checkpoints to predict",
            remedy="give runs=, or params= and tokens=",
        )
    if questions is not None and questions < 1:
        raise InputError(f"questions={questions} is no benchmark", remedy="give at least 1")
    if runs is not None:
        asked = runs.n_questions if runs.question is not None else None
        return (runs.run, runs.params, runs.tokens), questions or asked
    given = (np.atleast_1d(np.asarray(x, float)) for x in (params, tokens))
    params, tokens = np.broadcast_arrays(*given)
    names = np.array([f"{n:.3g} on {d:.3g}" for n, d in zip(params, tokens, strict=True)])
    return (names, params, tokens), questions


def _by_law(
    source: Ensemble, place, grid: np.ndarray, questions: int | None, n_draws: int, rng
) -> Drawn:
    if not isinstance(source, Ensemble) or not isinstance(source.point, BetaSpread):
        found = source.point.name if isinstance(source, Ensemble) else type(source).__name__
        raise Refusal(
            f"'{found}' has no spread of success over questions to draw from",
            remedy="make draws of law='beta_monotone' with t2jax.posterior, or give a table",
        )
    if not source.n_draws:
        raise InputError("a point estimate has no draws", remedy="make some with t2jax.posterior")
    picked = rng.choice(source.n_draws, n_draws, replace=n_draws > source.n_draws)
    law = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[picked], float), source.law)
    _, params, tokens = place

    def spread(law: Law):
        return spread_law(law, "be drawn from").spread(params=params, tokens=tokens)

    a, b = (np.asarray(x) for x in jax.vmap(spread)(law))
    notes = []
    nuisance = {name: np.asarray(x)[picked] for name, x in source.nuisance.items()}
    if "sd_log_b" in nuisance:
        # A new checkpoint strays from the law as far as those that were seen.
        b = b * np.exp(rng.normal(size=b.shape) * nuisance["sd_log_b"][:, None])
    else:
        notes.append("intervals leave out how far a checkpoint strays from the law")
    share = nuisance.get("impossible", np.zeros(n_draws))
    if source.hull is not None:
        for name, column, (low, high) in (
            ("params", params, source.hull.params),
            ("tokens", tokens, source.hull.tokens),
        ):
            outside = int(np.sum((column < low * (1 - 1e-9)) | (column > high * (1 + 1e-9))))
            if outside:
                notes.append(
                    f"EXTRAPOLATION in {name}: {outside} checkpoints lie outside the table"
                )
    if questions is None:
        k = jnp.asarray(grid)
        value = beta.pass_at_k(jnp.asarray(a)[..., None], jnp.asarray(b)[..., None], k)
        return Drawn(np.asarray(value) * (1.0 - share)[:, None, None], None, notes)
    none = np.zeros(questions)
    columns = [
        pass_draws(np.stack([a[:, i], b[:, i], share]), grid, none, none, rng)
        for i in range(a.shape[1])
    ]
    return Drawn(np.stack(columns, axis=1), None, notes)
