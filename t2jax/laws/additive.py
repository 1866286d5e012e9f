"""The additive (Chinchilla) loss law."""

import jax.numpy as jnp

from t2jax._typing import ArrayLike, Floats
from t2jax.laws._law import Coefficient, Law, final_law

__all__ = ["A_CARD", "B_CARD", "EXPONENT_GRID", "E_CARD", "Additive", "exponent_card", "power"]

EXPONENT_GRID = (0.06, 0.12, 0.2, 0.3, 0.42, 0.58, 0.8, 1.2)
"""Start grid of a loss exponent: wide enough for every public table, finer where they cluster."""

E_CARD = Coefficient(name="E", symbol="E", meaning="irreducible loss, nats", lower=0.0, closed=True)
A_CARD = Coefficient(
    name="A", symbol="A", meaning="amplitude of the size term", lower=0.0,
    centre=("alpha", "params", 1),
)  # fmt: skip
B_CARD = Coefficient(
    name="B", symbol="B", meaning="amplitude of the data term", lower=0.0,
    centre=("beta", "tokens", 1),
)  # fmt: skip


def exponent_card(name: str, symbol: str, meaning: str) -> Coefficient:
    """The card of a positive exponent."""
    return Coefficient(name=name, symbol=symbol, meaning=meaning, lower=0.0, grid=EXPONENT_GRID)


def power(amplitude: ArrayLike, exponent: ArrayLike, base: ArrayLike) -> Floats:
    """`amplitude * base**-exponent`, through logs: finite for every size and budget in use."""
    return jnp.asarray(amplitude) * jnp.exp(-jnp.asarray(exponent) * jnp.log(base))


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

    def __call__(self, *, params, tokens, samples=1.0, unique_tokens=jnp.inf):
        """`E + A N^-alpha + B D^-beta`."""
        return self.E + power(self.A, self.alpha, params) + power(self.B, self.beta, tokens)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E, A and B."""
        one = jnp.ones_like(value)
        size, data = power(1.0, self.alpha, params), power(1.0, self.beta, tokens)
        return jnp.stack([one, size, data], axis=-1), value, one
