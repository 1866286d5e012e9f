"""The coupled loss law under a ceiling: no model is worse than a guesser."""

import dataclasses

import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws._law import Coefficient, Law, Role, final_law, log_of
from t2jax.laws._prior import Scale, log_normal
from t2jax.laws.additive import EXPONENT_GRID
from t2jax.laws.coupled import Coupled

__all__ = ["Ceiling"]

_SHARPNESS = 4.0  # q: how suddenly learning sets in below the ceiling


def _fewer(card: Coefficient) -> Coefficient:
    """A coupled law's card with fewer starts: the ceiling brings a grid of its own."""
    grid = {"E": (0.02, 0.6), "kappa": (0.7,)}.get(card.name, EXPONENT_GRID[1:6])
    return dataclasses.replace(card, grid=grid) if card.grid else card


@final_law
class Ceiling(Law):
    """The coupled law below the loss of a guesser who knows what answers look like.

    `L(N, D) = (l^-4 + L0^-4)^(-1/4)` with `l = E + (A N^-alpha + B D^-beta)^kappa`

    Args:
      E: irreducible loss of the law below, nats.
      A: amplitude of the size term inside the power.
      B: amplitude of the data term inside the power.
      alpha: inner exponent of parameters.
      beta: inner exponent of training tokens.
      kappa: outer exponent.
      L0: loss of the guesser, nats; infinite gives the coupled law.

    >>> law = Ceiling(E=1.0, A=400.0, B=400.0, alpha=0.34, beta=0.28, kappa=1.0, L0=3.0)
    >>> round(float(law(params=1e2, tokens=1e2)), 3), round(float(law(params=1e9, tokens=1e11)), 3)
    (3.0, 1.642)
    """

    name = "ceiling"
    own_cards = (
        *(_fewer(card) for card in Coupled.own_cards),
        Coefficient(
            name="L0", symbol="L₀", meaning="loss of a guesser, nats", role=Role.CEILING, lower=0.0,
            grid=(1.05, 1.5), grid_unit="max", prior=log_normal(1.5, 0.5, scale=Scale.MOST),
            penalised=True,
        ),
    )  # fmt: skip
    linear = Coupled.linear

    E: ArrayLike
    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    kappa: ArrayLike
    L0: ArrayLike

    def _below(self) -> Coupled:
        names = [card.name for card in Coupled.own_cards]
        return Coupled(**{name: getattr(self, name) for name in names})

    def formula(self, params, tokens, samples, unique_tokens):
        """`(l^-4 + L0^-4)^(-1/4)`."""
        below = jnp.log(self._below().formula(params, tokens, samples, unique_tokens))
        both = jnp.logaddexp(-_SHARPNESS * below, -_SHARPNESS * log_of(self.L0))
        return jnp.exp(-both / _SHARPNESS)

    def start_problem(self, *, value, params, tokens, samples):
        """The coupled law's, once the ceiling is undone."""
        log = jnp.log(value)
        rest = -jnp.expm1(_SHARPNESS * (log - log_of(self.L0)))
        below = jnp.exp(log - jnp.log(rest) / _SHARPNESS)
        columns, target, slope = self._below().start_problem(
            value=below, params=params, tokens=tokens, samples=samples
        )
        return columns, target, slope * jnp.exp((1.0 + _SHARPNESS) * (jnp.log(below) - log))
