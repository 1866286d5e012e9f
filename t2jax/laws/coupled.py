"""The coupled loss law: size and data share one outer exponent."""

import dataclasses

import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws._law import Coefficient, Law, Role, final_law, log_of
from t2jax.laws._prior import log_normal
from t2jax.laws.additive import A_CARD, B_CARD, E_CARD, exponent_card, power

__all__ = ["Coupled"]

_KAPPA = 0.7  # prior median of the outer exponent


def _inside(card: Coefficient) -> Coefficient:
    """The card of an amplitude that is a term of the loss only under the outer power."""
    assert card.prior is not None
    return dataclasses.replace(card, prior=dataclasses.replace(card.prior, power=_KAPPA))


@final_law
class Coupled(Law):
    """Size and data terms added under an outer exponent.

    `L(N, D) = E + (A N^-alpha + B D^-beta)^kappa`

    Args:
      E: irreducible loss, nats.
      A: amplitude of the size term inside the power.
      B: amplitude of the data term inside the power.
      alpha: inner exponent of parameters.
      beta: inner exponent of training tokens.
      kappa: outer exponent; 1 gives the additive law.

    Source: arXiv:2608.07222.

    >>> law = Coupled(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283, kappa=1.0)
    >>> round(float(law(params=70e9, tokens=1.4e12)), 3)
    1.932
    """

    name = "coupled"
    own_cards = (
        dataclasses.replace(E_CARD, grid=(0.02, 0.3, 0.6, 0.85), grid_unit="min"),
        _inside(A_CARD),
        _inside(B_CARD),
        exponent_card("alpha", "α", "inner exponent of parameters", log_normal(0.45, 0.4)),
        exponent_card("beta", "β", "inner exponent of training tokens", log_normal(0.45, 0.4)),
        Coefficient(
            name="kappa", symbol="κ", meaning="outer exponent", role=Role.EXPONENT, lower=0.0,
            grid=(0.5, 0.8, 1.0), prior=log_normal(_KAPPA, 0.4), penalised=True,
        ),
    )  # fmt: skip
    linear = ("A", "B")

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    kappa: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """`E + (A N^-alpha + B D^-beta)^kappa`."""
        size = log_of(self.A) - self.alpha * jnp.log(params)
        data = log_of(self.B) - self.beta * jnp.log(tokens)
        # The sum inside may lie 40 decades from the loss: it is never taken out of its log.
        return self.E + jnp.exp(self.kappa * jnp.logaddexp(size, data))

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in A and B once E is taken off and the outer power undone."""
        size, data = power(1.0, self.alpha, params), power(1.0, self.beta, tokens)
        reducible = value - self.E
        target = jnp.exp(jnp.log(reducible) / self.kappa)
        return jnp.stack([size, data], axis=-1), target, target / (self.kappa * reducible)
