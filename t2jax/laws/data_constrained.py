"""The data-constrained loss law: repeated tokens are worth less than new ones."""

import jax.numpy as jnp

from t2jax._typing import ArrayLike, Floats
from t2jax.laws._law import Coefficient, Law, Role, final_law, log_of
from t2jax.laws._prior import log_normal
from t2jax.laws.additive import A_CARD, B_CARD, E_CARD, exponent_card, power

__all__ = ["DataConstrained", "log_worth"]


_FAR = 60.0  # log of a share: past it the exponential below is zero in any precision


def log_worth(log_all: Floats, log_unique: Floats, decay: ArrayLike) -> Floats:
    """Log of `U + U R* (1 - exp(-R / R*))` with `R = all/U - 1`: what all of it is worth."""
    repeats = jnp.expm1(jnp.clip(log_all - log_unique, 0.0, _FAR))
    return log_unique + jnp.log1p(-decay * jnp.expm1(-repeats / decay))


@final_law
class DataConstrained(Law):
    """The additive law with decaying value of repeated tokens and of excess parameters.

    With `U` unique tokens: `U_D = min(D, U)`, `R_D = D/U_D - 1`,
    `D' = U_D + U_D R*_D (1 - exp(-R_D/R*_D))`; `G = (alpha A/(beta B))^(1/(alpha+beta))`,
    `U_N = min(N, G (U_D G)^(beta/alpha))`, `R_N = N/U_N - 1`,
    `N' = U_N + U_N R*_N (1 - exp(-R_N/R*_N))`; `L = E + A N'^-alpha + B D'^-beta`.
    With `unique_tokens` infinite (the default) the data term is the additive law's, and
    the size term loses only what exceeds the compute-optimal size for D.

    Args:
      E: irreducible loss, nats.
      A: amplitude of the size term.
      B: amplitude of the data term.
      alpha: exponent of parameters.
      beta: exponent of training tokens.
      R_D: decay constant of repeated tokens, in epochs.
      R_N: decay constant of excess parameters.

    Source: Muennighoff et al. 2023, arXiv:2305.16264.

    >>> import math
    >>> law = DataConstrained(
    ...     E=math.exp(0.6254804), A=math.exp(6.255414), B=math.exp(7.3049974),
    ...     alpha=0.3526596, beta=0.3526596, R_D=15.387756, R_N=5.309743)
    >>> round(float(law(params=6.34e9, tokens=242e9, unique_tokens=25e9)), 4)
    2.2256
    """

    name = "data_constrained"
    own_cards = (
        E_CARD,
        A_CARD,
        B_CARD,
        exponent_card("alpha", "α", "exponent of parameters"),
        exponent_card("beta", "β", "exponent of training tokens"),
        Coefficient(
            name="R_D", symbol="R*_D", meaning="decay constant of repeated tokens, epochs",
            role=Role.ONSET, lower=0.0, grid=(5.0, 15.0), prior=log_normal(10.0, 1.0),
        ),
        Coefficient(
            name="R_N", symbol="R*_N", meaning="decay constant of excess parameters",
            role=Role.ONSET, lower=0.0, grid=(2.0, 10.0), prior=log_normal(10.0, 1.0),
        ),
    )  # fmt: skip
    linear = ("E", "A", "B")

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    R_D: ArrayLike
    R_N: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """`E + A N'^-alpha + B D'^-beta`."""
        log_params, log_tokens = jnp.log(params), jnp.log(tokens)
        log_unique = jnp.minimum(log_tokens, jnp.log(unique_tokens))
        log_data = log_worth(log_tokens, log_unique, self.R_D)
        balance = jnp.log(self.alpha) + log_of(self.A) - jnp.log(self.beta) - log_of(self.B)
        log_g = balance / (self.alpha + self.beta)
        matched = log_g + (log_unique + log_g) * self.beta / self.alpha
        log_size = log_worth(log_params, jnp.minimum(log_params, matched), self.R_N)
        size = jnp.exp(log_of(self.A) - self.alpha * log_size)
        data = jnp.exp(log_of(self.B) - self.beta * log_data)
        return self.E + size + data

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E, A and B while nothing is repeated, which is all that a start needs."""
        one = jnp.ones_like(value)
        size, data = power(1.0, self.alpha, params), power(1.0, self.beta, tokens)
        return jnp.stack([one, size, data], axis=-1), value, one
