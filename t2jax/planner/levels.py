"""The sizes of a table at one training budget, each measured along its own runs."""

import dataclasses

import numpy as np

from t2jax import cost, passk
from t2jax.observations import Observations

__all__ = ["Level", "level_at", "level_near", "levels_of"]

_END = 1.1  # a checkpoint within this factor of D stands for a run that ends just short of it
_GAP = 4.0  # checkpoints further apart than this factor of D are not joined by a line
_SAME_LEVEL = 1.2  # checkpoints within this factor of FLOPs count as one training budget
_NEAR = 2.0  # a level further from the budget than this factor says nothing about it


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """Sizes measured at one training budget.

    Attributes:
      train_flops: 6ND of all of them.
      params: the sizes N, ascending [sizes].
      weights: share of each checkpoint in the value of a size [sizes, rows].
    """

    train_flops: float
    params: np.ndarray
    weights: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        """Training tokens D of each size [sizes]."""
        return self.train_flops / (cost.TRAIN_FLOPS * self.params)

    def affording(self, inference_flops: float | None) -> "Level":
        """The sizes of which the inference budget affords a sample."""
        if inference_flops is None:
            return self
        kept = inference_flops / cost.inference_flops(self.params, 1.0) >= 1.0
        return dataclasses.replace(self, params=self.params[kept], weights=self.weights[kept])

    def values(self, runs: Observations, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss in nats and mean pass@k of each size at its own k, NaN where a table has none.

        Args:
          runs: the table.
          samples: k of each size [sizes].
        """
        if runs.loss is not None:
            return self.weights @ runs.loss, np.full(len(self.params), np.nan)
        loss, success = self.by_question(runs, samples)
        return loss.mean(axis=1), success.mean(axis=1)

    def by_question(self, runs: Observations, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """-log pass@k in nats and pass@k of each size at its own k [sizes, questions]."""
        found = []
        for weights, k in zip(self.weights, samples, strict=True):
            rows = np.flatnonzero(weights)
            each = _by_question(runs, rows, k)
            found.append([weights[rows] @ one for one in each])
        loss, success = (np.stack(one) for one in zip(*found, strict=True))
        return loss, success

    def repeats(self, runs: Observations) -> np.ndarray:
        """Independent trainings behind the value of each size [sizes]."""
        curves = runs.run if runs.trunk is None else runs.trunk
        return np.array([len(np.unique(curves[one > 0])) for one in self.weights])


def _by_question(runs: Observations, rows: np.ndarray, k: float) -> tuple[np.ndarray, np.ndarray]:
    """-log pass@k in nats and pass@k of checkpoints [rows, questions].

    From counts the first has no unbiased estimate and is NaN, as is pass@k beyond the trials.
    """
    if runs.nll is not None:
        # One by one, so that sizes with few checkpoints and many share a program.
        log_pass = np.stack([passk.host_log_pass_at_k(runs.nll[row], float(k)) for row in rows])
        return -log_pass, np.exp(log_pass)
    assert runs.successes is not None
    assert runs.trials is not None
    success = passk.pass_at_k(runs.successes[rows], runs.trials[rows], int(k))
    return np.full(success.shape, np.nan), success


def level_near(runs: Observations, train_flops: float) -> Level | None:
    """The sizes of the trained budget that is nearest to one, each the mean of its checkpoints.

    Args:
      runs: the table.
      train_flops: 6ND.

    Returns:
      Their level; None where the nearest checkpoint is further than a factor of 2 away.
    """
    flops = runs.train_flops
    nearest = flops[np.argmin(np.abs(np.log(flops / train_flops)))]
    if np.abs(np.log(nearest / train_flops)) > np.log(_NEAR):
        return None
    same = np.abs(np.log(flops / nearest)) <= np.log(_SAME_LEVEL)
    sizes = np.unique(runs.params[same])
    own = same & (runs.params == sizes[:, None])
    return Level(
        train_flops=float(nearest), params=sizes, weights=own / own.sum(axis=1, keepdims=True)
    )


def level_at(runs: Observations, train_flops: float) -> Level:
    """The sizes that were measured at a training budget.

    A size is read along its own runs, linearly in log D between two checkpoints, averaged over
    its runs; where no run passes the budget, along all its runs together. Nothing is read
    between sizes, nor beyond the end of a run.

    Args:
      runs: the table.
      train_flops: 6ND.
    """
    sizes, found = [], []
    curves = runs.run if runs.trunk is None else runs.trunk
    for size in np.unique(runs.params):
        own = np.flatnonzero(runs.params == size)
        at = np.log(train_flops / (cost.TRAIN_FLOPS * size))
        alone = [own[curves[own] == name] for name in np.unique(curves[own])]
        read = [w for rows in alone if (w := _along(runs, rows, at)) is not None]
        if not read and (together := _along(runs, own, at)) is not None:
            read = [together]
        if read:
            sizes.append(size)
            found.append(np.mean(read, axis=0))
    return Level(
        train_flops=train_flops,
        params=np.array(sizes),
        weights=np.array(found).reshape(len(sizes), runs.n_rows),
    )


def _along(runs: Observations, rows: np.ndarray, at: float) -> np.ndarray | None:
    """Share of each checkpoint in the value at log D, or None where these do not reach it."""
    places = np.log(runs.tokens[rows])
    weights = np.zeros(runs.n_rows)

    def give(place: float, share: float) -> None:
        same = rows[places == place]
        weights[same] += share / len(same)

    below, above = places[places <= at], places[places >= at]
    nearest = places[np.argmin(np.abs(places - at))]
    if len(below) and len(above) and above.min() - below.max() <= np.log(_GAP):
        low, high = below.max(), above.min()
        part = 0.0 if high == low else (at - low) / (high - low)
        give(low, 1.0 - part)
        give(high, part)
    elif abs(nearest - at) <= np.log(_END):
        give(nearest, 1.0)
    else:
        return None
    return weights


def levels_of(
    runs: Observations, *, count: int, least: int, below: float, reach: float = 8.0
) -> tuple[float, ...]:
    """Training budgets near the top of a table at which many of its sizes were measured.

    Args:
      runs: the table.
      count: how many, at equal steps in logs.
      least: sizes that a budget must have.
      below: three sizes must have checkpoints below this share of a budget.
      reach: from the largest of them to the smallest.

    Returns:
      Budgets, ascending; fewer than `count`, or none, where the table has no more.
    """
    flops = runs.train_flops
    places = np.unique(np.round(np.log(flops), 2))
    if len(places) > 200:  # every one of them is looked at
        places = places[np.linspace(0, len(places) - 1, 200).round().astype(int)]
    many = np.array([len(level_at(runs, float(np.exp(p))).params) for p in places])
    cheap = np.array([len(np.unique(runs.params[flops <= below * np.exp(p)])) for p in places])
    fit = (many >= max(least, many.max() / 2)) & (cheap >= 3)
    if not fit.any():
        return ()
    places, many = places[fit], many[fit]
    top = places.max()
    chosen = []
    for target in np.linspace(max(places.min(), top - np.log(reach)), top, count):
        far = np.abs(places - target)
        near = np.flatnonzero(far <= max(0.15, far.min()))
        chosen.append(places[near[np.argmax(many[near])]])
    # Of candidates within rounding the one that was trained is meant.
    levels = [float(flops[np.argmin(np.abs(np.log(flops) - p))]) for p in dict.fromkeys(chosen)]
    return tuple(sorted(set(levels)))
