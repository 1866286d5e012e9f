"""`t2jax frontier`: a fit or draws in, the optimum along a sweep of budgets out."""

import dataclasses
from typing import Annotated

import tyro

from t2jax.cli import _terminal
from t2jax.cli._budget import BudgetOptions
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import arg, positional
from t2jax.errors import InputError

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, BudgetOptions):
    """The optimum along a sweep of budgets, written LOW:HIGH:COUNT at equal steps in logs.

    One of --train-flops, --total-flops, --dollars, --target-loss, --target-pass-at-k sweeps.

    Example: t2jax frontier draws.npz --train-flops 1e18:1e22:32 --inference-flops 2e12 -o front.csv
    """

    model: Annotated[
        tyro.conf.Positional[str],
        positional("a fit (.json), or draws (.npz) for bands", "MODEL"),
    ]
    memory: Annotated[float, arg("bytes that results may take on the devices", "BYTES")] = 1e9
    out: Annotated[str, arg("write the frontier as CSV; - for standard output", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Load, optimise, write, print."""
        import t2jax as t2
        from t2jax.planning.budget import GOALS

        description = self.description()
        for name in GOALS:
            value = description.get(name)
            if value is not None and not isinstance(value, list):
                flag = f"--{name.replace('_', '-')}"
                raise InputError(f"{flag} '{value:g}' is no sweep",
                                 remedy=f"e.g. {flag} 1e16:1e21:64")  # fmt: skip
        budget = t2.Budget.from_dict(description)
        front = t2.frontier(self.load_model(self.model), budget, memory=self.memory)
        if self.out:
            _terminal.write(self.out, front.save)
        if self.out != "-":
            _terminal.say_json(front.records()) if self.json else _terminal.say(front.summary())
