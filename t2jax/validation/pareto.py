"""Can draws from an approximation stand for its target: the Pareto k-hat of their ratios."""

import math

import numpy as np

__all__ = ["RELIABLE", "pareto_k"]

RELIABLE = 0.7
"""k-hat up to which an approximation may be believed, or mended by importance weights."""

_FLAT = 1e-12  # spread of log ratios that is rounding error: the approximation is the target


def pareto_k(log_ratios: np.ndarray) -> float:
    """Shape of the generalised Pareto tail of importance ratios, `target / approximation`.

    Ratios have as many moments as 1/k: beyond 0.7 the approximation misses a part of the target
    that no practical number of draws makes up for.

    Args:
      log_ratios: of independent draws from the approximation, up to a constant [draws]; -inf where
        the target has no density.

    Returns:
      k-hat; inf where fewer than five distinct ratios are in the tail, or a ratio is undefined.

    Source: Vehtari et al. 2024, arXiv:1507.02646; the fit of Zhang and Stephens 2009,
    doi:10.1198/tech.2009.08017, with its k drawn towards 0.5 by ten draws' worth.

    >>> wide = np.random.default_rng(0).normal(0, 1, 4000)
    >>> bool(pareto_k(-0.01 * wide**2) < 0.1), bool(pareto_k(0.45 * wide**2) > 0.7)
    (True, True)
    """
    x = np.sort(np.asarray(log_ratios, float))
    if not len(x) or np.isnan(x).any() or x[-1] == math.inf or x[-1] == -math.inf:
        return math.inf
    if x[-1] - x[0] <= _FLAT:
        return 0.0
    x = x - x[-1]
    size = math.ceil(min(len(x) / 5, 3 * math.sqrt(len(x))))
    if len(x) <= size:
        return math.inf
    cut = max(x[-size - 1], math.log(np.finfo(float).tiny))
    tail = np.exp(x[x > cut]) - math.exp(cut)
    return _shape(tail) if len(tail) > 4 else math.inf


def _shape(tail: np.ndarray) -> float:
    """Shape of a generalised Pareto law from its excesses in rising order."""
    n = len(tail)
    count = 30 + int(math.sqrt(n))
    quarter = tail[int(n / 4 + 0.5) - 1]
    # A grid over theta = -shape/scale, whose prior spans three lower quartiles.
    grid = 1 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))
    theta = 1 / tail[-1] + grid / (3 * quarter)
    shape = np.mean(np.log1p(-theta[:, None] * tail), axis=1)
    likelihood = n * (np.log(-theta / shape) - shape - 1)
    weight = np.exp(likelihood - likelihood.max())
    mean = float(np.sum(theta * weight) / np.sum(weight))
    raw = float(np.mean(np.log1p(-mean * tail)))
    return (n * raw + 10 * 0.5) / (n + 10)
