"""A fit that is no certified minimum says so in everything that is made of it."""

import dataclasses
import json

import numpy as np
import pytest

import t2jax as t2
from t2jax.cli import main
from t2jax.planner.doubts import doubts
from t2jax.planning.rivals.in_range import inside

REASON = "went astray; use more starts"
BUDGET = t2.Budget(train_flops=1e19)
SWEEP = t2.Budget(train_flops=np.geomspace(1e18, 1e20, 3))


@pytest.fixture(scope="module")
def sure() -> t2.FitResult:
    law = t2.laws.Additive(E=1.7, A=396.0, B=454.0, alpha=0.34, beta=0.3)
    params = np.repeat(np.geomspace(1e7, 2e9, 4), 4)
    tokens = params * np.tile(np.geomspace(5, 500, 4), 4)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(16))
    run = np.array([f"run {i:02}" for i in range(16)])
    loss = np.asarray(law(params=params, tokens=tokens)) * noise
    runs = t2.Observations(kind="loss", run=run, params=params, tokens=tokens, loss=loss)
    fit = t2.fit(runs, n_starts=1)
    assert fit.success
    return fit


@pytest.fixture(scope="module")
def doubtful(sure) -> t2.FitResult:
    return dataclasses.replace(sure, success=False, message=REASON)


@pytest.fixture(scope="module")
def draws(doubtful) -> t2.Ensemble:
    return t2.bootstrap(doubtful, n_draws=24, progress=False)


def test_draws_carry_the_reason_through_a_file(draws, tmp_path):
    draws.save(tmp_path / "draws.npz")
    again = t2.load(tmp_path / "draws.npz")
    assert isinstance(again, t2.Ensemble)
    assert again.uncertified == REASON
    assert f"NOT CERTIFIED: {REASON}" in again.summary()


def test_everything_made_of_it_says_so(doubtful, draws):
    for model in (doubtful, draws):
        best = t2.optimum(model, BUDGET)
        assert any("NOT CERTIFIED" in sentence for sentence in best.status)
        for result in (
            best,
            t2.frontier(model, SWEEP),
            t2.sensitivity(model, BUDGET),
            inside(model, BUDGET),
        ):
            assert result is not None
            assert result.summary().count("NOT CERTIFIED") == 1
    assert "NOT CERTIFIED" in t2.regret(draws, BUDGET).summary()
    assert "NOT CERTIFIED" in t2.design(draws, BUDGET, noise=0.01, simulate=False).summary()
    assert REASON in t2.profile(doubtful, "alpha").summary()
    front = t2.frontier(draws, SWEEP)
    said = doubts(doubtful, draws, t2.optimum(draws, BUDGET), front, None, BUDGET)
    assert [s for s in said if "NOT CERTIFIED" in s] == [f"NOT CERTIFIED: {REASON}."]


def test_a_certified_fit_says_nothing_of_it(sure):
    draws = t2.bootstrap(sure, n_draws=24, progress=False)
    for result in (
        t2.optimum(draws, BUDGET),
        t2.frontier(draws, SWEEP),
        t2.sensitivity(sure, BUDGET),
        t2.regret(draws, BUDGET),
        t2.design(draws, BUDGET, noise=0.01, simulate=False),
        t2.profile(sure, "alpha"),
    ):
        assert "CERTIFIED" not in result.summary()


FLOPS = ("--train-flops", "1e19")


@pytest.mark.parametrize(
    "words",
    [
        ("optimum", "fit.json", *FLOPS),
        ("optimum", "draws.npz", *FLOPS),
        ("frontier", "draws.npz", "--train-flops", "1e18:1e20:3"),
        ("design", "draws.npz", *FLOPS, "--noise", "0.01"),
        ("report", "fit.json", "draws.npz", *FLOPS, "-o", "report"),
        ("bootstrap", "runs.csv", "fit.json", "--draws", "24"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_the_command_line_asks_before_it_goes_on(
    words, doubtful, draws, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    doubtful.save("fit.json")
    draws.save("draws.npz")
    doubtful.observations.write("runs.csv")
    assert main(list(words)) == 3
    told = capsys.readouterr()
    assert REASON in told.err
    assert "--uncertified" in told.err
    assert told.out == ""
    assert main([*words, "--uncertified"]) == 0


def test_a_plan_of_it_asks_too(doubtful, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("t2jax.planner.driver.fit", lambda *_, **__: doubtful)
    doubtful.observations.write(tmp_path / "runs.csv")
    words = ["plan", str(tmp_path / "runs.csv"), "--draws", "24", "--out", str(tmp_path / "report")]
    assert main(words) == 3
    assert "--uncertified" in capsys.readouterr().err
    assert main([*words, "--uncertified"]) == 0
    told = json.loads((tmp_path / "report" / "optimum.json").read_text())
    assert any("NOT CERTIFIED" in sentence for sentence in told["status"])
