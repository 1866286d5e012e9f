"""The learning rate of each step, as a function of three step numbers that may be traced.

A trunk at constant rate and every cooldown that branches off it differ in these numbers alone,
so they share one compiled program.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from t2jax.trainer.config import TrainConfig

__all__ = ["FOREVER", "Plan", "branch", "plan", "rate", "trunk", "warmup_steps"]

FOREVER = 2**30
"""A step that no run reaches."""

COSINE_FLOOR = 0.1
"""Share of the peak that a cosine ends at, as in arXiv:2203.15556."""


class Plan(NamedTuple):
    """The steps at which the learning rate changes its course.

    Attributes:
      warmup: steps of the linear rise, at least 1.
      decay_start: first step of the decay.
      stop: step at which the decay has ended.
    """

    warmup: int | Int[Array, ""]
    decay_start: int | Int[Array, ""]
    stop: int | Int[Array, ""]


def warmup_steps(config: TrainConfig, tokens_per_row: float) -> int:
    """Steps of the rise.

    Args:
      config: the run.
      tokens_per_row: mean loss tokens of a row of the source.
    """
    full = config.filled(tokens_per_row)
    assert full.warmup_tokens is not None
    assert full.batch_rows is not None
    return max(1, math.ceil(full.warmup_tokens / (full.batch_rows * tokens_per_row)))


def plan(config: TrainConfig, tokens_per_row: float) -> Plan:
    """The plan of a whole run, from its first step to its last.

    Args:
      config: the run.
      tokens_per_row: mean loss tokens of a row of the source.

    >>> from t2jax.trainer.config import ModelConfig
    >>> run = TrainConfig(model=ModelConfig(d_model=8), tokens=64_000, batch_rows=10)
    >>> plan(run, tokens_per_row=64)
    Plan(warmup=4, decay_start=80, stop=100)
    """
    steps = config.steps(tokens_per_row)
    warmup = warmup_steps(config, tokens_per_row)
    if config.schedule == "wsd":
        return Plan(warmup, steps - round(config.cooldown * steps), steps)
    return Plan(warmup, min(warmup, steps - 1), steps)


def trunk(warmup: int) -> Plan:
    """A run at constant rate behind its rise, from which branches cool down.

    >>> trunk(10)
    Plan(warmup=10, decay_start=1073741824, stop=1073741824)
    """
    return Plan(warmup, FOREVER, FOREVER)


def branch(warmup: int, decay_start: int, stop: int) -> Plan:
    """The cooldown of a trunk between two steps."""
    return Plan(warmup, decay_start, stop)


def rate(step: Any, plan: Plan, shape: str = "wsd") -> Float[Array, ""]:
    """Learning rate of a step over its peak.

    `min(1, (step + 1) / warmup) * decay`, where decay falls from 1 at `decay_start` to 0 at
    `stop`, linearly (wsd, linear; arXiv:2405.18392) or by `0.1 + 0.9 (1 + cos(pi x)) / 2`
    (cosine), x being the share of the way. The last step, `stop - 1`, still moves.

    Args:
      step: number of the step, from 0.
      plan: where the course changes.
      shape: the schedule of the config.

    >>> float(rate(89, Plan(4, 80, 100)))
    0.55...
    """
    step = jnp.asarray(step, jnp.int32)
    # Differences of whole numbers first: float32 cannot tell steps beyond 2^24 apart.
    width = jnp.maximum(jnp.asarray(plan.stop - plan.decay_start, jnp.int32), 1)
    left = (jnp.asarray(plan.stop, jnp.int32) - step).astype(jnp.float32)
    left = jnp.clip(left / width.astype(jnp.float32), 0.0, 1.0)
    rise = (step + 1).astype(jnp.float32) / jnp.asarray(plan.warmup, jnp.float32)
    if shape == "cosine":
        wave = 0.5 * (1 + jnp.cos(jnp.pi * (1 - left)))
        left = COSINE_FLOOR + (1 - COSINE_FLOOR) * wave
    return jnp.minimum(rise, 1.0) * left
