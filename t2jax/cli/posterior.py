"""`t2jax posterior`: a table and its fit in, draws of the posterior out."""

import dataclasses
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import DrawsOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, DrawsOptions):
    """Sample the posterior of a fit by NUTS, judge the chains, and print intervals.

    Example: t2jax posterior runs.csv fit.json --chains 4 -o draws.npz
    """

    draws: Annotated[int, arg("draws kept per chain", "COUNT")] = 1000
    chains: Annotated[int, arg("chains", "COUNT")] = 4
    warmup: Annotated[int, arg("adaptation steps per chain", "COUNT")] = 500
    effects: Annotated[
        str, arg("run, checkpoint or none; by default what the table has", "KIND")
    ] = ""
    impossible: Annotated[bool, arg("counts: let a share of the questions be impossible")] = False
    target_accept: Annotated[
        float, arg("acceptance that steps are adapted to; higher where draws diverge", "SHARE")
    ] = 0.95
    seed: Annotated[int, arg("of the sampler", "SEED")] = 0
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Read, sample, write, print."""
        import t2jax as t2

        fit = self.load_fit(self.model)
        runs = self.read(self.table)
        _terminal.announce(f"the posterior of law '{fit.law.name}'")
        draws = t2.posterior(
            fit,
            runs=runs,
            seed=self.seed,
            n_draws=self.draws,
            chains=self.chains,
            warmup=self.warmup,
            effects=self.effects or None,
            impossible=self.impossible,
            target_accept=self.target_accept,
        )
        if self.out:
            _terminal.write(self.out, draws.save)
        _terminal.say_draws(draws, as_json=self.json)
