"""Regret over draws and the next purchase: brute force, closed Gaussian forms, simulation."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportOptionalSubscript=false

import dataclasses
import itertools
import math
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from t2jax import (
    Budget,
    Ensemble,
    InputError,
    Observations,
    Purchase,
    Refusal,
    design,
    optimum,
    regret,
)
from t2jax.decision.design import _simulated
from t2jax.decision.purchase import evaluations, training_run
from t2jax.decision.regret import lattice
from t2jax.laws import Additive, OnLoss, T2Loss, final_law, predict
from t2jax.uncertainty.run_noise import residual_noise

LAW = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
SAMPLES = T2Loss.from_paper(E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3)
BUDGET = Budget(train_flops=1e21)
LIFETIME = Budget(total_flops=1e22, questions=1e5, tokens_per_sample=1e3)


@final_law
class Solved(OnLoss):
    """The share of questions solved, `exp(-L)`: the simplest law of accuracy."""

    name = "solved"
    kind = "accuracy"
    own_cards = ()
    loss: Any

    def of_loss(self, loss, samples):
        return jnp.exp(-loss)


def spread(law, scale, count=60, seed=0, **more):
    """Draws around a law, every coefficient lognormal."""
    rng = np.random.default_rng(seed)
    many = jax.tree.map(lambda x: float(x) * np.exp(scale * rng.standard_normal(count)), law)
    return Ensemble(law=many, point=law, kind="simulation", **more)


def test_the_plan_of_least_regret_is_that_of_the_mean_loss():
    draws = spread(LAW, 0.03)
    found = regret(draws, BUDGET)

    def mean_loss(n):
        return float(np.mean(predict(draws.law, math.exp(n), 1e21 / 6 / math.exp(n))))

    best = optimize.minimize_scalar(mean_loss, bounds=(18, 26), method="bounded",
                                    options={"xatol": 1e-10})  # fmt: skip
    stars = optimum(draws, BUDGET, chinchilla=False).draws
    assert found.best["expected"] == pytest.approx(best.fun - stars.value.mean(), rel=1e-3)
    assert math.log(found.best["params"]) == pytest.approx(best.x, abs=0.03)  # one step of the grid
    assert found.best["expected"] <= found.plug_in["expected"]
    # The ends of the region cost just what it says, and what lies outside costs more.
    for end in found.near:
        assert mean_loss(math.log(end)) - best.fun == pytest.approx(found.within, rel=0.02)
    # Half the width is nested in the whole.
    half = regret(draws, BUDGET, within=found.within / 2)
    assert found.near[0] < half.near[0] < half.near[1] < found.near[1]


def test_the_high_regret_is_the_one_that_a_tenth_of_the_draws_exceed():
    draws = spread(LAW, 0.05)
    found = regret(draws, BUDGET)
    stars = optimum(draws, BUDGET, chinchilla=False).draws

    def share_above(params, high):
        own = predict(draws.law, params, 1e21 / 6 / params) - np.asarray(stars.value)
        return np.mean(own > high)

    # Of 60 draws six lie above; which of them the end is drawn to does not matter.
    for plan in (found.best, found.plug_in):
        assert share_above(plan["params"], plan["high"]) == pytest.approx(0.1, abs=0.02)
    at = int(np.argmin(found.expected))
    assert share_above(found.params[at], found.high[at]) == pytest.approx(0.1, abs=0.02)


def test_the_joint_region_is_that_of_as_many_normals_as_are_free():
    # Where budgets tie N, D and k together one normal is left; where nothing does, three.
    decision = regret(spread(LAW, 0.02), BUDGET, level=0.9)
    names = ("params", "tokens", "samples")
    for way, covariance in (
        (np.array([1.0, -1.0, -1.0]), np.outer([1.0, -1.0, -1.0], [1.0, -1.0, -1.0])),
        (np.array([1.0, 0.0, 0.0]), np.eye(3)),
    ):
        known = dataclasses.replace(decision, centre=np.full(3, 9.0), covariance=0.04 * covariance)
        free = np.linalg.matrix_rank(covariance)
        reach = 0.2 * math.sqrt(stats.chi2.ppf(0.9, free))
        for share, inside in ((0.99, True), (1.01, False)):
            plan = np.exp(known.centre + share * reach * way)
            assert known.inside(**dict(zip(names, plan, strict=True))) == inside


def test_a_simulated_truth_is_not_among_its_guesses():
    # Draws at 0, 1, 3, 7 and 15; a plan costs its squared distance. What is bought shows the draw
    # exactly, so that each is taken for its nearest neighbour, and not for itself.
    place = np.array([0.0, 1.0, 3.0, 7.0, 15.0])
    cost = (place[:, None] - place[None, :]) ** 2
    table = SimpleNamespace(cost=cost, least=np.zeros(5))
    mean, _ = _simulated(table, np.ones(5, bool), place[:, None],
                         training_run(1e8, 2e9, noise=(1e-3, 0.0)), seed=0)  # fmt: skip
    best = np.argmin(cost.mean(0))
    assert best == 3
    gap = np.array([1.0, 1.0, 2.0, 4.0, 8.0])
    assert mean == pytest.approx(np.mean(cost[:, best] - gap**2), rel=1e-9)


def test_what_a_fit_leaves_over_is_told_apart_into_runs_and_rows():
    # One-way analysis of variance: m rows of a run have a mean of variance run^2 + row^2/m.
    rng = np.random.default_rng(0)
    runs, rows = 30, 8
    sizes, tokens = np.repeat(np.geomspace(1e7, 3e9, runs), rows), np.full(runs * rows, 1e10)
    told = np.asarray(predict(LAW, sizes, tokens))
    left = np.repeat(rng.normal(0, 0.02, runs), rows) + rng.normal(0, 0.04, runs * rows)
    name = np.repeat(np.arange(runs), rows).astype(str)
    table = Observations(kind="loss", run=name, params=sizes, tokens=tokens, loss=told)
    fit = SimpleNamespace(law=LAW, observed=told * np.exp(left), predicted=told)
    noise = residual_noise(fit, table, np.arange(runs * rows))
    assert noise is not None
    run, row = noise
    by_run = left.reshape(runs, rows)
    assert row**2 == pytest.approx(by_run.var(axis=1, ddof=1).mean(), rel=1e-9)
    # Five coefficients were fitted to the runs.
    mean = np.sum(by_run.mean(axis=1) ** 2) / (runs - 5)
    assert run**2 + row**2 / rows == pytest.approx(mean, rel=1e-9)
    assert run == pytest.approx(0.02, rel=0.5)
    # Where the rows of a run share nothing there is nothing between runs, not a root of minus one.
    alike = SimpleNamespace(law=LAW, observed=told * np.exp(np.tile([0.04, -0.04], 120)),
                            predicted=told)  # fmt: skip
    assert residual_noise(alike, table, np.arange(runs * rows))[0] == 0.0


def test_alike_draws_leave_no_regret():
    found = regret(spread(SAMPLES, 0.0), Budget(train_flops=1e22, inference_flops=2e12))
    exact = optimum(SAMPLES, Budget(train_flops=1e22, inference_flops=2e12))
    assert found.best["expected"] < 1e-9
    assert found.best["params"] == pytest.approx(float(exact.params), rel=1e-9)
    assert found.inside(**{q: float(getattr(exact, q)) for q in ("params", "tokens", "samples")})


def test_regret_of_a_law_of_accuracy_is_a_loss_of_pass_at_k():
    draws = spread(Solved(loss=LAW), 0.02, count=30)
    found = regret(draws, BUDGET)
    stars = optimum(draws, BUDGET, chinchilla=False).draws
    n, d = found.best["params"], found.best["tokens"]
    own = np.asarray(stars.value) - predict(draws.law, n, d, 1.0)
    assert found.best["expected"] == pytest.approx(own.mean(), rel=1e-6)
    assert np.all(own > -1e-9)


def test_a_total_is_judged_over_size_and_share():
    draws = spread(SAMPLES, 0.02, count=30)
    found = regret(draws, LIFETIME)

    def mean_loss(z):
        size, share = math.exp(z[0]), 1 / (1 + math.exp(-z[1]))
        samples = (1 - share) * 1e22 / (2e8 * size)
        if samples < 1:
            return 99.0
        return float(np.mean(predict(draws.law, size, share * 1e22 / 6 / size, samples)))

    start = optimum(SAMPLES, LIFETIME)
    spent = float(start.train_flops) / 1e22
    guess = [math.log(float(start.params)), math.log(spent / (1 - spent))]
    options = {"xatol": 1e-6, "fatol": 1e-12}
    best = optimize.minimize(mean_loss, guess, method="Nelder-Mead", options=options)
    stars = optimum(draws, LIFETIME, chinchilla=False).draws
    least = best.fun - float(np.mean(stars.value))
    assert least * (1 - 1e-6) <= found.best["expected"] <= least * 1.05
    # The joint region holds about its share of the draws' own optima.
    plans = zip(stars.params, stars.tokens, stars.samples, strict=True)
    inside = [found.inside(params=n, tokens=d, samples=k) for n, d, k in plans]
    assert 0.75 <= np.mean(inside) <= 1.0
    assert not found.inside(params=1e6, tokens=1e9, samples=2.0)


def test_every_regret_is_a_regret():
    draws = spread(LAW, 0.05)
    table = lattice(draws, BUDGET)
    assert np.all(table.cost - table.least[:, None] > -1e-12)
    assert np.min(table.cost - table.least[:, None]) < 1e-4


def with_hull(draws):
    from t2jax.hull import Hull

    sizes, tokens = np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(2e8, 2e10, 4))
    hull = Hull.of(params=sizes.ravel(), tokens=tokens.ravel(), samples=np.ones(1))
    return dataclasses.replace(draws, hull=hull)


def test_the_fall_of_one_unknown_is_the_gaussian_one():
    # One coefficient is unknown and everything is all but linear in it: knowing it to within
    # 1/(1 + s^2/tau^2) of its variance leaves that share of the regret.
    rng = np.random.default_rng(3)
    alpha = 0.336 + 0.001 * rng.standard_normal(400)
    many = jax.tree.map(lambda x: np.full(400, float(x)), LAW).replace(alpha=alpha)
    draws = Ensemble(law=many, point=LAW, kind="simulation")
    run = training_run(1e8, 2e9, noise=(0.004, 0.0))
    plan = design(draws, BUDGET, candidates=[run], purchases=2)
    seen = np.log(draws.predict(params=1e8, tokens=2e9))
    share = np.var(seen, ddof=1) / (np.var(seen, ddof=1) + 0.004**2)
    expected = regret(draws, BUDGET).best["expected"]
    assert plan.regret == pytest.approx(expected, rel=0.03)
    assert plan.picks[0].fall / plan.regret == pytest.approx(share, rel=0.03)
    # The second run of the same kind adds what two observations know beyond one.
    twice = np.var(seen, ddof=1) / (np.var(seen, ddof=1) + 0.004**2 / 2)
    assert (plan.picks[0].fall + plan.picks[1].fall) / plan.regret == pytest.approx(twice, rel=0.03)
    # Simulation, which takes none of these shortcuts, agrees within its error.
    mean, error = plan.simulated[0]
    assert abs(mean - plan.picks[0].fall) < 4 * error
    first = plan.candidates.index(plan.picks[0].purchase)
    for gain, told in ((0.1, True), (3.0, False)):  # standard errors
        one = dataclasses.replace(plan, simulated={first: (gain * error, error)})
        assert one.beyond_noise is not told
        assert ("no more than chance" in one.summary()) is told
    assert "chance" not in dataclasses.replace(plan, simulated={}).summary()


def test_less_noise_and_more_k_never_bring_less():
    draws = with_hull(spread(SAMPLES, 0.02, count=200))
    budget = Budget(train_flops=1e21, inference_flops=1e12)

    def fall(**change):
        run = dataclasses.replace(training_run(1e8, 2e9, noise=(0.01, 0.005)), **change)
        return float(design(draws, budget, candidates=[run], purchases=1, simulate=False).fall[0])

    assert fall(run_noise=0.005) > fall() > fall(run_noise=0.02)
    assert fall(samples=(1.0, 100.0)) > fall()
    assert fall() <= design(draws, budget, noise=0.01, purchases=1, simulate=False).regret


def test_the_default_grid_stays_in_reach_and_ranks_by_rate():
    draws = with_hull(spread(LAW, 0.02, count=200))
    plan = design(draws, BUDGET, noise=0.01, purchases=3, simulate=False)
    assert np.all(plan.flops <= draws.hull.train_flops[1] * (1 + 1e-9))
    rate = np.where(plan.fall >= 0.5 * plan.fall.max(), plan.fall / plan.flops, 0)
    assert plan.picks[0].purchase == plan.candidates[int(np.argmax(rate))]
    left = [plan.regret, *(pick.left for pick in plan.picks)]
    assert all(a > b >= 0 for a, b in itertools.pairwise(left))
    assert "expected regret now" in plan.summary()


def test_more_questions_tell_what_they_add():
    rng = np.random.default_rng(0)
    sizes, tokens = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 3), [2e9, 2e10]))
    nll = np.asarray(predict(LAW, sizes, tokens))[:, None] * rng.exponential(size=(6, 50))
    names = [f"run {i}" for i in range(6)]
    table = Observations(
        kind="nll", run=names, params=sizes, tokens=tokens, nll=nll,
        question=[str(i) for i in range(50)], task=["all"] * 50,
    )  # fmt: skip
    bought = evaluations(table, LAW, noise=(0.01, 0.0), answer_tokens=10.0)
    assert len(bought) == 6
    first = bought[0]
    assert first.flops == pytest.approx(2 * sizes[0] * 10 * 50 * 3)
    # Both looks together weigh as much as one look at four times the questions.
    q = np.std(nll[0]) / math.sqrt(50) / np.mean(nll[0])
    both = 1 / (1 / first.run_noise**2 + 1 / (0.01**2 + q**2))
    assert both == pytest.approx(0.01**2 + q**2 / 4, rel=1e-9)
    plan = design(spread(LAW, 0.02, count=100), BUDGET, candidates=[(1e8, 2e9)], evaluate=table,
                  noise=0.01, purchases=1, simulate=False)  # fmt: skip
    assert [purchase.kind for purchase in plan.candidates] == ["train"] + ["evaluate"] * 6
    assert np.all(plan.fall > 0)


@pytest.mark.parametrize(
    ("call", "kind", "word"),
    [
        (lambda d: regret(LAW, BUDGET), InputError, "draws"),
        (lambda d: regret(d, BUDGET, within=0.0), InputError, "within"),
        (lambda d: regret(d, Budget(train_flops=[1e20, 1e21])), InputError, "sweep"),
        (lambda d: regret(d, Budget(target_loss=2.0, inference_tokens=1e12)), Refusal, "money"),
        (lambda d: design(d, BUDGET), InputError, "noise"),
        (lambda d: design(d, BUDGET, noise=0.01), Refusal, "candidates"),
        (lambda d: design(d, BUDGET, noise=0.01, candidates=[3.0]), InputError, "pair"),
        (lambda d: design(with_hull(d), BUDGET, noise=0.01, most=1.0), Refusal, "at most"),
        (
            lambda d: Purchase(params=1e8, tokens=1e9, flops=1e18, run_noise=0.0),
            InputError,
            "noise",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(call, kind, word):
    with pytest.raises(kind, match=word) as caught:
        call(spread(LAW, 0.02))
    assert "\n" not in str(caught.value)
