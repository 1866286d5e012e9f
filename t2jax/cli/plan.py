"""`t2jax plan`: the whole way from a table to a plan and a folder of figures."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from t2jax.cli import _terminal
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import CapOptions, FitOptions, TableOptions, arg, positional
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.fitting import FitResult
    from t2jax.observations import Observations
    from t2jax.planner import Companion
    from t2jax.planner.budgets import Budgets

__all__ = ["Command"]

_POINTS = 33  # budgets along the frontier
_COMPANION = "beta_monotone"
_COMPANION_DRAWS = 300  # enough for a 90% interval, at a third of the time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, CapOptions, FitOptions, TableOptions):
    """Plan a training run: its size, its tokens, and the samples to draw of it per question.

    Fits a law, resamples it, finds the optimum beside Chinchilla's choice, writes a report.

    Without a table it plans on the built-in ladder.

    Example: t2jax plan runs.csv --train-flops 2.56e19 --inference-flops 2e9 --out report/
    """

    table: Annotated[
        tyro.conf.Positional[str],
        positional("CSV, TSV, JSONL or Parquet file; - reads CSV from standard input", "[TABLE]"),
    ] = ""
    train_flops: Annotated[
        float | None, arg("training compute, 6ND; by default the middle of the table", "FLOPS")
    ] = None
    inference_flops: Annotated[
        float | None, arg("inference compute per generated token of a question, 2Nk", "FLOPS")
    ] = None
    extrapolate: Annotated[bool, arg("answer budgets outside the table too")] = False
    draws: Annotated[int, arg("bootstrap refits", "COUNT")] = 1000
    unit: Annotated[str, arg("what is resampled: run, trunk or row", "UNIT")] = ""
    seed: Annotated[int, arg("of the resampling", "SEED")] = 0
    out: Annotated[str, arg("folder of the report", "FOLDER", "-o")] = "report/"
    json: Annotated[bool, arg("print one JSON object instead of text")] = False
    quiet: Annotated[bool, arg("print nothing but errors")] = False

    def run(self) -> None:
        """Read, fit, resample, optimise, write, print."""
        import numpy as np

        import t2jax as t2
        from t2jax.fitting.default import default_law
        from t2jax.laws import template
        from t2jax.planner import measured
        from t2jax.planner.budgets import Budgets
        from t2jax.planner.optional import decide, profiled
        from t2jax.planning.rivals.in_range import inside
        from t2jax.reporting import check_folder, report, tables
        from t2jax.reporting.folder import json_ready, optimum_dict
        from t2jax.validation.design_check import check_design

        check_folder(self.out)
        runs = self.read(self.table)
        # What would stop the bootstrap is said before the fit, not after it.
        runs.cluster(self.unit or "run")
        if self.draws < 1:
            raise InputError(f"--draws {self.draws} leaves nothing to draw", remedy="use 1000")
        law = self.law or default_law(runs)
        arguments = self.fit_arguments()
        check_design(runs, law, arguments["samples"])
        budgets = Budgets.choose(
            runs,
            template(law),
            arguments["samples"],
            train=self.train_flops,
            inference=self.inference_flops,
            extrapolate=self.extrapolate,
        )
        budget = self._budget(budgets)
        fit = self._fit(runs, law, **arguments)
        self.certified(fit)
        draws = self._bootstrap(fit, self.draws)
        _terminal.announce("finding the optimum", quiet=self.quiet)
        best = t2.optimum(draws, budget, progress=not self.quiet)
        low, high = fit.hull.train_flops
        if self.extrapolate:
            low, high = min(low, budgets.train_flops), max(high, budgets.train_flops)
        sweep = dataclasses.replace(budget, train_flops=np.geomspace(low, high, _POINTS))
        front = t2.frontier(draws, sweep, progress=not self.quiet)
        within = None
        if any(sentence.endswith("extrapolation") for sentence in best.status):
            within = inside(draws, budget)
        companion = None
        if runs.kind == "nll" and fit.law.kind == "loss" and fit.law.uses_samples:
            companion = self._companion(runs, budget, arguments["samples"])
        seen = measured(runs, budget)
        _terminal.announce("weighing what is not known", quiet=self.quiet)
        decision, design, lacking = decide(draws, budget)
        beside, missing = profiled(fit, budget, self.unit)
        warnings = (*budgets.warnings, *missing, *lacking)
        _terminal.announce("drawing", quiet=self.quiet)
        paths = report(
            *(fit, draws, best, front),
            out=self.out,
            companion=companion,
            inside=within,
            measured=seen,
            budget=budget,
            profiled=beside,
            decision=decision,
            design=design,
            notes=budgets.notes,
            warnings=warnings,
        )
        if self.json:
            told = {
                "format": "t2jax.plan/1",
                "data": fit.description,
                "law": fit.law.to_dict(),
                "criteria": fit.criteria,
                "budget": budget.to_dict(),
                "notes": budgets.notes,
                "optimum": optimum_dict(draws, best, companion, within),
                "profile": beside and beside.to_dict(),
                "measured": seen and dataclasses.asdict(seen) | {"gain": seen.gain()},
                "regret": decision and decision.to_dict(),
                "design": design and design.to_dict(),
                "doubts": [*warnings, *tables.doubts(fit, draws, best, front, companion)],
                "files": [str(path) for path in paths],
            }
            _terminal.say(json.dumps(json_ready(told)))
        elif not self.quiet:
            text = tables.page(
                *(fit, draws, best, front, companion, within, seen),
                profiled=beside,
                decision=decision,
                design=design,
                notes=budgets.notes,
                warnings=warnings,
            )
            written = "\n".join(f"  {path}" for path in paths)
            _terminal.say(f"{text}\n\nwritten:\n{written}")

    def _budget(self, budgets: "Budgets") -> Any:
        import t2jax as t2

        return t2.Budget(
            train_flops=budgets.train_flops,
            inference_flops=budgets.inference_flops,
            max_params=self.max_params,
            max_tokens=self.max_tokens,
        )

    def _fit(self, runs: "Observations", law: str, **arguments: Any) -> "FitResult":
        import t2jax as t2

        _terminal.announce(f"fitting law '{law}'", quiet=self.quiet)
        return t2.fit(runs, law=law, **arguments)

    def _bootstrap(self, fit: "FitResult", draws: int) -> Any:
        import t2jax as t2

        _terminal.announce(f"{draws} refits of law '{fit.law.name}'", quiet=self.quiet)
        return t2.bootstrap(
            fit, n_draws=draws, unit=self.unit or None, seed=self.seed, progress=not self.quiet
        )

    def _companion(
        self, runs: "Observations", budget: Any, samples: list[float] | None
    ) -> "Companion":
        """The accuracy law on the same questions, which turns plans into pass@k."""
        import t2jax as t2
        from t2jax.planner import Companion

        fit = self._fit(runs, _COMPANION, samples=samples)
        draws = self._bootstrap(fit, min(self.draws, _COMPANION_DRAWS))
        best = t2.optimum(draws, budget, progress=not self.quiet)
        return Companion(fit=fit, draws=draws, best=best)
