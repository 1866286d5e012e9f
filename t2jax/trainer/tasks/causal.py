"""Causes and effects: `ro bu then 2 : ma da then ki lo`, chains in a fixed random graph."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from t2jax.trainer import tokens
from t2jax.trainer.hashing import Stream, Zipf, fold, thresholds
from t2jax.trainer.tasks._task import Ids, Slots, Task, Writer, answer_of, prompt_of

__all__ = ["Causal"]

_EFFECTS = thresholds([0.75, 0.25])  # an event has a usual effect and a less usual one
_FACTOR, _SHIFT = 1237, 531


@dataclasses.dataclass(frozen=True, kw_only=True)
class Causal(Task):
    """A chain of so many effects after an event.

    Training chains follow the usual effect with probability 3/4, the other one with 1/4. Any
    chain whose every link is one of the two effects of the event before it is right: up to 2^n
    answers of n links. Events and effects are Zipf's.
    """

    name: ClassVar[str] = "causal"
    events: int = 2048  # in the graph
    links: tuple[float, ...] = (0.5, 0.3, 0.2)  # probability of chains of 1, 2, ... effects
    syllables: int = 2  # of the names of events

    def __post_init__(self):
        if self.events > self._names or len(self.links) > 9:
            raise ValueError(f"at most {self._names} events and 9 links, by names and digits")

    @property
    def _names(self) -> int:
        return tokens.N_SYLLABLES**self.syllables

    @functools.cached_property
    def _ranks(self) -> Zipf:
        return Zipf(self.events)

    def _effect(self, xp: Any, event: Any, which: Any) -> Any:
        """The event that follows another one."""
        return self._ranks.draw(Stream(xp, fold(2, self.world), event, which))

    def sample(self, stream: Stream, *, long: bool = False) -> Slots:
        """Documents; the long ones have the longest chains."""
        event = self._ranks.draw(stream)
        links = 1 + stream.choice(thresholds(self.links))
        if long:
            links = links * 0 + len(self.links)
        page = Writer(stream)
        page.name(self._code(event), self.syllables)
        page.word(tokens.THEN)
        page.word(links + tokens.DIGIT)
        page.answer()
        for place in range(1, len(self.links) + 1):
            event = self._effect(stream.xp, event, stream.choice(_EFFECTS))
            if place > 1:
                page.word(tokens.THEN, links >= place)
            page.name(self._code(event), self.syllables, links >= place)
        return page.done()

    def _code(self, event: Any) -> Any:
        return (event * _FACTOR + _SHIFT) % self._names

    def _event(self, words: Sequence[int]) -> int | None:
        """The event of a name, or None when nothing has that name."""
        code = 0
        for word in words:
            if word < tokens.SYLLABLE:
                return None
            code = code * tokens.N_SYLLABLES + word - tokens.SYLLABLE
        event = (code - _SHIFT) * pow(_FACTOR, -1, self._names) % self._names
        return event if len(words) == self.syllables and event < self.events else None

    def _effects(self, event: int) -> list[int]:
        """Both effects of an event."""
        pair = self._effect(np, np.full(2, event, np.int32), np.arange(2, dtype=np.int32))
        return [int(effect) for effect in pair]

    def _parse(self, prompt: Ids) -> tuple[int, int] | None:
        """First event and links of a question."""
        words = prompt_of(prompt)
        if words is None or len(words) != self.syllables + 2 or words[-2] != tokens.THEN:
            return None
        event, links = self._event(words[:-2]), words[-1] - tokens.DIGIT
        return (event, links) if event is not None and 1 <= links <= len(self.links) else None

    def accepted(self, prompt: Ids) -> list[list[int]]:
        """Every chain of effects of the right length."""
        question = self._parse(prompt)
        if question is None:
            return []
        event, links = question
        chains = [[event]]
        for _ in range(links):
            chains = [[*chain, effect] for chain in chains for effect in self._effects(chain[-1])]
        unique = sorted({tuple(chain[1:]) for chain in chains})
        return [[*self._write(chain), tokens.EOS] for chain in unique]

    def _write(self, chain: Sequence[int]) -> list[int]:
        words: list[int] = []
        for event in chain:
            code = self._code(event)
            places = range(self.syllables - 1, -1, -1)
            words += [tokens.THEN] if words else []
            words += [tokens.SYLLABLE + (code >> 6 * place & 63) for place in places]
        return words

    def check(self, prompt: Ids, answer: Ids) -> bool:
        """Whether each event of the chain is an effect of the one before it."""
        question, words = self._parse(prompt), answer_of(answer)
        if question is None or words is None:
            return False
        event, links = question
        step = self.syllables + 1
        if len(words) != links * step - 1 or any(
            word != tokens.THEN for word in words[self.syllables :: step]
        ):
            return False
        chain = [event]
        for start in range(0, len(words), step):
            following = self._event(words[start : start + self.syllables])
            if following is None:
                return False
            chain.append(following)
        return all(after in self._effects(before) for before, after in itertools.pairwise(chain))

    def difficulty(self, prompt: Ids) -> int:
        """Links of the chain."""
        question = self._parse(prompt)
        return question[1] if question else 0
