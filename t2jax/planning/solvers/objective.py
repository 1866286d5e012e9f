"""What is minimised in logs of N, D and k: a law, repetition of data, uncertain demand."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from t2jax._typing import Floats, Scalar
from t2jax.laws import Law
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.repeated_data import seen

__all__ = ["cost_of", "value_of"]


def value_of(law: Law, box: Box) -> Callable[[Scalar, Scalar, Scalar], Floats]:
    """The law's value in logs of N, D and k, as the planner will see it.

    With unique tokens, a token or parameter past its use counts for what it is worth; with
    uncertain demand the value is the expectation, samples moving inversely to demand.
    """

    def value(n, d, x):
        point = seen(law, box.repeating, n, d)
        if box.offsets.shape[-1] == 1:
            return law(samples=jnp.exp(x), **point)
        each = jax.vmap(lambda offset: law(samples=jnp.exp(x - offset), **point))(box.offsets)
        return jnp.tensordot(box.weights, each, 1)

    return value


def cost_of(law: Law, box: Box) -> Callable[[Scalar, Scalar, Scalar], Floats]:
    """What is minimised: the loss, or minus the accuracy."""
    value = value_of(law, box)
    return value if law.kind == "loss" else lambda n, d, x: -value(n, d, x)
