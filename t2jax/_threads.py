"""Calls of compiled programs on every core of a CPU (floor 0)."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import jax

from t2jax._precision import in_mode, is_double

__all__ = ["cores", "side_by_side"]

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(call: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`call(item)` for every item, in their order, as many at once as a CPU has cores.

    A program of small arrays keeps one core busy. The first call is made alone, so that what all
    of them need is compiled once. An accelerator is given one call after the other.

    >>> list(side_by_side(lambda x: 2 * x, [1, 2, 3]))
    [2, 4, 6]
    """
    mode = is_double()

    def alike(item: T) -> R:
        with in_mode(mode):  # a thread begins in the mode of the process, not of its maker
            return call(item)

    at_once = cores() if jax.default_backend() == "cpu" else 1
    alone = items if at_once == 1 else items[:1]
    yield from map(call, alone)
    if len(alone) == len(items):
        return
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="t2jax")
    try:
        yield from pool.map(alike, items[1:])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no such question on this system
        return os.cpu_count() or 1
