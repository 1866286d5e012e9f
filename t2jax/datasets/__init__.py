"""Measured ladders, each with its PROVENANCE.md, and the sizes of public models (floor 1)."""

import dataclasses
import functools
import importlib.resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from t2jax.datasets.public_models import PublicModel as PublicModel
from t2jax.datasets.public_models import public_models as public_models
from t2jax.observations import Observations, read

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["PublicModel", "load_ladder", "load_questions", "load_runs", "public_models"]


class _Ladder(NamedTuple):
    folder: str
    title: str


_LADDERS = {
    "cpu": _Ladder("ladder", "the built-in ladder"),
    "gpu": _Ladder("ladder_gpu", "the built-in ladder of larger models"),
}
_VARIANTS = ("base", "ft", "sft")
_MEASURES = ("nll", "loss", "counts")
_SETS = ("standard", "apart", "long")
_LONG = "long-"  # in front of the name of a task of long answers
_APART = ("arithmetic", "pairs")  # learnt in a step, or by luck of the seed: no power law
_N = "matrices+head"


def load_ladder(
    name: str = "cpu", *, measure: str = "nll", variant: str = "base", questions: str = "standard"
) -> Observations:
    """A built-in ladder: small models, overtrained and not, all asked the same questions.

    Decoders trained by `t2jax ladder --preset full` on the project's own corpus of five families
    of questions. N counts the weight matrices and the unembedding. Checkpoints of one trunk share
    seed and data and are correlated. What was and was not found in it, and how it was made, is in
    `datasets/ladder/PROVENANCE.md`; of the larger models, in `datasets/ladder_gpu/PROVENANCE.md`.

    Args:
      name: "cpu", up to .23M parameters and 5e12 training FLOPs, trained on two cores; "gpu", .2M
        to 1.8M parameters from 2.5e13 FLOPs on, trained on one accelerator on the same text. Both
        were asked the same questions.
      measure: "nll" for the NLL of each question in nats: minus the log of the probability that
        one sample at temperature 1 is accepted; "counts" for how many of 64 samples at
        temperature 1 were, of two seeds at every other training budget of "cpu" and "base" alone;
        "loss" for the cross-entropy of each checkpoint over rows of text that no model trained on.
      variant: "base"; "ft", finetuned on whole documents; "sft", finetuned on answers only.
      questions: "standard", those of the three families that are learnt all along the ladder;
        "apart", sums and pairs, which are learnt in a step or by luck of the seed; "long", those
        of all five with the longest answers.

    Returns:
      A question table, or a loss table of the same checkpoints.

    Raises:
      ValueError: when there is no such table.

    >>> ladder = load_ladder()
    >>> sorted(set(ladder.task.tolist()))
    ['causal', 'knowledge', 'spatial']
    >>> float(load_ladder(measure="counts").trials.max())
    64.0

    Source: measured for this project by its own trainer.
    """
    counted = measure == "counts"
    for word, value, known in (
        ("name", name, ("cpu",) if counted else tuple(_LADDERS)),
        ("measure", measure, _MEASURES),
        ("variant", variant, _VARIANTS if name == "cpu" and not counted else _VARIANTS[:1]),
        ("questions", questions, _SETS),
    ):
        if value not in known:
            raise ValueError(f"{word} is {value!r}: use one of {', '.join(known)}")
    if measure == "loss":
        table = read(_runs(variant, name), columns="loss=held_out_loss", params_definition=_N)
    else:
        file = f"{'counts' if counted else 'questions'}-{variant}.parquet"
        table = read(_table(file, name), params_definition=_N)
        assert table.task is not None
        long, apart = np.char.startswith(table.task, _LONG), np.isin(table.task, _APART)
        sets = {"standard": ~long & ~apart, "apart": apart, "long": long}
        table = table.select_questions(sets[questions])
    return dataclasses.replace(table, source=_LADDERS[name].title)


def load_runs(name: str = "cpu") -> "pd.DataFrame":
    """What is known of every checkpoint of a built-in ladder, one row each, all variants.

    Args:
      name: as for `load_ladder`.

    Returns:
      Columns such as run, trunk, seed, variant, d_model, params, tokens, steps, batch_rows,
      learning_rate, train_flops (6ND), train_loss, held_out_loss and the mean NLL of each task.

    >>> runs = load_runs()
    >>> set(runs.variant) == {"base", "ft", "sft"}
    True

    Source: as `load_ladder`.
    """
    import pandas as pd

    variants = _VARIANTS if name == "cpu" else _VARIANTS[:1]
    return pd.concat([_runs(variant, name) for variant in variants], ignore_index=True)


def load_questions() -> "pd.DataFrame":
    """The questions of the built-in ladder, one row each, long ones as tasks of their own.

    Returns:
      Columns task, question, difficulty (comparable within a task), accepted (right answers) and
      nll_chance_task: NLL of a guesser who knows the answers of the task but not the question.

    >>> bool((load_questions().nll_chance_task > 0).all())
    True

    Source: as `load_ladder`.
    """
    import pandas as pd

    with importlib.resources.as_file(_folder() / "questions.csv") as path:
        return pd.read_csv(path)


def _runs(variant: str, name: str) -> "pd.DataFrame":
    import pandas as pd

    with importlib.resources.as_file(_folder(name) / f"runs-{variant}.csv") as path:
        return pd.read_csv(path)


@functools.lru_cache(maxsize=8)
def _table(file: str, name: str) -> "pa.Table":
    from pyarrow import parquet  # pandas takes half a second more

    with importlib.resources.as_file(_folder(name) / file) as path:
        return parquet.ParquetFile(path).read()


def _folder(name: str = "cpu"):
    return importlib.resources.files("t2jax.datasets") / _LADDERS[name].folder
