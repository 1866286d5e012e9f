"""Progress of host-level loops (floor 0): a bar on a terminal, only past two seconds.

A command whose standard error is a file or a pipe tells it in plain lines, now and then.
"""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

__all__ = ["Meter", "plain_line", "tell_plainly", "track"]

T = TypeVar("T")


_APART = 3.0  # seconds between two plain lines


class _Plain:
    """Whether progress is told in plain lines, and when it was last."""

    on = False
    told = -math.inf


def tell_plainly() -> None:
    """Tell progress in plain lines where there is no terminal: for commands, not for libraries."""
    _Plain.on = True


def plain_line(text: str) -> None:
    """A line of progress, unless nobody asked for one or the last was a moment ago."""
    now = time.monotonic()
    if _Plain.on and now - _Plain.told >= _APART:
        _Plain.told = now
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class Meter:
    """A bar that is told how much of a job is done, and draws the remaining time.

    Args:
      total: the whole job.
      title: a word or two in front of the bar.
      show: False keeps it quiet.
      stream: where to draw; standard error unless given.

    >>> meter = Meter(2, "adding", show=False)
    >>> meter.to(1)
    >>> meter.close()
    """

    def __init__(self, total: float, title: str, *, show: bool = True, stream=None):
        self._stream = sys.stderr if stream is None else stream
        self._total, self._title = total, title
        self._show = show and total > 0
        self._bar = self._stream.isatty()
        self._begun, self._told, self._drawn = time.monotonic(), 0.0, False

    def to(self, done: float) -> None:
        """So much of the total is done."""
        if not self._show:
            return
        spent = time.monotonic() - self._begun
        left = spent / done * (self._total - done) if done else 0.0
        if not self._bar:
            if spent > _APART and 1 < done < self._total:  # the first has compiled
                plain_line(f"{self._title} {self._count(done)}, {left:.0f} s left")
            return
        # Ten drawings a second are enough: a file of small lines would spend its time on them.
        if (spent < 2.0 and not self._drawn) or spent - self._told < 0.1:
            return
        self._told, self._drawn = spent, True
        filled = int(24 * done / self._total)
        bar = "=" * filled + " " * (24 - filled)
        self._stream.write(f"\r{self._title} [{bar}] {self._count(done)}, {left:.0f} s left ")
        self._stream.flush()

    def _count(self, done: float) -> str:
        if self._total < 1e6:
            return f"{done:.0f}/{self._total:.0f}"
        return f"{done / self._total:.0%}"

    def close(self) -> None:
        """Wipe the bar."""
        if self._drawn:
            self._stream.write("\r" + " " * (len(self._title) + 60) + "\r")
            self._stream.flush()


def track(items: Iterable[T], title: str, *, show: bool = True, stream=None) -> Iterator[T]:
    """Yield the items and draw a bar with the remaining time.

    Args:
      items: what to go through, with a length.
      title: a word or two in front of the bar.
      show: False keeps it quiet.
      stream: where to draw; standard error unless given.

    Yields:
      The items, unchanged.

    >>> list(track([1, 2], "adding", show=False))
    [1, 2]
    """
    meter = Meter(len(items) if isinstance(items, Sized) else 0, title, show=show, stream=stream)
    for done, item in enumerate(items, start=1):
        yield item
        meter.to(done)
    meter.close()
