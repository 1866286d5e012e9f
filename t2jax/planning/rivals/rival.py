"""`Rival`: one choice of somebody else, beside the plan."""

import dataclasses
import math
from typing import Any, Self

from t2jax.errors import Status

__all__ = ["Rival"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rival:
    """What somebody else would do with the same budget, beside the plan.

    Attributes:
      name: who.
      params: N.
      tokens: D.
      samples: k that the budget leaves it, or that it needs for the target.
      value: the law there.
      gain: how much better the plan is, nats or pass@k; negative where it is worse.
      saving: share of the budget that the plan can do without and still match the rival; at a
        target, share of the rival's cost. Both budgets shrink alike where there are two.
      spent: cost of the rival, in the budget's unit; NaN for separate budgets.
      code: flags of `Status`.
    """

    name: str
    params: float
    tokens: float
    samples: float
    value: float
    gain: float
    saving: float
    spent: float
    code: int

    @property
    def status(self) -> tuple[str, ...]:
        """What must be said beside it, in sentences."""
        return tuple(Status(self.code).sentences())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        out = dataclasses.asdict(self)
        out["status"] = list(self.status)
        return out

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote."""
        values: dict[str, Any] = {n: math.nan if v is None else v for n, v in description.items()}
        values.pop("status")
        return cls(**values)
