"""pass@k beyond the samples taken: truth where it is known, and refusals."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from scipy import special

from t2jax._precision import double
from t2jax.errors import InputError, Refusal
from t2jax.laws import Additive, BetaMonotone
from t2jax.observations import Observations
from t2jax.uncertainty import Ensemble
from t2jax.validation import Extrapolation, extrapolate, from_counts
from t2jax.validation.from_counts import Counts
from t2jax.validation.question_posterior import beta_posterior

LAW = BetaMonotone(
    loss=Additive(E=0.0, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3),
    a0=0.5, a1=1.0, b0=1.0, b1=2.0,
)  # fmt: skip
ONE, PARAMS, TOKENS = np.array(["a"]), np.array([1e7]), np.array([1e9])
GRID = [1, 10, 100, 1000, 10_000]


def simulate(seed: int, rows: int = 1, questions: int = 60, trials: int = 100):
    """Counts of questions with Beta(.3, 12.4) chances, and their exact pass@k."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.3, 12.4, (rows, questions))
    table = Observations(
        kind="counts", run=np.arange(rows).astype(str), params=np.geomspace(1e7, 1e8, rows),
        tokens=np.full(rows, 1e9), successes=rng.binomial(trials, p),
        trials=np.full(p.shape, trials), question=np.arange(questions).astype(str),
        task=np.full(questions, "task"),
    )  # fmt: skip
    truth = np.stack([(1 - (1 - p) ** k).mean(axis=1) for k in GRID], axis=1)
    return table, truth


def test_intervals_of_the_beta_spread_cover_at_their_rate():
    table, truth = simulate(0, rows=40)
    found = extrapolate(table, GRID, level=0.8, method="beta_binomial")
    for j in (2, 3, 4):
        inside = (found.low[:, j] <= truth[:, j]) & (truth[:, j] <= found.high[:, j])
        assert 26 <= inside.sum() <= 38  # 32 +- 2.5 standard deviations
    assert found.coverage(truth) > 0.65
    assert found.error(truth) < 0.15


def test_the_beta_spread_beats_the_straight_line_where_questions_are_beta():
    table, truth = simulate(1, rows=12)
    spread = extrapolate(table, GRID, method="beta_binomial")
    line = extrapolate(table, GRID, method="regression")
    assert spread.error(truth) < 0.6 * line.error(truth)


def uneven(seed: int, rows: int, trials: int = 100):
    """Counts of questions with log-normal losses, and their exact pass@k."""
    rng = np.random.default_rng(seed)
    p = np.exp(-np.exp(rng.normal(1.6, 0.8, (rows, 300))))
    table, _ = simulate(seed, rows, 300, trials)
    table = dataclasses.replace(table, successes=rng.binomial(trials, p))
    return table, np.stack([-np.expm1(k * np.log1p(-p)).mean(axis=1) for k in GRID], axis=1)


@pytest.mark.parametrize("made", [simulate, uneven])
def test_the_stack_keeps_to_the_better_of_its_two_and_covers(made):
    table, truth = made(6, rows=12)
    stack = extrapolate(table, GRID)
    alone = [
        extrapolate(table, GRID, method=m).error(truth) for m in ("beta_binomial", "regression")
    ]
    assert stack.error(truth) < min(alone) + 0.6 * abs(alone[0] - alone[1])
    assert 0.8 < stack.coverage(truth)


def test_the_weights_of_a_stack_are_those_of_the_better_method_at_a_tenth_of_the_samples():
    def weight(table):
        (note,) = [note for note in extrapolate(table, GRID).notes if "weight" in note]
        return float(note.split(" has ")[1].split("%")[0])

    assert weight(simulate(7, rows=12, questions=300)[0]) > 80
    few = simulate(7, rows=3, trials=15)[0]
    assert weight(few) == 50
    assert "for want of 20 trials" in " ".join(extrapolate(few, GRID).notes)


def test_a_tenth_of_the_samples_is_a_mean_over_the_ways_to_take_it():
    held_out = double(from_counts._held_out)
    counts = Counts(np.array([[5] * 20 + [1] * 20 + [0] * 20]), np.full((1, 60), 20))
    ((spread, line),) = held_out(counts, np.random.default_rng(0))
    # Two of twenty samples: pass@1 and pass@2 of the three kinds of question, and their line.
    one, two = np.mean([5 / 20, 1 / 20, 0]), np.mean([1 - 105 / 190, 1 - 171 / 190, 0])
    bent = np.log(-np.log(np.array([one, two, 2 / 3])))
    assert line == pytest.approx(bent[0] + (bent[1] - bent[0]) * np.log2(20) - bent[2])
    assert abs(spread) < 0.5
    none = Counts(np.zeros((2, 9)), np.full((2, 9), 50))
    assert len(held_out(none, np.random.default_rng(0))) == 0


def test_within_the_trials_the_line_meets_the_unbiased_estimate():
    table, _ = simulate(2, rows=4)
    found = extrapolate(table, [10, 30], method="regression")
    assert found.estimate == pytest.approx(table.pass_at_k([10, 30]), rel=0.15)
    assert not found.beyond.any()
    assert found.notes == ()


def test_what_lies_beyond_the_trials_is_labelled():
    table, _ = simulate(2, rows=2)
    found = extrapolate(table, [50, 100, 101], n_draws=200)
    assert found.beyond.tolist() == [[False, False, True]] * 2
    assert found.summary().count("EXTRAPOLATED") == 2
    assert "k exceeds the trials" in found.notes[0]
    assert np.all(found.low <= found.estimate)
    assert np.all(found.estimate <= found.high)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["beyond"][0][2] is True


def test_the_posterior_of_a_spread_is_that_of_a_grid():
    table, _ = simulate(3)
    c, n = np.asarray(table.successes)[0], np.asarray(table.trials)[0]
    u, v = np.meshgrid(np.linspace(-4, 2, 300), np.linspace(-2, 8, 300), indexing="ij")
    a, b = np.exp(u)[..., None], np.exp(v)[..., None]
    cells = special.betaln(a + c, b + n - c) - special.betaln(a, b)
    density = cells.sum(axis=-1) - 0.5 * ((u + 1) / 2) ** 2 - 0.5 * ((v - 4) / 5) ** 2
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    spread, effective = beta_posterior_in_double(c, n)
    assert effective > 300
    for column, axis in ((np.log(spread[0]), u), (np.log(spread[1]), v)):
        mean = np.sum(weight * axis)
        sd = np.sqrt(np.sum(weight * (axis - mean) ** 2))
        assert column.mean() == pytest.approx(mean, abs=0.15 * sd)
        assert column.std() == pytest.approx(sd, rel=0.15)


def beta_posterior_in_double(successes, trials):
    return double(beta_posterior)(successes, trials, impossible=False, n_draws=1000, seed=0)


def test_impossible_questions_bend_the_curve_down():
    rng = np.random.default_rng(4)
    p = rng.beta(2.0, 10.0, 200) * (rng.random(200) < 0.6)
    table = Observations(
        kind="counts", run=ONE, params=PARAMS, tokens=TOKENS,
        successes=rng.binomial(50, p)[None], trials=np.full((1, 200), 50),
        question=np.arange(200).astype(str), task=np.full(200, "task"),
    )  # fmt: skip
    truth = (1 - (1 - p) ** 10_000).mean()
    only: dict[str, Any] = {"method": "beta_binomial"}
    plain = extrapolate(table, [10_000], **only).estimate[0, 0]
    mixed = extrapolate(table, [10_000], impossible=True, **only)
    assert plain > truth + 0.02
    assert plain > mixed.high[0, 0]
    assert mixed.low[0, 0] <= truth <= mixed.high[0, 0]


def law_draws(**nuisance) -> Ensemble:
    columns = {name: np.full(50, x) for name, x in LAW.coefficients().items()}
    extra = {name: np.full(50, x) for name, x in nuisance.items()}
    return Ensemble(law=LAW.replace(**columns), point=LAW, kind="posterior", nuisance=extra)


def test_a_value_beyond_either_end_is_not_covered():
    def all_four(x: float) -> np.ndarray:
        return np.full((1, 4), x)

    found = Extrapolation(
        method="law", run=np.array(["a"]), params=np.ones(1), tokens=np.ones(1), level=0.9,
        samples=np.ones(4), estimate=all_four(0.3), beyond=all_four(0) > 0,
        low=all_four(0.2), high=all_four(0.4),
    )  # fmt: skip
    assert found.coverage(np.array([[0.1, 0.3, 0.5, np.nan]])) == pytest.approx(1 / 3)


def test_draws_of_a_law_predict_the_law():
    want = [float(LAW(params=1e8, tokens=1e10, samples=float(k))) for k in GRID]
    found = extrapolate(law_draws(), GRID, params=[1e8], tokens=[1e10])
    assert found.estimate[0] == pytest.approx(want, rel=1e-4)
    assert found.beyond.all()
    assert "leave out how far a checkpoint strays" in " ".join(found.notes)
    less = extrapolate(law_draws(impossible=0.2), GRID, params=[1e8], tokens=[1e10])
    assert less.estimate == pytest.approx(0.8 * found.estimate, rel=1e-6)


def test_fewer_questions_and_stray_checkpoints_widen_the_interval():
    place = {"params": [1e8], "tokens": [1e10], "n_draws": 500}
    width = {}
    for name, draws, questions in (
        ("many", law_draws(), 3000),
        ("few", law_draws(), 60),
        ("stray", law_draws(sd_log_b=0.5), 3000),
    ):
        found = extrapolate(draws, [100], questions=questions, **place)
        width[name] = float(found.high[0, 0] - found.low[0, 0])
    assert width["few"] == pytest.approx(width["many"] * 50**0.5, rel=0.3)
    assert width["stray"] > 3 * width["many"]


@pytest.mark.parametrize(
    ("source", "options", "error", "word"),
    [
        ("table", {"samples": [0.5]}, InputError, "at least 1"),
        ("table", {"method": "spline"}, InputError, "unknown method"),
        ("table", {"questions": 5}, InputError, "says itself"),
        ("table", {"method": "regression", "impossible": True}, InputError, "straight line"),
        ("table", {"impossible": True}, InputError, "straight line"),
        ("table", {"level": 1.0}, InputError, "no share of one"),
        ("losses", {}, Refusal, "no counts"),
        ("draws", {}, InputError, "need checkpoints"),
        ("additive", {"params": 1e8, "tokens": 1e9}, Refusal, "no spread"),
    ],
)
def test_what_cannot_be_extrapolated_is_refused(source, options, error, word):
    losses = Observations(kind="loss", run=ONE, params=PARAMS, tokens=TOKENS, loss=np.array([3.0]))
    sources = {
        "table": simulate(5)[0],
        "losses": losses,
        "draws": law_draws(),
        "additive": Ensemble(law=LAW.loss, point=LAW.loss, kind="posterior"),
    }
    with pytest.raises(error, match=word):
        extrapolate(sources[source], **{"samples": [10], **options})
