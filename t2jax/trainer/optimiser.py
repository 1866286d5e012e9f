"""AdamW on a tree of parameters, with the learning rate as a traced argument."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from t2jax.trainer.config import TrainConfig
from t2jax.trainer.model import Params, decay_mask

__all__ = ["begin", "update"]


def _adam(config: TrainConfig) -> optax.GradientTransformation:
    return optax.chain(
        optax.scale_by_adam(b1=config.beta1, b2=config.beta2),
        optax.add_decayed_weights(config.weight_decay, mask=decay_mask),
    )


def begin(config: TrainConfig, params: Params) -> optax.OptState:
    """The state before the first step: zero moments, float32."""
    return _adam(config).init(params)


def update(
    config: TrainConfig,
    gradients: Params,
    state: Any,
    params: Params,
    learning_rate: Float[Array, ""],
) -> tuple[Params, optax.OptState, Float[Array, ""]]:
    """One step of AdamW, arXiv:1711.05101, behind a cut of the gradient's norm.

    `p <- p - rate (m / (sqrt(v) + 1e-8) + decay p)`, m and v being the unbiased moments.

    Args:
      config: betas, weight decay and clip.
      gradients: of the loss, shaped as the parameters.
      state: from `begin` or the step before.
      params: the parameters.
      learning_rate: of this step.

    Returns:
      New parameters, new state, and the norm of the gradient before it was cut.
    """
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
    cut = jnp.minimum(1.0, config.clip / jnp.maximum(norm, 1e-12))
    gradients = jax.tree.map(lambda g: g * cut, gradients)
    updates, state = _adam(config).update(gradients, state, params)
    params = jax.tree.map(lambda p, u: p - learning_rate * u, params, updates)
    return params, state, norm
