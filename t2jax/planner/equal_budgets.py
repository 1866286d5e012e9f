"""The comparison without a law: checkpoints of one training budget, each with its own samples."""

import dataclasses
from typing import Any, Self

import numpy as np

from t2jax import cost
from t2jax.errors import InputError
from t2jax.observations import Observations
from t2jax.planner.levels import level_at, level_near
from t2jax.planning.budget import Budget

__all__ = ["Choice", "Measured", "measured"]

_RESAMPLES = 2000
_ALIKE = 2.0  # standard deviations of a size's loss within which another is as good
_NOTHING = float("nan")
_INTERVALS = ("gain_interval", "loss_gain_interval", "speaks_for")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """One measured size at a training budget, averaged over its seeds.

    Args:
      params: parameters N.
      tokens: training tokens D, mean over seeds.
      samples: whole samples k that the inference budget affords at that size.
      checkpoints: how many were averaged.
      loss: mean over questions of -log pass@k in nats; NaN from counts, which have no unbiased
        estimate of it. Of a table of losses, that.
      pass_at_k: mean over questions of pass@k; NaN from losses.
    """

    params: float
    tokens: float
    samples: int
    checkpoints: int
    loss: float
    pass_at_k: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """The size that is best at one sample beside the one that is best at what it affords.

    Args:
      train_flops: 6ND of the level, geometric mean over its checkpoints.
      unevenness: largest over smallest 6ND of the level.
      sizes: how many sizes were measured there and afford a sample.
      single: the best size at one sample, Chinchilla's choice, with the samples it affords.
      repeated: the best size at the samples that each affords, T2's choice.
      gain_interval: of `gain()`, over resamples of the questions in which both sizes are chosen
        anew and judged on the questions left out.
      level: of that interval.
      at_edge: whether T2's choice is the smallest or the largest size measured at the level.
      loss_gain_interval: of `loss_gain()`, made alike; NaN from counts.
      speaks_for: from half-way to the next smaller size measured, in log N, to half-way to the
        next larger: sizes to which the best one is the nearest. Of losses, the same of all sizes
        that are as good within their scatter.
    """

    train_flops: float
    unevenness: float
    sizes: int
    single: Choice
    repeated: Choice
    gain_interval: tuple[float, float]
    level: float
    at_edge: bool
    loss_gain_interval: tuple[float, float] = (float("nan"), float("nan"))
    speaks_for: tuple[float, float] = (float("nan"), float("nan"))

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back the fields of one, its gain left out."""
        values = {name: value for name, value in description.items() if name != "gain"}
        both = {name: Choice(**values.pop(name)) for name in ("single", "repeated")}
        ends = {name: tuple(values.pop(name)) for name in _INTERVALS if name in values}
        return cls(**both, **ends, **values)

    @property
    def once(self) -> bool:
        """Whether it is of losses, which know one sample only: both choices are one."""
        return np.isnan(self.repeated.pass_at_k)

    def gain(self) -> float:
        """Mean pass@k of T2's choice less that of Chinchilla's."""
        return self.repeated.pass_at_k - self.single.pass_at_k

    def loss_gain(self) -> float:
        """Nats by which T2's choice is better than Chinchilla's; NaN from counts."""
        return self.single.loss - self.repeated.loss


def measured(
    runs: Observations, budget: Budget, *, level: float = 0.9, seed: int = 0
) -> Measured | None:
    """What the checkpoints themselves say about two budgets, with no law between.

    `k = floor(C_i / 2N)`; T2's choice minimises the mean of `-log pass@k` over the sizes
    (from counts: maximises mean pass@k), Chinchilla's choice the same at `k = 1`.

    A table of losses answers at k = 1, each size read at the training budget along its own runs.

    Args:
      runs: the table.
      budget: one training budget, and one for inference where k counts; caps are ignored.
      level: of the interval of the gain.
      seed: of the resampling of questions behind that interval.

    Returns:
      The comparison; None where the budget lacks one of the two, or no two sizes were measured
      at one level (FLOPs within 20%) within a factor of 2 of the budget.

    Raises:
      InputError: the budget is a sweep.

    >>> import t2jax as t2
    >>> runs = t2.datasets.load_ladder()
    >>> found = measured(runs, t2.Budget(train_flops=8e11, inference_flops=1.8e6))
    >>> found.repeated.params <= found.single.params
    True

    Source: the question is that of arXiv:2604.01411, asked of checkpoints instead of a law.
    """
    if budget.shape != ():
        raise InputError("a sweep has no single level", remedy="give one number for each budget")
    if budget.train_flops is None:
        return None
    train_flops = float(np.asarray(budget.train_flops))
    if runs.kind == "loss":
        return _of_losses(runs, train_flops, level)
    place = level_near(runs, train_flops)
    if budget.inference_flops is None or place is None:
        return None
    inference = float(np.asarray(budget.inference_flops))
    place = place.affording(inference)
    sizes = place.params
    if len(sizes) < 2:
        return None
    afforded = np.floor(inference / cost.inference_flops(sizes, 1.0))
    at_one = place.by_question(runs, np.ones(len(sizes)))
    at_k = place.by_question(runs, afforded)
    if not (np.isfinite(at_one[1]).all() and np.isfinite(at_k[1]).all()):
        return None  # more samples afforded than were drawn
    # From counts the loss has no estimate: there mean pass@k is the aim.
    aim = 0 if runs.kind == "nll" else 1
    score_one, score_k = (-both[0] if aim == 0 else both[1] for both in (at_one, at_k))
    best_one, best_k = (int(score.mean(axis=1).argmax()) for score in (score_one, score_k))
    single, repeated = (
        Choice(
            params=float(sizes[of]),
            tokens=float(place.weights[of] @ runs.tokens),
            samples=int(afforded[of]),
            checkpoints=int(np.count_nonzero(place.weights[of])),
            loss=float(at_k[0][of].mean()),
            pass_at_k=float(at_k[1][of].mean()),
        )
        for of in (best_one, best_k)
    )
    flops = runs.train_flops[place.weights.any(axis=0)]
    return Measured(
        train_flops=float(np.exp(np.log(flops).mean())),
        unevenness=float(flops.max() / flops.min()),
        sizes=len(sizes),
        single=single,
        repeated=repeated,
        gain_interval=_gain_interval(score_one, score_k, at_k[1], level, seed),
        level=level,
        at_edge=best_k in (0, len(sizes) - 1),
        speaks_for=_between(sizes, best_k),
        loss_gain_interval=_gain_interval(score_one, score_k, -at_k[0], level, seed),
    )


def _of_losses(runs: Observations, train_flops: float, level: float) -> Measured | None:
    """The sizes of a table of losses at one training budget."""
    if runs.samples is not None and np.any(np.asarray(runs.samples) != 1):
        return None
    place = level_at(runs, train_flops)
    count = len(place.params)
    if count < 2:
        return None
    loss, _ = place.values(runs, np.ones(count))
    best = int(np.argmin(loss))
    alike = np.flatnonzero(loss <= loss[best] + _ALIKE * _scatter(place.params, loss))
    choice = Choice(
        params=float(place.params[best]), tokens=float(place.tokens[best]), samples=1,
        checkpoints=int(np.count_nonzero(place.weights[best])), loss=float(loss[best]),
        pass_at_k=_NOTHING,
    )  # fmt: skip
    return Measured(
        train_flops=train_flops, unevenness=1.0, sizes=count, single=choice, repeated=choice,
        gain_interval=(_NOTHING, _NOTHING), level=level, at_edge=best in (0, count - 1),
        speaks_for=(_between(place.params, int(alike[0]))[0],
                    _between(place.params, int(alike[-1]))[1]),
    )  # fmt: skip


def _scatter(params: np.ndarray, loss: np.ndarray) -> float:
    """How far losses at one budget stray from a smooth curve of log N; 0 of too few to tell."""
    free = len(loss) - 4  # of a cubic's coefficients
    if free < 1:
        return 0.0
    place = np.log(params / np.exp(np.log(params).mean()))
    left = loss - np.polyval(np.polyfit(place, loss, 3), place)
    return float(np.sqrt(np.sum(left**2) / free))


def _between(sizes: np.ndarray, of: int) -> tuple[float, float]:
    """Half-way in log to the sizes beside one; beyond the outermost nothing is claimed.

    >>> _between(np.array([1.0, 4.0, 16.0]), 1)
    (2.0, 8.0)
    """
    beside = sizes[[max(of - 1, 0), min(of + 1, len(sizes) - 1)]]
    low, high = np.sqrt(sizes[of] * beside)
    return float(low), float(high)


def _gain_interval(
    score_one: np.ndarray, score_k: np.ndarray, worth: np.ndarray, level: float, seed: int
) -> tuple[float, float]:
    """Ends of the interval of the difference in worth over resamples of the questions.

    Both sizes are chosen anew on each resample and judged on the questions it leaves out, so
    that neither the luck of the choice nor its instability is hidden.
    """
    questions = worth.shape[1]
    rng = np.random.default_rng(seed)
    times = rng.multinomial(questions, np.full(questions, 1 / questions), size=_RESAMPLES)
    ours = (times @ score_k.T).argmax(1)
    theirs = (times @ score_one.T).argmax(1)
    out = times == 0
    kept = out.any(1)
    if not kept.any():
        return float("nan"), float("nan")
    judged = (out[kept] @ worth.T) / out[kept].sum(1, keepdims=True)
    each = np.arange(len(judged))
    difference = judged[each, ours[kept]] - judged[each, theirs[kept]]
    low, high = np.quantile(difference, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
