"""Every budget: published rows, brute force, certificates, derivatives, comparisons, refusals."""

# Draws, rivals and the like are there because the test asked for them.
# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# pyright: reportOptionalSubscript=false, reportIndexIssue=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from law_cases import CASES, draws_of, written
from scipy import optimize

from t2jax import Budget, Cost, Demand, Status, optimum, sensitivity
from t2jax._precision import double
from t2jax.beta import expected_tries
from t2jax.laws import (
    Additive,
    BetaMonotone,
    DataConstrained,
    T2Loss,
    predict,
)
from t2jax.planning.sweep import solve_one

CHECK = T2Loss.from_paper(E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3)
CHINCHILLA = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
LIFETIME = Budget(total_flops=1e23, questions=1e5, tokens_per_sample=1e3)
alone = functools.partial(optimum, chinchilla=False)


def test_the_lifetime_check_row():
    best = alone(CHECK, LIFETIME)
    assert float(best.params) == pytest.approx(3.9323e9, rel=2e-5)
    assert float(best.tokens) == pytest.approx(1.4803e12, rel=2e-5)
    assert float(best.samples) == pytest.approx(82743, rel=1e-5)
    assert float(best.train_flops) / 1e23 == pytest.approx(0.3493, abs=5e-5)
    assert float(best.total_price) == pytest.approx(0.0771557, abs=5e-8)
    assert float(best.spent) == pytest.approx(1e23, rel=1e-12)
    assert float(best.kkt_residual) < 1e-12
    # What lam says is what one more e-fold of the total buys.
    h = 1e-4
    up, down = (alone(CHECK, dataclasses.replace(LIFETIME, total_flops=1e23 * math.exp(e)))
                for e in (h, -h))  # fmt: skip
    fall = float(down.value - up.value) / (2 * h)
    assert float(best.total_price) == pytest.approx(fall, rel=1e-6)


@pytest.mark.parametrize(
    ("size", "tokens", "cheapest", "more_data", "saving"),
    [(13e9, 2e12, 6.97e9, None, 0.174), (30e9, 1e13, 13.61e9, 2.84, 0.280)],
)
def test_sardanas_rows(size, tokens, cheapest, more_data, saving):
    # arXiv:2401.00448: the loss of a Chinchilla model at least cost of training and serving.
    law = CHINCHILLA
    g = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    data = (size / g) ** (law.alpha / law.beta) / g
    budget = Budget(target_loss=float(predict(law, size, data)), inference_tokens=tokens)
    best = optimum(law, budget)
    assert float(best.params) == pytest.approx(cheapest, rel=1e-3)
    assert 1 - float(best.spent / best.chinchilla.spent) == pytest.approx(saving, abs=5e-4)
    assert float(best.chinchilla.params) == pytest.approx(size, rel=1e-9)
    if more_data:
        assert float(best.tokens) / data == pytest.approx(more_data, rel=2e-3)


def test_without_samples_every_mode_is_the_closed_6nd_form():
    none = dataclasses.replace(CHECK, S=0.0)
    g = (0.3478 * 482.01 / (0.3658 * 2085.43)) ** (1 / (0.3478 + 0.3658))
    flops = 1e22
    size = g * (flops / 6) ** (0.3658 / (0.3478 + 0.3658))
    # One question of one token: serving costs one part in 1e12 of the training.
    served = {"questions": 1.0, "tokens_per_sample": 1.0}
    cost = Cost(unit="dollars", train_price=1e-18, decode_price=1e-18)
    target = float(predict(none, size, flops / 6 / size))
    for budget in (
        Budget(train_flops=flops, inference_flops=2e12),
        Budget(train_flops=flops),
        Budget(total_flops=flops, **served),
        Budget(dollars=flops * 1e-18, cost=cost, **served),
        Budget(target_loss=target, **served),
    ):
        best = alone(none, budget)
        assert float(best.params) == pytest.approx(size, rel=1e-10), budget.goal
        assert float(best.train_flops) == pytest.approx(flops, rel=1e-10), budget.goal


@pytest.mark.parametrize("mode", ["separate", "total"])
def test_the_conditions_hold_to_1e_10_on_100_000_extreme_power_laws(mode):
    size = 100_000
    rng = np.random.default_rng(11)

    def draw(low, high):
        return rng.uniform(low, high, size)

    @double
    def certified():
        a, b, g = (10 ** draw(-3, 9) for _ in range(3))
        alpha, beta, gamma = (draw(0.02, 1.5) for _ in range(3))
        law = T2Loss.from_paper(E=np.ones(size), A=a, B=b, G=g, alpha=alpha, beta=beta, gamma=gamma)
        capped = rng.random((2, size)) < 0.4
        caps = {"max_params": np.where(capped[0], 10 ** draw(6, 13), 1e300),
                "max_tokens": np.where(capped[1], 10 ** draw(8, 15), 1e300)}  # fmt: skip
        flops = 10 ** draw(12, 32)
        if mode == "separate":
            inference = np.minimum(10 ** draw(1, 26), flops)
            budget = Budget(train_flops=flops, inference_flops=inference, **caps)
        else:
            budget = Budget(total_flops=flops, questions=flops * 10 ** draw(-20, -1), **caps)
        law, box = jax.tree.map(lambda x: jnp.asarray(x, float), (law, budget.box()))
        solve = functools.partial(
            solve_one, method="closed_form", chinchilla=False, integer=False, runner_up=False
        )
        return jax.jit(jax.vmap(solve))(law, box)[0], budget

    best, budget = certified()
    codes = np.asarray(best.status, int)
    inside = (codes & int(Status.AT_SEARCH_EDGE)) == 0
    assert inside.mean() > 0.3
    assert np.max(best.kkt_residual[inside]) < 1e-10
    assert not np.any(np.isnan(best.value))
    bound = codes & int(Status.AT_MAX_PARAMS | Status.AT_MAX_TOKENS | Status.AT_ONE_SAMPLE)
    assert len(np.unique(bound)) >= 6  # the active sets all occur
    for name, most in (("params", budget.max_params), ("tokens", budget.max_tokens)):
        assert np.all(getattr(best, name) <= most * (1 + 1e-12))
    assert np.all(best.samples >= 1)
    spent = 6 * best.params * best.tokens
    limit = budget.train_flops if mode == "separate" else budget.total_flops
    spent = (
        spent if mode == "separate" else spent + budget.questions * 2 * best.params * best.samples
    )
    assert np.all(spent[inside] <= limit[inside] * (1 + 1e-9))


def brute_force(form, c, budget):
    """The best value, or least cost, of a 400^2 grid refined, from formulas written apart."""
    kind = written(form, c).kind
    sign = 1.0 if kind == "loss" else -1.0
    cap = float(budget.max_params or np.inf)
    wall = float(budget.max_tokens or np.inf)
    unique = float(budget.unique_tokens or np.inf)

    def value(n, d, k):
        if np.isfinite(unique):
            point = {"params": n, "tokens": d, "samples": k, "unique_tokens": unique}
            return sign * np.asarray(predict(written(form, c), **point))
        if kind == "accuracy" or form == "data_constrained":
            return sign * np.asarray(predict(written(form, c), n, d, k))
        with np.errstate(all="ignore"):
            return sign * CASES[form](c, n, d, k)

    def lifetime(total, n, u):
        served = float(budget.mean_questions()) * 2 * n * float(budget.cost.answer_tokens)
        share = 1 / (1 + np.exp(-u))
        rest = total - served
        d = np.minimum(share * rest / (6 * n), wall)
        return d, (total - 6 * n * d) / served

    def plan(n, u):
        if budget.mode == "separate":
            return np.minimum(budget.train_flops / (6 * n), wall), budget.inference_flops / (2 * n)
        return lifetime(budget.total_flops, n, u)

    def search(score, low, high, rounds=4):
        best, at = np.inf, None
        for i in range(rounds):
            side = 400 if i == 0 else 60
            n = np.linspace(low[0], high[0], side)
            u = np.linspace(low[1], high[1], side)
            grid = score(np.exp(n)[:, None], u[None, :])
            grid = np.where(np.isnan(grid), np.inf, grid)
            i, j = np.unravel_index(np.argmin(grid), grid.shape)
            if grid[i, j] <= best:
                best, at = grid[i, j], (n[i], u[j])
            width = (2 * (n[1] - n[0]), 2 * (u[1] - u[0]))
            low = (max(at[0] - width[0], low[0]), max(at[1] - width[1], low[1]))
            high = (min(at[0] + width[0], high[0]), min(at[1] + width[1], high[1]))
        return best

    def score(n, u):
        d, k = plan(n, u)
        sound = (d >= 1) & (k >= 1) & (n <= cap)
        return np.where(sound, value(n, d, np.where(sound, k, 1.0)), np.inf)

    limit = budget.inference_flops / 2 if budget.mode == "separate" else budget.total_flops / 6
    return search(score, (math.log(1e3), -18.0), (math.log(min(float(limit), cap)), 18.0))


def random_budget(rng, mode):
    caps = {}
    if rng.random() < 0.4:
        caps["max_params"] = 10 ** rng.uniform(7, 10)
    if rng.random() < 0.4:
        caps["max_tokens"] = 10 ** rng.uniform(9, 12)
    elif rng.random() < 0.3 and mode != "exact":
        caps["unique_tokens"] = 10 ** rng.uniform(9, 12)
    flops = 10 ** rng.uniform(18, 24)
    if rng.random() < 0.5:
        return Budget(train_flops=flops, inference_flops=10 ** rng.uniform(9, 13), **caps)
    return Budget(
        total_flops=flops, questions=10 ** rng.uniform(3, 8), tokens_per_sample=100.0, **caps
    )


def check_against_brute_force(form, count, mode, seed):
    rng = np.random.default_rng(seed)
    for c in draws_of(form, count, seed):
        # The referee knows repetition from the law alone, which must be built on it.
        budget = random_budget(rng, mode if "data_constrained" in form else "exact")
        best = alone(written(form, c), budget)
        least = brute_force(form, c, budget)
        sign = 1.0 if best.kind == "loss" else -1.0
        assert sign * float(best.value) <= least + 1e-9 * abs(least), (form, c, budget.to_dict())
        if not 0 < float(best.value) < (np.inf if best.kind == "loss" else 1 - 1e-6):
            continue  # no target: a power of k that falls below zero, or pass@k of one
        if budget.mode == "total" and Status.BUDGET_LEFT not in Status(int(best.code)):
            check_backwards(written(form, c), budget, best)


def check_backwards(law, budget, best):
    """Asked for the value that a total buys, the least cost is that total."""
    goal = "target_loss" if best.kind == "loss" else "target_pass_at_k"
    wanted = {"total_flops": None, goal: float(best.value)}
    back = alone(law, dataclasses.replace(budget, **wanted))
    change = 1e-9 / max(float(best.total_price) / abs(float(best.value)), 1e-9)
    assert float(back.spent) <= float(budget.total_flops) * (1 + max(change, 1e-9)), law


def test_no_grid_beats_the_exact_optimum():
    check_against_brute_force("t2_loss", 12, "exact", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    ["t2_loss", "softplus", "product", "softplus(coupled)",
     "softplus(data_constrained)", "t2_accuracy", "beta_monotone"],
)  # fmt: skip
def test_no_grid_beats_the_optimum_of_any_law(form):
    check_against_brute_force(form, 65, "any", 2)


def test_a_target_is_the_lifetime_budget_read_backwards():
    rng = np.random.default_rng(4)
    for c in draws_of("t2_loss", 8, 4):
        law = written("t2_loss", c)
        caps = {"max_tokens": 10 ** rng.uniform(9, 12)}
        served = {"questions": 10 ** rng.uniform(3, 7), "tokens_per_sample": 100.0}
        spent = alone(law, Budget(total_flops=1e22, **served, **caps))
        if not float(spent.value) > 0:
            continue  # this draw's power of k falls below zero, where no loss is
        back = alone(law, Budget(target_loss=float(spent.value), **served, **caps))
        assert float(back.spent) == pytest.approx(1e22, rel=1e-9)
        assert float(back.params) == pytest.approx(float(spent.params), rel=1e-7)
        assert float(back.kkt_residual) < 1e-10


@pytest.mark.parametrize(
    "budget",
    [
        Budget(train_flops=1e22, inference_flops=2e12),
        dataclasses.replace(LIFETIME, max_tokens=5e11),
        Budget(target_loss=1.2, questions=1e5, tokens_per_sample=1e3),
    ],
    ids=["separate", "lifetime at a wall", "target"],
)
def test_derivatives_are_those_of_finite_differences(budget):
    table = sensitivity(CHECK, budget).table
    h = 1e-4
    moves = {
        f"log {budget.goal}": budget.goal,
        "log max_tokens": "max_tokens",
        "target": budget.goal,
    }
    checked = 0
    for row, field in moves.items():
        if row not in table:
            continue
        at = float(getattr(budget, field))
        ends = [at * math.exp(s * h) if row != "target" else at + s * h for s in (1, -1)]
        up, down = (alone(CHECK, dataclasses.replace(budget, **{field: e})) for e in ends)
        compare_slopes(table[row], up, down, h)
        checked += 1
    for name in ("A", "gamma", "alpha"):
        at = CHECK.coefficients()[name]
        up, down = (alone(CHECK.replace(**{name: at + s * h * at}), budget) for s in (1, -1))
        compare_slopes(table[name], up, down, h * at)
        checked += 1
    assert checked >= 4


def compare_slopes(row, up, down, h):
    for name in ("params", "tokens", "samples"):
        change = math.log(float(getattr(up, name)) / float(getattr(down, name))) / (2 * h)
        assert row[name] == pytest.approx(change, rel=2e-4, abs=1e-7), name
    change = float(up.value - down.value) / (2 * h)
    assert row["value"] == pytest.approx(change, rel=2e-4, abs=1e-7)


def test_a_whole_k_is_the_best_of_all_whole_k():
    budget = Budget(train_flops=1e20, inference_flops=2e8, integer_samples=True)
    best = alone(CHECK, budget)
    k = np.arange(1.0, 200.0)
    limit = 1e8 / k

    def at(k, most):
        cost = lambda n: float(predict(CHECK, math.exp(n), 1e20 / 6 / math.exp(n), k))  # noqa: E731
        end = math.log(most)
        inside = optimize.minimize_scalar(cost, bounds=(end - 9, end), method="bounded").fun
        return min(inside, cost(end))

    values = [at(*pair) for pair in zip(k, limit, strict=True)]
    assert float(best.samples) == k[int(np.argmin(values))]
    assert float(best.value) <= min(values) + 1e-12
    assert float(best.kkt_residual) < 1e-10


def test_uncertain_demand_is_integrated_over():
    demand = Demand.around(1e5, 3.0)
    q, w = np.asarray(demand.values), np.asarray(demand.weights)
    best = alone(CHECK, Budget(total_flops=1e21, questions=demand, tokens_per_sample=1e3))

    def expected(z):
        size, share = np.exp(z[0]), 1 / (1 + np.exp(-z[1]))
        left = (1 - share) * 1e21 / (2e3 * size)
        return float(np.dot(w, predict(CHECK, size, share * 1e21 / 6 / size, left / q)))

    found = optimize.minimize(expected, [math.log(1e9), 0.0], method="Nelder-Mead",
                              options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000})  # fmt: skip
    assert float(best.value) == pytest.approx(found.fun, rel=1e-10)
    assert float(best.params) == pytest.approx(math.exp(found.x[0]), rel=1e-4)
    assert float(best.kkt_residual) < 1e-10
    # Certain demand is the number itself, and a demand's mean is that of its lognormal.
    sure = alone(CHECK, dataclasses.replace(LIFETIME, questions=Demand(values=[1e5])))
    assert float(sure.params) == float(alone(CHECK, LIFETIME).params)
    draws = 1e5 * np.exp(
        math.log(3) / 1.6448536 * np.random.default_rng(0).standard_normal(400_000)
    )
    middle = draws[(draws > np.quantile(draws, 0.01)) & (draws < np.quantile(draws, 0.99))]
    assert demand.mean == pytest.approx(middle.mean(), rel=5e-3)


def test_repetition_bends_the_data_wall():
    constants = {"R_D": 15.387756, "R_N": 5.309743}
    law = DataConstrained(**CHINCHILLA.coefficients(), **constants)
    budget = Budget(train_flops=1e23, unique_tokens=1e11)
    bent = alone(CHINCHILLA, budget)
    same = alone(law, budget)
    assert float(bent.params) == pytest.approx(float(same.params), rel=1e-9)
    assert float(bent.value) == pytest.approx(float(same.value), rel=1e-12)
    free = alone(CHINCHILLA, Budget(train_flops=1e23))
    walled = alone(CHINCHILLA, Budget(train_flops=1e23, max_tokens=1e11))
    assert 1e11 < float(bent.tokens)
    assert float(free.value) < float(bent.value) < float(walled.value)
    point = {"params": 8e9, "tokens": 4e11, "unique_tokens": 1e11}
    assert float(bent.value) < float(predict(law, **point))
    # Unique tokens that are never exhausted change nothing.
    ample = alone(CHINCHILLA, Budget(train_flops=1e23, unique_tokens=1e16))
    # Constants from elsewhere are named as such, and only where they were used.
    assert [Status.BORROWED_REPETITION in Status(int(b.code)) for b in (bent, same, ample)] == [
        True, False, False,
    ]  # fmt: skip
    assert float(ample.value) == pytest.approx(float(free.value), rel=1e-12)


@pytest.mark.slow
def test_descent_alone_comes_near_the_exact_optimum():
    from t2jax.planning.driver import box_of
    from t2jax.planning.solvers.scan import descend

    for budget in (Budget(train_flops=1e22, inference_flops=2e12), LIFETIME):
        exact = alone(CHECK, budget)

        @double
        def found(budget=budget):
            law, box = jax.tree.map(lambda x: jnp.asarray(x, float), (CHECK, box_of(CHECK, budget)))
            return jax.jit(descend)(law, box).best

        assert float(found()) == pytest.approx(math.log(float(exact.params)), abs=2e-3)
        polished = alone(CHECK, budget, method="descent")
        assert float(polished.params) == pytest.approx(float(exact.params), rel=1e-6)


@pytest.mark.slow
def test_descent_over_a_batch_of_budgets_is_the_closed_form():
    rng = np.random.default_rng(0)
    budget = Budget(train_flops=10 ** rng.uniform(16, 26, 200), inference_flops=2e11)
    exact = optimum(CHECK, budget, method="closed_form", chinchilla=False)
    found = optimum(CHECK, budget, method="descent", chinchilla=False)
    np.testing.assert_allclose(found.params, exact.params, rtol=1e-8)


@pytest.mark.slow
def test_sampling_until_success_spends_what_is_drawn():
    law = BetaMonotone(loss=CHINCHILLA, a0=1.0, a1=0.8, b0=-1.0, b1=1.0)
    plain = Budget(train_flops=1e21, inference_flops=2e11)
    stopped = dataclasses.replace(plain, cost=Cost(stop_at_success=True))
    usual, best = alone(law, plain), alone(law, stopped)
    with jax.enable_x64(True):
        a, b = law.spread(params=float(best.params), tokens=float(best.tokens))
        drawn = float(expected_tries(a, b, float(best.samples)))
    assert 2 * float(best.params) * drawn == pytest.approx(2e11, rel=1e-8)
    assert float(best.samples) > drawn
    assert float(best.value) > float(usual.value)


def test_a_realistic_cost_moves_the_answer_and_says_how_far():
    budget = Budget(train_flops=1e22, inference_flops=2e12, cost=Cost.realistic())
    best = alone(CHECK, budget)
    usual = alone(CHECK, Budget(train_flops=1e22, inference_flops=2e12))
    assert float(best.plain.params) == pytest.approx(float(usual.params), rel=1e-12)
    # The optimum of a fine grid in NumPy; 2Nk flatters small models.
    n = np.linspace(19, 22, 300_001)
    size = np.exp(n)
    cost = budget.cost
    data = 1e22 / cost.train(size, 1.0)
    drawn = (2e12 * 1024 / size - cost.shared_rate(n)) / cost.sample_rate(n)
    loss = predict(CHECK, size, data, np.maximum(drawn, 1.0))
    assert float(best.params) == pytest.approx(size[np.argmin(loss)], rel=1e-4)
    assert float(best.params) > 1.4 * float(usual.params)
    assert "the answer moved: N 434M ->" in best.summary()
    assert float(cost.train(best.params, best.tokens)) == pytest.approx(1e22, rel=1e-9)
    per_token = float(cost.answer(best.params, best.samples)) / 1024
    assert per_token == pytest.approx(2e12, rel=1e-9)
    assert float(best.kkt_residual) < 1e-10


def test_a_comparison_says_what_the_rival_costs():
    best = optimum(CHECK, LIFETIME, rivals={"ours": (7e9, 2e12)})
    assert [rival.name for rival in best.comparisons] == [
        "Chinchilla", "20 tokens per parameter", "ours",
    ]  # fmt: skip
    for rival in best.comparisons:
        left = 1e23 - 6 * rival.params * rival.tokens
        assert rival.samples == pytest.approx(left / (2e8 * rival.params), rel=1e-9)
        assert rival.value == pytest.approx(
            float(predict(CHECK, rival.params, rival.tokens, rival.samples)), rel=1e-12
        )
        less = dataclasses.replace(LIFETIME, total_flops=1e23 * (1 - rival.saving))
        assert float(alone(CHECK, less).value) == pytest.approx(rival.value, rel=1e-9)
        assert rival.gain == pytest.approx(rival.value - float(best.value))
    assert best.comparisons[1].tokens == pytest.approx(20 * best.comparisons[1].params)
    assert best.comparisons[2].gain > 0 < best.comparisons[2].saving
    assert "against ours (7B on 2T tokens" in best.summary()
