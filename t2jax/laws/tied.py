"""The tied loss law: one exponent for size and data."""

import dataclasses

import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws._law import Law, final_law
from t2jax.laws.additive import A_CARD, B_CARD, E_CARD, exponent_card, power

__all__ = ["Tied"]


@final_law
class Tied(Law):
    """The additive law with equal exponents.

    `L(N, D) = E + A N^-alpha + B D^-alpha`

    Args:
      E: irreducible loss, nats.
      A: amplitude of the size term, nats at N = 1.
      B: amplitude of the data term, nats at D = 1.
      alpha: exponent of both.

    Source: Gadre et al. 2024, arXiv:2403.08540.

    >>> law = Tied(E=1.8, A=400.0, B=800.0, alpha=0.33)
    >>> round(float(law(params=1e9, tokens=20e9)), 3)
    2.548
    """

    name = "tied"
    own_cards = (
        E_CARD,
        A_CARD,
        dataclasses.replace(B_CARD, centre=("alpha", "tokens", 1)),
        exponent_card("alpha", "α", "exponent of parameters and of training tokens"),
    )
    linear = ("E", "A", "B")

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """`E + A N^-alpha + B D^-alpha`."""
        return self.E + power(self.A, self.alpha, params) + power(self.B, self.alpha, tokens)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E, A and B."""
        one = jnp.ones_like(value)
        size, data = power(1.0, self.alpha, params), power(1.0, self.alpha, tokens)
        return jnp.stack([one, size, data], axis=-1), value, one
