"""Draws over the forms of a stack: each draw is one member, as often as its weight says."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from t2jax.fitting import FitResult
from t2jax.laws import Stacked
from t2jax.uncertainty.ensemble import Ensemble

__all__ = ["of_forms"]


def of_forms(
    fit: FitResult, n_draws: int, seed: int, draw: Callable[[FitResult, int], Ensemble]
) -> Ensemble:
    """Draws of a fit of law "stack".

    Args:
      fit: the fit.
      n_draws: number of draws, over all members.
      seed: of their order.
      draw: makes that many draws of the fit of one member.
    """
    law = fit.law
    assert isinstance(law, Stacked)
    weight = np.asarray(law.weights)
    # Whole counts that add up, nearest to the weights.
    counts = np.diff(np.round(np.cumsum(weight) * n_draws).astype(int), prepend=0)
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(weight)), counts))
    made, members = {}, []
    for i, (member, count) in enumerate(zip(law.members, counts, strict=True)):
        if count:
            made[i] = draw(dataclasses.replace(fit, law=member), int(count))
        # A member's place holds its own draws where they count, and some draw of it elsewhere.
        rows = np.zeros(n_draws, int)
        rows[order == i] = np.arange(count)
        drawn = made[i].law if count else jax.tree.map(lambda x: np.array([float(x)]), member)
        members.append(jax.tree.map(lambda x, rows=rows: np.asarray(x)[rows], drawn))
    first = made[max(made, key=lambda i: counts[i])]
    one_hot = tuple((order == i).astype(float) for i in range(len(weight)))
    share = {i: counts[i] / n_draws for i in made}
    names = law.names()
    diagnostics = {
        **first.diagnostics,
        "converged": float(sum(share[i] * e.diagnostics["converged"] for i, e in made.items())),
        "at_bound": {
            f"{names[i]}.{name}": float(share[i] * at)
            for i, e in made.items()
            for name, at in e.diagnostics["at_bound"].items()
        },
        "notes": [
            f"{names[i]} in {share[i]:.0%} of the draws: {note}"
            for i, e in made.items()
            for note in e.diagnostics["notes"]
        ],
    }
    return dataclasses.replace(
        first, law=Stacked(members=tuple(members), weights=one_hot), point=law, seed=seed,
        diagnostics=diagnostics, nuisance={},
    )  # fmt: skip
