"""What can be bought to know a law better: a training run, or more answers from one there is."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from t2jax import _text, cost
from t2jax.errors import InputError, Refusal
from t2jax.hull import Hull
from t2jax.laws import Law
from t2jax.observations import Observations

__all__ = ["Purchase", "evaluations", "runs_to_buy", "training_run"]

_SIDE = 14  # sizes and token counts of the default candidates
_REACH = 2.0  # how far beyond the table's sizes and tokens they go, as a factor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Purchase:
    """One thing to buy, and what it would show.

    It shows the law at (params, tokens) and every k of `samples`, blurred by noise: of log loss
    for a loss law, of pass@k for an accuracy law.

    Attributes:
      kind: "train" a new run, or "evaluate" a checkpoint at hand further.
      params: N.
      tokens: D.
      samples: the k at which the law will be seen.
      flops: its price.
      run_noise: standard deviation that all its k share: seeds, data order.
      row_noise: standard deviation of each k apart.

    Raises:
      InputError: a number that is not positive, or noise below zero.

    >>> Purchase(params=1e8, tokens=2e9, flops=1.2e18, run_noise=0.01).words()
    'train 100M on 2B tokens (1.2e+18 FLOPs)'
    """

    params: float
    tokens: float
    flops: float
    run_noise: float
    row_noise: float = 0.0
    samples: tuple[float, ...] = (1.0,)
    kind: str = "train"

    def __post_init__(self):
        for name in ("params", "tokens", "flops"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"purchase: {name} = {value!r} is not positive",
                                 remedy="e.g. params=1e8, tokens=2e9, flops=1.2e18")  # fmt: skip
        noise = self.run_noise**2 + self.row_noise**2
        if not (min(self.run_noise, self.row_noise) >= 0 and 0 < noise < math.inf):
            raise InputError("purchase: without noise one run would settle everything",
                             remedy="give run_noise, e.g. 0.01 of the loss")  # fmt: skip
        if not self.samples or any(not k >= 1 for k in self.samples):
            raise InputError(f"purchase: samples = {self.samples!r} are no k >= 1",
                             remedy="e.g. samples=(1, 16)")  # fmt: skip

    def covariance(self) -> np.ndarray:
        """Covariance of what it shows, over its k [k, k]."""
        count = len(self.samples)
        return self.run_noise**2 * np.ones((count, count)) + self.row_noise**2 * np.eye(count)

    def words(self) -> str:
        """The purchase in words."""
        plan = f"{_text.count(self.params)} on {_text.count(self.tokens)} tokens"
        what = f"train {plan}" if self.kind == "train" else f"ask the {plan} more questions"
        if max(self.samples) > 1 and self.kind != "train":
            what = f"sample the {plan} at k = {_text.count(max(self.samples))}"
        return f"{what} ({self.flops:.3g} FLOPs)"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        return dataclasses.asdict(self) | {"samples": list(self.samples)}

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote; what else stands there is left out."""
        own = {f.name: description[f.name] for f in dataclasses.fields(cls)}
        return cls(**{**own, "samples": tuple(own["samples"])})


def training_run(
    params: float, tokens: float, *, noise: tuple[float, float], samples: Sequence[float] = (1.0,)
) -> Purchase:
    """A training run at its 6ND.

    Args:
      params: N.
      tokens: D.
      noise: standard deviations that its k share, and of each k apart.
      samples: the k at which it will be judged.
    """
    return Purchase(
        params=float(params), tokens=float(tokens),
        flops=float(cost.train_flops(float(params), float(tokens))),
        run_noise=noise[0], row_noise=noise[1], samples=tuple(map(float, samples)),
    )  # fmt: skip


def evaluations(
    runs: Observations,
    law: Law,
    *,
    noise: tuple[float, float],
    times: float = 4.0,
    answer_tokens: float = 1.0,
) -> list[Purchase]:
    """Checkpoints at hand, asked more questions or sampled more often.

    A checkpoint was seen with variance `r^2 + q^2`: of the run, and of the questions it was asked.
    With m times the questions it is `r^2 + q^2/m`, as good as one more look of variance v with
    `1/v = 1/(r^2 + q^2/m) - 1/(r^2 + q^2)`. A larger k shows the law where it was not seen, under
    the same run's noise. Both are approximations: questions are shared by all checkpoints.

    Args:
      runs: a table of questions.
      law: what is planned with; a larger k is offered for counts and a law with k.
      noise: deviations that a run's k share, and of each k apart.
      times: how many times the questions, or the samples.
      answer_tokens: generated tokens of one sample, for the price `2 N` a token.

    Raises:
      InputError: a loss table, whose questions are unknown, or times not above 1.
    """
    if runs.kind == "loss":
        raise InputError("holds losses, so that nobody knows its questions", source=runs.source,
                         remedy="bring a table of questions")  # fmt: skip
    if not times > 1:
        raise InputError(f"times = {times!r} asks nothing more", remedy="e.g. 4")
    if runs.kind == "nll":
        cells = np.asarray(runs.nll)
        fewest, price = 1.0, answer_tokens
    else:
        tried = np.asarray(runs.trials)
        cells = np.asarray(runs.successes) / np.where(tried > 0, tried, np.nan)
        fewest = float(np.min(tried[tried > 0]))
        price = answer_tokens * fewest
    centre = np.nanmean(cells, axis=1)
    blur = np.nanstd(cells, axis=1) / np.sqrt(np.sum(np.isfinite(cells), axis=1))
    if law.kind == "loss":
        blur = blur / np.maximum(centre, 1e-12)
    out = []
    for params, tokens, q in zip(runs.params, runs.tokens, blur, strict=True):
        once = cost.inference_flops(params, 1.0) * price * runs.n_questions
        have, want = noise[0] ** 2 + q**2, noise[0] ** 2 + q**2 / times
        named = {"params": float(params), "tokens": float(tokens), "kind": "evaluate",
                 "flops": float(once * (times - 1))}  # fmt: skip
        if have > want > 0:
            out.append(Purchase(run_noise=math.sqrt(1 / (1 / want - 1 / have)), **named))
        if runs.kind == "counts" and law.uses_samples:
            out.append(Purchase(run_noise=math.hypot(noise[0], q), row_noise=noise[1],
                                samples=(fewest * times,), **named))  # fmt: skip
    return out


def runs_to_buy(
    law: Law, hull: Hull | None, *, noise: tuple[float, float], most: float | None
) -> list[Purchase]:
    """Training runs on a grid over the table's sizes and tokens, and a little beyond upwards.

    Args:
      law: whose k are seen: those of the table, for a law with k.
      hull: ranges of the table.
      noise: as for `training_run`.
      most: FLOPs of the dearest; by default those of the dearest run in the table.

    Raises:
      Refusal: no table is known, or no run on the grid is that cheap.
    """
    if hull is None:
        raise Refusal("the law was written down without data, so that no grid of runs suggests "
                      "itself", remedy="give candidates=[(params, tokens), ...]")  # fmt: skip
    most = hull.train_flops[1] if most is None else most
    sizes, tokens = (
        np.geomspace(low, high * _REACH, _SIDE) for low, high in (hull.params, hull.tokens)
    )
    ratio = (hull.tokens_per_param[0] / _REACH, hull.tokens_per_param[1] * _REACH)
    samples = (1.0,)
    if law.searched.uses_samples:  # else every k follows from the first
        samples = tuple(np.geomspace(*hull.samples, 4)) if hull.samples[1] > 1 else (1.0,)
    out = [
        training_run(n, d, noise=noise, samples=samples)
        for n in sizes
        for d in tokens
        if cost.train_flops(n, d) <= most * (1 + 1e-9) and ratio[0] <= d / n <= ratio[1]
    ]
    if not out:
        raise Refusal(f"no run of the table's range costs at most {most:.3g} FLOPs",
                      remedy="raise most, or give candidates=[(params, tokens), ...]")  # fmt: skip
    return out
