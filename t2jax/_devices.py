"""How much work a device takes at once, and a process may hold (floor 0)."""

import contextlib
import ctypes
import mmap
import pathlib
import time

import jax

__all__ = ["at_once", "few_programs"]

_LIMIT = pathlib.Path("/proc/sys/vm/max_map_count")
_MAPS = pathlib.Path("/proc/self/maps")
_PAGES = pathlib.Path("/proc/self/statm")
_SHARE = 0.4  # of the maps allowed, at which programs are forgotten
_GROWTH = 2 << 30  # bytes since they were forgotten, at which they are again
_SECONDS = 1.0  # in which no process compiles enough to get from there to the end

_looked = 0.0
_least = 1 << 62


def at_once(cpu: int, accelerator: int) -> int:
    """How many of something one call does: few in a CPU's cache, many on an accelerator.

    >>> at_once(8, 8)
    8
    """
    return cpu if jax.default_backend() == "cpu" else accelerator


def few_programs() -> None:
    """Forget compiled programs before the operating system ends the process for them.

    XLA maps memory for every program that it compiles, and where a process has as many maps as
    Linux allows one, 65,530 as a rule, it dies inside the compiler; and programs of many tables
    take gigabytes. What the process grew by is taken for programs, data too. Programs that are
    needed again are compiled again.
    """
    global _looked, _least
    now = time.monotonic()
    if now - _looked < _SECONDS:
        return
    _looked = now
    try:
        allowed, held = int(_LIMIT.read_bytes()), _MAPS.read_bytes().count(b"\n")
        resident = _resident()
    except (OSError, ValueError, IndexError):
        return
    _least = min(_least, resident)
    if held > _SHARE * allowed or resident - _least > _GROWTH:
        jax.clear_caches()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what was freed
        _least = _resident()


def _resident() -> int:
    return mmap.PAGESIZE * int(_PAGES.read_bytes().split()[1])
