"""What the decoder sees, and that its hand-written gradients are the gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import test_util

from t2jax.trainer import model
from t2jax.trainer.batches import Batch
from t2jax.trainer.config import ModelConfig

CONFIG = ModelConfig(d_model=8, n_layers=2, head_dim=4, vocab_size=16, seq_len=12)
apply = jax.jit(model.apply, static_argnums=1)
loss = jax.jit(model.loss, static_argnums=1, static_argnames=("answers_only", "z_loss"))


def gradient_of_loss(params, config, batch):
    """Traced anew at every call, so that a patched module takes effect."""
    function = jax.value_and_grad(lambda p, b: model.loss(p, config, b)[0])
    return jax.jit(function)(params, batch)


@pytest.fixture(scope="module")
def params() -> model.Params:
    return model.initialise(CONFIG, jax.random.key(0))


def packed(rows: int = 3, seed: int = 0, config: ModelConfig = CONFIG) -> Batch:
    """Rows of documents of random lengths, the last places of each row padding."""
    rng = np.random.default_rng(seed)
    shape = (rows, config.seq_len)
    segments = 1 + np.cumsum(rng.random(shape) < 0.3, axis=1).astype(np.int32)
    segments[:, -2:] = 0
    tokens = np.where(segments > 0, rng.integers(1, config.vocab_size, shape), 0).astype(np.int32)
    return Batch(tokens, segments, (rng.random(shape) < 0.5) & (segments > 0))


def test_a_place_sees_exactly_what_came_before_it_in_its_document(params):
    batch = packed(rows=1)
    x = model.embed(params, CONFIG, jnp.asarray(batch.tokens))
    weights = jax.random.normal(jax.random.key(1), (CONFIG.vocab_size,))

    def one_number_per_place(x):
        stream, _ = model.run_blocks(params, CONFIG, x, jnp.asarray(batch.segments))
        return model.project(params, CONFIG, stream)[0] @ weights

    moved = np.abs(jax.jit(jax.jacrev(one_number_per_place))(x)[:, 0]).max(axis=-1)
    place = np.arange(CONFIG.seq_len)
    segments = batch.segments[0]
    visible = (place[:, None] >= place) & (segments[:, None] == segments)
    assert len(set(segments)) > 2
    assert (moved[~visible] == 0).all()
    assert (moved[visible] > 0).all()


def test_a_document_has_the_same_logits_wherever_it_stands(params):
    document = np.array([1, 5, 9, 3, 2])
    tokens = np.full((1, CONFIG.seq_len), 7)
    tokens[0, 6:11] = document
    segments = np.where((np.arange(CONFIG.seq_len) >= 6) & (np.arange(CONFIG.seq_len) < 11), 2, 1)
    alone = apply(params, CONFIG, jnp.asarray(document[None]))
    within = apply(params, CONFIG, jnp.asarray(tokens), jnp.asarray(segments[None]))
    np.testing.assert_allclose(within[0, 6:11], alone[0], atol=2e-5)


@pytest.mark.parametrize("answers_only", [False, True])
def test_loss_is_the_mean_over_the_mask_in_plain_numpy(params, answers_only):
    batch = packed()
    total, found = loss(params, CONFIG, batch, answers_only=answers_only, z_loss=0.01)
    logits = np.asarray(
        apply(params, CONFIG, jnp.asarray(batch.tokens), jnp.asarray(batch.segments)),
        np.float64,
    )
    entropies, pulls = [], []
    for row in range(len(batch.tokens)):
        for place in range(CONFIG.seq_len - 1):
            segment, following = batch.segments[row, place : place + 2]
            if segment != following or following == 0:
                continue
            if answers_only and not batch.answers[row, place + 1]:
                continue
            normaliser = np.log(np.exp(logits[row, place]).sum())
            entropies.append(normaliser - logits[row, place, batch.tokens[row, place + 1]])
            pulls.append(normaliser**2)
    assert found["tokens"] == len(entropies) > 3
    assert found["tokens"].dtype == jnp.int32
    assert found["loss"] == pytest.approx(np.mean(entropies), rel=1e-5)
    assert total == pytest.approx(np.mean(entropies) + 0.01 * np.mean(pulls), rel=1e-5)


def test_padding_and_a_batch_without_loss_tokens_change_nothing(params):
    batch = packed()
    other = batch._replace(tokens=np.where(batch.segments > 0, batch.tokens, 9))
    assert model.loss(params, CONFIG, batch)[0] == loss(params, CONFIG, other)[0]
    empty = batch._replace(segments=np.zeros_like(batch.segments))
    total, gradient = gradient_of_loss(params, CONFIG, empty)
    assert loss(params, CONFIG, empty)[1]["tokens"] == 0
    assert total == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)], ids=["wide", "tall"])
def test_gradient_of_linear_agrees_with_finite_differences(shape):
    rng = np.random.default_rng(0)
    x, matrix = rng.normal(size=(2, 3, shape[0])), rng.normal(size=shape)
    test_util.check_grads(
        model.linear, (jnp.float32(x), jnp.float32(matrix)), order=1, modes=["rev"]
    )


@pytest.mark.parametrize("accelerator", [False, True])
def test_gradient_of_the_embedding_agrees_with_that_of_indexing(params, monkeypatch, accelerator):
    if accelerator:
        monkeypatch.setattr(
            jax.lax, "platform_dependent", lambda *args, cpu, default: default(*args)
        )
    tokens = jnp.asarray(packed().tokens)
    weights = jax.random.normal(jax.random.key(2), (*tokens.shape, CONFIG.d_model))
    ours = jax.grad(
        lambda p: jnp.sum(weights * model.embed(p, CONFIG, tokens))
    )(params)["embedding"]  # fmt: skip
    plain = jax.grad(lambda table: jnp.sum(weights * table[tokens]))(params["embedding"])
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


def test_layers_in_a_loop_equal_layers_unrolled(monkeypatch):
    config = dataclasses.replace(CONFIG, n_layers=3)
    params = model.initialise(config, jax.random.key(0))
    batch = packed()
    results = []
    for most in (4, 0):
        monkeypatch.setattr(model, "MAX_UNROLLED", most)
        results.append(gradient_of_loss(params, config, batch))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *results)


def test_bfloat16_loss_is_within_one_percent_and_its_gradients_are_float32(params):
    narrow = dataclasses.replace(CONFIG, compute_dtype="bfloat16")
    batch = packed(rows=16)
    wide = float(loss(params, CONFIG, batch)[1]["loss"])
    value, gradient = gradient_of_loss(params, narrow, batch)
    assert loss(params, narrow, batch)[1]["loss"] == pytest.approx(wide, rel=0.01)
    assert apply(params, narrow, jnp.asarray(batch.tokens)).dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves((value, gradient))} == {jnp.dtype("float32")}


def test_an_untrained_model_knows_nothing(params):
    found = loss(params, CONFIG, packed(rows=32))[1]["loss"]
    assert found == pytest.approx(np.log(CONFIG.vocab_size), rel=0.1)


def test_the_tree_is_the_module_and_decay_acts_on_matrices_only(params):
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    decayed = model.decay_mask(params)
    assert decayed["blocks"] == {
        name: name in ("qkv", "out", "up", "down") for name in params["blocks"]
    }
    others = {name: value for name, value in decayed.items() if name != "blocks"}
    assert others == {"embedding": False, "final_norm": False, "head": True}
    tokens = jnp.asarray(packed().tokens)
    logits = jax.jit(
        lambda key: model.Decoder(CONFIG, rngs=nnx.Rngs(key))(tokens)
    )(jax.random.key(0))  # fmt: skip
    np.testing.assert_allclose(logits, apply(params, CONFIG, tokens), atol=1e-6)


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    query, key = jax.random.normal(jax.random.key(3), (2, CONFIG.head_width))

    def product(first: int, second: int) -> float:
        turned = [
            model.rotate(x, *model.rotary(jnp.array(at), CONFIG))
            for x, at in ((query, first), (key, second))
        ]
        assert jnp.linalg.norm(turned[0]) == pytest.approx(float(jnp.linalg.norm(query)), rel=1e-5)
        return float(turned[0] @ turned[1])

    assert product(9, 4) == pytest.approx(product(25, 20), abs=1e-5)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-3)


@pytest.mark.parametrize("way", ["remat", "fused"])
def test_other_ways_to_compute_are_the_same_model(params, way, monkeypatch):
    batch = packed(rows=4)

    def gradient(remat: bool):
        function = jax.value_and_grad(lambda p: model.loss(p, CONFIG, batch, remat=remat)[0])
        return jax.jit(function)(params)

    value, plain = gradient(False)
    if way == "fused":
        monkeypatch.setattr(model, "FUSED_FROM", 1)
    again, other = gradient(way == "remat")
    assert float(again) == pytest.approx(float(value), rel=1e-5)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
