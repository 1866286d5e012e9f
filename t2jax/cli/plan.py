"""`t2jax plan`: the whole way from a table to a plan and a folder of figures."""

import dataclasses
import functools
import os
import pathlib
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

from t2jax.cli import _terminal
from t2jax.cli._budget import BudgetOptions, read_toml
from t2jax.cli._config import filled, toml
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import FitOptions, MaybeTable, TableOptions, arg

if TYPE_CHECKING:
    from t2jax.planner import Plan

__all__ = ["Command"]

_OF_A_CALL = ("config", "budget", "out", "json", "full", "quiet")  # and not of a plan
_ALWAYS = ("table", "draws", "seed")


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
        bool, arg("intervals of the law alone, which leave its misfit out")
    ] = False
    out: Annotated[str, arg("folder of the report", "FOLDER", "-o")] = "report/"
    config: Annotated[
        str, arg("TOML file of any of these, the budget among them; flags override it", "FILE")
    ] = ""
    full: Annotated[bool, arg("print everything that was found, in order of weight")] = False
    backtest: Annotated[
        bool, arg("judge a plan made of the cheaper runs by the dearer ones, too")
    ] = False
    json: Annotated[bool, arg("print one JSON object instead of text")] = False
    quiet: Annotated[bool, arg("print nothing but errors")] = False

    def run(self) -> None:
        """Read, plan, write, print."""
        if self.config:
            own = {n: v for n, v in read_toml(self.config).items() if n in _names(Command)}
            options = {n: v for n, v in own.items() if n not in _names(BudgetOptions)}
            filled(self, options, self.config, _OF_A_CALL)._planned()
            return
        self._planned()

    def from_file(self) -> dict[str, Any]:
        """What the files say of the budget; the budget's own file comes before the other."""
        told = read_toml(self.config) if self.config else {}
        options = _names(Command) - _names(BudgetOptions)
        told = {name: value for name, value in told.items() if name not in options}
        return {**told, **super().from_file()}

    def _planned(self) -> None:
        import t2jax as t2
        from t2jax.reporting import check_folder

        check_folder(self.out)
        runs = self.read(self.table)
        made = t2.plan(
            runs,
            self.description(),
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
            **self.fit_arguments(),
        )
        _terminal.announce("drawing", quiet=self.quiet)
        paths = [str(path) for path in made.save(self.out)]
        again = pathlib.Path(self.out) / "plan.toml"
        _terminal.write(str(again), lambda path: path.write_text(self._written(made), "utf-8"))
        paths.append(str(again))
        if self.json:
            _terminal.say_json({**made.to_dict(), "files": paths})
        elif not self.quiet:
            _terminal.say("\n  ".join([f"{made.summary(full=self.full)}\n\nwritten:", *paths]))

    def _written(self, made: "Plan") -> str:
        """The configuration that makes this plan again."""
        from t2jax.cost import Cost

        told: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in {*_OF_A_CALL, *_names(BudgetOptions)}:
                continue
            if field.name in _ALWAYS or value != field.default:
                told[field.name] = value
        if self.table not in ("", "-", "ladder"):
            told["table"] = os.path.relpath(self.table, self.out)
        if not self.law:
            told["law"] = made.fit.law.title
        spent = made.budget.to_dict()
        if spent["cost"] == Cost().to_dict():
            del spent["cost"]
        about = (
            f"This plan again: t2jax plan --config {pathlib.Path(self.out) / 'plan.toml'}\n"
            f"t2jax {metadata.version('t2jax')}; the table's data {made.fit.data_hash[:12]}"
        )
        return toml({**told, "budget": spent}, about)


def _names(options: type) -> set[str]:
    return {field.name for field in dataclasses.fields(options)}
