"""`Plan`: what to train, and everything that was found on the way to it."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from t2jax import _text
from t2jax._arguments import check_level
from t2jax._result import Result
from t2jax.decision import Decision, Design
from t2jax.fitting import FitResult
from t2jax.laws import flattened
from t2jax.observations import Observations
from t2jax.planner import budgets
from t2jax.planner.backtested import Backtest
from t2jax.planner.beside import NOT_COMPARED, decide, in_range, profiled, without_a_law
from t2jax.planner.companion import Companion, predicted
from t2jax.planner.doubts import doubts
from t2jax.planner.equal_budgets import Measured
from t2jax.planner.verdict import Verdict, verdict_on
from t2jax.planning import Budget, Frontier, Optimum, frontier, optimum
from t2jax.uncertainty import Ensemble
from t2jax.uncertainty.ensemble import central_interval
from t2jax.validation import Profile

__all__ = ["Announce", "Plan", "silent"]

_COUNTS = ("params", "tokens", "samples", "tokens_per_param")
_SPENT = ("train_flops", "inference_flops", "spent")
_EVERY = 4  # budgets of the frontier at which draws are solved: its band is looked at
_BAND_DRAWS = 300  # of it, for the same reason

Announce = Callable[[str], object]
"""Called with the name of every long step before it begins."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Plan(Result):
    """What to train and how often to sample it, and everything that was found on the way.

    A part that could not be worked out is None, and a warning says why.

    Attributes:
      fit: the fitted law; its table is `runs`.
      draws: the law resampled.
      budget: what may be spent or must be reached.
      optimum: the best parameters, tokens and samples, with draws, beside Chinchilla's choice.
      frontier: the optimum along training budgets, or along the one budget for everything; its
        draws, 300 at most, are solved at every fourth budget, which a band does not show.
      law_alone: the optimum of the law as its coefficients say it, where the draws are of that
        law times its misfit, and so is every other part of the plan.
      inside: the best plan within the ranges of the table, where the optimum lies outside.
      companion: the other aim: an accuracy law on the same questions, its draws and its optimum.
      measured: what the checkpoints themselves say at equal budgets, with no law between.
      profile: intervals of the plan by profile likelihood, where the draws carry no misfit.
      decision: what not knowing the law costs, and the sizes nearly as good.
      design: which runs to buy next.
      backtest: what plans of the cheaper runs lost on the dearer ones, where it was asked for.
      notes: what was assumed.
      warnings: what must be said against the plan, weightiest first.
    """

    fit: FitResult
    draws: Ensemble
    budget: Budget
    optimum: Optimum
    frontier: Frontier
    law_alone: Optimum | None = None
    inside: Optimum | None = None
    companion: Companion | None = None
    measured: Measured | None = None
    profile: Profile | None = None
    decision: Decision | None = None
    design: Design | None = None
    backtest: Backtest | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def runs(self) -> Observations | None:
        """The table; None where the fit was read from a file."""
        return self.fit.observations

    @property
    def verdict(self) -> Verdict:
        """What the table itself says at these budgets, against what the law says."""
        why = next((w for w in self.warnings if w.startswith(NOT_COMPARED)), "")
        why = why.removeprefix(NOT_COMPARED).removesuffix(".")
        return verdict_on(self.optimum, self.measured, why)

    @classmethod
    def of(
        cls,
        fit: FitResult,
        draws: Ensemble,
        budget: Budget | Mapping[str, Any] | None = None,
        *,
        companion: tuple[FitResult, Ensemble] | None = None,
        unit: str | None = None,
        extrapolate: bool = True,
        progress: bool = True,
        announce: Announce | None = None,
    ) -> Self:
        """The plan of a fit and draws that are at hand.

        Args:
          fit: the fitted law.
          draws: its bootstrap or posterior.
          budget: as for `plan`.
          companion: a fit of an accuracy law on the same questions, and its draws.
          unit: what shares noise: "run", "trunk" or "row"; by default what the table names.
          extrapolate: answer outside the table too.
          progress: whether to draw progress bars on a terminal.
          announce: called with the name of every long step before it begins.

        Returns:
          The plan.

        Raises:
          InputError: a budget that cannot be.
          Refusal: the data cannot answer.
        """
        say = announce or silent
        budget, notes = budgets.choose(budget, fit.law, fit.hull, fit.observations)
        warnings = budgets.beyond(budget, None, fit.law, fit.hull, extrapolate=extrapolate)
        say("finding the optimum")
        best = optimum(draws, budget, progress=progress)
        if budget.mode != "separate":
            warnings = budgets.beyond(budget, best, fit.law, fit.hull, extrapolate=extrapolate)
        spend = budgets.lifetime(budget, best)
        sweep = budgets.sweep(budget, best, fit.hull)
        few = draws.thinned(_BAND_DRAWS)
        front = frontier(few, sweep, every=_EVERY, progress=progress)
        say("weighing what is not known")
        seen, unseen = without_a_law(fit, budget)
        decision, design, undecided = decide(draws, spend, best if spend is budget else None)
        # A profile knows nothing of the misfit that the draws carry: one interval for one number.
        carried = "misfit" in draws.diagnostics
        beside, missing = (None, ()) if carried else profiled(fit, budget, unit)
        alone = optimum(flattened(draws.point), budget, progress=progress) if carried else None
        other = None
        if companion is not None:
            own = optimum(companion[1], spend, progress=progress)
            other = Companion(fit=companion[0], draws=companion[1], best=own)
        said = doubts(fit, draws, best, front, other, budget, alone)
        return cls(
            fit=fit, draws=draws, budget=budget, optimum=best, frontier=front, law_alone=alone,
            inside=in_range(draws, budget, best), companion=other, measured=seen,
            profile=beside, decision=decision, design=design, notes=notes,
            warnings=(*warnings, *said, *unseen, *missing, *undecided),
        )  # fmt: skip

    # What it says -----------------------------------------------------------------------------

    def records(self, level: float = 0.9) -> list[dict[str, Any]]:
        """The plan's quantities, a record each: counts, what the laws predict, what is spent.

        Predictions are of this very plan, whereas the optimum's own value is that of every
        draw's own plan.
        """
        check_level(level)
        plans = {"plan": self.optimum, "chinchilla": self.optimum.rival, "in_range": self.inside}
        judges = {"value": self.draws}
        if self.companion is not None:
            judges["pass_at_k"] = self.companion.draws
        of_draws = self.optimum.draws
        many = {"plan": of_draws, "chinchilla": of_draws and of_draws.chinchilla}
        out = []
        for name in (*_COUNTS, *judges, *_SPENT):
            row: dict[str, Any] = {"quantity": name}
            for title, one in plans.items():
                if one is None:
                    continue
                drawn = many.get(title)
                if name in judges:
                    value, low, high = predicted(judges[name], one, level)
                else:
                    value, low, high = float(getattr(one, name)), np.nan, np.nan
                    if drawn is not None:
                        low, high = central_interval(np.asarray(getattr(drawn, name)), level)
                row |= {title: value, f"{title}_low": low, f"{title}_high": high}
            out.append(row)
        return out

    def summary(self, level: float = 0.9, *, full: bool = False) -> str:
        """The plan as `t2jax plan` prints it: the answer, its verdict, and what weighs most.

        Args:
          level: of the intervals.
          full: everything that was found, in order of weight, as `t2jax plan --full` prints it.
        """
        from t2jax.reporting import screen, tables

        return tables.page(self, level) if full else screen.first(self, level)

    @property
    def title(self) -> str:
        """What it is, in a line."""
        size, data, k = (_text.count(float(getattr(self.optimum, name))) for name in _COUNTS[:3])
        return f"law '{self.fit.law.name}': {size} parameters, {data} tokens, k = {k}"

    def __repr__(self) -> str:
        """The plan in a line."""
        return f"Plan({self.title})"

    def to_dict(self, level: float = 0.9) -> dict[str, Any]:
        """A JSON-ready description, which `t2jax plan --json` prints.

        Args:
          level: of the intervals.
        """
        measured = self.measured
        return {
            "format": "t2jax.plan/1",
            "data": self.fit.description,
            "law": self.fit.law.to_dict(),
            "criteria": self.fit.criteria,
            "budget": self.budget.to_dict(),
            "notes": list(self.notes),
            "optimum": self.described(level),
            "law_alone": self.law_alone and self.law_alone.to_dict(level),
            "profile": self.profile and self.profile.to_dict(),
            "verdict": self.verdict.to_dict(),
            "measured": measured and dataclasses.asdict(measured) | {"gain": measured.gain()},
            "backtest": self.backtest and self.backtest.to_dict(),
            "regret": self.decision and self.decision.to_dict(),
            "design": self.design and self.design.to_dict(),
            "doubts": list(self.warnings),
        }

    def described(self, level: float = 0.9) -> dict[str, Any]:
        """The optimum, with what each law predicts for it and for the plans beside it."""
        out = self.optimum.to_dict(level)
        plans = {"plan": self.optimum}
        if self.optimum.chinchilla is not None:
            plans["chinchilla"] = self.optimum.chinchilla
        if self.inside is not None:
            plans["inside"] = self.inside
            out["inside"] = self.inside.to_dict(level)
        judges = [self.draws]
        if self.companion is not None:
            judges.append(self.companion.draws)
            out["companion"] = self.companion.best.to_dict(level)
            out["companion"]["disagrees"] = self.companion.disagrees(self.optimum, level)
        out["predictions"] = [
            dict(zip(("estimate", "low", "high"), predicted(judge, one, level), strict=True))
            | {"of": name, "law": judge.point.title,
               "quantity": "mean pass@k" if judge.point.kind == "accuracy" else "loss"}
            for name, one in plans.items()
            for judge in judges
        ]  # fmt: skip
        return out

    def save(self, folder: str | os.PathLike) -> tuple[pathlib.Path, ...]:
        """Write the report: data that `t2jax.load` reads, figures, and a page with a planner.

        All files or none; other files in the folder are left alone.

        Args:
          folder: made if need be.

        Returns:
          The paths written.

        Raises:
          InputError: it is a file, cannot be written, or holds files of these names and no
            report.
        """
        from t2jax.reporting import write_folder

        return write_folder(self, folder)


def silent(_: str) -> None:
    """Announce nothing."""
