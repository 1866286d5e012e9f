"""Which minimisations a law needs on a table: the one description shared by fit and bootstrap.

A loss law is one stage, and so is a linked law, whose loss is fitted to the mean likelihoods and
whose spread of questions is measured beside it. An accuracy law on per-question likelihoods is
two, as in T2: the inner loss on the mean negative log likelihood, then the law's own coefficients
on pass@k with the inner loss held. On counts there is no mean likelihood to fit first, so both are
fitted together and the first stage only makes starts.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats
from t2jax.errors import InputError, Refusal
from t2jax.fitting.minimise import Minimum, minimise_all
from t2jax.fitting.objectives import Objective, StudentT, objective_by_name
from t2jax.fitting.problem import Data, Problem
from t2jax.fitting.rows import Rows, counts_rows, sample_grid, value_rows
from t2jax.fitting.spread import measured_spread
from t2jax.fitting.starts import grid_starts
from t2jax.laws import Law, Spread, Stacked
from t2jax.observations import Observations

__all__ = ["Solved", "Stage", "default_objective", "plan_stages", "run_stages"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One minimisation.

    Attributes:
      problem: what is minimised.
      rows: the observations, as JAX arrays.
      grid: k grid the rows summarise, None for a loss table.
      starts_only: the stage only makes starts for the next one.
      spread: how questions lie round the mean loss, for a linked law.
    """

    problem: Problem
    rows: Rows
    grid: tuple[float, ...] | None
    starts_only: bool = False
    spread: Spread | None = None

    def data(self, inner: Law | None) -> Data:
        """What the problem takes, given the inner loss fitted by the stage before."""
        centre = self.rows.centre()
        if inner is not None:
            # From here on the loss axis is the fitted inner loss itself.
            loss = inner(params=self.rows.params, tokens=self.rows.tokens)
            centre = dataclasses.replace(centre, loss=jnp.mean(loss))
        inner = inner if self.problem.own else None
        return Data(rows=self.rows, centre=centre, inner=inner, spread=self.spread)


class Solved(NamedTuple):
    """What `run_stages` found.

    Attributes:
      cases: problem and data of each stage that counts.
      best: the best minimum of each of them.
      minima: minima of the last stage from all its starts.
      entry: objective at those starts.
    """

    cases: tuple[tuple[Problem, Data], ...]
    best: tuple[Minimum, ...]
    minima: Minimum
    entry: Floats


def default_objective(law: Law, runs: Observations) -> str:
    """`student_t` for losses, `beta_binomial` for counts, `sse` for pass@k from likelihoods."""
    if law.searched.kind == "loss":
        return "student_t"
    return "beta_binomial" if runs.kind == "counts" else "sse"


def _check_pair(law: Law, objective: Objective, runs: Observations) -> None:
    if law.searched.kind not in objective.kinds:
        raise InputError(
            f"objective '{objective.name}' does not fit law '{law.name}', which describes a loss",
            remedy="use objective='student_t', 'huber' or 'sse'",
        )
    if objective.counts and runs.kind != "counts":
        raise Refusal(
            f"objective '{objective.name}' needs successes and trials and {runs.source} has none",
            remedy="use objective='sse', or bring a table of counts",
        )


def plan_stages(
    law: Law,
    runs: Observations,
    *,
    objective: str | Objective | None,
    delta: float | None = None,
    samples: Sequence[float] | None,
) -> tuple[Stage, ...]:
    """The stages of fitting a law of this form to a table.

    Raises:
      InputError: options that contradict each other.
      Refusal: the table lacks what the law describes.
    """
    stack = law if isinstance(law, Stacked) else law.base
    if isinstance(stack, Stacked):
        raise Refusal(
            "law 'stack' is several fits, which are not searched for together",
            remedy=f"use t2jax.bootstrap, or name one of {', '.join(stack.names())}",
        )
    chosen = objective_by_name(objective or default_objective(law, runs), delta=delta)
    _check_pair(law, chosen, runs)
    grid = sample_grid(runs, law, samples)
    if law.searched is not law:
        spread = measured_spread(runs)
        rows = dataclasses.replace(value_rows(runs, law.searched, (1.0,)), of_mean=True)
        return (Stage(problem=Problem.of(law, chosen), rows=rows, grid=(1.0,), spread=spread),)
    if law.kind == "loss":
        rows = value_rows(runs, law, grid)
        return (Stage(problem=Problem.of(law, chosen), rows=rows, grid=grid),)
    inner = Problem.of(law.base, StudentT())
    if chosen.counts:
        rows = counts_rows(runs)
        return (
            Stage(problem=inner, rows=rows, grid=None, starts_only=True),
            Stage(problem=Problem.of(law, chosen), rows=rows, grid=grid),
        )
    if runs.kind == "counts":
        raise Refusal(
            f"objective '{chosen.name}' on law '{law.name}' first fits the mean nll, which "
            f"counts ({runs.source}) do not give",
            remedy="use objective='beta_binomial'",
        )
    outer = value_rows(runs, law, grid)
    if bool(np.any(np.isnan(np.asarray(outer.value)))):
        raise Refusal(
            f"pass@k is undefined where k exceeds the trials in {runs.source}",
            remedy=f"ask for smaller samples than {list(grid or ())}",
        )
    return (
        Stage(problem=inner, rows=value_rows(runs, law.base, (1.0,)), grid=(1.0,)),
        Stage(problem=Problem.of(law, chosen, own=True), rows=outer, grid=grid),
    )


def _check_positive(stage: Stage) -> None:
    """Refuse losses of zero, whose logs no law can come near."""
    zero = np.asarray(stage.rows.value) <= 0
    if not stage.problem.objective.log_scale or not zero.any():
        return
    at = int(np.argmax(zero))
    params, tokens, k = (float(np.asarray(getattr(stage.rows, name))[at])
                         for name in ("params", "tokens", "samples"))  # fmt: skip
    raise Refusal(
        f"the loss of {params:.4g} parameters on {tokens:.4g} tokens at k = {k:g} is zero: every "
        f"question is solved for certain ({int(zero.sum())} of {len(zero)} rows)",
        remedy="leave such checkpoints out, ask harder questions or fewer samples, or use "
        "objective='sse'",
    )


def run_stages(stages: Sequence[Stage], n_starts: int, inner: Law | None = None) -> Solved:
    """Minimise every stage from a grid of starts.

    Args:
      stages: in order.
      n_starts: starts of each stage.
      inner: the inner loss, where it was fitted before the first of these stages.
    """
    solved: list[tuple[Problem, Data]] = []
    best: list[Minimum] = []
    last: tuple[Minimum, Floats] | None = None
    for stage in stages:
        _check_positive(stage)
        problem, data = stage.problem, stage.data(inner)
        searched = dataclasses.replace(data, rows=data.rows.filled())
        if inner is None or problem.own:
            starts = grid_starts(problem, searched, n_starts)
        else:
            own = dataclasses.replace(problem, own=True)
            outer = grid_starts(own, dataclasses.replace(searched, inner=inner), n_starts)
            head = inner.to_free(data.centre)
            starts = jax.vmap(lambda u, head=head: jnp.concatenate([head, u]))(outer)
        minima, entry = minimise_all(problem, starts, searched)
        last = minima, entry
        values = jnp.where(jnp.isfinite(minima.value), minima.value, jnp.inf)
        winner = jnp.argmin(values)
        first = jax.tree.map(lambda x, i=winner: x[i], minima)
        inner = problem.law(first.free, data)
        if not stage.starts_only:
            solved.append((problem, data))
            best.append(first)
    assert last is not None
    return Solved(tuple(solved), tuple(best), last[0], last[1])
