"""What a table tells of a law once it is fitted: widths of exponents, trade-offs, bounds."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from t2jax import _text
from t2jax._arguments import check_seed, check_whole
from t2jax._result import Result
from t2jax.errors import Refusal
from t2jax.fitting import FitResult, fit
from t2jax.laws import Law, Role
from t2jax.observations import Observations
from t2jax.uncertainty import Ensemble, bootstrap
from t2jax.validation.identify import Identification, identify
from t2jax.validation.profile import profile

__all__ = ["Examination", "examine"]

LEVEL = 0.95
_FLAT = 1e-9  # relative spread of draws below which nothing is correlated with them


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Examination(Result):
    """A design, and what a fit of its rows left open.

    Attributes:
      design: rank, condition and trade-offs before any fit.
      exponents: by name: estimate, and lower and upper end of the 95% profile interval.
      correlation: of E with G over the replicates, or with each exponent where there is no G; NaN
        where E does not move.
      starts: by coefficient, share of the fit's starts that ended at a bound.
      replicates: by coefficient, share of bootstrap refits at a bound.
      n_starts: how many starts.
      n_replicates: how many refits.
      notes: what must be said beside the numbers.
    """

    design: Identification
    exponents: dict[str, tuple[float, float, float]]
    correlation: dict[str, float]
    starts: dict[str, float]
    replicates: dict[str, float]
    n_starts: int
    n_replicates: int
    notes: tuple[str, ...]

    def records(self) -> list[dict[str, Any]]:
        """One record per exponent: the estimate and its profile interval."""
        names = ("estimate", "low", "high")
        return [{"exponent": name, **dict(zip(names, ends, strict=True))}
                for name, ends in self.exponents.items()]  # fmt: skip

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return self.design.title

    def summary(self) -> str:
        """The design, then the fit, as fixed-width text."""
        lines = [self.design.summary()]
        if self.exponents:
            rows = [
                [name, _text.number(at, 4), _text.interval(low, high), _text.number(high - low, 3)]
                for name, (at, low, high) in self.exponents.items()
            ]
            head = ["exponent", "estimate", f"{LEVEL:.0%} profile", "width"]
            lines += ["", _text.table(head, rows)]
        shown = [f"with {name} {_text.number(x, 3)}" for name, x in self.correlation.items()]
        if shown:
            lines.append(f"correlation of E over the replicates: {', '.join(shown)}")
        lines.append(_shares("starts", self.n_starts, self.starts))
        lines.append(_shares("replicates", self.n_replicates, self.replicates))
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; what is infinite or undefined is null."""
        known = {
            name: dict(zip(("estimate", "low", "high"), map(_finite, ends), strict=True))
            for name, ends in self.exponents.items()
        }
        return {
            "format": "t2jax.examination/1",
            "design": self.design.to_dict(),
            "exponents": known,
            "correlation": {name: _finite(x) for name, x in self.correlation.items()},
            "starts": self.starts,
            "replicates": self.replicates,
            "n_starts": self.n_starts,
            "n_replicates": self.n_replicates,
            "notes": list(self.notes),
        }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _shares(what: str, count: int, shares: dict[str, float]) -> str:
    if not count:
        return f"{what} at a bound: there are none"
    named = ", ".join(f"{name} in {share:.0%}" for name, share in shares.items())
    return f"{what} at a bound, of {count}: {named or 'none'}"


def examine(
    runs: Observations,
    law: str | Law,
    *,
    objective: str | None = None,
    samples: Sequence[float] | None = None,
    n_draws: int = 200,
    seed: int = 0,
    progress: bool = True,
) -> Examination:
    """Whether the rows of a table identify a law: the design first, then a fit of them.

    Args:
      runs: rows.
      law: name of a law of loss, or a law.
      objective: as in `t2jax.fit`.
      samples: k grid of a table of questions, as in `t2jax.fit`.
      n_draws: bootstrap refits.
      seed: of the resampling.
      progress: whether to draw a progress bar on a terminal.

    Raises:
      InputError: an accuracy law.
      Refusal: the design cannot answer; the remedy names cheap rows that would.
    """
    design = identify(runs, law, samples=samples)
    check_whole("n_draws", n_draws, usual=200)
    check_seed(seed)
    found = fit(runs, law, objective=objective, samples=samples)
    notes = [] if found.success else [f"NOT CERTIFIED: {found.message}"]
    exponents, more = _widths(found)
    notes += more
    count = len(found.starts)
    ended = [name for start in found.starts for name in start["at_bound"]]
    starts = {name: ended.count(name) / count for name in sorted(set(ended))}
    correlation: dict[str, float] = {}
    replicates: dict[str, float] = {}
    done = 0
    try:
        many = bootstrap(found, n_draws=n_draws, seed=seed, progress=progress)
        correlation, replicates = _tradeoffs(many), many.diagnostics["at_bound"]
        done = many.n_draws
        notes += many.diagnostics["notes"][:1]
    except Refusal as refused:
        notes.append(f"no replicates: {refused}")
    return Examination(
        design=design, exponents=exponents, correlation=correlation, starts=starts,
        replicates=dict(replicates), n_starts=count, n_replicates=done, notes=tuple(notes),
    )  # fmt: skip


def _widths(found: FitResult) -> tuple[dict[str, tuple[float, float, float]], list[str]]:
    """Profile intervals of the exponents, or why there are none."""
    names = list(found.law.having(Role.EXPONENT))
    if not names:
        return {}, []
    try:
        known = profile(found, names, level=LEVEL)
    except Refusal as refused:
        return {}, [f"no profile: {refused}"]
    return (
        {name: (known[name].estimate, known[name].low, known[name].high) for name in names},
        list(known.notes),
    )


def _tradeoffs(draws: Ensemble) -> dict[str, float]:
    """Correlation of E with what stands in for it."""
    known = draws.law.rivals()
    if known is None:
        return {}
    floor, rivals = known
    return {name: _correlation(np.asarray(floor), np.asarray(x)) for name, x in rivals.items()}


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    still = [np.std(v) <= _FLAT * max(np.max(np.abs(v)), 1e-300) for v in (x, y)]
    return math.nan if any(still) else float(np.corrcoef(x, y)[0, 1])
