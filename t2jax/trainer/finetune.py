"""Post-training to convergence: on whole documents (FT) or on answers only (SFT).

The question it serves: does the optimum of an overtrained ladder survive post-training? So every
checkpoint gets the same finite pool of solved questions and the same recipe, and as many steps as
it needs. Lengths are doubled until two doublings in a row bring nothing, judged by questions held
out for the purpose (split `dev`) behind a rate that has fallen to zero: at a constant rate, noise
would hide the progress. All lengths share one trunk, so that trying them costs twice the longest.
Where a rate brings nothing at all, the next lower one is tried from the start.
The state that is best on `dev` is kept, which may be the one before the first step; the
evaluation questions are never looked at.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from t2jax.errors import InputError
from t2jax.trainer import evaluate, schedule
from t2jax.trainer.batches import Questions, Source
from t2jax.trainer.config import ModelConfig, TrainConfig, default_learning_rate
from t2jax.trainer.corpus import Corpus, FinetuneSet
from t2jax.trainer.model import Params
from t2jax.trainer.train import Trainer, copy_state

__all__ = ["MODES", "FinetuneConfig", "FinetuneResult", "Held", "finetune", "tune"]

MODES = {"ft": "whole documents", "sft": "answers only"}
"""What the loss is counted on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """The recipe, the same for every checkpoint of a ladder."""

    mode: str = "sft"  # ft: loss on whole documents; sft: on answers only
    rates: tuple[float, ...] = (0.3, 0.08)  # over that of pretraining; the next where one fails
    batch_tokens: float = 900.0  # document tokens of a step, whatever the size of the model
    warmup_steps: int = 16  # of the linear rise: the moments start from zero
    first_chunks: int = 2  # chunks at constant rate of the first length tried
    cooldown: float = 0.5  # steps in which the rate falls to zero over the steps before
    patience: int = 2  # doublings of the length without progress after which it is enough
    progress: float = 0.005  # relative fall of the held-out NLL that counts as progress
    max_tokens: float = 300_000.0  # document tokens at constant rate of the longest tried
    chunk: int = 16  # steps of one call of the compiled program

    def __post_init__(self):
        if self.mode not in MODES:
            raise InputError(f"mode is '{self.mode}'", remedy=f"use {' or '.join(MODES)}")
        numbers = dataclasses.asdict(self)
        del numbers["mode"]
        for name, value in numbers.items():
            values = value if name == "rates" else (value,)
            if not values or not all(0 < one < float("inf") for one in values):
                raise InputError(f"{name} is {value}", remedy="give a number above 0")


class Held(NamedTuple):
    """A look at the held-out questions.

    Attributes:
      step: steps done.
      tokens: loss tokens seen.
      nll: mean over tasks of the mean NLL, nats.
    """

    step: int
    tokens: int
    nll: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """A finetuned checkpoint and how it came about.

    Attributes:
      params: best on the held-out questions.
      mode: "ft" or "sft".
      rate: learning rate over that of pretraining; 0 where no step improved on the start.
      steps: steps behind `params`; 0 where no step improved on the start.
      tokens: loss tokens behind `params`: document tokens in FT, answer tokens in SFT.
      document_tokens: tokens behind `params` that cost FLOPs, the same rows in either mode.
      spent_tokens: the same for everything that was tried.
      dev_history: looks at the held-out questions in order, the first before any step.
      converged: whether the held-out questions stopped improving before `max_tokens` was reached.
    """

    params: Params
    mode: str
    rate: float
    steps: int
    tokens: int
    document_tokens: int
    spent_tokens: int
    dev_history: tuple[Held, ...]
    converged: bool

    @property
    def dev_nll(self) -> float:
        """Held-out NLL of `params`, nats, mean over tasks."""
        return min(look.nll for look in self.dev_history)

    def card(self) -> dict[str, Any]:
        """Everything but the parameters, ready for JSON."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "params"]
        looks = [look._asdict() for look in self.dev_history]
        return {name: getattr(self, name) for name in names} | {"dev_history": looks}


def finetune(
    params: Params,
    config: ModelConfig,
    corpus: Corpus,
    *,
    mode: str = "sft",
    pool: int = 2048,
    kind: str = "standard",
    dev_per_task: int = 64,
    recipe: FinetuneConfig | None = None,
) -> FinetuneResult:
    """Finetune one checkpoint on a finite pool of the corpus's own solved questions.

    Pool and held-out questions come from the splits `finetune` and `dev`, distributed as the
    evaluation questions: equally many of each task.

    Args:
      params: of the checkpoint; left as they are.
      config: shape of the model.
      corpus: what it was trained on; its seed orders the pool.
      mode: "ft" or "sft".
      pool: solved questions to train on.
      kind: "standard", or "long" for the questions with the longest answers.
      dev_per_task: held-out questions of each task.
      recipe: everything else; its mode gives way to `mode`.

    Returns:
      The finetuned parameters and their history.

    Raises:
      InputError: an unknown mode, or a corpus that does not fit the model.
      Refusal: the loss is no longer finite.

    Source: Roberts et al. 2026, arXiv:2604.01411.
    """
    recipe = dataclasses.replace(recipe or FinetuneConfig(), mode=mode)
    source, dev = _pool(corpus, pool, kind, dev_per_task)
    return tune(params, config, source, dev, recipe)


@functools.lru_cache(maxsize=4)
def _pool(corpus: Corpus, pool: int, kind: str, dev_per_task: int) -> tuple[FinetuneSet, Questions]:
    """What to train on and what to stop by: the same for every checkpoint of a ladder."""
    dev = corpus.questions(dev_per_task, kind=kind, split="dev")
    return FinetuneSet(corpus, pool, kind=kind), dev


def tune(
    params: Params,
    config: ModelConfig,
    source: Source,
    dev: Questions,
    recipe: FinetuneConfig,
) -> FinetuneResult:
    """Finetune on any source until held-out questions stop improving.

    Args:
      params: where to start; left as they are.
      config: shape of the model.
      source: rows to train on, with marked answers for SFT.
      dev: held-out questions, which decide when to stop and what to keep.
      recipe: rate, batch, patience.

    Returns:
      The finetuned parameters and their history.

    Raises:
      InputError: the source does not fit the model, or has no answers for SFT.
      Refusal: the loss is no longer finite.
    """
    batch_rows = max(1, round(recipe.batch_tokens / source.tokens_per_row))
    settings = TrainConfig(
        model=config,
        tokens=recipe.max_tokens,
        batch_rows=batch_rows,
        warmup_tokens=0.0,
        chunk=recipe.chunk,
        answers_only=recipe.mode == "sft",
    )

    def look(params: Params, step: int, tokens: int) -> Held:
        nll = evaluate.likelihood(params, config, dev)
        means = evaluate.task_means(dev, nll)
        return Held(step, tokens, float(np.mean(list(means.values()))))

    looks = [look(params, 0, 0)]
    best, kept, used, converged, spent = looks[0], params, 0.0, False, 0
    for rate in recipe.rates:
        peak = rate * default_learning_rate(config)
        trainer = Trainer(dataclasses.replace(settings, learning_rate=peak), source)
        stale = 0
        for cooled, step, tokens, cost in _lengths(trainer, params, recipe):
            spent += cost
            looks.append(look(cooled, step, tokens))
            stale = 0 if looks[-1].nll < best.nll * (1 - recipe.progress) else stale + 1
            if looks[-1].nll < best.nll:
                best, kept, used = looks[-1], cooled, rate
            if stale == recipe.patience:
                break
        converged = stale == recipe.patience
        # A rate that suits a young checkpoint may undo more of an old one than it teaches.
        if best.step:
            break
    per_step = batch_rows * source.tokens_per_row
    return FinetuneResult(
        params=kept,
        mode=recipe.mode,
        rate=used,
        steps=best.step,
        tokens=best.tokens,
        document_tokens=round(best.step * per_step),
        spent_tokens=round(spent * per_step),
        dev_history=tuple(looks),
        converged=converged,
    )


def _lengths(
    trainer: Trainer, params: Params, recipe: FinetuneConfig
) -> Iterator[tuple[Params, int, int, int]]:
    """Cooled parameters of one length after another, each twice the one before.

    Yields:
      Parameters, the steps and loss tokens behind them, and the steps that they cost in addition.
    """
    state, seen = trainer.init(params), 0
    assert trainer.config.batch_rows is not None
    per_step = trainer.config.batch_rows * trainer.source.tokens_per_row
    first = recipe.chunk * recipe.first_chunks
    length, last = first, max(first, recipe.max_tokens / per_step)
    trunk = schedule.trunk(recipe.warmup_steps)
    while length <= last:
        cost = length - int(state.step)
        state, metrics = trainer.run(state, length, trunk)
        seen += int(metrics.tokens.sum())
        fall = recipe.chunk * max(1, round(recipe.cooldown * length / recipe.chunk))
        plan = schedule.branch(recipe.warmup_steps, length, length + fall)
        cooled, metrics = trainer.run(copy_state(state), length + fall, plan)
        yield cooled.params, length + fall, seen + int(metrics.tokens.sum()), cost + fall
        length *= 2
