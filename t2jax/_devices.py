"""How much work a device takes at once (floor 0)."""

import jax

__all__ = ["at_once"]


def at_once(cpu: int, accelerator: int) -> int:
    """How many of something one call does: few in a CPU's cache, many on an accelerator.

    >>> at_once(8, 8)
    8
    """
    return cpu if jax.default_backend() == "cpu" else accelerator
