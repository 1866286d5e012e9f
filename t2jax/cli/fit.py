"""`t2jax fit`: a table in, a fitted law out."""

import dataclasses
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._options import FitOptions, Table, TableOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(FitOptions, TableOptions):
    """Fit a law to a table of runs and print it as the table people paste into papers.

    Where the table has other names or units: --columns params=n_params --units tokens=1e9

    Example: t2jax fit runs.csv -o fit.json
    """

    table: Table
    out: Annotated[str, arg("write the fit as JSON; - for standard output", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Read, fit, write, print."""
        import t2jax as t2
        from t2jax.fitting.default import default_law
        from t2jax.validation.design_check import check_design

        runs = self.read(self.table)
        law = self.law or default_law(runs)
        arguments = self.fit_arguments()
        check_design(runs, law, arguments["samples"])
        _terminal.announce(f"fitting law '{law}'")
        fit = t2.fit(runs, law=law, **arguments)
        if self.out:
            _terminal.write(self.out, fit.save)
        if self.out != "-":
            _terminal.tell(fit, as_json=self.json)
