"""The softplus law whose bend widens with the loss."""

import jax
import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws._law import Coefficient, Law, Role, final_law
from t2jax.laws._on_loss import OnLoss
from t2jax.laws._prior import Prior, log_normal
from t2jax.laws.softplus import inverse_softplus

__all__ = ["SoftplusScaled"]


@final_law
class SoftplusScaled(OnLoss):
    """The softplus law with a bend that depends on the loss itself.

    `y(N, D, k) = s log(1 + exp((L - log k)/s))`, `s = s1 L^v`, `L = L(N, D)` in nats

    Args:
      loss: a law of N and D; the additive law unless another is given.
      s1: width of the bend at a loss of one nat, nats.
      v: exponent of the width in the loss; 0 gives the softplus law.

    >>> from t2jax.laws import Additive
    >>> inner = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> law = SoftplusScaled(loss=inner, s1=0.5, v=0.0)
    >>> round(float(law(params=1e9, tokens=2e10, samples=4.0)), 4)
    1.232
    """

    name = "softplus_scaled"
    own_cards = (
        Coefficient(
            name="s1", symbol="s₁", meaning="width of the bend at L = 1 nat, nats",
            role=Role.SPREAD, lower=0.0, grid=(0.3, 0.7, 1.3, 2.2, 4.0),
            prior=log_normal(1.0, 0.7),
        ),
        Coefficient(
            name="v", symbol="v", meaning="exponent of the width in the loss", role=Role.SPREAD,
            grid=(0.0, 0.5), prior=Prior(family="normal", first=0.0, second=0.5),
        ),
    )  # fmt: skip

    loss: Law
    s1: ArrayLike
    v: ArrayLike

    def of_loss(self, loss, samples):
        """`s log(1 + exp((L - log k)/s))` with `s = s1 L^v`."""
        width = self.s1 * jnp.exp(self.v * jnp.log(loss))
        return width * jax.nn.softplus((loss - jnp.log(samples)) / width)

    def start_problem(self, *, value, params, tokens, samples):
        """As for a constant width: the width enters the inner loss only weakly."""
        target = inverse_softplus(value, self.s1) + jnp.log(samples)
        columns, target, inner_slope = self.loss.start_problem(
            value=target, params=params, tokens=tokens, samples=samples
        )
        return columns, target, -inner_slope / jnp.expm1(-value / self.s1)
