"""The decoder that is trained: parameters, logits and loss, as pure functions.

Parameters are a nested dictionary of float32 arrays (`Params`), so that the optimiser,
checkpoints and sharding see arrays with names and nothing else. Layers are stacked: the tree has
the same eleven leaves at any depth.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from t2jax._devices import at_once
from t2jax.trainer.batches import Batch, loss_mask
from t2jax.trainer.config import ModelConfig

__all__ = [
    "MATRICES",
    "Decoder",
    "Params",
    "apply",
    "decay_mask",
    "initialise",
    "loss",
]

Params = dict[str, Any]
"""Float32 arrays by name, as `flax.nnx.to_pure_dict` gives them.

`embedding [V, d]`, `head [d, V]`, `final_norm [d]` and `blocks`, whose leaves have a leading axis
of layers: `attention_norm [d]`, `qkv [d, 3d]`, `query_norm [h]`, `key_norm [h]`, `out [d, d]`,
`mlp_norm [d]`, `up [d, rd]`, `down [rd, d]`; h is the width of a head.
"""

MATRICES = ("qkv", "out", "up", "down")
"""Leaves of `blocks` that are weight matrices; with `head` they are what ModelConfig counts."""

MAX_UNROLLED, MAX_UNROLLED_ACCELERATOR = 4, 8
"""Deeper models loop over their layers: compilation stays short, and costs a CPU nothing."""

FUSED_FROM = 1024
"""Places of a row from which attention is one fused operation, where the device has one.

Scores of shorter rows are small, and cheaper to write down than to compute twice.
"""

MAX_ONE_HOT = 512
"""Up to this vocabulary the embedding's gradient is a matrix product on accelerators.

Their scatters add in no fixed order, and a resumed run would differ in its last bits.
"""


class Blocks(nnx.Module):
    """Weights of all blocks, stacked along their first axis.

    Args:
      config: shape of the model.
      rngs: where the initial values come from.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        layers, width, hidden = config.n_layers, config.d_model, config.mlp_ratio * config.d_model

        def matrix(rows: int, columns: int, scale: float = 1.0) -> nnx.Param:
            draws = jax.random.normal(rngs.params(), (layers, rows, columns), jnp.float32)
            return nnx.Param(draws * (scale * rows**-0.5))

        def gain(size: int) -> nnx.Param:
            return nnx.Param(jnp.ones((layers, size), jnp.float32))

        # What a block adds to the stream starts small, so that the stream keeps its size.
        quiet = (2 * layers) ** -0.5
        self.attention_norm = gain(width)
        self.qkv = matrix(width, 3 * width)
        self.query_norm = gain(config.head_width)
        self.key_norm = gain(config.head_width)
        self.out = matrix(width, width, quiet)
        self.mlp_norm = gain(width)
        self.up = matrix(width, hidden)
        self.down = matrix(hidden, width, quiet)


class Decoder(nnx.Module):
    """Pre-norm decoder: RMSNorm, rotary positions, normalised queries and keys, ReLU^2, no biases.

    The unembedding is a matrix of its own. Query-key normalisation: arXiv:2010.04245; rotary
    positions: arXiv:2104.09864; squared ReLU: arXiv:2109.08668.

    Args:
      config: shape of the model.
      rngs: where the initial values come from.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.config = config
        shape = (config.vocab_size, config.d_model)
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), shape, jnp.float32))
        self.blocks = Blocks(config, rngs=rngs)
        self.final_norm = nnx.Param(jnp.ones((config.d_model,), jnp.float32))
        draws = jax.random.normal(rngs.params(), shape[::-1], jnp.float32)
        self.head = nnx.Param(draws * (0.5 * config.d_model**-0.5))

    def __call__(
        self, tokens: Int[Array, "rows seq_len"], segments: Int[Array, "rows seq_len"] | None = None
    ) -> Float[Array, "rows seq_len vocab"]:
        """Logits of the next token; see `apply`."""
        params = nnx.to_pure_dict(nnx.state(self, nnx.Param))
        return apply(params, self.config, tokens, segments)


@functools.partial(jax.jit, static_argnums=0)
def initialise(config: ModelConfig, key: Array) -> Params:
    """Parameters at the start of training.

    Args:
      config: shape of the model.
      key: from `jax.random.key`.

    >>> params = initialise(ModelConfig(d_model=8), jax.random.key(0))
    >>> params["blocks"]["qkv"].shape
    (2, 8, 24)
    """
    return nnx.to_pure_dict(nnx.state(Decoder(config, rngs=nnx.Rngs(key)), nnx.Param))


def decay_mask(params: Params) -> Params:
    """Whether weight decay acts on each leaf: on matrices and head, not on norms and embedding.

    >>> decay_mask({"embedding": 0, "head": 0, "blocks": {"qkv": 0, "mlp_norm": 0}})
    {'blocks': {'mlp_norm': False, 'qkv': True}, 'embedding': False, 'head': True}
    """
    decayed = (*MATRICES, "head")
    return jax.tree.map_with_path(lambda path, _: path[-1].key in decayed, params)


def apply(
    params: Params,
    config: ModelConfig,
    tokens: Int[Array, "rows seq_len"],
    segments: Int[Array, "rows seq_len"] | None = None,
    *,
    remat: bool = False,
) -> Float[Array, "rows seq_len vocab"]:
    """Logits of the token after each place.

    A place sees itself and what stands before it in its own document. Rotary positions enter by
    differences alone, so a document has the same logits wherever it stands in its row.

    Args:
      params: from `initialise`.
      config: shape of the model; static under `jax.jit`.
      tokens: token of each place.
      segments: document of each place; None where a row is one document.
      remat: whether a gradient computes the inside of each block again instead of keeping it.

    Returns:
      Logits, float32.
    """
    x = embed(params, config, tokens)
    return project(params, config, run_blocks(params, config, x, segments, remat=remat)[0])


def loss(
    params: Params,
    config: ModelConfig,
    batch: Batch,
    *,
    answers_only: bool = False,
    z_loss: float = 1e-4,
    remat: bool = False,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Mean cross-entropy of the next token, with a pull of the normaliser towards 1.

    `mean over loss tokens of -log p(next) + z_loss (log sum exp logits)^2`

    Args:
      params: from `initialise`.
      config: shape of the model; static under `jax.jit`.
      batch: packed rows.
      answers_only: count tokens of answers only.
      z_loss: weight of the pull, arXiv:2204.02311; 0 leaves it out.
      remat: see `apply`.

    Returns:
      What training minimises, and `loss`, the mean cross-entropy alone in nats, and `tokens`, the
      number of loss tokens in the batch.
    """
    tokens = jnp.asarray(batch.tokens)
    # Rows keep their full length, and the last place of each, which predicts nothing, gets
    # weight 0: one place short of a round length costs more than it saves.
    targets = jnp.roll(tokens, -1, axis=1)
    mask = jnp.pad(loss_mask(batch, answers_only=answers_only), ((0, 0), (0, 1)))
    logits = apply(params, config, tokens, jnp.asarray(batch.segments), remat=remat)
    count = mask.sum(dtype=jnp.int32)
    weights = mask / jnp.maximum(count, 1).astype(jnp.float32)
    normaliser = jax.nn.logsumexp(logits, axis=-1)
    entropy = jnp.sum(weights * (normaliser - _chosen(logits, targets)))
    total = entropy + z_loss * jnp.sum(weights * normaliser**2) if z_loss else entropy
    return total, {"loss": entropy, "tokens": count}


def _chosen(
    logits: Float[Array, "rows seq_len vocab"], targets: Int[Array, "rows seq_len"]
) -> Float[Array, "rows seq_len"]:
    """The logit of each target: looked up on a CPU, summed behind a mask elsewhere.

    The gradient of a lookup is a scatter, which accelerators do slowly or in no fixed order.
    """

    def look_up(logits: Array, targets: Array) -> Array:
        return jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]

    def masked(logits: Array, targets: Array) -> Array:
        words = jnp.arange(logits.shape[-1], dtype=targets.dtype)
        return jnp.sum(jnp.where(targets[..., None] == words, logits, 0.0), axis=-1)

    default = masked if logits.shape[-1] <= MAX_ONE_HOT else look_up
    return jax.lax.platform_dependent(logits, targets, cpu=look_up, default=default)


def rms_norm(x: Float[Array, "*n d"], gain: Float[Array, " d"]) -> Float[Array, "*n d"]:
    """`x / sqrt(mean x^2) * gain`, computed in float32 and handed back in the type of x."""
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + 1e-6)
    return (wide * scale * gain).astype(x.dtype)


def rotary(
    positions: Int[Array, "*n"], config: ModelConfig
) -> tuple[Float[Array, "*n half"], Float[Array, "*n half"]]:
    """Cosines and sines by which `rotate` turns the two halves of a head."""
    half = config.head_width // 2
    frequencies = config.rope_theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions[..., None].astype(jnp.float32) * frequencies
    return jnp.cos(angles), jnp.sin(angles)


def rotate(
    x: Float[Array, "*n h"], cosines: Float[Array, "*#n half"], sines: Float[Array, "*#n half"]
) -> Float[Array, "*n h"]:
    """Turns each pair `(x[i], x[i + h/2])` by its angle."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cosines - second * sines, second * cosines + first * sines)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def heads(
    x: Float[Array, "*n d"], block: Params, config: ModelConfig, turn: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """Queries, keys and values `[..., heads, h]` of a block; queries carry the scale `h^-1/2`.

    Args:
      x: the stream.
      block: weights of one block.
      config: shape of the model.
      turn: cosines and sines of each place, `[..., 1, half]`.
    """
    inner = rms_norm(x, block["attention_norm"])
    # One product for all three would be cut apart, and its gradient glued together again.
    query, key, value = (
        linear(inner, third).reshape(*x.shape[:-1], config.n_heads, config.head_width)
        for third in jnp.split(block["qkv"], 3, axis=-1)
    )
    scale = config.head_width**-0.5
    query = rotate(rms_norm(query, block["query_norm"] * scale), *turn)
    return query, rotate(rms_norm(key, block["key_norm"]), *turn), value


def finish(x: Float[Array, "*n d"], mixed: Float[Array, "*n d"], block: Params) -> Array:
    """The stream behind a block, from what its heads gathered."""
    x = x + linear(mixed, block["out"])
    inner = linear(rms_norm(x, block["mlp_norm"]), block["up"])
    return x + linear(jnp.square(jax.nn.relu(inner)), block["down"])


def run_blocks(
    params: Params,
    config: ModelConfig,
    x: Float[Array, "rows seq_len d"],
    segments: Int[Array, "rows seq_len"] | None = None,
    *,
    keep: bool = False,
    remat: bool = False,
) -> tuple[Float[Array, "rows seq_len d"], tuple[Array, Array] | None]:
    """The stream behind the last block, from embedded tokens.

    Args:
      params: from `initialise`.
      config: shape of the model.
      x: embedded tokens.
      segments: document of each place; None where a row is one document.
      keep: whether to hand back the keys and values, `[layers, rows, seq_len, heads, h]` each.
      remat: see `apply`.
    """
    length = x.shape[1]
    places = jnp.arange(length)
    cosines, sines = rotary(places, config)
    turn = cosines[:, None], sines[:, None]
    visible = (places[:, None] >= places)[None]
    if segments is not None:
        visible = visible & (segments[:, :, None] == segments[:, None, :])
    mix = _mix_fused if length >= FUSED_FROM else _mix

    def step(x: Array, block: Params) -> tuple[Array, tuple[Array, Array] | None]:
        query, key, value = heads(x, block, config, turn)
        mixed = mix(query, key, value, visible)
        return finish(x, mixed.reshape(x.shape), block), (key, value) if keep else None

    return loop(jax.checkpoint(step) if remat else step, x, params["blocks"], config)


def _mix(query: Array, key: Array, value: Array, visible: Array) -> Array:
    """What the heads gather, by way of all scores."""
    bias = jnp.where(visible, 0.0, -jnp.inf)[:, None]
    scores = jnp.einsum("rqnh,rknh->rnqk", query, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores + bias, axis=-1).astype(value.dtype)
    return jnp.einsum("rnqk,rknh->rqnh", weights, value)


def _mix_fused(query: Array, key: Array, value: Array, visible: Array) -> Array:
    """The same in one operation that keeps no scores, where there is one: cuDNN has it for halves.

    Queries carry their scale already.
    """
    halves = value.dtype == jnp.bfloat16 and value.shape[-1] % 8 == 0
    fused = "cudnn" if halves and jax.default_backend() == "gpu" else None
    visible = jnp.broadcast_to(visible, (query.shape[0], *visible.shape[1:]))
    return jax.nn.dot_product_attention(
        query, key, value, mask=visible[:, None], scale=1.0, implementation=fused
    )


def loop(step: Any, carry: Any, blocks: Params, config: ModelConfig) -> tuple[Any, Any]:
    """`jax.lax.scan` over the layers, unrolled where there are few."""
    unroll = config.n_layers <= at_once(MAX_UNROLLED, MAX_UNROLLED_ACCELERATOR)
    return jax.lax.scan(step, carry, blocks, unroll=config.n_layers if unroll else 1)


def embed(params: Params, config: ModelConfig, tokens: Int[Array, "*n"]) -> Float[Array, "*n d"]:
    """Rows of the embedding, in the type of the computation."""
    small = config.vocab_size <= MAX_ONE_HOT
    rows = _take(params["embedding"], tokens) if small else params["embedding"][tokens]
    return rows.astype(config.compute_dtype)


def project(
    params: Params, config: ModelConfig, x: Float[Array, "*n d"]
) -> Float[Array, "*n vocab"]:
    """Logits, float32, from the stream behind the last block."""
    return linear(rms_norm(x, params["final_norm"]), params["head"], "float32")


def linear(
    x: Float[Array, "*n d"], matrix: Float[Array, "d m"], dtype: str | None = None
) -> Float[Array, "*n m"]:
    """`x @ matrix` in the type of x; the gradient of the matrix is accumulated in its own type.

    The backward pass is written out because the one that JAX derives has the activations
    transposed in memory, which costs a CPU more than the products themselves at small widths.

    Args:
      x: any number of rows.
      matrix: float32 weights.
      dtype: type of the result; None takes that of x.
    """
    return jnp.asarray(_linear(x, matrix, dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _linear(x: Array, matrix: Array, dtype: str | None) -> Array:
    return jnp.matmul(x, matrix.astype(x.dtype), preferred_element_type=dtype or x.dtype)


def _linear_forward(x: Array, matrix: Array, dtype: str | None) -> tuple[Array, Any]:
    return _linear(x, matrix, dtype), (x, matrix)


def _linear_backward(dtype: str | None, saved: Any, gradient: Array) -> tuple[Array, Array]:
    del dtype  # only the result has it
    x, matrix = saved
    gradient = gradient.astype(x.dtype)
    rows, wide = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])

    def over_rows(left: Array, right: Array) -> Array:
        contract = (((0,), (0,)), ((), ()))
        return jax.lax.dot_general(left, right, contract, preferred_element_type=matrix.dtype)

    if matrix.shape[0] <= matrix.shape[1]:
        change = over_rows(rows, wide)
    else:
        # The product is faster with its longer side last; the barrier keeps XLA from undoing it.
        change = jax.lax.optimization_barrier(over_rows(wide, rows)).T
    return gradient @ matrix.astype(gradient.dtype).T, change


_linear.defvjp(_linear_forward, _linear_backward)


@jax.custom_vjp
def _take(table: Float[Array, "vocab d"], tokens: Int[Array, "*n"]) -> Float[Array, "*n d"]:
    return table[tokens]


def _take_forward(table: Array, tokens: Array) -> tuple[Array, tuple[Array, Array]]:
    return table[tokens], (table, tokens)


def _take_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, None]:
    table, tokens = saved

    def scatter(places: Array, rows: Array) -> Array:
        return jnp.zeros_like(table).at[places].add(rows)

    def product(places: Array, rows: Array) -> Array:
        return jax.nn.one_hot(places, table.shape[0], dtype=rows.dtype).T @ rows

    flat = tokens.reshape(-1), gradient.reshape(-1, gradient.shape[-1])
    return jax.lax.platform_dependent(*flat, cpu=scatter, default=product), None


_take.defvjp(_take_forward, _take_backward)
