"""`t2jax plan`: the whole way from a table to a plan and a folder of figures."""

import dataclasses
import functools
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._budget import BudgetOptions
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import FitOptions, MaybeTable, TableOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, BudgetOptions, FitOptions, TableOptions):
    """Plan a training run: its size, its tokens, and the samples to draw of it per question.

    Fits a law, resamples it, finds the optimum beside Chinchilla's choice, writes a report.

    Without a table it plans on the built-in ladder, without a budget in the middle of the table.

    Example: t2jax plan runs.csv --train-flops 2.56e19 --inference-flops 2e9 --out report/
    """

    table: MaybeTable = "ladder"
    extrapolate: Annotated[bool, arg("answer budgets outside the table too")] = False
    draws: Annotated[int, arg("bootstrap refits", "COUNT")] = 1000
    unit: Annotated[str, arg("what is resampled: run, trunk or row", "UNIT")] = ""
    seed: Annotated[int, arg("of the resampling", "SEED")] = 0
    no_discrepancy: Annotated[
        bool, arg("intervals of the law alone, which leave its misfit out")
    ] = False
    out: Annotated[str, arg("folder of the report", "FOLDER", "-o")] = "report/"
    json: Annotated[bool, arg("print one JSON object instead of text")] = False
    quiet: Annotated[bool, arg("print nothing but errors")] = False

    def run(self) -> None:
        """Read, plan, write, print."""
        import t2jax as t2
        from t2jax.reporting import check_folder

        check_folder(self.out)
        made = t2.plan(
            self.read(self.table),
            self.description(),
            law=self.law or None,
            n_draws=self.draws,
            unit=self.unit or None,
            seed=self.seed,
            discrepancy=not self.no_discrepancy,
            extrapolate=self.extrapolate,
            uncertified=self.uncertified,
            progress=not self.quiet,
            announce=functools.partial(_terminal.announce, quiet=self.quiet),
            **self.fit_arguments(),
        )
        _terminal.announce("drawing", quiet=self.quiet)
        paths = [str(path) for path in made.save(self.out)]
        if self.json:
            _terminal.say_json({**made.to_dict(), "files": paths})
        elif not self.quiet:
            _terminal.say("\n  ".join([f"{made.summary()}\n\nwritten:", *paths]))
