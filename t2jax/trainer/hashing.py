"""Random numbers as a pure function of where they are used: same bits in NumPy and jax.numpy.

A `Stream` is named by a key and counters (row, place in the row); it has no other state, so any
process can make any row. Everything on the decision path is an unsigned 32-bit integer: no
rounding can tell the two backends apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt32

__all__ = ["Stream", "Zipf", "fold", "permute", "thresholds"]

_WORD = 0xFFFFFFFF
_GOLDEN = 0x9E3779B1
_SECOND = 0x85EBCA77
_FINE = 8  # buckets per doubling in `Zipf`: neighbours in a bucket differ by at most 9%
_EXACT = 64  # below this every integer of `Zipf` has a bucket of its own


def _mix(x: Any) -> Any:
    """A bijection of 32-bit words without visible structure; overwrites a NumPy argument."""
    if isinstance(x, int):
        x = (x ^ (x >> 16)) * 0x21F0AAAD & _WORD
        x = (x ^ (x >> 15)) * 0x735A2D97 & _WORD
        return x ^ (x >> 15)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x21F0AAAD)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x735A2D97)
    x ^= x >> np.uint32(15)
    return x


def _absorb(state: Any, counter: Any, factor: int) -> Any:
    """The state after one more counter; integers and arrays of words may be mixed freely."""
    if isinstance(counter, int):
        step = (counter * factor + 1) & _WORD
        return _mix(state + step & _WORD) if isinstance(state, int) else _mix(state + _word(step))
    step = counter * _word(factor) + np.uint32(1)
    return _mix(step + (_word(state) if isinstance(state, int) else state))


def _word(value: int) -> np.uint32:
    return np.uint32(value & _WORD)


def fold(*numbers: int) -> int:
    """One 32-bit key from several integers.

    >>> fold(0, 1) == fold(1, 0)
    False
    """
    state = 0x6A09E667
    for number in numbers:
        if number < 0:
            raise ValueError(f"a key is made of integers from 0, not {number}")
        state = _absorb(state, number & _WORD, _GOLDEN)
        if number >> 32:
            state = _absorb(state, number >> 32, _SECOND)
    return state


def thresholds(weights: Sequence[float] | np.ndarray) -> UInt32[np.ndarray, " n-1"]:
    """Where a uniform 31-bit word changes its choice, for `Stream.choice`.

    >>> thresholds([3, 1]).tolist()
    [1610612736]
    """
    cumulative = np.cumsum(np.asarray(weights, np.float64))
    return np.floor(cumulative[:-1] / cumulative[-1] * 2.0**31).astype(np.uint32)


class Stream:
    """Independent uniform words for every element of the counters; each call draws a fresh one.

    `word_j = mix((a + j G) ^ (2 j + 1) b)`, with the two words a, b mixed from key and counters.

    Args:
      xp: `numpy` or `jax.numpy`.
      key: what the numbers are for; see `fold`. A traced 32-bit word serves as well.
      counters: integers or uint32 arrays of one shape, at least one array of one dimension.

    >>> import numpy as np
    >>> Stream(np, 7, np.arange(4, dtype=np.uint32)).below(10).tolist()
    [6, 8, 8, 0]
    """

    def __init__(self, xp: Any, key: Any, *counters: Any):
        self.xp, self._draws = xp, 0
        second = key + _SECOND & _WORD if isinstance(key, int) else key + _word(_SECOND)
        a, b = _mix(key & _WORD if isinstance(key, int) else key), _mix(second)
        for counter in counters:
            if not isinstance(counter, int):
                # a copy: _mix works in place
                counter = xp.asarray(counter).astype(xp.uint32)
            a, b = _absorb(a, counter, _GOLDEN), _absorb(b, counter, _SECOND)
        self._a, self._b = a, b

    @property
    def size(self) -> int:
        """Elements of the counters."""
        return self._a.shape[0]

    def words(self) -> UInt32[Any, " n"]:
        """Uniform 32-bit words."""
        self._draws += 1
        j = self._draws
        return _mix((self._a + _word(j * _GOLDEN)) ^ (self._b * _word(2 * j + 1)))

    def below(self, bound: Any) -> Int[Any, " n"]:
        """Uniform integers from 0 to bound - 1: `floor(word bound / 2^32)`, bound up to 2^31."""
        word = self.words()
        low, high = word & np.uint32(0xFFFF), word >> np.uint32(16)
        if isinstance(bound, int):
            if bound <= 1 << 16:
                n = _word(bound)
                return ((high * n + (low * n >> np.uint32(16))) >> np.uint32(16)).astype(
                    self.xp.int32
                )
            bound = _word(bound)
        else:
            bound = bound.astype(self.xp.uint32)
        n_low, n_high = bound & np.uint32(0xFFFF), bound >> np.uint32(16)
        cross, other = high * n_low, low * n_high
        carry = (low * n_low >> np.uint32(16)) + (cross & np.uint32(0xFFFF))
        carry = carry + (other & np.uint32(0xFFFF))
        whole = high * n_high + (cross >> np.uint32(16)) + (other >> np.uint32(16))
        return (whole + (carry >> np.uint32(16))).astype(self.xp.int32)

    def choice(self, limits: UInt32[np.ndarray, " m"]) -> Int[Any, " n"]:
        """Indices 0 to m with the probabilities behind `thresholds`."""
        # 31 bits, so that a limit can lie beyond them all: a weight of 0 is never chosen
        word = self.words() >> np.uint32(1)
        if len(limits) <= 8:
            picked = self.xp.zeros(word.shape, self.xp.int32)
            for limit in limits:
                picked = picked + (word >= limit)
            return picked
        if self.xp is np:
            return np.searchsorted(limits, word, side="right").astype(np.int32)
        # every limit at once: a search would be a chain of dependent gathers on an accelerator
        return (word[:, None] >= self.xp.asarray(limits)).sum(1, dtype=self.xp.int32)


class Zipf:
    """Integers from start to stop - 1, the integer v with probability ~ (v + 1)^-exponent.

    Zipf's law for ranks, and (nearly) log-uniform magnitudes for numbers. From 64 on, integers
    share narrow buckets, so that a million of them need a table of two hundred.

    Args:
      stop: one more than the largest integer.
      start: the smallest integer.
      exponent: 1 gives every doubling the same weight, more than 1 favours small integers.

    >>> round(float(Zipf(1000).probabilities[0]), 3)
    0.134
    """

    def __init__(self, stop: int, start: int = 0, exponent: float = 1.0):
        edges = list(range(start, min(stop, _EXACT) + 1))
        edges = edges or [start]
        while edges[-1] < stop:
            edges.append(min(stop, max(edges[-1] + 1, int(edges[-1] * 2 ** (1 / _FINE)))))
        self.starts = np.asarray(edges[:-1], np.int32)
        self.widths = np.diff(edges).astype(np.int32)
        law = np.arange(start + 1, stop + 1, dtype=np.float64) ** -exponent
        weights = np.add.reduceat(law, self.starts - start)
        self.limits = thresholds(weights)
        self.probabilities = np.repeat(weights / weights.sum() / self.widths, self.widths)

    def draw(self, stream: Stream) -> Int[Any, " n"]:
        """One integer for every element of the stream."""
        bucket = stream.choice(self.limits)
        starts = stream.xp.asarray(self.starts)[bucket]
        if self.widths.max() == 1:
            return starts
        return starts + stream.below(stream.xp.asarray(self.widths)[bucket])


def permute(key: int, index: Int[np.ndarray, " n"], size: int) -> Int[np.ndarray, " n"]:
    """A bijection of 0 to size - 1, chosen by the key: a shuffle that needs no table.

    A four-round Feistel network on the next power of four, walked until it lands inside.

    >>> import numpy as np
    >>> sorted(permute(3, np.arange(5), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    shift = np.uint64(half)
    value = np.asarray(index).astype(np.uint64)
    outside = np.ones(value.shape, bool)
    while outside.any():
        left, right = value[outside] >> shift, value[outside] & mask
        for turn in range(4):
            word = _absorb(_mix(key + turn & _WORD), right.astype(np.uint32), _GOLDEN)
            left, right = right, (left ^ word.astype(np.uint64)) & mask
        value[outside] = (left << shift) | right
        outside = value >= np.uint64(size)
    return value.astype(np.int64)
