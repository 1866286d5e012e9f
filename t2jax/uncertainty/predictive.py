"""Posterior predictive checks: would the law, with its noise, have made such a table?"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._precision import to_numpy
from t2jax._typing import Floats
from t2jax.uncertainty.log_posterior import Inputs, Target

__all__ = ["check"]

_DRAWS = 200  # replicated tables: a p-value within 0.035
_DOUBT = 0.01  # tail probability, on either side, from which a check speaks


def check(
    target: Target, inputs: Inputs, vectors: np.ndarray, *, seed: int
) -> tuple[dict[str, float], list[str]]:
    """Share of replicated tables whose statistic exceeds that of the table at hand.

    Losses: the median and the largest absolute log residual. Counts: questions without a
    success, questions always solved, and the spread of the checkpoints' mean success.

    Args:
      target: the log posterior.
      inputs: its numbers.
      vectors: draws [draws, coordinates].
      seed: of the replicated tables.

    Returns:
      p-values by name, and a sentence for each that is extreme.

    Source: Gelman, Meng & Stern 1996, Statistica Sinica 6, 733.
    """
    rng = np.random.default_rng([seed, 1])
    picked = vectors[rng.choice(len(vectors), min(_DRAWS, len(vectors)), replace=False)]
    state = to_numpy(_states(target, jnp.asarray(picked), inputs))
    compare = _counts if target.problem.objective.counts else _losses
    pairs = compare(target, inputs, state, rng)
    p_values = {
        # Ties, of counts that are zero in both, count half.
        name: float(np.mean(again > seen) + 0.5 * np.mean(again == seen))
        for name, (seen, again) in pairs.items()
    }
    misfits = [
        f"MISFIT: {name} of the table is {'larger' if p < 0.5 else 'smaller'} than in "
        f"{max(p, 1 - p):.1%} of tables that the law would make (posterior predictive check)"
        for name, p in p_values.items()
        if min(p, 1 - p) < _DOUBT
    ]
    return p_values, misfits


@functools.partial(jax.jit, static_argnums=0)
def _states(target: Target, vectors: Floats, inputs: Inputs) -> tuple:
    """Per draw: the centre of every row or Beta parameters, and what is spread round them."""

    def one(vector):
        law, others = target.values(target.coordinates(vector, inputs), inputs)
        if not target.problem.objective.counts:
            return target.centre(law, inputs), (*others[:2], *target.deviations(others))
        effects = None
        if target.effects == "spread":
            effects, _ = target.latent(vector, inputs, others[-1:])
        return target.spread(law, inputs, effects), others

    return jax.lax.map(one, vectors, batch_size=16)


def _losses(target: Target, inputs: Inputs, state: Any, rng: np.random.Generator) -> dict:
    centre, others = state
    sigma, nu, shift_sd, run_sd = (np.asarray(x)[:, None] for x in others)
    observed = np.log(np.asarray(inputs.data.rows.value)) - centre
    inner, outer = np.asarray(inputs.nest.inner), np.asarray(inputs.nest.outer)
    run, runs = outer[inner], len(inputs.nest.outer_rows)
    # Rows of a run share their tails, as in the likelihood.
    scale = np.sqrt(nu / rng.chisquare(np.broadcast_to(nu, (len(nu), runs))))
    noise = rng.normal(size=observed.shape) * sigma
    noise = noise + (rng.normal(size=(len(nu), len(outer))) * shift_sd)[:, inner]
    noise = noise + (rng.normal(size=(len(nu), runs)) * run_sd)[:, run]
    again = noise * scale[:, run]
    statistics = {"median absolute residual": np.median, "largest absolute residual": np.max}
    return {
        name: (function(np.abs(observed), axis=1), function(np.abs(again), axis=1))
        for name, function in statistics.items()
    }


def _counts(target: Target, inputs: Inputs, state: Any, rng: np.random.Generator) -> dict:
    (a, b), others = state
    rows = inputs.data.rows
    successes, trials = np.asarray(rows.successes), np.asarray(rows.trials).astype(np.int64)
    asked = trials > 0
    shape = (len(a), *trials.shape)
    a, b = (np.broadcast_to(x[:, :, None], shape) for x in (a, b))
    share = rng.beta(a, b)
    # Where both are tiny the generator divides zero by zero: p is then 0 or 1.
    share = np.where(np.isfinite(share), share, rng.random(shape) < a / (a + b))
    if target.impossible:
        share = np.where(rng.random(shape) < np.asarray(others[0])[:, None, None], 0.0, share)
    again = rng.binomial(trials, share)

    def statistics(counts):
        rate = counts.sum(axis=-1) / np.maximum(trials.sum(axis=-1), 1)
        return {
            "number of questions without a success": np.sum((counts == 0) & asked, axis=(-2, -1)),
            "number of questions always solved": np.sum((counts == trials) & asked, axis=(-2, -1)),
            "spread of mean success over checkpoints": np.std(rate, axis=-1),
        }

    replicated, seen = statistics(again), statistics(successes)
    return {name: (seen[name], replicated[name]) for name in seen}
