"""How much work a device takes at once, and a process may hold (floor 0)."""

import pathlib
import time

import jax

__all__ = ["at_once", "few_programs"]

_LIMIT = pathlib.Path("/proc/sys/vm/max_map_count")
_MAPS = pathlib.Path("/proc/self/maps")
_SHARE = 0.4  # of the maps allowed, at which programs are forgotten
_SECONDS = 1.0  # in which no process compiles enough to get from there to the end

_looked = 0.0


def at_once(cpu: int, accelerator: int) -> int:
    """How many of something one call does: few in a CPU's cache, many on an accelerator.

    >>> at_once(8, 8)
    8
    """
    return cpu if jax.default_backend() == "cpu" else accelerator


def few_programs() -> None:
    """Forget compiled programs before the operating system ends the process for them.

    XLA maps memory for every program that it compiles, and where a process has as many maps as
    Linux allows one, 65,530 as a rule, it dies inside the compiler. Programs that are needed
    again are compiled again.
    """
    global _looked
    now = time.monotonic()
    if now - _looked < _SECONDS:
        return
    _looked = now
    try:
        allowed, held = int(_LIMIT.read_bytes()), _MAPS.read_bytes().count(b"\n")
    except (OSError, ValueError):
        return
    if held > _SHARE * allowed:
        jax.clear_caches()
