"""Whether the quadratic approximation has the shape of the sum of squares that it stands for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats
from t2jax.fitting.problem import Problem
from t2jax.validation.covariance import coefficients_covariance, in_units
from t2jax.validation.held_fit import Case, Settled, Setup, prediction
from t2jax.validation.pareto import pareto_k

__all__ = ["laplace_k"]

_DRAWS = 2000
_SEED = 0


def laplace_k(setup: Setup, base: Settled, covariance: str) -> float:
    """Pareto k-hat of draws from the Laplace approximation of all coefficients.

    Draws are normal with the covariance V that the intervals rest on. The target is
    `exp(-(Q(u) - Q) w / 2)`: Q the sum of squares, w the factor by which V stretches the
    quadratic form of Q in the direction of u, so that the ratio of the two is one wherever Q is
    quadratic, however the noise is shared. The share of the questions is left out.

    Args:
      setup: the table.
      base: the least-squares minimum.
      covariance: "pooled" or "robust".

    Source: vertical scaling as in Chandler and Bate 2007, doi:10.1093/biomet/asm015.
    """
    white = np.random.default_rng(_SEED).normal(size=(_DRAWS, len(base.free)))
    found = _log_ratios(
        setup.problem, covariance, base, setup.case, jnp.asarray(setup.places), jnp.asarray(white)
    )
    return pareto_k(np.asarray(found))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _log_ratios(
    problem: Problem, covariance: str, base: Settled, case: Case, places: Floats, white: Floats
) -> Floats:
    """Log of target over approximation at every draw; -inf beyond a bound [draws]."""
    values, vectors = jnp.linalg.eigh(
        coefficients_covariance(in_units(base, places, covariance), covariance)
    )
    root = vectors * jnp.sqrt(jnp.maximum(values, 0.0))
    rows = case.data.rows
    target = jnp.log(rows.value) if problem.objective.log_scale else rows.value
    lower, upper = problem.bounds()

    def one(z):
        step = root @ z
        free = base.free + step
        rise = jnp.sum(rows.weight * (target - prediction(problem, free, case.data)) ** 2)
        quadratic = jnp.sum((base.jacobian @ step) ** 2)
        ratio = 0.5 * jnp.sum(z**2) * (1.0 - (rise - base.square) / jnp.maximum(quadratic, 1e-300))
        inside = jnp.all((free >= lower) & (free <= upper))
        return jnp.where(inside & jnp.isfinite(ratio), ratio, -jnp.inf)

    return jax.lax.map(one, white, batch_size=64)
