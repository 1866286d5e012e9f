"""What the planner of a page is given: the law and its draws, the budgets it starts from."""

import base64
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from t2jax import cost
from t2jax.errors import InputError, Status
from t2jax.laws import Law, leaves_by_name
from t2jax.planner import Plan
from t2jax.planner.companion import predicted
from t2jax.planning import Budget, Optimum
from t2jax.planning.driver import answerable
from t2jax.reporting.page.javascript import program
from t2jax.reporting.tables import value_label
from t2jax.uncertainty import Ensemble

__all__ = ["MOST_DRAWS", "encode", "planner_data", "why_not"]

MOST_DRAWS = 1001
"""Draws that a page carries at most, ends of a thousand steps: past it some stand for others."""

_AT_PLAN = ", which are shown at the plan's own budget"
_SIZES = ("params", "tokens", "samples", "tokens_per_param")

SHARED = "="
"""Stands for a column of draws that the main law has under the same name."""

_MOST_NUMBERS = 40_000  # of all draws of a law, 11 characters each: arrays of nodes make many

_DOLLARS_PER_HOUR, _UTILISATION, _TOKENS_PER_SAMPLE = 2.0, 0.4, 100.0


def why_not(law: Law) -> str:
    """Why a page has no planner for a law, as a sentence; empty where it has one.

    >>> from t2jax.laws import Additive
    >>> why_not(Additive(E=1.0, A=1.0, B=1.0, alpha=0.3, beta=0.3))
    ''
    """
    try:
        program(law)
        program(law.base)
    except InputError as error:
        return f"The page's planner has no law '{law.name}': {error}."
    return ""


def planner_data(plan: Plan) -> dict[str, Any]:
    """Everything that the planner needs, ready for JSON; nothing where the law has no program.

    Args:
      plan: the plan, from whose budget the planner starts; its companion judges pass@k.
    """
    draws, label = plan.draws, value_label(plan.fit)
    if why_not(draws.point):
        return {}
    models = [draws]
    if plan.companion is not None and not why_not(plan.companion.fit.law):
        models.append(plan.companion.draws)
    laws = [law for model in models for law in (model.point, model.point.base)]
    chosen = _chosen(draws, plan.optimum)
    whole = _whole(plan, models)
    main = _law(draws, label, chosen)
    judges = [_law(model, "mean pass@k", _judging(model, draws, chosen)) for model in models[1:]]
    for judge in judges:
        # Draws of one fit are carried once, whatever they are asked.
        own = judge["columns"]
        judge["columns"] = {
            name: SHARED if text == main["columns"].get(name) else text
            for name, text in own.items()
        }
    return {
        "programs": {_form(law): program(law) for law in laws},
        "law": main,
        "judges": judges,
        "value": label,
        "hull": dataclasses.asdict(plan.fit.hull),
        "least": _least(plan),
        "initial": _initial(plan.optimum, plan.budget),
        "status": {flag.name: flag.sentences()[0] for flag in Status if flag},
        "hardware": {
            name: {"title": chip.name, "flops": chip.flops} for name, chip in cost.HARDWARE.items()
        },
        "draws_file": "draws.npz" if draws.n_draws else "fit.json",
        "note": _note(draws, len(chosen), plan.budget, exact=whole is not None),
        "whole": whole,
    }


def _whole(plan: Plan, models: Sequence[Ensemble]) -> dict[str, Any] | None:
    """The intervals of all draws at the plan's budget, where the page carries some of them."""
    best = plan.optimum
    cut = any(model.n_draws > _most(model) for model in models)
    if best.draws is None or not cut or _otherwise(plan.budget):
        return None
    of_size = {name: best.interval(name) for name in _SIZES}
    value, *judged = (predicted(model, best)[1:] for model in models)
    return {**of_size, "value": value, "judged": judged}


def _otherwise(budget: Budget) -> bool:
    """Whether the tables' plan is of a problem that the planner does not solve."""
    return not budget.cost.monomial or budget.mode == "target"


def _least(plan: Plan) -> float:
    """The smallest size that the plan looked at."""
    asked = answerable(plan.budget, plan.draws).min_params
    return 1.0 if asked is None else float(np.min(asked))


def encode(values: np.ndarray) -> str:
    """Float64 numbers as base64 of their bytes, little end first: exact, 11 characters each.

    >>> encode(np.array([1.0]))
    'AAAAAAAA8D8='
    """
    return base64.b64encode(np.asarray(values, "<f8").tobytes()).decode("ascii")


def _law(draws: Ensemble, label: str, chosen: np.ndarray) -> dict[str, Any]:
    point = draws.point
    return {
        "program": _form(point),
        "single": _form(point.base),
        "accuracy": point.kind == "accuracy",
        "usesSamples": point.uses_samples,
        "summed": "for(" in program(point),
        "label": label,
        "point": {name: leaf.tolist() for name, leaf in _leaves(point).items()},
        "columns": {
            name: encode(leaf[chosen].ravel()) for name, leaf in _leaves(draws.law).items()
        },
    }


def _leaves(law: Law) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf, float) for name, leaf in leaves_by_name(law).items()}


def _form(law: Law) -> str:
    """How a page names a law's program."""
    return law.name if law.base is law else f"{law.name}({law.base.name})"


def _most(draws: Ensemble) -> int:
    """How many draws of a law a page can carry."""
    numbers = sum(leaf.size for leaf in _leaves(draws.point).values())
    return min(MOST_DRAWS, _MOST_NUMBERS // numbers)


def _chosen(draws: Ensemble, best: Optimum) -> np.ndarray:
    """Which draws go into the page: all, or as many at equal steps of their own best size.

    One of twenty steps is 5%, so that the page has the 90% intervals of the tables at the plan's
    budget.
    """
    most = _most(draws)
    if draws.n_draws <= most:
        return np.arange(draws.n_draws)
    most = (most - 1) // 20 * 20 + 1 if most > 20 else max(1, most)
    ranks = np.linspace(0, draws.n_draws - 1, most).round().astype(int)
    if best.draws is None:
        return ranks
    return np.sort(np.argsort(np.asarray(best.draws.params), kind="stable")[ranks])


def _judging(judge: Ensemble, draws: Ensemble, chosen: np.ndarray) -> np.ndarray:
    """Which draws of a judge: as many as the law's, so that those of one fit are carried once."""
    if judge.n_draws == draws.n_draws and len(chosen) <= _most(judge):
        return chosen
    return np.linspace(0, judge.n_draws - 1, min(judge.n_draws, _most(judge))).round().astype(int)


def _note(draws: Ensemble, shown: int, budget: Budget, *, exact: bool) -> str:
    said = []
    if shown < draws.n_draws:
        said.append(
            f"They are {shown} of {draws.n_draws}, and their intervals can differ in the second "
            f"digit from those of all{_AT_PLAN if exact else ''}."
        )
    if _otherwise(budget):
        said.append(
            "The planner counts 6ND and 2Nk; the plan in the tables was made under another cost "
            "or for a target."
        )
    return "".join(f" {sentence}" for sentence in said)


def _initial(best: Optimum, budget: Budget) -> dict[str, Any]:
    """The dials at the start: what was budgeted, and matching guesses for what was not."""
    given = {}
    for name in ("train_flops", "inference_flops", "total_flops", "dollars", "questions",
                 "tokens_per_sample", "max_params", "max_tokens"):  # fmt: skip
        value = getattr(budget, name)
        if value is not None and not dataclasses.is_dataclass(value):
            given[name] = float(value)
    train = given.get("train_flops", float(best.train_flops))
    serve = given.get("inference_flops", float(best.inference_flops))
    tokens = given.setdefault("tokens_per_sample", _TOKENS_PER_SAMPLE)
    # As much for serving as for training, at the inference budget of the plan.
    given.setdefault("questions", _round(max(1.0, train / (serve * tokens))))
    total = given.setdefault("total_flops", _round(train + given["questions"] * serve * tokens))
    hour = _DOLLARS_PER_HOUR / 3600 / (cost.HARDWARE["h100"].flops * _UTILISATION)
    given.setdefault("dollars", _round(total * hour))
    kinds = {"total_flops": "flops", "dollars": "dollars"}
    return {
        "kind": kinds.get(budget.goal, "separate"),
        "max_params": None,
        "max_tokens": None,
        "hardware": "h100",
        "dollars_per_hour": _DOLLARS_PER_HOUR,
        "train_utilisation": _UTILISATION,
        "decode_utilisation": _UTILISATION,
        **given,
        "train_flops": train,
        "inference_flops": serve,
    }


def _round(value: float) -> float:
    """Two digits, as a person would have written it."""
    return float(f"{value:.2g}") if math.isfinite(value) else value
