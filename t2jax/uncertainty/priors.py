"""The priors that cards carry, on the coordinates in which the posterior is sampled."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats, Scalar
from t2jax.errors import InputError
from t2jax.fitting.rows import Rows
from t2jax.laws import Coefficient, Law, Prior, Scale

__all__ = ["Prior", "default_priors", "log_density"]


def log_density(
    family: str, card: Coefficient, coordinate: Floats, value: Floats, numbers: Floats
) -> Scalar:
    """Log density of one sampled coordinate, up to a constant.

    Args:
      family: of the prior.
      card: of the coefficient.
      coordinate: where the sampler is.
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


def default_priors(
    cards: tuple[Coefficient, ...],
    law: Law,
    rows: Rows,
    at_fit: Mapping[str, float],
    given: Mapping[str, Prior] | None = None,
    held: tuple[str, ...] = (),
) -> tuple[tuple[Prior, ...], tuple[str, ...]]:
    """The prior of every card in plain numbers, weak beside any table that identifies the law.

    Args:
      cards: what is sampled, in order.
      law: the fitted law.
      rows: the observations.
      at_fit: sampled coordinates at the fit by name, for cards without a prior.
      given: the caller's priors by name, which come first.
      held: names that are not sampled, whose prior says nothing.

    Returns:
      The priors, and sentences about those that lean on the fit.

    Raises:
      InputError: a prior for a name that is not sampled.
    """
    given = dict(given or {})
    names = [card.name for card in cards if card.name not in held]
    for name in given:
        if name not in names:
            raise InputError(
                f"a prior for '{name}', which is not sampled",
                remedy=f"sampled are {', '.join(names)}",
            )
    # Counts fix E = 0 by convention, so that the terms carry the whole loss.
    counts, losses = rows.tally is not None, _losses(law, rows)
    chosen, notes = [], []
    for card in cards:
        own = (card.prior_without_floor if counts else None) or card.prior
        if card.name in given:
            chosen.append(given[card.name])
        elif own is not None:
            chosen.append(own.on(losses))
        else:
            chosen.append(Prior(family="normal", first=at_fit[card.name], second=2.0))
            if card.name not in held:
                notes.append(
                    f"{card.name} has no prior of its own: normal with sd 2 round the fit, in the "
                    "sampled coordinate"
                )
    return tuple(chosen), tuple(notes)


def _losses(law: Law, rows: Rows) -> dict[Scale, float]:
    """The losses of the table that priors count in."""
    if law.base is law and rows.tally is None:
        samples = np.asarray(rows.samples)
        loss = np.asarray(rows.value)[samples == samples.min()]
    else:
        # What a law of samples builds on is not the observed loss but the loss inside it.
        loss = np.asarray(law.base(params=rows.params, tokens=rows.tokens))
    return {
        Scale.LEAST: float(np.min(loss)),
        Scale.RANGE: max(float(np.ptp(loss)), 1e-6 * float(np.max(loss))),
        Scale.MEAN: float(np.mean(loss)),
    }
