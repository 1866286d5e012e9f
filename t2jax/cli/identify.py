"""`t2jax identify`: a table in, what its rows can tell of a law out."""

import dataclasses
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._options import FitOptions, Table, TableOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(FitOptions, TableOptions):
    """Say whether these rows identify a law, or name the cheapest rows that would.

    Example: t2jax identify runs.csv --law additive
    """

    table: Table
    draws: Annotated[int, arg("bootstrap refits", "COUNT")] = 200
    seed: Annotated[int, arg("of the resampling", "SEED")] = 0
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Read, judge the design, fit, profile, resample, print."""
        from t2jax.fitting.default import default_law
        from t2jax.validation.examine import examine

        runs = self.read(self.table)
        law = self.law or default_law(runs)
        _terminal.announce(f"what the rows tell of law '{law}'")
        found = examine(runs, law, n_draws=self.draws, seed=self.seed, **self.fit_arguments())
        _terminal.tell(found, as_json=self.json)
