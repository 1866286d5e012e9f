"""What a plan may spend where nobody said, in words, and how far that lies from the table."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from t2jax import _text, cost
from t2jax.errors import InputError, Refusal
from t2jax.hull import Hull
from t2jax.laws import Law
from t2jax.observations import Observations
from t2jax.planning import Budget, Optimum
from t2jax.planning.budget import GOALS

__all__ = ["beyond", "choose", "lifetime", "middling", "sweep"]

_SLACK = 1e-6  # a budget copied from the table itself, with six digits, is inside it
_POINTS = 33  # budgets along a frontier
_REACHES = (31.6, 10.0, 3.0, 1.3)  # to either side of a lifetime budget: a decade and a half


def choose(
    asked: Budget | Mapping[str, Any] | None,
    law: Law,
    hull: Hull,
    runs: Observations | None = None,
) -> tuple[Budget, tuple[str, ...]]:
    """The budget that was asked for, its gaps filled from the middle of the table; and words.

    Args:
      asked: a budget, which is taken as it is; or fields of one, or None.
      law: a law of the form to be fitted.
      hull: ranges of the table.
      runs: the table, if it is at hand: a gap is filled by the training budget of the run nearest
        the middle, so that measured runs can judge the plan, and by its middling size.

    Raises:
      InputError: a budget that cannot be, or a sweep.
      Refusal: an inference budget for a law without samples.
    """
    fields = dict(asked.to_dict() if isinstance(asked, Budget) else asked or {})
    if fields.get("inference_flops") is not None and not law.uses_samples:
        raise Refusal(
            f"law '{law.name}' knows single samples only, so it cannot weigh inference against "
            "training",
            remedy="bring per-question nll, or losses at three or more k (column 'samples') "
            "and law='softplus', or leave the inference budget out",
        )
    why = {}
    if all(fields.get(name) is None for name in GOALS):
        # In the middle, because optima leave the table long before budgets do.
        middle = _middle(hull.train_flops)
        if runs is not None:
            middle = _nearest(runs.train_flops, middle)
        fields["train_flops"] = _round(middle)
        why["train_flops"] = ": the middle of the table, as none was given"
    separate = fields.get("train_flops") is not None
    if separate and law.uses_samples and not isinstance(asked, Budget):
        if fields.get("inference_flops") is None:
            drawn = math.sqrt(hull.samples[1])
            size = _middle(hull.params) if runs is None else middling(runs)
            flops = cost.INFERENCE_FLOPS * size * drawn
            fields["inference_flops"] = _round(flops)
            why["inference_flops"] = (
                f": {drawn:.3g} samples of a model of middling size, as none was given"
            )
    budget = asked if isinstance(asked, Budget) else Budget.from_dict(fields)
    if budget.shape != ():
        raise InputError("a plan has one budget", remedy="sweep with t2jax.frontier")
    return budget, _words(budget, why)


def _words(budget: Budget, why: Mapping[str, str]) -> tuple[str, ...]:
    """What is to be spent or reached, a sentence each."""
    given = float(np.asarray(getattr(budget, budget.goal)))
    if budget.mode == "separate":
        said = [f"Training budget {given:.3g} FLOPs{why.get('train_flops', '')}."]
        if budget.inference_flops is not None:
            said.append(
                f"Inference budget {float(np.asarray(budget.inference_flops)):.3g} FLOPs per "
                f"generated token of a question{why.get('inference_flops', '')}."
            )
        return tuple(said)
    served = f"{_text.count(float(budget.mean_questions()))} questions"
    if budget.inference_tokens is not None:
        served = f"{_text.count(float(np.asarray(budget.inference_tokens)))} tokens"
    if budget.mode == "target":
        aim = "a loss" if budget.goal == "target_loss" else "a mean pass@k"
        return (f"Target: {aim} of {given:g} at least cost, {served} served.",)
    unit = "dollars" if budget.goal == "dollars" else "FLOPs"
    return (f"Budget {given:.3g} {unit} for training and for serving {served}.",)


def beyond(
    budget: Budget, best: Optimum | None, law: Law, hull: Hull, *, extrapolate: bool
) -> tuple[str, ...]:
    """How far outside the table a plan would be trained and sampled.

    Args:
      budget: one budget. Two separate ones are judged themselves.
      best: the optimum under any other, which says what would be trained; None: not known yet.
      law: a law of the form to be fitted.
      hull: ranges of the table.
      extrapolate: answer all the same, with a warning.

    Raises:
      Refusal: outside, and nobody asked to extrapolate.
    """
    said = []
    if budget.mode == "separate":
        train = float(np.asarray(budget.train_flops))
        said += _outside(f"the training budget {train:.3g}", train, hull.train_flops, extrapolate)
        if budget.inference_flops is not None and law.uses_samples:
            low, high = (cost.INFERENCE_FLOPS * n for n in hull.params)
            reach = (low, high * hull.samples[1])
            inference = float(np.asarray(budget.inference_flops))
            what = f"the inference budget {inference:.3g}"
            said += _outside(what, inference, reach, extrapolate)
    elif best is not None:
        train = float(best.train_flops)
        what = f"this budget's training run, {train:.3g} FLOPs,"
        said += _outside(what, train, hull.train_flops, extrapolate)
    return tuple(said)


def lifetime(budget: Budget, best: Optimum) -> Budget:
    """The budget itself, or for a target the one that spends what reaching it costs.

    The plan that reaches a target at least cost is the best plan of that cost, so that whatever
    cannot be asked about the target is asked about its cost.
    """
    if budget.mode != "target":
        return budget
    goal = "dollars" if budget.cost.unit == "dollars" else "total_flops"
    served: dict[str, Any] = {}
    if budget.demand is not None:
        served = {"questions": budget.demand.mean, "questions_factor": None}
    free = {"target_loss": None, "target_pass_at_k": None, goal: float(best.spent)}
    return dataclasses.replace(budget, **free, **served)


def sweep(budget: Budget, best: Optimum, hull: Hull) -> Budget:
    """The budgets of the frontier: those of the table, or round what serves for everything."""
    budget = lifetime(budget, best)
    here = float(np.asarray(getattr(budget, budget.goal)))
    if budget.mode == "separate":
        ends = min(hull.train_flops[0], here), max(hull.train_flops[1], here)
        return dataclasses.replace(budget, train_flops=np.geomspace(*ends, _POINTS))
    for reach in _REACHES:
        flops = np.geomspace(here / reach, here * reach, _POINTS)
        try:
            return dataclasses.replace(budget, **{budget.goal: flops})
        except InputError:  # the least of them does not pay for one answer to every question
            continue
    return dataclasses.replace(budget, **{budget.goal: np.geomspace(here, 31.6 * here, _POINTS)})


def _nearest(trained: np.ndarray, middle: float) -> float:
    """The training budget nearest to one, and of budgets as near to 1% the least.

    >>> _nearest(np.array([1e10, 2e10, 4e10, 8e10]), 2.83e10)
    20000000000.0
    """
    apart = np.abs(np.log(trained / middle))
    return float(trained[apart < apart.min() + 0.01].min())


def middling(runs: Observations) -> float:
    """Parameters of a middling model: the geometric mean over the rows."""
    return float(np.exp(np.mean(np.log(runs.params))))


def _middle(ends: tuple[float, float]) -> float:
    return math.sqrt(ends[0] * ends[1])


def _round(budget: float) -> float:
    """Three digits: what is printed is what was solved, and can be typed again."""
    return float(f"{budget:.3g}")


def _outside(what: str, flops: float, reach: tuple[float, float], extrapolate: bool) -> list[str]:
    """Whether FLOPs lie outside the table, in words with the distance."""
    low, high = reach
    if low * (1 - _SLACK) <= flops <= high * (1 + _SLACK):
        return []
    above = flops > high
    decades = math.log10(flops / high if above else low / flops)
    place = f"{max(decades, 0.01):.2g} decades {'above' if above else 'below'} the table"
    problem = f"{what} lies {place}, which spans {low:.3g} to {high:.3g} FLOPs"
    if extrapolate:
        return [f"EXTRAPOLATION: {problem}."]
    more = "sizes, or samples k," if "inference" in what else "runs of that size"
    raise Refusal(
        problem,
        remedy=f"add {more} that reach it, ask for a budget inside, or pass extrapolate=True",
    )
