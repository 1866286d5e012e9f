"""What an unnamed law means, by the kind of table."""

import numpy as np

from t2jax.observations import Observations

__all__ = ["candidates", "default_law"]


def default_law(runs: Observations) -> str:
    """The law of a table where nobody names one: the first that the table can answer for.

    Likelihoods of questions, and losses at three or more k, carry the effect of samples;
    losses alone do not; counts say how often questions are solved.

    >>> import t2jax as t2
    >>> default_law(t2.datasets.load_ladder()), default_law(t2.datasets.load_ladder(measure="loss"))
    ('linked', 'additive')
    """
    return candidates(runs)[0]


def candidates(runs: Observations) -> tuple[str, ...]:
    """The laws that a table can tell apart, the default one first.

    >>> import t2jax as t2
    >>> candidates(t2.datasets.load_ladder(measure="loss"))
    ('additive', 'tied', 'coupled')
    """
    if runs.kind == "counts":
        return ("beta_monotone", "t2_accuracy")
    if runs.kind == "loss" and (runs.samples is None or len(np.unique(runs.samples)) < 3):
        more = () if runs.unique_tokens is None else ("data_constrained",)
        return ("additive", "tied", "coupled", *more)
    if runs.kind == "nll":
        return ("linked", "linked(additive)", "softplus", "t2_loss")
    return ("softplus", "softplus_scaled", "softplus(coupled)", "product", "t2_loss")
