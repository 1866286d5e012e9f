"""T2's Approach 1: a loss law with a power-law term in samples, in Box-Cox form."""

from typing import Self

import jax.numpy as jnp

from t2jax._typing import ArrayLike, Floats
from t2jax.laws._law import Coefficient, Law, Role, final_law
from t2jax.laws._prior import Prior, Scale, log_normal
from t2jax.laws.additive import A_CARD, B_CARD, exponent_card, power

__all__ = ["T2Loss"]


def _samples_term(gamma: ArrayLike, log_samples: ArrayLike) -> Floats:
    """`expm1(-gamma x)/gamma`, smooth through gamma = 0, where it is `-x`."""
    log_samples = jnp.asarray(log_samples)
    z = -jnp.asarray(gamma) * log_samples
    small = jnp.abs(z) < 1e-3  # series error z^4/120 < 1e-14, and finite second derivatives
    series = -log_samples * (1 + z / 2 * (1 + z / 3 * (1 + z / 4)))
    safe = jnp.where(small, 1.0, z)
    # JAX takes the slope of expm1 as expm1 + 1, which has lost its digits where exp is small;
    # divided by gamma, not by z, the slope in log k is then exp(z) to the last digit.
    less_one = jnp.where(z < -0.5, jnp.exp(safe) - 1.0, jnp.expm1(safe))
    return jnp.where(small, series, less_one / jnp.where(small, 1.0, gamma))


@final_law
class T2Loss(Law):
    """T2's Approach 1, with the samples term in Box-Cox form.

    `L(N, D, k) = E1 + A N^-alpha + B D^-beta + S (k^-gamma - 1)/gamma`

    With `E1 = E + G` and `S = G gamma` this is the published
    `E + A N^-alpha + B D^-beta + G k^-gamma`; gamma = 0 (a logarithm in k) is interior.
    E and G trade off and are weakly identified: read them as derived quantities.

    Args:
      E1: irreducible loss at one sample, nats.
      A: amplitude of the size term.
      B: amplitude of the data term.
      S: slope of the loss in log k at k = 1, nats per e-fold.
      alpha: exponent of parameters.
      beta: exponent of training tokens.
      gamma: exponent of samples; any sign.

    Source: Roberts et al. 2026, arXiv:2604.01411, Approach 1.

    >>> law = T2Loss.from_paper(E=0.5, A=400.0, B=2000.0, G=3.0, alpha=0.35, beta=0.37, gamma=0.3)
    >>> round(float(law(params=1e8, tokens=1e10, samples=16)), 4)
    2.8388
    >>> round(float(law.G), 6), round(float(law.E), 6)
    (3.0, 0.5)
    """

    name = "t2_loss"
    uses_samples = True
    own_cards = (
        Coefficient(
            name="E1", symbol="E₁", meaning="irreducible loss at k = 1, nats",
            role=Role.FLOOR, lower=0.0, closed=True, prior=log_normal(0.8, 0.3, scale=Scale.LEAST),
        ),
        A_CARD,
        B_CARD,
        Coefficient(
            name="S", symbol="S", meaning="slope in log k at k = 1", role=Role.AMPLITUDE,
            lower=0.0, centre=("gamma", "samples", 1),
            prior=Prior(family="half_normal", first=1.0),
        ),
        exponent_card("alpha", "α", "exponent of parameters"),
        exponent_card("beta", "β", "exponent of training tokens"),
        Coefficient(
            name="gamma", symbol="γ", meaning="exponent of samples", role=Role.EXPONENT,
            grid=(0.01, 0.1, 0.2, 0.35, 0.6), prior=Prior(family="normal", first=0.25, second=0.25),
        ),
    )  # fmt: skip
    linear = ("E1", "A", "B", "S")

    E1: ArrayLike
    A: ArrayLike
    B: ArrayLike
    S: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    gamma: ArrayLike

    @classmethod
    def from_paper(
        cls,
        *,
        E: ArrayLike,
        A: ArrayLike,
        B: ArrayLike,
        G: ArrayLike,
        alpha: ArrayLike,
        beta: ArrayLike,
        gamma: ArrayLike,
    ) -> Self:
        """The law from the coefficients as the paper prints them."""
        return cls(E1=E + G, A=A, B=B, S=G * gamma, alpha=alpha, beta=beta, gamma=gamma)

    @property
    def G(self) -> ArrayLike:
        """The paper's amplitude of the samples term, `S/gamma`."""
        return self.S / self.gamma

    @property
    def E(self) -> ArrayLike:
        """The paper's irreducible loss, `E1 - S/gamma`: negative where the fit leaves its form."""
        return self.E1 - self.S / self.gamma

    def rivals(self):
        """The published E and G, which trade off: their sum is the loss at one sample."""
        return self.E, {"G": self.G}

    def formula(self, params, tokens, samples, unique_tokens):
        """`E1 + A N^-alpha + B D^-beta + S (k^-gamma - 1)/gamma`."""
        loss = self.E1 + power(self.A, self.alpha, params) + power(self.B, self.beta, tokens)
        return loss + self.S * _samples_term(self.gamma, jnp.log(samples))

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E1, A, B and S."""
        one = jnp.ones_like(value)
        size, data = power(1.0, self.alpha, params), power(1.0, self.beta, tokens)
        repeat = _samples_term(self.gamma, jnp.log(samples))
        return jnp.stack([one, size, data, repeat], axis=-1), value, one
