"""From a fit to a target: likelihood, priors, the mode, and the coordinates whitened there."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats
from t2jax.errors import InputError, Refusal
from t2jax.fit import BetaBinomial, FitResult, StudentT
from t2jax.fit.counts import distinct_cells, rising
from t2jax.fit.minimise import newton
from t2jax.fit.stages import Stage, plan_stages
from t2jax.observations import Observations
from t2jax.uncertainty.priors import Prior, default_priors
from t2jax.uncertainty.target import EFFECT_CARDS, IMPOSSIBLE, Inputs, Target

__all__ = ["Prepared", "checkpoints", "prepare"]

_ANCHOR = 200.0  # the unit of the inner loss of a count law is a convention: held within 5%
_NOWHERE = -60.0  # log of a closed coefficient that is held at its bound
_SAME_QUESTIONS = (
    "intervals hold for these questions: their choice, which all checkpoints share, is not part of "
    "this posterior; t2jax.profile and t2jax.bootstrap draw it"
)
_WIDEST = 5.0  # standard deviation of a whitened coordinate that the data leave open


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the sampler starts from.

    Attributes:
      target: the log posterior.
      inputs: its numbers.
      whole: the same with every question in its own cell, which the sampler need not see.
      mode: where the density is highest [coordinates].
      root: lower triangle whose square is the covariance of the normal law there.
      unit: what the likelihood takes as independent.
      notes: sentences for the reader of the result.
    """

    target: Target
    inputs: Inputs
    whole: Inputs
    mode: Floats
    root: Floats
    unit: str
    notes: tuple[str, ...]


def checkpoints(table: Observations) -> np.ndarray:
    """Codes of the checkpoint of each row of a table [rows]."""
    keys = np.stack([table.cluster("run").astype(float), table.tokens], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].ravel()


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
    if effects not in (None, "checkpoint", "none"):
        raise InputError(
            f"unknown effects '{effects}'", remedy="use effects='checkpoint' or 'none'"
        )
    stage = _likelihood_stage(fit, table)
    data = whole = stage.data(None)
    quick = None
    if stage.rows.successes is not None and stage.rows.trials is not None:
        both = np.asarray(stage.rows.successes), np.asarray(stage.rows.trials)
        kept, quick = distinct_cells(*both), rising(*both, apart=impossible)
        names = ("successes", "trials", "question_weight")
        cells = {name: jnp.asarray(x) for name, x in zip(names, kept, strict=True)}
        data = dataclasses.replace(data, rows=dataclasses.replace(data.rows, **cells))
    counts = stage.problem.objective.counts
    if impossible and not counts:
        raise InputError(
            f"impossible questions mean nothing for law '{fit.law.name}' on {table.source}",
            remedy="leave impossible out, or fit law='beta_monotone' to successes and trials",
        )
    group, unit, kind = _groups(table, stage, effects)
    cards = stage.problem.cards + (IMPOSSIBLE,) * impossible + EFFECT_CARDS[kind]
    law = jax.tree.map(jnp.asarray, fit.law)
    start = [*stage.problem.free(law, data, _nuisance(stage, law))]
    start += [jnp.asarray(-2.0)] * impossible + _effect_starts(kind)
    held = [counts and card.name == "E" for card in cards]
    coordinates = [
        jnp.asarray(_NOWHERE) if fixed else jnp.log(jnp.maximum(x, 0.02)) if card.closed else x
        for card, x, fixed in zip(cards, start, held, strict=True)
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
    sizes = np.bincount(group)
    inputs = Inputs(
        data=data,
        priors=jnp.asarray([[prior.first, prior.second] for prior in chosen]),
        held=jnp.stack(coordinates),
        group=jnp.asarray(group),
        sizes=jnp.asarray(sizes, float),
        blend=jnp.ones((1, len(sizes))) if kind == "spread" else None,
        rising=quick,
    )
    vector = jnp.stack([x for x, fixed in zip(coordinates, held, strict=True) if not fixed])
    if kind == "spread":
        mode, root, inputs = _joint_mode(target, vector, inputs)
    else:
        minimum = _minimise(target, vector, inputs)
        mode, root = minimum.free, _root(minimum.hessian)
    if not bool(jnp.all(jnp.isfinite(mode))):
        raise Refusal(
            f"the posterior of law '{fit.law.name}' has no mode near the fit",
            remedy="fit again, or use a law with fewer coefficients",
        )
    return Prepared(
        target=target,
        inputs=inputs,
        whole=dataclasses.replace(inputs, data=whole),
        mode=mode,
        root=root,
        unit=unit,
        notes=(*notes, *[_SAME_QUESTIONS] * (table.kind == "nll")),
    )


def _likelihood_stage(fit: FitResult, table: Observations) -> Stage:
    """The one minimisation whose objective is a likelihood of this table."""
    law = fit.law
    if fit.recipe is not None or (law.kind == "accuracy" and table.kind != "counts"):
        raise Refusal(
            f"law '{law.name}' was fitted by least squares on pass@k, which is no likelihood",
            remedy="use t2jax.bootstrap, or a law of losses such as softplus, or a table of "
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


def _groups(table: Observations, stage: Stage, effects: str | None) -> tuple[np.ndarray, str, str]:
    """The checkpoint of each fitted row, what is independent, and the kind of effects."""
    rows = stage.rows.value.shape[0]
    group = checkpoints(table)
    if table.kind != "loss":
        group = np.repeat(np.arange(table.n_rows), rows // table.n_rows)
    elif rows < table.n_rows:  # a law of one sample on a table with several
        group = np.unique(group[np.asarray(table.samples) == 1.0], return_inverse=True)[1]
    if stage.problem.objective.counts:
        kind = "none" if effects == "none" else "spread"
        return group, "checkpoint" if kind == "spread" else "question", kind
    shared = len(np.unique(group)) < rows
    if effects == "checkpoint" and not shared:
        raise InputError(
            "every checkpoint has one row, so that its own deviation is the row's noise",
            remedy="leave effects out",
        )
    if shared and effects != "none":
        return group, "checkpoint", "shift"
    return np.arange(rows), "row", "none"


def _nuisance(stage: Stage, law) -> tuple:
    return stage.problem.objective.start_nuisance(stage.rows.predict(law), stage.rows)


def _effect_starts(kind: str) -> list[Any]:
    return [jnp.log(0.05 if kind == "shift" else 0.3) for _ in EFFECT_CARDS[kind]]


@functools.partial(jax.jit, static_argnums=0)
def _minimise(target: Target, start: Floats, inputs: Inputs):
    return newton(target, start, inputs, max_steps=200)  # pyright: ignore[reportArgumentType]


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
    for _ in range(8):
        given = dataclasses.replace(inputs, held=inputs.held.at[-own:].set(log_sd))
        minimum = _minimise(still, free, given)
        free = minimum.free
        covariance = jnp.linalg.inv(minimum.hessian)
        second = free[head:] ** 2 + jnp.diagonal(covariance)[head:]
        # A prior's worth of 0.05 keeps the first steps away from zero.
        log_sd = 0.5 * jnp.log(jnp.mean(second.reshape(own, -1), axis=1) + 1e-4)
    precision = jnp.diagonal(minimum.hessian)[head:].reshape(own, -1)  # pyright: ignore
    prior = jnp.exp(-2.0 * log_sd)[:, None]
    blend = jnp.clip((precision - prior) / precision, 0.0, 1.0)
    unit = jnp.exp((1.0 - blend) * log_sd[:, None]).ravel()
    mode = jnp.concatenate([free[:head], log_sd, free[head:] / unit])
    root = _root(minimum.hessian)  # pyright: ignore[reportPossiblyUnboundVariable]
    checkpoints = inputs.sizes.shape[0]
    spread = jnp.full(own, 1.0 / math.sqrt(2.0 * checkpoints))
    size, latent = mode.shape[0], head + own
    whole = jnp.zeros((size, size))
    places = jnp.concatenate([jnp.arange(head), jnp.arange(latent, size)])
    scale = jnp.concatenate([jnp.ones(head), 1.0 / unit])
    whole = whole.at[jnp.ix_(places, places)].set(root * scale[:, None])
    whole = whole.at[jnp.arange(head, latent), jnp.arange(head, latent)].set(spread)
    return mode, whole, dataclasses.replace(inputs, blend=blend)
