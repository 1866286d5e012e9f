"""What a task is: a family of questions that writes training documents and checks answers."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from t2jax.trainer import tokens
from t2jax.trainer.hashing import Stream

__all__ = ["Ids", "Slots", "Task", "Writer", "answer_of", "numbers_of", "prompt_of", "write_number"]

Ids = Sequence[int] | Int[np.ndarray, " n"]
"""Token numbers as a verifier takes them; padding behind a prompt is ignored."""


class Slots(NamedTuple):
    """Documents before packing: a column of places each of which may stay empty.

    Attributes:
      tokens: token of each place, 0 where a document leaves it out.
      answers: whether a place belongs to the answer: the same for all documents.
    """

    tokens: UInt8[Any, "slots documents"]
    answers: Bool[np.ndarray, " slots"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(abc.ABC):
    """One family of questions: how big its world is, how it is asked, when an answer is right.

    A prompt is `bos question :`, an answer ends with `eos`; both are lists of token numbers.
    Every answer that `sample` writes is accepted by `check`.
    """

    name: ClassVar[str]  # what users type; also the prefix of question names
    smooth: ClassVar[bool] = True  # whether its NLL falls as a power law of N and D, not in steps
    world: int = 0  # names the facts that training and evaluation share

    @abc.abstractmethod
    def sample(self, stream: Stream, *, long: bool = False) -> Slots:
        """Documents, one for each element of the stream.

        Args:
          stream: random words; its `xp` is NumPy or jax.numpy, and both give the same bits.
          long: only the documents with the longest answers, a rare part of the training text.
        """

    @abc.abstractmethod
    def check(self, prompt: Ids, answer: Ids) -> bool:
        """Whether an answer is right, from the prompt and the world alone; false without eos."""

    @abc.abstractmethod
    def accepted(self, prompt: Ids) -> list[list[int]]:
        """Every answer that `check` accepts, each ending with eos."""

    @abc.abstractmethod
    def difficulty(self, prompt: Ids) -> int:
        """How hard a question is among those of its task."""


class Writer:
    """Writes documents place by place; `answer` turns from the question to the answer."""

    def __init__(self, stream: Stream):
        self.xp, self._size = stream.xp, stream.size
        self._columns: list[Any] = []
        self._answers: list[bool] = []
        self._answering = False
        self.word(tokens.BOS)

    def word(self, token: Any, when: Any = True) -> None:
        """One token, in the documents where `when` holds."""
        xp = self.xp
        if isinstance(token, int):
            token = np.uint8(token)
        else:
            token = token.astype(xp.uint8)
        if when is not True:
            # a product with a mask: many times faster than `where` in NumPy
            token = when.astype(xp.uint8) * token
        self._columns.append(token)
        self._answers.append(self._answering)

    def number(self, value: Any, digits: int, when: Any = True) -> None:
        """A number from 0 to 10^digits - 1, most significant digit first, no leading zeros."""
        if self.xp is not np:
            # all digits in one array operation: a tenth of the program to compile
            powers = 10 ** np.arange(digits - 1, -1, -1, dtype=np.int32)[:, None]
            rest = value[None] // powers
            shown = (rest > 0) | (powers == 1)
            shown = shown if when is True else shown & when[None]
            self._block((rest % 10 + np.int32(tokens.DIGIT)), shown)
            return
        for place in range(digits - 1, -1, -1):
            # NumPy divides by a scalar several times faster than by an array
            rest = value // np.int32(10**place) if place else value
            shown = when
            if place:
                shown = (rest > 0) if when is True else when & (rest > 0)
            last = rest % np.int32(10) if place < digits - 1 else rest
            self.word(last + np.int32(tokens.DIGIT), shown)

    def _block(self, words: Any, shown: Any) -> None:
        """Several places at once: words and where they stand are [places, documents]."""
        self._columns.append(words.astype(self.xp.uint8) * shown.astype(self.xp.uint8))
        self._answers += [self._answering] * len(words)

    def name(self, code: Any, length: int, when: Any = True) -> None:
        """A name of so many syllables, from a number below 64^length."""
        for place in range(length - 1, -1, -1):
            syllable = code >> np.int32(6 * place) & np.int32(63)
            self.word(syllable + np.int32(tokens.SYLLABLE), when)

    def answer(self) -> None:
        """Writes `:`; what follows is the answer."""
        self.word(tokens.ANSWER)
        self._answering = True

    def done(self) -> Slots:
        """Writes `eos` and hands over the documents."""
        self.word(tokens.EOS)
        if self.xp is np:
            out = np.empty((len(self._columns), self._size), np.uint8)
            for place, column in enumerate(self._columns):
                out[place] = column
        else:
            rows = [self.xp.atleast_2d(column) for column in self._columns]
            out = self.xp.concatenate(
                [self.xp.broadcast_to(row, (len(row), self._size)) for row in rows]
            )
        return Slots(out, np.asarray(self._answers))


def prompt_of(ids: Ids) -> list[int] | None:
    """What stands between `bos` and `:`, or None when that is not the shape of the prompt."""
    words = [int(token) for token in ids if token != tokens.PAD]
    if len(words) < 2 or words[0] != tokens.BOS or words[-1] != tokens.ANSWER:
        return None
    return words[1:-1]


def answer_of(ids: Ids) -> list[int] | None:
    """What stands before the first `eos`, or None when there is none."""
    words = [int(token) for token in ids]
    return words[: words.index(tokens.EOS)] if tokens.EOS in words else None


def numbers_of(words: Sequence[int], separators: Sequence[int]) -> list[int] | None:
    """The numbers between separators, which must come in this order; None when ill-formed.

    A number has at least one digit and no leading zero.
    """
    found, rest = [], list(words)
    for separator in (*separators, None):
        end = len(rest) if separator is None else -1
        if separator is not None and separator in rest:
            end = rest.index(separator)
        digits = [token - tokens.DIGIT for token in rest[: max(end, 0)]]
        wrong = any(not 0 <= digit <= 9 for digit in digits)
        if end < 1 or wrong or (digits[0] == 0 and len(digits) > 1):
            return None
        found.append(int("".join(map(str, digits))))
        rest = rest[end + 1 :]
    return found


def write_number(value: int) -> list[int]:
    """The digits of a number as tokens."""
    return [tokens.DIGIT + int(digit) for digit in str(value)]
