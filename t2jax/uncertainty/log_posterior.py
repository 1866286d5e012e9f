"""The log posterior of a law as a function of one vector: what the sampler sees."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from t2jax._typing import Floats, Scalar
from t2jax.fitting.count_likelihood import log_likelihood
from t2jax.fitting.objectives import BetaBinomial, Objective
from t2jax.fitting.penalty import log_density
from t2jax.fitting.problem import Data, Problem
from t2jax.laws import Coefficient, Law, Prior, Role

__all__ = [
    "EFFECT_CARDS",
    "IMPOSSIBLE",
    "Inputs",
    "Nest",
    "Target",
    "nested_t_log_density",
]

_CHECKPOINT_SD = Coefficient(
    name="checkpoint_sd", symbol="τ", role=Role.NOISE, lower=0.0,
    prior=Prior(family="half_normal", first=0.1),
    meaning="spread of checkpoints round the law, in log loss",
)  # fmt: skip
_RUN_SD = Coefficient(
    name="run_sd", symbol="τ_r", role=Role.NOISE, lower=0.0,
    prior=Prior(family="half_normal", first=0.1),
    meaning="spread of runs round the law, shared by their checkpoints, in log loss",
)  # fmt: skip

EFFECT_CARDS = {
    "none": (),
    "checkpoint": (_CHECKPOINT_SD,),
    "run": (_RUN_SD,),
    "nested": (_CHECKPOINT_SD, _RUN_SD),
    "spread": (
        Coefficient(
            name="sd_log_b", symbol="τ_b", role=Role.NOISE, lower=0.0,
            prior=Prior(family="half_normal", first=0.5),
            meaning="spread of checkpoints round the law, in log b",
        ),
    ),
}  # fmt: skip
"""Coefficients of the effects, by kind: `spread` is that of counts, the others are of losses."""

IMPOSSIBLE = Coefficient(
    name="impossible", symbol="π₀", role=Role.SPREAD, lower=0.0, upper=1.0,
    prior=Prior(family="flat"),
    meaning="share of questions that no number of samples solves",
)  # fmt: skip


class Nest(NamedTuple):
    """Rows within checkpoints within runs; a level without effects has each member by itself.

    Attributes:
      inner: checkpoint of each row, from 0 [rows].
      inner_rows: rows of each checkpoint [checkpoints].
      outer: run of each checkpoint, from 0 [checkpoints].
      outer_rows: rows of each run [runs].
    """

    inner: Any
    inner_rows: Floats
    outer: Any
    outer_rows: Floats


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """Every number that a target takes, so that compiled programs close over nothing.

    Attributes:
      data: rows and centroid.
      priors: the two numbers of each prior [coordinates, 2].
      held: coordinates that are not sampled, where the mask of the target says so [coordinates].
      nest: which rows share a deviation.
      blend: per latent effect, 1 to sample the effect itself and 0 to sample it in units of its
        standard deviation; in between the geometry is the mildest [1, checkpoints].
    """

    data: Data
    priors: Floats
    held: Floats
    nest: Nest
    blend: Floats | None = None


def nested_t_log_density(
    residual: Floats, nest: Nest, sigma: Scalar, nu: Scalar, shift_sd: Scalar, run_sd: Scalar
) -> Floats:
    """Log density of residuals whose checkpoints and runs share shifts, both integrated out.

    Per run of n rows: multivariate Student-t whose scale matrix is `sigma^2 I`, plus
    `shift_sd^2 1 1'` within each checkpoint, plus `run_sd^2 1 1'`.

    Args:
      residual: log residuals [rows].
      nest: checkpoints and runs.
      sigma: scale within a checkpoint.
      nu: degrees of freedom.
      shift_sd: standard deviation of the shift that a checkpoint's rows share.
      run_sd: standard deviation of the shift that a run's checkpoints share.

    Returns:
      Log densities [runs].
    """
    checkpoints, runs = len(nest.inner_rows), len(nest.outer_rows)

    def over_run(values):
        return jax.ops.segment_sum(values, nest.outer, runs)

    total = jax.ops.segment_sum(residual, nest.inner, checkpoints)
    square = jax.ops.segment_sum(residual**2, nest.inner, checkpoints)
    mean_variance = sigma**2 + nest.inner_rows * shift_sd**2
    # The inverse and the determinant of one more 1 1', by Sherman and Morrison.
    form = over_run((square - shift_sd**2 / mean_variance * total**2) / sigma**2)
    inflation = 1.0 + run_sd**2 * over_run(nest.inner_rows / mean_variance)
    form = form - run_sd**2 / inflation * over_run(total / mean_variance) ** 2
    log_det = over_run((nest.inner_rows - 1.0) * 2.0 * jnp.log(sigma) + jnp.log(mean_variance))
    log_det = log_det + jnp.log(inflation)
    rows = nest.outer_rows
    norm = gammaln((nu + rows) / 2) - gammaln(nu / 2) - 0.5 * rows * jnp.log(nu * math.pi)
    return norm - 0.5 * log_det - 0.5 * (nu + rows) * jnp.log1p(form / nu)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Law structure, likelihood and prior families; hashable, a static argument of `jit`.

    The sampled vector holds the coordinates of the cards that are not held, then, for counts
    with effects, the latent effects of checkpoints.

    Attributes:
      problem: law and likelihood.
      families: family of the prior of each card.
      sampled: whether each card is sampled; the others are held.
      effects: a key of `EFFECT_CARDS`.
      impossible: whether a share of the questions may be impossible.
    """

    problem: Problem
    families: tuple[str, ...]
    sampled: tuple[bool, ...]
    effects: str
    impossible: bool = False

    @property
    def own_cards(self) -> tuple[Coefficient, ...]:
        """Cards beside those of law and likelihood, the effects last."""
        return (IMPOSSIBLE,) * self.impossible + EFFECT_CARDS[self.effects]

    @property
    def cards(self) -> tuple[Coefficient, ...]:
        """Cards of law, likelihood and effects, in order."""
        return self.problem.cards + self.own_cards

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cards that are sampled."""
        pairs = zip(self.cards, self.sampled, strict=True)
        return tuple(card.name for card, sampled in pairs if sampled)

    @property
    def objective(self) -> Objective:
        """The likelihood, under the name that the minimisers ask for."""
        return self.problem.objective

    def bounds(self) -> tuple[Floats, Floats]:
        """Where the minimisers may go: anywhere, priors hold them."""
        return jnp.asarray(-jnp.inf), jnp.asarray(jnp.inf)

    def coordinates(self, vector: Floats, inputs: Inputs) -> Floats:
        """All coordinates, the held ones put back [coordinates]."""
        places = [i for i, sampled in enumerate(self.sampled) if sampled]
        return inputs.held.at[jnp.asarray(places)].set(vector[: len(places)])

    def values(self, coordinates: Floats, inputs: Inputs) -> tuple[Law, tuple[Scalar, ...]]:
        """The law, and the coefficients of likelihood and effects, at coordinates."""
        inner = len(self.problem.cards)
        # A closed bound is sampled as a log too: the fitter alone sits on it.
        free = [
            jnp.exp(x) if card.closed else x
            for card, x in zip(self.problem.cards, coordinates[:inner], strict=True)
        ]
        free = jnp.stack(free)
        own = self.own_cards
        effects = [c.from_free(x) for c, x in zip(own, coordinates[inner:], strict=True)]
        law = self.problem.law(free, inputs.data)
        return law, (*self.problem.nuisance(free), *effects)

    def latent(
        self, vector: Floats, inputs: Inputs, deviations: tuple[Scalar, ...]
    ) -> tuple[Floats, Scalar]:
        """Effects of checkpoints [1, checkpoints] and the log density of their coordinates."""
        assert inputs.blend is not None
        raw = vector[sum(self.sampled) :].reshape(inputs.blend.shape)
        log_sd = jnp.log(jnp.stack(deviations))[:, None]
        effects = raw * jnp.exp((1.0 - inputs.blend) * log_sd)
        score = raw * jnp.exp(-inputs.blend * log_sd)
        return effects, jnp.sum(-0.5 * score**2 - inputs.blend * log_sd)

    def centre(self, law: Law, inputs: Inputs) -> Floats:
        """Log of the law at every row [rows]."""
        return jnp.log(jnp.maximum(inputs.data.rows.predict(law), 1e-12))

    def deviations(self, others: tuple[Scalar, ...]) -> tuple[Scalar, Scalar]:
        """Standard deviations of what checkpoints and runs share, 0 where they share nothing."""
        # Behind the scale and the tails of the likelihood.
        own = dict(zip((card.name for card in self.own_cards), others[2:], strict=True))
        none = jnp.zeros_like(others[0])
        return own.get(_CHECKPOINT_SD.name, none), own.get(_RUN_SD.name, none)

    def spread(self, law: Law, inputs: Inputs, effects: Floats | None) -> tuple[Floats, Floats]:
        """Beta parameters of every checkpoint [checkpoints], effects included."""
        a, b = inputs.data.rows.spread(law)
        return (a, b) if effects is None else (a, b * jnp.exp(effects[0]))

    def log_likelihood(self, vector: Floats, inputs: Inputs) -> tuple[Scalar, Scalar]:
        """Log likelihood of the data, and the log density of latent effects."""
        coordinates = self.coordinates(vector, inputs)
        law, others = self.values(coordinates, inputs)
        rows = inputs.data.rows
        objective = self.problem.objective
        if not isinstance(objective, BetaBinomial):
            residual = jnp.log(rows.value) - self.centre(law, inputs)
            sigma, nu, *_ = others
            shift_sd, run_sd = self.deviations(others)
            density = nested_t_log_density(residual, inputs.nest, sigma, nu, shift_sd, run_sd)
            return jnp.sum(density), jnp.zeros(())
        effects, weight = None, jnp.asarray(0.0)
        if self.effects == "spread":
            effects, weight = self.latent(vector, inputs, others[-1:])
        a, b = self.spread(law, inputs, effects)
        assert rows.tally is not None
        each = log_likelihood(a, b, rows.tally, others[0] if self.impossible else None)
        return jnp.sum(each) - objective.convention(law, rows), weight

    def value(self, vector: Floats, inputs: Inputs) -> Scalar:
        """Minus the log posterior density at a vector, up to a constant."""
        coordinates = self.coordinates(vector, inputs)
        law, others = self.values(coordinates, inputs)
        values = (*law.coefficients().values(), *others)
        likelihood, latent = self.log_likelihood(vector, inputs)
        prior = sum(
            log_density(family, card, x, v, numbers)
            for family, card, x, v, numbers, sampled in zip(
                self.families,
                self.cards,
                coordinates,
                values,
                inputs.priors,
                self.sampled,
                strict=True,
            )
            if sampled
        )
        return -(likelihood + latent + prior)
