"""What an unnamed law means, by the kind of table."""

from t2jax.observations import Observations

__all__ = ["default_law"]


def default_law(runs: Observations) -> str:
    """The law that a kind of table can answer for.

    Likelihoods of questions, and losses at three or more k, carry the effect of samples;
    losses alone do not; counts say how often questions are solved.
    """
    if runs.kind == "counts":
        return "beta_monotone"
    if runs.kind == "loss" and (runs.samples is None or len(set(runs.samples)) < 3):
        return "additive"
    return "softplus"
