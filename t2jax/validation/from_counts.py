"""pass@k beyond the samples from counts alone: a Beta spread, a straight line, and the two stacked.

Neither is right on every table: where questions are Beta the line falls short, and where many are
hard in their own way the Beta saturates too soon. The samples taken tell the two apart: what a
tenth of them promises of all of them is known.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import _text, beta, passk
from t2jax.validation.question_posterior import beta_posterior, pass_draws

__all__ = ["Counts", "Drawn", "by_line", "by_spread", "by_stack"]

_FEW = 100.0  # effective proposals below which a checkpoint's posterior is doubted
_DECADE = 10  # held out: samples beyond the trials over this
_MOST = 1000  # samples of the part that is kept, beyond which nothing is learned and all is slow
_LEAST = 20  # trials below which a tenth of them draws no line
_KEPT_DRAWS = 200  # of the spread of the part
_PRIOR = (0.1, 2.0)  # usual error of a method per decade, worth as many checkpoints
_WITHIN = 0.6745  # of a standard deviation lies half of a normal distribution


class Counts(NamedTuple):
    """Successes and trials of every checkpoint's questions [checkpoints, questions]."""

    successes: np.ndarray
    trials: np.ndarray


class Drawn(NamedTuple):
    """What a method says.

    Attributes:
      values: mean pass@k [draws, checkpoints, K].
      middle: the estimate [checkpoints, K]; None where it is the median of the draws.
      notes: what must be said beside it.
    """

    values: np.ndarray
    middle: np.ndarray | None
    notes: list[str]


def by_spread(
    counts: Counts, grid: np.ndarray, n_draws: int, rng: np.random.Generator,
    impossible: bool = False,
) -> Drawn:  # fmt: skip
    """A Beta spread of each checkpoint's questions, each updated by its own counts."""
    columns, doubted = [], 0
    for successes, trials in zip(*counts, strict=True):
        seed = int(rng.integers(2**32))
        spread, effective = beta_posterior(
            successes, trials, impossible=impossible, n_draws=n_draws, seed=seed
        )
        doubted += effective < _FEW
        columns.append(pass_draws(spread, grid, successes, trials, rng))
    notes = []
    if doubted:
        notes.append(f"the posterior of {doubted} checkpoints was sampled badly: distrust them")
    return Drawn(np.stack(columns, axis=1), None, notes)


def by_line(
    counts: Counts, grid: np.ndarray, n_draws: int, rng: np.random.Generator | None,
    share: float = 1.0,
) -> Drawn:  # fmt: skip
    """Straight lines of log(-log pass@k) on log k, questions resampled where `rng` is given.

    Args:
      counts: of every checkpoint.
      grid: k to predict [K].
      n_draws: one without `rng`.
      rng: the generator.
      share: the line is drawn through k up to this share of the fewest trials.
    """
    columns, silent = [], 0
    for successes, trials in zip(*counts, strict=True):
        asked = trials > 0
        successes, trials = successes[asked], trials[asked]
        k = np.unique(np.round(np.geomspace(1, max(share * trials.min(), 1.0), 16)))
        each = passk.pass_at_k(successes[:, None], trials[:, None], k)
        weight = np.ones((1, len(each)))
        if rng is not None:
            weight = rng.multinomial(len(each), weight[0] / len(each), size=n_draws)
        rate = weight @ each / len(each)
        sound = (rate > 0) & (rate < 1)
        y = _bent(np.where(sound, rate, 0.5))
        w = sound / np.maximum(sound.sum(axis=1, keepdims=True), 1)
        x = np.log(k)
        mean_x, mean_y = (w * x).sum(axis=1), (w * y).sum(axis=1)
        across = (w * (x - mean_x[:, None]) ** 2).sum(axis=1)
        down = (w * (x - mean_x[:, None]) * (y - mean_y[:, None])).sum(axis=1)
        enough = sound.sum(axis=1) >= 2
        slope = np.where(enough, down / np.where(enough, across, 1.0), np.nan)
        silent += not enough.any()
        line = mean_y[:, None] + slope[:, None] * (np.log(grid) - mean_x[:, None])
        columns.append(np.exp(-np.exp(line)))
    notes = [f"{silent} checkpoints have no success to draw a line through"] if silent else []
    return Drawn(np.stack(columns, axis=1), None, notes)


def by_stack(counts: Counts, grid: np.ndarray, n_draws: int, rng: np.random.Generator) -> Drawn:
    """The two, weighed by what a tenth of the samples says of all of them.

    `log(-log pass@k)` of the estimate is the weighted mean of the two. A draw is one of the two, as
    often as its weight says, and strays by the error of that mean where it could be checked, times
    the decades that k lies beyond the samples.
    """
    spread, line = by_spread(counts, grid, n_draws, rng), by_line(counts, grid, n_draws, rng)
    missed = _held_out(counts, rng)
    weight = _weight(missed)
    # Where no line can be drawn the spread stands alone.
    lines = np.where(np.isfinite(line.values), line.values, spread.values)
    values = [_bent(spread.values), _bent(lines)]
    middle = weight * np.median(values[0], axis=0) + (1 - weight) * np.median(values[1], axis=0)
    which = rng.random(n_draws) < weight
    stray = _deviation(missed @ [weight, 1 - weight])
    fewest = np.where(counts.trials > 0, counts.trials, np.inf).min(axis=1)
    decades = np.maximum(np.log10(grid) - np.log10(fewest)[:, None], 0.0)
    drawn = np.where(which[:, None, None], values[0], values[1])
    drawn = drawn + stray * decades * rng.normal(size=(*drawn.shape[:2], 1))
    return Drawn(np.exp(-np.exp(drawn)), np.exp(-np.exp(middle)), [
        *spread.notes, *line.notes,
        f"the Beta spread has {weight:.0%} of the weight and the straight line {1 - weight:.0%}, "
        + (f"by what a tenth of the samples says of all, at {len(missed)} checkpoints"
           if len(missed) else f"for want of {_LEAST} trials to learn from"),
        f"beyond the samples log(-log pass@k) strays by {_text.number(stray, 2)} per decade of k",
    ])  # fmt: skip


def _bent(rate: np.ndarray) -> np.ndarray:
    """`log(-log pass@k)`, held off both ends."""
    return np.log(-np.log(np.clip(rate, 1e-300, 1.0 - 1e-16)))


def _held_out(counts: Counts, rng: np.random.Generator) -> np.ndarray:
    """Errors of spread and line at all the samples, from a tenth of them [checkpoints, 2].

    In `log(-log pass@k)`. Checkpoints with too few trials, or without a success among few samples,
    are left out. The tenth is not drawn: each question counts at every number of successes that it
    may have there, as often as it would (a hypergeometric distribution), and so nothing depends on
    luck.
    """
    from scipy.stats import hypergeom  # a third of a second, and tables of counts alone need it

    errors = [np.zeros((0, 2))]
    for successes, trials in zip(*counts, strict=True):
        asked = trials > 0
        c, n = successes[asked].astype(int), trials[asked].astype(int)
        k = min(n.min(), _DECADE * _MOST)
        known = float(np.mean(passk.pass_at_k(c, n, k)))
        if k < _LEAST or not 0 < known < 1:
            continue
        part = k // _DECADE
        solved = np.arange(part + 1)
        often = hypergeom.pmf(solved, n[:, None], c[:, None], part).sum(axis=0)
        asked_each = np.full(part + 1, part)
        a, b, _ = beta_posterior(
            solved, asked_each, weight=often, impossible=False, n_draws=_KEPT_DRAWS,
            seed=int(rng.integers(2**32)),
        )[0]  # fmt: skip
        told = np.asarray(_updated(*map(jnp.asarray, (a, b, solved, asked_each, float(k)))))
        line = by_line(Counts(c[None], n[None]), np.array([float(k)]), 1, None, part / n.min())
        both = np.array([np.median(told @ often) / often.sum(), line.values[0, 0, 0]])
        if np.all(np.isfinite(both)):
            errors.append((_bent(both) - _bent(np.array(known)))[None])
    return np.concatenate(errors)


@jax.jit
def _updated(a, b, solved, trials, k):
    """Mean pass@k of a question with so many successes, under each spread [draws, questions]."""
    return beta.pass_at_k(a[:, None] + solved, b[:, None] + trials - solved, k)


def _deviation(missed: np.ndarray) -> float:
    """Standard deviation of errors round zero, by their median, drawn to what is expected."""
    usual, worth = _PRIOR
    found = np.median(np.abs(missed)) / _WITHIN if len(missed) else usual
    return float(np.sqrt((len(missed) * found**2 + worth * usual**2) / (len(missed) + worth)))


def _weight(missed: np.ndarray) -> float:
    """Of the spread: weights go as the inverse of squared errors."""
    spread, line = (_deviation(column) ** -2 for column in missed.T)
    return spread / (spread + line)
