"""`Frontier`: optima along a sweep of budgets, as a table and a CSV file."""

import csv
import dataclasses
import io
import os
from typing import Any, Self

import jax
import numpy as np

from t2jax import _text
from t2jax._arguments import check_level
from t2jax._files import write_whole
from t2jax._result import SavedResult
from t2jax.errors import Status
from t2jax.planning.result import QUANTITIES, Optimum

__all__ = ["Frontier"]

FORMAT = "t2jax.frontier/1"
_ARRAYS = ("train_flops", "saturation", "budgets")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Frontier(SavedResult):
    """Optima along a sweep.

    Attributes:
      train_flops: training budgets, or training FLOPs spent where one budget serves for
        everything [budgets].
      optimum: optimum, draws and Chinchilla choice at every budget.
      saturation: params that N* tends to as training grows at this inference budget
        [budgets]; NaN where it grows for ever, None without an inference budget.
      axis: the field of the budget that was swept.
      budgets: its values [budgets]; None reads as `train_flops`.
    """

    train_flops: np.ndarray
    optimum: Optimum
    saturation: np.ndarray | None = None
    axis: str = dataclasses.field(default="train_flops", metadata={"static": True})
    budgets: np.ndarray | None = None

    @property
    def swept(self) -> np.ndarray:
        """The values of the swept budget [budgets]."""
        return np.asarray(self.train_flops if self.budgets is None else self.budgets)

    def band(self, name: str, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Central interval of a quantity at every budget: two arrays [budgets]."""
        check_level(level)
        missing = np.full(np.shape(self.train_flops), np.nan)
        if self.optimum.draws is None:
            return missing, missing
        draws = np.asarray(getattr(self.optimum.draws, name))
        low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def exponents(self) -> tuple[np.ndarray, np.ndarray]:
        """Local slopes of log N* and log D* in the log of the swept budget [budgets]."""
        x = np.log(self.swept)
        size, data = np.log(self.optimum.params), np.log(self.optimum.tokens)
        return np.gradient(size, x), np.gradient(data, x)

    def records(self, level: float = 0.9) -> list[dict[str, float | str]]:
        """One flat record per budget."""
        bands = {name: self.band(name, level) for name in QUANTITIES}
        codes = np.asarray(self.optimum.code, int)
        out = []
        for i, budget in enumerate(self.swept):
            row: dict[str, float | str] = {self.axis: float(budget)}
            if self.axis != "train_flops":
                row["train_flops"] = float(np.asarray(self.train_flops)[i])
                row["spent"] = float(np.asarray(self.optimum.spent)[i])
            for name in QUANTITIES:
                row[name] = float(np.asarray(getattr(self.optimum, name))[i])
                if self.optimum.draws is not None:
                    row[f"{name}_low"] = float(bands[name][0][i])
                    row[f"{name}_high"] = float(bands[name][1][i])
            if self.optimum.chinchilla is not None:
                for name in QUANTITIES:
                    other = np.asarray(getattr(self.optimum.chinchilla, name))[i]
                    row[f"chinchilla_{name}"] = float(other)
            row["status"] = "; ".join(Status(int(codes[i])).sentences())
            out.append(row)
        return out

    def save(self, path: str | os.PathLike, level: float = 0.9) -> None:
        """Write the records as CSV, or where the name ends in `.json` what `t2jax.load` reads.

        Args:
          path: the file.
          level: of the bands in a CSV file.
        """
        if str(path).endswith(".json"):
            super().save(path)
            return
        records, text = self.records(level), io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(records[0]))
        writer.writeheader()
        writer.writerows(records)
        write_whole(path, lambda part: part.write_bytes(text.getvalue().encode()))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; draws are not written."""
        arrays = {
            name: value if value is None else np.asarray(value).tolist()
            for name, value in ((n, getattr(self, n)) for n in _ARRAYS)
        }
        return {"format": FORMAT, "axis": self.axis, **arrays, "optimum": self.optimum.to_dict()}

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote; draws are not written, and so there are no bands."""
        arrays = {
            name: description[name] and np.asarray(description[name], float) for name in _ARRAYS
        }
        optimum = Optimum.from_dict(description["optimum"])
        return cls(axis=description["axis"], optimum=optimum, **arrays)

    @property
    def ceiling(self) -> float | None:
        """Params that N* never exceeds, however much is spent on training; None where it does.

        Where the law has two valleys N* may fall back to its limit from above.
        """
        limits = np.unique(np.asarray(np.nan if self.saturation is None else self.saturation))
        if len(limits) != 1 or not np.isfinite(limits[0]):
            return None
        reached = np.nanmax(np.asarray(self.optimum.params), initial=0.0)
        return float(limits[0]) if reached <= limits[0] else None

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Frontier of law '{self.optimum.law_name}'"

    def summary(self, every: int = 1) -> str:
        """The frontier as fixed-width text."""
        title = {"train_flops": "training FLOPs", "total_flops": "FLOPs in all"}
        head = [title.get(self.axis, self.axis), "N*", "D*", "k*", "D*/N*", "value"]
        rows = []
        for row in self.records()[::every]:
            counts = (row[name] for name in QUANTITIES[:-1])
            shown = [_text.count(float(value)) for value in counts]
            rows.append([_text.number(float(row[self.axis]), 3), *shown,
                         _text.number(float(row["value"]))])  # fmt: skip
        lines = [_text.underline(self.title), _text.table(head, rows)]
        codes = np.bitwise_or.reduce(np.asarray(self.optimum.code, int), axis=None)
        lines += [f"note: {s}" for s in Status(int(codes) & int(Status.UNCERTIFIED)).sentences()]
        if self.ceiling is not None:
            lines.append(
                f"at this inference budget N* never exceeds {_text.count(self.ceiling)}, however "
                "much is spent on training: extreme tokens per parameter are partly that ceiling"
            )
        return "\n".join(lines)
