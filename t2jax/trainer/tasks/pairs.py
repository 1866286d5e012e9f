"""Any pair that sums to a number: `sum 4 3 7 from 1 2 0 : 1 3 3 + 3 0 4`, many right answers."""

import dataclasses
import functools
from typing import ClassVar

import numpy as np

from t2jax.trainer import tokens
from t2jax.trainer.hashing import Stream, Zipf
from t2jax.trainer.tasks._task import (
    Ids,
    Slots,
    Task,
    Writer,
    answer_of,
    numbers_of,
    prompt_of,
    write_number,
)

__all__ = ["Pairs"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs(Task):
    """Two numbers with a given sum, the first at most `spread` above a given one.

    `first + second = total` and `least <= first <= min(total, least + spread)`. Training shows
    one of the pairs at random; the verifier takes any, so that a sample is more than a check.
    """

    name: ClassVar[str] = "pairs"
    smooth: ClassVar[bool] = False  # when it is learnt is luck of the seed
    digits: int = 3  # of the total
    spread: int = 15  # there are at most spread + 1 right answers

    @functools.cached_property
    def _totals(self) -> tuple[Zipf, Zipf]:
        return Zipf(10**self.digits), Zipf(10**self.digits, start=10 ** (self.digits - 1))

    def sample(self, stream: Stream, *, long: bool = False) -> Slots:
        """Documents; the long ones have totals of the most digits."""
        xp, spread = stream.xp, np.int32(self.spread)
        total = self._totals[long].draw(stream)
        least = stream.below(xp.maximum(total - spread, 0) + 1)
        first = least + stream.below(xp.minimum(total - least, spread) + 1)
        page = Writer(stream)
        page.word(tokens.SUM)
        page.number(total, self.digits)
        page.word(tokens.FROM)
        page.number(least, self.digits)
        page.answer()
        page.number(first, self.digits)
        page.word(tokens.PLUS)
        page.number(total - first, self.digits)
        return page.done()

    def _parse(self, prompt: Ids) -> tuple[int, int] | None:
        """Total and least first number of a question."""
        words = prompt_of(prompt)
        if not words or words[0] != tokens.SUM:
            return None
        numbers = numbers_of(words[1:], [tokens.FROM])
        return (numbers[0], numbers[1]) if numbers and numbers[1] <= numbers[0] else None

    def accepted(self, prompt: Ids) -> list[list[int]]:
        """Every pair."""
        question = self._parse(prompt)
        if question is None:
            return []
        total, least = question
        return [
            [*write_number(first), tokens.PLUS, *write_number(total - first), tokens.EOS]
            for first in range(least, min(total, least + self.spread) + 1)
        ]

    def check(self, prompt: Ids, answer: Ids) -> bool:
        """Whether the two numbers have the sum and the first is in its range."""
        question, words = self._parse(prompt), answer_of(answer)
        pair = None if words is None else numbers_of(words, [tokens.PLUS])
        if question is None or pair is None:
            return False
        total, least = question
        return sum(pair) == total and least <= pair[0] <= least + self.spread

    def difficulty(self, prompt: Ids) -> int:
        """Digits of the total."""
        question = self._parse(prompt)
        return len(str(question[0])) if question else 0
