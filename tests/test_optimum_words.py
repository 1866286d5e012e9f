"""What an optimum says of itself: its words against optima at other budgets, its flags."""

# Chinchilla choices are there because the test asked for them.
# pyright: reportOptionalMemberAccess=false, reportArgumentType=false

import dataclasses
import math
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t2jax import Budget, Status, frontier, optimum
from t2jax.hull import Hull
from t2jax.laws import Additive, T2Loss
from t2jax.planning.result import hull_flags
from t2jax.planning.rivals.against import _over_training
from t2jax.planning.rivals.rival import Rival
from t2jax.planning.solvers.certify import certify

CHECK = T2Loss.from_paper(E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3)
CHINCHILLA = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
BOTH = Budget(train_flops=1e22, inference_flops=2e12)


def number(pattern: str, text: str) -> float:
    """The number that a sentence of the summary gives."""
    found = re.search(pattern, " ".join(text.split()))
    assert found is not None, pattern
    return float(found[1])


def test_the_summary_tells_what_doubling_a_budget_does():
    for name, word in (("train_flops", "training"), ("inference_flops", "inference")):
        # From a budget over the root of two to one times it: twice as much.
        low, high = (
            optimum(CHECK, dataclasses.replace(BOTH, **{name: getattr(BOTH, name) * factor}))
            for factor in (math.sqrt(0.5), math.sqrt(2))
        )
        expected = pytest.approx(float(low.value - high.value), rel=0.02)
        best = optimum(CHECK, BOTH)
        told = number(rf"doubling the {word} budget takes (\S+) nats off", best.summary())
        assert told == expected
        solved = dataclasses.replace(best, kind="accuracy")
        told = number(rf"doubling the {word} budget adds (\S+) to pass@k", solved.summary())
        assert told == expected


def test_the_summary_of_a_target_tells_what_a_better_one_costs():
    served = {"questions": 1e5, "tokens_per_sample": 100.0}
    at, nearer = (
        optimum(CHECK, Budget(target_loss=x, **served), chinchilla=False) for x in (1.2, 1.19)
    )
    told = number(r"0.01 nats less would cost about (\S+)% more", at.summary())
    # The price is that of the first nat, and the next costs a little more.
    assert told / 100 == pytest.approx(float(nearer.spent / at.spent) - 1, rel=0.05)
    assert float(nearer.spent) > float(at.spent)


def test_better_is_said_of_what_is_better():
    best = optimum(CHECK, BOTH)
    assert float(best.value) < float(best.chinchilla.value)
    assert "nats better than Chinchilla's size" in best.summary()
    exchanged = dataclasses.replace(best.chinchilla, chinchilla=best)
    assert "nats WORSE than Chinchilla's size" in exchanged.summary()
    # What takes nats off a loss would be taken off a share of solved questions too.
    assert float(dataclasses.replace(best, kind="accuracy").gain()) == -float(best.gain()) < 0


@pytest.mark.parametrize(
    ("goal", "gain", "saving", "words"),
    [
        ("train_flops", 0.1, 0.3, "is 0.1 nats better, and matches it with 30.0% less compute"),
        ("train_flops", -0.1, -0.3, "is 0.1 nats WORSE, and needs 30.0% more compute to match it"),
        ("target_loss", 0.0, 0.3, "costs 30.0% less compute"),
        ("target_loss", 0.0, -0.3, "costs 30.0% MORE compute"),
    ],
)
def test_a_rival_is_told_by_the_signs_of_gain_and_saving(goal, gain, saving, words):
    rival = Rival(name="ours", params=7e9, tokens=2e12, samples=1.0, value=1.0, gain=gain,
                  saving=saving, spent=1e23, code=0)  # fmt: skip
    best = dataclasses.replace(optimum(CHECK, BOTH), goal=goal, comparisons=(rival,))
    assert f"against ours (7B on 2T tokens, k 1): the plan {words}" in best.summary()


def test_a_cost_that_moved_the_answer_says_by_which_factor():
    best = optimum(CHECK, BOTH)
    plain = dataclasses.replace(best, params=best.params / 2, samples=best.samples * 4)
    said = dataclasses.replace(best, plain=plain).summary()
    assert number(r"moved: N 217M -> 434M \(x (\S+)\)", said) == 2.0
    assert number(r"k \S+ -> \S+ \(x (\S+)\)", said) == 0.25


def test_a_hair_outside_the_data_is_inside_and_a_hundredth_is_not():
    best = optimum(CHECK, BOTH, chinchilla=False)
    wide = {name: (1e-9, 1e30) for name in ("tokens", "samples", "tokens_per_param", "train_flops")}
    size = float(best.params)
    for low, high, flagged in (
        (size * (1 + 1e-9), 1e30, False), (size * 1.01, 1e30, True),
        (1.0, size * (1 - 1e-9), False), (1.0, size / 1.01, True),
    ):  # fmt: skip
        flags = hull_flags(best, Hull(params=(low, high), **wide))
        assert bool(flags) == flagged


def test_a_plan_beside_the_optimum_is_not_certified():
    best = optimum(CHECK, BOTH, chinchilla=False)
    with jax.enable_x64(True):
        law, box = jax.tree.map(lambda x: jnp.asarray(x, float), (CHECK, BOTH.box()))
        for shift, sound in ((0.0, True), (0.05, False), (-1e-5, False), (1e-5, False)):
            n = jnp.log(jnp.asarray(best.params)) + shift
            d, x = box.split(law, n, 0.0)
            found = certify(law, box, n, d, x, jnp.asarray(False))
            assert (float(found.kkt_residual) < 1e-9) == sound
            assert float(found.kkt_residual) > 0.0  # a measurement, and not a verdict
            assert (Status.NOT_CONVERGED in Status(int(found.status))) != sound


def test_a_model_that_costs_more_than_the_training_budget_is_said_to():
    with jax.enable_x64(True):
        box = BOTH.box()
        for size, over in ((4e9, False), (6e9, True)):  # 6ND = 1e22 at 4.2B parameters
            rival = SimpleNamespace(params=jnp.asarray(size), tokens=jnp.asarray(4e11))
            assert _over_training(box, rival) == (int(Status.OVER_TRAINING) if over else 0)


def test_a_rival_that_cannot_afford_one_sample_is_said_to():
    for inference, over in ((2e12, False), (1e9, True)):  # its 9B ask 1.8e10 for one
        best = optimum(CHECK, dataclasses.replace(BOTH, inference_flops=inference))
        assert 1e9 < float(best.chinchilla.params) < 1e11
        assert (Status.OVER_INFERENCE in Status(int(best.chinchilla.code))) == over
        assert Status.OVER_INFERENCE not in Status(int(best.code))


def test_the_frontier_follows_the_exponents_of_the_law_and_bands_leave_equal_tails():
    sweep = frontier(CHINCHILLA, Budget(train_flops=np.geomspace(1e18, 1e22, 5)))
    size, data = sweep.exponents()
    assert size == pytest.approx(0.283 / 0.619, rel=1e-6)
    assert data == pytest.approx(0.336 / 0.619, rel=1e-6)
    draws = dataclasses.replace(sweep.optimum, params=np.arange(101.0)[:, None] * np.ones(5))
    sweep = dataclasses.replace(sweep, optimum=dataclasses.replace(sweep.optimum, draws=draws))
    low, high = sweep.band("params", level=0.8)
    assert low == pytest.approx(10.0)
    assert high == pytest.approx(90.0)


def test_a_ceiling_is_told_where_the_frontier_stays_below_it():
    budget = Budget(train_flops=np.geomspace(1e20, 1e24, 5), inference_flops=2e12)
    front = frontier(CHECK, budget)
    assert front.saturation is not None
    assert front.ceiling == pytest.approx(float(front.saturation[0]))
    assert "N* never exceeds" in front.summary()
    low = 0.5 * float(np.max(front.optimum.params))
    passed = dataclasses.replace(front, saturation=np.full(5, low))
    assert passed.ceiling is None
    assert "N* never exceeds" not in passed.summary()
