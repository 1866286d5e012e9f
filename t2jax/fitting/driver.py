"""`fit`: from a table of runs to a fitted law with its certificate."""

import dataclasses
import functools
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from t2jax._arguments import check_whole
from t2jax._cache import version
from t2jax._precision import double, to_numpy
from t2jax.errors import InputError, Refusal
from t2jax.fitting.default import candidates, default_law
from t2jax.fitting.judge import choose, stack
from t2jax.fitting.minimise import Minimum
from t2jax.fitting.objectives import Objective
from t2jax.fitting.paper import paper_law, profile_inner
from t2jax.fitting.problem import Problem
from t2jax.fitting.result import Certificate, FitResult, goodness, trend_of
from t2jax.fitting.rows import sample_grid, value_rows
from t2jax.fitting.stages import Solved, plan_stages, run_stages
from t2jax.hull import Hull
from t2jax.laws import Law, Linked, on_host, template
from t2jax.observations import Observations

__all__ = ["accuracy_of", "fit", "versions"]

_NO_LOSS = 1e-5  # nats; below them the bounds of coefficients, which are in nats, would bind
_AGREE = 1e-6  # starts agree when their objectives differ by less than this share of its range


@double
def fit(
    runs: Observations,
    law: str | type[Law] | Law | None = None,
    *,
    objective: str | Objective | None = None,
    delta: float | None = None,
    samples: Sequence[float] | None = None,
    recipe: str | None = None,
    n_starts: int = 8,
) -> FitResult:
    """Fit a scaling law to a table of runs.

    Starts lie on a coarse grid of exponents with the linear coefficients solved exactly; from
    each, Optax L-BFGS and then Newton run in float64 on coordinates centred on the data.

    Args:
      runs: the table.
      law: a registry name such as `"additive"`, `"softplus"`, `"softplus(coupled)"`, a law
        class, or a law whose form is wanted; unless given, the one for this kind of table
        (`default_law`). `"auto"` fits all that the table can tell apart
        and keeps the one to plan with by its error at held-out checkpoints and k, and says so in
        `message`; `"stack"` keeps all that the far end of the table does not refute, weighed by
        how often each has the least error there.
      objective: `"student_t"` (default for losses), `"huber"`, `"sse"` (default for pass@k),
        or `"beta_binomial"` (default for counts).
      delta: bend of the Huber objective; 1e-3 unless given.
      samples: k grid on which per-question likelihoods are summarised.
      recipe: `"paper"` reproduces arXiv:2604.01411: Approach 1 for law `"t2_loss"`, Approach
        2 for `"t2_accuracy"`.
      n_starts: number of starts.

    Returns:
      The fitted law and its certificate. `success` is False, with the reason in `message`,
      when the minimum cannot be certified.

    Raises:
      InputError: unknown law or objective, or options that contradict each other.
      Refusal: the table cannot identify the law.

    >>> import t2jax as t2
    >>> result = t2.fit(t2.datasets.load_ladder(), law="additive")
    >>> result.success, round(result.criteria["R2"], 2)
    (True, 0.99)
    """
    if not isinstance(runs, Observations):
        raise InputError(
            f"fit takes Observations and got {type(runs).__name__}",
            remedy="read a file or a DataFrame with t2jax.read first",
        )
    if law in ("auto", "stack"):
        if recipe is not None:
            raise InputError(
                "a recipe is followed for its own law", remedy="name the law, or leave recipe out"
            )
        options = {"objective": objective, "delta": delta, "n_starts": n_starts}
        every = {name: functools.partial(fit, runs, name, samples=samples, **options)
                 for name in candidates(runs)}  # fmt: skip
        return choose(runs, every) if law == "auto" else stack(runs, every)
    wanted = template(default_law(runs) if law is None else law)
    check_whole("n_starts", n_starts, usual=8)
    if recipe is not None:
        if recipe != "paper":
            raise InputError(f"unknown recipe '{recipe}'", remedy="the only recipe is 'paper'")
        wanted, objective = paper_law(wanted, objective), "sse"
    _check_counts(wanted, runs)
    _check_enough(wanted, runs)
    _check_values(runs)
    stages = plan_stages(wanted, runs, objective=objective, delta=delta, samples=samples)
    inner, grid = None, stages[-1].grid
    if recipe is not None and len(stages) > 1:
        inner, stages = profile_inner(runs, n_starts), stages[1:]
    if wanted.searched is not wanted:
        grid = sample_grid(runs, wanted, samples)
    result = _result(runs, grid, run_stages(stages, n_starts, inner))
    held = 0 if inner is None else len(inner.cards())
    return dataclasses.replace(result, recipe=recipe, n_free=result.n_free + held)


def _check_counts(law: Law, runs: Observations) -> None:
    """Refuse a table that cannot tell size from tokens, unless the law asks for one count alone."""
    if law.base.uses_tokens:
        runs.check_identifies()
    elif not runs.one_token_count:
        raise Refusal(
            f"law '{law.name}' is of one token count and {runs.source} holds several",
            remedy="leave the law out, or select the checkpoints of one count",
        )


def _check_enough(law: Law, runs: Observations) -> None:
    checkpoints = len(np.unique(np.stack([runs.params, runs.tokens]), axis=1).T)
    needed = len(law.base.cards())
    if checkpoints < needed + 1:
        fewer = len(template("tied").cards())
        or_ = ", or use a law with fewer coefficients, law='tied'"
        or_ = or_ if fewer < min(needed, checkpoints) else ""
        inside = "" if law.base.name == law.name else f" inside law '{law.name}'"
        raise Refusal(
            f"{runs.source} has {checkpoints} distinct (params, tokens) and law "
            f"'{law.base.name}'{inside} has {needed} coefficients",
            remedy=f"add {needed + 1 - checkpoints} or more runs at other sizes and token counts"
            + or_,
        )


def _check_values(runs: Observations) -> None:
    """Refuse losses that are no losses in nats, and those in which nothing is to be seen."""
    if runs.kind == "counts":
        asked = np.maximum(np.asarray(runs.trials).sum(1), 1.0)
        mean = np.asarray(runs.successes).sum(1) / asked
        what = "share of solved attempts"
    else:
        mean = np.asarray(runs.loss) if runs.kind == "loss" else np.asarray(runs.nll).mean(1)
        what = "loss"
    if np.all(mean == mean[0]):
        raise Refusal(
            f"every {what} in {runs.source} is {mean[0]:g}, which says nothing of size and tokens",
            remedy="bring runs that differ in it, or questions that tell them apart",
        )
    if runs.kind != "counts" and mean.max() < _NO_LOSS:
        raise InputError(
            f"no loss exceeds {mean.max():.3g}, and no model comes that near to zero nats",
            source=runs.source,
            remedy=f"give their unit with units={{'{runs.kind}': ...}}, --units {runs.kind}=...",
        )


def _certificate(
    problem: Problem, minimum: Minimum, values: np.ndarray, entry: np.ndarray
) -> Certificate:
    pinned = np.asarray(minimum.pinned)
    free = ~pinned
    hessian = np.asarray(minimum.hessian)[np.ix_(free, free)]
    root = np.sqrt(np.maximum(np.abs(np.diagonal(hessian)), 1e-300))
    eigenvalues = np.linalg.eigvalsh(hessian / root[:, None] / root[None, :])
    best = float(minimum.value)
    scale = _scale(best, entry)
    return Certificate(
        gradient_norm=float(np.max(np.abs(np.asarray(minimum.gradient)[free]), initial=0.0)),
        expected_fall=float(minimum.fall),
        positive_definite=bool(eigenvalues[0] > 0),
        condition=float(eigenvalues[-1] / max(eigenvalues[0], 1e-300 * max(1.0, eigenvalues[-1]))),
        agreement=float(np.mean(values - best <= _AGREE * scale)),
        at_bound=tuple(
            card.name
            for card, pin in zip(problem.cards, pinned, strict=True)
            if pin and card not in problem.objective.nuisance
        ),
    )


def _scale(value: float, entry: np.ndarray) -> float:
    """How far the objective falls on the way from a typical start."""
    return max(float(np.median(np.abs(entry - value))), 1e-12 * abs(value))


def _unit(problem: Problem, value: float, entry: np.ndarray) -> float:
    """A difference in the objective that would matter: a nat, or the objective itself.

    A table without noise has an objective of rounding errors, and is judged by its starts.
    """
    if problem.objective.likelihood:
        return 1.0
    return max(abs(value), 1e-12 * _scale(value, entry), 1e-300)


def _verdict(certificate: Certificate, unit: float) -> tuple[bool, str]:
    """Success, and the sentence that goes with it; `unit` is a noticeable objective."""
    if not certificate.positive_definite:
        return False, (
            "the Hessian is not positive definite, so the data leave a direction undetermined; "
            "add runs at other sizes and token counts, or use a law with fewer coefficients"
        )
    if not certificate.expected_fall <= 1e-8 * unit:
        return False, (
            f"the minimiser stopped {certificate.expected_fall:.1e} above a stationary point; "
            "use more starts (n_starts=64) or another objective"
        )
    if certificate.at_bound:
        names = ", ".join(certificate.at_bound)
        return True, (
            f"converged with {names} at a bound: the data do not identify "
            f"{'it' if len(certificate.at_bound) == 1 else 'them'}, and intervals for "
            "coefficients that trade off with a bound are too narrow"
        )
    return True, "converged to a strict minimum"


def _criteria(
    problem: Problem, misfit: float, fitted: np.ndarray, observed: np.ndarray, predicted: np.ndarray
) -> dict[str, float]:
    out = goodness(observed, predicted)
    if problem.objective.likelihood and not problem.objective.counts:
        # The density of log loss, carried over to the loss itself so that laws compare.
        total = misfit + float(np.sum(np.log(fitted)))
        out["AIC"] = 2.0 * (total + len(problem.cards))
        out["BIC"] = 2.0 * total + len(problem.cards) * float(np.log(len(fitted)))
    return out


@double
def accuracy_of(fit: FitResult) -> FitResult:
    """The fit of a linked law, answering with mean pass@k: the same law, judged in that unit."""
    assert isinstance(fit.law, Linked)
    assert fit.observations is not None
    law = fit.law.accuracy()
    rows = value_rows(fit.observations, law, fit.samples)
    observed, predicted = np.asarray(rows.value), np.asarray(rows.predict(law))
    return dataclasses.replace(
        fit, law=law, observed=observed, predicted=predicted,
        criteria=fit.criteria | goodness(observed, predicted),
    )  # fmt: skip


def _result(
    runs: Observations,
    grid: tuple[float, ...] | None,
    solved: Solved,
) -> FitResult:
    problem, data = solved.cases[-1]
    values, entry = np.asarray(solved.minima.value), np.asarray(solved.entry)
    minimum = to_numpy(solved.best[-1])
    fitted = to_numpy(problem.law(minimum.free, data))
    certificate = _certificate(problem, minimum, values, entry)
    value = float(minimum.value)
    success, message = _verdict(certificate, _unit(problem, value, entry))
    for (inner_problem, _), inner in zip(solved.cases[:-1], solved.best[:-1], strict=True):
        first = _certificate(inner_problem, to_numpy(inner), np.zeros(1), np.zeros(1))
        unit = _unit(inner_problem, float(inner.value), np.zeros(1))
        inner_success, inner_message = _verdict(first, unit)
        if not inner_success:
            success, message = False, f"the inner loss was not fitted: {inner_message}"
        bounds = (*first.at_bound, *certificate.at_bound)
        certificate = dataclasses.replace(certificate, at_bound=bounds)
    prior = float(problem.penalty(minimum.free, data))
    counts = problem.objective.counts
    # A linked law is fitted to mean losses and answers for every k.
    judged = value_rows(runs, fitted, grid) if data.rows.of_mean else data.rows
    observed = np.zeros(0) if counts else np.asarray(judged.value)
    predicted = np.zeros(0) if counts else np.asarray(judged.predict(fitted))
    nuisance_cards = problem.objective.nuisance
    nuisance = problem.nuisance(minimum.free)
    options = dataclasses.asdict(problem.objective)
    fitted_samples = np.asarray(judged.samples) if grid is None or not counts else grid
    return FitResult(
        law=on_host(fitted),
        success=success,
        message=message,
        objective=problem.objective.name,
        objective_options=options,
        objective_value=value,
        n_obs=int(np.sum(np.asarray(runs.trials) > 0)) if counts else len(data.rows.value),
        n_free=sum(len(p.cards) for p, _ in solved.cases),
        nuisance={card.name: float(v) for card, v in zip(nuisance_cards, nuisance, strict=True)},
        certificate=certificate,
        starts=_starts(problem, solved, value),
        samples=grid,
        hull=Hull.of(params=runs.params, tokens=runs.tokens, samples=np.asarray(fitted_samples)),
        observed=observed,
        predicted=predicted,
        trend=None if counts else trend_of(fitted, np.asarray(judged.samples), observed, predicted),
        criteria=_criteria(
            problem, value - prior, np.asarray(data.rows.value), observed, predicted
        ),
        description=runs.describe(),
        params_definition=runs.params_definition,
        source=runs.source,
        data_hash=runs.data_hash(),
        versions=versions(),
        observations=runs,
    )


def _starts(problem: Problem, solved: Solved, value: float) -> tuple[dict[str, Any], ...]:
    """What became of every start."""
    entry, ends = np.asarray(solved.entry), np.asarray(solved.minima.value)
    bottom = value + _AGREE * _scale(value, entry)
    names = [c.name for c in problem.cards if c not in problem.objective.nuisance]
    pins = np.asarray(solved.minima.pinned)[:, : len(names)]
    steps = np.asarray(solved.minima.steps)
    return tuple(
        {
            "start": float(a), "end": float(b), "steps": int(s), "agrees": bool(b <= bottom),
            "at_bound": [name for name, pin in zip(names, pinned, strict=True) if pin],
        }
        for a, b, s, pinned in zip(entry, ends, steps, pins, strict=True)
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of the software that a result depends on."""
    packages = ("t2jax", "jax", "jaxlib", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
