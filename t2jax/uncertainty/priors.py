"""Priors of coefficients, on the coordinates in which the posterior is sampled."""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats, Scalar
from t2jax.errors import InputError
from t2jax.fitting.rows import Rows
from t2jax.laws import Coefficient, Law

__all__ = ["Prior", "default_priors", "log_density"]

_FAMILIES = ("normal", "half_normal", "gamma", "flat")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prior:
    """What is believed of one coefficient before the data.

    Attributes:
      family: "normal" on the sampled coordinate (the log of a positive coefficient, the value
        of one without bounds, amplitudes at the data's centroid); "half_normal" or "gamma" on
        the coefficient's own value above its lower bound; "flat" between two bounds.
      first: mean, scale or shape.
      second: standard deviation of "normal", rate of "gamma".

    >>> Prior(family="normal", first=math.log(0.35), second=0.4).describe("alpha")
    'log or centred alpha ~ normal(-1.05, 0.4)'
    """

    family: str
    first: float = 0.0
    second: float = 1.0

    def __post_init__(self):
        if self.family not in _FAMILIES:
            raise InputError(
                f"unknown prior family '{self.family}'",
                remedy=f"the families are {', '.join(_FAMILIES)}",
            )
        positive = self.second if self.family == "normal" else self.first
        if self.family != "flat" and not (positive > 0 and self.second > 0):
            raise InputError(
                f"prior {self.family}({self.first:g}, {self.second:g}) has no positive scale",
                remedy="give a positive standard deviation, scale, or shape and rate",
            )

    def describe(self, name: str) -> str:
        """The prior as a phrase."""
        if self.family == "normal":
            return f"log or centred {name} ~ normal({self.first:.3g}, {self.second:.3g})"
        numbers = {"half_normal": f"({self.first:.3g})", "flat": ""}
        shown = numbers.get(self.family, f"({self.first:.3g}, {self.second:.3g})")
        return f"{name} ~ {self.family}{shown}"


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


def _normal(median: float, spread: float) -> Prior:
    """Normal on the log of a positive coefficient."""
    return Prior(family="normal", first=math.log(median), second=spread)


_KAPPA = 0.7  # prior median of the coupled law's outer exponent

# Of coefficients that other laws keep positive, where a law has no bound for them: T2's exponent
# of samples in Box and Cox's form, with the mean of its gamma prior and 0 within a deviation.
_UNBOUNDED = {"gamma": Prior(family="normal", first=0.25, second=0.25)}

_FIXED = {
    "kappa": _normal(_KAPPA, 0.4),
    "R_D": _normal(10.0, 1.0),
    "R_N": _normal(10.0, 1.0),
    "s": _normal(1.0, 0.7),
    "s1": _normal(1.0, 0.7),
    "v": Prior(family="normal", first=0.0, second=0.5),
    "S": Prior(family="half_normal", first=1.0),
    "G": _normal(1.0, 1.5),
    "gamma": Prior(family="gamma", first=2.0, second=8.0),
    "c": _normal(0.3, 1.5),
    "th0": Prior(family="normal", first=0.0, second=3.0),
    "th1": _normal(1.0, 1.0),
    "th2": Prior(family="flat"),
    "th3": Prior(family="normal", first=1.0, second=3.0),
    "th4": Prior(family="normal", first=0.0, second=1.0),
    "a0": Prior(family="normal", first=-1.0, second=2.0),
    "a1": Prior(family="half_normal", first=1.0),
    "b0": Prior(family="normal", first=4.0, second=5.0),
    "b1": Prior(family="half_normal", first=2.0),
    "sigma": Prior(family="half_normal", first=0.02),
    "nu": Prior(family="gamma", first=2.0, second=0.1),
    "checkpoint_sd": Prior(family="half_normal", first=0.1),
    "run_sd": Prior(family="half_normal", first=0.1),
    "impossible": Prior(family="flat"),
    "sd_log_b": Prior(family="half_normal", first=0.5),
}


def default_priors(
    cards: tuple[Coefficient, ...],
    law: Law,
    rows: Rows,
    at_fit: Mapping[str, float],
    given: Mapping[str, Prior] | None = None,
    held: tuple[str, ...] = (),
) -> tuple[tuple[Prior, ...], tuple[str, ...]]:
    """A prior for every card, weak beside any table that identifies the law.

    Args:
      cards: what is sampled, in order.
      law: the fitted law.
      rows: the observations.
      at_fit: sampled coordinates at the fit by name, for coefficients without a prior of ours.
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
    unbounded = {card.name for card in cards if math.isinf(card.lower)}
    own = {name: prior for name, prior in _UNBOUNDED.items() if name in unbounded}
    known = _FIXED | own | _from_losses(law, rows) | given
    notes = []
    for card in cards:
        if card.name not in known:
            known[card.name] = Prior(family="normal", first=at_fit[card.name], second=2.0)
            if card.name in held:
                continue
            notes.append(
                f"{card.name} has no prior of its own: normal with sd 2 round the fit, in the "
                "sampled coordinate"
            )
    return tuple(known[card.name] for card in cards), tuple(notes)


def _from_losses(law: Law, rows: Rows) -> dict[str, Prior]:
    """Priors of the loss in N and D, in units of the losses of the table."""
    if rows.successes is not None:
        # E = 0 by convention there, so that the two terms carry the whole loss.
        loss = np.asarray(law.base(params=rows.params, tokens=rows.tokens))
        term = _normal(0.5 * float(np.mean(loss)), 1.0)
        exponent = _normal(0.2, 0.8)
        return {"A": term, "B": term, "alpha": exponent, "beta": exponent}
    if law.base is law:
        samples = np.asarray(rows.samples)
        loss = np.asarray(rows.value)[samples == samples.min()]
    else:
        # What a law of samples builds on is not the observed loss but the loss inside it.
        loss = np.asarray(law.base(params=rows.params, tokens=rows.tokens))
    lowest, reach = float(np.min(loss)), max(float(np.ptp(loss)), 1e-6 * float(np.max(loss)))
    coupled = "kappa" in law.coefficients()
    power = _KAPPA if coupled else 1.0
    term = Prior(family="normal", first=math.log(0.2 * reach) / power, second=1.0 / power)
    exponent = _normal(0.45 if coupled else 0.35, 0.4)
    level = _normal(0.8 * lowest, 0.3)
    return {"E": level, "E1": level, "A": term, "B": term, "alpha": exponent, "beta": exponent}
