"""How the optimum moves: derivatives in budgets, prices and coefficients, implicitly.

At the optimum the KKT conditions hold; the implicit function theorem gives the derivative of the
plan from one linear solve, whatever solver found it.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import _text
from t2jax._precision import double
from t2jax._result import Result
from t2jax.errors import InputError
from t2jax.laws import Law
from t2jax.planning.budget import Budget
from t2jax.planning.driver import answerable, box_of, checked, method_for, optimum
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.objective import cost_of
from t2jax.uncertainty.ensemble import Model

__all__ = ["Sensitivity", "follow", "sensitivity"]

_TOUCH = 1e-7
_LIMITS = ("train", "inference", "total", "questions", "min_params", "max_params", "max_tokens",
           "unique")  # fmt: skip
_QUANTITIES = ("params", "tokens", "samples", "value", "spent")


def follow(law: Law, box: Box, point: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Logs of N, D and k as a differentiable function of the law and the budget.

    One Newton step on the KKT conditions from a point that meets them: the step is nothing, its
    derivative is that of the optimum. Pure, for `jax.grad` and `jax.jacobian`.

    Args:
      law: one law.
      box: one budget.
      point: logs of N, D and k of its optimum.
    """
    z = jax.lax.stop_gradient(jnp.stack(point))
    cost = cost_of(law, box)

    def spent(z):
        return box.log_spent(law, *z)

    def limits(z, law=law, box=box):
        n, d, x = z
        if box.mode == "separate":
            budgets = [box.log_train(n, d) - box.train, box.log_serve(law, n, d, x) - box.inference]
        elif box.mode == "total":
            budgets = [box.log_spent(law, n, d, x) - box.total]
        else:
            goal = box.target if law.kind == "loss" else -box.target
            budgets = [cost_of(law, box)(n, d, x) - goal]
        bounds = [n - box.max_params, box.min_params - n, d - box.max_tokens, box.floor - x]
        return jnp.stack([*budgets, *bounds])

    now = jax.lax.stop_gradient(limits(z))
    active = jnp.isfinite(now) & (jnp.abs(now) < _TOUCH)
    if box.pinned:
        active = active.at[-1].set(True)
    goal = spent if box.mode == "target" else lambda z: cost(*z)

    def tight(z):
        # An infinite bound is not active, and must not enter a derivative.
        return jnp.where(active, jnp.where(active, limits(z), 0.0), 0.0)

    def conditions(w):
        z, price = w[:3], w[3:]
        slope = jax.grad(goal)(z) + jax.grad(lambda z: jnp.dot(price, tight(z)))(z)
        return jnp.concatenate([slope, jnp.where(active, tight(z), price)])

    normals = jax.lax.stop_gradient(jax.jacobian(tight)(z))
    prices = jnp.linalg.lstsq(normals.T, -jax.lax.stop_gradient(jax.grad(goal)(z)))[0]
    w = jnp.concatenate([z, jnp.where(active, prices, 0.0)])
    w = jax.lax.stop_gradient(w)
    curvature = jax.lax.stop_gradient(jax.jacobian(conditions)(w))
    inverse = jnp.linalg.pinv(curvature)
    moved = w - inverse @ conditions(w)
    return moved[0], moved[1], moved[2]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Sensitivity(Result):
    """Derivatives of one optimum.

    Attributes:
      table: for each budget, price or coefficient by name: the derivatives of log N (`params`),
        log D (`tokens`), log k (`samples`), the value and log cost (`spent`), in the log of a
        budget or price and in a coefficient itself.
      law_name: name of the law.
      status: what must be said beside them, in sentences.
    """

    table: Mapping[str, Mapping[str, float]]
    law_name: str
    status: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, dict[str, float]]:
        """A JSON-ready description."""
        return {name: dict(row) for name, row in self.table.items()}

    def records(self) -> list[dict[str, Any]]:
        """One record per budget, price or coefficient."""
        return [{"of": name, **row} for name, row in self.table.items()]

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Sensitivity of law '{self.law_name}'"

    def summary(self) -> str:
        """The table as fixed-width text."""
        head = ["d / d", "log N", "log D", "log k", "value", "log cost"]
        rows = [[name, *(_text.number(row[q], 3) for q in _QUANTITIES)]
                for name, row in self.table.items()]  # fmt: skip
        return "\n".join([_text.underline(self.title, "-"),
                          _text.table(head, rows),
                          *(f"note: {sentence}" for sentence in self.status)])  # fmt: skip


@double
def sensitivity(model: Model, budget: Budget, *, method: str = "auto") -> Sensitivity:
    """How the optimum answers to every budget, price and coefficient.

    `dz/dtheta = -(dR/dz)^-1 dR/dtheta` with R the KKT conditions of the active set. Where a
    bound is just about to bind the derivative is one-sided.

    Args:
      model: a law, a fit, or an ensemble (its point estimate).
      budget: one budget.
      method: as for `optimum`.

    Returns:
      The derivatives. In logs of budgets and prices they are elasticities.

    Raises:
      InputError: a sweep.

    >>> from t2jax.laws import Additive
    >>> law = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> row = sensitivity(law, Budget(train_flops=1e21)).table["log train_flops"]
    >>> round(row["params"], 6)  # beta/(alpha + beta)
    0.457189
    """
    ensemble = checked(model, budget)
    budget = answerable(budget, ensemble)
    if budget.shape != ():
        raise InputError("a sweep has no single sensitivity", remedy="give one number per budget")
    law = jax.tree.map(lambda x: jnp.asarray(x, float), ensemble.point)
    box = jax.tree.map(lambda x: jnp.asarray(x, float), box_of(law, budget))
    method_for(method, ensemble, box)
    best = optimum(ensemble.alone(), budget, method=method, chinchilla=False)
    if budget.integer_samples:
        box = dataclasses.replace(box, floor=jnp.log(best.samples), pinned=True)
    point = tuple(jnp.log(jnp.asarray(getattr(best, q), float)) for q in _QUANTITIES[:3])
    found = {name: getattr(box, name) for name in _LIMITS}
    limits = {name: value for name, value in found.items() if math.isfinite(float(value))}
    if float(box.min_params) == 0.0:
        limits.pop("min_params", None)
    if box.mode == "separate":
        limits.pop("questions", None)  # and the inference budget is per generated token
    if box.mode == "target":
        limits["target"] = box.target
    prices = {n: jnp.log(getattr(box.cost, n)) for n in box.cost.numbers()
              if n.endswith(("price", "tokens")) and float(getattr(box.cost, n)) > 0}  # fmt: skip
    if box.mode == "separate":
        prices.pop("answer_tokens")
    slopes = _slopes({"law": law, "limits": limits, "prices": prices}, box, point)
    value_sign = 1.0 if law.kind == "loss" else -1.0
    names = {"train": "train_flops", "inference": "inference_flops", "unique": "unique_tokens",
             "total": budget.goal}  # fmt: skip
    table: dict[str, dict[str, float]] = {}

    def add(name: str, column: Any) -> None:
        row: dict[str, float] = dict(zip(_QUANTITIES, map(float, np.asarray(column)), strict=True))
        row["value"] *= value_sign
        if box.mode == "separate":
            row["spent"] = math.nan
        table[name] = row

    for name, column in slopes["limits"].items():
        add("target" if name == "target" else f"log {names.get(name, name)}", column)
    for name, column in slopes["prices"].items():
        add(f"log {name}", column)
    for name, column in slopes["law"].coefficients().items():
        add(name, column)
    return Sensitivity(table=table, law_name=law.title, status=best.status)


@jax.jit
def _slopes(inputs, box, point):
    """Jacobian of the logs of N, D, k, the cost minimised, and log cost in all inputs."""

    def answer(inputs):
        prices = {name: jnp.exp(value) for name, value in inputs["prices"].items()}
        moved = dataclasses.replace(
            box, **inputs["limits"], cost=dataclasses.replace(box.cost, **prices)
        )
        law = inputs["law"]
        z = follow(law, moved, point)
        spent = jnp.zeros(()) if box.mode == "separate" else moved.log_spent(law, *z)
        return jnp.stack([*z, cost_of(law, moved)(*z), spent])

    return jax.jacobian(answer)(inputs)
