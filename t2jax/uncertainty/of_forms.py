"""Draws over the forms of a stack: each draw is one member, as often as its weight says."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from t2jax.fitting import FitResult
from t2jax.laws import Law, Link, Stacked
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
    whole, law = fit.law, fit.law.searched
    assert isinstance(law, Stacked)
    weight = np.asarray(law.weights)
    # Whole counts that add up, nearest to the weights.
    counts = np.diff(np.round(np.cumsum(weight) * n_draws).astype(int), prepend=0)
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(weight)), counts))
    made, members, points = {}, [], []
    within = np.zeros(n_draws, int)  # the place of each draw among those of its member
    for i, (member, count) in enumerate(zip(law.members, counts, strict=True)):
        if count:
            own = dataclasses.replace(fit, law=whole.with_searched(member))
            made[i] = draw(own, int(count))
        within[order == i] = np.arange(count)
        # A member's place holds its own draws where they count, and some draw of it elsewhere.
        rows = np.where(order == i, within, 0)
        drawn = jax.tree.map(lambda x: np.asarray(x)[None], member)
        point = member
        if count:
            drawn, point = made[i].law.searched, made[i].point.searched
        members.append(jax.tree.map(lambda x, rows=rows: np.asarray(x)[rows], drawn))
        points.append(point)
    starts = dict(zip(made, np.cumsum([0, *(int(counts[i]) for i in made)]), strict=False))
    every = np.array([starts[i] for i in order]) + within

    def gathered(parts):
        """What the members' draws have, in the order of the draws."""
        return np.concatenate([np.asarray(part) for part in parts])[every]

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
    drawn: Law = Stacked(members=tuple(members), weights=one_hot)
    point: Law = Stacked(members=tuple(points), weights=law.weights)
    point = whole.with_searched(point)
    spreads = [e.law.spread for e in made.values() if isinstance(e.law, Link)]
    if isinstance(whole, Link):
        spread = jax.tree.map(lambda *parts: gathered(parts), *spreads)
        drawn = type(whole)(**{"loss": drawn, "spread": spread})
    nuisance = {n: gathered([e.nuisance[n] for e in made.values()]) for n in first.nuisance}
    return dataclasses.replace(
        first, law=drawn, point=point, seed=seed, diagnostics=diagnostics, nuisance=nuisance
    )
