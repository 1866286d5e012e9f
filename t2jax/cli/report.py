"""`t2jax report`: a fit and its draws in, the report folder with its page out."""

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from t2jax.cli import _terminal
from t2jax.cli._budget import BudgetOptions
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import arg, positional
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.fitting import FitResult
    from t2jax.uncertainty import Ensemble

__all__ = ["Command", "middle", "paired"]

_POINTS = 33  # budgets along the frontier
_REACH = 31.6  # of a sweep about a lifetime budget: a decade and a half to either side


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, BudgetOptions):
    """Write the report of a fit: tables, figures, and a page whose planner needs no network.

    Without a budget it plans in the middle of the table.

    A second fit and its draws, of an accuracy law, judge the plan's pass@k.

    Example: t2jax report fit.json draws.npz --train-flops 1e22 --inference-flops 2e12 -o report/
    """

    models: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        positional("a fit (.json) and its draws (.npz); then those of an accuracy law",
                   "FIT.json [DRAWS.npz]"),
    ]  # fmt: skip
    out: Annotated[str, arg("folder of the report", "FOLDER", "-o")] = "report/"
    json: Annotated[bool, arg("print the paths as JSON instead of text")] = False

    def run(self) -> None:
        """Load, optimise, write, print."""
        import numpy as np

        import t2jax as t2
        from t2jax.planner import Companion
        from t2jax.planner.optional import decide
        from t2jax.planning.budget import GOALS
        from t2jax.planning.rivals.in_range import inside
        from t2jax.reporting import check_folder, report

        check_folder(self.out)
        (fit, draws), *others = paired(self.models)
        for one, drawn in ((fit, draws), *others):
            self.certified(one)
            self.certified(drawn)
        given = self.description()
        if any(isinstance(value, list) for value in given.values()):
            raise InputError("a report has one budget", remedy="sweep with `t2jax frontier`")
        if any(name.startswith("target") for name in given):
            raise InputError(
                "a report is of a budget, not of a target",
                remedy="give --train-flops, --total-flops or --dollars",
            )
        notes = []
        if not any(name in given for name in GOALS):
            given = {**middle(fit), **given}
            notes.append("Budgets in the middle of the table, as none was given.")
        budget = t2.Budget.from_dict(given)
        best = t2.optimum(draws, budget)
        here = float(np.asarray(getattr(budget, budget.goal)))
        low, high = here / _REACH, here * _REACH
        if budget.goal == "train_flops":
            ends = fit.hull.train_flops
            low, high = min(ends[0], here), max(ends[1], here)
        sweep = dataclasses.replace(budget, **{budget.goal: np.geomspace(low, high, _POINTS)})
        front = t2.frontier(draws, sweep)
        within = None
        if any(sentence.endswith("extrapolation") for sentence in best.status):
            within = inside(draws, budget)
        companion = None
        for other, drawn in others:
            companion = Companion(fit=other, draws=drawn, best=t2.optimum(drawn, budget))
        decision, design, lacking = decide(draws, budget)
        paths = report(
            *(fit, draws, best, front),
            out=self.out,
            companion=companion,
            inside=within,
            budget=budget,
            decision=decision,
            design=design,
            notes=notes,
            warnings=lacking,
        )
        names = [str(path) for path in paths]
        _terminal.say(json.dumps(names) if self.json else "\n".join(["written:", *names]))


def paired(paths: tuple[str, ...]) -> "list[tuple[FitResult, Ensemble]]":
    """Fits and their draws, of one law or of a law and the accuracy law beside it.

    Raises:
      InputError: draws without a fit, more than two laws, draws of another law than the fit's.
    """
    import t2jax as t2
    from t2jax.uncertainty.ensemble import as_ensemble

    fits = [t2.FitResult.load(path) for path in paths if path.endswith(".json")]
    many = [t2.Ensemble.load(path) for path in paths if path.endswith(".npz")]
    if len(fits) + len(many) < len(paths) or not 1 <= len(fits) <= 2:
        raise InputError("a report is made of fits (.json) and their draws (.npz)",
                         remedy="e.g. t2jax report fit.json draws.npz -o report/")  # fmt: skip
    found = []
    for fit in fits:
        own = [draws for draws in many if draws.point == fit.law]
        found.append((fit, own[0] if own else as_ensemble(fit)))
    used = [draws for _, draws in found]
    if any(all(draws is not one for one in used) for draws in many):
        raise InputError("some draws belong to none of the fits",
                         remedy="name the fit that was resampled")  # fmt: skip
    if len(found) == 2 and found[1][0].law.kind != "accuracy":
        raise InputError(f"law '{found[1][0].law.name}' is no accuracy law",
                         remedy="the second fit judges pass@k, e.g. beta_monotone")  # fmt: skip
    return found


def middle(fit: "FitResult") -> dict[str, Any]:
    """Budgets in the middle of the table of a fit: geometric means of its ranges, to two digits."""
    from t2jax import cost

    ranges = fit.hull
    given = {"train_flops": math.sqrt(math.prod(ranges.train_flops))}
    if fit.law.uses_samples:
        size = math.sqrt(math.prod(ranges.params))
        given["inference_flops"] = cost.INFERENCE_FLOPS * size * math.sqrt(ranges.samples[1])
    return {name: float(f"{value:.2g}") for name, value in given.items()}
