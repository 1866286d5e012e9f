"""`t2jax frontier`: a fit or draws in, the optimum along training budgets out."""

import dataclasses
import json
import math
from typing import Annotated

import tyro

from t2jax.cli import _terminal
from t2jax.cli._options import BudgetOptions, arg, positional
from t2jax.errors import InputError

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(BudgetOptions):
    """The optimum along a sweep of training budgets, at one inference budget."""

    model: Annotated[
        tyro.conf.Positional[str],
        positional("a fit (.json), or draws (.npz) for bands", "MODEL"),
    ]
    train_flops: Annotated[
        str, arg("sweep of training compute: first, last, count", "LOW:HIGH:COUNT")
    ]
    inference_flops: Annotated[
        float | None, arg("inference compute per generated token of a question, 2Nk", "FLOPS")
    ] = None
    out: Annotated[str, arg("write the frontier as CSV; - for standard output", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Load, optimise, write, print."""
        import numpy as np

        import t2jax as t2
        from t2jax.cli._defaults import load_model
        from t2jax.report.folder import json_ready

        flops = np.asarray(sweep(self.train_flops))
        model = load_model(self.model)
        budget = t2.Budget(
            train_flops=flops,
            inference_flops=self.inference_flops,
            max_params=self.max_params,
            max_tokens=self.max_tokens,
        )
        front = t2.frontier(model, budget)
        if self.out:
            _terminal.write(self.out, front.save)
        if self.out != "-":
            rows = front.rows()
            text = json.dumps(json_ready(rows)) if self.json else front.summary()
            _terminal.say(text)


def sweep(text: str) -> list[float]:
    """Budgets at equal steps in logs.

    Raises:
      InputError: not of the form low:high:count.

    >>> [round(flops) for flops in sweep("1e2:1e4:3")]
    [100, 1000, 10000]
    """
    try:
        low, high, count = text.split(":")
        ends, steps = (float(low), float(high)), int(count)
        fine = 0 < ends[0] < ends[1] < math.inf and 2 <= steps <= 10_000
    except ValueError:
        fine = False
    if not fine:
        raise InputError(
            f"--train-flops '{text}' is no sweep", remedy="e.g. --train-flops 1e16:1e21:64"
        )
    ratio = ends[1] / ends[0]
    return [ends[0] * ratio ** (i / (steps - 1)) for i in range(steps)]
