"""The two recipes of arXiv:2604.01411 as published, for reproducing its numbers.

Approach 1 is the law `t2_loss_paper` under the sum of squared errors: nothing special but
the form. Approach 2 fits its inner loss by a profile over E with weights by isoFLOP group,
which only this file does.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from t2jax._typing import ArrayLike
from t2jax.errors import InputError, Refusal
from t2jax.fitting.minimise import minimise_all
from t2jax.fitting.objectives import SSE
from t2jax.fitting.problem import Data, Problem
from t2jax.fitting.rows import value_rows
from t2jax.fitting.starts import grid_starts
from t2jax.laws import Additive, Law, T2Accuracy, T2LossPaper, final_law
from t2jax.laws.additive import A_CARD, B_CARD, exponent_card, power
from t2jax.observations import Observations

__all__ = ["E_SHARES", "isoflop_groups", "isoflop_weights", "paper_law", "profile_inner"]

E_SHARES = tuple(np.linspace(0.01, 0.95, 40))
"""Profiled values of E, in units of the smallest mean negative log likelihood."""


@final_law
class _Reducible(Law):
    """`A N^-alpha + B D^-beta`: what is left to fit once E is held."""

    name = "reducible"
    own_cards = (
        A_CARD,
        B_CARD,
        exponent_card("alpha", "α", "exponent of parameters"),
        exponent_card("beta", "β", "exponent of training tokens"),
    )
    linear = ("A", "B")

    A: ArrayLike
    B: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """`A N^-alpha + B D^-beta`."""
        return power(self.A, self.alpha, params) + power(self.B, self.beta, tokens)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in A and B."""
        size, data = power(1.0, self.alpha, params), power(1.0, self.beta, tokens)
        return jnp.stack([size, data], axis=-1), value, jnp.ones_like(value)


def paper_law(law: Law, objective: object) -> Law:
    """The law that the recipe fits, for the law that was asked for.

    Raises:
      InputError: a law that the paper does not have, or an objective that it does not use.
    """
    if objective not in (None, "sse", SSE()):
        raise InputError(
            "recipe='paper' minimises the sum of squared errors",
            remedy="leave objective out, or leave recipe out",
        )
    if law.name in ("t2_loss", "t2_loss_paper"):
        return T2LossPaper.template()
    if law.name == "t2_accuracy" and isinstance(law.base, Additive):
        return T2Accuracy.template()
    raise InputError(
        f"recipe='paper' has no law '{law.name}'", remedy="use law='t2_loss' or 't2_accuracy'"
    )


def isoflop_groups(train_flops: np.ndarray) -> np.ndarray:
    """Codes of isoFLOP groups, by rising FLOPs: each within a quarter of the one before.

    >>> isoflop_groups(np.array([1e18, 8e18, 1.1e18])).tolist()
    [0, 1, 0]
    """
    flops = np.log(train_flops)
    order = np.argsort(flops, kind="stable")
    group = np.empty(len(flops), int)
    group[order] = np.concatenate([[0], np.cumsum(np.diff(flops[order]) > np.log(1.25))])
    return group


def isoflop_weights(runs: Observations, value: np.ndarray) -> np.ndarray:
    """Inverse variance of the loss within each isoFLOP group, one weight per checkpoint.

    A group of one, which has no variance of its own, takes the median variance of the others.

    Raises:
      Refusal: no two checkpoints share a group.
    """
    group = isoflop_groups(runs.train_flops)
    sizes = np.bincount(group)
    variance = np.full(len(sizes), np.nan)
    for index in np.flatnonzero(sizes > 1):
        variance[index] = np.var(value[group == index], ddof=1)
    sound = variance[variance > 0]
    if not len(sound):
        raise Refusal(
            f"{runs.source} has no two runs of equal training FLOPs, as the paper's weights need",
            remedy="leave recipe out, or add isoFLOP runs",
        )
    variance = np.where(variance > 0, variance, np.median(sound))
    weight = 1.0 / variance[group]
    return weight / weight.mean()


def profile_inner(runs: Observations, n_starts: int) -> Additive:
    """Stage 1 of Approach 2: the additive law on mean NLL, by a profile over 40 values of E."""
    rows = value_rows(runs, Additive.template(), (1.0,))
    value = np.asarray(rows.value)
    weight = jnp.asarray(isoflop_weights(runs, value))
    problem = Problem.of(_Reducible.template(), SSE())
    lowest, best = np.inf, None
    for share in E_SHARES:
        held = share * float(value.min())
        reducible = dataclasses.replace(rows, value=rows.value - held, weight=weight)
        data = Data(rows=reducible, centre=reducible.centre())
        minima, _ = minimise_all(problem, grid_starts(problem, data, n_starts), data)
        index = int(jnp.nanargmin(minima.value))
        if float(minima.value[index]) < lowest:
            lowest = float(minima.value[index])
            best = Additive(E=held, **problem.law(minima.free[index], data).coefficients())
    assert best is not None
    return best
