"""A fit as a function of one unconstrained vector: the only thing the minimisers see."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from t2jax._typing import Floats, Scalar
from t2jax.fitting.objectives import Objective
from t2jax.fitting.penalty import penalty
from t2jax.fitting.rows import Rows
from t2jax.laws import Centre, Coefficient, Law, Link, OnLoss, Spread

__all__ = ["Data", "Problem"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Everything numeric that a problem takes, so that compiled programs close over nothing.

    Attributes:
      rows: the observations.
      centre: centroid of the free coordinates.
      inner: the inner loss, where it is held fixed.
      spread: how questions lie round the mean loss, for a linked law; measured, not searched for.
    """

    rows: Rows
    centre: Centre
    inner: Law | None = None
    spread: Spread | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """Law structure and objective; hashable, so that it can be a static argument of `jit`.

    Attributes:
      structure: pytree structure of the law.
      objective: what is minimised.
      own: only the law's own coefficients are free; `Data.inner` gives the inner loss.
      link: the linked law that the fitted loss becomes with `Data.spread`, None for others.
    """

    structure: Any
    objective: Objective
    own: bool = False
    link: type[Link] | None = None

    @classmethod
    def of(cls, law: Law, objective: Objective, *, own: bool = False) -> "Problem":
        """The problem of fitting a law of this form."""
        link = type(law) if isinstance(law, Link) else None
        structure = jax.tree.structure(law.searched)
        return cls(structure=structure, objective=objective, own=own, link=link)

    @property
    def template(self) -> Law:
        """A law of this form with unknown coefficients."""
        return jax.tree.unflatten(self.structure, [jnp.nan] * self.structure.num_leaves)

    @property
    def cards(self) -> tuple[Coefficient, ...]:
        """Cards of the free coordinates in order, nuisance last."""
        law = self.template
        return (law.own_cards if self.own else law.cards()) + self.objective.nuisance

    def law(self, free: Floats, data: Data) -> Law:
        """The law at a free vector."""
        count = len(self.cards) - len(self.objective.nuisance)
        template = self.template
        if data.inner is not None:
            assert isinstance(template, OnLoss)  # only such a law has coefficients of its own
            template = template.on(data.inner)
        law = template.from_free(free[:count], data.centre, own=self.own)
        return law if self.link is None else self.link(**{"loss": law, "spread": data.spread})

    def nuisance(self, free: Floats) -> tuple[Scalar, ...]:
        """The objective's own coefficients at a free vector."""
        cards = self.objective.nuisance
        tail = free[len(free) - len(cards) :]
        return tuple(card.from_free(u) for card, u in zip(cards, tail, strict=True))

    def free(self, law: Law, data: Data, nuisance: tuple[Scalar, ...]) -> Floats:
        """The free vector of a law and nuisance coefficients."""
        head = law.to_free(data.centre, own=self.own)
        cards = self.objective.nuisance
        tail = [card.to_free(jnp.asarray(v)) for card, v in zip(cards, nuisance, strict=True)]
        return jnp.concatenate([head, jnp.stack(tail)]) if tail else head

    def value(self, free: Floats, data: Data) -> Scalar:
        """The objective at a free vector, the priors that belong to every likelihood included."""
        return _value(self, free, data)

    def penalty(self, free: Floats, data: Data) -> Scalar:
        """What those priors add to the objective."""
        if not self.objective.likelihood:
            return jnp.zeros(())
        return penalty(self.cards, free, data.rows)

    def bounds(self) -> tuple[Floats, Floats]:
        """Where free coordinates may go: lower and upper limits [coordinates]."""
        lower, upper = zip(*(card.free_range() for card in self.cards), strict=True)
        return jnp.asarray(lower), jnp.asarray(upper)


@functools.partial(jax.jit, static_argnums=0)
def _value(problem: Problem, free: Floats, data: Data) -> Scalar:
    # Traced once for the minimisers of a fit, its settling and its refits.
    misfit = problem.objective(problem.law(free, data), problem.nuisance(free), data.rows)
    return misfit + problem.penalty(free, data)
