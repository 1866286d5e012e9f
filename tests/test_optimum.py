"""The optimum: published numbers, independent referees, certificates, caps and refusals."""

# Draws and Chinchilla choices are there because the test asked for them.
# pyright: reportOptionalMemberAccess=false, reportArgumentType=false

import csv
import dataclasses
import json
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from t2jax import Budget, InputError, Refusal, Status, frontier, optimum
from t2jax.hull import Hull
from t2jax.laws import (
    Additive,
    BetaMonotone,
    Coupled,
    Law,
    Product,
    Softplus,
    T2Accuracy,
    T2Loss,
    T2LossPaper,
    Tied,
    predict,
)
from t2jax.uncertainty import Ensemble

CHECK = T2Loss.from_paper(E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3)
CHINCHILLA = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
BOTH = Budget(train_flops=1e22, inference_flops=2e12)

EVERY_KIND = [
    CHECK,
    T2LossPaper(E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3),
    Softplus(loss=CHINCHILLA, s=1.3),
    Softplus(loss=Tied(E=0.1, A=300.0, B=500.0, alpha=0.3), s=0.7),
    Softplus(loss=Coupled(E=1.7, A=1500.0, B=6000.0, alpha=0.4, beta=0.41, kappa=0.8), s=1.0),
    Product(loss=CHINCHILLA, c=1e-4, gamma=0.2),
    BetaMonotone(loss=CHINCHILLA, a0=1.0, a1=0.8, b0=-1.0, b1=1.0),
    T2Accuracy(loss=CHINCHILLA, th0=2.0, th1=2.0, th2=0.9, th3=1.0, th4=-0.5),
]
NAMES = [f"{law.name}-{law.base.name}" for law in EVERY_KIND]


def cost_on_path(law: Law, budget: Budget):
    """The cost of log N alone, written from the definition of the budgets; vectorised."""
    sign = 1.0 if law.kind == "loss" else -1.0

    def cost(log_params):
        params = np.exp(log_params)
        tokens = budget.train_flops / (6 * params)
        if budget.max_tokens is not None:
            tokens = np.minimum(tokens, budget.max_tokens)
        samples = budget.inference_flops / (2 * params)
        return sign * predict(law, params, tokens, samples)

    return cost


def test_the_separate_budget_check_row():
    best = optimum(CHECK, BOTH)
    assert float(best.params) == pytest.approx(434156624.0, rel=1e-8)
    assert float(best.samples) == pytest.approx(2303.32, rel=1e-5)
    assert float(best.train_price) == pytest.approx(0.0190168, abs=5e-8)
    assert float(best.inference_price) == pytest.approx(0.1470230, abs=5e-8)
    assert float(best.kkt_residual) < 1e-12
    assert best.status == ()


def test_the_sensitivities_of_the_check_row():
    def log_params(train, inference):
        budget = Budget(train_flops=train, inference_flops=inference)
        return math.log(float(optimum(CHECK, budget, chinchilla=False).params))

    h = 1e-3
    up, down = math.exp(h), math.exp(-h)
    to_train = (log_params(1e22 * up, 2e12) - log_params(1e22 * down, 2e12)) / (2 * h)
    to_inference = (log_params(1e22, 2e12 * up) - log_params(1e22, 2e12 * down)) / (2 * h)
    assert to_train == pytest.approx(0.0639301, abs=1e-6)
    assert to_inference == pytest.approx(0.4053499, abs=1e-6)


@pytest.mark.parametrize("law", [CHINCHILLA, Tied(E=1.8, A=400.0, B=800.0, alpha=0.33)])
def test_training_alone_equals_the_closed_6nd_form(law):
    alpha, beta = law.alpha, getattr(law, "beta", law.alpha)
    g = (alpha * law.A / (beta * law.B)) ** (1 / (alpha + beta))
    flops = np.geomspace(1e12, 1e30, 7)
    best = optimum(law, Budget(train_flops=flops))
    np.testing.assert_allclose(best.params, g * (flops / 6) ** (beta / (alpha + beta)), rtol=1e-10)
    np.testing.assert_allclose(best.samples, 1.0)
    np.testing.assert_allclose(best.chinchilla.params, best.params, rtol=1e-12)


def test_without_a_samples_term_inference_changes_nothing():
    none = dataclasses.replace(CHECK, S=0.0)
    best = optimum(none, BOTH)
    alone = optimum(Additive(E=5.5, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658),
                    Budget(train_flops=1e22))  # fmt: skip
    assert float(best.params) == pytest.approx(float(alone.params), rel=1e-10)


@pytest.mark.parametrize("law", EVERY_KIND, ids=NAMES)
def test_no_point_of_a_grid_beats_the_optimum_by_any_method(law):
    sign = 1.0 if law.kind == "loss" else -1.0
    for cap in ({}, {"max_tokens": 3e11}, {"max_params": 3e7}):
        budget = Budget(train_flops=1e22, inference_flops=2e11, **cap)
        high = math.log(min(1e11, cap.get("max_params", 1e11)))
        lowest = float(np.min(cost_on_path(law, budget)(np.linspace(math.log(1e4), high, 2000))))
        # Descent shares everything but its start with the scan: one law will do for it.
        methods = ("auto", "descent") if law is EVERY_KIND[0] else ("auto",)
        for method in methods:
            best = optimum(law, budget, method=method, chinchilla=False)
            flags = Status(int(best.code))
            assert sign * float(best.value) <= lowest + 1e-9 * abs(lowest)
            assert float(best.params) <= cap.get("max_params", np.inf) * (1 + 1e-12)
            assert float(best.tokens) <= cap.get("max_tokens", np.inf) * (1 + 1e-12)
            assert float(best.kkt_residual) < 1e-7 or Status.AT_SEARCH_EDGE in flags


@pytest.mark.parametrize(
    "law", [EVERY_KIND[0], *(pytest.param(law, marks=pytest.mark.slow) for law in EVERY_KIND[1:4])]
)
def test_the_scan_agrees_with_the_closed_form(law):
    budget = Budget(train_flops=np.geomspace(1e16, 1e26, 6), inference_flops=2e11)
    exact = optimum(law, budget, method="closed_form", chinchilla=False)
    scanned = optimum(law, budget, method="scan", chinchilla=False)
    np.testing.assert_allclose(scanned.params, exact.params, rtol=1e-8)


@pytest.mark.parametrize("law", EVERY_KIND, ids=NAMES)
def test_scipy_finds_the_same_optimum(law):
    budget = Budget(train_flops=1e22, inference_flops=2e12)
    best = optimum(law, budget, chinchilla=False)
    if Status.AT_SEARCH_EDGE in Status(int(best.code)):
        pytest.skip("this law has no interior optimum at this budget")
    start = math.log(float(best.params))
    cost = cost_on_path(law, budget)
    referee = optimize.minimize_scalar(cost, (start - 3, start + 2, start + 4), tol=1e-12)
    # A minimum is flat: half the digits of the cost are digits of its place.
    assert referee.x == pytest.approx(start, abs=1e-5)


exponents = st.floats(0.05, 1.2)
amplitudes = st.floats(-2.0, 8.0).map(lambda x: 10.0**x)


@given(
    amplitudes, amplitudes, st.floats(0.01, 20.0), exponents, exponents, st.floats(0.02, 1.5),
    st.floats(14, 26), st.floats(5, 16),
)  # fmt: skip
@settings(max_examples=100)
def test_the_closed_form_is_stationary_for_random_power_laws(
    A, B, G, alpha, beta, gamma, train, inference
):
    law = T2Loss.from_paper(E=1.0, A=A, B=B, G=G, alpha=alpha, beta=beta, gamma=gamma)
    budget = Budget(train_flops=10.0**train, inference_flops=10.0**inference)
    best = optimum(law, budget, chinchilla=False)
    flags = Status(int(best.code))
    assert float(best.kkt_residual) < 1e-10 or Status.AT_SEARCH_EDGE in flags
    assert float(best.samples) >= 1.0
    assert float(best.train_flops) <= 10.0**train * (1 + 1e-9)
    assert float(best.inference_flops) <= 10.0**inference * (1 + 1e-9)


def test_the_softplus_optimum_does_not_depend_on_its_width():
    sizes = [
        float(optimum(Softplus(loss=CHINCHILLA, s=s), BOTH, chinchilla=False).params)
        for s in (0.3, 1.0, 4.0)
    ]
    assert sizes == pytest.approx([sizes[0]] * 3, rel=1e-12)
    tokens = 1e22 / 6 / sizes[0]
    size_term = CHINCHILLA.alpha * CHINCHILLA.A * sizes[0] ** -CHINCHILLA.alpha
    data_term = CHINCHILLA.beta * CHINCHILLA.B * tokens**-CHINCHILLA.beta
    assert size_term == pytest.approx(data_term + 1.0, rel=1e-10)


@pytest.mark.parametrize("law", EVERY_KIND, ids=NAMES)
def test_prices_are_derivatives_of_the_value_in_the_budgets(law):
    sign = 1.0 if law.kind == "loss" else -1.0
    budget = {"train_flops": 1e22, "inference_flops": 2e12}
    best = optimum(law, Budget(**budget), chinchilla=False)
    if Status.AT_SEARCH_EDGE in Status(int(best.code)):
        pytest.skip("this law has no interior optimum at this budget")
    h = 1e-4
    for name, price in (("train_flops", best.train_price),
                        ("inference_flops", best.inference_price)):  # fmt: skip
        values = [
            float(
                optimum(
                    law, Budget(**{**budget, name: budget[name] * math.exp(e)}), chinchilla=False
                ).value
            )
            for e in (h, -h)
        ]
        fall = -sign * (values[0] - values[1]) / (2 * h)
        assert float(price) == pytest.approx(fall, rel=1e-4, abs=1e-9)


def test_caps_bind_and_say_so():
    free = optimum(CHECK, BOTH)
    capped = optimum(CHECK, dataclasses.replace(BOTH, max_params=1e8))
    walled = optimum(CHECK, dataclasses.replace(BOTH, max_tokens=1e12))
    assert float(capped.params) == pytest.approx(1e8)
    assert "cap on params" in capped.status[0]
    assert float(walled.tokens) == pytest.approx(1e12)
    assert float(walled.train_price) == 0.0
    assert "cap on tokens" in walled.status[0]
    assert float(free.value) < min(float(capped.value), float(walled.value))


def test_the_inference_budget_can_bind_at_one_sample():
    thrifty = dataclasses.replace(CHECK, S=1e-3)  # samples hardly help: size takes it all
    best = optimum(thrifty, Budget(train_flops=1e22, inference_flops=2e7))
    assert float(best.params) == pytest.approx(1e7)
    assert float(best.samples) == 1.0
    assert "k = 1" in " ".join(best.status)
    assert float(best.kkt_residual) < 1e-12
    # Chinchilla's choice cannot be served at all here, and is told so.
    assert "already exceeds the inference budget" in " ".join(best.chinchilla.status)


def ensemble_around(law: Law, n_draws: int, hull: Hull | None = None) -> Ensemble:
    rng = np.random.default_rng(0)
    many = jax.tree.map(lambda x: float(x) * np.exp(0.02 * rng.standard_normal(n_draws)), law)
    return Ensemble(law=many, point=law, kind="simulation", unit="none", hull=hull)


@pytest.mark.parametrize("law", [CHECK, EVERY_KIND[5]], ids=["exact", "scan"])
def test_draws_and_sweeps_equal_one_at_a_time(law):
    draws = ensemble_around(law, 3)
    flops = np.geomspace(1e20, 1e22, 2)
    many = optimum(draws, Budget(train_flops=flops, inference_flops=2e12))
    assert np.shape(many.draws.params) == (3, 2)
    for i in range(3):
        one = jax.tree.map(lambda x, i=i: float(x[i]), draws.law)
        for j, budget in enumerate(flops):
            alone = optimum(one, Budget(train_flops=budget, inference_flops=2e12))
            for name in ("params", "value", "train_price"):
                whole = getattr(many.draws, name)[i, j]
                assert whole == pytest.approx(float(getattr(alone, name)), rel=1e-7)
            assert many.draws.chinchilla.params[i, j] == pytest.approx(
                float(alone.chinchilla.params), rel=1e-7
            )


def test_the_frontier_is_the_optimum_at_each_budget_and_saturates_where_the_theory_says():
    flops = np.geomspace(1e18, 1e24, 5)
    sweep = frontier(ensemble_around(CHECK, 20), Budget(train_flops=flops, inference_flops=2e12))
    at = optimum(CHECK, Budget(train_flops=float(flops[2]), inference_flops=2e12))
    assert sweep.optimum.params[2] == pytest.approx(float(at.params), rel=1e-12)
    alpha, gamma = 0.3478, 0.3
    limit = (alpha * 482.01 / (gamma * 5.0) * 1e12**gamma) ** (1 / (alpha + gamma))
    assert sweep.saturation is not None
    np.testing.assert_allclose(sweep.saturation, limit, rtol=1e-6)
    assert np.all(np.asarray(sweep.optimum.params) < limit)
    low, high = sweep.band("params")
    assert np.all(low < sweep.optimum.params)
    assert np.all(sweep.optimum.params < high)
    assert "never exceeds" in sweep.summary()


def test_points_outside_the_data_are_flagged():
    hull = Hull(
        params=(1e6, 1e8), tokens=(1e8, 1e11), samples=(1.0, 64.0),
        tokens_per_param=(1.0, 1e3), train_flops=(1e15, 1e19),
    )  # fmt: skip
    best = optimum(ensemble_around(CHECK, 3, hull), BOTH)
    said = " ".join(best.status)
    for word in ("params lie", "tokens lie", "samples lie", "per parameter lie", "training budget"):
        assert word in said
    assert optimum(ensemble_around(CHECK, 3), BOTH).status == ()


def test_a_law_without_interior_optimum_says_so():
    best = optimum(Product(loss=CHINCHILLA, c=0.3, gamma=0.9), BOTH, chinchilla=False)
    assert "edge of the search" in " ".join(best.status)


def test_results_are_written_and_read(tmp_path):
    draws = ensemble_around(CHECK, 50)
    best = optimum(draws, BOTH)
    best.save(tmp_path / "optimum.json")
    saved = json.loads((tmp_path / "optimum.json").read_text())
    assert saved["params"] == float(best.params)
    assert saved["intervals"]["params"] == list(best.interval("params"))
    assert saved["chinchilla"]["tokens"] == float(best.chinchilla.tokens)
    sweep = frontier(draws, Budget(train_flops=[1e20, 1e21], inference_flops=2e12))
    sweep.save(tmp_path / "frontier.csv")
    with open(tmp_path / "frontier.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["params"]) for row in rows] == list(sweep.optimum.params)
    text = best.summary()
    for word in ("parameters N", "90% interval", "Chinchilla", "doubling the training", "KKT"):
        assert word in text


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"train_flops": -1.0}, "train_flops"),
        ({"train_flops": math.nan}, "train_flops"),
        ({"train_flops": "much"}, "train_flops"),
        ({"train_flops": 100.0}, "petaflop"),
        ({"train_flops": 1e20, "inference_flops": 1.0}, "inference_flops"),
        ({"train_flops": 1e20, "max_params": 0.0}, "max_params"),
        ({"train_flops": [1e20, 1e21], "max_tokens": [1.0, 2.0, 3.0]}, "broadcast"),
    ],
)
def test_impossible_budgets_are_refused_in_one_line(fields, word):
    with pytest.raises(InputError, match=word) as caught:
        Budget(**fields)
    assert "\n" not in str(caught.value)


def test_misuse_is_refused():
    with pytest.raises(Refusal, match="single samples"):
        optimum(CHINCHILLA, BOTH)
    with pytest.raises(InputError, match="unknown method"):
        optimum(CHECK, BOTH, method="guess")
    with pytest.raises(InputError, match="no closed form"):
        optimum(EVERY_KIND[5], BOTH, method="closed_form")
    with pytest.raises(InputError, match="Budget is needed"):
        optimum(CHECK, 1e22)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="law, a fit or an ensemble"):
        optimum("softplus", BOTH)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="holds 5 draws and one law is needed"):
        optimum(jax.tree.map(lambda x: np.full(5, x), CHECK), BOTH)
    with pytest.raises(InputError, match="array of training budgets"):
        frontier(CHECK, BOTH)


def test_the_summary_calls_the_value_by_its_name():
    plain = optimum(Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283),
                    Budget(train_flops=1e21))  # fmt: skip
    assert "loss, nats" in plain.summary()
    assert "pass@k" not in plain.summary()
    sampled = optimum(CHECK, Budget(train_flops=1e21, inference_flops=2e12))
    assert "mean -log pass@k, nats" in sampled.summary()
