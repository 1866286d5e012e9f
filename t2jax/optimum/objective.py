"""What is minimised in logs of N, D and k: a law, repetition of data, uncertain demand."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from t2jax._typing import Floats, Scalar
from t2jax.laws import DataConstrained, Law
from t2jax.laws.data_constrained import log_worth

if TYPE_CHECKING:
    from t2jax.optimum.box import Box

__all__ = ["R_D", "R_N", "borrows", "cost_of", "seen", "value_of"]

R_D, R_N = 15.387756, 5.309743
"""Decay constants of repeated tokens and of excess parameters (arXiv:2305.16264)."""


def value_of(law: Law, box: "Box") -> Callable[[Scalar, Scalar, Scalar], Floats]:
    """The law's value in logs of N, D and k, as the planner will see it.

    With unique tokens, a token or parameter past its use counts for what it is worth; with
    uncertain demand the value is the expectation, samples moving inversely to demand.
    """

    def value(n, d, x):
        point = seen(law, box, n, d)
        if box.offsets.shape[-1] == 1:
            return law(samples=jnp.exp(x), **point)
        each = jax.vmap(lambda offset: law(samples=jnp.exp(x - offset), **point))(box.offsets)
        return jnp.tensordot(box.weights, each, 1)

    return value


def cost_of(law: Law, box: "Box") -> Callable[[Scalar, Scalar, Scalar], Floats]:
    """What is minimised: the loss, or minus the accuracy."""
    value = value_of(law, box)
    return value if law.kind == "loss" else lambda n, d, x: -value(n, d, x)


def seen(law: Law, box: "Box", n, d) -> dict[str, Any]:
    """The arguments that a law is called with at logs of N and D.

    A law on `data_constrained` takes the unique tokens itself, with its own decay constants;
    any other is given the published ones: `D' = U + U R*_D (1 - exp(-R_D/R*_D))`, and N' alike.
    """
    if not box.repeats:
        return {"params": jnp.exp(n), "tokens": jnp.exp(d)}
    if not borrows(law, box):
        return {"params": jnp.exp(n), "tokens": jnp.exp(d), "unique_tokens": jnp.exp(box.unique)}
    fresh = jnp.minimum(d, box.unique)
    size, data = law.base.power_term("params"), law.base.power_term("tokens")
    if size is not None and data is not None:
        (log_a, alpha), (log_b, beta) = size, data
        log_g = (jnp.log(alpha) + log_a - jnp.log(beta) - log_b) / (alpha + beta)
        matched = log_g + (fresh + log_g) * beta / alpha
        n = log_worth(n, jnp.minimum(n, matched), R_N)
    return {"params": jnp.exp(n), "tokens": jnp.exp(log_worth(d, fresh, R_D))}


def borrows(law: Law, box: "Box") -> bool:
    """Whether repeated tokens are judged by published constants, the law knowing none."""
    return box.repeats and not isinstance(law.base, DataConstrained)
