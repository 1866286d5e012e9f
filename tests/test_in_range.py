"""The best plan within the data: each range, and each cap, stops it just where it should."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax.hull import Hull
from t2jax.laws import Additive, BetaMonotone, Law, predict
from t2jax.planning.rivals.in_range import inside

LAW = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
TRAIN = 6e20
WIDE = Hull(
    params=(1e6, 1e12), tokens=(1e6, 1e14), samples=(1.0, 1e9), tokens_per_param=(1e-3, 1e6),
    train_flops=(1e15, 1e25),
)  # fmt: skip


def plan(budget: t2.Budget, law: Law = LAW, **ranges: tuple[float, float]) -> t2.Optimum:
    empty = jax.tree.map(lambda _: np.zeros(0), law)
    hull = dataclasses.replace(WIDE, **ranges)
    found = inside(t2.Ensemble(law=empty, point=law, kind="point", hull=hull), budget)
    assert found is not None
    return found


def test_where_no_range_binds_it_is_the_optimum():
    free = plan(t2.Budget(train_flops=TRAIN))
    # N* = G (C/6)^(beta/(alpha+beta)), G^(alpha+beta) = alpha A/(beta B).
    size = (0.336 * 406.4 / (0.283 * 410.7) * (TRAIN / 6) ** 0.283) ** (1 / 0.619)
    assert float(free.params) == pytest.approx(size, rel=5e-3)  # a step of the grid
    assert 10 < float(free.tokens_per_param) < 100


@pytest.mark.parametrize(
    ("name", "given", "end"),
    [
        ("tokens_per_param", (1.0, 10.0), 10.0),
        ("tokens_per_param", (100.0, 1e4), 100.0),
        ("params", (1e6, 1e9), 1e9),
        ("params", (9e9, 1e12), 9e9),
        ("tokens", (1e6, 2e10), 2e10),
        ("tokens", (2e11, 1e13), 2e11),
    ],
)
def test_a_range_that_binds_is_met_at_its_end(name, given, end):
    found = plan(t2.Budget(train_flops=TRAIN), **{name: given})
    assert float(getattr(found, name)) == pytest.approx(end, rel=1e-9)
    assert float(found.train_flops) == pytest.approx(TRAIN)


def test_caps_of_the_budget_bind_as_the_ranges_do():
    walled = plan(t2.Budget(train_flops=TRAIN, max_tokens=2e10))
    assert float(walled.tokens) == pytest.approx(2e10, rel=1e-9)
    capped = plan(t2.Budget(train_flops=TRAIN, max_params=5e8))
    assert float(capped.params) == pytest.approx(5e8, rel=1e-9)


def test_a_law_of_accuracy_is_made_as_large_as_it_can_be():
    law = BetaMonotone(loss=LAW, a0=1.0, a1=0.8, b0=-1.0, b1=1.0)
    found = plan(t2.Budget(train_flops=TRAIN, inference_flops=1e12), law)
    for factor in (0.5, 2.0):
        n = float(found.params) * factor
        assert float(found.value) > float(predict(law, n, TRAIN / 6 / n, 1e12 / 2 / n))


SERVED: dict[str, Any] = {"questions": 1e9, "tokens_per_sample": 1e3}
PASSES = BetaMonotone(loss=LAW, a0=1.0, a1=0.8, b0=-1.0, b1=1.0)
TIGHT = {"params": (1e8, 3e9), "tokens_per_param": (5.0, 60.0), "samples": (1.0, 8.0)}


def tried(rng):
    """Plans in those ranges at random; k as they come."""
    params = np.exp(rng.uniform(*np.log(TIGHT["params"]), 200_000))
    ratio = np.exp(rng.uniform(*np.log(TIGHT["tokens_per_param"]), 200_000))
    return params, params * ratio, np.exp(rng.uniform(*np.log(TIGHT["samples"]), 200_000))


@pytest.mark.parametrize("law", [LAW, PASSES], ids=["loss", "pass"])
def test_under_one_budget_for_everything_no_plan_in_range_is_better(law):
    found = plan(t2.Budget(total_flops=1e22, **SERVED), law, **TIGHT)
    params, tokens, samples = tried(np.random.default_rng(0))
    samples = samples if law is PASSES else np.ones_like(params)
    paid = 6 * params * tokens + 1e12 * 2 * params * samples
    values = np.asarray(predict(law, params, tokens, samples))[paid <= 1e22]
    best = values.max() if law is PASSES else values.min()
    assert (float(found.value) - best) * (1 if law is PASSES else -1) > 0
    assert float(found.value) == pytest.approx(best, rel=0.02)  # of so many tried
    assert float(found.spent) <= 1e22 * (1 + 1e-6)
    for name, (low, high) in TIGHT.items():
        assert low * (1 - 1e-6) <= float(getattr(found, name)) <= high * (1 + 1e-6)


def test_at_a_target_no_plan_in_range_reaches_it_for_less():
    found = plan(t2.Budget(target_pass_at_k=0.25, **SERVED), PASSES, **TIGHT)
    params, tokens, samples = tried(np.random.default_rng(1))
    paid = 6 * params * tokens + 1e12 * 2 * params * samples
    values = np.asarray(predict(PASSES, params, tokens, samples))
    assert float(found.value) == pytest.approx(0.25, abs=1e-6)
    assert 0.95 < float(found.spent) / paid[values >= 0.25].min() < 1.0
    assert found.goal == "target_pass_at_k"


def test_where_no_plan_in_range_pays_for_itself_there_is_none():
    empty = jax.tree.map(lambda _: np.zeros(0), LAW)
    model = t2.Ensemble(law=empty, point=LAW, kind="point", hull=WIDE)
    assert inside(model, t2.Budget(target_loss=1.6901, inference_tokens=1e12)) is None
