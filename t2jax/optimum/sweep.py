"""Many optima by one compiled program: over draws and budgets, in blocks, on every device.

A block of cells (a draw and a budget each) has the same width and the same code whatever the
number of devices, so that more devices change the time and not a bit of the answer.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from t2jax._devices import at_once
from t2jax._progress import track
from t2jax.errors import InputError
from t2jax.laws import Law
from t2jax.optimum.box import Box
from t2jax.optimum.cell import solve_cell

__all__ = ["MEMORY", "solve_all"]

MEMORY = 2.0**30
"""Bytes that sweeps may take on the devices, unless told otherwise."""

_LANES = {"closed_form": 8192, "scan": 128, "descent": 64}
_WIDER = 64  # times as many on an accelerator, which is idle in blocks that fill a CPU
_CELL_BYTES = {"closed_form": 1200.0, "scan": 150_000.0, "descent": 150_000.0}


@functools.partial(
    jax.jit, static_argnames=("mesh", "method", "chinchilla", "integer", "runner_up")
)
def _program(law, box, cells, *, mesh, **options):
    budgets = len(box.train)

    def one(cell):
        own = jax.tree.map(lambda x: x[cell // budgets], law)
        return solve_cell(own, jax.tree.map(lambda x: x[cell % budgets], box), **options)

    # One block a device, on one device too: the same compiled code whatever their number.
    split = PartitionSpec("cells")
    return jax.shard_map(
        jax.vmap(one), mesh=mesh, in_specs=split, out_specs=split, check_vma=False
    )(cells)


def solve_all(
    law: Law, draws: int | None, box: Box, *, progress: bool, memory: float, **options: Any
) -> Any:
    """The results of `solve_cell` for every draw and budget.

    Args:
      law: one law, or one with a leading axis of draws.
      draws: their number, None for one law.
      box: budgets with one leading axis.
      progress: whether to draw a bar.
      memory: bytes that the sweep may take on the devices.
      options: static arguments of `solve_cell`.

    Returns:
      Pytree of NumPy arrays [draws * budgets], draws varying slowest.
    """
    if not memory > 0:
        raise InputError(f"memory = {memory!r} is no number of bytes", remedy="e.g. 2**30")
    if draws is None:
        law = jax.tree.map(lambda x: jnp.asarray(x, float)[None], law)
    law = jax.tree.map(lambda x: jnp.asarray(x, float), law)
    total = (draws or 1) * len(box.train)
    devices = jax.local_devices()
    method = options["method"]
    widest = at_once(_LANES[method], _WIDER * _LANES[method])
    lanes = min(widest, 1 << (total - 1).bit_length())
    mesh = Mesh(np.asarray(devices), ("cells",))
    size = lanes * len(devices)
    # Calls in flight: their results stay on the devices until they are collected.
    flight = max(1, int(memory / _CELL_BYTES[method] / size))
    waiting, parts = [], []
    for start in track(range(0, total, size), "optimum", show=progress):
        # One shape, one compiled program: what is too many is solved twice and dropped.
        cells = np.minimum(np.arange(start, start + size), total - 1)
        waiting.append(_program(law, box, jnp.asarray(cells), mesh=mesh, **options))
        if len(waiting) >= flight or start + size >= total:
            parts += [jax.tree.map(np.asarray, part) for part in waiting]
            waiting = []
    return jax.tree.map(lambda *x: np.concatenate(x)[:total], *parts)
