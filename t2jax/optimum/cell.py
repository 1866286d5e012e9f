"""One optimum: one law, one budget, whatever the mode; pure, so that sweeps are `jax.vmap`."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from t2jax._typing import Scalar
from t2jax.errors import Status
from t2jax.laws import Law
from t2jax.optimum.box import Box
from t2jax.optimum.certify import Certified, certify
from t2jax.optimum.closed_form import exact
from t2jax.optimum.objective import cost_of
from t2jax.optimum.rival import chinchilla_choice
from t2jax.optimum.solve import descend, falling_root, polish, scan

__all__ = ["Plan", "plan", "solve_cell"]

_REACH = 140.0  # e-folds of cost above the smallest that are tried for a target
_NEAR = 0.01  # a valley this much shallower, relatively, is worth mentioning


class Plan(NamedTuple):
    """A plan in logs.

    Attributes:
      n: log N.
      d: log D.
      x: log k.
      total: log of the total that it spends; NaN for separate budgets.
      second: log N of the runner-up, NaN where there is none.
      share: logit of the runner-up's training share.
      near: whether the runner-up is nearly as good.
    """

    n: Scalar
    d: Scalar
    x: Scalar
    total: Scalar
    second: Scalar
    share: Scalar
    near: Scalar


def plan(law: Law, box: Box, method: str, *, runner_up: bool = False) -> Plan:
    """The best plan under a budget in logs, by one method.

    At a target the total is the one whose optimum has just the target's value: the optimum's
    value falls with the total, so that there is only one.

    Args:
      law: one law.
      box: one budget.
      method: "closed_form", "scan" or "descent".
      runner_up: whether to follow the second valley of a scan to its bottom too.
    """
    if box.mode != "target":
        return _spend(law, box, method, runner_up)
    goal = box.target if law.kind == "loss" else -box.target
    cost = cost_of(law, box)

    def rise(total):
        inside = dataclasses.replace(box, mode="total", total=total)
        best = _spend(law, inside, method, runner_up)
        return goal - cost(best.n, best.d, best.x), best

    least = jnp.logaddexp(box.log_train(box.min_params, 0.0),
                          box.questions + box.log_answer(box.min_params, box.floor))  # fmt: skip
    return falling_root(rise, least + 1e-6, least + _REACH)[1]


def _spend(law: Law, box: Box, method: str, runner_up: bool) -> Plan:
    none = jnp.full_like(box.max_params, jnp.nan)
    if method == "closed_form":
        return Plan(*exact(law, box), box.total, none, none, jnp.asarray(False))
    found = scan(law, box)
    start, width = found.best, found.width
    if method == "descent":
        start, width = descend(law, box)[0], 10 * width
    if not runner_up:
        n, u, _ = polish(law, box, start, width)
        near = found.gap < _NEAR * jnp.abs(found.depth)
        return Plan(n, *box.split(law, n, u), box.total, found.second, none, near)
    # Both valleys in one program; where there is only one it is followed twice.
    second = jnp.where(jnp.isnan(found.second), start, found.second)
    starts = jnp.stack([start, second])
    n, u, cost = jax.vmap(lambda s: polish(law, box, s, width))(starts)
    order = jnp.argsort(cost)
    n, u, cost = n[order], u[order], cost[order]
    near = cost[1] - cost[0] < _NEAR * jnp.abs(cost[0])
    alone = jnp.isnan(found.second)
    other = jnp.where(alone, jnp.nan, n[1])
    return Plan(n[0], *box.split(law, n[0], u[0]), box.total, other, u[1], near & ~alone)


def solve_cell(
    law: Law, box: Box, *, method: str, chinchilla: bool, integer: bool, runner_up: bool
) -> tuple[Certified, Certified | None, Certified | None]:
    """The optimum, certified, with its runner-up and Chinchilla's choice where asked for."""
    given = box
    best = plan(law, box, method, runner_up=runner_up)
    if integer:
        best, box = _whole(law, box, best, method)
    settled = box
    if box.mode == "target":
        settled = dataclasses.replace(box, mode="total", total=best.total)
    certified = certify(law, settled, best.n, best.d, best.x, best.near)
    if integer:
        certified = certified._replace(samples=jnp.round(certified.samples))
    if box.mode == "target":
        goal = box.target if law.kind == "loss" else -box.target
        at = cost_of(law, box)(best.n, best.d, best.x)
        missed = ~(jnp.abs(at - goal) <= 1e-7 * jnp.abs(goal))
        flag = jnp.where(missed, int(Status.UNREACHABLE), 0)
        certified = certified._replace(status=certified.status | flag)
    second = None
    if runner_up and method != "closed_form":
        d, x = settled.split(law, best.second, best.share)
        second = certify(law, settled, best.second, d, x, best.near)
        gone = jnp.isnan(best.second)
        code = jnp.where(gone, 0, second.status)
        second = jax.tree.map(lambda v: jnp.where(gone, jnp.nan, v), second)._replace(status=code)
    other = chinchilla_choice(law, given, best.n, best.d, best.x) if chinchilla else None
    return certified, second, other


def _whole(law: Law, box: Box, best: Plan, method: str) -> tuple[Plan, Box]:
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
        found = plan(law, pinned, method)
        value = found.total if box.mode == "target" else cost(found.n, found.d, found.x)
        sound = pinned.upper() >= box.min_params if box.mode != "target" else jnp.isfinite(value)
        plans.append(found)
        boxes.append(pinned)
        costs.append(jnp.where(sound & ~jnp.isnan(value), value, jnp.inf))
    up = costs[1] < costs[0]

    def pick(pair):
        return jax.tree.map(lambda a, b: jnp.where(up, b, a), *pair)

    return pick(plans), pick(boxes)
