"""The monotone Beta law: pass@k that never rises with a worse loss."""

from t2jax._typing import ArrayLike
from t2jax.laws._law import Coefficient, Law, Role, final_law
from t2jax.laws._on_loss import BetaSpread, bounded_exp
from t2jax.laws._prior import Prior

__all__ = ["BetaMonotone"]

_SLOPES = (0.03, 0.15, 0.5, 1.2)


@final_law
class BetaMonotone(BetaSpread):
    """Success probabilities are Beta(a, b); a falls and b rises with the loss.

    `log a = a0 - a1 L`, `log b = b0 + b1 L`, `pass@k = 1 - B(a, b + k)/B(a, b)`,
    `L = L(N, D)` in nats

    Args:
      loss: a law of N and D for the mean loss L; the additive law unless another is given.
      a0: log a at L = 0.
      a1: fall of log a per nat, not negative.
      b0: log b at L = 0.
      b1: rise of log b per nat, not negative.

    >>> from t2jax.laws import Additive
    >>> inner = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> law = BetaMonotone(loss=inner, a0=1.0, a1=0.8, b0=-1.0, b1=1.0)
    >>> round(float(law(params=1e9, tokens=2e10, samples=8.0)), 4)
    0.298
    """

    name = "beta_monotone"
    own_cards = (
        Coefficient(
            name="a0", symbol="a₀", meaning="log a at L = 0", role=Role.SPREAD,
            centre=("a1", "loss", 1), grid=(-5.0, -3.0, -2.0, -1.0, 0.0, 1.0),
            prior=Prior(family="normal", first=-1.0, second=2.0),
        ),
        Coefficient(
            name="a1", symbol="a₁", meaning="fall of log a per nat", role=Role.SPREAD, lower=0.0,
            closed=True, grid=_SLOPES, prior=Prior(family="half_normal", first=1.0),
        ),
        Coefficient(
            name="b0", symbol="b₀", meaning="log b at L = 0", role=Role.SPREAD,
            centre=("b1", "loss", -1), grid=(-1.0, 0.0, 1.0, 2.0, 4.0, 6.0),
            prior=Prior(family="normal", first=4.0, second=5.0),
        ),
        Coefficient(
            name="b1", symbol="b₁", meaning="rise of log b per nat", role=Role.SPREAD, lower=0.0,
            closed=True, grid=_SLOPES, prior=Prior(family="half_normal", first=2.0),
        ),
    )  # fmt: skip

    loss: Law
    a0: ArrayLike
    a1: ArrayLike
    b0: ArrayLike
    b1: ArrayLike

    def beta_of(self, loss):
        """The Beta parameters (a, b) of the success probability over questions."""
        return bounded_exp(self.a0 - self.a1 * loss), bounded_exp(self.b0 + self.b1 * loss)
