"""`Hull`: the ranges of a table (floor 0). Outside them every answer is extrapolation."""

import dataclasses
from typing import Self

import numpy as np

from t2jax import cost

__all__ = ["Hull"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hull:
    """Ranges of the data: outside them every answer is extrapolation. Pairs (low, high)."""

    params: tuple[float, float]
    tokens: tuple[float, float]
    samples: tuple[float, float]
    tokens_per_param: tuple[float, float]
    train_flops: tuple[float, float]

    @classmethod
    def of(cls, *, params: np.ndarray, tokens: np.ndarray, samples: np.ndarray) -> Self:
        """The ranges of the checkpoints of a table and of the k a law was fitted on."""

        def span(column) -> tuple[float, float]:
            return float(np.min(column)), float(np.max(column))

        return cls(
            params=span(params),
            tokens=span(tokens),
            samples=span(samples),
            tokens_per_param=span(tokens / params),
            train_flops=span(np.asarray(cost.train_flops(params, tokens))),
        )
