"""What an interval may be asked for: coefficients, the plan of a budget, the loss there."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats
from t2jax.errors import InputError, Refusal, Status
from t2jax.fitting.problem import Problem
from t2jax.hull import Hull
from t2jax.laws import Law, predict
from t2jax.planning import Budget, Optimum, optimum
from t2jax.planning.driver import answerable, box_of, checked
from t2jax.planning.solvers.box import Box
from t2jax.uncertainty.ensemble import as_ensemble
from t2jax.validation.held_fit import COEFFICIENT, LOSS, SIZE, Aim, Case, held

__all__ = ["PLAN", "Quantity", "aims_of", "budget_plan", "quantities_of"]

PLAN = ("params", "tokens", "samples", "tokens_per_param")
"""Coordinates of a plan: along spent budgets each is a function of N, and so is its interval."""

_ALIASES = {"N*": "params", "D*": "tokens", "k*": "samples", "D/N": "tokens_per_param"}
_FREE = int(
    Status.AT_MAX_PARAMS | Status.AT_MAX_TOKENS | Status.AT_ONE_SAMPLE | Status.AT_SEARCH_EDGE
    | Status.AT_MIN_PARAMS | Status.NOT_CONVERGED
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantity:
    """One quantity.

    Attributes:
      name: a coefficient, or one of `params`, `loss`.
      kind: COEFFICIENT, SIZE or LOSS.
      index: which coefficient.
      estimate: in its own unit.
    """

    name: str
    kind: int
    index: int
    estimate: float

    def coordinate(self, law: Law, value: float) -> float:
        """Its coordinate: that of its card, or a log."""
        if self.kind != COEFFICIENT:
            return float(np.log(value))
        return float(law.cards()[self.index].to_free(jnp.asarray(value, float)))

    def natural(self, law: Law, coordinate: float) -> float:
        """Inverse of `coordinate`."""
        if self.kind != COEFFICIENT:
            with np.errstate(over="ignore"):  # an end past the largest number is infinite
                return float(np.exp(coordinate))
        return float(law.cards()[self.index].from_free(jnp.asarray(coordinate, float)))


def budget_plan(
    law: Law, budget: Budget | None, hull: Hull | None = None
) -> tuple[Optimum | None, Box | None, tuple[float, float, float] | None]:
    """The plan of a budget, the budget in logs, and logs of the plan.

    The ranges of the table, where it is named, say how small a model is looked at.

    Raises:
      InputError: a sweep, or a budget other than 6ND and 2Nk apart.
      Refusal: the optimum lies on a bound, where it does not answer to the coefficients.
    """
    if budget is None:
        return None, None, None
    checked(law, budget)
    if budget.shape != () or budget.mode != "separate" or budget.integer_samples:
        raise InputError(
            "profiles and calibration take one pair of separate budgets",
            remedy="e.g. Budget(train_flops=1e20, inference_flops=2e9); for others take draws "
            "from t2jax.bootstrap or t2jax.posterior to t2jax.optimum",
        )
    budget = answerable(budget, dataclasses.replace(as_ensemble(law), hull=hull))
    best = optimum(law, budget, chinchilla=False, progress=False)
    stuck = int(np.asarray(best.code)) & _FREE
    if stuck:
        raise Refusal(
            f"under this budget the optimum is a bound ({Status(stuck).sentences()[0]}), "
            "so that it has no interval",
            remedy="raise the cap, or name a budget whose optimum is interior",
        )
    n, d, x = (float(np.log(x)) for x in (best.params, best.tokens, best.samples))
    return best, box_of(law, budget), (n, d, x)


def quantities_of(law: Law, best: Optimum | None) -> list[Quantity]:
    """All quantities of a law and a plan."""
    out = [
        Quantity(name=name, kind=COEFFICIENT, index=i, estimate=float(value))
        for i, (name, value) in enumerate(law.coefficients().items())
    ]
    if best is not None:
        out.append(Quantity(name="params", kind=SIZE, index=0, estimate=float(best.params)))
        value = float(predict(law, best.params, best.tokens, best.samples))
        out.append(Quantity(name="loss", kind=LOSS, index=0, estimate=value))
    return out


def chosen(all_of: list[Quantity], names: list[str] | None) -> list[Quantity]:
    """The quantities of some names; those of a plan come with N.

    Raises:
      InputError: an unknown name.
    """
    if names is None:
        return all_of
    known = {q.name: q for q in all_of}
    out: dict[str, Quantity] = {}
    for name in names:
        plain = _ALIASES.get(name, name)
        plain = "params" if plain in PLAN else plain
        if plain not in known:
            hint = "; N*, D*, k*, D/N and loss need a budget" if "params" not in known else ""
            raise InputError(
                f"no quantity '{name}'", remedy=f"it is one of {', '.join(known)}{hint}"
            )
        out[plain] = known[plain]
    return list(out.values())


def aims_of(quantities: list[Quantity], law: Law) -> Aim:
    """Aims at the estimates, one for each quantity [quantities]."""
    kind = jnp.asarray([q.kind for q in quantities])
    index = jnp.asarray([q.index for q in quantities])
    value = jnp.asarray([q.coordinate(law, q.estimate) for q in quantities])
    return Aim(kind, index, value, jnp.ones_like(value))


def oriented(problem: Problem, case: Case, aim: Aim, free: Floats) -> tuple[Aim, Floats]:
    """The aim with its unit set, and the gradient of the quantity in the free vector.

    At the minimum the held equation moves by -1 when the value of the aim moves by 1; for N* this
    is the implicit derivative `dn/du = -(d slope/dn)^-1 d slope/du`.
    """

    def equation(free, value):
        return held(problem, free, case, aim._replace(value=value))

    down, by_value = jax.grad(equation, argnums=(0, 1))(free, aim.value)
    return aim._replace(unit=-by_value * aim.unit), down / -by_value
