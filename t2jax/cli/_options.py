"""Options that several commands share, as dataclasses to inherit from."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from t2jax.cli._flags import numbers
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.fitting import FitResult
    from t2jax.laws import Law
    from t2jax.observations import Observations
    from t2jax.planning import Budget

__all__ = [
    "DrawsOptions",
    "FitOptions",
    "IntervalOptions",
    "MaybeTable",
    "Table",
    "TableOptions",
    "arg",
    "positional",
]


def arg(help: str, metavar: str | None = None, *aliases: str) -> Any:
    """How a flag is shown, and its short forms."""
    return tyro.conf.arg(
        help=help, metavar=metavar, aliases=list(aliases) or None, help_behavior_hint=_hint
    )


def positional(help: str, metavar: str) -> Any:
    """A word without a flag."""
    return tyro.conf.arg(help=help, metavar=metavar, help_behavior_hint=_hint)


def _hint(default: str) -> str:
    """The default, where it says something."""
    silent = ("", "''", "None", "False", "unstated")
    return "" if default in silent else f"(default: {default})"


_TABLE = "CSV, TSV, JSONL or Parquet; - is CSV on standard input; or ladder"
Table = Annotated[tyro.conf.Positional[str], positional(_TABLE, "TABLE")]
"""A table on the command line, `ladder` being the built-in one."""
MaybeTable = Annotated[tyro.conf.Positional[str], positional(_TABLE, "[TABLE]")]
"""The same where it may be left out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table is read."""

    TITLE: ClassVar[str] = "table"

    columns: Annotated[
        str, arg("our names for the table's columns: params=n_params,run=model", "OURS=THEIRS,...")
    ] = ""
    units: Annotated[
        str,
        arg(
            "factors that make them plain numbers and nats: tokens=1e9,loss=bits",
            "COLUMN=FACTOR,...",
        ),
    ] = ""
    task: Annotated[str, arg("keep these tasks only", "TASK,...")] = ""
    params_definition: Annotated[
        str, arg("what N counts: total, non-embedding, matrices+head, ...", "WORDS")
    ] = "unstated"
    drop_incomplete: Annotated[bool, arg("leave unfinished rows out and say how many")] = False
    where: Annotated[
        str, arg("keep rows that meet a condition: \"role == 'ladder' and xc >= 1\"", "CONDITION")
    ] = ""
    common: Annotated[bool, arg("keep only the questions that every checkpoint was asked")] = False
    separator: Annotated[
        str, arg("between the values of a text table: ';' or tab, ...", "CHARACTER")
    ] = ""

    def read(self, table: str) -> "Observations":
        """Read a table, or load the built-in ladder where that or none is named."""
        import t2jax as t2

        tasks = [name.strip() for name in self.task.split(",") if name.strip()] or None
        if table in ("", "ladder"):
            if self.where:
                raise InputError(
                    "the built-in ladder has no columns for --where", remedy="choose with --task"
                )
            runs = t2.datasets.load_ladder()
            return runs.select_task(*tasks) if tasks else runs
        return t2.read(
            table,
            columns=self.columns or None,
            units=self.units or None,
            task=tasks,
            params_definition=self.params_definition,
            drop_incomplete=self.drop_incomplete,
            where=self.where or None,
            common_questions=self.common,
            separator=self.separator or None,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawsOptions(TableOptions):
    """What is drawn from, and where the draws go."""

    table: Annotated[tyro.conf.Positional[str], positional("the table that was fitted", "TABLE")]
    model: Annotated[
        tyro.conf.Positional[str], positional("the fit, as `t2jax fit -o` wrote it", "FIT.json")
    ]
    out: Annotated[str, arg("write the draws as NPZ", "FILE", "-o")] = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a law is fitted."""

    TITLE: ClassVar[str] = "fit"

    law: Annotated[
        str,
        arg(
            "linked, additive (or chinchilla), 'linked(additive)', auto, stack, ...; by the table",
            "LAW",
        ),
    ] = ""
    objective: Annotated[
        str, arg("student_t, huber, sse (or mse) or beta_binomial; chosen by the law", "NAME")
    ] = ""
    samples: Annotated[
        str, arg("k at which questions are summarised (default 1,4,16,64,256,1024)", "K,K,...")
    ] = ""

    def fit_arguments(self) -> dict[str, Any]:
        """The arguments of `t2jax.fit` that were chosen, the law aside."""
        return {
            "objective": self.objective or None,
            "samples": numbers(self.samples, "--samples", "1,4,16"),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalOptions(FitOptions, TableOptions):
    """A table whose fit, and whose plan under two separate budgets, are asked for intervals."""

    table: Annotated[tyro.conf.Positional[str], positional("the table of runs", "TABLE")]
    train_flops: Annotated[float | None, arg("training compute, 6ND", "FLOPS")] = None
    inference_flops: Annotated[
        float | None, arg("inference compute per generated token of a question, 2Nk", "FLOPS")
    ] = None
    unit: Annotated[str, arg("run, trunk or row; by default what the table names", "UNIT")] = ""
    out: Annotated[str, arg("write the result as JSON", "FILE", "-o")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def fitted(self, check: "Callable[[Law], object] | None" = None) -> "FitResult":
        """Read and fit, unless the design cannot tell the coefficients apart.

        Args:
          check: called with a law of the form to be fitted, before the fit.
        """
        import t2jax as t2
        from t2jax.fitting.default import default_law

        runs = self.read(self.table)
        law = self.law or default_law(runs)
        form = t2.laws.template(law)
        if check is not None:
            check(form)
        if form.kind == "loss":
            t2.identify(runs, law)
        return t2.fit(runs, law=law, **self.fit_arguments())

    def budget(self) -> "Budget | None":
        """The two budgets, None where neither was given."""
        import t2jax as t2

        if self.train_flops is None and self.inference_flops is None:
            return None
        return t2.Budget(train_flops=self.train_flops, inference_flops=self.inference_flops)
