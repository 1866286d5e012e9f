"""The measured runs judge the law, and the first screen says so first."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax.errors import Status
from t2jax.planner import Measured
from t2jax.planner.equal_budgets import Choice, measured
from t2jax.planner.verdict import verdict_on
from t2jax.reporting import screen

BUDGET = t2.Budget(train_flops=1e21, inference_flops=1e12)
LAW = t2.laws.T2Loss.from_paper(
    E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3
)  # fmt: skip
MANY = jax.tree.map(lambda x: x * np.linspace(0.99, 1.01, 24), LAW)
DRAWS = t2.Ensemble(law=MANY, point=LAW, kind="bootstrap", unit="run")


@pytest.fixture(scope="module")
def best() -> t2.Optimum:
    return t2.optimum(DRAWS, BUDGET)


def seen(params: float, gain: float, step: float = 1.0, train_flops: float = 1e21) -> Measured:
    """A measured comparison: its best size, what that gains, and how far apart sizes lie."""

    def choice(size: float, loss: float, right: float) -> Choice:
        return Choice(params=size, tokens=1e21 / 6 / size, samples=40, checkpoints=2, loss=loss,
                      pass_at_k=right)  # fmt: skip

    return Measured(
        train_flops=train_flops, unevenness=1.0, sizes=7, single=choice(2 * params, 2.0, 0.5),
        repeated=choice(params, 2.0 - gain, 0.5 + gain / 10), gain_interval=(-0.01, 0.05),
        level=0.9, at_edge=False, loss_gain_interval=(gain - 0.1, gain + 0.1),
        speaks_for=(params / step**0.5, params * step**0.5),
    )  # fmt: skip


def test_runs_that_agree_let_the_law_speak(best):
    found = verdict_on(best, seen(float(best.params), float(best.gain())), "")
    assert (found.agrees, found.headline) == (True, "law")
    assert str(found).startswith("The measured runs agree")
    assert "inside the law's" in str(found)
    assert "as the law promises" in str(found)


def test_runs_inside_an_interval_wider_than_the_table_are_no_agreement(best):
    open_ended = dataclasses.replace(best, code=best.code | int(Status.UNTOLD_PARAMS))
    found = verdict_on(open_ended, seen(float(best.params), float(best.gain())), "")
    assert (found.agrees, found.headline) == (None, "law")
    assert str(found).startswith("The measured runs cannot judge so wide an interval: the best of")


@pytest.mark.parametrize(
    ("size", "share", "words"),
    [(3.0, 1.0, "outside the law's"), (1.0, 0.2, "where the law promises"),
     (0.3, 2.0, "outside the law's")],
)  # fmt: skip
def test_runs_that_do_not_agree_speak_first(best, size, share, words):
    found = verdict_on(best, seen(size * float(best.params), share * float(best.gain())), "")
    assert (found.agrees, found.headline) == (False, "measured")
    assert found.sentences[0].startswith("THE MEASURED RUNS DO NOT BEAR THE LAW OUT")
    assert words in found.sentences[0]
    assert found.to_dict()["sentences"] == list(found.sentences)


def test_a_true_law_between_two_sizes_of_a_grid_is_not_contradicted(best):
    # Sizes a factor of two apart: the nearest to the law's is up to a factor of 1.4 from it.
    for off in (0.72, 1.39):
        found = verdict_on(best, seen(off * float(best.params), float(best.gain()), step=2.0), "")
        assert (found.agrees, found.headline) == (True, "law")
        assert "of those measured the nearest to the" in str(found)
        assert str(found).startswith("The measured runs agree as far as their sizes tell: ")
    far = verdict_on(best, seen(3.0 * float(best.params), float(best.gain()), step=2.0), "")
    assert far.headline == "measured"


def test_a_gain_as_noisy_as_the_promise_is_large_contradicts_nothing(best):
    found = seen(float(best.params), 0.0)
    wide = dataclasses.replace(found, loss_gain_interval=(-9.0, 9.0))
    assert verdict_on(best, wide, "").agrees


def test_runs_of_another_budget_do_not_judge(best):
    found = verdict_on(best, seen(3.0 * float(best.params), 0.1, train_flops=5.5e20), "")
    assert (found.agrees, found.headline) == (None, "law")
    assert "do not judge this plan" in str(found)


def test_where_nothing_was_measured_the_reason_is_said(best):
    found = verdict_on(best, None, "the table holds losses, not answers to questions")
    assert (found.agrees, found.headline) == (None, "law")
    assert "No measured run judges this plan: the table holds losses" in str(found)


def test_counts_have_no_gain_in_nats(best):
    found = seen(float(best.params), float("nan"))
    assert verdict_on(best, found, "").agrees


def test_a_comparison_that_was_saved_before_is_read():
    told = dataclasses.asdict(seen(1e8, 0.1)) | {"gain": 0.01}
    assert Measured.from_dict(told) == seen(1e8, 0.1)
    del told["loss_gain_interval"]
    assert np.isnan(Measured.from_dict(told).loss_gain_interval).all()


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_the_first_screen_is_short_and_begins_with_the_answer(best, share):
    nothing: dict[str, Any] = dict.fromkeys(f.name for f in dataclasses.fields(t2.FitResult))
    fit = t2.FitResult(**{**nothing, "law": LAW, "samples": (1, 16)})
    made = t2.Plan(
        fit=fit, draws=DRAWS, budget=BUDGET, optimum=best,
        frontier=None,  # pyright: ignore[reportArgumentType] -- the screen does not show it
        measured=seen(float(best.params), share * float(best.gain())),
        notes=("Training budget 1e+21 FLOPs.", "Inference budget 1e+12 FLOPs."),
        warnings=tuple(f"Warning {i}: {'of many words ' * 9}. And more." for i in range(5)),
    )  # fmt: skip
    text = made.summary()
    assert len(text.splitlines()) <= screen.LINES
    assert max(map(len, text.splitlines())) <= 98
    first = text.splitlines()[0]
    assert first.startswith("Train " if share == 1.0 else "Measured at 1e+21 FLOPs")
    for words in ("parameters N", "90% interval", "gain over Chinchilla", "best measured",
                  "- Warning 0", "- Warning 1", "3 more warnings", "--full"):  # fmt: skip
        assert words in text
    for word in ("trunk", "matrices+head", "regret", "Warning 2"):
        assert word not in text
    k = round(float(best.samples))
    assert f"{k} samples per question" in text or share < 1


@pytest.mark.slow
def test_losses_at_one_training_budget_judge_a_plan_too():
    """Sizes at one budget of 6ND bear out the law that made them, and none that they contradict."""
    rng = np.random.default_rng(0)
    law = t2.laws.Additive(E=1.7, A=400.0, B=900.0, alpha=0.34, beta=0.3)
    params, flops = (axis.ravel() for axis in np.meshgrid(
        np.geomspace(3e7, 3e9, 9), np.geomspace(1e18, 1e20, 5)
    ))  # fmt: skip
    tokens = flops / (6 * params)
    loss = t2.laws.predict(law, params, tokens) * np.exp(0.001 * rng.normal(size=45))
    runs = t2.Observations(kind="loss", run=np.array([f"r{i}" for i in range(45)]), params=params,
                           tokens=tokens, loss=loss, source="a simulated table")  # fmt: skip
    made = t2.plan(runs, t2.Budget(train_flops=1e19), law="additive", n_draws=30, progress=False)
    found = made.measured
    assert found is not None
    assert found.once
    assert found.sizes == 9
    assert found.repeated.params in params
    assert found.speaks_for[0] < float(made.optimum.params) < found.speaks_for[1]
    assert made.verdict.agrees
    assert "best measured" in made.summary()
    assert "and Chinchilla's" not in made.summary()
    # Where the measured sizes say otherwise, they are believed.
    odd = np.where((params > 2e9) & np.isclose(flops, 1e19), 0.5 * loss, loss)
    told = dataclasses.replace(made, measured=measured(
        dataclasses.replace(runs, loss=odd), t2.Budget(train_flops=1e19)
    ))  # fmt: skip
    assert told.verdict.headline == "measured"
    assert told.summary().startswith("Measured at 1e+19 FLOPs, 3B parameters")
    assert "samples" not in told.summary().splitlines()[0]
