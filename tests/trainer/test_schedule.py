"""The course of the learning rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counted_rows import small_config

from t2jax.trainer import schedule
from t2jax.trainer.config import ModelConfig, TrainConfig
from t2jax.trainer.schedule import Plan, rate


def course(plan: Plan, shape: str = "wsd", steps: int | None = None) -> np.ndarray:
    stop = plan.stop if steps is None else steps
    return np.asarray(jax.vmap(lambda step: rate(step, plan, shape))(jnp.arange(stop)))


def test_wsd_rises_rests_and_falls_to_zero():
    rates = course(Plan(10, 80, 100))
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10, rtol=1e-6)
    assert (rates[10:81] == 1).all()
    np.testing.assert_allclose(rates[80:], np.arange(20, 0, -1) / 20, rtol=1e-6)
    assert float(rate(100, Plan(10, 80, 100))) == 0


def test_a_trunk_and_its_branch_agree_until_the_branch_decays():
    trunk = course(schedule.trunk(10), steps=200)
    branch = course(schedule.branch(10, 150, 200))
    assert (trunk[10:] == 1).all()
    assert (branch[:151] == trunk[:151]).all()
    assert (np.diff(branch[150:]) < 0).all()


def test_cosine_ends_at_a_tenth_and_is_half_way_in_the_middle():
    rates = course(Plan(1, 0, 1000), "cosine")
    assert rates[0] == pytest.approx(1.0)
    assert rates[500] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=1e-4)
    assert (np.diff(rates) <= 0).all()


def test_linear_falls_from_the_end_of_the_rise():
    run = TrainConfig(
        model=ModelConfig(d_model=8),
        tokens=6400,
        batch_rows=1,
        warmup_tokens=640.0,
        schedule="linear",
    )
    plan = schedule.plan(run, 64.0)
    assert plan == Plan(10, 10, 100)
    rates = course(plan)
    assert rates.argmax() in (9, 10)
    np.testing.assert_allclose(np.diff(rates[10:]), -1 / 90, rtol=1e-4)


def test_large_step_numbers_keep_their_differences():
    start = 2**25
    plan = Plan(10, start, start + 4)
    rates = [float(rate(start + i, plan)) for i in range(5)]
    assert rates == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_a_plan_ends_where_the_config_says():
    config = small_config(cooldown=0.25)
    plan = schedule.plan(config, 12.0)
    assert (plan.decay_start, plan.stop) == (18, 24)
    assert plan.stop == config.steps(12.0)


@pytest.mark.parametrize("name", ["wsd", "cosine", "linear"])
def test_one_step_is_a_run_with_a_rate_above_zero(name: str):
    config = small_config(tokens=1, schedule=name)
    plan = schedule.plan(config, 12.0)
    assert plan.stop == 1
    assert float(rate(0, plan, name)) > 0


def test_no_cooldown_keeps_the_rate():
    plan = schedule.plan(small_config(cooldown=0.0), 12.0)
    assert (course(plan)[int(plan.warmup) :] == 1).all()


def test_a_plan_may_be_traced():
    traced = jax.jit(rate)(3, Plan(jnp.int32(10), jnp.int32(80), jnp.int32(100)))
    assert float(traced) == pytest.approx(0.4)
