"""`t2jax design`: draws in, the runs to buy next out."""

import dataclasses
from typing import Annotated

import tyro

from t2jax.cli import _terminal
from t2jax.cli._budget import BudgetOptions
from t2jax.cli._flags import pair
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import TableOptions, arg, positional
from t2jax.errors import InputError

__all__ = ["Command", "candidate_runs"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, BudgetOptions):
    """Which runs to buy next for the largest fall in expected regret per FLOP.

    The budget is the plan's, as for `t2jax optimum`; --most caps the price of one run.

    Example: t2jax design draws.npz --train-flops 1e22 --inference-flops 2e12 --most 1e20
    """

    model: Annotated[tyro.conf.Positional[str], positional("draws (.npz)", "DRAWS")]
    candidates: Annotated[
        str, arg("runs to choose from: 1e8:2e9 is 1e8 params on 2e9 tokens", "N:D,...")
    ] = ""
    evaluate: Annotated[
        str, arg("table whose checkpoints may be asked more questions, or sampled more", "TABLE")
    ] = ""
    answer_tokens: Annotated[float, arg("generated tokens of a sample there", "T")] = 1.0
    most: Annotated[
        float | None, arg("dearest run considered; by default the dearest in the table", "FLOPS")
    ] = None
    noise: Annotated[
        float | None, arg("deviation of log loss between runs alike; by default the fit's", "SHARE")
    ] = None
    purchases: Annotated[int, arg("how many to pick", "COUNT")] = 3
    seed: Annotated[int, arg("of the check by simulation", "SEED")] = 0
    out: Annotated[str, arg("write the design as JSON; - for standard output", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Load, rank, write, print."""
        import t2jax as t2

        budget = t2.Budget.from_dict(self.one("a design serves one budget"))
        model = self.load_model(self.model)
        if not isinstance(model, t2.Ensemble):
            raise InputError("a design needs draws", source=self.model,
                             remedy="make them with `t2jax bootstrap`")  # fmt: skip
        found = t2.design(
            model,
            budget,
            candidates=candidate_runs(self.candidates),
            evaluate=TableOptions().read(self.evaluate) if self.evaluate else None,
            answer_tokens=self.answer_tokens,
            noise=self.noise,
            purchases=self.purchases,
            most=self.most,
            seed=self.seed,
        )
        _terminal.deliver(found.to_dict(), found.summary(), out=self.out, as_json=self.json)


def candidate_runs(text: str) -> list[tuple[float, float]] | None:
    """Runs of `N:D,...`; None where nothing was given.

    Raises:
      InputError: not of that form.

    >>> candidate_runs("1e8:2e9,3e8:6e9")
    [(100000000.0, 2000000000.0), (300000000.0, 6000000000.0)]
    """
    found = []
    for part in filter(None, text.split(",")):
        run = pair(part)
        if run is None:
            raise InputError(f"--candidates '{part}' names no run",
                             remedy="e.g. --candidates 1e8:2e9,3e8:6e9")  # fmt: skip
        found.append(run)
    return found or None
