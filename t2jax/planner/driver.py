"""`plan`: the whole way from a table to a plan."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t2jax import datasets, laws
from t2jax._arguments import check_whole
from t2jax.errors import Refusal
from t2jax.fitting import FitResult, fit
from t2jax.fitting.default import default_law
from t2jax.fitting.driver import accuracy_of
from t2jax.fitting.rows import sample_grid
from t2jax.hull import Hull
from t2jax.laws import DataConstrained, Law, Linked
from t2jax.observations import POOLED, Observations, read
from t2jax.planner import budgets
from t2jax.planner.judging import backtest as judged_by_dearer
from t2jax.planner.kept import Kept
from t2jax.planner.result import Announce, Plan, silent
from t2jax.planning import Budget
from t2jax.planning.driver import check_trend
from t2jax.uncertainty import Ensemble, bootstrap
from t2jax.validation.design_check import check_design

__all__ = ["check_certified", "plan"]

_BACKTEST_DRAWS = 100
_COMPANION_DRAWS = 300  # enough for a 90% interval, at a third of the time


def plan(
    runs: Observations | str | os.PathLike | None = None,
    budget: Budget | Mapping[str, Any] | None = None,
    *,
    law: str | type[Law] | Law | None = None,
    objective: str | None = None,
    samples: Sequence[float] | None = None,
    n_draws: int = 1000,
    unit: str | None = None,
    seed: int = 0,
    discrepancy: bool = True,
    companion: str | None = "linked_accuracy",
    extrapolate: bool = False,
    backtest: bool = False,
    uncertified: bool = True,
    progress: bool = True,
    announce: Announce | None = None,
    cache: str | os.PathLike | None = None,
) -> Plan:
    """Plan a training run: fit a law, resample it, find the optimum, and judge it.

    Args:
      runs: the table, or a file of one; None or `"ladder"` for the built-in ladder.
      budget: any that `optimum` takes. Fields of one by name, as its constructor takes them, have
        their gaps filled from the middle of the table; None fills both budgets so.
      law: as for `fit`; by default the one for this kind of table.
      objective: as for `fit`.
      samples: as for `fit`.
      n_draws: bootstrap refits.
      unit: what is resampled: "run", "trunk" or "row"; by default what the table names.
      seed: of the resampling.
      discrepancy: whether intervals carry the misfit of the law, as for `bootstrap`.
      companion: the accuracy law that tells pass@k beside a loss law of question likelihoods;
        None leaves it out. The default law tells it itself.
      extrapolate: answer budgets outside the table too.
      backtest: judge a plan made of the cheaper third of the FLOPs by the runs that were dearer,
        as `t2jax.backtest` does at length; about as long again as the fit.
      uncertified: go on with a fit whose minimum is not certified, and say so in the warnings.
      progress: whether to draw progress bars on a terminal.
      announce: called with the name of every long step before it begins.
      cache: folder in which fits and draws are kept for the next plan of the same table, law and
        seed, which no budget changes; None keeps none.

    Returns:
      The plan; read its `warnings` before using it.

    Raises:
      InputError: bad arguments, or a table that cannot be read.
      Refusal: the data cannot answer.

    >>> import t2jax as t2
    >>> losses = t2.datasets.load_ladder(measure="loss")
    >>> made = t2.plan(losses, t2.Budget(train_flops=1e12), n_draws=4, progress=False)
    >>> made
    Plan(law 'coupled': ... parameters, ... tokens, k = 1)

    Source: the problem of two budgets is that of Roberts et al. 2026, arXiv:2604.01411.
    """
    table = _table(runs)
    # What would stop the bootstrap is said before the fit, not after it.
    table.cluster(unit or "run")
    check_whole("n_draws", n_draws, usual=1000)
    form = laws.template(default_law(table) if law in (None, "auto", "stack") else law)
    check_design(table, form, samples)
    hull = _hull(table, form, samples)
    budget, notes = budgets.choose(budget, form, hull, table)
    budgets.beyond(budget, None, form, hull, extrapolate=extrapolate)
    steps = _Steps(n_draws=n_draws, unit=unit, seed=seed, discrepancy=discrepancy,
                   samples=samples, uncertified=uncertified, progress=progress,
                   announce=announce or silent, cache=cache)  # fmt: skip
    found, draws = steps.resampled(table, law or default_law(table), objective)
    judge = None
    if not form.base.uses_tokens and companion:
        companion = f"{companion}({form.base.name})"
    if companion and table.kind == "nll" and found.law.kind == "loss" and found.law.uses_samples:
        if isinstance(found.law, Linked):
            judge = accuracy_of(found), draws.accuracy()
        else:
            few = dataclasses.replace(
                steps, n_draws=min(n_draws, _COMPANION_DRAWS), uncertified=True
            )
            judge = few.resampled(table, companion, None)
    made = Plan.of(found, draws, budget, companion=judge, unit=unit, extrapolate=extrapolate,
                   progress=progress, announce=announce)  # fmt: skip
    made = dataclasses.replace(made, notes=notes)
    return steps.backtested(made, table, law, objective) if backtest else made


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Steps:
    """How laws are fitted and resampled on the way."""

    n_draws: int
    unit: str | None
    seed: int
    discrepancy: bool
    samples: Sequence[float] | None
    uncertified: bool
    progress: bool
    announce: Announce
    cache: str | os.PathLike | None

    def resampled(
        self, table: Observations, law: str | type[Law] | Law, objective: str | None
    ) -> tuple[FitResult, Ensemble]:
        """A law fitted and drawn again, or both from an earlier plan."""
        recipe = {"n_draws": self.n_draws, "unit": self.unit, "seed": self.seed,
                  "discrepancy": self.discrepancy}  # fmt: skip
        asked = {"objective": objective, "samples": self.samples}
        kept = Kept.of(self.cache, table, law, **asked, **recipe)
        earlier = kept.read()
        name = law if isinstance(law, str) else law.name
        if earlier is not None:
            found, draws = earlier
            self.announce(f"draws of this table from an earlier run: {self.n_draws} refits of law "
                          f"'{found.law.name}'")  # fmt: skip
        else:
            self.announce(f"fitting law '{name}'")
            found, draws = fit(table, law, **asked), None
        _check_trend(found, table)
        if not self.uncertified:
            check_certified(found)
        if draws is None:
            self.announce(f"{self.n_draws} refits of law '{found.law.name}'")
            draws = bootstrap(found, **recipe, progress=self.progress)
            kept.write(found, draws)
        return found, draws

    def backtested(
        self, made: Plan, table: Observations, law: str | type[Law] | Law | None,
        objective: str | None,
    ) -> Plan:  # fmt: skip
        """The plan beside one that was made of cheaper runs, or why there is none."""
        served = made.fit.law.uses_samples and table.kind != "loss"
        asked = {"inference_flops": float(made.optimum.inference_flops)} if served else None
        try:
            found = judged_by_dearer(
                table, asked, law=law, objective=objective, samples=self.samples, shares=[1 / 3],
                n_levels=1, n_draws=min(self.n_draws, _BACKTEST_DRAWS), unit=self.unit,
                seed=self.seed, discrepancy=self.discrepancy, progress=self.progress,
                announce=self.announce,
            )  # fmt: skip
        except Refusal as refused:
            warning = f"No backtest: {refused.problem}."
            return dataclasses.replace(made, warnings=(*made.warnings, warning))
        return dataclasses.replace(made, backtest=found)


def _check_trend(fit: FitResult, table: Observations) -> None:
    """Stop at a fit without a trend, and say what of the table may hide it.

    Raises:
      Refusal: it has none.
    """
    try:
        check_trend(fit)
    except Refusal as refused:
        raise Refusal(refused.problem, remedy=_hidden(fit, table) or refused.remedy) from refused


def _hidden(fit: FitResult, table: Observations) -> str:
    """What keeps a trend from being seen; empty where nothing is known of it."""
    told = next((note for note in table.notes if note.startswith(POOLED)), "")
    if told:
        return told.removeprefix(POOLED).strip()
    if table.unique_tokens is None or isinstance(fit.law.base, DataConstrained):
        return ""
    repeated = float(np.mean(table.tokens > table.unique_tokens))
    if not repeated:
        return ""
    return (f"{repeated:.0%} of its rows repeat their data, of which law '{fit.law.name}' knows "
            "nothing: name law='data_constrained', or keep rows that repeat little")  # fmt: skip


def check_certified(model: FitResult | Ensemble) -> None:
    """Stop at a fit, or at draws of one, that is no certified minimum.

    Raises:
      Refusal: it is none.
    """
    if model.uncertified:
        raise Refusal(
            f"the fit is NOT CERTIFIED as a minimum ({model.uncertified})",
            remedy="fit another law, bring more runs, or pass uncertified=True to go on",
        )


def _table(runs: Observations | str | os.PathLike | None) -> Observations:
    if isinstance(runs, Observations):
        return runs
    return datasets.load_ladder() if runs is None or runs == "ladder" else read(runs)


def _hull(runs: Observations, law: Law, samples: Sequence[float] | None) -> Hull:
    """The ranges that a fit of this law will have."""
    grid = sample_grid(runs, law, samples)
    if grid is None:
        grid = (1.0,) if runs.samples is None else runs.samples
    return Hull.of(params=runs.params, tokens=runs.tokens, samples=np.asarray(grid))
