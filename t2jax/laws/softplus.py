"""The softplus law: repeated sampling takes log k off the loss until it saturates."""

import jax
import jax.numpy as jnp

from t2jax._typing import ArrayLike, Floats
from t2jax.laws._law import Coefficient, Law, Role, final_law
from t2jax.laws._on_loss import OnLoss
from t2jax.laws._prior import log_normal

__all__ = ["Softplus", "inverse_softplus"]


def inverse_softplus(value: Floats, sharpness: ArrayLike) -> Floats:
    """`s log(expm1(y/s))`, stable for large `y/s`."""
    ratio = value / sharpness
    return value + sharpness * jnp.log(-jnp.expm1(-ratio))


@final_law
class Softplus(OnLoss):
    """Loss after k samples as a smooth maximum of `L(N, D) - log k` and zero.

    `y(N, D, k) = s log(1 + exp((L(N, D) - log k)/s))`

    While k times the success probability is small, k samples take exactly log k off the
    mean loss; for large k the loss falls as a power law with exponent 1/s.

    Args:
      loss: a law of N and D; the additive law unless another is given.
      s: width of the bend, nats.

    >>> from t2jax.laws import Additive
    >>> inner = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> law = Softplus(loss=inner, s=0.5)
    >>> round(float(law(params=1e9, tokens=2e10, samples=4.0)), 4)
    1.232
    """

    name = "softplus"
    own_cards = (
        Coefficient(
            name="s", symbol="s", meaning="width of the bend in log k, nats", role=Role.SPREAD,
            lower=0.0, grid=(0.3, 0.7, 1.3, 2.2, 4.0), prior=log_normal(1.0, 0.7),
        ),
    )  # fmt: skip

    loss: Law
    s: ArrayLike

    def of_loss(self, loss, samples):
        """`s log(1 + exp((L - log k)/s))`."""
        return self.s * jax.nn.softplus((loss - jnp.log(samples)) / self.s)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in the inner loss once the softplus is undone."""
        target = inverse_softplus(value, self.s) + jnp.log(samples)
        slope = -1.0 / jnp.expm1(-value / self.s)
        columns, target, inner_slope = self.loss.start_problem(
            value=target, params=params, tokens=tokens, samples=samples
        )
        return columns, target, slope * inner_slope
