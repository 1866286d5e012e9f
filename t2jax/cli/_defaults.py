"""What a command chooses when it is not told: the law and the budgets of a table."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from t2jax.errors import InputError, Refusal

if TYPE_CHECKING:
    from t2jax.calibration import Profile
    from t2jax.fit import FitResult
    from t2jax.laws import Law
    from t2jax.observations import Observations
    from t2jax.optimum import Budget, Decision, Design
    from t2jax.uncertainty import Ensemble

__all__ = ["Budgets", "check_design", "decide", "default_law", "load_model", "profiled"]

_SLACK = 1e-6  # a budget copied from the table itself, with six digits, is inside it


def default_law(runs: "Observations") -> str:
    """The law that a kind of table can answer for.

    Likelihoods of questions, and losses at three or more k, carry the effect of samples;
    losses alone do not; counts say how often questions are solved.
    """
    if runs.kind == "counts":
        return "beta_monotone"
    if runs.kind == "loss" and (runs.samples is None or len(set(runs.samples)) < 3):
        return "additive"
    return "softplus"


def check_design(runs: "Observations", law: "str | Law", samples: Sequence[float] | None) -> None:
    """Refuse a table whose rows cannot identify a law, with the cheapest rows that would.

    A law of accuracy is judged only by whether N and D can be told apart at all: counts say
    nothing of the zero of its inner loss.

    Raises:
      Refusal: the design cannot answer.
    """
    import t2jax as t2
    from t2jax.laws import template

    if law == "auto":
        law = default_law(runs)
    form = template(law)
    if form.kind == "loss":
        t2.identify(runs, form, samples=samples)
        return
    try:
        runs.check_identifies()
    except Refusal:
        t2.identify(runs, form.base)
        raise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budgets:
    """The budgets of a plan, and what must be said about them.

    Attributes:
      train_flops: training compute.
      inference_flops: inference compute per generated token of a question, or None.
      notes: what was assumed.
      warnings: how far outside the table they lie.
    """

    train_flops: float
    inference_flops: float | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @classmethod
    def choose(
        cls,
        runs: "Observations",
        law: "Law",
        samples: Sequence[float] | None,
        *,
        train: float | None,
        inference: float | None,
        extrapolate: bool,
    ) -> "Budgets":
        """Check what was asked for against the table, and fill in what was not.

        Args:
          runs: the table.
          law: a law of the form to be fitted.
          samples: k grid asked for, or None.
          train: training FLOPs asked for, or None.
          inference: inference FLOPs asked for, or None.
          extrapolate: answer outside the table too.

        Raises:
          InputError: a budget that is no positive number.
          Refusal: the table cannot answer there.
        """
        import numpy as np

        from t2jax import cost

        for flag, value in (("--train-flops", train), ("--inference-flops", inference)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{flag} {value:g} is not a positive number", remedy="e.g. 1e18")
        if inference is not None and not law.uses_samples:
            raise Refusal(
                f"law '{law.name}' knows single samples only, so it cannot weigh inference against "
                "training",
                remedy="bring per-question nll, or losses at three or more k (column 'samples') "
                "and law='softplus', or leave --inference-flops out",
            )
        notes, warnings = [], []
        flops = runs.train_flops
        reach = (float(flops.min()), float(flops.max()))
        if train is None:
            # In the middle, because optima leave the table long before budgets do.
            train = _round(math.sqrt(reach[0] * reach[1]))
            notes.append(f"Training budget {train:.3g} FLOPs: the middle of the table, as none "
                         "was given (--train-flops).")  # fmt: skip
        else:
            notes.append(f"Training budget {train:.3g} FLOPs.")
        warnings += _outside("training", train, reach, extrapolate)
        if law.uses_samples:
            most = _largest_k(runs, law, samples)
            lead = cost.INFERENCE_FLOPS
            if inference is None:
                middle = float(np.exp(np.mean(np.log(runs.params))))
                inference = _round(lead * middle * math.sqrt(most))
                notes.append(
                    f"Inference budget {inference:.3g} FLOPs per generated token of a question: "
                    f"{math.sqrt(most):.3g} samples of a model of middling size, as none was given "
                    "(--inference-flops)."
                )
            else:
                notes.append(
                    f"Inference budget {inference:.3g} FLOPs per generated token of a question."
                )
            reach = (lead * float(runs.params.min()), lead * float(runs.params.max()) * most)
            warnings += _outside("inference", inference, reach, extrapolate)
        return cls(
            train_flops=float(train),
            inference_flops=inference,
            notes=tuple(notes),
            warnings=tuple(warnings),
        )


def _round(budget: float) -> float:
    """Three digits: what is printed is what was solved, and can be typed again."""
    return float(f"{budget:.3g}")


def _largest_k(runs: "Observations", law: "Law", samples: Sequence[float] | None) -> float:
    """The largest k that the law will be fitted on."""
    from t2jax.fit.rows import sample_grid

    grid = sample_grid(runs, law, samples)
    if grid is not None:
        return max(grid)
    return 1.0 if runs.samples is None else float(runs.samples.max())


def _outside(kind: str, budget: float, reach: tuple[float, float], extrapolate: bool) -> list[str]:
    """Whether a budget lies outside the table, in words with the distance."""
    low, high = reach
    if low * (1 - _SLACK) <= budget <= high * (1 + _SLACK):
        return []
    above = budget > high
    decades = math.log10(budget / high if above else low / budget)
    place = f"{max(decades, 0.01):.2g} decades {'above' if above else 'below'} the table"
    problem = f"the {kind} budget {budget:.3g} lies {place}, which spans {low:.3g} to {high:.3g}"
    if extrapolate:
        return [f"EXTRAPOLATION: {problem} FLOPs."]
    what = "runs of that size" if kind == "training" else "sizes, or samples k,"
    raise Refusal(
        f"{problem} FLOPs",
        remedy=f"add {what} that reach it, ask for a budget inside, or pass --extrapolate",
    )


def load_model(path: str):
    """A fit (.json) or draws (.npz) from a file.

    Raises:
      InputError: the file is neither.
    """
    import t2jax as t2

    if path.endswith(".npz"):
        return t2.Ensemble.load(path)
    if path.endswith(".json"):
        return t2.FitResult.load(path)
    raise InputError(
        "is neither a fit (.json) nor draws (.npz)",
        source=path,
        remedy="make one with `t2jax fit -o fit.json` or `t2jax bootstrap -o draws.npz`",
    )


def decide(
    draws: "Ensemble", budget: "Budget"
) -> "tuple[Decision | None, Design | None, tuple[str, ...]]":
    """What not knowing the law costs, and the runs to buy next, as far as the draws can tell.

    Returns:
      The decision, the design, and why one of them is missing, in sentences.
    """
    import t2jax as t2

    if draws.n_draws < 20:
        return None, None, ("Too few draws to say what not knowing the law costs.",)
    try:
        decision = t2.regret(draws, budget)
    except Refusal as refused:
        return None, None, (f"What not knowing the law costs is not said: {refused.problem}.",)
    lacking = "the draws do not carry the noise of runs"
    if draws.diagnostics.get("noise") is not None:
        try:
            return decision, t2.design(draws, budget, simulate=False), ()
        except Refusal as refused:
            lacking = refused.problem
    return decision, None, (f"Which runs to buy next is not said: {lacking}.",)


def profiled(
    fit: "FitResult", budget: "Budget", unit: str
) -> "tuple[Profile | None, tuple[str, ...]]":
    """Profile intervals of a plan where the law has them, and why they are missing elsewhere."""
    import t2jax as t2

    if fit.law.kind != "loss":
        return None, ()
    try:
        return t2.profile(fit, "params", budget=budget, level=0.9, unit=unit or None), ()
    except Refusal as refused:
        return None, (f"The plan has no profile interval: {refused.problem}.",)
