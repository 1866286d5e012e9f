"""The monotone Beta law: pass@k that never rises with a worse loss."""

import jax.numpy as jnp

from t2jax import beta
from t2jax._typing import ArrayLike, Floats
from t2jax.laws._law import Coefficient, Law, bounded_exp, final_law
from t2jax.laws.additive import Additive

__all__ = ["BetaMonotone"]

_SLOPES = (0.03, 0.15, 0.5, 1.2)


@final_law
class BetaMonotone(Law):
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
    default_loss = Additive
    kind = "accuracy"
    uses_samples = True
    own_cards = (
        Coefficient(
            name="a0", symbol="a₀", meaning="log a at L = 0", centre=("a1", "loss", 1),
            grid=(-5.0, -3.0, -2.0, -1.0, 0.0, 1.0),
        ),
        Coefficient(
            name="a1", symbol="a₁", meaning="fall of log a per nat", lower=0.0, closed=True,
            grid=_SLOPES,
        ),
        Coefficient(
            name="b0", symbol="b₀", meaning="log b at L = 0", centre=("b1", "loss", -1),
            grid=(-1.0, 0.0, 1.0, 2.0, 4.0, 6.0),
        ),
        Coefficient(
            name="b1", symbol="b₁", meaning="rise of log b per nat", lower=0.0, closed=True,
            grid=_SLOPES,
        ),
    )  # fmt: skip

    loss: Law
    a0: ArrayLike
    a1: ArrayLike
    b0: ArrayLike
    b1: ArrayLike

    def spread(
        self, *, params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike = jnp.inf
    ) -> tuple[Floats, Floats]:
        """The Beta parameters (a, b) of the success probability over questions."""
        inner = self.loss(params=params, tokens=tokens, unique_tokens=unique_tokens)
        return bounded_exp(self.a0 - self.a1 * inner), bounded_exp(self.b0 + self.b1 * inner)

    def __call__(self, *, params, tokens, samples=1.0, unique_tokens=jnp.inf):
        """`1 - B(a, b + k)/B(a, b)`."""
        a, b = self.spread(params=params, tokens=tokens, unique_tokens=unique_tokens)
        return beta.pass_at_k(a, b, samples)

    def neg_log_pass(self, *, params, tokens, samples=1.0, unique_tokens=jnp.inf) -> Floats:
        """The mean of -log pass@k over questions, nats."""
        a, b = self.spread(params=params, tokens=tokens, unique_tokens=unique_tokens)
        return beta.mean_neg_log_pass(a, b, samples)
