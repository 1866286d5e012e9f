"""`t2jax calibrate`: a table in, how often each kind of interval covers on its design out."""

import dataclasses
import json
from typing import Annotated

import tyro

from t2jax.cli import _terminal
from t2jax.cli._options import FitOptions, TableOptions, arg, positional

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(FitOptions, TableOptions):
    """Simulate tables on this design, refit them, and say which intervals may be believed.

    Example: t2jax calibrate runs.csv --law additive --tables 400 -o coverage.json
    """

    table: Annotated[tyro.conf.Positional[str], positional("the table of runs", "TABLE")]
    train_flops: Annotated[float | None, arg("training compute, 6ND", "FLOPS")] = None
    inference_flops: Annotated[
        float | None, arg("inference compute per generated token of a question, 2Nk", "FLOPS")
    ] = None
    tables: Annotated[int, arg("simulated tables", "COUNT")] = 400
    draws: Annotated[int, arg("refits of each bootstrap", "COUNT")] = 199
    unit: Annotated[str, arg("run, trunk or row; by default what the table names", "UNIT")] = ""
    seed: Annotated[int, arg("of the simulation", "SEED")] = 0
    out: Annotated[str, arg("write the result as JSON", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Read, fit, simulate, write, print."""
        import t2jax as t2
        from t2jax.cli._defaults import default_law

        budget = None
        if self.train_flops is not None or self.inference_flops is not None:
            budget = t2.Budget(train_flops=self.train_flops, inference_flops=self.inference_flops)
        runs = self.read(self.table)
        law = self.law or default_law(runs)
        if t2.laws.template(law).kind == "loss":
            t2.identify(runs, law)
        fit = t2.fit(runs, law=law, **self.fit_arguments())
        _terminal.announce(f"{self.tables} simulated tables of law '{fit.law.name}'")
        found = t2.calibrate(
            fit, budget=budget, tables=self.tables, draws=self.draws, unit=self.unit or None,
            seed=self.seed,
        )  # fmt: skip
        if self.out:
            _terminal.write(self.out, found.save)
        if self.out != "-":
            _terminal.say(json.dumps(found.to_dict()) if self.json else found.summary())
