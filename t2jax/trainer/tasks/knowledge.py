"""Recall: `capital ro bu : ma da`, facts of a world, asked as often as Zipf's law says."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from t2jax.trainer import tokens
from t2jax.trainer.hashing import Stream, Zipf, fold, thresholds
from t2jax.trainer.tasks._task import Ids, Slots, Task, Writer, answer_of, prompt_of

__all__ = ["Knowledge"]

_ASKED = thresholds([0.7, 0.2, 0.1])  # relations asked for at once: 1, 2 or 3
_MOST = 3
_SYLLABLES = Zipf(tokens.N_SYLLABLES)
_FACTOR, _SHIFT = 2741, 977  # spreads entity numbers over the names, one to one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knowledge(Task):
    """Values of one to three relations of an entity, separated by commas.

    The frequency of a fact is Zipf's, so that every doubling of model or data brings as many new
    facts within reach. Syllables of values are Zipf's too, in an order that belongs to the
    relation: partial credit before a fact is known.
    """

    name: ClassVar[str] = "knowledge"
    facts: int = 32_768  # facts that may be the first one asked for
    syllables: int = 2  # of the names of entities and values

    def __post_init__(self):
        if self.facts > tokens.N_RELATIONS * self._names:
            raise ValueError(f"{self.syllables} syllables name {self._names} entities only")

    @property
    def _names(self) -> int:
        return tokens.N_SYLLABLES**self.syllables

    @functools.cached_property
    def _ranks(self) -> Zipf:
        return Zipf(self.facts)

    def _value(self, xp: Any, entity: Any, relation: Any) -> list[Any]:
        """The syllables of a fact's value."""
        fact = Stream(xp, fold(1, self.world), entity, relation)
        return [
            (_SYLLABLES.draw(fact) * 37 + relation * 11 + place * 23) % tokens.N_SYLLABLES
            + tokens.SYLLABLE
            for place in range(self.syllables)
        ]

    def sample(self, stream: Stream, *, long: bool = False) -> Slots:
        """Documents; the long ones ask for three relations at once."""
        rank = self._ranks.draw(stream)
        asked = stream.choice(_ASKED) * 0 + _MOST - 1 if long else stream.choice(_ASKED)
        entity, first = rank // tokens.N_RELATIONS, rank % tokens.N_RELATIONS
        relations = [(first + place) % tokens.N_RELATIONS for place in range(_MOST)]
        page = Writer(stream)
        for place, relation in enumerate(relations):
            page.word(relation + tokens.RELATION, asked >= place)
        # uint32: the product passes 2^31 in the large world
        spread = entity.astype(stream.xp.uint32) * np.uint32(_FACTOR) + np.uint32(_SHIFT)
        page.name((spread % np.uint32(self._names)).astype(stream.xp.int32), length=self.syllables)
        page.answer()
        for place, relation in enumerate(relations):
            when = asked >= place
            if place:
                page.word(tokens.COMMA, when)
            for syllable in self._value(stream.xp, entity, relation):
                page.word(syllable, when)
        return page.done()

    def _parse(self, prompt: Ids) -> tuple[int, list[int]] | None:
        """Entity and relations of a question."""
        words = prompt_of(prompt)
        if words is None or not 1 <= len(words) - self.syllables <= _MOST:
            return None
        relations = [word - tokens.RELATION for word in words[: -self.syllables]]
        code = 0
        for word in words[-self.syllables :]:
            if word < tokens.SYLLABLE:
                return None
            code = code * tokens.N_SYLLABLES + word - tokens.SYLLABLE
        entity = (code - _SHIFT) * pow(_FACTOR, -1, self._names) % self._names
        if any(not 0 <= relation < tokens.N_RELATIONS for relation in relations):
            return None
        return entity, relations

    def accepted(self, prompt: Ids) -> list[list[int]]:
        """The one answer: the facts of the world."""
        question = self._parse(prompt)
        if question is None:
            return []
        entity, relations = question
        words: list[int] = []
        for relation in relations:
            fact = (np.asarray([entity], np.uint32), np.asarray([relation], np.int32))
            words += [tokens.COMMA] if words else []
            words += [int(syllable[0]) for syllable in self._value(np, *fact)]
        return [[*words, tokens.EOS]]

    def check(self, prompt: Ids, answer: Ids) -> bool:
        """Whether every value is that of the world."""
        words = answer_of(answer)
        return words is not None and [*words, tokens.EOS] in self.accepted(prompt)

    def difficulty(self, prompt: Ids) -> int:
        """Doublings of the frequency rank of the first fact: 0 for the commonest."""
        question = self._parse(prompt)
        if question is None:
            return 0
        return (question[0] * tokens.N_RELATIONS + question[1][0] + 1).bit_length() - 1
