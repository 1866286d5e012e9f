"""Packed rows of text and where they come from.

A source makes row `i` from `i` alone: the training step is the whole state of the data, on any
number of processes, and resuming is exact.
"""

from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import Bool, Int

__all__ = ["Batch", "Questions", "Source", "loss_mask"]

Array = jax.Array | np.ndarray


class Batch(NamedTuple):
    """Rows of documents packed one behind another.

    Attributes:
      tokens: token of each place; 0 where there is none.
      segments: which document of its row a place belongs to, from 1; 0 for padding.
      answers: whether the token belongs to an answer, its end-of-sequence included.
    """

    tokens: Int[Array, "rows seq_len"]
    segments: Int[Array, "rows seq_len"]
    answers: Bool[Array, "rows seq_len"]


class Questions(NamedTuple):
    """Questions with every answer that their verifier accepts.

    Attributes:
      task: family of each question.
      difficulty: how hard it is within its family: links, operators, ...; comparable within only.
      prompts: `bos question :`, left-aligned, padded with 0.
      prompt_lengths: tokens of each prompt.
      answers: the accepted answers, all questions one behind another, each `answer eos`, padded.
      answer_lengths: tokens of each accepted answer, its end-of-sequence included.
      owner: question that an accepted answer belongs to, ascending.
      names: a stable name of each question, such as `knowledge-17`.
    """

    task: np.ndarray  # [questions] str
    difficulty: Int[np.ndarray, " questions"]
    prompts: Int[np.ndarray, "questions prompt"]
    prompt_lengths: Int[np.ndarray, " questions"]
    answers: Int[np.ndarray, "accepted answer"]
    answer_lengths: Int[np.ndarray, " accepted"]
    owner: Int[np.ndarray, " accepted"]
    names: np.ndarray  # [questions] str


class Source(Protocol):
    """Where training rows come from."""

    @property
    def vocab_size(self) -> int:
        """Tokens run from 0 to vocab_size - 1; 0 is padding."""
        ...

    @property
    def seq_len(self) -> int:
        """Tokens of a row."""
        ...

    @property
    def traceable(self) -> bool:
        """Whether `rows` may be traced by JAX, with `first` a traced integer."""
        ...

    @property
    def tokens_per_row(self) -> float:
        """Mean loss tokens of a row, by which token budgets become steps."""
        ...

    def rows(self, first: Any, count: int, *, xp: Any = np) -> Batch:
        """Training rows `first` to `first + count - 1`, made by NumPy or jax.numpy."""
        ...

    def fingerprint(self) -> str:
        """Changes when any row changes; kept in checkpoints and tables."""
        ...


def loss_mask(batch: Batch, *, answers_only: bool = False) -> Bool[Array, "rows seq_len-1"]:
    """Whether place t predicts the token at t + 1: both in one document.

    The sum over the mask is what counts as training tokens D.
    """
    mask = (batch.segments[:, 1:] == batch.segments[:, :-1]) & (batch.segments[:, 1:] > 0)
    return mask & batch.answers[:, 1:] if answers_only else mask
