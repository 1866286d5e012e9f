"""The formulas against the real tree and the real program."""

import dataclasses
import math

import jax
import jax.core
import jax.numpy as jnp
import pytest
from jax.extend import core

from t2jax.trainer import count, model
from t2jax.trainer.config import ModelConfig

CONFIGS = [
    ModelConfig(d_model=4),
    ModelConfig(d_model=32, n_layers=1),
    ModelConfig(d_model=24, n_layers=6, head_dim=8, mlp_ratio=3, vocab_size=40, seq_len=16),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"d{config.d_model}")
def test_counts_are_those_of_the_tree(config):
    shapes = jax.eval_shape(lambda: model.initialise(config, jax.random.key(0)))
    sizes = {
        path[-1].key: math.prod(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
    found = count.counts(config)
    assert found.total == sum(sizes.values())
    assert found.matrices == sum(sizes[name] for name in model.MATRICES)
    assert found.head == sizes["head"]
    assert found.embedding == sizes["embedding"]
    assert found.norms == sum(size for name, size in sizes.items() if name.endswith("norm"))
    assert found.params == config.params
    assert found.non_embedding == found.total - found.head - found.embedding


def flops_of_products(jaxpr) -> int:
    """FLOPs of every `dot_general` of a traced program, those of inner programs included."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contract, _), _ = equation.params["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contract)
            total += 2 * inner * math.prod(equation.outvars[0].aval.shape)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        if equation.primitive.name == "cond":
            # The only choice in the program is by platform; a CPU's branch has no product.
            continue
        total += times * sum(map(flops_of_products, core.jaxprs_in_params(equation.params)))
    return total


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"d{config.d_model}")
def test_flops_are_those_of_the_matrix_products_of_the_program(config):
    params = jax.eval_shape(lambda: model.initialise(config, jax.random.key(0)))
    tokens = jnp.ones((2, config.seq_len), jnp.int32)
    places = tokens.size

    def loss(params, tokens):
        return model.apply(params, config, tokens, tokens).sum()

    forward = jax.make_jaxpr(loss)(params, tokens)
    assert flops_of_products(forward.jaxpr) == places * count.forward_flops(config)
    training = jax.make_jaxpr(jax.grad(loss))(params, tokens)
    assert flops_of_products(training.jaxpr) == places * count.train_flops(config)


def test_the_compiled_program_adds_elementwise_work_and_nothing_more():
    # XLA also counts normalisation, softmax, rotation and activation, which shrink beside the
    # products as the model widens.
    excess = []
    for width in (16, 128):
        config = ModelConfig(d_model=width)
        params = jax.eval_shape(lambda config=config: model.initialise(config, jax.random.key(0)))
        tokens = jax.ShapeDtypeStruct((2, config.seq_len), jnp.int32)
        program = jax.jit(model.apply, static_argnums=1).lower(params, config, tokens).compile()
        costs = program.cost_analysis()
        assert costs is not None
        flops = costs["flops"] / (2 * config.seq_len)
        excess.append(flops / count.forward_flops(config) - 1)
    assert 0 < excess[1] < 0.05 < excess[0] < 0.25


def test_causal_flops_are_those_of_the_visible_half():
    config = ModelConfig(d_model=16, seq_len=100)
    visible = sum(place + 1 for place in range(100)) / 100
    attention = count.forward_flops(config, causal=True) - 2 * config.params
    assert attention == 4 * visible * config.n_layers * config.d_model
    longer = dataclasses.replace(config, seq_len=7)
    assert count.train_flops(longer) == count.train_flops(config, 7)
    assert count.train_flops(config, causal=True) < count.train_flops(config)
