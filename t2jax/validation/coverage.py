"""What a calibration found, and which method may be believed."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, Self

from t2jax import _text
from t2jax._result import SavedResult
from t2jax.laws import Law, from_dict

__all__ = ["LEVELS", "METHODS", "Calibration", "judged"]

LEVELS = (0.9, 0.95)
METHODS = ("profile", "laplace", "bootstrap", "row bootstrap")
"""Methods, in the order in which they are preferred where several hold."""

_SLACK = 0.03  # how far coverage may lie from the level, beside the error of the simulation

Coverage = Mapping[str, Mapping[str, tuple[float, float]]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Calibration(SavedResult):
    """How often intervals cover on one design.

    Attributes:
      coverage: share of simulated tables whose 90% and 95% intervals hold the truth, by method
        and quantity.
      recommended: the method to trust on this design, None where none holds.
      law: the law that tables were simulated from: the truth.
      tables: number of simulated tables.
      units: units that share noise.
      unit: what they are.
      rows: rows of each table.
      noise: standard deviations of the log loss, `run` shared by a unit and `row` each row's own.
      seed: of the simulation.
      source: file of the design.
      notes: what must be said beside the numbers.
    """

    coverage: Coverage
    recommended: str | None
    law: Law
    tables: int
    units: int
    unit: str
    rows: int
    noise: Mapping[str, float]
    seed: int
    source: str = ""
    notes: tuple[str, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """One record per quantity: the coverage of every method's intervals at every level."""
        out: dict[str, dict[str, Any]] = {}
        for method, own in self.coverage.items():
            for name, shares in own.items():
                row = out.setdefault(name, {"quantity": name})
                row |= {f"{method} {level:.0%}": x for level, x in zip(LEVELS, shares, strict=True)}
        return list(out.values())

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Coverage of law '{self.law.name}' in {self.tables} simulated tables"

    def summary(self) -> str:
        """Coverage of the 95% intervals (of the 90% ones in brackets) as fixed-width text."""
        names = list(next(iter(self.coverage.values())))
        rows = []
        for name in names:
            shown = [f"{own[name][1]:.1%} ({own[name][0]:.1%})" for own in self.coverage.values()]
            rows.append([name, *shown])
        noise = ", ".join(f"{k} {_text.number(v, 3)}" for k, v in self.noise.items())
        lines = [
            _text.underline(self.title),
            _text.table(["95% (90%) intervals", *self.coverage], rows),
            f"{self.rows} rows in {self.units} units of '{self.unit}'; "
            f"noise of the log loss: {noise}",
            f"simulation error of a share near 95%: {math.sqrt(0.0475 / self.tables):.1%}",
        ]
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        plain = {
            name: getattr(self, name)
            for name in ("recommended", "tables", "units", "unit", "rows", "seed", "source")
        }
        return {
            "format": "t2jax.calibration/1",
            "law": self.law.name,
            **plain,
            "truth": self.law.to_dict(),
            "noise": dict(self.noise),
            "levels": list(LEVELS),
            "coverage": {
                method: {name: list(shares) for name, shares in own.items()}
                for method, own in self.coverage.items()
            },
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote."""
        values = dict(description)
        for name in ("format", "law", "levels"):
            values.pop(name)
        coverage = {
            method: {name: (low, high) for name, (low, high) in own.items()}
            for method, own in values.pop("coverage").items()
        }
        notes = tuple(values.pop("notes"))
        return cls(law=from_dict(values.pop("truth")), coverage=coverage, notes=notes, **values)


def judged(
    coverage: Coverage, tables: int, at_bound: Collection[str] = ()
) -> tuple[str | None, list[str]]:
    """The first method whose intervals all cover as they say, and a sentence on it.

    A method holds where no quantity's coverage is further from its level than three points and
    twice the error of the simulation. A coefficient whose true value is its bound (`at_bound`) can
    be missed on one side only: half of the misses may be gone.

    >>> judged({"profile": {"alpha": (0.89, 0.95)}, "laplace": {"alpha": (0.5, 0.6)}}, 400)[0]
    'profile'
    """
    worst = {}
    for method, own in coverage.items():
        gaps = []
        for name, shares in own.items():
            for level, share in zip(LEVELS, shares, strict=True):
                error = 2 * math.sqrt(level * (1 - level) / tables)
                most = (1 + level) / 2 if name in at_bound else level
                wide = max(share - most, level - share)
                gaps.append((level - share - error, wide - error, name, level, share))
        worst[method] = gaps
    for method in METHODS:
        if method in worst and all(gap[1] <= _SLACK for gap in worst[method]):
            return method, [f"trust {method}: its intervals cover as they say on this design"]
    wide = [
        method for method in METHODS
        if method in worst and all(gap[0] <= _SLACK for gap in worst[method])
    ]  # fmt: skip
    if wide:
        _, _, name, level, share = max(worst[wide[0]], key=lambda gap: gap[1])
        return wide[0], [
            f"trust {wide[0]}: no interval covers too rarely, but some are wider than they say "
            f"({name} {share:.1%} for {level:.0%})"
        ]
    best = min(worst, key=lambda method: max(worst[method])[0])
    _, _, name, level, share = max(worst[best])
    return None, [
        f"NO METHOD COVERS AS IT SAYS ON THIS DESIGN: the least bad is {best}, whose {level:.0%} "
        f"interval of {name} covers {share:.1%}; add runs before you bet on it"
    ]
