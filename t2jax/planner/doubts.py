"""Everything that the intervals of a plan leave out, a sentence each."""

import numpy as np

from t2jax import _text
from t2jax.errors import Status
from t2jax.fitting import FitResult
from t2jax.fitting.result import relative_errors
from t2jax.laws import predict
from t2jax.observations import POOLED
from t2jax.planner.companion import Companion
from t2jax.planning import Budget, Frontier, Optimum
from t2jax.uncertainty import Ensemble

__all__ = ["doubts"]

_OUTSIDE = ": this is extrapolation"
_SELDOM = 0.005  # share of the draws below which a percentage reads 0%
_UNITS = {"trunk": "independent trainings (trunks)"}
_MOVED = 1.5  # between two sizes: below it the next size measured is often the same
_JUMP = 2.0  # in N between neighbouring budgets of a frontier, beyond what the budget itself grows
_FEW_UNITS = 30  # of resampling: below it the spread of the draws is itself poorly known


def doubts(
    fit: FitResult,
    draws: Ensemble,
    best: Optimum,
    front: Frontier,
    companion: Companion | None,
    budget: Budget,
    alone: Optimum | None = None,
) -> list[str]:
    """Everything that the intervals leave out, a sentence each.

    Args:
      fit: the fitted law.
      draws: the law resampled.
      best: the plan.
      front: optima along a sweep of budgets.
      companion: the other aim.
      budget: what may be spent.
      alone: the optimum of the law without the misfit that the draws carry.
    """
    notes = () if fit.observations is None else fit.observations.notes
    said = [f"{note}." for note in notes if note.startswith(POOLED)]
    said += [] if fit.success else [f"NOT CERTIFIED: {fit.message}."]
    # Of a fit that is not certified more is said above: why it is not.
    dull = (_OUTSIDE, *Status.UNCERTIFIED.sentences())
    said += [f"The plan: {s}." for s in best.status if not s.endswith(dull)]
    said += _bent(best, alone) + _jumps(front)
    rival = best.rival
    if rival is not None and any(sentence.endswith(_OUTSIDE) for sentence in rival.status):
        said.append("Chinchilla's choice lies outside the table too: this is extrapolation.")
    if fit.source == "the built-in ladder":
        said.append(
            "The built-in ladder holds tiny models trained on synthetic questions. It shows how a "
            "plan is made and says nothing about large models."
        )
    said += _misfit(fit, draws)
    units = draws.diagnostics.get("units")
    if units is not None and units < _FEW_UNITS:
        said.append(
            f"Only {units} {_UNITS.get(draws.unit, draws.unit + 's')} could be resampled: the "
            "intervals are uncertain themselves, and tend to be too narrow."
        )
    said += _draw_doubts(fit, draws, best)
    if companion is not None:
        name = companion.fit.law.name
        error = companion.fit.criteria.get("mean relative error")
        if error is not None:
            said.append(f"Law '{name}' misses the measured pass@k by {error:.1%} on average.")
        notes = _draw_doubts(companion.fit, companion.draws, companion.best)
        if not companion.fit.success:
            notes = [f"NOT CERTIFIED: {companion.fit.message}.", *notes]
        # Of the same draws what was said of them once is enough.
        said += [f"Law '{name}', of pass@k: {note}" for note in notes if note not in said]
    ceiling = front.ceiling
    if ceiling is not None and float(best.params) <= ceiling:
        said.append(
            f"At this inference budget N* cannot pass {_text.count(ceiling)}, however "
            "much is spent on training: extreme tokens per parameter are partly that ceiling."
        )
    said += _counted(fit, budget)
    if fit.params_definition == "unstated":
        said.append(
            "The table does not say what N counts (total, non-embedding, ...); 6ND and the plan's "
            "size inherit whatever it was. State it as params_definition where the table is read."
        )
    return said


def _bent(best: Optimum, alone: Optimum | None) -> list[str]:
    """How far the misfit moves the plan."""
    if alone is None or abs(np.log(float(best.params) / float(alone.params))) < np.log(_MOVED):
        return []
    return [
        f"The law's own form puts N* at {_text.count(float(alone.params))}; what the runs show "
        f"beyond it, its misfit, moves N* to {_text.count(float(best.params))}: a size between "
        "the two is worth a run of its own."
    ]


def _jumps(front: Frontier) -> list[str]:
    """Where N* leaps from one size to another along the budgets."""
    size, swept = np.log(np.asarray(front.optimum.params)), np.log(front.swept)
    leaps = np.abs(np.diff(size)) - np.abs(np.diff(swept))
    at = np.flatnonzero(leaps > np.log(_JUMP))
    if not len(at):
        return []
    worst = int(at[np.argmax(leaps[at])])
    sizes = [_text.count(float(np.exp(x))) for x in size[worst : worst + 2]]
    return [
        f"Near a budget of {np.exp(swept[worst]):.2g} N* leaps from {sizes[0]} to {sizes[1]}: two "
        "sizes are about equally good there, and neither is the frontier."
    ]


def _counted(fit: FitResult, budget: Budget) -> list[str]:
    """What the costs leave out."""
    said = []
    if fit.law.uses_samples:
        said.append("pass@k takes a correct answer to be recognised when it is sampled.")
    if not budget.cost.monomial:
        return said
    costs = "Training is counted as 6ND FLOPs"
    if fit.law.uses_samples:
        costs += (
            " and a sample as 2N per token, without attention, memory traffic or utilisation, "
            "which flatters small models"
        )
    return [*said, costs + "."]


def _draw_doubts(fit: FitResult, draws: Ensemble, best: Optimum) -> list[str]:
    said: list[str] = []
    found = draws.diagnostics.get("at_bound", {})
    shares = {name: share for name, share in found.items() if share >= _SELDOM}
    names = [*fit.certificate.at_bound, *(n for n in shares if n not in fit.certificate.at_bound)]
    for name in names:
        where = "in the fit" if name in fit.certificate.at_bound else ""
        share = f"{shares[name]:.0%} of the draws" if name in shares else ""
        where += (" and in " if where and share else "in " if share else "") + share
        said.append(
            f"{name} lies at its bound {where}: the data do not identify it, and intervals of "
            "coefficients that trade off with it are too narrow."
        )
    lost = 1.0 - float(draws.diagnostics.get("converged", 1.0))
    if lost > 0:
        said.append(f"{lost:.1%} of the refits did not converge.")
    if best.draws is not None:
        codes = np.asarray(best.draws.code, int)
        for flag in (Status.NOT_CONVERGED, Status.AT_SEARCH_EDGE, Status.SEVERAL_MODES):
            share = float(np.mean((codes & int(flag)) > 0))
            if share >= _SELDOM:
                said.append(f"In {share:.0%} of the draws {flag.sentences()[0]}.")
    return said


def _off(bias: float) -> str:
    return f"{abs(bias):.1%} too {'high' if bias > 0 else 'low'}"


def _misfit(fit: FitResult, draws: Ensemble) -> list[str]:
    """How far the law is from the measurements, and where it is furthest."""
    if not len(fit.observed):
        return []
    error = relative_errors(fit.predicted, fit.observed) * np.sign(fit.predicted - fit.observed)
    said = ""
    runs = fit.observations
    if runs is not None and len(error) % runs.n_rows == 0:
        most = np.argsort(runs.train_flops, kind="stable")[-max(1, runs.n_rows // 10) :]
        bias = float(np.mean(error.reshape(runs.n_rows, -1)[most]))
        said = (
            f"In the tenth of the table with the most training law '{fit.law.name}' alone predicts "
            f"{_off(bias)} on average"
        )
        if "misfit" in draws.diagnostics:
            k = 1.0 if fit.samples is None else np.asarray(fit.samples)
            unique = np.inf if runs.unique_tokens is None else runs.unique_tokens[most][:, None]
            at = (runs.params[most][:, None], runs.tokens[most][:, None])
            told = np.asarray(predict(draws.point, *at, k, unique)).ravel()
            seen = fit.observed.reshape(runs.n_rows, -1)[most].ravel()
            left = float(np.mean(relative_errors(told, seen) * np.sign(told - seen)))
            said += f"; as the plan corrects it, {_off(left)}"
        said += ". "
    said += (
        f"Law '{fit.law.name}' misses a measured value by {np.mean(np.abs(error)):.1%} on average "
        f"and one in twenty by more than {np.quantile(np.abs(error), 0.95):.0%}"
    )
    if fit.samples is not None and len(fit.samples) > 1:
        by_k = np.mean(np.abs(error.reshape(-1, len(fit.samples))), axis=0)
        said += (
            f"; worst at k = {_text.number(fit.samples[int(np.argmax(by_k))])} ({by_k.max():.1%})"
        )
    carried = (
        "The intervals carry such misfit as far as the table shows it"
        if "misfit" in draws.diagnostics
        else "The intervals assume that the law is right"
    )
    return [f"{said}. {carried}."]
