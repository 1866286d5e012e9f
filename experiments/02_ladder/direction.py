"""The best measured size at each training budget, with no law: how sure are questions and seeds?

Imported by `run.py`. Public API only.
"""

from typing import NamedTuple

import numpy as np

import t2jax as t2

RESAMPLES = 1000
SAME = 1.2  # checkpoints within this factor of FLOPs are one training budget


class Level(NamedTuple):
    """What was found at one training budget and one inference budget.

    Intervals are of 90%, over questions and seeds: both choices are made on resampled questions and
    seeds, and judged on the questions left out, answered by seeds drawn again.
    """

    train_flops: float
    sizes: np.ndarray  # parameters N, ascending
    tokens: np.ndarray  # D of each size
    samples: np.ndarray  # k that each size affords
    single: int  # place of the best size at one sample: Chinchilla's choice
    repeated: int  # place of the best size at the samples that each affords: T2's choice
    nats: float  # by which T2's choice is better at these samples
    nats_interval: tuple[float, float]
    passed: float  # by which its pass@k is higher
    passed_interval: tuple[float, float]
    passed_drawn: np.ndarray  # the same of every resample
    smaller: float  # share of resamples in which T2's choice is the smaller one
    larger: float
    ratio: float  # Chinchilla's optimum over T2's, each from a parabola through three sizes
    ratio_interval: tuple[float, float]

    @property
    def edges(self) -> tuple[bool, bool]:
        """Whether either choice is the smallest or the largest size that was measured."""
        ends = (0, len(self.sizes) - 1)
        return self.single in ends, self.repeated in ends


def budgets_of(runs: t2.Observations) -> list[float]:
    """Training budgets at which more than one size was trained, FLOPs."""
    flops = np.sort(runs.train_flops)
    groups = np.split(flops, np.flatnonzero(np.diff(np.log(flops)) > np.log(SAME)) + 1)
    return [float(np.exp(np.log(group).mean())) for group in groups if len(group) > 1]


def of_levels(runs: t2.Observations, inference: float) -> list[Level]:
    """Every training budget under one inference budget, FLOPs a token."""
    return [_of_level(runs, flops, inference) for flops in budgets_of(runs)]


def _of_level(runs: t2.Observations, flops: float, inference: float) -> Level:
    assert runs.nll is not None
    near = np.abs(np.log(runs.train_flops / flops)) < np.log(SAME)
    rows = np.flatnonzero(near & (2 * runs.params <= inference))
    sizes = np.unique(runs.params[rows])
    samples = np.floor(inference / (2 * sizes))
    groups = [rows[runs.params[rows] == size] for size in sizes]
    one = [runs.nll[group] for group in groups]
    solved = [
        np.exp(-loss) if k == 1 else -np.expm1(k * np.log1p(-np.exp(-np.maximum(loss, 1e-12))))
        for loss, k in zip(one, samples, strict=True)
    ]
    many = [-np.log(x) for x in solved]
    means = [np.array([x.mean() for x in table]) for table in (one, many, solved)]
    single, repeated = int(means[0].argmin()), int(means[1].argmin())

    rng = np.random.default_rng(0)
    questions = runs.n_questions
    times = rng.multinomial(questions, np.full(questions, 1 / questions), size=RESAMPLES)
    out = (times == 0) / (times == 0).sum(1, keepdims=True)
    chosen_by, judged_by = (
        [_seeds(size, len(group), again) for size, group in zip(sizes, groups, strict=True)]
        for again in (0, 1)
    )
    score = [_scores(table, times / questions, chosen_by) for table in (one, many)]
    judged = [_scores(table, out, judged_by) for table in (many, solved)]
    theirs, ours = (x.argmin(1) for x in score)
    each = np.arange(RESAMPLES)
    nats, passed = (x[each, ours] - x[each, theirs] for x in judged)
    drawn = [[vertex(sizes, row) for row in x] for x in score]
    return Level(
        train_flops=flops, sizes=sizes, samples=samples.astype(int), single=single,
        repeated=repeated, tokens=np.array([runs.tokens[group].mean() for group in groups]),
        nats=means[1][single] - means[1][repeated], nats_interval=interval(-nats),
        passed=means[2][repeated] - means[2][single], passed_interval=interval(passed),
        passed_drawn=passed,
        smaller=float((ours < theirs).mean()), larger=float((ours > theirs).mean()),
        ratio=vertex(sizes, means[0]) / vertex(sizes, means[1]),
        ratio_interval=interval(np.divide(*drawn)),
    )  # fmt: skip


def _seeds(size: float, count: int, again: int) -> np.ndarray:
    """Weights of the seeds of a size in each resample [resamples, seeds].

    The same at all training budgets, whose checkpoints of a seed share a trunk.
    """
    rng = np.random.default_rng([int(size), again])
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count


def _scores(table: list[np.ndarray], questions: np.ndarray, seeds: list[np.ndarray]) -> np.ndarray:
    """Means of each size over weighted questions and seeds [resamples, sizes]."""
    by_size = [
        ((questions @ values.T) * weights).sum(1)
        for values, weights in zip(table, seeds, strict=True)
    ]
    return np.stack(by_size, axis=1)


def vertex(sizes: np.ndarray, loss: np.ndarray) -> float:
    """Where a parabola in log N through the best size and its neighbours is least.

    At an edge the size itself: no optimum was seen.
    """
    best = int(np.argmin(loss))
    if best in (0, len(sizes) - 1):
        return float(sizes[best])
    place = slice(best - 1, best + 2)
    middle = np.log(sizes[best])
    bend, slope, _ = np.polyfit(np.log(sizes[place]) - middle, loss[place], 2)
    return float(np.exp(middle - slope / (2 * bend)))


def interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 90%."""
    low, high = np.quantile(values, [0.05, 0.95])
    return float(low), float(high)
