"""Many sampled answers to each question, with keys and values of the prompt computed once."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from t2jax.errors import InputError
from t2jax.trainer import model
from t2jax.trainer.config import ModelConfig
from t2jax.trainer.model import Params

__all__ = ["Samples", "sample"]

SAMPLES_PER_CALL = 64
"""More samples of a question in one call save nothing, fewer repeat the prompt."""

ROWS_PER_CALL = 4096
"""Samples that advance together; their keys and values should stay near the processor."""

GROUP = 8
"""Probabilities are summed in groups of this size before one is drawn."""


class Samples(NamedTuple):
    """Sampled answers.

    Attributes:
      tokens: the answers, the stop token included, 0 behind it.
      log_probs: log-probability of each answer under the model itself, at temperature 1 and
        without truncation, its stop token included, in nats.
      lengths: tokens of each answer, the stop token included; `max_new` where it did not stop.
    """

    tokens: Int[np.ndarray, "questions samples max_new"]
    log_probs: Float[np.ndarray, "questions samples"]
    lengths: Int[np.ndarray, "questions samples"]


def sample(
    params: Params,
    config: ModelConfig,
    prompts: Int[np.ndarray, "questions prompt"],
    prompt_lengths: Int[np.ndarray, " questions"],
    *,
    samples: int,
    max_new: int,
    key: Array,
    temperature: float = 1.0,
    top_p: float = 1.0,
    stop: int = 2,
) -> Samples:
    """Independent answers to each question.

    A token is drawn from `softmax(logits / temperature)`, cut down to the smallest set of most
    likely tokens that holds at least `top_p` of the probability (arXiv:1904.09751). The answers
    of a question depend on the key, its position and `samples`, not on the other questions.

    Args:
      params: from `model.initialise` or a checkpoint.
      config: shape of the model.
      prompts: token of each place, left-aligned.
      prompt_lengths: tokens of each prompt, at least 1; what lies behind is never seen.
      samples: answers per question, k.
      max_new: tokens after which an answer is cut off.
      key: from `jax.random.key`.
      temperature: 0 always takes the most likely token.
      top_p: in (0, 1]; 1 keeps every token.
      stop: token that ends an answer.

    Returns:
      The answers, as NumPy arrays.

    Raises:
      InputError: a number is out of its range.

    >>> config = ModelConfig(d_model=8)
    >>> params = model.initialise(config, jax.random.key(0))
    >>> prompts, lengths = np.array([[1, 9, 3]]), np.array([3])
    >>> key = jax.random.key(1)
    >>> sample(params, config, prompts, lengths, samples=5, max_new=4, key=key).tokens.shape
    (1, 5, 4)
    """
    prompts, prompt_lengths = np.asarray(prompts, np.int32), np.asarray(prompt_lengths, np.int32)
    _check(prompts, prompt_lengths, samples, max_new, temperature, top_p)
    # Even shares, so that one program serves every call and little is drawn to be thrown away.
    blocks = math.ceil(samples / SAMPLES_PER_CALL)
    per_call = math.ceil(samples / blocks)
    questions = len(prompts)
    shares = math.ceil(questions * per_call / ROWS_PER_CALL)
    share = math.ceil(questions / shares)
    order = np.minimum(np.arange(shares * share), questions - 1)
    call = functools.partial(
        _draw, config=config, samples=per_call, max_new=max_new, stop=stop,
        greedy=temperature == 0, tempered=temperature not in (0, 1), truncated=top_p < 1,
    )  # fmt: skip
    found = []
    for start in range(0, shares * share, share):
        rows = order[start : start + share]
        asked = params, prompts[rows], prompt_lengths[rows], rows
        parts = [
            call(*asked, jax.random.fold_in(key, block), max(temperature, 1e-6), top_p)
            for block in range(blocks)
        ]
        found.append(
            [np.concatenate(part, axis=1)[:, :samples] for part in zip(*parts, strict=True)]
        )
    return Samples(*(np.concatenate(part)[:questions] for part in zip(*found, strict=True)))


def _check(prompts, prompt_lengths, samples, max_new, temperature, top_p) -> None:
    if not len(prompts):
        raise InputError("there is no question", remedy="give at least one prompt")
    if prompt_lengths.min() < 1 or prompt_lengths.max() > prompts.shape[1]:
        raise InputError(
            f"a prompt is said to have {prompt_lengths.min()} to {prompt_lengths.max()} tokens",
            remedy=f"give lengths from 1 to {prompts.shape[1]}, the width of `prompts`",
        )
    for name, value in (("samples", samples), ("max_new", max_new)):
        if value < 1:
            raise InputError(f"{name} is {value}", remedy="give a whole number of at least 1")
    if not temperature >= 0:
        raise InputError(f"temperature is {temperature}", remedy="give 0 or a positive number")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p is {top_p}", remedy="give a number above 0 and up to 1")


@functools.partial(
    jax.jit,
    static_argnames=("config", "samples", "max_new", "stop", "greedy", "tempered", "truncated"),
)
def _draw(
    params, prompts, prompt_lengths, numbers, key, temperature, top_p,
    *, config, samples, max_new, stop, greedy, tempered, truncated,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Samples of one share of the questions; `numbers` are their positions among all."""
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)
    uniforms = jax.vmap(lambda key: jax.random.uniform(key, (max_new, samples)))(keys)
    uniforms = jnp.moveaxis(uniforms, 1, 0)

    def choose(logits: Array, place: Array | int) -> tuple[Array, Array]:
        if greedy:
            token = jnp.argmax(logits, axis=-1)
        else:
            scores = logits / temperature if tempered else logits
            token = _pick(scores, uniforms[place], top_p if truncated else None)
        chosen = jnp.take_along_axis(logits, token[..., None], axis=-1)[..., 0]
        return token, chosen - jax.nn.logsumexp(logits, axis=-1)

    # The prompt's keys and values are shared by the samples of a question.
    x, shared = model.run_blocks(params, config, model.embed(params, config, prompts), keep=True)
    assert shared is not None
    last = jnp.take_along_axis(x, (prompt_lengths - 1)[:, None, None], axis=1)
    logits = model.project(params, config, last)
    shape = (len(prompts), samples)
    token, log_prob = choose(jnp.broadcast_to(logits, (*shape, config.vocab_size)), 0)
    seen = jnp.arange(prompts.shape[1]) < prompt_lengths[:, None]
    own_shape = (config.n_layers, max(max_new - 1, 1), *shape, config.n_heads, config.head_width)
    own = (jnp.zeros(own_shape, x.dtype), jnp.zeros(own_shape, x.dtype))
    tokens = jnp.zeros((max_new, *shape), jnp.int32).at[0].set(token)

    def unfinished(state) -> Bool[Array, ""]:
        place, _, done, *_ = state
        return (place < max_new) & ~jnp.all(done)

    def advance(state):
        place, tokens, done, total, lengths, own = state
        x = model.embed(params, config, tokens[place - 1])
        positions = (prompt_lengths + place - 1)[:, None, None]
        x, own = _decode(params, config, x, positions, shared, seen, own, place - 1)
        token, log_prob = choose(model.project(params, config, x), place)
        tokens = tokens.at[place].set(jnp.where(done, 0, token))
        total = total + jnp.where(done, 0.0, log_prob)
        lengths = lengths + ~done
        return place + 1, tokens, done | (token == stop), total, lengths, own

    ones = jnp.ones(shape, jnp.int32)
    state = (jnp.int32(1), tokens, token == stop, log_prob, ones, own)
    _, tokens, _, total, lengths, _ = jax.lax.while_loop(unfinished, advance, state)
    return jnp.moveaxis(tokens, 0, -1), total, lengths


def _decode(
    params: Params,
    config: ModelConfig,
    x: Float[Array, "questions samples d"],
    positions: Int[Array, "questions 1 1"],
    shared: tuple[Array, Array],
    seen: Bool[Array, "questions prompt"],
    own: tuple[Array, Array],
    place: Int[Array, ""],
) -> tuple[Float[Array, "questions samples d"], tuple[Array, Array]]:
    """One token further: the stream behind the last block, and the samples' keys and values.

    Args:
      params: from `model.initialise`.
      config: shape of the model.
      x: embedded tokens.
      positions: where in its document the token stands.
      shared: keys and values of the prompts, `[layers, questions, prompt, heads, h]`.
      seen: which places of the prompts there are.
      own: keys and values of what was sampled, `[layers, place, questions, samples, heads, h]`.
      place: how many tokens were sampled before this one.
    """
    turn = model.rotary(positions, config)
    keys, values = own
    prompt_bias = jnp.where(seen, 0.0, -jnp.inf)[:, None, None, :]
    own_bias = jnp.where(jnp.arange(keys.shape[1]) <= place, 0.0, -jnp.inf)
    for layer in range(config.n_layers):
        block = jax.tree.map(lambda leaf, layer=layer: leaf[layer], params["blocks"])
        query, key, value = model.heads(x, block, config, turn)
        keys = jax.lax.dynamic_update_slice(keys, key[None, None], (layer, place, 0, 0, 0, 0))
        values = jax.lax.dynamic_update_slice(values, value[None, None], (layer, place, 0, 0, 0, 0))
        wide = {"preferred_element_type": jnp.float32}
        first = jnp.einsum("qsnh,qpnh->qsnp", query, shared[0][layer], **wide) + prompt_bias
        # Written as a product on purpose: as a sum over `query * keys`, jaxlib 0.10.2 on a CPU
        # returns wrong numbers from 32,769 sums on; compare jax-ml/jax issue 39103.
        second = jnp.einsum("qsnh,tqsnh->tqsn", query, keys[layer], **wide)
        second = jnp.moveaxis(second, 0, -1) + own_bias
        top = jnp.maximum(first.max(axis=-1), second.max(axis=-1))[..., None]
        first, second = jnp.exp(first - top), jnp.exp(second - top)
        scale = 1.0 / (first.sum(axis=-1) + second.sum(axis=-1))[..., None]
        mixed = jnp.einsum("qsnp,qpnh->qsnh", first.astype(x.dtype), shared[1][layer], **wide)
        second = jnp.moveaxis(second, -1, 0).astype(x.dtype)
        mixed = mixed + jnp.einsum("tqsn,tqsnh->qsnh", second, values[layer], **wide)
        mixed = (mixed * scale).astype(x.dtype)
        x = model.finish(x, mixed.reshape(x.shape), block)
    return x, (keys, values)


def _pick(
    scores: Float[Array, "*n vocab"], uniform: Float[Array, "*n"], top_p: Array | None
) -> Int[Array, "*n"]:
    """The token at which the cumulated probability passes `uniform`."""
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
    if top_p is None:
        return _invert(weights, uniform * weights.sum(axis=-1))
    order = jnp.argsort(-weights, axis=-1, stable=True)
    weights = jnp.take_along_axis(weights, order, axis=-1)
    before = jnp.cumsum(weights, axis=-1) - weights
    weights = jnp.where(before < top_p * weights.sum(axis=-1, keepdims=True), weights, 0.0)
    rank = _invert(weights, uniform * weights.sum(axis=-1))
    return jnp.take_along_axis(order, rank[..., None], axis=-1)[..., 0]


def _invert(weights: Float[Array, "*n vocab"], level: Float[Array, "*n"]) -> Int[Array, "*n"]:
    """First index whose cumulated weight exceeds the level: first its group, then its place.

    Two short sums stand for one long one, which XLA runs slowly on a CPU.
    """
    spare = -weights.shape[-1] % GROUP
    weights = jnp.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, spare)])
    groups = weights.reshape(*weights.shape[:-1], -1, GROUP)
    passed = jnp.cumsum(groups.sum(axis=-1), axis=-1)
    group = jnp.sum(passed <= level[..., None], axis=-1, keepdims=True)
    group = jnp.minimum(group, groups.shape[-2] - 1)
    below = jnp.take_along_axis(passed, jnp.maximum(group - 1, 0), axis=-1)
    left = level - jnp.where(group > 0, below, 0.0)[..., 0]
    inside = jnp.take_along_axis(groups, group[..., None], axis=-2)[..., 0, :]
    place = jnp.sum(jnp.cumsum(inside, axis=-1) <= left[..., None], axis=-1)
    # Rounding may push the level to the very end of the group: stay on a token that has weight.
    final = GROUP - 1 - jnp.argmax((inside > 0)[..., ::-1], axis=-1)
    return group[..., 0] * GROUP + jnp.minimum(place, final)
