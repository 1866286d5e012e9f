"""Shadow prices and the KKT residual of a candidate optimum, by automatic differentiation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from t2jax._typing import Scalar
from t2jax.errors import Status
from t2jax.laws import Law
from t2jax.optimum.budget import Box
from t2jax.optimum.solve import cost_of

__all__ = ["Certified", "certify"]

_TOUCH = 1e-9  # how near, in logs, counts as on a bound


class Certified(NamedTuple):
    """One optimum in numbers.

    Attributes:
      params: N.
      tokens: D.
      samples: k.
      value: the law there.
      train_price: fall of the cost per e-fold of training FLOPs.
      inference_price: fall of the cost per e-fold of inference FLOPs.
      kkt_residual: violation of the first-order conditions, relative to the largest slope.
      status: flags, as an integer.
    """

    params: Scalar
    tokens: Scalar
    samples: Scalar
    value: Scalar
    train_price: Scalar
    inference_price: Scalar
    kkt_residual: Scalar
    status: Scalar


def certify(law: Law, box: Box, n: Scalar, several: Scalar) -> Certified:
    """Multipliers and residual at log N, with every constraint's sign respected.

    The Lagrangian is `y + lam_t (n+d-c_t) + lam_i (n+x-c_i) + mu_N (n-N_max) + mu_D (d-D_max)
    - mu_k x`; each multiplier is zero unless its constraint is active, and never negative.

    Args:
      law: one law.
      box: one budget in logs.
      n: log N of the candidate.
      several: whether another valley is nearly as deep.
    """
    d, x = box.tokens(n), box.samples(n)
    slopes = jax.grad(cost_of(law), argnums=(0, 1, 2))(n, d, x)
    by_size, by_data, by_samples = slopes
    scale = jnp.maximum(jnp.max(jnp.abs(jnp.stack(slopes))), 1e-300)
    budgeted = jnp.isfinite(box.inference)
    at_wall = d >= box.max_tokens - _TOUCH
    at_kink = at_wall & (jnp.abs(box.train - n - box.max_tokens) < 1e-7)
    at_one = budgeted & (x <= _TOUCH)
    at_cap = n >= box.max_params - _TOUCH

    inference = jnp.where(budgeted & ~at_one, -by_samples, 0.0)
    left = -by_size - inference  # what the training budget and a cap on N must carry
    train = jnp.where(at_wall, jnp.where(at_kink, jnp.clip(left, 0.0, -by_data), 0.0), -by_data)
    left = left - train
    # At k = 1 the inference budget carries the rest, and at least what samples would buy.
    inference = jnp.where(at_one, jnp.maximum(left, -by_samples), inference)
    left = jnp.where(at_one, -by_size - train - inference, left)
    cap = jnp.where(at_cap, jnp.maximum(left, 0.0), 0.0)
    residual = jnp.abs(left - cap) / scale

    edge = (n >= box.train - _TOUCH) | (n <= box.lower() + _TOUCH)
    flags = [
        (at_wall, Status.AT_MAX_TOKENS),
        (at_cap, Status.AT_MAX_PARAMS),
        (at_one, Status.AT_ONE_SAMPLE),
        (edge, Status.AT_SEARCH_EDGE),
        (several, Status.SEVERAL_MODES),
        (~(residual < 1e-6) & ~edge, Status.NOT_CONVERGED),
    ]
    status = sum(jnp.where(on, int(flag), 0) for on, flag in flags)
    params, tokens = jnp.exp(n), jnp.exp(d)
    samples = jnp.where(at_one, 1.0, jnp.exp(x))
    value = law(params=params, tokens=tokens, samples=samples)
    return Certified(
        params, tokens, samples, value, train, inference, residual, jnp.asarray(status)
    )
