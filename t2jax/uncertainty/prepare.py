"""From a fit to a target: likelihood, priors, the mode, and the coordinates whitened there."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats
from t2jax.errors import InputError, Refusal
from t2jax.fitting import BetaBinomial, FitResult, StudentT
from t2jax.fitting.minimise import newton
from t2jax.fitting.stages import Stage, plan_stages
from t2jax.laws import Prior, Role
from t2jax.observations import Observations
from t2jax.uncertainty.log_posterior import EFFECT_CARDS, IMPOSSIBLE, Inputs, Nest, Target
from t2jax.uncertainty.priors import default_priors
from t2jax.uncertainty.question_choice import (
    SAME_QUESTIONS,
    question_scores,
    question_weight,
    shared_moves,
)

__all__ = ["Prepared", "checkpoints", "prepare"]

_ANCHOR = 200.0  # the unit of the inner loss of a count law is a convention: held within 5%
_NOWHERE = -60.0  # log of a closed coefficient that is held at its bound
_EFFECTS = (None, "run", "checkpoint", "none")
_ROUNDS = 8  # of expectation and maximisation: each halves what is left, or better
_FEWEST_RUNS = 5  # that a spread between runs is estimated from
_DRAWN = (
    "the choice of questions is part of the intervals: every draw is moved as other questions "
    "would move the mode"
)
_WIDEST = 5.0  # standard deviation of a whitened coordinate that the data leave open


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the sampler starts from.

    Attributes:
      target: the log posterior.
      inputs: its numbers.
      mode: where the density is highest [coordinates].
      root: lower triangle whose square is the covariance of the normal law there.
      unit: what the likelihood takes as independent.
      notes: sentences for the reader of the result.
      moves: how other questions would move the mode, to be weighed by standard normals
        [coordinates, normals]; None where the table holds no questions.
    """

    target: Target
    inputs: Inputs
    mode: Floats
    root: Floats
    unit: str
    notes: tuple[str, ...]
    moves: np.ndarray | None


def checkpoints(table: Observations) -> np.ndarray:
    """Codes of the checkpoint of each row of a table [rows]."""
    keys = np.stack([table.cluster("run").astype(float), table.tokens], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].ravel()


class _Sharing(NamedTuple):
    """Which rows share what.

    Attributes:
      nest: the rows in checkpoints in runs.
      unit: what the likelihood takes as independent.
      kind: of effects.
      notes: sentences for the reader of the result.
    """

    nest: Nest
    unit: str
    kind: str
    notes: tuple[str, ...]


def prepare(
    fit: FitResult,
    table: Observations,
    *,
    effects: str | None,
    impossible: bool,
    priors: Mapping[str, Prior] | None,
) -> Prepared:
    """Set up the posterior of a fit and find its mode.

    Raises:
      InputError: an unknown kind of effects, or impossible questions in a table of losses.
      Refusal: the law has no likelihood on this table.
    """
    if effects not in _EFFECTS:
        raise InputError(
            f"unknown effects '{effects}'", remedy="use effects='run', 'checkpoint' or 'none'"
        )
    stage = _likelihood_stage(fit, table)
    counts = stage.problem.objective.counts
    if impossible and not counts:
        raise InputError(
            f"impossible questions mean nothing for law '{fit.law.name}' on {table.source}",
            remedy="leave impossible out, or fit law='beta_monotone' to successes and trials",
        )
    sharing = _sharing(table, stage, effects)
    target, inputs, start, notes = _posed(fit, stage, sharing, impossible, priors)
    if sharing.kind == "spread":
        mode, root, inputs = _joint_mode(target, start, inputs)
    else:
        minimum = _minimise(target, start, inputs)
        mode, root = minimum.free, _root(minimum.hessian)
    if not bool(jnp.all(jnp.isfinite(mode))):
        raise Refusal(
            f"the posterior of law '{fit.law.name}' has no mode near the fit",
            remedy="fit again, or use a law with fewer coefficients",
        )
    moves = None if counts else _moves(table, stage, target, inputs, mode, root)
    asked = () if counts else (SAME_QUESTIONS if moves is None else _DRAWN,)
    return Prepared(
        target=target,
        inputs=inputs,
        mode=mode,
        root=root,
        unit=sharing.unit,
        moves=moves,
        notes=(*notes, *sharing.notes, *asked),
    )


class _Posed(NamedTuple):
    """A log posterior, its numbers, the vector of the fit, and sentences for the reader."""

    target: Target
    inputs: Inputs
    start: Floats
    notes: tuple[str, ...]


def _posed(
    fit: FitResult,
    stage: Stage,
    sharing: _Sharing,
    impossible: bool,
    priors: Mapping[str, Prior] | None,
) -> _Posed:
    """The log posterior of a fit as a function of one vector."""
    data, kind = stage.data(None), sharing.kind
    cards = stage.problem.cards + (IMPOSSIBLE,) * impossible + EFFECT_CARDS[kind]
    law = jax.tree.map(jnp.asarray, fit.law)
    free = [*stage.problem.free(law, data, _nuisance(stage, law))]
    free += [jnp.asarray(-2.0)] * impossible + _effect_starts(kind)
    # Counts fix the floor at zero by convention.
    held = [stage.problem.objective.counts and card.role is Role.FLOOR for card in cards]
    coordinates = [
        jnp.asarray(_NOWHERE) if fixed else jnp.log(jnp.maximum(x, 0.02)) if card.closed else x
        for card, x, fixed in zip(cards, free, held, strict=True)
    ]
    at_fit = {card.name: float(x) for card, x in zip(cards, coordinates, strict=True)}
    still = tuple(card.name for card, fixed in zip(cards, held, strict=True) if fixed)
    chosen, notes = default_priors(cards, fit.law, data.rows, at_fit, priors, still)
    target = Target(
        problem=stage.problem,
        families=tuple(prior.family for prior in chosen),
        sampled=tuple(not fixed for fixed in held),
        effects=kind,
        impossible=impossible,
    )
    inputs = Inputs(
        data=data,
        priors=jnp.asarray([[prior.first, prior.second] for prior in chosen]),
        held=jnp.stack(coordinates),
        nest=sharing.nest,
        blend=jnp.ones((1, len(sharing.nest.inner_rows))) if kind == "spread" else None,
    )
    sampled = [x for x, fixed in zip(coordinates, held, strict=True) if not fixed]
    return _Posed(target, inputs, jnp.stack(sampled), notes)


def _likelihood_stage(fit: FitResult, table: Observations) -> Stage:
    """The one minimisation whose objective is a likelihood of this table."""
    law = fit.law
    if fit.recipe is not None or (law.kind == "accuracy" and table.kind != "counts"):
        raise Refusal(
            f"law '{law.name}' was fitted by least squares on pass@k, which is no likelihood",
            remedy="use t2jax.bootstrap, or a law of losses such as linked, or a table of "
            "successes and trials",
        )
    counts = law.kind == "accuracy"
    stages = plan_stages(
        law,
        table,
        objective=BetaBinomial(anchor=_ANCHOR) if counts else StudentT(),
        samples=fit.samples if table.kind != "loss" and law.uses_samples else None,
    )
    return stages[-1]


def _sharing(table: Observations, stage: Stage, effects: str | None) -> _Sharing:
    """Checkpoints and runs of the fitted rows, and what they share of a deviation."""
    rows = stage.rows.value.shape[0]
    unit = "run" if table.trunk is None else "trunk"
    row_of = np.asarray(stage.rows.place)
    inner = np.arange(table.n_rows) if table.kind != "loss" else checkpoints(table)
    inner = np.unique(inner[row_of], return_inverse=True)[1]
    outer = np.unique(table.cluster(unit)[row_of], return_inverse=True)[1]
    if stage.problem.objective.counts:
        if effects == "run":
            raise InputError(
                f"{table.source} holds counts, whose posterior has no deviations of runs",
                remedy="use effects='checkpoint'",
            )
        kind = "none" if effects == "none" else "spread"
        return _Sharing(_nest(inner, inner), "checkpoint" if kind == "spread" else "question",
                        kind, ())  # fmt: skip
    in_checkpoints, runs = len(set(inner)) < rows, len(set(outer))
    in_runs = runs < len(set(inner))
    if (effects == "checkpoint" and not in_checkpoints) or (effects == "run" and not in_runs):
        raise InputError(
            f"every {effects} has one {'row' if effects == 'checkpoint' else 'checkpoint'}, "
            "so that its own deviation is that one's noise",
            remedy="leave effects out",
        )
    notes = ()
    if effects is None and in_runs and runs < _FEWEST_RUNS:
        in_runs = False
        notes = (f"checkpoints of one {unit} are taken as independent: the table has {runs} of "
                 "them, too few to tell what they share; intervals are too narrow",)  # fmt: skip
    in_runs = in_runs and effects in (None, "run")
    in_checkpoints = in_checkpoints and effects != "none"
    inner = inner if in_checkpoints else np.arange(rows)
    if in_runs:
        kind = "nested" if in_checkpoints else "run"
        return _Sharing(_nest(inner, outer), unit, kind, notes)
    kind, unit = ("checkpoint", "checkpoint") if in_checkpoints else ("none", "row")
    return _Sharing(_nest(inner, inner), unit, kind, notes)


def _nest(inner: np.ndarray, outer: np.ndarray) -> Nest:
    """Rows in checkpoints in runs, from the codes of both at every row."""
    first = np.unique(inner, return_index=True)[1]
    inner_rows, outer_rows = (jnp.asarray(np.bincount(x), float) for x in (inner, outer))
    return Nest(jnp.asarray(inner), inner_rows, jnp.asarray(outer[first]), outer_rows)


def _moves(
    table: Observations, stage: Stage, target: Target, inputs: Inputs, mode: Floats, root: Floats
) -> np.ndarray | None:
    """How other questions would move the mode, for standard normals to weigh, if there are any.

    They are not sampled with the law: a law that does not quite fit would be mended by questions
    that nobody asked.
    """
    scores, strata = question_scores(table, stage.grid, np.asarray(stage.rows.value))
    if scores is None or strata is None:
        return None
    influence, slopes = (np.asarray(x) for x in _influence(target, mode, root, inputs))
    unit = np.asarray(inputs.nest.outer)[np.asarray(inputs.nest.inner)]
    weighed = scores * np.sqrt(question_weight(strata))
    return shared_moves(weighed, influence, slopes, unit, np.asarray(root))


@functools.partial(jax.jit, static_argnums=0)
def _influence(target: Target, mode: Floats, root: Floats, inputs: Inputs) -> tuple[Floats, Floats]:
    """How log losses move the mode [coordinates, rows], and it the law [rows, coordinates]."""
    rows = inputs.data.rows

    def pull(logs):
        moved = dataclasses.replace(rows, value=jnp.exp(logs))
        data = dataclasses.replace(inputs.data, rows=moved)
        return -jax.grad(target.value)(mode, dataclasses.replace(inputs, data=data))

    def logs(vector):
        law, _ = target.values(target.coordinates(vector, inputs), inputs)
        return target.centre(law, inputs)

    influence = root @ (root.T @ jax.jacrev(pull)(jnp.log(rows.value)))
    return influence, jax.jacfwd(logs)(mode)


def _nuisance(stage: Stage, law) -> tuple:
    return stage.problem.objective.start_nuisance(stage.rows.predict(law), stage.rows)


def _effect_starts(kind: str) -> list[Any]:
    return [jnp.log(0.3 if kind == "spread" else 0.05) for _ in EFFECT_CARDS[kind]]


@functools.partial(jax.jit, static_argnums=0)
def _minimise(target: Target, start: Floats, inputs: Inputs):
    return newton(target, start, inputs, max_steps=200)


@jax.jit
def _root(hessian: Floats) -> Floats:
    """Square root of the inverse, no coordinate wider than the widest."""
    values, vectors = jnp.linalg.eigh(0.5 * (hessian + hessian.T))
    return vectors / jnp.sqrt(jnp.maximum(values, 1.0 / _WIDEST**2))


def _joint_mode(target: Target, start: Floats, inputs: Inputs) -> tuple[Floats, Floats, Inputs]:
    """Mode and covariance with one latent effect for each checkpoint.

    The density has no mode in the effects' standard deviations, so they are set by a few steps
    of expectation and maximisation under the normal law of the effects, and held meanwhile.
    """
    own = len(EFFECT_CARDS["spread"])
    assert inputs.blend is not None
    still = dataclasses.replace(target, sampled=(*target.sampled[:-own], *([False] * own)))
    free = jnp.concatenate([start[:-own], jnp.zeros(inputs.blend.size)])
    log_sd = start[-own:]
    head = start.shape[0] - own
    minimum = None
    for _ in range(_ROUNDS):
        given = dataclasses.replace(inputs, held=inputs.held.at[-own:].set(log_sd))
        minimum = _minimise(still, free, given)
        free = minimum.free
        covariance = jnp.linalg.inv(minimum.hessian)
        second = free[head:] ** 2 + jnp.diagonal(covariance)[head:]
        # A prior's worth of 0.05 keeps the first steps away from zero.
        log_sd = 0.5 * jnp.log(jnp.mean(second.reshape(own, -1), axis=1) + 1e-4)
    assert minimum is not None
    precision = jnp.diagonal(minimum.hessian)[head:].reshape(own, -1)
    prior = jnp.exp(-2.0 * log_sd)[:, None]
    blend = jnp.clip((precision - prior) / precision, 0.0, 1.0)
    unit = jnp.exp((1.0 - blend) * log_sd[:, None]).ravel()
    mode = jnp.concatenate([free[:head], log_sd, free[head:] / unit])
    root = _root(minimum.hessian)
    checkpoints = len(inputs.nest.inner_rows)
    spread = jnp.full(own, 1.0 / math.sqrt(2.0 * checkpoints))
    size, latent = mode.shape[0], head + own
    whole = jnp.zeros((size, size))
    places = jnp.concatenate([jnp.arange(head), jnp.arange(latent, size)])
    scale = jnp.concatenate([jnp.ones(head), 1.0 / unit])
    whole = whole.at[jnp.ix_(places, places)].set(root * scale[:, None])
    whole = whole.at[jnp.arange(head, latent), jnp.arange(head, latent)].set(spread)
    return mode, whole, dataclasses.replace(inputs, blend=blend)
