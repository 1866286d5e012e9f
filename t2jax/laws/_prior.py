"""What is believed of a coefficient before any data, as data: laws know no table and no sampler.

A prior that counts in losses names the loss it counts in (`Scale`); `uncertainty` puts the
table's own number there.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping

from t2jax.errors import InputError

__all__ = ["Prior", "Scale", "log_normal"]

_FAMILIES = ("normal", "half_normal", "gamma", "flat")


class Scale(enum.StrEnum):
    """What a prior counts in: nats and plain numbers, or a loss of the table."""

    ONE = "1"
    LEAST = "smallest loss"
    MOST = "largest loss"
    RANGE = "range of the losses"
    MEAN = "mean loss"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prior:
    """What is believed of one coefficient before the data.

    Attributes:
      family: "normal" on the sampled coordinate (the log of a positive coefficient, the value
        of one without bounds, amplitudes at the data's centroid); "half_normal" or "gamma" on
        the coefficient's own value above its lower bound; "flat" between two bounds.
      first: mean, scale or shape.
      second: standard deviation of "normal", rate of "gamma".
      scale: what the log of a "normal" counts in.
      power: where the coefficient is a term of the loss to the power `1/power`: mean and
        standard deviation of its log are divided by it.

    >>> Prior(family="normal", first=math.log(0.35), second=0.4).describe("alpha")
    'log or centred alpha ~ normal(-1.05, 0.4)'
    """

    family: str
    first: float = 0.0
    second: float = 1.0
    scale: Scale = Scale.ONE
    power: float = 1.0

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
        if self.family != "normal" and (self.scale is not Scale.ONE or self.power != 1.0):
            raise InputError(
                f"prior {self.family} counts in plain numbers",
                remedy="use a normal prior where a prior counts in losses",
            )

    def on(self, losses: Mapping[Scale, float]) -> "Prior":
        """The same prior in plain numbers, for a table of those losses.

        >>> prior = log_normal(0.8, 0.3, scale=Scale.LEAST).on({Scale.LEAST: 2.5})
        >>> round(math.exp(prior.first), 12), prior.second
        (2.0, 0.3)
        """
        if self.scale is Scale.ONE and self.power == 1.0:
            return self
        unit = 0.0 if self.scale is Scale.ONE else math.log(losses[self.scale])
        return Prior(
            family=self.family,
            first=(self.first + unit) / self.power,
            second=self.second / self.power,
        )

    def describe(self, name: str) -> str:
        """The prior as a phrase."""
        if self.family == "normal":
            return f"log or centred {name} ~ normal({self.first:.3g}, {self.second:.3g})"
        numbers = {"half_normal": f"({self.first:.3g})", "flat": ""}
        shown = numbers.get(self.family, f"({self.first:.3g}, {self.second:.3g})")
        return f"{name} ~ {self.family}{shown}"


def log_normal(median: float, sd: float, *, scale: Scale = Scale.ONE, power: float = 1.0) -> Prior:
    """Normal on the log of a positive coefficient.

    Args:
      median: in units of the scale.
      sd: standard deviation of the log.
      scale: what the median counts in.
      power: see `Prior`.
    """
    return Prior(family="normal", first=math.log(median), second=sd, scale=scale, power=power)
