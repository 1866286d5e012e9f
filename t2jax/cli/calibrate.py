"""`t2jax calibrate`: a table in, how often each kind of interval covers on its design out."""

import dataclasses
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import IntervalOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, IntervalOptions):
    """Simulate tables on this design, refit them, and say which intervals may be believed.

    Example: t2jax calibrate runs.csv --law additive --tables 400 -o coverage.json
    """

    tables: Annotated[int, arg("simulated tables", "COUNT")] = 400
    draws: Annotated[int, arg("refits of each bootstrap", "COUNT")] = 199
    seed: Annotated[int, arg("of the simulation", "SEED")] = 0

    def run(self) -> None:
        """Read, fit, simulate, write, print."""
        import t2jax as t2

        budget, fit = self.budget(), self.fitted()
        self.certified(fit)
        _terminal.announce(f"{self.tables} simulated tables of law '{fit.law.name}'")
        found = t2.calibrate(
            fit, budget=budget, tables=self.tables, n_draws=self.draws, unit=self.unit or None,
            seed=self.seed,
        )  # fmt: skip
        if self.out:
            _terminal.write(self.out, found.save)
        if self.out != "-":
            _terminal.tell(found, as_json=self.json)
