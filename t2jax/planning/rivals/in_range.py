"""The best plan that stays inside the data: for when the optimum does not."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._precision import double
from t2jax._typing import Scalar
from t2jax.errors import InputError
from t2jax.laws import Law
from t2jax.planning.budget import Budget
from t2jax.planning.result import Optimum
from t2jax.planning.rivals.rules import serve
from t2jax.planning.solvers.box import Box
from t2jax.uncertainty.ensemble import Model, as_ensemble

__all__ = ["inside"]

_POINTS = 65  # of a grid, whose next one lies between the neighbours of its best point
_ROUNDS = 8  # 32-fold finer each time: from ten decades to 1e-11
_SLACK = 1e-9  # in logs: the end of a range is inside it

Ranges = dict[str, tuple[Scalar, Scalar]]


@double
def inside(model: Model, budget: Budget) -> Optimum | None:
    """The best plan whose N, D, k and D/N all lie within the ranges of the table.

    Every N and D in range is served with the k that the budget leaves it, or at a target with the
    k that gets there; the best over D, then over N. A k out of range is no plan. Where the table's
    most tokens bind, part of a training budget may be left.

    Args:
      model: a fit or draws; the point estimate is used.
      budget: one budget.

    Returns:
      The plan without prices or draws; None where the ranges leave no plan, or none is known.

    Raises:
      InputError: the budget is a sweep.
    """
    ensemble = as_ensemble(model)
    law, hull = ensemble.point, ensemble.hull
    if budget.shape != ():
        raise InputError("a sweep has no single plan", remedy="give one number for each budget")
    if hull is None:
        return None
    ranges = {name: tuple(np.log(pair)) for name, pair in dataclasses.asdict(hull).items()}
    box = budget.box(samples=law.uses_samples)
    floats = jax.tree.map(lambda v: jnp.asarray(v, float), (law, box, ranges))
    found, fits = _searched(*floats)
    if not fits:
        return None
    plan = jax.tree.map(np.asarray, found)._replace(status=np.asarray(int(ensemble.code)))
    return Optimum.of(plan, kind=law.kind, law_name=law.title, uses_samples=law.uses_samples,
                      goal=budget.goal, unit=budget.cost.unit)  # fmt: skip


@jax.jit
def _searched(law: Law, box: Box, ranges: Ranges) -> tuple[Any, Scalar]:
    """The best plan, and whether it is one."""
    judge = _judge(law, box, ranges)

    def ends(n):
        low, high = (
            pick(ranges["tokens"][i], n + ranges["tokens_per_param"][i])
            for i, pick in ((0, jnp.maximum), (1, jnp.minimum))
        )
        high = jnp.minimum(high, box.max_tokens)
        if box.separate:  # exactly at the end of the budget, where more data is always better
            high = jnp.minimum(high, box.train - box.log_train(n, 0.0))
        return low, high

    def best(n):
        low, high = ends(n)
        d, worth = _least(lambda d: judge(n, d), low, high)
        return jnp.where(low <= high + _SLACK, worth, jnp.inf), d

    low = jnp.maximum(ranges["params"][0], box.min_params)
    high = jnp.minimum(ranges["params"][1], box.max_params)
    n, worth = _least(lambda n: best(n)[0], low, high)
    return serve(law, box, n, best(n)[1]), (low <= high + _SLACK) & jnp.isfinite(worth)


def _judge(law: Law, box: Box, ranges: Ranges) -> Callable[[Scalar, Scalar], Scalar]:
    """What a plan is worth, less being better; endless where it is none."""
    low, high = ranges["samples"]

    def judge(n, d):
        plan = serve(law, box, n, d)
        fits = plan.status == 0
        if box.separate:
            fits &= box.log_train(n, d) <= box.train + _SLACK
        if not box.pinned:
            x = jnp.log(plan.samples)
            served = jnp.isfinite(box.inference) if box.separate else True
            fits &= ~jnp.asarray(served) | ((x >= low - _SLACK) & (x <= high + _SLACK))
        worth = plan.value if law.kind == "loss" else -plan.value
        return jnp.where(fits, plan.spent if box.mode == "target" else worth, jnp.inf)

    return judge


def _least(cost: Callable[[Scalar], Scalar], low: Scalar, high: Scalar) -> tuple[Scalar, Scalar]:
    """Where a function is least, by ever finer grids: it may end anywhere in the middle."""

    def finer(_, ends):
        grid = jnp.linspace(ends[0], ends[1], _POINTS)
        at = jnp.argmin(jax.vmap(cost)(grid))
        return grid[jnp.maximum(at - 1, 0)], grid[jnp.minimum(at + 1, _POINTS - 1)]

    low, high = jax.lax.fori_loop(0, _ROUNDS, finer, (low, high))
    grid = jnp.linspace(low, high, _POINTS)
    values = jax.vmap(cost)(grid)
    at = jnp.argmin(values)
    return grid[at], values[at]
