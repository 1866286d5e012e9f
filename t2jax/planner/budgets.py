"""`Budgets`: what a plan may spend where nobody said, and how far that lies from the table."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from t2jax import cost
from t2jax.errors import InputError, Refusal
from t2jax.fitting.rows import sample_grid
from t2jax.laws import Law
from t2jax.observations import Observations

__all__ = ["Budgets"]

_SLACK = 1e-6  # a budget copied from the table itself, with six digits, is inside it


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
        runs: Observations,
        law: Law,
        samples: Sequence[float] | None,
        *,
        train: float | None,
        inference: float | None,
        extrapolate: bool,
    ) -> Self:
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


def _largest_k(runs: Observations, law: Law, samples: Sequence[float] | None) -> float:
    """The largest k that the law will be fitted on."""
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
