"""What a law is: a frozen pytree of coefficients, a card for each, and one formula.

A law is final: every field, its cards and its formula stand in one class in one file.
The bases here add what follows from the cards alone: free coordinates for the fitter,
JSON, flat names. Laws know nothing of tables (they never import `observations`).
"""

import dataclasses
import functools
import math
import numbers
from collections.abc import Mapping
from typing import Any, ClassVar, Self, dataclass_transform

import jax
import jax.numpy as jnp

from t2jax._typing import ArrayLike, Floats
from t2jax.errors import InputError

__all__ = ["Centre", "Coefficient", "Law", "bounded_exp", "final_law"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coefficient:
    """The card of one coefficient: feeds starts, tables, figure labels and the bound check.

    Attributes:
      name: field name in the law.
      symbol: how it is written in formulas.
      meaning: one phrase.
      lower: infimum; with `upper` it decides the free coordinate (log, logit or identity).
      upper: supremum.
      closed: the lower bound itself is admissible and often reached, so the free coordinate is
        the distance from it and the minimiser pins it there; a log would run off to -inf.
      centre: `(slope, axis, sign)`: in free coordinates this coefficient is taken at the
        centroid of `axis` ("params", "tokens", "samples" or "loss"), which removes its
        correlation with the coefficient `slope` (None: a slope of one).
      grid: values of the coarse start grid, in free-coordinate units where `centre` is set
        and in natural units elsewhere; empty where the exact inner solve finds it.
      grid_unit: "value", or "min" when the grid counts in units of the smallest observation.
    """

    name: str
    symbol: str
    meaning: str
    lower: float = -math.inf
    upper: float = math.inf
    closed: bool = False
    centre: tuple[str | None, str, int] | None = None
    grid: tuple[float, ...] = ()
    grid_unit: str = "value"

    def to_free(self, value: Floats) -> Floats:
        """The unconstrained coordinate: log, logit or the value itself."""
        if math.isinf(self.lower):
            return value
        if self.closed:
            return value - self.lower
        if math.isinf(self.upper):
            return jnp.log(value - self.lower)
        share = (value - self.lower) / (self.upper - self.lower)
        return jnp.log(share) - jnp.log1p(-share)

    def from_free(self, free: Floats) -> Floats:
        """Inverse of `to_free`."""
        if math.isinf(self.lower):
            return free
        if self.closed:
            return self.lower + free
        if math.isinf(self.upper):
            return self.lower + jnp.exp(free)
        return self.lower + (self.upper - self.lower) * jax.nn.sigmoid(free)

    def shift(self, known: Mapping[str, Any], centre: "Centre") -> ArrayLike:
        """How far the centred coordinate lies from the coefficient's own, given the slopes."""
        if self.centre is None:
            return 0.0
        slope, axis, sign = self.centre
        return sign * (1.0 if slope is None else known[slope]) * getattr(centre, axis)

    def free_range(self) -> tuple[float, float]:
        """Where the free coordinate may go: past it a coefficient is as good as at its bound."""
        if self.closed:
            return 0.0, math.inf
        if math.isinf(self.lower):
            return -60.0, 60.0
        # e^-18.5 of anything counted here is nothing; upwards a unit may be as small as one token.
        return (-18.5, 60.0) if math.isinf(self.upper) else (-7.0, 7.0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Centre:
    """The centroid of the data in the coordinates the cards name: means of logs, and of loss."""

    params: ArrayLike = 0.0
    tokens: ArrayLike = 0.0
    samples: ArrayLike = 0.0
    loss: ArrayLike = 0.0


class Law:
    """Base of all laws: `law(params=N, tokens=D, samples=k)`, broadcasting, pure JAX.

    Class attributes of a final law:
      name: the registry name.
      kind: "loss" (nats, lower is better) or "accuracy" (pass@k, higher is better).
      uses_samples: whether k enters the formula.
      own_cards: one `Coefficient` per own scalar field, in field order.
      linear: names of the coefficients in which `start_problem` is linear.
      default_loss: of a law with a field `loss`, the loss law inside it when none is named.
    """

    name: ClassVar[str]
    kind: ClassVar[str] = "loss"
    uses_samples: ClassVar[bool] = False
    own_cards: ClassVar[tuple[Coefficient, ...]]
    linear: ClassVar[tuple[str, ...]] = ()
    default_loss: ClassVar["type[Law] | None"] = None

    def __call__(
        self,
        *,
        params: ArrayLike,
        tokens: ArrayLike,
        samples: ArrayLike = 1.0,
        unique_tokens: ArrayLike = jnp.inf,
    ) -> Floats:
        """The law's value; see the class for the formula."""
        raise TypeError(f"{type(self).__name__} does not say what its value is")

    @property
    def base(self) -> "Law":
        """The loss in N and D that this law is built on: the field `loss`, or the law itself."""
        return getattr(self, "loss", self)

    def __post_init__(self):
        for card in self.own_cards:
            value = getattr(self, card.name)
            # Only concrete numbers are judged: inside a transformation a leaf may be anything.
            if isinstance(value, numbers.Real) and not math.isnan(value):
                if not card.lower <= float(value) <= card.upper:
                    raise InputError(
                        f"{self.name}: {card.name} = {value!r} is outside "
                        f"[{card.lower:g}, {card.upper:g}]",
                        remedy=f"{card.name} is {card.meaning}",
                    )

    @classmethod
    def template(cls, *, loss: "type[Law] | Law | None" = None) -> Self:
        """A law of this form whose coefficients are not known yet (NaN)."""
        values: dict[str, Any] = {card.name: math.nan for card in cls.own_cards}
        if cls.default_loss is not None:
            base = loss if loss is not None else cls.default_loss
            if base.uses_samples or base.kind != "loss":
                raise InputError(
                    f"'{base.name}' cannot be the inner loss of '{cls.name}'",
                    remedy="an inner loss is a law of N and D, such as additive or coupled",
                )
            values["loss"] = base if isinstance(base, Law) else base.template()
        elif loss is not None:
            raise InputError(
                f"{cls.name} is a law in its own right and takes no inner loss",
                remedy="inner losses belong to softplus, product, t2_accuracy or beta_monotone",
            )
        return cls(**values)

    def cards(self) -> tuple[Coefficient, ...]:
        """Cards of all coefficients, those of the inner loss first: the order of the leaves."""
        inner = self.base.cards() if self.base is not self else ()
        return inner + self.own_cards

    def coefficients(self) -> dict[str, Any]:
        """Coefficient values by name, those of the inner loss first."""
        return dict(zip([c.name for c in self.cards()], jax.tree.leaves(self), strict=True))

    def replace(self, **values: Any) -> Self:
        """The same law with some coefficients changed, inner ones included."""
        known = self.coefficients()
        for name in values:
            if name not in known:
                raise InputError(
                    f"{self.name} has no coefficient '{name}'",
                    remedy=f"it has {', '.join(known)}",
                )
        return jax.tree.unflatten(jax.tree.structure(self), {**known, **values}.values())

    def to_free(self, centre: Centre, *, own: bool = False) -> Floats:
        """Coefficients as one unconstrained vector, amplitudes taken at the data's centroid.

        Args:
          centre: the centroid.
          own: leave out the coefficients of the inner loss.
        """
        known = self.coefficients()
        free = []
        for card in self.own_cards if own else self.cards():
            coordinate = card.to_free(jnp.asarray(known[card.name]))
            free.append(coordinate - card.shift(known, centre))
        return jnp.stack(free)

    def from_free(self, free: Floats, centre: Centre, *, own: bool = False) -> Self:
        """The law of this form at an unconstrained vector: inverse of `to_free`.

        With `own`, the inner loss stays as it is.
        """
        cards = self.own_cards if own else self.cards()
        known: dict[str, Any] = {}
        pending = dict(zip(cards, free, strict=True))
        for card in sorted(cards, key=lambda c: c.centre is not None):  # slopes first
            coordinate = pending[card] + card.shift(known, centre)
            known[card.name] = card.from_free(coordinate)
        return self.replace(**known)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `laws.from_dict` reads it back exactly."""
        inner = {"loss": self.base.to_dict()} if self.base is not self else {}
        own = {c.name: float(getattr(self, c.name)) for c in self.own_cards}
        return {"law": self.name, **inner, **own}

    def start_problem(
        self, *, value: Floats, params: Floats, tokens: Floats, samples: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """The linear problem that remains once the exponents are fixed.

        Returns:
          Columns [rows, linear], target [rows] and the target's slope in the value [rows]:
          the start minimises the squared misfit of the target, each row divided by its slope.
        """
        raise TypeError(f"{type(self).__name__} has no linear start")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def final_law(cls):
    """Make a class a law: a frozen keyword-only dataclass, registered as a pytree."""
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    cls.__call__ = _on_arrays(cls.__call__)
    names = tuple(field.name for field in dataclasses.fields(cls))
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in names)

    def leaves(law):
        return tuple(getattr(law, name) for name in names), None

    def leaves_with_keys(law):
        return tuple(zip(keys, leaves(law)[0], strict=True)), None

    def build(_, values):
        return cls(**dict(zip(names, values, strict=True)))

    # Not `register_dataclass`: structures of two dataclasses with as many fields compare equal
    # there (jaxlib 0.10.2), and a program compiled for one law would serve another.
    jax.tree_util.register_pytree_with_keys(cls, leaves_with_keys, build, leaves)
    return cls


def _on_arrays(formula):
    """A law's formula that takes lists, as NumPy does, and refuses words in one line."""

    @functools.wraps(formula)
    def call(self, **point):
        for name, value in point.items():
            if isinstance(value, list | tuple | str) or value is None:
                try:
                    point[name] = jnp.asarray(value, float)
                except (TypeError, ValueError):
                    raise InputError(
                        f"{self.name}: {name} = {value!r} is no number, nor a list of them",
                        remedy=f"e.g. {name}=1e9, or a list or an array",
                    ) from None
        return formula(self, **point)

    return call


def bounded_exp(exponent: ArrayLike, share: float = 0.45) -> Floats:
    """`exp`, held within a share of the decades that the precision at hand has.

    With less than half of them, products of two such numbers stay finite.
    """
    exponent = jnp.asarray(exponent)
    extent = share * math.log(jnp.finfo(exponent.dtype).max)
    return jnp.exp(jnp.clip(exponent, -extent, extent))
