"""Shadow prices and the KKT residual of a candidate optimum, by automatic differentiation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from t2jax._typing import Scalar
from t2jax.errors import Status
from t2jax.laws import Law
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.objective import cost_of
from t2jax.planning.solvers.repeated_data import borrows

__all__ = ["Certified", "certify"]

_TOUCH = 1e-9  # how near, in logs, counts as on a bound


class Certified(NamedTuple):
    """One optimum in numbers.

    Attributes:
      params: N.
      tokens: D.
      samples: k.
      value: the law there.
      spent: cost of training and serving; NaN for separate budgets.
      train_price: fall of the cost per e-fold of the training budget.
      inference_price: fall of the cost per e-fold of the inference budget.
      total_price: fall of the cost per e-fold of a total.
      kkt_residual: violation of the first-order conditions, relative to the largest slope.
      status: flags, as an integer.
    """

    params: Scalar
    tokens: Scalar
    samples: Scalar
    value: Scalar
    spent: Scalar
    train_price: Scalar
    inference_price: Scalar
    total_price: Scalar
    kkt_residual: Scalar
    status: Scalar


def certify(law: Law, box: Box, n: Scalar, d: Scalar, x: Scalar, several: Scalar) -> Certified:
    """Multipliers and residual of a plan, with every constraint's sign respected.

    The Lagrangian is `y + lam . (costs - budgets) + mu_N (n - N_max) - mu_n (n - N_min)
    + mu_D (d - D_max) - mu_k (x - k_min)`; each multiplier is zero unless its constraint is
    active, and never negative. `kkt_residual` is the largest slope that they leave, relative to
    the largest there is.

    Args:
      law: one law.
      box: one budget in logs.
      n: log N of the candidate.
      d: log D.
      x: log k.
      several: whether another valley is nearly as deep.
    """
    cost, slopes = jax.value_and_grad(cost_of(law, box), argnums=(0, 1, 2))(n, d, x)
    slopes = jnp.stack(slopes)
    scale = jnp.maximum(jnp.max(jnp.abs(slopes)), 1e-300)
    at_wall = d >= box.max_tokens - _TOUCH
    at_cap = n >= box.max_params - _TOUCH
    at_low = n <= box.min_params + _TOUCH
    at_least = jnp.asarray(True) if box.pinned else x <= box.floor + _TOUCH
    upper = box.upper()
    judge = _separate if box.separate else _total
    prices, residual, slack = judge(law, box, (n, d, x), slopes, at_wall, at_cap, at_low, at_least)
    train, inference, total = prices
    residual = residual / scale

    edge = (d <= _TOUCH) | (at_low & (box.min_params <= 0.0))
    served = jnp.isfinite(box.inference) if box.separate else jnp.asarray(law.uses_samples)
    bound = ~jnp.asarray(box.pinned) & at_least
    if box.pinned and box.separate:  # one sample decides only where it is what caps the size
        bound = served & (n >= upper - _TOUCH) & (box.floor <= _TOUCH)
    flags = [
        (at_wall, Status.AT_MAX_TOKENS),
        (at_cap, Status.AT_MAX_PARAMS),
        (bound & served, Status.AT_ONE_SAMPLE),
        (edge, Status.AT_SEARCH_EDGE),
        (at_low & (box.min_params > 0.0), Status.AT_MIN_PARAMS),
        (slack, Status.BUDGET_LEFT),
        (several, Status.SEVERAL_MODES),
        (box.repeats & borrows(law) & (d > box.unique + _TOUCH), Status.BORROWED_REPETITION),
        (~(residual < 1e-6) & ~edge, Status.NOT_CONVERGED),
    ]
    status = sum(jnp.where(on, int(flag), 0) for on, flag in flags)
    samples = jnp.where(at_least, jnp.exp(box.floor), jnp.exp(x))
    spent = jnp.full_like(n, jnp.nan) if box.separate else jnp.exp(box.log_spent(law, n, d, x))
    value = cost if law.kind == "loss" else -cost
    return Certified(
        jnp.exp(n), jnp.exp(d), samples, value, spent, train, inference, total, residual,
        jnp.asarray(status),
    )  # fmt: skip


def _separate(law, box, point, slopes, at_wall, at_cap, at_low, at_least):
    """Prices of the two budgets, the residual, and whether training money is left over."""
    n, d, x = point
    by_size, by_data, by_samples = slopes
    budgeted = jnp.isfinite(box.inference)
    train_n = jax.grad(box.log_train)(n, d)
    serve = jax.grad(lambda n, d, x: box.log_serve(law, n, d, x), argnums=(0, 1, 2))(n, d, x)
    serve_n, serve_d, serve_x = serve
    tight = jnp.abs(box.log_train(n, d) - box.train) < 1e-7
    at_kink = at_wall & tight
    used = budgeted & (jnp.abs(box.log_serve(law, n, d, x) - box.inference) < 1e-7)

    worth = -by_samples / serve_x  # of the inference budget, where samples are free to move
    worth = jnp.where(budgeted, worth, 0.0)
    inference = jnp.where(used & ~at_least, worth, 0.0)
    from_data = -by_data - inference * serve_d
    # What the training budget, the inference budget at least k, and a cap on N must carry.
    left = -by_size - inference * serve_n
    price = jnp.clip(left / train_n, 0.0, jnp.maximum(from_data, 0.0))
    train = jnp.where(at_wall, jnp.where(at_kink, price, 0.0), from_data)
    left = left - train * train_n
    # At the least k the inference budget carries the rest, and at least what samples would buy.
    least = jnp.zeros_like(worth) if box.pinned else jnp.maximum(worth, 0.0)
    inference = jnp.where(used & at_least, jnp.maximum(left / serve_n, least), inference)
    left = jnp.where(used & at_least, -by_size - train * train_n - inference * serve_n, left)
    # `left` positive: a larger N would help; negative: a smaller one.
    rest = jnp.where(at_cap, jnp.minimum(left, 0.0), left)
    rest = jnp.where(at_low, jnp.maximum(rest, 0.0), rest)
    none = jnp.full_like(n, jnp.nan)
    return (train, inference, none), jnp.abs(rest), ~tight & at_wall


def _total(law, box, point, slopes, at_wall, at_cap, at_low, at_least):
    """The price of the total, the residual, and whether part of it is left over."""
    by_size, by_data, by_samples = slopes
    spent, rates = jax.value_and_grad(
        lambda n, d, x: box.log_spent(law, n, d, x), argnums=(0, 1, 2)
    )(*point)
    rate_n, rate_d, rate_x = rates
    slack = spent < box.total - 1e-7
    from_data = -by_data / rate_d
    from_samples = jnp.where(rate_x > 0, -by_samples / jnp.where(rate_x > 0, rate_x, 1.0), 0.0)
    from_size = -by_size / rate_n
    low = jnp.zeros_like(rate_n) if box.pinned else jnp.maximum(from_samples, 0.0)
    # At the least k and at the wall, N alone says what money is worth, within what the others do.
    squeezed = jnp.clip(from_size, low, jnp.maximum(from_data, low))
    free_x = jnp.where(at_wall | (rate_x > rate_d), from_samples, from_data)
    price = jnp.where(at_least, jnp.where(at_wall, squeezed, from_data), free_x)
    price = jnp.where(slack, 0.0, price)
    rest_d = by_data + price * rate_d  # negative: more data would help
    rest_d = jnp.where(at_wall, jnp.maximum(rest_d, 0.0), jnp.abs(rest_d))
    rest_x = by_samples + price * rate_x  # positive: fewer samples would help
    rest_x = jnp.where(at_least, jnp.maximum(-rest_x, 0.0), jnp.abs(rest_x))
    if box.pinned:
        rest_x = jnp.zeros_like(rest_x)
    rest_n = by_size + price * rate_n
    rest_n = jnp.where(at_cap, jnp.maximum(rest_n, 0.0), rest_n)
    rest_n = jnp.where(at_low, jnp.minimum(rest_n, 0.0), rest_n)
    residual = jnp.maximum(jnp.maximum(rest_d, rest_x), jnp.abs(rest_n))
    none = jnp.full_like(price, jnp.nan)
    return (none, none, price), residual, slack
