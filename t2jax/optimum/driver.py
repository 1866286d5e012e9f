"""`optimum` and `frontier`: budgets in, plans out, over all draws at once."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._precision import double
from t2jax._progress import track
from t2jax.errors import InputError, Refusal, Status
from t2jax.laws import Law, T2Loss
from t2jax.optimum.budget import Box, Budget
from t2jax.optimum.certify import Certified, certify
from t2jax.optimum.closed_form import applies, power_optimum
from t2jax.optimum.frontier import Frontier
from t2jax.optimum.result import Optimum, hull_flags
from t2jax.optimum.solve import SCAN_POINTS, descend, polish, scan
from t2jax.uncertainty.ensemble import Ensemble, Model, as_ensemble

__all__ = ["METHODS", "frontier", "optimum"]

METHODS = ("auto", "closed_form", "scan", "descent")
_CELLS = 2**14  # optima per compiled call when each needs a dense scan


@double
def optimum(
    model: Model,
    budget: Budget,
    *,
    method: str = "auto",
    chinchilla: bool = True,
    progress: bool = True,
) -> Optimum:
    """The best parameters, training tokens and samples under a budget.

    Minimises the law's loss (or maximises its pass@k) over N, D and k with `6ND <= C_t`,
    `2Nk <= C_i`, `k >= 1` and the caps, for the point estimate and for every draw.

    Args:
      model: a law, a fit, or an ensemble of draws.
      budget: what may be spent; arrays sweep.
      method: `"closed_form"` (power laws), `"scan"` (any law: a dense grid in log N, then
        Newton), `"descent"` (any law: Optax gradient descent in log N from several starts,
        then Newton), or `"auto"`: the closed form where there is one, else the scan.
      chinchilla: whether to add the single-sample optimum at the same training budget.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      The optimum, with draws where the model has them. Read `status` before using it.

    Raises:
      InputError: unknown method, or a model that is none.
      Refusal: an inference budget for a law that knows nothing of samples.

    Source: Roberts et al. 2026, arXiv:2604.01411; closed 6ND form as in arXiv:2203.15556.

    >>> from t2jax.laws import T2Loss
    >>> law = T2Loss.from_paper(
    ...     E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3)
    >>> best = optimum(law, Budget(train_flops=1e22, inference_flops=2e12))
    >>> round(float(best.params)), round(float(best.samples), 2)
    (434156624, 2303.32)
    """
    ensemble = as_ensemble(model)
    law = ensemble.point
    if not isinstance(budget, Budget):
        raise InputError(
            f"a Budget is needed and {type(budget).__name__} was given",
            remedy="e.g. t2jax.Budget(train_flops=1e18, inference_flops=2e9)",
        )
    if budget.inference_flops is not None and not law.uses_samples:
        raise Refusal(
            f"law '{law.name}' was fitted on single samples, so it cannot weigh inference "
            "against training",
            remedy="fit law='softplus' on per-question nll, or leave inference_flops out",
        )
    method = _method(method, ensemble)
    point = _solve(law, None, budget, method, chinchilla, progress=False)
    point = _with_hull(point, ensemble)
    if ensemble.n_draws == 0:
        return point
    draws = _solve(ensemble.law, ensemble.n_draws, budget, method, chinchilla, progress)
    return dataclasses.replace(point, draws=draws)


@double
def frontier(
    model: Model,
    budget: Budget,
    *,
    method: str = "auto",
    progress: bool = True,
) -> Frontier:
    """The optimum along a sweep of training budgets.

    Args:
      model: a law, a fit, or an ensemble of draws.
      budget: `train_flops` is an array; the rest broadcasts.
      method: as for `optimum`.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      Optimum and Chinchilla choice at every budget, with draws where the model has them,
      and the size at which N* saturates while the inference budget stays fixed.

    Raises:
      InputError: a budget that is no sweep.

    >>> import numpy as np
    >>> from t2jax.laws import Additive
    >>> law = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> sweep = frontier(law, Budget(train_flops=np.geomspace(1e18, 1e22, 5)))
    >>> bool(np.all(np.diff(sweep.optimum.params) > 0))
    True
    """
    if not isinstance(budget, Budget) or len(budget.shape) != 1:
        raise InputError(
            "a frontier needs a Budget with an array of training budgets",
            remedy="e.g. Budget(train_flops=np.geomspace(1e16, 1e21, 64), inference_flops=2e9)",
        )
    best = optimum(model, budget, method=method, progress=progress)
    inference = budget.inference_flops
    limit = None
    if inference is not None:
        # The saturation size: with training free of charge only samples compete with size.
        train = np.full(np.shape(budget.train_flops), 1e60)
        endless = dataclasses.replace(budget, train_flops=train)
        limit = optimum(as_ensemble(model).point, endless, method=method, chinchilla=False)
        edge = (np.asarray(limit.code, int) & int(Status.AT_SEARCH_EDGE)) > 0
        limit = np.where(edge, math.nan, np.asarray(limit.params))
    train = np.broadcast_to(np.asarray(budget.train_flops), budget.shape)
    return Frontier(train_flops=train, optimum=best, saturation=limit)


def _method(method: str, ensemble: Ensemble) -> str:
    if method not in METHODS:
        raise InputError(f"unknown method '{method}'", remedy=f"use one of {', '.join(METHODS)}")
    closed = applies(ensemble.point)
    if closed and isinstance(ensemble.point, T2Loss):
        gammas = np.append(np.asarray(ensemble.law.gamma), ensemble.point.gamma)  # pyright: ignore
        closed = bool(np.all(gammas > 0))
    if method == "closed_form" and not closed:
        raise InputError(
            f"law '{ensemble.point.name}' has no closed form here", remedy="use method='scan'"
        )
    if method == "auto":
        return "closed_form" if closed else "scan"
    return method


def _solve_one(law: Law, box: Box, method: str, chinchilla: bool):
    several = jnp.asarray(False)
    width = (box.upper() - box.lower()) / (SCAN_POINTS - 1)
    if method == "closed_form":
        n = power_optimum(law, box)
    elif method == "scan":
        n, several = scan(law, box)
        n = polish(law, box, n, width)
    else:
        n = descend(law, box)
        n = polish(law, box, n, 10 * width)
    best = certify(law, box, n, several)
    return best, _chinchilla(law, box) if chinchilla else None


def _chinchilla(law: Law, box: Box) -> Certified:
    """The single-sample optimum of the inner loss, with the samples that its size affords."""
    base = law.base  # of t2_loss that is the law itself, held at k = 1 by the endless budget
    single = dataclasses.replace(box, inference=jnp.full_like(box.inference, jnp.inf))
    if applies(base):
        n = power_optimum(base, single)
    else:
        width = (single.upper() - single.lower()) / (SCAN_POINTS - 1)
        n = polish(base, single, scan(base, single)[0], width)
    params, tokens = jnp.exp(n), jnp.exp(single.tokens(n))
    affords = box.samples(n)
    samples = jnp.exp(jnp.maximum(affords, 0.0))
    value = law(params=params, tokens=tokens, samples=samples)
    none = jnp.full_like(value, jnp.nan)
    over = jnp.where(affords < -1e-12, int(Status.OVER_INFERENCE), 0)
    return Certified(params, tokens, samples, value, none, none, none, over)


@functools.partial(jax.jit, static_argnames=("method", "chinchilla", "over_draws"))
def _program(law, box, *, method, chinchilla, over_draws):
    over_budgets = jax.vmap(
        lambda law, box: _solve_one(law, box, method, chinchilla), in_axes=(None, 0)
    )
    return (jax.vmap(over_budgets, in_axes=(0, None)) if over_draws else over_budgets)(law, box)


def _solve(
    law: Law, draws: int | None, budget: Budget, method: str, chinchilla: bool, progress: bool
) -> Optimum:
    """Optima of shape [draws, *budget.shape], in batches of draws that fit in memory."""
    law = jax.tree.map(lambda x: jnp.asarray(x, float), law)
    box = jax.tree.map(lambda x: x.reshape(-1), budget.box())
    cells = len(box.train)
    run = functools.partial(
        _program, method=method, chinchilla=chinchilla, over_draws=draws is not None
    )
    if draws is None:
        parts = [run(law, box)]
    else:
        size = draws if method == "closed_form" else max(1, min(draws, _CELLS // cells))
        batches = [np.arange(i, min(i + size, draws)) for i in range(0, draws, size)]
        parts = []
        for batch in track(batches, "optimum", show=progress):
            picked = jnp.asarray(np.resize(batch, size))  # one shape, one compiled program
            part = run(jax.tree.map(lambda x, p=picked: x[p], law), box)
            parts.append(jax.tree.map(lambda x, b=batch: np.asarray(x)[: len(b)], part))
    best, other = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    shape = budget.shape if draws is None else (draws, *budget.shape)
    kind, name = law.kind, law.name

    def pack(certified):
        shaped = jax.tree.map(lambda x: np.asarray(x).reshape(shape), certified)
        return Optimum.of(shaped, kind=kind, law=name)

    result = pack(best)
    return dataclasses.replace(result, chinchilla=pack(other)) if chinchilla else result


def _with_hull(point: Optimum, ensemble: Ensemble) -> Optimum:
    point = dataclasses.replace(point, code=point.code | hull_flags(point, ensemble.hull))
    if point.chinchilla is None:
        return point
    other = point.chinchilla
    other = dataclasses.replace(other, code=other.code | hull_flags(other, ensemble.hull))
    return dataclasses.replace(point, chinchilla=other)
