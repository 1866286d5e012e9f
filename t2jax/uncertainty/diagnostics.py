"""Whether chains may be believed: rank-normalised split R-hat, bulk and tail sample sizes."""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from t2jax._precision import double

__all__ = ["ess_bulk", "ess_tail", "r_hat"]


def r_hat(chains: np.ndarray) -> float:
    """Rank-normalised split R-hat: how far chains disagree, in location or in spread; 1 is best.

    Args:
      chains: draws [chains, draws].

    Returns:
      The larger of R-hat of the ranks and of the ranks of the distance from the median.

    Source: Vehtari et al. 2021, arXiv:1903.08008.

    >>> rng = np.random.default_rng(0)
    >>> bool(r_hat(rng.normal(size=(4, 500))) < 1.01)
    True
    >>> bool(r_hat(rng.normal(size=(4, 500)) + np.arange(4)[:, None]) > 1.5)
    True
    """
    folded = np.abs(chains - np.median(chains))
    return max(_split_r_hat(_scores(chains)), _split_r_hat(_scores(folded)))


def ess_bulk(chains: np.ndarray) -> float:
    """How many independent draws the middle of the distribution is worth.

    Args:
      chains: draws [chains, draws].

    Source: Vehtari et al. 2021, arXiv:1903.08008.
    """
    return _effective(_scores(chains))


def ess_tail(chains: np.ndarray) -> float:
    """How many independent draws the 5% and 95% quantiles are worth, the lesser of the two.

    Args:
      chains: draws [chains, draws].

    Source: Vehtari et al. 2021, arXiv:1903.08008.
    """
    low, high = np.quantile(chains, [0.05, 0.95])
    return min(_effective((chains <= low) * 1.0), _effective((chains <= high) * 1.0))


def _split(chains: np.ndarray) -> np.ndarray:
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, chains.shape[1] - half :]])


@double
def _scores(chains: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks, ties sharing their mean rank."""
    _, place, count = np.unique(chains, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    rank = (last - (count - 1) / 2)[place].reshape(chains.shape)
    return np.asarray(ndtri(jnp.asarray((rank - 0.375) / (chains.size + 0.25))))


def _split_r_hat(chains: np.ndarray) -> float:
    parts = _split(chains)
    within = np.mean(np.var(parts, axis=1, ddof=1))
    between = np.var(np.mean(parts, axis=1), ddof=1)
    if not within > 0:
        return 1.0 if not between > 0 else np.inf
    n = parts.shape[1]
    return float(np.sqrt((n - 1) / n + between / within))


def _effective(chains: np.ndarray) -> float:
    """Effective sample size by Geyer's initial monotone sequence over split chains."""
    parts = _split(chains)
    count, n = parts.shape
    centred = parts - parts.mean(axis=1, keepdims=True)
    transform = np.fft.rfft(centred, 2 * n, axis=1)
    covariance = np.fft.irfft(np.abs(transform) ** 2, 2 * n, axis=1)[:, :n] / n
    within = np.mean(covariance[:, 0]) * n / (n - 1)
    total = within * (n - 1) / n + np.var(parts.mean(axis=1), ddof=1)
    if not total > 0:
        return float(count * n)  # a constant
    rho = 1.0 - (within - np.mean(covariance, axis=0)) / total
    rho[0] = 1.0
    pairs = rho[0 : n - n % 2 : 2] + rho[1:n:2]
    negative = np.flatnonzero(pairs < 0)
    kept = pairs[: negative[0]] if len(negative) else pairs
    tau = -1.0 + 2.0 * float(np.sum(np.minimum.accumulate(kept)))
    if len(kept) < len(pairs):
        tau += max(float(rho[2 * len(kept)]), 0.0)  # the term before the sequence ends
    # A chain of alternating draws is worth more than its length, within reason.
    return count * n / max(tau, 1.0 / np.log10(count * n))
