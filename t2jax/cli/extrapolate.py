"""`t2jax extrapolate`: a table of counts in, pass@k beyond its samples out."""

import dataclasses
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._flags import numbers
from t2jax.cli._options import Table, TableOptions, arg
from t2jax.errors import InputError

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(TableOptions):
    """Predict each checkpoint's pass@k at k beyond the samples taken of its questions.

    Example: t2jax extrapolate counts.csv --samples 100,1000,10000
    """

    table: Table
    samples: Annotated[str, arg("numbers of samples k to answer at", "K,K,...")] = ""
    method: Annotated[
        str, arg("stack, or one of its two alone: beta_binomial, regression", "NAME")
    ] = "stack"
    impossible: Annotated[
        bool, arg("a share of questions may be impossible; with --method beta_binomial")
    ] = False
    level: Annotated[float, arg("of the intervals", "SHARE")] = 0.9
    draws: Annotated[int, arg("draws behind an interval", "NUMBER")] = 1000
    seed: Annotated[int, arg("of the draws", "NUMBER")] = 0
    out: Annotated[str, arg("write the answer as JSON; - for standard output", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Read, predict, print."""
        import t2jax as t2

        samples, runs = numbers(self.samples, "--samples", "1,100,1e4"), self.read(self.table)
        if samples is None:
            more = "" if runs.kind == "counts" else f", and {runs.source} has no counts"
            table = " and give a table of successes and trials" if more else ""
            raise InputError(
                f"no k is asked{more}", remedy=f"name some: --samples 100,1000,10000{table}"
            )
        _terminal.announce("predicting")
        found = t2.extrapolate(
            runs, samples, method=self.method, impossible=self.impossible, level=self.level,
            n_draws=self.draws, seed=self.seed,
        )  # fmt: skip
        _terminal.deliver(found.to_dict(), found.summary(), out=self.out, as_json=self.json)
