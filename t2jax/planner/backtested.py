"""`Backtest`: plans beside what was measured, as a table, a sentence and a file."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from t2jax import _text
from t2jax._result import SavedResult

__all__ = ["CHOICES", "Backtest", "Case"]

_WIDTH = 98

CHOICES = {
    "plan": "plan",
    "chinchilla": "Chinchilla",
    "chinchilla_measured": "measured",
    "ratio": "20:1",
    "smallest": "least",
    "largest": "most",
}
"""Whose size was judged, and what it is called."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One plan, made of cheaper runs and judged by what was measured at its budgets.

    Attributes:
      train_flops: the training budget, 6ND.
      share: of it, up to which runs were fitted.
      fitted_flops: of the dearest run that was fitted.
      inference_flops: the inference budget; NaN where no samples are drawn.
      sizes: how many were measured at these budgets.
      planned: parameters of the plan.
      judged: the nearest size that was measured, by which the plan is judged.
      best: the best size that was measured.
      samples: k that the budget affords the judged size.
      promised: what the fitted law says of the judged size.
      low: lower end of the interval of that; of a loss, a checkpoint's noise is included.
      high: upper end.
      measured: what was measured there.
      lost: nats above the best measured size, by whose choice; NaN from counts.
      lost_pass: mean pass@k below the best measured size; NaN from losses.
      error_from_plan: standard error of what each choice lost less what the plan lost, over
        questions and runs; empty where it was not asked for.
    """

    train_flops: float
    share: float
    fitted_flops: float
    inference_flops: float
    sizes: int
    planned: float
    judged: float
    best: float
    samples: float
    promised: float
    low: float
    high: float
    measured: float
    lost: Mapping[str, float]
    lost_pass: Mapping[str, float]
    error_from_plan: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def decades(self) -> float:
        """How far the budget lies beyond the dearest run that was fitted."""
        return math.log10(self.train_flops / self.fitted_flops)

    @property
    def error(self) -> float:
        """Promised over measured, less one; infinite where nothing was measured to be there."""
        if self.measured == 0:
            return math.copysign(math.inf, self.promised) if self.promised else 0.0
        return self.promised / self.measured - 1.0

    @property
    def inside(self) -> bool:
        """Whether what was measured lies in the interval of what was promised."""
        return self.low <= self.measured <= self.high


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Backtest(SavedResult):
    """Plans judged by the runs that they were not made of.

    Attributes:
      cases: one per training budget, share and inference budget.
      kind: "loss" or "accuracy": the unit of what was promised.
      law: the law that was fitted.
      source: of the table.
      level: of the intervals.
      n_sizes: sizes in the table.
      skipped: parts that could not be planned, and why.
    """

    cases: tuple[Case, ...]
    kind: str
    law: str
    source: str
    level: float
    n_sizes: int
    skipped: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Of what is lost."""
        return "nats" if self.kind == "loss" else "of pass@k"

    def choices(self) -> tuple[str, ...]:
        """Whose choices were judged."""
        return tuple(self.cases[0].lost)

    def lost(self, choice: str = "plan") -> np.ndarray:
        """What a choice lost to the best measured size in each case, in the law's unit [cases]."""
        by_pass = self.kind == "accuracy"
        return np.array([(c.lost_pass if by_pass else c.lost)[choice] for c in self.cases])

    def _has_errors(self) -> bool:
        return all(case.error_from_plan for case in self.cases)

    def error_from_plan(self, choice: str) -> float:
        """Standard error of the mean difference from the plan.

        That of one case: cases share their runs and questions, so that more of them add little.
        """
        return float(np.mean([case.error_from_plan[choice] for case in self.cases]))

    def error(self) -> float:
        """Mean absolute relative error of what was promised."""
        return float(np.mean([abs(case.error) for case in self.cases]))

    def coverage(self) -> float:
        """Share of the cases whose measured value lies in the interval of the promised one."""
        return float(np.mean([case.inside for case in self.cases]))

    def decades(self) -> float:
        """Mean distance of the budgets beyond the runs that were fitted, in decades."""
        return float(np.mean([case.decades for case in self.cases]))

    def sentence(self) -> str:
        """What the backtest found, in a sentence or two."""
        train = sorted({case.train_flops for case in self.cases})
        spend = " to ".join(f"{x:.2g}" for x in dict.fromkeys((train[0], train[-1])))
        most = max(case.fitted_flops for case in self.cases)
        made = (
            "the whole table, which they are a part of"
            if self.in_sample()
            else f"runs of at most {self._shares()} of that (under {most:.2g})"
        )
        said = (
            f"Planned for {spend} FLOPs from {made}, the plan lost "
            f"{_short(self.lost().mean())} {self.unit} on average to the best of the "
            f"{self._sizes()} sizes measured"
        )
        if "chinchilla" in self.choices():
            theirs, seen = (self.lost(n).mean() for n in ("chinchilla", "chinchilla_measured"))
            said += f"; Chinchilla's choice lost {_short(theirs)}, or {_short(seen)} as measured"
        else:
            said += f"; 20 tokens per parameter lost {_short(self.lost('ratio').mean())}"
        held = sum(case.inside for case in self.cases)
        beyond = (
            "" if self.in_sample() else f", {self.decades():.2g} decades beyond the runs fitted"
        )
        return (
            f"{said}. The value promised was {self.error():.1%} off on average, and measured "
            f"inside its {self.level:.0%} interval in {held} of {len(self.cases)} cases{beyond}."
        )

    def in_sample(self) -> bool:
        """Whether every plan was made of the runs that judge it."""
        return all(case.share == 1 for case in self.cases)

    def _shares(self) -> str:
        names = {1.0: "any part", 1 / 2: "half", 1 / 3: "a third"}
        shares = sorted({case.share for case in self.cases}, reverse=True)
        return " and ".join(names.get(share, f"{share:.2g}") for share in shares)

    def _sizes(self) -> str:
        sizes = sorted({case.sizes for case in self.cases})
        return " to ".join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1])))

    def records(self) -> list[dict[str, Any]]:
        """One record per case."""
        out = []
        for number, case in enumerate(self.cases, start=1):
            row: dict[str, Any] = {"case": number}
            for field in dataclasses.fields(case):
                value = getattr(case, field.name)
                if isinstance(value, Mapping):
                    row |= {f"{field.name}_{name}": x for name, x in value.items()}
                else:
                    row[field.name] = value
            out.append(row | {n: getattr(case, n) for n in ("decades", "error", "inside")})
        return out

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Backtest of law '{self.law}' on {self.source}"

    def summary(self) -> str:
        """The sentence, and one line per case."""
        choices = self.choices()
        served = not math.isnan(self.cases[0].inference_flops)
        head = ["FLOPs", "from", *(["k"] if served else []), "N", "best", "plan"]
        head += [CHOICES[name] for name in choices[1:]] + ["off"]
        rows = []
        for i, case in enumerate(self.cases):
            row = [f"{case.train_flops:.2g}", f"{case.fitted_flops:.2g}"]
            row += [_text.count(case.samples, 2)] if served else []
            row += [_text.count(case.planned), _text.count(case.best)]
            row += [f"{self.lost(name)[i]:.3f}" for name in choices]
            rows.append([*row, f"{case.error:+.0%}{'' if case.inside else '*'}"])
        means = [f"{self.lost(name).mean():.3f}" for name in choices]
        blank = [""] * (len(head) - len(means) - 2)
        rows.append(["mean", *blank, *means, f"{self.error():.0%}"])
        if self._has_errors():
            errors = [self.error_from_plan(name) for name in choices]
            rows.append(["+-", *blank, *(f"{x:.3f}" if x else "" for x in errors), ""])
        return "\n".join([
            _text.underline(self.title), *_wrapped(self.sentence()), "", *_wrapped(self._columns()),
            _text.table(head, rows), *_wrapped(self._notes()),
            *(line for why in self.skipped for line in _wrapped(f"Not planned: {why}.")),
        ])  # fmt: skip

    def _columns(self) -> str:
        served = "chinchilla" in self.choices()
        theirs = "by Chinchilla's choice by the law and as measured, " if served else ""
        return (
            f"A row for each plan: its FLOPs, those of the dearest run it was made from, its size "
            f"and the best one measured; {self.unit} lost to that by the plan's size, {theirs}by "
            "20 tokens per parameter, the least and the most parameters measured; and how far "
            "the value promised was off (* outside its interval)."
        )

    def plot(self) -> Any:
        """What every choice lost in every case, as a matplotlib figure."""
        from t2jax.reporting import figures

        return figures.backtest_figure(self)

    def _notes(self) -> str:
        apart = max(abs(math.log(case.planned / case.judged)) for case in self.cases)
        errors = " +- is the standard error of a mean less the plan's."
        return (
            "A planned size is judged at the nearest measured "
            f"one, at most a factor of {math.exp(apart):.2g} away, read along its own runs. The "
            "best of several noisy sizes looks better than it is, so that every choice loses a "
            "little here." + (errors if self._has_errors() else "")
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        out = {"format": "t2jax.backtest/1", "sentence": self.sentence()}
        return _text.json_ready(out | dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """Read back what `to_dict` wrote."""
        values = {n: v for n, v in description.items() if n not in ("format", "sentence")}
        cases = tuple(Case(**_with_nan(case)) for case in values.pop("cases"))
        return cls(cases=cases, skipped=tuple(values.pop("skipped")), **values)


def _with_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _with_nan(x) if isinstance(x, Mapping) else math.nan if x is None else x
        for name, x in values.items()
    }


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _short(value: float) -> str:
    """Two decimals where they say something."""
    return "0" if abs(value) < 5e-7 else _text.number(float(f"{value:.2g}"), 2)
