"""The priors that cards carry, on the coordinates in which the posterior is sampled."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from t2jax.errors import InputError
from t2jax.fitting.penalty import losses_of
from t2jax.fitting.rows import Rows
from t2jax.laws import Coefficient, Law, Prior, Scale

__all__ = ["Prior", "default_priors"]


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
    return {scale: float(value) for scale, value in losses_of(jnp.asarray(loss)).items()}
