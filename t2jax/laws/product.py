"""The product law: repeated sampling multiplies the loss."""

import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws._law import Coefficient, Law, Role, final_law
from t2jax.laws._on_loss import OnLoss
from t2jax.laws._prior import Prior, log_normal

__all__ = ["Product"]


@final_law
class Product(OnLoss):
    """Loss after k samples as the single-sample loss times a power of k.

    `y(N, D, k) = L(N, D) (1 + c (k - 1))^-gamma`

    Args:
      loss: a law of N and D; the additive law unless another is given.
      c: how soon further samples begin to count.
      gamma: exponent of samples at large k.

    >>> from t2jax.laws import Additive
    >>> inner = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> law = Product(loss=inner, c=0.5, gamma=0.4)
    >>> round(float(law(params=1e9, tokens=2e10, samples=4.0)), 4)
    1.784
    """

    name = "product"
    own_cards = (
        Coefficient(
            name="c", symbol="c", meaning="onset of repeated sampling", role=Role.ONSET,
            lower=0.0, grid=(0.01, 0.1, 0.5, 2.0), prior=log_normal(0.3, 1.5),
        ),
        Coefficient(
            name="gamma", symbol="γ", meaning="exponent of samples", role=Role.EXPONENT, lower=0.0,
            grid=(0.1, 0.3, 0.6, 1.0), prior=Prior(family="gamma", first=2.0, second=8.0),
        ),
    )  # fmt: skip

    loss: Law
    c: ArrayLike
    gamma: ArrayLike

    def of_loss(self, loss, samples):
        """`L(N, D) (1 + c (k - 1))^-gamma`."""
        return loss * jnp.exp(-self.gamma * jnp.log1p(self.c * (samples - 1.0)))

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in the inner loss once the factor is taken off."""
        factor = jnp.exp(self.gamma * jnp.log1p(self.c * (samples - 1.0)))
        columns, target, slope = self.loss.start_problem(
            value=value * factor, params=params, tokens=tokens, samples=samples
        )
        return columns, target, slope * factor
