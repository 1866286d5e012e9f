"""Priors as part of a fit: what few rows, or quiet ones, would let run away is held by its card."""

import math

import jax
import jax.numpy as jnp

from t2jax._typing import Floats, Scalar
from t2jax.errors import InputError
from t2jax.fitting.rows import Rows
from t2jax.laws import Coefficient, Scale

__all__ = ["log_density", "losses_of", "penalty"]


def log_density(
    family: str, card: Coefficient, coordinate: Floats, value: Floats, numbers: Floats
) -> Scalar:
    """Log density of one free coordinate, up to a constant.

    Args:
      family: of the prior.
      card: of the coefficient.
      coordinate: where it is.
      value: the coefficient there.
      numbers: the prior's two numbers.
    """
    if family == "normal":
        return -0.5 * ((coordinate - numbers[0]) / numbers[1]) ** 2
    if math.isinf(card.lower):
        # Only a normal prior has a meaning without a bound.
        raise InputError(
            f"{card.name} has no lower bound, so that '{family}' does not fit it",
            remedy="give it a normal prior",
        )
    above = value - card.lower
    if math.isinf(card.upper):
        stretch = jnp.log(above)
    else:
        stretch = jax.nn.log_sigmoid(coordinate) + jax.nn.log_sigmoid(-coordinate)
    if family == "half_normal":
        return stretch - 0.5 * (above / numbers[0]) ** 2
    if family == "gamma":
        # On the value itself, truncated where the card has bounds above zero.
        return stretch + (numbers[0] - 1.0) * jnp.log(value) - numbers[1] * value
    return stretch


def losses_of(loss: Floats) -> dict[Scale, Scalar]:
    """The losses that priors count in, of rows of which some may be NaN."""
    least, most = jnp.nanmin(loss), jnp.nanmax(loss)
    span = jnp.maximum(most - least, 1e-6 * most)
    return {
        Scale.LEAST: least, Scale.MOST: most, Scale.RANGE: span, Scale.MEAN: jnp.nanmean(loss),
    }  # fmt: skip


def penalty(cards: tuple[Coefficient, ...], free: Floats, rows: Rows) -> Scalar:
    """Minus the log density of the priors that belong to every fit by likelihood, in nats.

    Args:
      cards: of the free coordinates.
      free: where they are [coordinates].
      rows: the observations, in whose losses a prior may count.
    """
    single = (rows.samples == jnp.min(rows.samples)) & (rows.place >= 0)
    losses = losses_of(jnp.where(single, rows.value, jnp.nan))
    total = jnp.zeros(())
    for card, coordinate in zip(cards, free, strict=True):
        prior = card.prior
        if card.penalised and prior is not None:
            unit = 0.0 if prior.scale is Scale.ONE else jnp.log(losses[prior.scale])
            numbers = jnp.stack([jnp.asarray(x) for x in (prior.first + unit, prior.second)])
            value = card.from_free(coordinate)
            total = total - log_density(
                prior.family, card, coordinate, value, numbers / prior.power
            )
    return total
