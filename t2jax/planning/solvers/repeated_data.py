"""What a law is asked when training tokens may repeat: the worth of data and of size."""

from typing import Any

import jax.numpy as jnp

from t2jax._typing import Scalar
from t2jax.laws import DataConstrained, Law
from t2jax.laws.data_constrained import log_worth

__all__ = ["R_D", "R_N", "borrows", "seen"]

R_D, R_N = 15.387756, 5.309743
"""Decay constants of repeated tokens and of excess parameters (arXiv:2305.16264)."""


def seen(law: Law, unique: Scalar | None, n, d) -> dict[str, Any]:
    """The arguments that a law is called with at logs of N and D.

    A law on `data_constrained` takes the unique tokens itself, with its own decay constants;
    any other is given the published ones: `D' = U + U R*_D (1 - exp(-R_D/R*_D))`, and N' alike.

    Args:
      law: one law.
      unique: log of the unique tokens U; None where tokens do not repeat.
      n: log N.
      d: log D.
    """
    if unique is None:
        return {"params": jnp.exp(n), "tokens": jnp.exp(d)}
    if not borrows(law):
        return {"params": jnp.exp(n), "tokens": jnp.exp(d), "unique_tokens": jnp.exp(unique)}
    fresh = jnp.minimum(d, unique)
    size, data = law.base.power_term("params"), law.base.power_term("tokens")
    if size is not None and data is not None:
        (log_a, alpha), (log_b, beta) = size, data
        log_g = (jnp.log(alpha) + log_a - jnp.log(beta) - log_b) / (alpha + beta)
        matched = log_g + (fresh + log_g) * beta / alpha
        n = log_worth(n, jnp.minimum(n, matched), R_N)
    return {"params": jnp.exp(n), "tokens": jnp.exp(log_worth(d, fresh, R_D))}


def borrows(law: Law) -> bool:
    """Whether repeated tokens are judged by published constants, the law knowing none."""
    return not isinstance(law.base, DataConstrained)
