"""The plans to compare with: Chinchilla's, 20 tokens per parameter, a model that exists."""

import dataclasses

import jax.numpy as jnp

from t2jax._typing import Scalar
from t2jax.errors import Status
from t2jax.laws import Law
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.certify import Certified
from t2jax.planning.solvers.closed_form import applies, power_optimum
from t2jax.planning.solvers.objective import cost_of, value_of
from t2jax.planning.solvers.root import falling_root
from t2jax.planning.solvers.scan import polish, scan

__all__ = ["RATIO", "chinchilla_choice", "ratio_choice", "serve"]

RATIO = 20.0
"""Tokens per parameter of the rule of thumb."""

_MOST = 60.0  # log of k that is tried at a target
_REACH = 140.0


def chinchilla_choice(law: Law, box: Box, n: Scalar, d: Scalar, x: Scalar) -> Certified:
    """The single-sample optimum at the training cost of a plan, served with what is left.

    At a target: the point on Chinchilla's line that reaches it with as many samples.

    Args:
      law: one law.
      box: one budget.
      n: log N of the plan that it stands beside.
      d: log D.
      x: log k.
    """
    return _on_line(law, box, n, d, x, chinchilla_line)


def ratio_choice(law: Law, box: Box, n: Scalar, d: Scalar, x: Scalar) -> Certified:
    """The same at 20 tokens per parameter."""
    return _on_line(law, box, n, d, x, ratio_line)


def chinchilla_line(law: Law, box: Box, train: Scalar) -> tuple[Scalar, Scalar]:
    """Logs of N and D that minimise the inner loss at a training cost; k = 1."""
    base = law.base  # of t2_loss that is the law itself, held at k = 1 by the endless budget
    single = dataclasses.replace(
        box, mode="separate", train=train, inference=jnp.full_like(train, jnp.inf), pinned=True,
        floor=jnp.zeros_like(train), offsets=jnp.zeros(1), weights=jnp.ones(1),
        min_params=jnp.zeros_like(train),
        cost=dataclasses.replace(box.cost, stop_at_success=False),
    )  # fmt: skip
    if applies(base, single):
        n = power_optimum(base, single)
    else:
        found = scan(base, single)
        n, *_ = polish(base, single, found.best, found.width)
    return n, single.split(base, n, 0.0)[0]


def ratio_line(law: Law, box: Box, train: Scalar) -> tuple[Scalar, Scalar]:
    """Logs of N and D at 20 tokens per parameter and a training cost."""
    start = 0.5 * (train - jnp.log(6.0 * RATIO * box.cost.train_price))
    if box.monomial:
        n = start
    else:
        n, _ = falling_root(lambda n: (box.log_train(n, n + jnp.log(RATIO)) - train, ()),
                            start - 60.0, start)  # fmt: skip
    return n, jnp.minimum(n + jnp.log(RATIO), box.max_tokens)


def _on_line(law: Law, box: Box, n, d, x, line) -> Certified:
    if box.mode != "target":
        train = box.train if box.separate else box.log_train(n, d)
        size, data = line(law, box, train)
        return serve(law, box, size, data)
    cost = cost_of(law, box)
    goal = box.target if law.kind == "loss" else -box.target
    low = box.log_train(jnp.zeros_like(n), 0.0)

    def rise(train):
        point = line(law, box, train)
        return goal - cost(point[0], point[1], x), point

    size, data = falling_root(rise, low, low + _REACH)[1]
    return serve(law, box, size, data)


def serve(law: Law, box: Box, n: Scalar, d: Scalar) -> Certified:
    """A model of given N and D, served with the samples that the budget leaves it.

    At a target: with the samples that it needs to get there. A budget that leaves less than the
    least k is exceeded, which the status says.

    Args:
      law: one law.
      box: one budget.
      n: log N.
      d: log D.
    """
    none = jnp.full_like(n, jnp.nan)
    cost = cost_of(law, box)
    if box.mode == "target":
        goal = box.target if law.kind == "loss" else -box.target
        x = box.floor
        if not box.pinned:
            x, _ = falling_root(lambda x: (goal - cost(n, d, x), ()), box.floor, box.floor + _MOST)
        over = ~(cost(n, d, x) - goal <= 1e-9 * jnp.abs(goal))
        code = jnp.where(over, int(Status.UNREACHABLE), 0)
        spent = jnp.where(over, jnp.inf, jnp.exp(box.log_spent(law, n, d, x)))
    else:
        if box.separate:
            rest = jnp.exp(jnp.where(jnp.isfinite(box.inference), box.inference, 0.0))
        else:
            rest = jnp.exp(box.total - box.questions) - jnp.exp(box.log_train(n, d) - box.questions)
        drawn = (rest * jnp.exp(-n) - box.cost.shared_rate(n)) / box.cost.sample_rate(n)
        affords = jnp.where(drawn > 0, jnp.log(jnp.where(drawn > 0, drawn, 1.0)), -jnp.inf)
        unlimited = box.separate & ~jnp.isfinite(box.inference)
        affords = jnp.where(unlimited, box.floor, affords)
        over = affords < box.floor - 1e-9
        x = jnp.maximum(affords, box.floor)
        if box.pinned:
            x = box.floor
        elif box.cost.stop_at_success:
            x = box.limit(law, n, d, x)
        code = jnp.where(over, int(Status.OVER_INFERENCE), 0)
        spent = none if box.separate else jnp.exp(box.log_spent(law, n, d, x))
    value = value_of(law, box)(n, d, x)
    return Certified(jnp.exp(n), jnp.exp(d), jnp.exp(x), value, spent, none, none, none, none, code)
