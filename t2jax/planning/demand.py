"""`Demand`: how many questions will be asked, when nobody knows."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from t2jax.errors import InputError

__all__ = ["Demand"]

_NODES = 16
_KEPT = 0.98  # of the probability: the outermost per cent on either side would decide k >= 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Demand:
    """A distribution of the number of questions: values and their weights.

    Size and tokens are chosen before demand is known; samples follow it, since what is left
    after training is spent on whatever is asked. The optimum is of the expected loss (or
    pass@k), and every demand that counts must be affordable at one sample each.

    Args:
      values: numbers of questions [scenarios].
      weights: their probabilities [scenarios]; equal unless given, scaled to a sum of one.

    Raises:
      InputError: a value or a weight that is not positive, or lengths that differ.

    >>> Demand(values=[1e8, 1e9], weights=[3, 1]).mean
    325000000.0
    """

    values: Sequence[float] | np.ndarray
    weights: Sequence[float] | np.ndarray | None = None

    def __post_init__(self):
        values = np.atleast_1d(np.asarray(self.values, float))
        weights = np.ones(len(values)) if self.weights is None else np.asarray(self.weights, float)
        sound = values.ndim == 1 and weights.shape == values.shape
        for array in (values, weights):
            sound = sound and len(array) > 0 and bool(np.all(np.isfinite(array) & (array > 0)))
        if not sound:
            raise InputError(
                "demand: values and weights are not positive numbers of one length",
                remedy="e.g. Demand(values=[1e8, 1e9], weights=[0.7, 0.3])",
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "weights", weights / weights.sum())

    @classmethod
    def around(cls, median: float, factor: float) -> Self:
        """A lognormal: nine times in ten within `factor` of the median, either way.

        The outermost per cent on each side is cut off.

        >>> demand = Demand.around(1e9, 3.0)
        >>> round(demand.mean / 1e9, 2)
        1.21
        """
        if not (math.isfinite(factor) and factor >= 1):
            raise InputError(
                f"questions_factor = {factor!r} is below one",
                remedy="3 says: between a third and three times, nine times in ten",
            )
        normal = statistics.NormalDist()
        sigma = math.log(factor) / normal.inv_cdf(0.95)
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        shares = 0.5 + 0.5 * _KEPT * nodes
        offsets = np.array([normal.inv_cdf(share) for share in shares])
        return cls(values=median * np.exp(sigma * offsets), weights=weights)

    @property
    def mean(self) -> float:
        """Expected number of questions."""
        return float(np.dot(np.asarray(self.values), np.asarray(self.weights)))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        return {"values": np.asarray(self.values).tolist(),
                "weights": np.asarray(self.weights).tolist()}  # fmt: skip
