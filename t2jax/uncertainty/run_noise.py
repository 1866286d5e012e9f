"""How noisy a run is, from what a fit leaves over: shared by its k, and of each k apart."""

import numpy as np

from t2jax.fitting import FitResult
from t2jax.laws import predict
from t2jax.observations import Observations

__all__ = ["residual_noise"]


def residual_noise(fit: FitResult, runs: Observations, place: np.ndarray) -> list[float] | None:
    """Standard deviations of the residuals between runs and within them.

    Residuals of log loss, or of pass@k for an accuracy law. With several k to a run the deviation
    that they share is told from that of each apart by the analysis of variance; the coefficients
    are charged to the runs.

    Args:
      fit: the fit.
      runs: the table that was fitted.
      place: which of its rows each fitted row is of [rows].

    Returns:
      The deviation between runs, and of each k apart (zero where every run has one row), as a
      list, which a file keeps as it is; None for counts, whose noise is that of their likelihood,
      and where no residual is free.
    """
    observed, predicted = np.asarray(fit.observed), np.asarray(fit.predicted)
    if not len(observed):
        return None
    left = observed - predicted
    if fit.law.kind == "loss":
        left = np.log(observed / np.maximum(predicted, 1e-12))
    if fit.law.searched is not fit.law and fit.samples is not None:
        # One deviation of the mean loss, which every k shares.
        loss = np.asarray(runs.neg_log_pass([1.0]))[:, 0]
        left = np.log(loss / predict(fit.law.searched, runs.params, runs.tokens))
    run = np.unique(runs.cluster("run")[place], return_inverse=True)[1]
    size = np.bincount(run)
    mean = np.bincount(run, left) / size
    freedom = len(size) - len(fit.law.cards())
    if freedom < 1:
        return None
    within = len(left) - len(size)
    row = np.sum((left - mean[run]) ** 2) / within if within else 0.0
    between = np.sum(size * mean**2) / freedom
    each = len(left) / len(size)
    return [float(np.sqrt(max(between - row, 0.0) / each)), float(np.sqrt(row))]
