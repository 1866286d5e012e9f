"""What a law is: a frozen pytree of coefficients, a card for each, and one formula.

A law is final: every field, its cards and its formula stand in one class in one file.
The bases here add what follows from the cards alone: free coordinates for the fitter,
JSON, flat names. Laws know nothing of tables (they never import `observations`).
"""

import dataclasses
import enum
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, dataclass_transform

import jax
import jax.numpy as jnp

from t2jax._precision import floats, host_array, is_double, log_parts
from t2jax._programs import program
from t2jax._typing import ArrayLike, Floats
from t2jax.errors import InputError
from t2jax.laws._prior import Prior
from t2jax.laws._pytree import as_pytree

__all__ = [
    "DEFINED", "Centre", "Coefficient", "Law", "Role", "final_law", "leaves_by_name", "log_of",
    "on_host", "with_leaves",
]  # fmt: skip

DEFINED: "dict[str, type[Law]]" = {}
"""Every law that `final_law` has made in this process, a user's own among them, by name."""


class Role(enum.StrEnum):
    """What a coefficient does in its law; who asks for a role need not know a name."""

    FLOOR = "floor"  # the loss that no size and no data removes
    CEILING = "ceiling"  # the loss that no lack of them exceeds
    AMPLITUDE = "amplitude"  # the height of a term
    EXPONENT = "exponent"  # how fast a term falls
    ONSET = "onset"  # the size, data or k at which something sets in
    SPREAD = "spread"  # how questions differ, or how samples bend the loss
    MIXTURE = "mixture"  # how much one of several forms counts
    NOISE = "noise"  # of the observations, not of the law


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coefficient:
    """The card of one coefficient: all that any room needs to know of it.

    Attributes:
      name: field name in the law; nobody else's key.
      symbol: how it is written in formulas.
      meaning: one phrase.
      role: what it does in the law.
      lower: infimum; with `upper` it decides the free coordinate (log, logit or identity).
      upper: supremum.
      closed: the lower bound itself is admissible and often reached, so the free coordinate is
        the distance from it and the minimiser pins it there; a log would run off to -inf.
      centre: `(slope, axis, sign)`: in free coordinates this coefficient is taken at the
        centroid of `axis` ("params", "tokens", "samples" or "loss"), which removes its
        correlation with the coefficient `slope` (None: a slope of one). Where one slope does not
        tell it, a function of the coefficients known so far and the centroid gives the shift.
      grid: values of the coarse start grid, in free-coordinate units where `centre` is set
        and in natural units elsewhere; empty where the exact inner solve finds it.
      grid_unit: "value", or "min" or "max" when the grid counts in units of the smallest or the
        largest observation.
      prior: what is believed of it before the data; None leans on the fit, and says so.
      penalised: the prior is part of every fit by likelihood, not of the posterior alone: for
        what few rows, or quiet ones, would let run away.
      prior_without_floor: the same where the floor is zero by convention, as for counts, so that
        the terms carry the whole loss; None where that changes nothing.
    """

    name: str
    symbol: str
    meaning: str
    role: Role
    lower: float = -math.inf
    upper: float = math.inf
    closed: bool = False
    centre: "tuple[str | None, str, int] | Callable[[Mapping[str, Any], Centre], Any] | None" = None
    grid: tuple[float, ...] = ()
    grid_unit: str = "value"
    prior: Prior | None = None
    penalised: bool = False
    prior_without_floor: Prior | None = None

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
        if callable(self.centre):
            return self.centre(known, centre)
        slope, axis, sign = self.centre
        return sign * (1.0 if slope is None else known[slope]) * getattr(centre, axis)

    def free_range(self) -> tuple[float, float]:
        """Where the free coordinate may go: past it nothing is gained, or a slope runs off."""
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
      uses_tokens: whether D enters the formula of a loss in N and D.
      own_cards: one `Coefficient` per own scalar field, in field order.
      linear: names of the coefficients in which `start_problem` is linear.
    """

    name: ClassVar[str]
    kind: ClassVar[str] = "loss"
    uses_samples: ClassVar[bool] = False
    uses_tokens: ClassVar[bool] = True
    own_cards: ClassVar[tuple[Coefficient, ...]]
    linear: ClassVar[tuple[str, ...]] = ()

    def __call__(
        self,
        *,
        params: ArrayLike | Sequence[float],
        tokens: ArrayLike | Sequence[float],
        samples: ArrayLike | Sequence[float] = 1.0,
        unique_tokens: ArrayLike | Sequence[float] = math.inf,
    ) -> Floats:
        """The law's value, broadcasting; see the class for the formula.

        Args:
          params: parameters N, as a number, a list or an array.
          tokens: training tokens D.
          samples: samples k per question.
          unique_tokens: unique training tokens.

        Raises:
          InputError: something that is not numeric, or shapes that do not go together.
        """
        given = {"params": params, "tokens": tokens, "samples": samples}
        given["unique_tokens"] = unique_tokens
        point = {name: floats(value, name) for name, value in given.items()}
        try:
            jnp.broadcast_shapes(*(value.shape for value in point.values()))
        except ValueError as error:
            shown = ", ".join(f"{n} {list(x.shape)}" for n, x in point.items() if x.ndim)
            raise InputError(
                f"{shown} do not go together", remedy="give arrays of shapes that broadcast"
            ) from error
        # In single precision the coefficients must stay numbers of the host: see `log_parts`.
        formula = _formula if is_double() else type(self).formula
        return formula(self, *point.values())

    def formula(
        self, params: Floats, tokens: Floats, samples: Floats, unique_tokens: Floats
    ) -> Floats:
        """The value at arrays of floats: pure, broadcasting, twice differentiable."""
        raise TypeError(f"{type(self).__name__} does not say what its value is")

    @property
    def title(self) -> str:
        """What reports call it: its name, a surface of misfit round it left out."""
        return self.name

    @property
    def form(self) -> str:
        """What it is a fit of: its title, and the loss inside where there is one."""
        base = self.base
        return self.title if base is self else f"{self.title}({base.form})"

    @property
    def base(self) -> "Law":
        """The loss in N and D that this law is built on: the law itself unless it has one."""
        return self

    @property
    def searched(self) -> "Law":
        """What a fit searches for: the law itself unless the rest of it is read off the table."""
        return self

    def with_searched(self, law: "Law") -> "Law":
        """This law with that in the place of what is searched for."""
        return law

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
        if loss is not None:
            raise InputError(
                f"{cls.name} is a law in its own right and takes no inner loss",
                remedy="inner losses belong to linked, softplus, product, or a law of pass@k",
            )
        return cls(**dict.fromkeys((card.name for card in cls.own_cards), math.nan))

    def cards(self) -> tuple[Coefficient, ...]:
        """Cards of all coefficients, those of the inner loss first: the order of the leaves."""
        return self.own_cards

    def coefficients(self) -> dict[str, Any]:
        """Coefficient values by name, those of the inner loss first."""
        return dict(zip([c.name for c in self.cards()], jax.tree.leaves(self), strict=True))

    def having(self, role: Role) -> dict[str, Any]:
        """Values by name of the coefficients that have a role, inner ones included."""
        known = self.coefficients()
        return {card.name: known[card.name] for card in self.cards() if card.role is role}

    def rivals(self) -> tuple[Any, dict[str, Any]] | None:
        """The irreducible loss, and what trades off with it: exponents, unless a law says other.

        None where the law has no floor.
        """
        floor = list(self.having(Role.FLOOR).values())
        return (floor[0], self.having(Role.EXPONENT)) if floor else None

    def power_term(self, axis: str) -> tuple[Floats, Any] | None:
        """Log amplitude and exponent of the term that falls as a power of "params" or "tokens".

        Read from the cards: an amplitude centred on that axis along its slope. None where the
        law has no such term.
        """
        known = self.coefficients()
        for card in self.cards():
            if card.role is Role.AMPLITUDE and isinstance(card.centre, tuple):
                slope, along, _ = card.centre
                if along == axis and slope is not None:
                    return log_of(known[card.name]), known[slope]
        return None

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
        return {"law": self.name} | {c.name: float(getattr(self, c.name)) for c in self.own_cards}

    def start_problem(
        self, *, value: Floats, params: Floats, tokens: Floats, samples: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """The linear problem that remains once the exponents are fixed.

        Returns:
          Columns [rows, linear], target [rows] and the target's slope in the value [rows]:
          the start minimises the squared misfit of the target, each row divided by its slope.
        """
        raise TypeError(f"{type(self).__name__} has no linear start")


@program
def _formula(law: Law, *point: Floats) -> Floats:
    """A law's formula, traced once for all the places of a program that call it alike."""
    return law.formula(*point)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def final_law(cls):
    """Make a class a law: a frozen keyword-only dataclass, a pytree, and known by its name.

    Raises:
      InputError: another class already has that name.
    """
    other = DEFINED.get(cls.name)
    if other and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError(
            f"{cls.__module__}.{cls.__qualname__} and {other.__module__}.{other.__qualname__} "
            f"are both called '{cls.name}'",
            remedy="give yours another name",
        )
    cls = as_pytree(cls)
    DEFINED[cls.name] = cls
    return cls


def leaves_by_name(law: Law) -> dict[str, Any]:
    """Every leaf by its path, those of the loss inside first: numbers, and arrays of nodes."""
    found = jax.tree_util.tree_leaves_with_path(law)
    return {jax.tree_util.keystr(path)[1:]: leaf for path, leaf in found}


def with_leaves(law: Law, values: Mapping[str, Any]) -> Law:
    """The law with some leaves, by path, changed."""
    known = leaves_by_name(law) | dict(values)
    return jax.tree.unflatten(jax.tree.structure(law), known.values())


def on_host(law: Any) -> Any:
    """A law whose leaves are numbers of the host, and arrays of nodes."""
    return jax.tree.map(lambda x: host_array(x) if jnp.ndim(x) else float(x), law)


def log_of(amplitude: ArrayLike) -> Floats:
    """Log of an amplitude, of a number of the host in double precision first."""
    log, factor = log_parts(amplitude)
    return log + jnp.log(factor)
