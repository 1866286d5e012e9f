"""`t2jax bootstrap`: a table and its fit in, draws out."""

import dataclasses
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import DrawsOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, DrawsOptions):
    """Resample a fit by whole runs, crossed with questions, and print coefficient intervals.

    Example: t2jax bootstrap runs.csv fit.json --draws 1000 -o draws.npz
    """

    draws: Annotated[int, arg("number of refits", "COUNT")] = 1000
    unit: Annotated[str, arg("run, trunk or row; by default what the table names", "UNIT")] = ""
    scheme: Annotated[
        str, arg("pairs; bayesian; stratified, by isoFLOP level; wild, for losses", "SCHEME")
    ] = "pairs"
    seed: Annotated[int, arg("of the resampling", "SEED")] = 0
    no_discrepancy: Annotated[
        bool, arg("the law alone, its misfit left out of estimate and intervals")
    ] = False
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Read, resample, write, print."""
        import t2jax as t2
        from t2jax.validation.design_check import check_design

        fit = self.load_fit(self.model)
        runs = self.read(self.table)
        check_design(runs, fit.law, fit.samples)
        _terminal.announce(f"{self.draws} refits of law '{fit.law.name}'")
        draws = t2.bootstrap(
            fit, runs=runs, n_draws=self.draws, unit=self.unit or None, scheme=self.scheme,
            seed=self.seed, discrepancy=not self.no_discrepancy,
        )  # fmt: skip
        if self.out:
            _terminal.write(self.out, draws.save)
        _terminal.say_draws(draws, as_json=self.json)
