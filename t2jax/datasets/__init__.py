"""Measured ladders that come with t2jax, each with its PROVENANCE.md (floor 1)."""

import dataclasses
import importlib.resources

from t2jax.observations import Observations, read

__all__ = ["load_ladder"]


def load_ladder(*, measure: str = "nll") -> Observations:
    """The built-in ladder: 72 small models, each asked the same 600 questions.

    Two ladders of two-layer decoders on synthetic text, 2.6k to 233k parameters and 0.15M to
    13M tokens, with the exact success probability of every question. N counts the weight
    matrices and the unembedding. Single seeds; checkpoints of one trunk are correlated.
    Everything that is known about it is in `datasets/lab_ladder/PROVENANCE.md`.

    Args:
      measure: "nll" for the NLL of each question in nats, summed over the answer's tokens, or
        "loss" for the training loss of each checkpoint over its last 32 steps.

    Returns:
      A question table, or a loss table of the same checkpoints.

    Raises:
      ValueError: when there is no such measure.

    >>> ladder = load_ladder()
    >>> ladder.n_rows, ladder.n_questions, ladder.params_definition
    (72, 600, 'matrices+head')

    Source: measured for this project with a prototype of its trainer.
    """
    files = {"nll": ("questions.parquet", None), "loss": ("runs.csv", "loss=lm_loss")}
    if measure not in files:
        raise ValueError(f"measure is {measure!r}: use 'nll' or 'loss'")
    name, columns = files[measure]
    folder = importlib.resources.files("t2jax.datasets") / "lab_ladder"
    with importlib.resources.as_file(folder / name) as path:
        table = read(path, columns=columns, params_definition="matrices+head")
    return dataclasses.replace(table, source="the built-in ladder")
