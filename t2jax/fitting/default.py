"""What an unnamed law means, by the kind of table."""

import numpy as np

from t2jax.observations import Observations

__all__ = ["ON_PROOF", "PREFERRED", "candidates", "default_law"]

PREFERRED = ("coupled", "additive", "tied")
"""Of losses that a table cannot tell apart the first is taken: the coupled law holds the additive
one, and foretold better on every held-out row of five tables (experiments/12_loss_forms)."""

ON_PROOF = ("ceiling", "farseer", "data_constrained")
"""Losses that are taken only where they are better beyond the data than any other."""


def default_law(runs: Observations) -> str:
    """The law of a table where nobody names one: the first that the table can answer for.

    Likelihoods of questions, and losses at three or more k, carry the effect of samples;
    losses alone do not; counts say how often questions are solved.

    >>> import t2jax as t2
    >>> default_law(t2.datasets.load_ladder()), default_law(t2.datasets.load_ladder(measure="loss"))
    ('linked', 'coupled')
    """
    return candidates(runs)[0]


def candidates(runs: Observations) -> tuple[str, ...]:
    """The laws that a table can tell apart, the default one first.

    >>> import t2jax as t2
    >>> candidates(t2.datasets.load_ladder(measure="loss"))
    ('coupled', 'additive', 'tied', 'ceiling', 'farseer')
    """
    if runs.one_token_count:
        outer = {"counts": "beta_monotone({})", "nll": "linked({})"}.get(runs.kind, "{}")
        return (outer.format("size"),)
    if runs.kind == "counts":
        return ("beta_monotone", "t2_accuracy")
    if runs.kind == "loss" and (runs.samples is None or len(np.unique(runs.samples)) < 3):
        more = () if runs.unique_tokens is None else ("data_constrained",)
        return ("coupled", "additive", "tied", "ceiling", "farseer", *more)
    if runs.kind == "nll":
        inner = ("additive", "ceiling", "farseer")
        return ("linked", *(f"linked({loss})" for loss in inner))
    return ("softplus", "softplus(coupled)", "product", "t2_loss")
