"""`t2jax optimum`: a fit or draws in, the best plan under one budget out."""

import dataclasses
from typing import Annotated

import tyro

from t2jax.cli import _terminal
from t2jax.cli._budget import BudgetOptions
from t2jax.cli._flags import pair
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import arg, positional
from t2jax.errors import InputError

__all__ = ["Command", "named_models"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, BudgetOptions):
    """The best parameters, training tokens and samples under a budget.

    One of --train-flops, --total-flops, --dollars, --target-loss, --target-pass-at-k.

    Example: t2jax optimum draws.npz --train-flops 1e22 --inference-flops 2e12 --regret
    """

    model: Annotated[
        tyro.conf.Positional[str],
        positional("a fit (.json), or draws (.npz) for intervals", "MODEL"),
    ]
    compare: Annotated[
        str,
        arg("models to compare with: ours=7e9:2e12 is 7e9 params on 2e12 tokens", "NAME=N:D,..."),
    ] = ""
    method: Annotated[str, arg("auto, closed_form, scan or descent", "NAME")] = "auto"
    sensitivity: Annotated[bool, arg("derivatives in budgets, prices and coefficients")] = False
    regret: Annotated[
        bool, arg("what not knowing the law costs, and the sizes nearly as good (needs draws)")
    ] = False
    within: Annotated[
        float, arg("how much worse a size may be and still count as nearly as good", "NATS")
    ] = 0.005
    out: Annotated[str, arg("write the optimum as JSON; - for standard output", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Load, optimise, write, print."""
        import t2jax as t2

        description = self.one("an optimum has one budget")
        rivals = named_models(self.compare)
        budget = t2.Budget.from_dict(description)
        model = self.load_model(self.model)
        if self.regret and not isinstance(model, t2.Ensemble):
            raise InputError("--regret needs draws", source=self.model,
                             remedy="make them with `t2jax bootstrap`")  # fmt: skip
        best = t2.optimum(model, budget, method=self.method, rivals=rivals)
        told = {**best.to_dict(), "budget": budget.to_dict()}
        summary = best.summary()
        if self.sensitivity:
            slopes = t2.sensitivity(model, budget, method=self.method)
            told["sensitivity"] = slopes.to_dict()
            summary = f"{summary}\n\n{slopes.summary()}"
        if isinstance(model, t2.Ensemble) and self.regret:
            choice = t2.regret(model, budget, within=self.within)
            told["regret"] = choice.to_dict()
            summary = f"{summary}\n\n{choice.summary()}"
        _terminal.deliver(told, summary, out=self.out, as_json=self.json)


def named_models(text: str) -> dict[str, tuple[float, float]]:
    """Models of `NAME=N:D,...`.

    Raises:
      InputError: not of that form.

    >>> named_models("ours=7e9:2e12")
    {'ours': (7000000000.0, 2000000000000.0)}
    """
    models = {}
    for part in filter(None, text.split(",")):
        name, _, described = part.partition("=")
        found = pair(described)
        if found is None:
            raise InputError(f"--compare '{part}' names no model",
                             remedy="e.g. --compare ours=7e9:2e12")  # fmt: skip
        if name.strip() in models:
            raise InputError(f"--compare names '{name.strip()}' twice",
                             remedy="give each model a name of its own")  # fmt: skip
        models[name.strip()] = found
    return models
