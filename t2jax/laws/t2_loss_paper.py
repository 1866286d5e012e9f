"""T2's Approach 1 exactly as published, positive amplitudes included."""

import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws._law import Coefficient, Law, Role, final_law
from t2jax.laws._prior import Prior, log_normal
from t2jax.laws.additive import A_CARD, B_CARD, E_CARD, exponent_card, power
from t2jax.laws.t2_loss import T2Loss

__all__ = ["T2LossPaper"]


@final_law
class T2LossPaper(Law):
    """T2's Approach 1 in the published coefficients, all of them positive.

    `L(N, D, k) = E + A N^-alpha + B D^-beta + G k^-gamma`

    E and G trade off (their sum is the loss at one sample) and gamma = 0 is out of reach:
    `t2_loss` is the same surface in coordinates that have neither fault. This form is for
    reproducing the paper.

    Args:
      E: irreducible loss, nats.
      A: amplitude of the size term.
      B: amplitude of the data term.
      G: amplitude of the samples term.
      alpha: exponent of parameters.
      beta: exponent of training tokens.
      gamma: exponent of samples.

    Source: Roberts et al. 2026, arXiv:2604.01411, Approach 1.

    >>> law = T2LossPaper(E=0.5, A=400.0, B=2000.0, G=3.0, alpha=0.35, beta=0.37, gamma=0.3)
    >>> round(float(law(params=1e8, tokens=1e10, samples=16)), 4)
    2.8388
    """

    name = "t2_loss_paper"
    uses_samples = True
    own_cards = (
        E_CARD,
        A_CARD,
        B_CARD,
        Coefficient(
            name="G", symbol="G", meaning="amplitude of the samples term",
            role=Role.AMPLITUDE, lower=0.0, centre=("gamma", "samples", 1),
            prior=log_normal(1.0, 1.5),
        ),
        exponent_card("alpha", "α", "exponent of parameters"),
        exponent_card("beta", "β", "exponent of training tokens"),
        Coefficient(
            name="gamma", symbol="γ", meaning="exponent of samples", role=Role.EXPONENT,
            lower=0.0, grid=(0.02, 0.1, 0.2, 0.35, 0.6),
            prior=Prior(family="gamma", first=2.0, second=8.0),
        ),
    )  # fmt: skip
    linear = ("E", "A", "B", "G")

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    G: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    gamma: ArrayLike

    def boxcox(self) -> T2Loss:
        """The same surface as a `T2Loss`."""
        return T2Loss.from_paper(**self.coefficients())

    def rivals(self):
        """E and G, which trade off: their sum is the loss at one sample."""
        return self.E, {"G": self.G}

    def formula(self, params, tokens, samples, unique_tokens):
        """`E + A N^-alpha + B D^-beta + G k^-gamma`."""
        loss = self.E + power(self.A, self.alpha, params) + power(self.B, self.beta, tokens)
        return loss + power(self.G, self.gamma, samples)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E, A, B and G."""
        one = jnp.ones_like(value)
        size, data = power(1.0, self.alpha, params), power(1.0, self.beta, tokens)
        repeat = power(1.0, self.gamma, samples)
        return jnp.stack([one, size, data, repeat], axis=-1), value, one
