"""The best point of one law under one budget, whatever the mode; pure, for `jax.vmap`."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from t2jax._typing import Scalar
from t2jax.laws import Law
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.closed_form import exact
from t2jax.planning.solvers.objective import cost_of
from t2jax.planning.solvers.root import falling_root
from t2jax.planning.solvers.scan import descend, polish, scan

__all__ = ["Point", "best_point"]

_REACH = 140.0  # e-folds of cost above the smallest that are tried for a target
_NEAR = 0.01  # a valley this much shallower, relatively, is worth mentioning


class Point(NamedTuple):
    """A plan in logs of N, D and k.

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


def best_point(law: Law, box: Box, method: str, *, runner_up: bool = False) -> Point:
    """The best plan under a budget in logs, by one method.

    At a target the total is the one whose optimum has just the target's value: the optimum's
    value falls with the total, so that there is only one.

    Args:
      law: one law.
      box: one budget.
      method: "closed_form", "scan" or "descent".
      runner_up: whether to follow the second valley to its bottom too.
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


def _spend(law: Law, box: Box, method: str, runner_up: bool) -> Point:
    none = jnp.full_like(box.max_params, jnp.nan)
    if method == "closed_form":
        return Point(*exact(law, box), box.total, none, none, jnp.asarray(False))
    found = (descend if method == "descent" else scan)(law, box)
    start, width = found.best, found.width
    if not runner_up:
        n, u, _ = polish(law, box, start, width)
        near = found.gap < _NEAR * jnp.abs(found.depth)
        return Point(n, *box.split(law, n, u), box.total, found.second, none, near)
    # Both valleys in one program; where there is only one it is followed twice.
    second = jnp.where(jnp.isnan(found.second), start, found.second)
    starts = jnp.stack([start, second])
    n, u, cost = jax.vmap(lambda s: polish(law, box, s, width))(starts)
    order = jnp.argsort(cost)
    n, u, cost = n[order], u[order], cost[order]
    near = cost[1] - cost[0] < _NEAR * jnp.abs(cost[0])
    alone = jnp.isnan(found.second)
    other = jnp.where(alone, jnp.nan, n[1])
    return Point(n[0], *box.split(law, n[0], u[0]), box.total, other, u[1], near & ~alone)
