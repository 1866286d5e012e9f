"""`t2jax plan`: the whole way from a table to a plan and a folder of figures."""

import dataclasses
import functools
import pathlib
from typing import Annotated, Any

from t2jax.cli import _config, _terminal
from t2jax.cli._budget import BudgetOptions
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import FitOptions, MaybeTable, TableOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, BudgetOptions, FitOptions, TableOptions):
    """Plan a training run: its size, its tokens, and the samples to draw of it per question.

    Fits a law, resamples it, finds the optimum beside Chinchilla's choice, writes a report.

    Without a table it plans on the built-in ladder, without a budget in the middle of the table.

    Example: t2jax plan runs.csv --train-flops 2.56e19 --inference-flops 2e9 --out report/
    """

    table: MaybeTable = "ladder"
    extrapolate: Annotated[bool, arg("answer budgets outside the table too")] = False
    draws: Annotated[int, arg("bootstrap refits", "COUNT")] = 1000
    unit: Annotated[str, arg("what is resampled: run, trunk or row", "UNIT")] = ""
    seed: Annotated[int, arg("of the resampling", "SEED")] = 0
    no_discrepancy: Annotated[
        bool, arg("the law alone, its misfit left out of estimate and intervals")
    ] = False
    out: Annotated[str, arg("folder of the report", "FOLDER", "-o")] = "report/"
    config: Annotated[
        str,
        arg(
            "TOML file of any of these, the budget among them; flags override it",
            "FILE",
        ),
    ] = ""
    full: Annotated[bool, arg("print everything that was found, in order of weight")] = False
    backtest: Annotated[
        bool, arg("judge a plan made of the cheaper runs by the dearer ones, too")
    ] = False
    json: Annotated[bool, arg("print one JSON object instead of text")] = False
    quiet: Annotated[bool, arg("print nothing but errors")] = False

    def run(self) -> None:
        """Read, plan, write, print."""
        options, _ = _config.parted(self)
        _config.filled(self, options)._planned()

    def from_file(self) -> dict[str, Any]:
        """What the files say of the budget; the budget's own file comes before the other."""
        return {**_config.parted(self)[1], **super().from_file()}

    def _planned(self) -> None:
        import t2jax as t2
        from t2jax._cache import cache_folder
        from t2jax.reporting import check_report

        check_report(self.out, _config.AGAIN)
        asked = self.description()
        runs = self.read(self.table)
        made = t2.plan(
            runs,
            asked,
            law=self.law or None,
            n_draws=self.draws,
            unit=self.unit or None,
            seed=self.seed,
            discrepancy=not self.no_discrepancy,
            extrapolate=self.extrapolate,
            backtest=self.backtest,
            uncertified=self.uncertified,
            progress=not self.quiet,
            announce=functools.partial(_terminal.announce, quiet=self.quiet),
            cache=cache_folder("draws"),
            **self.fit_arguments(),
        )
        _terminal.announce("drawing", quiet=self.quiet)
        paths = [str(path) for path in made.save(self.out)]
        again = pathlib.Path(self.out) / _config.AGAIN
        _terminal.write(str(again), lambda to: to.write_text(_config.again(self, made), "utf-8"))
        paths.append(str(again))
        if self.json:
            _terminal.say_json({**made.to_dict(), "files": paths})
        elif not self.quiet:
            _terminal.say(f"{made.summary(full=self.full)}\n\n{_terminal.written(self.out, paths)}")
