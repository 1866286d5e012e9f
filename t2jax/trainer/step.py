"""The compiled half of training: a chunk of steps as one program.

A program depends on shapes and on the recipe of a step. Seed, learning rate, plan and the number
of steps are arguments, so runs that differ in those share it.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from t2jax._devices import few_programs
from t2jax.trainer import devices, model, optimiser, schedule
from t2jax.trainer.batches import Batch, Source
from t2jax.trainer.config import TrainConfig
from t2jax.trainer.schedule import Plan

__all__ = ["Metrics", "Programs", "TrainState", "compile_steps", "copy_state", "one_step"]


class TrainState(NamedTuple):
    """Everything that training changes.

    Attributes:
      params: the parameters, float32.
      opt_state: moments of the optimiser, float32.
      step: steps done, int32.
    """

    params: model.Params
    opt_state: Any
    step: Int[Array, ""]


class Metrics(NamedTuple):
    """What was seen at each step.

    Attributes:
      loss: mean cross-entropy of the step's loss tokens in nats, before its update.
      tokens: loss tokens of the step.
      grad_norm: norm of the gradient before it was cut.
      learning_rate: of the step.
    """

    loss: Float[np.ndarray, " steps"]
    tokens: Int[np.ndarray, " steps"]
    grad_norm: Float[np.ndarray, " steps"]
    learning_rate: Float[np.ndarray, " steps"]


@jax.jit
def copy_state(state: TrainState) -> TrainState:
    """A second copy of a state, for a branch: `Trainer.run` uses up the one it is given."""
    return jax.tree.map(jnp.copy, state)


class Programs(NamedTuple):
    """What a recipe compiles to.

    Attributes:
      init: `(seed, params or None) -> state`.
      rows: `first step -> batches` of a chunk, made on the devices; None where they are shipped.
      run: `(state, batches, steps, peak, plan) -> state, metrics`, up to `chunk` steps.
      abstract: shapes, types and shardings of a state.
    """

    init: Callable[[int, model.Params | None], TrainState]
    rows: Callable[[Any], Batch] | None
    run: Callable[..., tuple[TrainState, Metrics]]
    abstract: TrainState


def compile_steps(config: TrainConfig, mesh: Mesh, source: Source | None) -> Programs:
    """The programs of a run, shared with every run of the same recipe; compiled at first use.

    Args:
      config: the run, filled.
      mesh: devices to use.
      source: whose rows are made on the devices; None where they are shipped to them.
    """
    few_programs()
    return _compile(_essence(config), mesh, source)


def _essence(config: TrainConfig) -> TrainConfig:
    """The config with all that the compiled program does not depend on set to one value."""
    return dataclasses.replace(
        config,
        seed=0,
        tokens=1,
        train_flops=None,
        tokens_per_param=None,
        learning_rate=1.0,
        warmup_tokens=0.0,
        cooldown=0.0,
        data=1,
        fsdp=1,
        schedule="cosine" if config.schedule == "cosine" else "wsd",
    )


def one_step(config: TrainConfig) -> Callable[..., tuple[TrainState, Metrics]]:
    """One step of training, `(state, batch, peak, plan) -> state, metrics`; pure, not compiled."""
    gradient = jax.value_and_grad(
        lambda params, batch: model.loss(
            params,
            config.model,
            batch,
            answers_only=config.answers_only,
            z_loss=config.z_loss,
            remat=config.remat,
        ),
        has_aux=True,
    )

    def step(
        state: TrainState, batch: Batch, peak: Array, plan: Plan
    ) -> tuple[TrainState, Metrics]:
        if config.accumulate == 1:
            (_, seen), gradients = gradient(state.params, batch)
        else:
            seen, gradients = _accumulate(gradient, state.params, batch, config.accumulate)
        learning_rate = peak * schedule.rate(state.step, plan, config.schedule)
        params, opt_state, norm = optimiser.update(
            config, gradients, state.opt_state, state.params, learning_rate
        )
        metrics: list[Any] = [seen["loss"], seen["tokens"], norm, learning_rate]
        return TrainState(params, opt_state, state.step + 1), Metrics(*metrics)

    return step


@functools.lru_cache(maxsize=64)
def _compile(config: TrainConfig, mesh: Mesh, source: Source | None) -> Programs:
    """The programs of a recipe on a mesh; `source` where rows are made there."""
    everywhere = devices.replicated(mesh)
    places = devices.batch_sharding(mesh)
    init, shapes, homes = _beginning(config, mesh)
    some, whole = _chunks(config)
    compiled = jax.jit(
        some,
        donate_argnums=0,
        in_shardings=(homes, places, everywhere, everywhere, everywhere),
        out_shardings=(homes, everywhere),
    )
    if source is None:
        rows, run = None, compiled
    else:
        # Where the devices make their rows, none of them asks the host how many steps are left.
        rows = jax.jit(functools.partial(_rows, config, source), out_shardings=places)
        fixed = jax.jit(
            whole,
            donate_argnums=0,
            in_shardings=(homes, places, everywhere, everywhere),
            out_shardings=(homes, everywhere),
        )

        def run(state: TrainState, batches: Batch, count: Any, peak: Array, plan: Plan) -> Any:
            if count == config.chunk:
                return fixed(state, batches, peak, plan)
            return compiled(state, batches, count, peak, plan)

    struct = jax.tree.map(
        lambda x, home: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=home), shapes, homes
    )
    return Programs(init, rows, run, struct)


def _beginning(config: TrainConfig, mesh: Mesh) -> tuple[Callable[..., TrainState], Any, Any]:
    """What makes the first state, the shapes of a state, and where its parts live."""

    def begin(params: model.Params) -> TrainState:
        return TrainState(params, optimiser.begin(config, params), jnp.int32(0))

    draw = functools.partial(model.initialise, config.model)
    shapes = jax.eval_shape(lambda key: begin(draw(key)), jax.random.key(0))
    homes = devices.shard_params(shapes, mesh)
    draw_state = jax.jit(lambda seed: begin(draw(jax.random.key(seed))), out_shardings=homes)
    given_state = jax.jit(begin, out_shardings=homes)

    def init(seed: int, params: model.Params | None) -> TrainState:
        if params is None:
            return draw_state(seed)
        # The state is used up by training; the caller's parameters are not.
        return given_state(jax.tree.map(jnp.copy, params))

    return init, shapes, homes


def _rows(config: TrainConfig, source: Source, first: Array) -> Batch:
    """Rows of a chunk, by a program of their own: in the step they would double its kernels."""
    rows = config.batch_rows
    assert rows is not None
    start = first.astype(jnp.uint32) * np.uint32(rows)
    batch = source.rows(start, config.chunk * rows, xp=jnp)
    return jax.tree.map(lambda x: x.reshape(config.chunk, rows, *x.shape[1:]), batch)


def _chunks(config: TrainConfig) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Many steps at once: as many as are asked for when it runs, and a whole chunk."""
    step = one_step(config)

    def some(
        state: TrainState, batches: Batch, count: Array, peak: Array, plan: Plan
    ) -> tuple[TrainState, Metrics]:
        def body(i: Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            state, record = carry
            state, seen = step(state, jax.tree.map(lambda x: x[i], batches), peak, plan)
            return state, jax.tree.map(lambda r, x: r.at[i].set(x), record, seen)

        blank: list[Any] = [
            jnp.zeros(config.chunk, t) for t in (jnp.float32, jnp.int32) + (jnp.float32,) * 2
        ]
        return jax.lax.fori_loop(0, count, body, (state, Metrics(*blank)))

    def whole(
        state: TrainState, batches: Batch, peak: Array, plan: Plan
    ) -> tuple[TrainState, Metrics]:
        return jax.lax.scan(lambda s, batch: step(s, batch, peak, plan), state, batches)

    return some, whole


def _accumulate(
    gradient: Callable[..., Any], params: model.Params, batch: Batch, parts: int
) -> tuple[dict[str, Array], model.Params]:
    """Loss and gradient of a batch from those of its parts, weighted by their loss tokens.

    A part takes every `parts`-th row, so that each device keeps working on its own rows.
    """

    def split(x: Array) -> Array:
        return jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0)

    def add(total: Any, part: Batch) -> tuple[Any, None]:
        (_, seen), gradients = gradient(params, part)
        weight = seen["tokens"].astype(jnp.float32)
        scaled = jax.tree.map(lambda g: weight * g, (seen["loss"], gradients))
        return jax.tree.map(jnp.add, total, (scaled, seen["tokens"])), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    start = ((jnp.float32(0), zeros), jnp.int32(0))
    ((loss, gradients), tokens), _ = jax.lax.scan(add, start, jax.tree.map(split, batch))
    share = 1 / jnp.maximum(tokens, 1).astype(jnp.float32)
    loss, gradients = jax.tree.map(lambda x: share * x, (loss, gradients))
    return {"loss": loss, "tokens": tokens}, gradients
