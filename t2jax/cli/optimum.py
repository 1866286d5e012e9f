"""`t2jax optimum`: a fit or draws in, the best plan under one budget out."""

import dataclasses
import json
from typing import Annotated

import tyro

from t2jax.cli import _terminal
from t2jax.cli._options import BudgetOptions, arg, positional

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(BudgetOptions):
    """The best parameters, training tokens and samples under a budget."""

    model: Annotated[
        tyro.conf.Positional[str],
        positional("a fit (.json), or draws (.npz) for intervals", "MODEL"),
    ]
    train_flops: Annotated[float, arg("training compute, 6ND", "FLOPS")]
    inference_flops: Annotated[
        float | None, arg("inference compute per generated token of a question, 2Nk", "FLOPS")
    ] = None
    out: Annotated[str, arg("write the optimum as JSON; - for standard output", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Load, optimise, write, print."""
        import t2jax as t2
        from t2jax.cli._defaults import load_model
        from t2jax.report.folder import json_ready

        model = load_model(self.model)
        budget = t2.Budget(
            train_flops=self.train_flops,
            inference_flops=self.inference_flops,
            max_params=self.max_params,
            max_tokens=self.max_tokens,
        )
        best = t2.optimum(model, budget)
        text = json.dumps(json_ready(best.to_dict()))
        if self.out:
            _terminal.write(self.out, lambda path: path.write_text(text + "\n", encoding="utf-8"))
        if self.out != "-":
            _terminal.say(text if self.json else best.summary())
