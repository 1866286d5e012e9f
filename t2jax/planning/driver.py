"""`optimum` and `frontier`: budgets in, plans out, over all draws at once."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from t2jax._arguments import check_whole
from t2jax._precision import double
from t2jax.cost import TRAIN_FLOPS, Cost
from t2jax.errors import InputError, Refusal, Status
from t2jax.laws import Law, T2Loss, sampling_law
from t2jax.planning.between import between
from t2jax.planning.budget import Budget
from t2jax.planning.frontier import Frontier
from t2jax.planning.result import Optimum, hull_flags, width_flag
from t2jax.planning.rivals.against import against
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.closed_form import applies
from t2jax.planning.sweep import MEMORY, solve_all
from t2jax.uncertainty.ensemble import Ensemble, Model, as_ensemble

__all__ = [
    "METHODS",
    "answerable",
    "box_of",
    "check_trend",
    "checked",
    "frontier",
    "method_for",
    "optimum",
]

_SMALLER = 10.0  # times smaller than any model measured: further down nothing is searched

METHODS = ("auto", "closed_form", "scan", "descent")


@double
def optimum(
    model: Model,
    budget: Budget,
    *,
    method: str = "auto",
    chinchilla: bool = True,
    rivals: Mapping[str, tuple[float, float]] | None = None,
    memory: float = MEMORY,
    progress: bool = True,
) -> Optimum:
    """The best parameters, training tokens and samples under a budget.

    Minimises the law's loss (or maximises its pass@k) over N, D and k under the costs and caps of
    the budget, or the cost of reaching a target; for the point estimate and for every draw.

    Args:
      model: a law, a fit, or an ensemble of draws.
      budget: what may be spent; arrays sweep.
      method: `"closed_form"` (power laws: KKT conditions with explicit active sets), `"scan"`
        (any law and cost: a dense grid, then a root of the slope), `"descent"` (any law and
        cost: projected gradient descent with Optax from several starts, then the same root), or
        `"auto"`: the closed form where there is one, else the scan.
      chinchilla: whether to add the single-sample optimum at the same training budget.
      rivals: compare one budget's plan with Chinchilla's choice, 20 tokens per parameter and
        these models, (params, tokens) by name; an empty mapping compares with the first two.
      memory: bytes that results may take on the devices; larger sweeps are collected in parts.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      The optimum, with draws where the model has them. Read `status` before using it.

    Raises:
      InputError: unknown method, a budget that affords nothing, or a model that is none.
      Refusal: an inference budget for a law that knows nothing of samples, or a target that no
        plan reaches; the nearest that can be reached is named.

    Source: Roberts et al. 2026, arXiv:2604.01411; closed 6ND form as in arXiv:2203.15556; least
    cost at a target as in Sardana et al. 2024, arXiv:2401.00448.

    >>> from t2jax.laws import T2Loss
    >>> law = T2Loss.from_paper(
    ...     E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3)
    >>> best = optimum(law, Budget(train_flops=1e22, inference_flops=2e12))
    >>> round(float(best.params)), round(float(best.samples), 2)
    (434156624, 2303.32)
    """
    ensemble = checked(model, budget)
    budget = answerable(budget, ensemble)
    law = ensemble.point
    box = box_of(law, budget)
    method = method_for(method, ensemble, box)
    options = {"method": method, "chinchilla": chinchilla, "integer": budget.integer_samples}
    point, draws = _solve_both(ensemble, budget, box, memory, progress=progress, **options)
    if budget.mode == "target":
        _refuse_unreachable(point, law, budget, box, method)
    point = _with_flags(point, ensemble)
    if budget.shape == ():
        if rivals is not None:
            comparisons = against(law, box, point, rivals, method)
            point = dataclasses.replace(point, comparisons=comparisons)
        if not _is_plain(budget.cost):
            plain = dataclasses.replace(
                budget, cost=budget.cost.plain(), tokens_per_sample=budget.cost.answer_tokens
            )
            naive = optimum(law, plain, chinchilla=False, progress=False)
            point = dataclasses.replace(point, plain=naive)
    if draws is None:
        return point
    return dataclasses.replace(
        point, draws=draws, code=point.code | width_flag(draws, ensemble.hull)
    )


@double
def frontier(
    model: Model,
    budget: Budget,
    *,
    method: str = "auto",
    every: int = 1,
    memory: float = MEMORY,
    progress: bool = True,
) -> Frontier:
    """The optimum along a sweep of budgets.

    Args:
      model: a law, a fit, or an ensemble of draws.
      budget: one field is an array, such as `train_flops`; the rest broadcasts.
      method: as for `optimum`.
      every: draws are solved at the ends and at every n-th budget, with smooth curves
        between: for a band that is looked at. The estimate is solved at all of them, and so are
        draws where the swept budgets do not ascend.
      memory: as for `optimum`.
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
    check_whole("every", every, usual=1)
    options = {"method": method, "memory": memory, "progress": progress}
    ensemble = as_ensemble(model)
    place = np.log(_swept(budget))
    sparse_enough = budget.shape[0] > 2 * every and bool(np.all(np.diff(place) > 0))
    if every == 1 or not ensemble.n_draws or not sparse_enough:
        best = optimum(model, budget, **options)
    else:
        best = optimum(ensemble.alone(), budget, **options)
        knots = np.unique([*range(0, budget.shape[0], every), budget.shape[0] - 1])
        sparse = optimum(ensemble, _at(budget, knots), **options).draws
        assert sparse is not None
        draws = between(sparse, knots, place)
        code = best.code | width_flag(draws, ensemble.hull)
        best = dataclasses.replace(best, draws=draws, code=code)
    limit = None
    if budget.inference_flops is not None:
        # The saturation size: with training free of charge only samples compete with size.
        train = np.full(np.shape(np.asarray(budget.train_flops)), 1e60)
        endless = dataclasses.replace(budget, train_flops=train)
        # With rivals that nobody reads: it is the program of the sweep itself.
        limit = optimum(ensemble.alone(), endless, method=method)
        edge = (np.asarray(limit.code, int) & int(Status.AT_SEARCH_EDGE)) > 0
        limit = np.where(edge, math.nan, np.asarray(limit.params))
    swept = _swept(budget)
    separate = budget.mode == "separate"
    return Frontier(
        train_flops=swept if separate else np.asarray(best.train_flops), optimum=best,
        saturation=limit, axis=budget.goal, budgets=swept,
    )  # fmt: skip


def _swept(budget: Budget) -> np.ndarray:
    """The values of the budget that names the goal [budgets]."""
    return np.broadcast_to(np.asarray(getattr(budget, budget.goal), float), budget.shape)


def _at(budget: Budget, kept: np.ndarray) -> Budget:
    """Some of the budgets of a sweep."""
    swept = {
        field.name: np.asarray(getattr(budget, field.name))[kept]
        for field in dataclasses.fields(budget)
        if np.ndim(getattr(budget, field.name)) == 1
    }
    return dataclasses.replace(budget, **swept)


def checked(model: Model, budget: Budget) -> Ensemble:
    """The model as an ensemble, if it and the budget go together.

    Raises:
      InputError: no budget, or no model.
      Refusal: the law cannot answer for that budget, or the table behind it has no trend.
    """
    ensemble = as_ensemble(model)
    check_trend(ensemble)
    law = ensemble.point
    if not isinstance(budget, Budget):
        raise InputError(
            f"a Budget is needed and {type(budget).__name__} was given",
            remedy="e.g. t2jax.Budget(train_flops=1e18, inference_flops=2e9)",
        )
    if budget.inference_flops is not None and not law.uses_samples:
        raise Refusal(
            f"law '{law.title}' was fitted on single samples, so it cannot weigh inference "
            "against training",
            remedy="fit law='linked' on per-question nll, or leave inference_flops out",
        )
    wanted = {"target_loss": "loss", "target_pass_at_k": "accuracy"}.get(budget.goal)
    if wanted not in (None, law.kind):
        other = "target_loss" if law.kind == "loss" else "target_pass_at_k"
        raise Refusal(f"{budget.goal} is not what law '{law.title}' predicts",
                      remedy=f"give {other}, or fit another law")  # fmt: skip
    if budget.cost.stop_at_success:
        sampling_law(law, "tell when sampling stops, as stop_at_success asks")
    return ensemble


def answerable(budget: Budget, ensemble: Ensemble) -> Budget:
    """The budget as what is known of the law can answer it: the sizes and tokens looked at.

    Raises:
      Refusal: a question about tokens, of a table that holds one token count.
    """
    return _within_reach(_at_its_tokens(ensemble, budget), ensemble)


def _within_reach(budget: Budget, ensemble: Ensemble) -> Budget:
    """The budget with sizes down to a tenth of the smallest model of the table, unless it says.

    A law knows nothing of far smaller ones, and some promise much of them: a guesser with endless
    samples solves what can be guessed.
    """
    if ensemble.hull is None or budget.min_params is not None:
        return budget
    least = ensemble.hull.params[0] / _SMALLER
    if budget.max_params is not None:
        least = min(least, float(np.min(budget.max_params)))
    try:
        return dataclasses.replace(budget, min_params=least)
    except InputError:  # it affords smaller models only
        return budget


def check_trend(model: Model) -> None:
    """Stop at a fit, or at draws of one, of a table without a trend.

    Raises:
      Refusal: it has none.
    """
    why = as_ensemble(model).trendless
    if why:
        raise Refusal(
            f"{why}, which is no ground for a plan",
            remedy="bring runs that differ more in size and tokens, or more questions; "
            "optimum(fit.law, budget) answers for the law alone",
        )


def _at_its_tokens(model: Ensemble, budget: Budget) -> Budget:
    """The budget as a law of one token count can answer it: N and k at those tokens.

    Raises:
      Refusal: a question about tokens.
    """
    law, hull = model.point, model.hull
    if law.base.uses_tokens:
        return budget
    if hull is None:
        raise Refusal(
            f"law '{law.base.name}' is of one token count, which is that of a table",
            remedy="ask the fit, or draws of it",
        )
    tokens = hull.tokens[1]
    known = f"{model.source} holds one token count only ({tokens:.3g})"
    if budget.mode != "separate" or budget.inference_flops is None:
        raise Refusal(
            f"{known}, which says nothing of how many tokens to train on",
            remedy="ask for size and samples at that count, with train_flops and inference_flops, "
            "or add checkpoints at other token counts",
        )
    if budget.max_tokens is not None and np.any(np.asarray(budget.max_tokens) < tokens):
        raise Refusal(f"{known}, more than max_tokens", remedy="add checkpoints at fewer tokens")
    # At those tokens the training budget is a cap on size.
    most = np.asarray(budget.train_flops) / (TRAIN_FLOPS * tokens)
    if budget.max_params is not None:
        most = np.minimum(most, np.asarray(budget.max_params))
    return dataclasses.replace(budget, max_params=most, max_tokens=tokens)


def box_of(law: Law, budget: Budget) -> Box:
    """The budget in logs as that law sees it."""
    return budget.box(samples=law.uses_samples)


def method_for(method: str, ensemble: Ensemble, box: Box) -> str:
    """The method to use.

    Raises:
      InputError: unknown, or not for this law and budget.
    """
    if method not in METHODS:
        raise InputError(f"unknown method '{method}'", remedy=f"use one of {', '.join(METHODS)}")
    closed = applies(ensemble.point, box)
    if closed and isinstance(ensemble.law, T2Loss) and isinstance(ensemble.point, T2Loss):
        gammas = np.append(np.asarray(ensemble.law.gamma), ensemble.point.gamma)
        closed = bool(np.all(gammas > 0))
    if method == "closed_form" and not closed:
        raise InputError(
            f"law '{ensemble.point.title}' has no closed form here", remedy="use method='scan'"
        )
    if method == "auto":
        return "closed_form" if closed else "scan"
    return method


def _is_plain(cost: Cost) -> bool:
    return cost.monomial and not np.any(np.asarray(cost.memory_price) * cost.weight_bytes)


def _refuse_unreachable(point: Optimum, law: Law, budget: Budget, box: Box, method: str) -> None:
    """Refuse a target that no plan reaches, with the best that any does."""
    missed = (np.asarray(point.code, int) & int(Status.UNREACHABLE)) > 0
    if not np.any(missed):
        return
    # What an all but endless budget buys under the same caps.
    endless = np.log(np.full(np.shape(box.target), 1e60))
    flat = jax.tree.map(lambda x: np.reshape(x, (-1, *np.shape(x)[len(budget.shape) :])),
                        dataclasses.replace(box, mode="total", total=endless))  # fmt: skip
    best, *_ = solve_all(law, None, flat, progress=False, memory=MEMORY, method=method,
                         chinchilla=False, integer=False, runner_up=False)  # fmt: skip
    at = int(np.argmax(missed))
    asked, have = float(np.ravel(box.target)[at]), float(best.value[at])
    word, way = ("above", "lowest") if law.kind == "loss" else ("below", "highest")
    if (have > asked) == (law.kind == "loss"):
        raise Refusal(
            f"no plan reaches {budget.goal} = {asked:g}: the {way} value of law '{law.title}' "
            f"within these caps is {have:.6g}",
            remedy=f"ask for a target {word} {have:.6g}, or raise the caps",
        )
    raise Refusal(
        f"the smallest plan already reaches {budget.goal} = {asked:g}",
        remedy="ask for a better target, or for a smaller min_params",
    )


def _solve_both(
    ensemble: Ensemble, budget: Budget, box: Box, memory: float, *, progress: bool, **options: Any
) -> tuple[Optimum, Optimum | None]:
    """The optimum of the point estimate, and those of its draws where there are any."""
    law, n_draws = ensemble.point, ensemble.n_draws
    alike = jax.tree.structure(law) == jax.tree.structure(ensemble.law)
    if not n_draws or not box.separate or not alike:
        point = _solve(law, None, budget, box, memory, progress=False, runner_up=True, **options)
        if not n_draws:
            return point, None
        draws = _solve(ensemble.law, n_draws, budget, box, memory, progress=progress,
                       runner_up=False, **options)  # fmt: skip
        return point, draws
    # One program for both, which also follows each draw's second valley where two are near.
    together = jax.tree.map(
        lambda x, y: np.concatenate([np.asarray(x)[None], y]), law, ensemble.law
    )
    found = _solve(together, n_draws + 1, budget, box, memory, progress=progress,
                   runner_up=True, **options)  # fmt: skip
    draws = dataclasses.replace(jax.tree.map(lambda x: x[1:], found), runner_up=None)
    return jax.tree.map(lambda x: x[0], found), draws


def _solve(
    law: Law, n_draws: int | None, budget: Budget, box: Box, memory: float, *,
    progress: bool, **options: Any,
) -> Optimum:  # fmt: skip
    """Optima of shape [draws, *budget.shape]."""
    axes = len(budget.shape)
    flat = jax.tree.map(lambda x: np.reshape(x, (-1, *np.shape(x)[axes:])), box)
    found = solve_all(law, n_draws, flat, progress=progress, memory=memory, **options)
    shape = budget.shape if n_draws is None else (n_draws, *budget.shape)

    def pack(certified):
        if certified is None:
            return None
        shaped = jax.tree.map(lambda x: np.asarray(x).reshape(shape), certified)
        return Optimum.of(shaped, kind=law.kind, law_name=law.title, goal=budget.goal,
                          uses_samples=law.uses_samples,
                          unit=budget.cost.unit)  # fmt: skip

    best, second, other = map(pack, found)
    assert best is not None
    return dataclasses.replace(best, runner_up=second, chinchilla=other)


def _with_flags(point: Optimum, ensemble: Ensemble) -> Optimum:
    """The optimum with flags for what the model says: its data's ranges, its certificate."""
    flags = hull_flags(point, ensemble.hull) | int(ensemble.code)
    point = dataclasses.replace(point, code=point.code | flags)
    if point.chinchilla is None:
        return point
    other = point.chinchilla
    other = dataclasses.replace(other, code=other.code | hull_flags(other, ensemble.hull))
    return dataclasses.replace(point, chinchilla=other)
