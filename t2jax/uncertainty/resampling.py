"""Schemes of the bootstrap: what a draw changes, as weights of units or as signs of residuals."""

import numpy as np

from t2jax import _text
from t2jax.errors import InputError, Refusal
from t2jax.fitting import FitResult
from t2jax.fitting.paper import isoflop_groups
from t2jax.fitting.stages import Stage
from t2jax.observations import Observations

__all__ = [
    "SCHEMES",
    "check_scheme",
    "levels_of",
    "question_weights",
    "signed_values",
    "unit_weights",
]

SCHEMES = ("pairs", "bayesian", "stratified", "wild")
"""`pairs` draws units with replacement, `bayesian` weighs them by a flat Dirichlet, `stratified`
draws within isoFLOP levels, `wild` keeps every row and turns the signs of its unit's residuals."""


def check_scheme(scheme: str, fit: FitResult, table: Observations) -> None:
    """Refuse a scheme that is unknown, or that the table cannot have.

    Raises:
      InputError: an unknown scheme, or the wild one where no losses were fitted.
    """
    if scheme not in SCHEMES:
        raise InputError(f"no scheme '{scheme}'", remedy=f"one of {', '.join(SCHEMES)}")
    if scheme == "wild" and (table.kind != "loss" or fit.law.kind != "loss"):
        held = {"counts": "counts", "nll": "per-question likelihoods"}.get(table.kind, "losses")
        raise InputError(
            f"the wild bootstrap turns residuals of log losses, and {table.source} holds {held}",
            remedy="use scheme='pairs' or 'bayesian', which weigh questions too",
        )


def levels_of(table: Observations, clusters: np.ndarray) -> np.ndarray:
    """The isoFLOP level of each unit: that of its checkpoint with the most training FLOPs.

    Args:
      table: rows.
      clusters: unit of each row, from 0 [rows].

    Returns:
      Codes from 0, by rising FLOPs [units].

    Raises:
      Refusal: a level has one unit, which resampling within levels would never leave out.
    """
    last = np.zeros(int(clusters.max()) + 1)
    np.maximum.at(last, clusters, np.asarray(table.train_flops))
    level = isoflop_groups(last)
    sizes = np.bincount(level)
    if np.any(sizes == 1):
        lone = [_text.number(float(last[level == i][0]), 3) for i in np.flatnonzero(sizes == 1)]
        more = f" and {len(lone) - 3} more" if len(lone) > 3 else ""
        raise Refusal(
            f"{table.source} has one unit only at {', '.join(lone[:3])}{more} training FLOPs, "
            "which resampling within isoFLOP levels never leaves out",
            remedy="add runs at those levels, or use scheme='pairs'",
        )
    return level


def unit_weights(
    rng: np.random.Generator, scheme: str, units: int, n_draws: int, level: np.ndarray | None
) -> np.ndarray:
    """How often each unit counts in each draw [draws, units]; each draw sums to the units.

    Args:
      rng: the generator.
      scheme: "pairs", "bayesian", "stratified", or "wild", whose weights are all one.
      units: how many.
      n_draws: how many.
      level: of each unit, for the stratified scheme [units].
    """
    if scheme == "wild":
        return np.ones((n_draws, units))
    if scheme == "bayesian":
        return units * rng.dirichlet(np.ones(units), size=n_draws)
    groups = np.zeros(units, int) if scheme == "pairs" or level is None else level
    return _within(rng, groups, n_draws)


def question_weights(
    rng: np.random.Generator, scheme: str, task: np.ndarray, n_draws: int
) -> np.ndarray:
    """How often each question counts in each draw, within its task [draws, questions]."""
    codes = np.unique(task, return_inverse=True)[1]
    if scheme != "bayesian":
        return _within(rng, codes, n_draws)
    weight = np.zeros((n_draws, len(task)))
    for code in range(codes.max() + 1):
        where = np.flatnonzero(codes == code)
        weight[:, where] = len(where) * rng.dirichlet(np.ones(len(where)), size=n_draws)
    return weight


def _within(rng: np.random.Generator, groups: np.ndarray, n_draws: int) -> np.ndarray:
    """Multinomial weights that keep the size of each group [draws, members]."""
    weight = np.zeros((n_draws, len(groups)))
    for code in range(groups.max() + 1):
        where = np.flatnonzero(groups == code)
        share = np.full(len(where), 1 / len(where))
        weight[:, where] = rng.multinomial(len(where), share, size=n_draws)
    return weight


def signed_values(
    rng: np.random.Generator, fit: FitResult, stage: Stage, clusters: np.ndarray, n_draws: int
) -> np.ndarray:
    """Losses of the wild bootstrap: the fit, and each unit's log residuals with one random sign.

    `log y* = log f + c v r`, v = +1 or -1 alike for all rows of a unit. Signs only: Mammen's two
    points stretch and shrink residuals, which moves the scale that a robust objective weighs by.

    Args:
      rng: the generator.
      fit: the fit, on which the draws are centred.
      stage: the minimisation of the fit.
      clusters: unit of each of its rows [rows].
      n_draws: how many.

    Returns:
      Losses [draws, rows].

    Source: Wu 1986, doi:10.1214/aos/1176350142; signs by cluster and the correction c for
    coefficients that the residuals have paid for, Cameron, Gelbach and Miller 2008,
    doi:10.1162/rest.90.3.414.
    """
    centre = np.log(np.maximum(np.asarray(stage.rows.predict(fit.law)), 1e-12))
    left = np.log(np.asarray(stage.rows.value)) - centre
    units, rows = len(np.unique(clusters)), len(left)
    free = len(fit.law.cards())
    correction = np.sqrt(units / (units - 1) * (rows - 1) / max(rows - free, 1))
    signs = rng.choice([-1.0, 1.0], size=(n_draws, int(clusters.max()) + 1))
    return np.exp(centre + correction * signs[:, clusters] * left)
