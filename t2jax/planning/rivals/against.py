"""How much better a plan is than Chinchilla's and others, in the law's unit and in money."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax.errors import InputError, Status
from t2jax.laws import Law
from t2jax.planning.result import Optimum
from t2jax.planning.rivals.rival import Rival
from t2jax.planning.rivals.rules import RATIO, chinchilla_choice, ratio_choice, serve
from t2jax.planning.solvers.best import best_point
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.objective import cost_of
from t2jax.planning.solvers.root import falling_root

__all__ = ["against"]

_REACH = 40.0  # e-folds of budget that are tried, either way


def against(
    law: Law,
    box: Box,
    best: Optimum,
    models: Mapping[str, tuple[float, float]],
    method: str,
) -> tuple[Rival, ...]:
    """The plan against Chinchilla's choice, 20 tokens per parameter, and named models.

    Args:
      law: the law that judges.
      box: one budget in logs.
      best: its optimum.
      models: (params, tokens) by name.
      method: of the optima that match a rival's value for less.

    Raises:
      InputError: a model without two positive numbers.
    """
    law, box = jax.tree.map(lambda x: jnp.asarray(x, float), (law, box))
    n, d, x = (
        jnp.log(jnp.asarray(getattr(best, q), float)) for q in ("params", "tokens", "samples")
    )
    found = {
        "Chinchilla": _by_rule(law, box, n, d, x, rule="chinchilla"),
        f"{RATIO:g} tokens per parameter": _by_rule(law, box, n, d, x, rule="ratio"),
    }
    for name, pair in models.items():
        pair = np.asarray(pair, float)
        if pair.shape != (2,) or not np.all(np.isfinite(pair) & (pair > 0)):
            raise InputError(f"model '{name}' is not a number of parameters and of tokens",
                             remedy="give both, e.g. (7e9, 2e12)")  # fmt: skip
        found[name] = _named(law, box, *jnp.log(pair))
    sign = 1.0 if law.kind == "loss" else -1.0
    out = []
    for name, rival in found.items():
        value, spent = float(rival.value), float(rival.spent)
        if box.mode == "target":
            saving = 1.0 - float(best.spent) / spent if spent > 0 else math.nan
        elif math.isfinite(value):
            factor = float(_factor(law, box, sign * jnp.asarray(value), method=method))
            saving = 1.0 - math.exp(factor)
        else:
            saving = math.nan
        over = _over_training(box, rival) if box.separate else 0
        out.append(Rival(
            name=name, params=float(rival.params), tokens=float(rival.tokens),
            samples=float(rival.samples), value=value,
            gain=sign * (value - float(best.value)), saving=saving, spent=spent,
            code=int(rival.status) | over,
        ))  # fmt: skip
    return tuple(out)


def _over_training(box: Box, rival: Any) -> int:
    """Whether a model costs more to train than the training budget holds."""
    cost = box.log_train(jnp.log(rival.params), jnp.log(rival.tokens))
    return int(Status.OVER_TRAINING) if float(cost) > float(box.train) + 1e-6 else 0


@functools.partial(jax.jit, static_argnames="rule")
def _by_rule(law, box, n, d, x, *, rule):
    choice = chinchilla_choice if rule == "chinchilla" else ratio_choice
    return choice(law, box, n, d, x)


@jax.jit
def _named(law, box, n, d):
    return serve(law, box, n, d)


@functools.partial(jax.jit, static_argnames="method")
def _factor(law, box, goal, *, method):
    """Log of the factor on the budget at which the optimum costs just `goal`."""
    cost = cost_of(law, box)

    def rise(factor):
        scaled = dataclasses.replace(
            box, train=box.train + factor, inference=box.inference + factor,
            total=box.total + factor,
        )  # fmt: skip
        best = best_point(law, scaled, method)
        return goal - cost(best.n, best.d, best.x), ()

    return falling_root(rise, -_least_factor(box), jnp.asarray(_REACH))[0]


def _least_factor(box: Box):
    """How far, in logs, the budget can shrink and still afford the smallest plan."""
    n, x = box.min_params, box.floor
    if box.separate:
        served = jnp.where(
            jnp.isfinite(box.inference), box.inference - box.log_answer(n, x), _REACH
        )
        room = jnp.minimum(box.train - box.log_train(n, 0.0), served)
    else:
        least = jnp.logaddexp(box.log_train(n, 0.0), box.questions + box.log_answer(n, x))
        room = box.total - least
    return jnp.clip(room - 1e-6, 0.0, _REACH)
