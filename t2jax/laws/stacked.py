"""Several laws of one quantity, weighed: what is not known of the form is part of every answer."""

import dataclasses
from typing import Any, Self

from t2jax._typing import ArrayLike
from t2jax.errors import InputError
from t2jax.laws._law import Coefficient, Law, Role, final_law

__all__ = ["Stacked"]


@final_law
class Stacked(Law):
    """A weighted mean of laws; a draw of an ensemble has all its weight on one of them.

    `y(N, D, k) = sum_m w_m y_m(N, D, k)`

    Args:
      members: the laws.
      weights: their weights, which sum to one.

    >>> from t2jax.laws import Additive, Tied
    >>> one = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> other = Tied(E=1.8, A=400.0, B=800.0, alpha=0.33)
    >>> law = Stacked(members=(one, other), weights=(0.75, 0.25))
    >>> round(float(law(params=1e9, tokens=2e10)), 3)
    2.567
    """

    name = "stack"
    own_cards = ()

    members: tuple[Law, ...]
    weights: tuple[ArrayLike, ...]

    @property
    def kind(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] -- by its members
        """What the members describe."""
        return self.members[0].kind

    @property
    def base(self) -> Law:
        """The losses in N and D that the members are built on, under the same weights."""
        bases = tuple(member.base for member in self.members)
        if all(one is other for one, other in zip(bases, self.members, strict=True)):
            return self
        return Stacked(members=bases, weights=self.weights)

    @property
    def uses_samples(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] -- so too
        """Whether k enters a member's formula."""
        return any(member.uses_samples for member in self.members)

    @classmethod
    def template(cls, *, loss: type[Law] | Law | None = None):
        """A stack has no form before its members are known."""
        raise InputError(
            "a stack is made of fitted laws", remedy="t2jax.fit(runs, 'stack') makes one"
        )

    def cards(self) -> tuple[Coefficient, ...]:
        """Cards of the members, named after them, then of the weights."""
        told = [
            dataclasses.replace(card, name=f"{name}.{card.name}", centre=None)
            for name, member in zip(self.names(), self.members, strict=True)
            for card in member.cards()
        ]
        return (*told, *(_weight(name) for name in self.names()))

    def coefficients(self) -> dict[str, Any]:
        """Coefficients of the members, named after them, then the weights."""
        told = zip(self.names(), self.members, self.weights, strict=True)
        parts = [(name, member.coefficients(), weight) for name, member, weight in told]
        known = {f"{name}.{key}": x for name, own, _ in parts for key, x in own.items()}
        return known | {f"weight.{name}": weight for name, _, weight in parts}

    def replace(self, **values: Any) -> Self:
        """The same stack with some coefficients changed."""
        for name in values:
            if name not in self.coefficients():
                raise InputError(
                    f"{self.name} has no coefficient '{name}'",
                    remedy=f"it has {', '.join(self.coefficients())}",
                )
        members, weights = [], []
        for name, member, weight in zip(self.names(), self.members, self.weights, strict=True):
            own = {key: values.get(f"{name}.{key}", x) for key, x in member.coefficients().items()}
            members.append(member.replace(**own))
            weights.append(values.get(f"weight.{name}", weight))
        return dataclasses.replace(self, members=tuple(members), weights=tuple(weights))

    def names(self) -> list[str]:
        """What the members are called."""
        return [member.form for member in self.members]

    def formula(self, params, tokens, samples, unique_tokens):
        """`sum_m w_m y_m(N, D, k)`."""
        given = (params, tokens, samples, unique_tokens)
        return sum(
            weight * member.formula(*given)
            for member, weight in zip(self.members, self.weights, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `laws.from_dict` reads it back exactly."""
        members = [member.to_dict() for member in self.members]
        return {"law": self.name, "members": members, "weights": [float(w) for w in self.weights]}


def _weight(name: str) -> Coefficient:
    return Coefficient(
        name=f"weight.{name}", symbol=f"w({name})", meaning=f"weight of law {name}",
        role=Role.MIXTURE, lower=0.0, upper=1.0,
    )  # fmt: skip
