"""Many optima by one compiled program: over draws and budgets, in blocks, on every device.

A block of cells (a draw and a budget each) has the same width and is solved by the program of one
device whatever their number: more devices change the time and not a bit of the answer. (One program
for all of them, `shard_map`, is optimised otherwise than that of one, and rounds otherwise.) Each
device that has a block compiles the program once.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._devices import at_once
from t2jax._precision import to_numpy
from t2jax._programs import program
from t2jax._progress import track
from t2jax._threads import side_by_side
from t2jax.errors import InputError, Status
from t2jax.laws import Law
from t2jax.planning.rivals.rules import chinchilla_choice
from t2jax.planning.solvers.best import Point, best_point
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.certify import Certified, certify
from t2jax.planning.solvers.objective import cost_of

__all__ = ["MEMORY", "solve_all"]

MEMORY = 2.0**30
"""Bytes that sweeps may take on the devices, unless told otherwise."""

_LANES = {"closed_form": 8192, "scan": 128, "descent": 64}
_LEAST = 128  # lanes at least, where a lane is cheap: few cells and many share one program
_WIDER = 64  # times as many on an accelerator, which is idle in blocks that fill a CPU
_CELL_BYTES = {"closed_form": 1200.0, "scan": 150_000.0, "descent": 150_000.0}


@functools.partial(program, static_argnames=("method", "chinchilla", "integer", "runner_up"))
def _program(law, box, **options):
    return jax.vmap(functools.partial(solve_one, **options))(law, box)


def solve_all(
    law: Law, n_draws: int | None, box: Box, *, progress: bool, memory: float, **options: Any
) -> Any:
    """The results of `solve_one` for every draw and budget.

    Args:
      law: one law, or one with a leading axis of draws.
      n_draws: their number, None for one law.
      box: budgets with one leading axis.
      progress: whether to draw a bar.
      memory: bytes that the sweep may take on the devices.
      options: static arguments of `solve_one`.

    Returns:
      Pytree of NumPy arrays [draws * budgets], draws varying slowest.
    """
    if not memory > 0:
        raise InputError(f"memory = {memory!r} is no number of bytes", remedy="e.g. 2**30")
    first = None if n_draws is None else ...
    law = jax.tree.map(lambda x: np.asarray(x, float)[first], law)
    budgets = len(box.train)
    total = (n_draws or 1) * budgets
    method = options["method"]
    widest = at_once(_LANES[method], _WIDER * _LANES[method])
    least = _LEAST if box.separate and not box.cost.stop_at_success else 1
    lanes = min(widest, max(least, 1 << (total - 1).bit_length()))
    # Calls in flight: their results stay on the devices until they are collected.
    flight = max(1, int(memory / _CELL_BYTES[method] / lanes))
    starts = range(0, total, lanes)
    devices = jax.local_devices()
    box = jax.tree.map(np.asarray, box)

    def launch(start: int) -> Any:
        # One shape, one compiled program: what is too many is solved twice and dropped.
        cells = np.minimum(np.arange(start, start + lanes), total - 1)
        own = jax.tree.map(lambda x: x[cells // budgets], law)
        each = jax.tree.map(lambda x: x[cells % budgets], box)
        if len(devices) > 1:
            place = devices[start // lanes % len(devices)]
            own, each = jax.device_put((own, each), place)
        return _program(own, each, **options)

    def collect(group: Sequence[int]) -> list[Any]:
        return [to_numpy(part) for part in [launch(start) for start in group]]

    # A CPU is given one at a time by every core.
    flight = 1 if jax.default_backend() == "cpu" else flight
    groups = [starts[i : i + flight] for i in range(0, len(starts), flight)]
    done = track(groups, "optimum", show=progress)
    parts = [part for _, found in zip(done, side_by_side(collect, groups), strict=True)
             for part in found]  # fmt: skip
    return jax.tree.map(lambda *x: np.concatenate(x)[:total], *parts)


def solve_one(
    law: Law, box: Box, *, method: str, chinchilla: bool, integer: bool, runner_up: bool
) -> tuple[Certified, Certified | None, Certified | None]:
    """The optimum, certified, with its runner-up and Chinchilla's choice where asked for."""
    given = box
    best = best_point(law, box, method, runner_up=runner_up)
    if integer:
        best, box = _whole(law, box, best, method)
    settled = box
    if box.mode == "target":
        settled = dataclasses.replace(box, mode="total", total=best.total)
    followed = runner_up and method != "closed_form"
    second = None
    if followed:
        # One program judges both valleys: the runner-up as the law and the budget have it.
        d, x = settled.split(law, best.second, best.share)
        plans = [jnp.stack(pair) for pair in ((best.n, best.second), (best.d, d), (best.x, x))]
        both = jax.vmap(lambda n, d, x: certify(law, settled, n, d, x, best.near))(*plans)
        certified, second = (jax.tree.map(lambda v, at=at: v[at], both) for at in (0, 1))
    else:
        certified = certify(law, settled, best.n, best.d, best.x, best.near)
    if integer:
        certified = certified._replace(samples=jnp.round(certified.samples))
    if box.mode == "target":
        goal = box.target if law.kind == "loss" else -box.target
        at = cost_of(law, box)(best.n, best.d, best.x)
        missed = ~(jnp.abs(at - goal) <= 1e-7 * jnp.abs(goal))
        flag = jnp.where(missed, int(Status.UNREACHABLE), 0)
        certified = certified._replace(status=certified.status | flag)
    if second is not None:
        gone = jnp.isnan(best.second)
        code = jnp.where(gone, 0, second.status)
        second = jax.tree.map(lambda v: jnp.where(gone, jnp.nan, v), second)._replace(status=code)
    other = chinchilla_choice(law, given, best.n, best.d, best.x) if chinchilla else None
    return certified, second, other


def _whole(law: Law, box: Box, best: Point, method: str) -> tuple[Point, Box]:
    """The better of the two whole k beside the optimum, N and D moved to suit it.

    The cost at the best N and D is convex in log k, so that no other whole k can be better.
    """
    k = jnp.exp(best.x)
    nearest = jnp.round(k)
    below = jnp.where(jnp.abs(k - nearest) < 1e-9 * k, nearest, jnp.floor(k))
    below = jnp.maximum(below, jnp.ceil(jnp.exp(box.floor) - 1e-9))
    cost = cost_of(law, box)
    plans, boxes, costs = [], [], []
    for whole in (below, below + 1.0):
        pinned = dataclasses.replace(box, floor=jnp.log(whole), pinned=True)
        found = best_point(law, pinned, method)
        value = found.total if box.mode == "target" else cost(found.n, found.d, found.x)
        sound = pinned.upper() >= box.min_params if box.mode != "target" else jnp.isfinite(value)
        plans.append(found)
        boxes.append(pinned)
        costs.append(jnp.where(sound & ~jnp.isnan(value), value, jnp.inf))
    up = costs[1] < costs[0]

    def pick(pair):
        return jax.tree.map(lambda a, b: jnp.where(up, b, a), *pair)

    return pick(plans), pick(boxes)
