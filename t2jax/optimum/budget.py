"""`Budget`: what may be spent, and the box it leaves in log-coordinates."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import cost
from t2jax._typing import ArrayLike, Scalar
from t2jax.errors import InputError

__all__ = ["Box", "Budget"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Budget:
    """Separate budgets: `6 N D <= train_flops` and `2 N k <= inference_flops`, `k >= 1`.

    Fields may be numbers or arrays that broadcast, for a sweep.

    Args:
      train_flops: training compute, FLOPs.
      inference_flops: inference compute per generated token of one question, FLOPs; None
        for a single sample at no cost, which is Chinchilla's problem.
      max_params: cap on parameters, or None.
      max_tokens: cap on training tokens (the data wall), or None.

    Raises:
      InputError: a budget that is not positive, in the wrong unit, or that affords nothing.

    >>> Budget(train_flops=1e18, inference_flops=2e9).shape
    ()
    """

    train_flops: ArrayLike | Sequence[float]
    inference_flops: ArrayLike | Sequence[float] | None = None
    max_params: ArrayLike | Sequence[float] | None = None
    max_tokens: ArrayLike | Sequence[float] | None = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.name != "train_flops":
                continue
            try:
                array = np.asarray(value, float)
            except (TypeError, ValueError):
                array = np.asarray(np.nan)
            if not np.all(np.isfinite(array) & (array > 0)):
                raise InputError(
                    f"{field.name} = {value!r} is not a positive number", remedy="e.g. 1e18"
                )
            object.__setattr__(self, field.name, array)
        small = float(np.min(self.train_flops))
        if small < 1e6:
            raise InputError(
                f"train_flops = {small:g} affords no training run",
                remedy="give FLOPs, not petaflop/s-days (1 PF/s-day is 8.64e19 FLOPs)",
            )
        least = cost.INFERENCE_FLOPS
        if self.inference_flops is not None and float(np.min(self.inference_flops)) < least:
            raise InputError(
                f"inference_flops = {float(np.min(self.inference_flops)):g} affords no sample of "
                "a model of one parameter",
                remedy="give FLOPs per generated token and question: 2e9 is one sample at 1B",
            )
        try:
            object.__setattr__(self, "_shape", np.broadcast_shapes(*(a.shape for a in self._set())))
        except ValueError:
            raise InputError(
                "the budget's arrays do not broadcast", remedy="give one length or single numbers"
            ) from None

    def _set(self) -> list[np.ndarray]:
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return [np.asarray(value) for value in values if value is not None]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the sweep, () for one budget."""
        return self._shape  # pyright: ignore[reportAttributeAccessIssue]

    def box(self) -> "Box":
        """The budget in logs, every field of the sweep's shape."""

        def log(value, missing):
            array = np.asarray(missing if value is None else np.log(value), float)
            return jnp.asarray(np.broadcast_to(array, self.shape))

        return Box(
            train=log(self.train_flops, math.nan) - math.log(cost.TRAIN_FLOPS),
            inference=log(self.inference_flops, math.inf) - math.log(cost.INFERENCE_FLOPS),
            max_params=log(self.max_params, math.inf),
            max_tokens=log(self.max_tokens, math.inf),
        )

    def to_dict(self) -> dict[str, float | list | None]:
        """A JSON-ready description."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {n: None if v is None else np.asarray(v).tolist() for n, v in values.items()}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    """One budget in logs: `n + d <= train`, `n + x <= inference`, `x >= 0`, and caps.

    With both budgets spent the problem has one coordinate, n = log N; `tokens` and `samples`
    give what is left for the others.
    """

    train: Scalar
    inference: Scalar
    max_params: Scalar
    max_tokens: Scalar

    def tokens(self, n):
        """The log of D at log N."""
        return jnp.minimum(self.train - n, self.max_tokens)

    def samples(self, n):
        """The log of k at log N; zero where inference is not budgeted."""
        left = self.inference - n
        return jnp.where(jnp.isinf(left), 0.0, left)

    def upper(self):
        """Largest log N: one token, one sample, and the cap."""
        return jnp.minimum(jnp.minimum(self.max_params, self.inference), self.train)

    def lower(self):
        """Smallest log N that is searched: one parameter."""
        return jnp.minimum(0.0, self.upper())
