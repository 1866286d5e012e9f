"""What a spread is: quantiles over questions of the loss, at a checkpoint of a given mean loss.

A spread is a pytree whose leaves are numbers or arrays of nodes; like a law it knows no table.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self, dataclass_transform

import jax.numpy as jnp

from t2jax._precision import host_array
from t2jax._typing import Floats
from t2jax.errors import InputError
from t2jax.laws._pytree import as_pytree
from t2jax.passk import neg_log_pass_at_k

__all__ = ["SPREADS", "Spread", "final_spread", "from_dict"]

SPREADS: "dict[str, type[Spread]]" = {}
"""Every spread of questions by name."""


class Spread:
    """Base of all spreads: questions as a weighted set of nodes whose mean is the mean loss."""

    name: ClassVar[str]

    def nodes(self, loss: Floats) -> tuple[Floats, Floats]:
        """Negative log likelihoods of representative questions, and how much each weighs.

        Args:
          loss: mean loss of a checkpoint, nats, any shape.

        Returns:
          Nats [..., nodes], with mean `loss`, and weights that sum to one [nodes].
        """
        raise TypeError(f"{type(self).__name__} does not say how questions lie")

    def neg_log_pass(self, loss: Floats, samples: Floats) -> Floats:
        """The mean over questions of -log pass@k, nats, at a mean loss and k samples."""
        loss, samples = jnp.broadcast_arrays(loss, samples)
        at, weight = self.nodes(loss)
        return neg_log_pass_at_k(at, samples[..., None]) @ weight

    def pass_at_k(self, loss: Floats, samples: Floats) -> Floats:
        """The mean over questions of pass@k at a mean loss and k samples."""
        loss, samples = jnp.broadcast_arrays(loss, samples)
        at, weight = self.nodes(loss)
        return jnp.exp(-neg_log_pass_at_k(at, samples[..., None])) @ weight

    def tries(self, loss: Floats, samples: Floats) -> Floats:
        """Mean samples drawn when sampling stops at the first success or after k.

        `E[(1 - (1-p)^k)/p]` over questions.
        """
        loss, samples = jnp.broadcast_arrays(loss, samples)
        at, weight = self.nodes(loss)
        return jnp.exp(at - neg_log_pass_at_k(at, samples[..., None])) @ weight

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `from_dict` reads it back exactly."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # pyright: ignore[reportArgumentType] -- every final spread is a dataclass
        kept = {name: host_array(x).tolist() for name, x in fields.items() if x is not None}
        return {"spread": self.name} | kept

    def leaves(self) -> dict[str, Any]:
        """Its numbers and arrays by name."""
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType] -- see `to_dict`
        found = {f.name: getattr(self, f.name) for f in fields}
        return {name: x for name, x in found.items() if x is not None}

    def replace(self, **values: Any) -> Self:
        """The same spread with some of its leaves changed."""
        return dataclasses.replace(self, **values)  # pyright: ignore[reportArgumentType] -- see `to_dict`


@dataclass_transform(kw_only_default=True, frozen_default=True)
def final_spread(cls):
    """Make a class a spread: a frozen keyword-only dataclass, a pytree, and known by its name."""
    cls = as_pytree(cls)
    SPREADS[cls.name] = cls
    return cls


def from_dict(description: Mapping[str, Any]) -> Spread:
    """Read back what `Spread.to_dict` wrote.

    Raises:
      InputError: no such spread.
    """
    values = dict(description)
    name = values.pop("spread", "")
    if name not in SPREADS:
        raise InputError(f"unknown spread '{name}'", remedy=f"one of {', '.join(SPREADS)}")
    arrays = {field: host_array(value) for field, value in values.items()}
    return SPREADS[name](**arrays)
