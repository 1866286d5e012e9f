"""Shadow prices and the KKT residual of a candidate optimum, by automatic differentiation.

With y the cost, T and S the logs of what training and one question cost, and n, d, x the logs of
N, D and k, a plan under separate budgets is optimal only if multipliers that are not negative, each
zero unless its constraint binds, solve (subscripts are derivatives)

    y_n + lam_t T_n + lam_i S_n + mu_N - mu_n = 0
    y_d + lam_t T_d + lam_i S_d + mu_D        = 0        T_d = 1
    y_x             + lam_i S_x        - mu_k = 0

The equation of x gives lam_i where k is free, that of d gives lam_t off the data wall. On a bound
one of them becomes an inequality (mu_D >= 0: lam_t at most what data would pay; mu_k >= 0: lam_i at
least what samples would pay), and the equation of n says which value inside it. What the equation
of n is left with, after a cap on N or a least N has carried its sign, is the residual: no solver's
word is taken for it. Under one budget for everything lam_t = lam_i, times each cost's share.
Where y is convex in logs these conditions are sufficient (Boyd and Vandenberghe 2004, section 5.5).
A law may have a kink, as where a table's range ends: there an optimum has slopes of two signs, and
under separate budgets costs that rise to both sides say so.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from t2jax._typing import Scalar
from t2jax.errors import Status
from t2jax.laws import Law
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.objective import cost_of
from t2jax.planning.solvers.repeated_data import borrows
from t2jax.planning.solvers.scan import path_cost

__all__ = ["Certified", "certify"]

_TOUCH = 1e-9  # how near, in logs, counts as on a bound: solvers clip to bounds exactly
_TIGHT = 1e-7  # how near, in logs, counts as spent: less is not worth a word about money left
_STEP = 1e-7  # e-folds of N to both sides of a kink
_RISE = 1e-13  # of the cost, by which it rises there: a smooth one rises by less, or falls
_LARGEST_RESIDUAL = 1e-6  # of the largest slope: a plan as good as the optimum to 12 digits


class _Bounds(NamedTuple):
    """Which bounds a plan touches: the data wall, the cap on N, the least N, the least k."""

    wall: Scalar
    cap: Scalar
    low: Scalar
    least: Scalar


class _Point(NamedTuple):
    """Logs of N, D and k, or slopes in them."""

    n: Scalar
    d: Scalar
    x: Scalar


class _Judged(NamedTuple):
    """Prices of the budgets, NaN where there is no such budget, the residual, and money left."""

    train: Scalar
    inference: Scalar
    total: Scalar
    residual: Scalar
    slack: Scalar


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
    plan, slopes = _Point(n, d, x), _Point(*slopes)
    bounds = _Bounds(
        wall=d >= box.max_tokens - _TOUCH,
        cap=n >= box.max_params - _TOUCH,
        low=n <= box.min_params + _TOUCH,
        least=jnp.asarray(True) if box.pinned else x <= box.floor + _TOUCH,
    )
    judged = (_separate if box.separate else _total)(law, box, plan, slopes, bounds)
    largest = jnp.max(jnp.abs(jnp.stack(slopes)))
    residual = judged.residual / jnp.maximum(largest, 1e-300)
    if box.separate:
        left, here, right = path_cost(law, box)(n + jnp.array([-_STEP, 0.0, _STEP]), 0.0)
        kink = jnp.minimum(left, right) - here > _RISE * jnp.abs(here)
        kink = kink & (residual > _LARGEST_RESIDUAL)
        residual = jnp.where(kink, jnp.zeros_like(residual), residual)
    judged = judged._replace(residual=residual)
    status = _status(law, box, plan, bounds, judged, several)
    samples = jnp.where(bounds.least, jnp.exp(box.floor), jnp.exp(x))
    spent = jnp.full_like(n, jnp.nan) if box.separate else jnp.exp(box.log_spent(law, n, d, x))
    value = cost if law.kind == "loss" else -cost
    return Certified(
        params=jnp.exp(n), tokens=jnp.exp(d), samples=samples, value=value, spent=spent,
        train_price=judged.train, inference_price=judged.inference, total_price=judged.total,
        kkt_residual=judged.residual, status=status,
    )  # fmt: skip


def _status(
    law: Law, box: Box, plan: _Point, bounds: _Bounds, judged: _Judged, several: Scalar
) -> Scalar:
    """What must be said beside the plan, as a sum of flags."""
    edge = (plan.d <= _TOUCH) | (bounds.low & (box.min_params <= 0.0))
    served = jnp.isfinite(box.inference) if box.separate else jnp.asarray(law.uses_samples)
    one_sample = ~jnp.asarray(box.pinned) & bounds.least
    if box.pinned and box.separate:  # one sample decides only where it is what caps the size
        one_sample = served & (plan.n >= box.upper() - _TOUCH) & (box.floor <= _TOUCH)
    repeated = box.repeats & borrows(law) & (plan.d > box.unique + _TOUCH)
    flags = [
        (bounds.wall, Status.AT_MAX_TOKENS),
        (bounds.cap, Status.AT_MAX_PARAMS),
        (one_sample & served, Status.AT_ONE_SAMPLE),
        (edge, Status.AT_SEARCH_EDGE),
        (bounds.low & (box.min_params > 0.0), Status.AT_MIN_PARAMS),
        (judged.slack, Status.BUDGET_LEFT),
        (several, Status.SEVERAL_MODES),
        (repeated, Status.BORROWED_REPETITION),
        (~(judged.residual < _LARGEST_RESIDUAL) & ~edge, Status.NOT_CONVERGED),
    ]
    return jnp.asarray(sum(jnp.where(on, int(flag), 0) for on, flag in flags))


def _separate(law: Law, box: Box, plan: _Point, slopes: _Point, bounds: _Bounds) -> _Judged:
    """Prices of the two budgets, the residual, and whether training money is left over."""
    n, d, x = plan
    by_size, by_data, by_samples = slopes
    at_wall, at_cap, at_low, at_least = bounds
    budgeted = jnp.isfinite(box.inference)
    train_n = jax.grad(box.log_train)(n, d)
    serve = jax.grad(lambda n, d, x: box.log_serve(law, n, d, x), argnums=(0, 1, 2))(n, d, x)
    serve_n, serve_d, serve_x = serve
    tight = jnp.abs(box.log_train(n, d) - box.train) < _TIGHT
    at_kink = at_wall & tight
    used = budgeted & (jnp.abs(box.log_serve(law, n, d, x) - box.inference) < _TIGHT)

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
    return _Judged(train, inference, none, jnp.abs(rest), ~tight & at_wall)


def _total(law: Law, box: Box, plan: _Point, slopes: _Point, bounds: _Bounds) -> _Judged:
    """The price of the total, the residual, and whether part of it is left over."""
    at_wall, at_cap, at_low, at_least = bounds
    by_size, by_data, by_samples = slopes
    spent, rates = jax.value_and_grad(
        lambda n, d, x: box.log_spent(law, n, d, x), argnums=(0, 1, 2)
    )(*plan)
    rate_n, rate_d, rate_x = rates
    slack = spent < box.total - _TIGHT
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
    return _Judged(none, none, price, residual, slack)
