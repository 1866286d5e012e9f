"""The cost model: 6ND and 2Nk by default, the formula term by term, published ratios, refusals."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from t2jax import Budget, Cost, Demand, InputError
from t2jax.cost import ATTENTION, HARDWARE, KV_BYTES, KV_EXPONENT, KV_PARAMS


def test_the_default_is_exactly_6nd_and_2nk():
    params, tokens, samples = 434156624.0, 3.84e12, 2303.0
    assert float(Cost().train(params, tokens)) == 6 * params * tokens
    assert float(Cost().answer(params, samples)) == pytest.approx(2 * params * samples, rel=1e-15)
    assert Cost().monomial
    assert not Cost.realistic().monomial


def test_every_term_of_the_formula():
    rng = np.random.default_rng(0)
    names = [n for n in Cost.numbers() if n not in ("shared_prefill", "fixed")]
    for _ in range(20):
        v = {name: float(rng.uniform(0.5, 3.0)) for name in names}
        cost = Cost(shared_prefill=0.6, **v)  # pyright: ignore[reportArgumentType]
        n, d, k = 3e8, 1e10, 7.0
        lengths = 2 * v["prompt_tokens"] * v["answer_tokens"] + v["answer_tokens"] ** 2
        train = 6 * n + 3 * v["attention"] * n ** (2 / 3) * v["train_context"]
        prompt = (
            2 * n * v["prompt_tokens"] + v["attention"] * n ** (2 / 3) * v["prompt_tokens"] ** 2
        )
        decode = 2 * n * v["answer_tokens"] + v["attention"] * n ** (2 / 3) * lengths
        memory = v["kv_bytes"] * (n / KV_PARAMS) ** v["kv_exponent"] * lengths / 2
        memory += v["weight_bytes"] * n * v["answer_tokens"] / v["batch"]
        answer = v["prefill_price"] * prompt * (1 + (k - 1) * 0.4) + k * (
            v["decode_price"] * (decode + v["verifier_flops"]) + v["memory_price"] * memory
        )
        assert float(cost.train(n, d)) == pytest.approx(v["train_price"] * train * d, rel=1e-12)
        assert float(cost.answer(n, k)) == pytest.approx(answer, rel=1e-12)


def test_reading_the_cache_costs_what_kinetics_says():
    # arXiv:2506.05333: at 1k tokens 27 times the 2N term for 0.6B and 1.15 times for 32B, on an
    # accelerator of 562.5 FLOPs per byte.
    cost = Cost(kv_bytes=KV_BYTES, answer_tokens=1000.0, memory_price=562.5)
    for params, ratio, slack in ((0.6e9, 27.0, 0.2), (32e9, 1.15, 0.01)):
        extra = float(cost.answer(params, 1.0)) / (2 * params * 1000) - 1
        assert extra == pytest.approx(ratio, abs=slack)
    # Qwen3-32B: 64 layers, 8 heads of 128, keys and values of 2 bytes.
    cache = KV_BYTES * (32.8e9 / KV_PARAMS) ** KV_EXPONENT
    assert cache == pytest.approx(64 * 2 * 8 * 128 * 2, rel=1e-12)


def test_attention_counts_the_layers_of_a_real_model():
    # LLaMA-7B: 32 layers of width 4096, 4 FLOPs per layer, channel and pair of tokens, and each
    # token sees half of the context on average.
    assert ATTENTION * 6.7e9 ** (2 / 3) == pytest.approx(2 * 32 * 4096, rel=0.05)


def test_dollars_follow_from_price_peak_and_utilisation():
    chip = HARDWARE["h100"]
    assert chip.flops / chip.bandwidth == pytest.approx(295, abs=1)
    cost = Cost.on("h100", dollars_per_hour=2.0, train_utilisation=0.5, realistic=False)
    hours = 6 * 7e9 * 2e12 / (0.5 * 989.4e12) / 3600
    assert float(cost.train(7e9, 2e12)) == pytest.approx(2.0 * hours, rel=1e-12)
    assert cost.unit == "dollars"
    assert cost.plain().train_price == cost.train_price
    assert all(chip.source for chip in HARDWARE.values())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Cost(prompt_tokens=-1.0), "prompt_tokens"),
        (lambda: Cost(shared_prefill=1.5), "between 0 and 1"),
        (lambda: Cost(answer_tokens=0.0), "positive"),
        (lambda: Cost(train_price="cheap"), "not a number"),  # pyright: ignore[reportArgumentType]
        (lambda: Cost(train_price=math.nan), "out of range"),
        (lambda: Cost(unit="euros"), "no unit"),
        (lambda: Cost.on("h1000", dollars_per_hour=2.0), "no hardware"),
        (lambda: Cost.on("h100", dollars_per_hour=0.0), "not positive"),
        (lambda: Cost.on("h100", dollars_per_hour=2.0, train_utilisation=40.0), "no share"),
        (lambda: Cost.from_dict({"prmpt_tokens": 1.0}), "no 'prmpt_tokens'"),
        (lambda: Cost.from_dict({"train_utilisation": 0.5}), "dollars_per_hour"),
    ],
)
def test_a_cost_that_cannot_be_is_refused_in_one_line(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_fixed_costs_come_off_the_budget_and_the_largest_demand_gets_one_sample():
    cost = dataclasses.replace(Cost.on("h100", dollars_per_hour=2.0), fixed=4e5)
    fixed = Budget(dollars=1e6, cost=cost, questions=1e5, tokens_per_sample=1e3)
    with jax.enable_x64(True):
        assert float(fixed.box().total) == pytest.approx(math.log(6e5), rel=1e-12)
    demand = Demand(values=[1e4, 3e5], weights=[0.5, 0.5])
    wide = Budget(total_flops=1e23, questions=demand, tokens_per_sample=1e3)
    # k is told at the mean demand, 155,000: what is one sample each at 300,000 is more there.
    assert wide.least_samples() == pytest.approx(3e5 / 155e3)
