"""Optima between the budgets of a sweep that were solved: for bands that are looked at."""

import dataclasses

import numpy as np

from t2jax.planning.result import NUMBERS, Optimum

__all__ = ["between", "monotone"]

_COUNTS = ("params", "tokens", "samples", "spent")  # which run straight in logs


def between(sparse: Optimum, knots: np.ndarray, place: np.ndarray) -> Optimum:
    """Optima along a sweep from those at some of its budgets.

    Args:
      sparse: optima [..., knots].
      knots: which budgets they are, in order, the first and the last among them [knots].
      place: log of every budget of the sweep [budgets].
    """
    after = np.clip(np.searchsorted(knots, np.arange(len(place))), 1, len(knots) - 1)
    middle = 0.5 * (place[knots[after - 1]] + place[knots[after]])
    told = {}
    for name in NUMBERS:
        values = np.asarray(getattr(sparse, name), float)
        counts = name in _COUNTS
        found = monotone(place[knots], np.log(values) if counts else values, place)
        told[name] = np.exp(found) if counts else found
        told[name][..., knots] = values
    told["code"] = np.asarray(sparse.code)[..., np.where(place < middle, after - 1, after)]
    other = sparse.chinchilla
    if other is not None:
        other = between(other, knots, place)
    return dataclasses.replace(sparse, **told, chinchilla=other)


def monotone(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A smooth curve through points that rises and falls only where they do.

    Args:
      x: rising, three at least [knots].
      y: values [..., knots].
      at: where to read the curve, within the knots [points].

    Returns:
      Its values [..., points].

    >>> monotone(np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 6.0]), np.array([0.5, 2.0]))
    array([1., 4.])

    Source: Fritsch and Butland 1984, doi:10.1137/0905021.
    """
    step, rise = np.diff(x), np.diff(y, axis=-1) / np.diff(x)
    left, right = rise[..., :-1], rise[..., 1:]
    ahead, behind = 2.0 * step[1:] + step[:-1], step[1:] + 2.0 * step[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (ahead + behind) / (ahead / left + behind / right)
    inner = np.where(left * right > 0, mean, 0.0)
    slope = np.concatenate([rise[..., :1], inner, rise[..., -1:]], axis=-1)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    t, h = (at - x[i]) / step[i], step[i]
    cubic = t * t * (3.0 - 2.0 * t)
    return (
        y[..., i] * (1.0 - cubic) + y[..., i + 1] * cubic
        + h * t * (1.0 - t) * ((1.0 - t) * slope[..., i] - t * slope[..., i + 1])
    )  # fmt: skip
