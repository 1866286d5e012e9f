"""The shape of a model and of a run: rules, refusals, and what they leave out."""

import dataclasses

import pytest

from t2jax.errors import InputError
from t2jax.trainer.config import (
    LEAST_STEPS,
    ModelConfig,
    TrainConfig,
    default_batch_tokens,
    default_learning_rate,
    default_warmup_tokens,
)

MODEL = ModelConfig(d_model=32)


def test_three_ways_to_say_the_same_length():
    params = MODEL.params
    by_tokens = TrainConfig(model=MODEL, tokens=50 * params)
    by_ratio = TrainConfig(model=MODEL, tokens_per_param=50)
    by_flops = TrainConfig(model=MODEL, train_flops=6.0 * params * 50 * params)
    targets = {run.target_tokens for run in (by_tokens, by_ratio, by_flops)}
    assert targets == {50.0 * params}


@pytest.mark.parametrize("given", [{}, {"tokens": 1e6, "train_flops": 1e12}])
def test_the_length_is_given_once(given: dict):
    with pytest.raises(InputError, match="one of tokens, train_flops, tokens_per_param"):
        TrainConfig(model=MODEL, **given)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", 0),
        ("tokens", float("nan")),
        ("tokens", float("inf")),
        ("learning_rate", -1.0),
        ("batch_rows", 0),
        ("chunk", 0),
        ("fsdp", 0),
        ("clip", 0.0),
        ("beta2", 1.0),
        ("cooldown", -0.1),
        ("weight_decay", -1e-4),
        ("warmup_tokens", -1.0),
        ("schedule", "step"),
        ("seed", -1),
        ("seed", 2**31),
    ],
)
def test_a_field_out_of_range_is_named(field: str, value: object):
    with pytest.raises(InputError, match=field if field != "tokens" else "tokens is"):
        TrainConfig(**{"model": MODEL, "tokens": 1e6, field: value})


@pytest.mark.parametrize(
    "fields", [{"d_model": 0}, {"d_model": 24, "head_dim": 16}, {"d_model": 3}, {"d_model": 8.5}]
)
def test_an_impossible_shape_is_refused(fields: dict):
    with pytest.raises(InputError):
        ModelConfig(**fields)


def test_a_batch_divides_among_devices_and_parts():
    TrainConfig(model=MODEL, tokens=1e6, batch_rows=24, accumulate=3, data=2, fsdp=4)
    with pytest.raises(InputError, match="multiple of 24"):
        TrainConfig(model=MODEL, tokens=1e6, batch_rows=32, accumulate=3, data=2, fsdp=4)
    ruled = TrainConfig(model=MODEL, tokens=1e6, accumulate=3, data=2, fsdp=4).filled(60.0)
    assert ruled.batch_rows == 24


def test_the_rate_falls_with_width_and_is_capped():
    rates = [default_learning_rate(ModelConfig(d_model=d)) for d in (4, 8, 16, 32, 64)]
    assert rates[:2] == [0.03, 0.03]
    assert rates[2:] == [0.35 / 16, 0.35 / 32, 0.35 / 64]


def test_the_batch_grows_as_the_two_thirds_power_of_the_size():
    small, large = ModelConfig(d_model=32), ModelConfig(d_model=128)
    growth = default_batch_tokens(large) / default_batch_tokens(small)
    assert growth == pytest.approx((large.params / small.params) ** (2 / 3))
    # 512 rows of 160 tokens at 108M parameters
    reference = default_batch_tokens(small) * (108e6 / small.params) ** (2 / 3)
    assert reference == pytest.approx(512 * 160)
    assert default_batch_tokens(ModelConfig(d_model=8)) == 256


def test_a_short_run_has_a_small_batch_and_steps_enough():
    assert default_batch_tokens(MODEL, 1e5) * LEAST_STEPS == pytest.approx(1e5)
    run = TrainConfig(model=MODEL, tokens=1e6)
    assert run.steps(5.0) == pytest.approx(1e6 / default_batch_tokens(MODEL), rel=0.02)
    assert dataclasses.replace(run, tokens=1e5).steps(5.0) == LEAST_STEPS


def test_warmup_never_eats_a_short_run():
    assert default_warmup_tokens(MODEL, 1e9) == MODEL.params
    assert default_warmup_tokens(MODEL, 1e5) == 5e3


def test_filling_keeps_what_was_given_and_settles():
    run = TrainConfig(model=MODEL, tokens=1e6, learning_rate=0.5, batch_rows=3, warmup_tokens=0.0)
    assert run.filled(60.0) == run
    ruled = TrainConfig(model=MODEL, tokens=1e6).filled(60.0)
    assert None not in (ruled.batch_rows, ruled.learning_rate, ruled.warmup_tokens)
    assert ruled.filled(99.0) == ruled


def test_steps_reach_the_target_and_do_not_overshoot_by_a_step():
    run = TrainConfig(model=MODEL, tokens=100_001, batch_rows=10)
    steps = run.steps(50.0)
    assert (steps - 1) * 500 < 100_001 <= steps * 500


def test_configs_are_frozen_and_hash_by_value():
    run = TrainConfig(model=MODEL, tokens=1e6)
    assert hash(run) == hash(dataclasses.replace(run))
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.seed = 1  # pyright: ignore[reportAttributeAccessIssue]
