"""How well each quantity of a minimum is known, and what a rise of its squares is worth."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from t2jax._typing import Floats
from t2jax.fitting.problem import Problem
from t2jax.validation.covariance import (
    Questions,
    Units,
    Variance,
    in_units,
    question_blocks,
    variance_of,
    with_questions,
)
from t2jax.validation.held_fit import Aim, Case, Settled
from t2jax.validation.quantities import oriented

__all__ = ["Known", "known_quantities"]

_NEAR = 2.0  # standard errors within which a bound plays a part


class Known(NamedTuple):
    """What a minimum says of some quantities.

    Attributes:
      aims: in their units.
      variance: of each estimate, the choice of questions included [quantities].
      dof: degrees of freedom of that variance [quantities].
      worth: what a rise of the sum of squares is multiplied by on a profile [quantities].
      worth_dof: degrees of freedom that go with it [quantities].
      shared: the questions' share of the variance [quantities].
    """

    aims: Aim
    variance: Floats
    dof: Floats
    worth: Floats
    worth_dof: Floats
    shared: Floats


@functools.partial(jax.jit, static_argnums=(0, 1))
def known_quantities(
    problem: Problem, covariance: str, base: Settled, case: Case, aims: Aim, places: Floats,
    questions: Questions | None,
) -> Known:  # fmt: skip
    """Variances of all quantities, and the scale of their profiles.

    A rise of the sum of squares is scaled by `v' (J'J)^-1 v / V`, which is one number for each
    quantity as long as no coefficient meets a bound on the way. Where one may (its bound lies
    within two standard errors), rows are shared out differently with it free and with it fixed
    there, and the smaller of the two scales is taken.

    Args:
      problem: law and scale of the residuals.
      covariance: "pooled" or "robust".
      base: the minimum.
      case: the table.
      aims: the quantities.
      places: row of each member of each unit [units, members].
      questions: deviations of each question, or None.
    """
    aims, ways = jax.vmap(lambda aim: oriented(problem, case, aim, base.free))(aims)
    lower, upper = problem.bounds()
    axes = jnp.eye(len(base.free))
    units = in_units(base, places, covariance)
    own = jnp.sqrt(jax.vmap(lambda way: variance_of(units, way, covariance).variance)(axes))
    room = jnp.minimum(base.free - lower, upper - base.free)
    # Coordinates with an open bound end far away, at a limit of rounding, not of meaning.
    closed = jnp.asarray([card.closed for card in problem.cards])
    near = closed & (room < _NEAR * own)

    def freed(free):
        return _spreads(
            in_units(base, places, covariance, free), ways, covariance, places, questions
        )

    # One after the other: two of LAPACK's batches at once can wait for each other for ever where
    # XLA has two threads (jaxlib 0.10).
    both, shares = jax.lax.map(freed, jnp.stack([jnp.ones_like(near), ~near]))
    found, still = (jax.tree.map(lambda x, i=i: x[i], both) for i in (0, 1))
    worth = found.naive / found.variance
    told = jnp.any(near) & (still.naive > 1e-9 * found.naive)
    other = still.naive / jnp.where(told, still.variance, 1.0)
    less = told & (other < worth)
    return Known(
        aims=aims, variance=found.variance, dof=found.dof, worth=jnp.where(less, other, worth),
        worth_dof=jnp.where(less, still.dof, found.dof), shared=shares[0],
    )  # fmt: skip


def _spreads(
    units: Units, ways: Floats, covariance: str, places: Floats,
    questions: Questions | None,
) -> tuple[Variance, Floats]:  # fmt: skip
    """Variance in every direction, and the questions' share of it."""
    found = jax.vmap(lambda way: variance_of(units, way, covariance))(ways)
    if questions is None:
        return found, jnp.zeros(len(ways))
    blocks = question_blocks(units, places, questions.covariance())

    def whole(way, own):
        return with_questions(units, places, way, covariance, own, questions, blocks)

    return jax.vmap(whole)(ways, found)
