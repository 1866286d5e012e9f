"""The additive (Chinchilla) loss law."""

import jax.numpy as jnp

from t2jax._precision import log_parts
from t2jax._typing import ArrayLike, Floats
from t2jax.laws._law import Coefficient, Law, Role, final_law
from t2jax.laws._prior import Prior, Scale, log_normal

__all__ = ["A_CARD", "B_CARD", "EXPONENT_GRID", "E_CARD", "Additive", "exponent_card", "power"]

EXPONENT_GRID = (0.06, 0.12, 0.2, 0.3, 0.42, 0.58, 0.8, 1.2)
"""Start grid of a loss exponent: wide enough for every public table, finer where they cluster."""

E_CARD = Coefficient(
    name="E", symbol="E", meaning="irreducible loss, nats", role=Role.FLOOR, lower=0.0, closed=True,
    prior=log_normal(0.8, 0.3, scale=Scale.LEAST),
)  # fmt: skip

# A term at the centroid of the data is a fifth of what the losses span; without a floor the two
# terms carry the whole loss, half each, and fall less fast.
_TERM = log_normal(0.2, 1.0, scale=Scale.RANGE)
_HALF = log_normal(0.5, 1.0, scale=Scale.MEAN)
A_CARD = Coefficient(
    name="A", symbol="A", meaning="amplitude of the size term", role=Role.AMPLITUDE, lower=0.0,
    centre=("alpha", "params", 1), prior=_TERM, prior_without_floor=_HALF,
)  # fmt: skip
B_CARD = Coefficient(
    name="B", symbol="B", meaning="amplitude of the data term", role=Role.AMPLITUDE, lower=0.0,
    centre=("beta", "tokens", 1), prior=_TERM, prior_without_floor=_HALF,
)  # fmt: skip


_EXPONENT = log_normal(0.35, 0.4)


def exponent_card(name: str, symbol: str, meaning: str, prior: Prior = _EXPONENT) -> Coefficient:
    """The card of a positive exponent of N or D."""
    return Coefficient(
        name=name, symbol=symbol, meaning=meaning, role=Role.EXPONENT, lower=0.0,
        grid=EXPONENT_GRID, prior=prior, prior_without_floor=log_normal(0.2, 0.8),
    )  # fmt: skip


def power(amplitude: ArrayLike, exponent: ArrayLike, base: ArrayLike) -> Floats:
    """`amplitude * base**-exponent` as `exp(log A - a log x)`: finite where the product is.

    In single precision neither factor need be: an amplitude is the term at N = 1, 40 decades off.
    """
    log, factor = log_parts(amplitude)
    return factor * jnp.exp(log - jnp.asarray(exponent) * jnp.log(base))


@final_law
class Additive(Law):
    """Chinchilla's loss law in parameters and training tokens.

    `L(N, D) = E + A N^-alpha + B D^-beta`

    Args:
      E: irreducible loss, nats.
      A: amplitude of the size term, nats at N = 1.
      B: amplitude of the data term, nats at D = 1.
      alpha: exponent of parameters.
      beta: exponent of training tokens.

    Source: Hoffmann et al. 2022, arXiv:2203.15556; coefficients as in arXiv:2404.10102.

    >>> law = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> round(float(law(params=70e9, tokens=1.4e12)), 3)
    1.932
    """

    name = "additive"
    own_cards = (
        E_CARD,
        A_CARD,
        B_CARD,
        exponent_card("alpha", "α", "exponent of parameters"),
        exponent_card("beta", "β", "exponent of training tokens"),
    )
    linear = ("E", "A", "B")

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """`E + A N^-alpha + B D^-beta`."""
        return self.E + power(self.A, self.alpha, params) + power(self.B, self.beta, tokens)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E, A and B."""
        one = jnp.ones_like(value)
        size, data = power(1.0, self.alpha, params), power(1.0, self.beta, tokens)
        return jnp.stack([one, size, data], axis=-1), value, one
