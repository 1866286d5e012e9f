"""What is inside what: `bi in ka . ka in mo . where bi : ka mo`, links in any order."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from t2jax.trainer import tokens
from t2jax.trainer.hashing import Stream, Zipf, fold, thresholds
from t2jax.trainer.tasks._task import Ids, Slots, Task, Writer, answer_of, prompt_of

__all__ = ["Spatial"]

_EXTRA = thresholds([0.4, 0.4, 0.2])  # links of the chain that is not asked about: 0, 1 or 2
_MOST_EXTRA = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spatial(Task):
    """The whole path outwards from an object, which is in the text among other links.

    Objects live on levels, and what is inside what is mostly as usual in this world: a model may
    guess before it can follow the text. Half of the texts are in order, half are shuffled.
    """

    name: ClassVar[str] = "spatial"
    links: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)  # probability of paths of 1, 2, ... links
    usual: float = 0.6  # probability that a container is the usual one of the world

    def __post_init__(self):
        if self._per_level < 3 or len(self.links) + _MOST_EXTRA > 16:
            raise ValueError("64 objects do not fill so many levels: use at most 14 links")

    @property
    def _levels(self) -> int:
        return len(self.links) + 1

    @property
    def _per_level(self) -> int:
        return tokens.N_SYLLABLES // self._levels

    @functools.cached_property
    def _objects(self) -> Zipf:
        return Zipf(self._per_level)

    @functools.cached_property
    def _usual(self) -> np.ndarray:
        """The usual container, on the next level, of each object of each level."""
        size = self._levels * self._per_level
        return self._objects.draw(Stream(np, fold(3, self.world), np.arange(size, dtype=np.uint32)))

    def _chain(self, stream: Stream) -> list[Any]:
        """One object of every level, each probably the usual container of the one before."""
        xp, usual = stream.xp, stream.xp.asarray(self._usual)
        chain = [self._objects.draw(stream)]
        for level in range(1, self._levels):
            other = self._objects.draw(stream)
            is_usual = stream.choice(thresholds([1 - self.usual, self.usual])) > 0
            expected = usual[chain[-1] + (level - 1) * self._per_level]
            chain.append(xp.where(is_usual, expected, other))
        return chain

    def sample(self, stream: Stream, *, long: bool = False) -> Slots:
        """Documents; the long ones have the longest paths."""
        xp, most = stream.xp, len(self.links)
        path, side = self._chain(stream), self._chain(stream)
        links = 1 + stream.choice(thresholds(self.links))
        if long:
            links = links * 0 + most
        extra = xp.minimum(stream.choice(_EXTRA), links)
        bottom = stream.below(self._levels - links)
        shift = 1 + stream.below(self._per_level - 1)
        side = [
            xp.where(other == this, (other + shift) % self._per_level, other)
            for this, other in zip(path, side, strict=True)
        ]
        # the number of an object is also its syllable
        path, side = (
            xp.stack([chain[level] + level * self._per_level for level in range(self._levels)])
            for chain in (path, side)
        )
        shuffled = stream.below(2) > 0
        rows = xp.arange(stream.size)

        def at(chain, level):
            return chain[xp.minimum(level, self._levels - 1), rows]

        inner, outer, keys = [], [], []
        for place in range(most + _MOST_EXTRA):
            if place < most:
                chain, level, used = path, bottom + place, links > place
            else:
                chain, level = side, bottom + links - extra + (place - most)
                used = extra > place - most
            inner.append(at(chain, level))
            outer.append(at(chain, level + 1))
            # the place in the low bits makes all keys distinct; unused links go last
            order = (stream.words() >> np.uint32(5)) * shuffled.astype(xp.uint32)
            key = (order << np.uint32(4)) | np.uint32(place)
            keys.append(key | ((~used).astype(xp.uint32) << np.uint32(31)))
        order = xp.sort(xp.stack(keys, 1), axis=1)
        picked = (order & np.uint32(15)).astype(xp.int32)
        inner, outer = xp.stack(inner), xp.stack(outer)
        page = Writer(stream)
        for place in range(most + _MOST_EXTRA):
            used = order[:, place] < np.uint32(1 << 31)
            page.word(inner[picked[:, place], rows] + tokens.SYLLABLE, used)
            page.word(tokens.IN, used)
            page.word(outer[picked[:, place], rows] + tokens.SYLLABLE, used)
            page.word(tokens.DOT, used)
        page.word(tokens.WHERE)
        page.word(at(path, bottom) + tokens.SYLLABLE)
        page.answer()
        for place in range(1, most + 1):
            page.word(at(path, bottom + place) + tokens.SYLLABLE, links >= place)
        return page.done()

    def _path(self, prompt: Ids) -> list[int] | None:
        """The path outwards that the text of a question tells."""
        words = prompt_of(prompt)
        if words is None or len(words) < 6 or len(words) % 4 != 2 or words[-2] != tokens.WHERE:
            return None
        container: dict[int, int] = {}
        for start in range(0, len(words) - 2, 4):
            inner, verb, outer, stop = words[start : start + 4]
            if (verb, stop) != (tokens.IN, tokens.DOT) or inner in container:
                return None
            container[inner] = outer
        path, place = [], words[-1]
        while place in container and len(path) <= len(container):
            place = container[place]
            path.append(place)
        return path or None

    def accepted(self, prompt: Ids) -> list[list[int]]:
        """The one answer: the containers from the innermost to the outermost."""
        path = self._path(prompt)
        return [[*path, tokens.EOS]] if path else []

    def check(self, prompt: Ids, answer: Ids) -> bool:
        """Whether the path is the one that the text tells."""
        path = self._path(prompt)
        return path is not None and answer_of(answer) == path

    def difficulty(self, prompt: Ids) -> int:
        """Links of the path, times ten, and the links in the text beside it."""
        path, words = self._path(prompt), prompt_of(prompt)
        if path is None or words is None:
            return 0
        return 9 * len(path) + words.count(tokens.IN)
