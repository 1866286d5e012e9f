"""Plans made of cheaper runs, judged by what was measured: along runs, never between sizes."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax.errors import InputError, Refusal
from t2jax.planner.backtested import Case
from t2jax.planner.judging import _Judge
from t2jax.planner.levels import level_at, levels_of
from t2jax.reporting import figures

SIZES = np.geomspace(1e6, 3.2e7, 6)
LAW = t2.laws.Additive(E=1.0, A=60.0, B=200.0, alpha=0.3, beta=0.3)


def losses(sizes=SIZES, steps=9, **more) -> t2.Observations:
    """Runs whose checkpoints lie a factor of 2 apart, without noise."""
    tokens = 1e7 * 2.0 ** np.arange(steps)
    n, d = (x.ravel() for x in np.meshgrid(sizes, tokens, indexing="ij"))
    run = np.repeat([f"r{i}" for i in range(len(sizes))], steps)
    value = np.asarray(LAW(params=n, tokens=d), float)
    return t2.Observations(kind="loss", run=run, params=n, tokens=d, loss=value, **more)


def test_a_size_is_read_along_its_own_runs():
    runs = losses()
    flops = 6 * 4e6 * 1.3e8
    level = level_at(runs, flops)
    assert level.tokens * level.params * 6 == pytest.approx(np.full(len(level.params), flops))
    assert level.weights.sum(1) == pytest.approx(1.0)
    # No weight on another size.
    for size, weights in zip(level.params, level.weights, strict=True):
        assert set(runs.params[weights > 0]) == {size}
    found, _ = level.values(runs, np.ones(len(level.params)))
    true = np.asarray(LAW(params=level.params, tokens=level.tokens), float)
    assert found == pytest.approx(true, rel=2e-2)
    assert (found >= true - 1e-6).all()  # a chord of a convex curve lies above it


def test_nothing_is_read_beyond_the_end_of_a_run():
    runs = losses()
    level = level_at(runs, 6 * SIZES[0] * 2.56e9 * 2)
    assert SIZES[0] not in level.params
    assert SIZES[-1] in level.params


def test_a_wide_gap_is_not_bridged_and_lone_runs_of_a_size_are_joined():
    runs = losses(steps=2)
    far = dataclasses.replace(runs, tokens=np.tile([1e7, 1e9], len(SIZES)))
    assert len(level_at(far, 6 * SIZES[2] * 1e8).params) == 0
    lone = dataclasses.replace(runs, run=np.arange(runs.n_rows).astype(str))
    level = level_at(lone, 6 * SIZES[2] * 1.5e7)
    assert SIZES[2] in level.params


def test_nothing_but_two_budgets_is_asked_of_a_table():
    for odd in ({"max_params": 5e6}, {"inference_flop": 1.0}, {"train_flops": -1.0}):
        with pytest.raises(InputError):
            t2.backtest(losses(steps=2), odd, progress=False)


def test_a_promise_where_nothing_was_solved_is_off_without_end():
    zeros: dict[str, Any] = {f.name: 0.0 for f in dataclasses.fields(Case)}
    case = Case(**zeros)
    assert case.error == 0.0
    assert dataclasses.replace(case, promised=0.1).error == np.inf


def test_seeds_of_a_size_count_alike():
    one = losses(steps=2)
    assert one.loss is not None
    both = one.join(dataclasses.replace(one, run=np.char.add(one.run, "b"), loss=one.loss + 1.0))
    level = level_at(both, 6 * SIZES[3] * 1e7)
    of = level.params.tolist().index(SIZES[3])
    assert level.values(both, np.ones(len(level.params)))[0][of] == pytest.approx(
        one.loss[one.params == SIZES[3]][0] + 0.5
    )


def test_budgets_are_chosen_where_sizes_were_measured():
    found = levels_of(losses(), count=3, least=4, below=1 / 3)
    assert len(found) == 3
    assert all(len(level_at(losses(), flops).params) >= 4 for flops in found)
    assert levels_of(losses(SIZES[:3]), count=3, least=4, below=1 / 3) == ()


def case(**changes) -> Case:
    lost = {"plan": 0.02, "chinchilla": 0.2, "chinchilla_measured": 0.1, "ratio": 0.3,
            "smallest": 0.4, "largest": 0.5}  # fmt: skip
    values = {
        "train_flops": 1e20, "share": 0.5, "fitted_flops": 4e19, "inference_flops": 1e9,
        "sizes": 8, "planned": 1e8, "judged": 1.1e8, "best": 9e7, "samples": 5.0,
        "promised": 2.2, "low": 1.9, "high": 2.4, "measured": 2.0, "lost": lost,
        "lost_pass": {name: x / 10 for name, x in lost.items()},
    }  # fmt: skip
    return Case(**(values | changes))


FOUND = t2.Backtest(
    cases=(case(), case(measured=3.0, lost_pass=dict.fromkeys(case().lost, math.nan))),
    kind="loss", law="linked", source="runs.csv", level=0.9, n_sizes=9, skipped=("one: why",),
)  # fmt: skip


def test_a_backtest_says_what_was_lost_and_promised(tmp_path):
    said = FOUND.sentence()
    assert "the plan lost 0.02 nats on average to the best of the 8 sizes measured" in said
    assert "Chinchilla's choice lost 0.2, or 0.1 as measured" in said
    assert "in 1 of 2 cases" in said
    assert FOUND.coverage() == 0.5
    assert FOUND.error() == pytest.approx((0.1 + abs(2.2 / 3 - 1)) / 2)
    text = FOUND.summary()
    assert max(map(len, text.splitlines())) <= 98
    assert "+10%" in text
    assert "-27%*" in text
    assert "Not planned: one: why." in text
    frame = FOUND.to_frame()
    assert frame.loc[1, "lost_chinchilla"] == 0.2
    FOUND.save(tmp_path / "found.json")
    again = t2.load(tmp_path / "found.json")
    assert isinstance(again, t2.Backtest)
    assert again.summary() == text
    assert math.isnan(again.cases[1].lost_pass["plan"])


def test_the_figure_has_a_row_for_every_choice():
    ax = FOUND.plot().axes[0]
    assert len(ax.get_yticklabels()) == 6
    assert "the plan lost 0.02" in " ".join(ax.get_title(loc="left").split())
    assert figures.backtest_panel(FOUND).get_title(loc="left") == ax.get_title(loc="left")


def test_a_table_that_cannot_be_split_says_which_runs_would_make_it_possible():
    with pytest.raises(Refusal, match="cannot be split") as caught:
        t2.backtest(losses(SIZES[:3]))
    assert "measure 4 sizes at one training budget" in str(caught.value)
    assert "and 1 more sizes" in str(caught.value)


def test_what_cannot_be_asked_is_said():
    with pytest.raises(InputError, match="two separate budgets"):
        t2.backtest(losses(), {"total_flops": 1e20})
    with pytest.raises(Refusal, match="says nothing of samples"):
        t2.backtest(losses(), {"inference_flops": 1e9})
    with pytest.raises(InputError, match="shares"):
        t2.backtest(losses(), shares=[1.5])
    with pytest.raises(Refusal, match="several k"):
        t2.backtest(losses(samples=np.tile([1.0, 2, 4], 18)))


def test_a_plan_of_a_true_law_loses_next_to_nothing():
    rng = np.random.default_rng(0)
    runs = losses()
    assert runs.loss is not None
    runs = dataclasses.replace(runs, loss=runs.loss * np.exp(0.002 * rng.normal(size=runs.n_rows)))
    found = t2.backtest(runs, n_levels=1, shares=[0.5], law="additive", n_draws=20,
                        discrepancy=False, progress=False)  # fmt: skip
    (one,) = found.cases
    assert one.fitted_flops <= one.train_flops / 2 * 1.001
    assert one.lost["plan"] < 0.01
    assert abs(one.error) < 0.02
    assert "20 tokens per parameter lost" in found.sentence()


def test_differences_from_the_plan_carry_the_luck_of_questions_and_runs():
    """Two sizes: one alike on every question, one that half of the questions like better."""
    rng = np.random.default_rng(0)
    ladder = t2.datasets.load_ladder()
    place = level_at(ladder, float(np.median(ladder.train_flops)))
    assert len(place.params) >= 3
    samples = np.full(len(place.params), 4.0)
    loss, success = place.by_question(ladder, samples)
    for one, mean in zip((loss, success), place.values(ladder, samples), strict=True):
        np.testing.assert_allclose(one.mean(axis=1), mean, rtol=1e-12)
    law = t2.laws.Additive(E=1.0, A=10.0, B=10.0, alpha=0.3, beta=0.3)
    many = t2.Ensemble(
        law=jax.tree.map(lambda x: np.full(4, x), law), point=law, kind="bootstrap", unit="run",
        nuisance={"run_sd": np.full(4, 0.03), "checkpoint_sd": np.full(4, 0.04)},
    )  # fmt: skip
    judge = _Judge(runs=ladder, draws=many, level=0.9, seed=0, skipped=[])
    worth = -loss.mean(axis=1)
    found = judge._errors(place, samples, worth, {"plan": 0, "other": 1, "same": 0})
    assert found["plan"] == found["same"] == 0.0
    resampled = rng.integers(0, loss.shape[1], (4000, loss.shape[1]))
    questions = np.std((loss[1] - loss[0])[resampled].mean(axis=1))
    runs = 0.05 * np.hypot(*(worth[:2] / np.sqrt(place.repeats(ladder)[:2])))
    assert found["other"] == pytest.approx(np.hypot(questions, runs), rel=0.05)


@pytest.mark.slow
def test_a_share_of_one_judges_a_plan_of_the_whole_table():
    losses = t2.datasets.load_ladder(measure="loss")
    found = t2.backtest(losses, n_levels=1, shares=[1.0], n_draws=8, discrepancy=False,
                        progress=False)  # fmt: skip
    assert found.cases[0].fitted_flops == pytest.approx(losses.train_flops.max())
    assert found.in_sample()
    assert "from the whole table, which they are a part of" in found.sentence()
    with pytest.raises(InputError, match="1 for the whole table"):
        t2.backtest(losses, shares=[1.5])
