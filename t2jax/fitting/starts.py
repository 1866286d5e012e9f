"""Deterministic starts: a coarse grid of exponents, the rest solved exactly and non-negative."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Array, Floats
from t2jax.fitting.problem import Data, Problem

__all__ = ["grid_starts", "nonnegative_least_squares"]


def nonnegative_least_squares(gram: Floats, moment: Floats) -> Floats:
    """Exact minimiser of `b' G b / 2 - c' b` over `b >= 0`, by trying every active set.

    Args:
      gram: `X' W X` [m, m], m at most 5 or so.
      moment: `X' W y` [m].

    Returns:
      The non-negative solution [m].

    >>> import jax.numpy as jnp
    >>> (nonnegative_least_squares(jnp.eye(2), jnp.asarray([1.0, -2.0])) + 0.0).tolist()
    [1.0, 0.0]
    """
    size = moment.shape[0]
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 1e-300))
    gram, moment = gram / scale[:, None] / scale[None, :], moment / scale
    masks = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=size)), gram.dtype)

    def try_set(mask):
        system = gram * mask[:, None] * mask[None, :] + jnp.diag(1.0 - mask)
        solution = jnp.linalg.solve(system, moment * mask)
        value = 0.5 * solution @ gram @ solution - moment @ solution
        feasible = jnp.all(jnp.isfinite(solution)) & jnp.all(solution >= 0)
        return solution, jnp.where(feasible, value, jnp.inf)

    solutions, values = jax.vmap(try_set)(masks)
    return solutions[jnp.argmin(values)] / scale


def _grid(problem: Problem, data: Data) -> tuple[list[str], Array]:
    """Names of the gridded coefficients and all grid points [points, names]."""
    law = problem.template
    cards = [c for c in (law.own_cards if problem.own else law.cards()) if c.grid]
    value = np.asarray(data.rows.value)
    units = {"value": 1.0, "min": float(np.min(value)), "max": float(np.max(value))}
    axes = []
    for card in cards:
        # A grid centred on a slope is shifted in `_solve_grid`, where the slope is known; one
        # centred by a function starts where that shift is none.
        if isinstance(card.centre, tuple) and card.centre[0] is None:
            shift = jnp.asarray(card.shift({}, data.centre))
            axes.append([float(card.from_free(value + shift)) for value in card.grid])
        else:
            axes.append([units[card.grid_unit] * value for value in card.grid])
    return [card.name for card in cards], jnp.asarray(list(itertools.product(*axes)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _solve_grid(problem: Problem, names: tuple[str, ...], points: Floats, data: Data):
    """Free vectors [points, coordinates] and objectives [points] over the grid."""
    rows = data.rows

    def solve(point):
        known = dict(zip(names, point, strict=True))
        law = problem.template
        if data.inner is not None:
            law = law.replace(**data.inner.coefficients())
        if problem.own:
            for card in law.own_cards:  # a centred grid value becomes the coefficient itself
                if isinstance(card.centre, tuple) and card.centre[0] is not None:
                    known[card.name] += card.shift(known, data.centre)
            law = law.replace(**known)
        else:
            law = law.replace(**known)
            columns, target, slope = law.start_problem(
                value=rows.value, params=rows.params, tokens=rows.tokens, samples=rows.samples
            )
            weight = rows.weight / slope**2
            if problem.objective.log_scale:
                weight = weight / rows.value**2
            sound = jnp.isfinite(target) & jnp.isfinite(weight) & jnp.all(jnp.isfinite(columns), -1)
            weight = jnp.where(sound, weight, 0.0)
            target = jnp.where(sound, target, 0.0)
            columns = jnp.where(sound[:, None], columns, 0.0)
            amplitudes = nonnegative_least_squares(
                (columns * weight[:, None]).T @ columns, columns.T @ (weight * target)
            )
            # A term the solve switched off starts at a thousandth of the data, not at zero.
            typical = jnp.average(jnp.abs(columns), axis=0, weights=rows.weight)
            floor = 1e-3 * jnp.min(jnp.abs(target) + jnp.where(sound, 0.0, jnp.inf)) / typical
            amplitudes = jnp.maximum(amplitudes, jnp.maximum(floor, 1e-30))
            law = law.replace(**dict(zip(law.base.linear, amplitudes, strict=True)))
        nuisance = problem.objective.start_nuisance(rows.predict(law), rows)
        free = problem.free(law, data, nuisance)
        lower, upper = problem.bounds()
        free = jnp.clip(free, lower, upper)
        value = problem.value(free, data)
        return free, jnp.where(jnp.isfinite(value), value, jnp.inf)

    return jax.lax.map(solve, points, batch_size=16)


def grid_starts(problem: Problem, data: Data, count: int) -> Floats:
    """The starts to minimise from: the best half of them, and a spread over the rest.

    Args:
      problem: what is fitted.
      data: to what.
      count: number of starts.

    Returns:
      Free vectors [count or fewer, coordinates], best first.
    """
    names, points = _grid(problem, data)
    free, values = _solve_grid(problem, tuple(names), points, data)
    order = np.argsort(np.asarray(values), kind="stable")
    order = order[np.isfinite(np.asarray(values)[order])]
    best = min(len(order), (count + 1) // 2)
    spread = np.linspace(best, len(order) - 1, max(count - best, 0)).astype(int)
    chosen = np.unique(np.concatenate([np.arange(best), spread[spread >= best]]))
    return jnp.asarray(np.asarray(free)[order[chosen]])
