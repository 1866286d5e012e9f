"""The first screen cannot mislead: what lies within the data leads, and what forbids is shown."""

import dataclasses

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax.reporting import screen

GRAVE = "The plan: the solver did not reach a stationary point: do not use this optimum."


@pytest.fixture(scope="module")
def plan():
    """A plan of losses within their table."""
    params = np.repeat(np.geomspace(1e7, 1e9, 4), 4)
    tokens = params * np.tile(np.geomspace(5, 500, 4), 4)
    noise = np.random.default_rng(0).normal(0, 0.004, 16)
    runs = t2.Observations(
        kind="loss", run=np.arange(16).astype(str), params=params, tokens=tokens,
        loss=(1.7 + 400 * params**-0.34 + 400 * tokens**-0.28) * np.exp(noise),
    )  # fmt: skip
    return t2.plan(runs, t2.Budget(train_flops=1e19), law="additive", n_draws=20, progress=False)


def test_the_best_within_the_data_leads_where_the_optimum_lies_beyond(plan):
    best = plan.optimum
    code = np.asarray(best.code, int) | int(t2.errors.Status.OUTSIDE_PARAMS)
    inside = dataclasses.replace(best, params=best.params / 2, tokens=best.tokens * 2)
    told = screen.headline(
        dataclasses.replace(plan, optimum=dataclasses.replace(best, code=code), inside=inside)
    )
    assert told.startswith("Within the data: train ")
    assert told.index("Within the data") < told.index("Beyond the data, the law says: train ")
    none = dataclasses.replace(plan, optimum=dataclasses.replace(best, code=code), inside=None)
    assert screen.headline(none).endswith("No plan lies within the data.")


def test_what_forbids_the_plan_stands_under_the_headline_however_full_the_screen_is(plan):
    notes = tuple(f"Note {i} takes a line of its own, as long as a line can be." for i in range(40))
    full = dataclasses.replace(plan, notes=notes, warnings=(*plan.warnings, GRAVE))
    lines = full.summary().splitlines()
    assert lines[1] == GRAVE
    assert len(lines) <= screen.LINES


@pytest.mark.slow
def test_the_band_of_a_frontier_hardly_moves_when_draws_are_solved_at_fewer_budgets(plan):
    draws = t2.bootstrap(plan.fit, n_draws=200, progress=False)
    low, high = plan.fit.hull.train_flops
    budget = t2.Budget(train_flops=np.geomspace(low, high, 33))
    every, fourth = (t2.frontier(draws, budget, every=n, progress=False) for n in (1, 4))
    assert np.array_equal(every.optimum.params, fourth.optimum.params)
    assert np.array_equal(every.optimum.code, fourth.optimum.code)
    for name in ("params", "tokens", "value"):
        ends, fewer = np.log(every.band(name)), np.log(fourth.band(name))
        assert np.array_equal(fewer[:, ::4], ends[:, ::4])
        assert np.max(np.abs(fewer - ends)) < 0.05  # of an axis that spans decades


@pytest.mark.parametrize("swept", [
    {"train_flops": np.geomspace(1e22, 1e20, 12), "inference_flops": 1e12},
    {"train_flops": 1e21, "inference_flops": np.geomspace(1e11, 1e13, 12)},
])  # fmt: skip
def test_every_budget_of_a_sweep_that_does_not_ascend_is_solved(swept):
    law = t2.laws.T2Loss.from_paper(
        E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3
    )  # fmt: skip
    many = jax.tree.map(lambda x: np.stack([x, x, x]), law)
    draws = t2.Ensemble(law=many, point=law, kind="simulation")
    found = t2.frontier(draws, t2.Budget(**swept), every=4, progress=False)
    assert found.optimum.draws is not None
    for one in np.asarray(found.optimum.draws.params):
        np.testing.assert_allclose(one, found.optimum.params, rtol=1e-6)
