"""The loss law of one token count: size alone."""

import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws._law import Law, final_law
from t2jax.laws.additive import A_CARD, E_CARD, exponent_card, power

__all__ = ["Size"]


@final_law
class Size(Law):
    """What size does to the loss of models that have all seen the same number of tokens.

    `L(N) = E + A N^-alpha`

    It answers questions about N and k at that number of tokens, and none about tokens.

    Args:
      E: loss of an endless model after those tokens, nats.
      A: amplitude of the size term, nats at N = 1.
      alpha: exponent of parameters.

    >>> law = Size(E=1.9, A=400.0, alpha=0.34)
    >>> round(float(law(params=1e9, tokens=1e12)), 3), round(float(law(params=1e9, tokens=1e10)), 3)
    (2.248, 2.248)
    """

    name = "size"
    uses_tokens = False
    own_cards = (E_CARD, A_CARD, exponent_card("alpha", "α", "exponent of parameters"))
    linear = ("E", "A")

    E: ArrayLike
    A: ArrayLike
    alpha: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """`E + A N^-alpha`, of the shape of everything that is given."""
        return self.E + power(self.A, self.alpha, params) + jnp.zeros_like(tokens)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E and A."""
        one = jnp.ones_like(value)
        return jnp.stack([one, power(1.0, self.alpha, params)], axis=-1), value, one
