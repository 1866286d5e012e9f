"""Wrong arguments are refused in one line that says what to write instead, by every verb alike."""

# Wrong on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax.errors import InputError

LAW = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
DRAWS = t2.Ensemble(
    law=jax.tree.map(lambda x: x * np.linspace(0.98, 1.02, 24), LAW), point=LAW, kind="written"
)
BUDGET = t2.Budget(train_flops=1e21)


@pytest.fixture(scope="module")
def runs() -> t2.Observations:
    params = np.repeat(np.geomspace(1e7, 2e9, 4), 4)
    tokens = params * np.tile(np.geomspace(5, 500, 4), 4)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(16))
    loss = np.asarray(LAW(params=params, tokens=tokens)) * noise
    run = np.array([f"run {i:02}" for i in range(16)])
    return t2.Observations(kind="loss", run=run, params=params, tokens=tokens, loss=loss)


@pytest.fixture(scope="module")
def fitted(runs) -> t2.FitResult:
    return t2.fit(runs, n_starts=1)


WRONG = {
    "parts of a draw": (lambda f: t2.bootstrap(f, n_draws=40.0), "n_draws = 40.0", "n_draws=1000"),
    "no draws": (lambda f: t2.bootstrap(f, n_draws=0), "n_draws = 0", "n_draws=1000"),
    "a truth": (lambda f: t2.bootstrap(f, n_draws=True), "n_draws = True", "n_draws=1000"),
    "a seed below zero": (lambda f: t2.bootstrap(f, seed=-1), "seed = -1", "seed=0"),
    "a long seed": (lambda f: t2.bootstrap(f, seed=2**40), "32 bits", "seed=0"),
    "too few to judge": (lambda f: t2.posterior(f, n_draws=3), "n_draws = 3", "n_draws=1000"),
    "one chain": (lambda f: t2.posterior(f, chains=1), "chains = 1", "chains=4"),
    "draws of chains": (lambda f: t2.posterior(f, n_draws=1e3), "n_draws = 1000.0", "n_draws="),
    "half a table": (lambda f: t2.calibrate(f, tables=0.5), "tables = 0.5", "tables=400"),
    "few refits": (lambda f: t2.calibrate(f, n_draws=38), "n_draws = 38", "n_draws=199"),
    "a seed in words": (lambda f: t2.calibrate(f, seed="one"), "seed = 'one'", "seed=0"),
    "half a purchase": (lambda f: t2.design(DRAWS, BUDGET, purchases=1.5), "purchases = 1.5", "3"),
    "a percentage": (lambda f: DRAWS.interval("E", 95), "level = 95", "level=0.9"),
    "nothing": (lambda f: DRAWS.interval("E", 0), "level = 0", "level=0.9"),
    "of a profile": (lambda f: t2.profile(f, level=95), "level = 95", "level=0.9"),
    "of regret": (lambda f: t2.regret(DRAWS, BUDGET, level=95), "level = 95", "level=0.9"),
    "another law's": (lambda f: DRAWS.interval("gamma"), "no coefficient 'gamma'", "E, A, B"),
    "no quantity": (
        lambda f: t2.optimum(DRAWS, BUDGET).interval("size"), "no interval of 'size'", "params,"
    ),
    "of an optimum": (
        lambda f: t2.optimum(LAW, BUDGET).interval("params", 95), "level = 95", "level=0.9"
    ),
    "a loose budget": (
        lambda f: t2.optimum(f, train_flops=1e21), "'train_flops'|'budget'", "are model, budget"
    ),
    "no budget": (lambda f: t2.frontier(f), "'budget'", "are model, budget"),
    "an old word": (lambda f: t2.bootstrap(f, draws=40), "'draws'", "are fit, n_draws"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_refused_in_one_line(name, fitted):
    call, problem, remedy = WRONG[name]
    with pytest.raises(InputError, match=problem) as caught:
        call(fitted)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_numpy_are_whole(fitted):
    draws = t2.bootstrap(fitted, n_draws=np.int64(8), seed=np.int32(1), progress=False)
    assert draws.n_draws == 8


def test_an_unnamed_law_means_the_same_everywhere(runs, monkeypatch):
    # One function decides, and everything that takes a law asks it.
    assert t2.fit(runs, n_starts=1).law.name == "coupled"
    monkeypatch.setattr("t2jax.fitting.default.candidates", lambda _: ("tied",))
    assert t2.fit(runs, n_starts=1).law.name == "tied"
    assert t2.identify(runs).law_name == "tied"
    assert t2.calibrate(runs, tables=1, methods=["laplace"], progress=False).law.name == "tied"


def test_an_unnamed_law_of_accuracy_is_identified_by_its_loss(runs):
    counts = t2.Observations(
        kind="counts", run=runs.run, params=runs.params, tokens=runs.tokens,
        successes=np.full((16, 2), 3), trials=np.full((16, 2), 9), question=np.array(["a", "b"]),
        task=np.array(["x", "x"]),
    )  # fmt: skip
    assert t2.identify(counts).law_name == "additive"
