"""Questions asked of many checkpoints: packed once, answered by likelihood; and held-out rows."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from t2jax._devices import at_once
from t2jax.errors import InputError
from t2jax.trainer import model
from t2jax.trainer.batches import Batch, Questions
from t2jax.trainer.config import ModelConfig
from t2jax.trainer.model import Params

__all__ = ["Exam", "check_vocabulary", "held_out_loss"]

_BLOCK_LOGITS = 2**19  # logits of one call: small enough for a CPU's cache,
_BLOCK_LOGITS_ACCELERATOR = 2**25  # and 128 MiB elsewhere


class Exam:
    """Questions packed into rows once, to be answered by any number of models.

    Args:
      questions: the questions with all accepted answers.
      seq_len: tokens of a row; longer where a question needs it.

    Raises:
      InputError: a question without an accepted answer.
    """

    def __init__(self, questions: Questions, seq_len: int):
        self.questions = questions
        self._first = _first_answers(questions)
        self._packed = _pack(questions, seq_len)

    def likelihood(
        self, params: Params, config: ModelConfig, *, temperature: float = 1.0
    ) -> Float[np.ndarray, " questions"]:
        """Negative log-probability that one sample of a question is accepted.

        `nll = -log sum_answers prod_t p(answer_t | prompt, answer_<t)`

        Accepted answers end in the stop token, so they exclude each other and the sum is exact.

        Args:
          params: weights of the model, as `model.initialise` makes them.
          config: shape of the model.
          temperature: logits are divided by it, as in sampling.

        Returns:
          `[questions]` float64, nats, at least 0.

        Raises:
          InputError: a temperature not above 0, or a token outside the model's vocabulary.

        Source: Roberts et al. 2026, arXiv:2604.01411.
        """
        log_probs = self.answer_log_probs(params, config, temperature=temperature)
        top = np.maximum.reduceat(log_probs, self._first)
        total = np.add.reduceat(np.exp(log_probs - top[self.questions.owner]), self._first)
        # Rounding of float32 logits may put the sum over a set a little above 1.
        return np.maximum(-(top + np.log(total)), 0.0) + 0.0

    def answer_log_probs(
        self, params: Params, config: ModelConfig, *, temperature: float = 1.0
    ) -> Float[np.ndarray, " accepted"]:
        """Log-probability of every accepted answer given its prompt, end of sequence included.

        Args:
          params: weights of the model.
          config: shape of the model.
          temperature: logits are divided by it, as in sampling.

        Returns:
          `[accepted]` float64, nats, in the order of `questions.answers`.

        Raises:
          InputError: a temperature not above 0, or a token outside the model's vocabulary.
        """
        if not temperature > 0:
            raise InputError(f"temperature is {temperature:g}", remedy="give a number above 0")
        check_vocabulary(config, self.questions)
        packed = self._packed
        block = _rows_a_call(config, packed.tokens.shape[1])
        calls = []
        for start in range(0, len(packed.tokens), block):
            # The last block is padded to the shape of the others: one program for all rows.
            tokens = _block(packed.tokens, start, block)
            segments = _block(packed.segments, start, block)
            calls.append(_next_token_log_probs(params, config, tokens, segments, temperature))
        by_place = np.concatenate([np.asarray(call) for call in calls])
        return np.bincount(
            packed.document,
            weights=by_place[packed.row, packed.place].astype(np.float64),
            minlength=len(self.questions.answers),
        )


def held_out_loss(params: Params, config: ModelConfig, batch: Batch) -> float:
    """Mean cross-entropy of rows that were not trained on, over all their loss tokens.

    The smoothest measure of a model that there is: no question set, no luck of the last steps.

    Args:
      params: weights of the model.
      config: shape of the model.
      batch: packed rows, such as those of a corpus with another seed.

    Returns:
      Nats per token.
    """
    block = _rows_a_call(config, batch.tokens.shape[1])
    sums = []
    for start in range(0, len(batch.tokens), block):
        part = Batch(*(_block(np.asarray(x), start, block) for x in batch))
        sums.append(_sum_loss(params, config, part))
    loss, tokens = np.sum([np.asarray(x, np.float64) for x in sums], axis=0)
    return float(loss / tokens)


def _rows_a_call(config: ModelConfig, places: int) -> int:
    budget = at_once(_BLOCK_LOGITS, _BLOCK_LOGITS_ACCELERATOR)
    return max(1, budget // (places * config.vocab_size))


@functools.partial(jax.jit, static_argnames="config")
def _sum_loss(params: Params, config: ModelConfig, batch: Batch) -> Float[jax.Array, " 2"]:
    """Sum of the cross-entropies and number of loss tokens."""
    _, seen = model.loss(params, config, batch, z_loss=0.0)
    return jnp.stack([seen["loss"] * seen["tokens"], seen["tokens"].astype(jnp.float32)])


@functools.partial(jax.jit, static_argnames="config")
def _next_token_log_probs(
    params: Params,
    config: ModelConfig,
    tokens: Int[jax.Array, "rows seq"],
    segments: Int[jax.Array, "rows seq"],
    temperature: Float[jax.Array, ""],
) -> Float[jax.Array, "rows seq-1"]:
    """Log-probability of the token at place t + 1, at place t."""
    logits = model.apply(params, config, tokens, segments)[:, :-1] / temperature
    chosen = jnp.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


class _Packed(NamedTuple):
    """Rows of `prompt answer` documents, and where the answers' tokens are predicted."""

    tokens: Int[np.ndarray, "rows seq"]
    segments: Int[np.ndarray, "rows seq"]
    document: Int[np.ndarray, " targets"]
    row: Int[np.ndarray, " targets"]
    place: Int[np.ndarray, " targets"]


def _pack(questions: Questions, seq_len: int) -> _Packed:
    """Put every accepted answer behind its prompt, and the documents into rows of one length."""
    prompt_lengths = questions.prompt_lengths[questions.owner].astype(np.int64)
    answer_lengths = questions.answer_lengths.astype(np.int64)
    lengths = prompt_lengths + answer_lengths
    width = max(seq_len, -int(-lengths.max() // 16) * 16)
    row, offset, segment = _best_fit(lengths, width)

    tokens = np.zeros((row.max() + 1, width), np.int32)
    segments = np.zeros_like(tokens)
    document, place = _spread(prompt_lengths)
    tokens[row[document], offset[document] + place] = questions.prompts[
        questions.owner[document], place
    ]
    segments[row[document], offset[document] + place] = segment[document]
    document, place = _spread(answer_lengths)
    target = offset[document] + prompt_lengths[document] + place
    tokens[row[document], target] = questions.answers[document, place]
    segments[row[document], target] = segment[document]
    return _Packed(tokens, segments, document, row[document], target - 1)


def _spread(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the item and place within it, for items of these lengths one behind another."""
    item = np.repeat(np.arange(len(lengths)), lengths)
    return item, np.arange(len(item)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _best_fit(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, offset and number within its row of each document, the longest packed first."""
    row, offset, segment = (np.zeros(len(lengths), np.int64) for _ in range(3))
    free: list[list[tuple[int, int]]] = [[] for _ in range(width + 1)]  # (row, documents) by space
    rows = 0
    for item in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[item])
        space = next((s for s in range(length, width) if free[s]), width)
        if free[space]:
            place, count = free[space].pop()
        else:
            place, count, rows = rows, 0, rows + 1
        row[item], offset[item], segment[item] = place, width - space, count + 1
        free[space - length].append((place, count + 1))
    return row, offset, segment


def _block(array: np.ndarray, start: int, count: int) -> np.ndarray:
    """Rows from `start`, filled up with zeros to `count`."""
    rows = array[start : start + count]
    return np.pad(rows, ((0, count - len(rows)), (0, 0)))


def _first_answers(questions: Questions) -> Int[np.ndarray, " questions"]:
    """Position of the first accepted answer of each question."""
    first = np.searchsorted(questions.owner, np.arange(len(questions.task)))
    here = questions.owner[np.minimum(first, len(questions.owner) - 1)]
    lonely = np.flatnonzero(here != np.arange(len(questions.task)))
    if len(lonely):
        raise InputError(
            f"question {questions.names[lonely[0]]} has no accepted answer",
            remedy="leave it out, or count sampled successes with a verifier of your own",
        )
    return first


def check_vocabulary(config: ModelConfig, questions: Questions) -> None:
    """Refuse questions with tokens that the model does not know."""
    largest = max(int(questions.prompts.max()), int(questions.answers.max()))
    if largest >= config.vocab_size:
        raise InputError(
            f"a question has token {largest} and the model knows {config.vocab_size} tokens",
            remedy="ask it questions made with the tokenizer that it was trained with",
        )
