"""What the posterior knows of its rows sharing noise: checkpoints, runs, and questions."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from law_cases import value

import t2jax as t2
from t2jax._precision import double
from t2jax.errors import InputError
from t2jax.laws import Additive
from t2jax.observations import Observations
from t2jax.uncertainty.prepare import _influence, _likelihood_stage, _minimise, _sharing, prepare
from t2jax.uncertainty.question_choice import question_scores, shared_moves

TRUE = Additive(E=1.7, A=400.0, B=430.0, alpha=0.34, beta=0.3)
RUNS, STOPS = 16, 5


def trajectories(run_sd=0.03, noise=0.005, samples=(1,), runs=RUNS) -> Observations:
    """Losses of checkpoints along trajectories: simulated, each run with a shift of its own."""
    rng = np.random.default_rng(2)
    run = np.repeat(np.arange(runs), STOPS * len(samples))
    params = np.geomspace(1e7, 3e9, runs)[run]
    tokens = params * np.tile(np.repeat(np.geomspace(3, 300, STOPS), len(samples)), runs)
    loss = value(TRUE, {"params": params, "tokens": tokens})
    loss = loss * np.exp(run_sd * rng.normal(size=runs)[run] + noise * rng.normal(size=len(run)))
    return Observations(
        kind="loss", run=run.astype(str), params=params, tokens=tokens,
        samples=np.tile(samples, runs * STOPS), loss=loss,
    )  # fmt: skip


def asked(runs=12, questions=40) -> Observations:
    """Likelihoods of a few questions in two tasks, simulated: harder ones for smaller models."""
    rng = np.random.default_rng(3)
    params = np.repeat(np.geomspace(1e7, 1e9, runs // 2), 2)
    tokens = params * np.tile([10.0, 100.0], runs // 2)
    mean = value(TRUE, {"params": params, "tokens": tokens})[:, None]
    nll = mean * rng.gamma(4.0, 0.25, questions) * np.exp(0.02 * rng.normal(size=(runs, 1)))
    return Observations(
        kind="nll", run=np.arange(runs).astype(str), params=params, tokens=tokens, nll=nll,
        question=np.arange(questions).astype(str),
        task=np.where(np.arange(questions) < 15, "one", "two"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    """The additive law on trajectories; other tables are judged by the same fit."""
    return t2.fit(trajectories(), n_starts=1)


@pytest.fixture(scope="module")
def fitted_questions():
    """T2's law of losses on likelihoods of questions."""
    return t2.fit(asked(), law="t2_loss", samples=(1, 4, 16), n_starts=1)


def sharing(fitted, table, effects=None):
    """What rows share, and how many of them each run holds."""
    found = double(lambda: _sharing(table, _likelihood_stage(fitted, table), effects))()
    return found.kind, found.unit, len(found.nest.outer_rows), found.notes


def test_rows_share_what_the_table_says_they_share(fitted):
    several, alone = trajectories(samples=(1, 4, 16)), asked()
    assert sharing(fitted, trajectories())[:3] == ("run", "run", RUNS)
    assert sharing(fitted, trajectories(), "none")[:3] == ("none", "row", RUNS * STOPS)
    assert sharing(fitted, alone)[:3] == ("none", "row", alone.n_rows)
    # A law of one sample sees one row of each checkpoint.
    assert sharing(fitted, several)[:3] == ("run", "run", RUNS)
    many = dataclasses.replace(fitted, law=t2.laws.T2Loss(
        E1=2.0, A=400.0, B=430.0, S=0.3, alpha=0.34, beta=0.3, gamma=0.2))  # fmt: skip
    assert sharing(many, several)[:3] == ("nested", "run", RUNS)
    assert sharing(many, several, "checkpoint")[:3] == ("checkpoint", "checkpoint", RUNS * STOPS)
    trunk = np.array(several.run.astype(int) // 2).astype(str)
    trunks = dataclasses.replace(several, trunk=trunk)
    assert sharing(many, trunks)[:3] == ("nested", "trunk", RUNS // 2)


def test_too_few_runs_are_taken_apart_and_said_to_be(fitted):
    few = trajectories(runs=3)
    kind, unit, count, notes = sharing(fitted, few)
    assert (kind, unit, count) == ("none", "row", 3 * STOPS)
    assert "the table has 3 of them" in notes[0]
    assert "too narrow" in notes[0]
    assert sharing(fitted, few, "run")[:3] == ("run", "run", 3)


def test_counts_have_no_deviations_of_runs(fitted):
    law = t2.laws.BetaMonotone(loss=TRUE, a0=1.5, a1=0.6, b0=-2.0, b1=1.2)
    table = asked()
    counts = Observations(
        kind="counts", run=table.run, params=table.params, tokens=table.tokens,
        successes=np.ones((table.n_rows, table.n_questions)),
        trials=np.full((table.n_rows, table.n_questions), 4),
        question=table.question, task=table.task,
    )  # fmt: skip
    with pytest.raises(InputError, match="no deviations of runs"):
        sharing(dataclasses.replace(fitted, law=law), counts, "run")


@pytest.mark.slow
def test_rows_move_the_mode_as_minimising_again_says(fitted_questions):
    table = asked()

    def both():
        prepared = prepare(fitted_questions, table, effects=None, impossible=False, priors=None)
        target, inputs, mode = prepared.target, prepared.inputs, prepared.mode
        influence, slopes = _influence(target, mode, prepared.root, inputs)
        rows = inputs.data.rows
        scores, _ = question_scores(table, (1, 4, 16), np.asarray(rows.value))
        assert scores is not None
        pairs = []
        for question in (0, 17, 39):
            ends = []
            for sign in (-1e-3, 1e-3):
                moved = dataclasses.replace(
                    rows, value=rows.value * jnp.exp(sign * scores[:, question])
                )
                data = dataclasses.replace(inputs.data, rows=moved)
                ends.append(_minimise(target, mode, dataclasses.replace(inputs, data=data)).free)
            pairs.append((influence @ scores[:, question], (ends[1] - ends[0]) / 2e-3))
        return prepared, pairs, slopes.shape

    prepared, pairs, shape = double(both)()
    assert prepared.moves is not None
    assert prepared.moves.shape == (shape[1], shape[1])
    assert any("choice of questions is part" in note for note in prepared.notes)
    for ours, again in pairs:
        assert np.asarray(ours) == pytest.approx(again, rel=0.02, abs=0.01 * np.abs(again).max())


def test_what_questions_do_to_one_unit_alone_is_not_counted_again():
    rng = np.random.default_rng(0)
    units, members, questions = 60, 3, 4000
    slopes = rng.normal(size=(units * members, 4))
    unit = np.repeat(np.arange(units), members)
    # Least squares whose noise is that of the questions, each unit having its own.
    noise = 1e-3
    bread = np.linalg.inv(slopes.T @ slopes)
    influence, root = bread @ slopes.T, noise * np.linalg.cholesky(bread)
    own = rng.normal(size=(units * members, questions)) * noise / np.sqrt(questions)
    alone = shared_moves(own, influence, slopes, unit, root)
    # 1 where it is counted again; a unit follows a fifteenth of its own noise, which stays.
    assert np.linalg.norm(np.linalg.solve(root, alone), 2) ** 2 < 0.15
    common = slopes @ rng.normal(size=(4, questions)) * noise / np.sqrt(questions)
    both = shared_moves(common, influence, slopes, unit, root)
    whole = influence @ common
    assert both @ both.T == pytest.approx(whole @ whole.T, rel=1e-6)


def test_a_table_of_losses_says_that_it_holds_for_its_questions(fitted):
    prepared = double(prepare)(fitted, trajectories(), effects=None, impossible=False, priors=None)
    assert prepared.moves is None
    assert any("hold for these questions" in note for note in prepared.notes)


@pytest.mark.slow
def test_the_spread_of_runs_is_found_and_widens_the_intervals(fitted):
    draws = t2.posterior(fitted, target_accept=0.98, progress=False)
    assert (draws.unit, draws.diagnostics["failed"]) == ("run", [])
    low, high = np.quantile(draws.nuisance["run_sd"], [0.025, 0.975])
    assert low < 0.03 < high
    apart = t2.posterior(fitted, effects="none", target_accept=0.98, progress=False)
    # In the middle of the design a run of five checkpoints counts once, not five times.
    middle = {"params": np.sqrt(3e16), "tokens": 30 * np.sqrt(3e16)}
    width = [float(np.std(np.log(d.predict(**middle)))) for d in (draws, apart)]
    assert width[0] / width[1] == pytest.approx(np.sqrt(STOPS), rel=0.25)
    low, high = draws.interval("alpha", 0.95)
    assert low < 0.34 < high


@pytest.mark.slow
def test_the_posterior_of_likelihoods_is_as_wide_as_the_bootstrap():
    """Two accounts of the same noise, of runs and of questions: within a third of each other."""
    fit = t2.fit(t2.datasets.load_ladder(), law="softplus", samples=(1, 16, 256))
    chains = t2.posterior(fit, target_accept=0.98, progress=False)
    refits = t2.bootstrap(fit, n_draws=300, progress=False)
    assert chains.unit == "trunk"
    budget = t2.Budget(train_flops=1e12, inference_flops=1e6)
    spread = []
    for draws in (chains, refits):
        best = t2.optimum(draws, budget, progress=False).draws
        assert best is not None
        logs = np.log([draws.law.coefficients()["s"], np.asarray(best.params)])
        spread.append(np.ptp(np.quantile(logs, [0.025, 0.975], axis=1), axis=0))
    assert spread[0] == pytest.approx(spread[1], rel=1 / 3)
