"""Sums with their work shown: `1 2 + 7 - 4 : 1 9 = 1 5`, numbers of every magnitude."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from t2jax.trainer import tokens
from t2jax.trainer.hashing import Stream, Zipf, thresholds
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

__all__ = ["Arithmetic"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arithmetic(Task):
    """Additions and subtractions from left to right; the answer holds every running value.

    Operands follow a power law: small sums are met again and again, large ones hardly twice.
    Subtractions stay at or above zero. A share of the documents is long: few, large operands.
    """

    name: ClassVar[str] = "arithmetic"
    smooth: ClassVar[bool] = False  # sums are learnt in a step
    operators: tuple[float, ...] = (0.45, 0.3, 0.15, 0.1)  # probability of 1, 2, ... operators
    digits: int = 3  # of operands
    exponent: float = 1.3  # of the law of operands: how much commoner small ones are
    long_operators: int = 1  # of long documents
    long_digits: tuple[int, int] = (4, 6)  # fewest and most digits of operands of long documents
    long_share: float = 0.1  # of training documents

    @functools.cached_property
    def _operands(self) -> tuple[Zipf, Zipf]:
        fewest, most = self.long_digits
        small = Zipf(10**self.digits, exponent=self.exponent)
        return small, Zipf(10**most, start=10 ** (fewest - 1))

    def sample(self, stream: Stream, *, long: bool = False) -> Slots:
        """Documents; the long ones have large operands."""
        xp = stream.xp
        short_operand, long_operand = self._operands
        is_long = stream.choice(thresholds([1 - self.long_share, self.long_share])) > 0
        count = 1 + stream.choice(thresholds(self.operators))
        signs = stream.words()
        if long:
            is_long = is_long | True
        count = xp.where(is_long, np.int32(self.long_operators), count)

        def operand(place: int) -> tuple[Any, int]:
            value = short_operand.draw(stream)
            if place > self.long_operators:
                return value, self.digits
            large = long_operand.draw(stream)
            return xp.where(is_long, large, value), max(self.long_digits[1], self.digits)

        page = Writer(stream)
        value, width = operand(0)
        page.number(value, width)
        steps = []
        for place in range(1, max(len(self.operators), self.long_operators) + 1):
            active = count >= place
            other, width = operand(place)
            minus = ((signs >> np.uint32(place)) & np.uint32(1)).astype(bool) & (value >= other)
            page.word(np.int32(tokens.PLUS) + minus.astype(xp.int32), active)
            page.number(other, width, active)
            value = value + xp.where(minus, -other, other)
            # place + 1 operands below 10^width sum to one digit more, up to ten of them
            steps.append((value, width + 1, active))
        page.answer()
        for place, (value, width, active) in enumerate(steps):
            if place:
                page.word(tokens.EQUALS, active)
            page.number(value, width, active)
        return page.done()

    def _running(self, prompt: Ids) -> list[int] | None:
        """The running values that a question asks for."""
        words = prompt_of(prompt)
        if words is None:
            return None
        signs = [word for word in words if word in (tokens.PLUS, tokens.MINUS)]
        numbers = numbers_of(words, signs)
        if not signs or numbers is None:
            return None
        values, value = [], numbers[0]
        for sign, number in zip(signs, numbers[1:], strict=True):
            value += number if sign == tokens.PLUS else -number
            values.append(value)
        return values if min(values) >= 0 else None

    def accepted(self, prompt: Ids) -> list[list[int]]:
        """The one answer: all running values."""
        words: list[int] = []
        for value in self._running(prompt) or []:
            words += [tokens.EQUALS] if words else []
            words += write_number(value)
        return [[*words, tokens.EOS]] if words else []

    def check(self, prompt: Ids, answer: Ids) -> bool:
        """Whether each running value is right."""
        words, wanted = answer_of(answer), self._running(prompt)
        if words is None or wanted is None:
            return False
        return numbers_of(words, [tokens.EQUALS] * (len(wanted) - 1)) == wanted

    def difficulty(self, prompt: Ids) -> int:
        """Digits of all operands together."""
        words = prompt_of(prompt) or []
        return sum(tokens.DIGIT <= word < tokens.DIGIT + 10 for word in words)
