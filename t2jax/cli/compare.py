"""`t2jax compare`: a table in, laws side by side out."""

import dataclasses
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._flags import numbers
from t2jax.cli._options import Table, TableOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(TableOptions):
    """Judge laws by the checkpoints, sizes, ratios and k that they were not fitted to.

    Example: t2jax compare runs.csv --laws additive,coupled
    """

    table: Table
    laws: Annotated[str, arg("such as additive,coupled; chosen by the table", "LAW,LAW,...")] = ""
    samples: Annotated[str, arg("k at which questions are summarised", "K,K,...")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Read, fit, hold out, print."""
        import t2jax as t2

        runs = self.read(self.table)
        laws = [name.strip() for name in self.laws.split(",") if name.strip()] or None
        _terminal.announce(f"comparing {', '.join(laws) if laws else 'laws'}")
        found = t2.compare(runs, laws, samples=numbers(self.samples, "--samples", "1,4,16"))
        _terminal.tell(found, as_json=self.json)
