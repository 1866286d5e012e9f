"""A progress bar for host-level loops (floor 0): only on a terminal, only past two seconds."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

__all__ = ["track"]

T = TypeVar("T")


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
    stream = sys.stderr if stream is None else stream
    if not isinstance(items, Sized) or not (show and stream.isatty()):
        yield from items
        return
    total, begun, drawn = len(items), time.monotonic(), False
    for done, item in enumerate(items, start=1):
        yield item
        spent = time.monotonic() - begun
        if spent < 2.0 and not drawn:
            continue
        drawn = True
        filled = int(24 * done / total)
        left = spent / done * (total - done)
        bar = "=" * filled + " " * (24 - filled)
        stream.write(f"\r{title} [{bar}] {done}/{total}, {left:.0f} s left ")
        stream.flush()
    if drawn:
        stream.write("\r" + " " * (len(title) + 60) + "\r")
        stream.flush()
