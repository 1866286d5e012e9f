"""The bootstrap: refits of whole runs and of questions, as weights."""

import dataclasses
import functools
import sys

import numpy as np
import pytest
from law_cases import value

from t2jax.errors import InputError, Refusal
from t2jax.fitting import FitResult, fit
from t2jax.laws import Additive
from t2jax.observations import Observations
from t2jax.uncertainty import Ensemble
from t2jax.uncertainty import bootstrap as with_misfit
from t2jax.uncertainty.ensemble import central_interval
from t2jax.uncertainty.resampling import SCHEMES, levels_of, question_weights, unit_weights

# 30 runs of 8 checkpoints: 240 rows, as many as the published table has, so that compiled
# programs are shared.
PARAMS = np.repeat(np.geomspace(1e7, 3e9, 30), 8)
TOKENS = PARAMS * np.tile(np.geomspace(3, 300, 8), 30)
RUN = np.repeat([f"run {i:02}" for i in range(30)], 8)
ROWS = np.arange(240).astype(str)
TRUE = Additive(E=1.7, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3)
# Of the law alone; surfaces of misfit have a file of their own.
bootstrap = functools.partial(with_misfit, discrepancy=False)

DRAWS = 250


@pytest.fixture(scope="module")
def table() -> Observations:
    """Losses whose noise is nearly the same at every checkpoint of a run."""
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(0, 0.02, 30), 8)
    loss = value(TRUE, {"params": PARAMS, "tokens": TOKENS})
    loss = loss * np.exp(shared + rng.normal(0, 0.002, 240))
    return Observations(kind="loss", run=RUN, params=PARAMS, tokens=TOKENS, loss=loss)


@pytest.fixture(scope="module")
def fitted(table) -> FitResult:
    return fit(table, law="additive", objective="huber")


@pytest.fixture(scope="module")
def by_run(fitted) -> Ensemble:
    return bootstrap(fitted, n_draws=DRAWS, progress=False)


@pytest.fixture(scope="module")
def by_row(fitted) -> Ensemble:
    return bootstrap(fitted, n_draws=DRAWS, unit="row", seed=7, progress=False)


def spread(draws: Ensemble) -> dict[str, float]:
    return {name: float(np.std(x)) for name, x in draws.law.coefficients().items()}


def test_the_same_seed_gives_the_same_draws(fitted, by_run):
    again = bootstrap(fitted, n_draws=DRAWS, unit="run", seed=0, progress=False)
    other = bootstrap(fitted, n_draws=DRAWS, unit="run", seed=1, progress=False)
    for name, draws in by_run.law.coefficients().items():
        assert np.array_equal(draws, again.law.coefficients()[name])
        assert not np.array_equal(draws, other.law.coefficients()[name])


def test_draws_are_the_law_itself_with_an_axis_and_converge(by_run, fitted):
    assert (by_run.kind, by_run.unit, by_run.n_draws) == ("bootstrap", "run", DRAWS)
    assert by_run.point == fitted.law
    assert by_run.diagnostics["converged"] == 1.0
    assert by_run.diagnostics["units"] == 30
    low, high = by_run.interval("alpha")
    assert low < fitted.law.coefficients()["alpha"] < high
    place = {"params": 1e9, "tokens": 1e11}
    one = value(by_run.law, place)
    assert by_run.predict(**place) == pytest.approx(one, rel=1e-12)


def test_a_weight_is_a_repeated_row(table, by_row):
    # Row draws are multinomial weights of `default_rng(seed)`; refit one with rows repeated.
    share = np.full(240, 1 / 240)
    counts = np.random.default_rng(7).multinomial(240, share, size=DRAWS)
    for draw in (0, DRAWS - 1):
        rows = np.repeat(np.arange(240), counts[draw])
        repeated = Observations(
            kind="loss",
            run=ROWS,
            params=PARAMS[rows],
            tokens=TOKENS[rows],
            loss=np.asarray(table.loss)[rows],
        )
        refit = fit(repeated, law="additive", objective="huber", n_starts=16).law.coefficients()
        drawn = {name: float(x[draw]) for name, x in by_row.law.coefficients().items()}
        assert drawn == pytest.approx(refit, rel=1e-6)


def test_rows_that_share_a_run_make_the_row_bootstrap_too_narrow(by_run, by_row):
    wide, narrow = spread(by_run), spread(by_row)
    for name in ("A", "alpha"):
        assert wide[name] > 1.4 * narrow[name]


def test_standard_errors_of_the_published_table(shared_data, golden):
    pandas = pytest.importorskip("pandas")
    points = pandas.read_csv(shared_data / "chinchilla_epoch" / "points.csv")
    points = points[points.epoch_fit_subset == 1]
    epoch = Observations(
        kind="loss", run=ROWS, params=points.n_params,
        tokens=points.d_tokens, loss=points.loss,
    )  # fmt: skip
    draws = bootstrap(fit(epoch, law="additive", objective="huber"), n_draws=1500, progress=False)
    assert draws.unit == "row"
    assert draws.diagnostics["converged"] > 0.99
    assert spread(draws) == golden("epoch")["bootstrap errors"].approx


def test_draws_survive_a_file_exactly(by_run, tmp_path):
    by_run.save(tmp_path / "draws.npz")
    back = Ensemble.load(tmp_path / "draws.npz")
    for field in ("kind", "unit", "seed", "hull", "source", "data_hash", "diagnostics", "point"):
        assert getattr(back, field) == getattr(by_run, field)
    for name, draws in by_run.law.coefficients().items():
        assert np.array_equal(back.law.coefficients()[name], draws)
    assert back.summary() == by_run.summary()
    assert type(back.law) is type(by_run.law)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a file of arrays"])
def test_a_file_that_holds_no_draws_is_named(content, tmp_path):
    path = tmp_path / "draws.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"draws\.npz.*cannot be read as draws"):
        Ensemble.load(path)


def test_the_summary_shows_an_interval_for_every_coefficient(by_run):
    text = by_run.summary()
    assert "250 bootstrap draws of law 'additive' by run" in text
    for name in by_run.law.coefficients():
        assert any(line.split()[:1] == [name] for line in text.splitlines())
    assert "scheme 'pairs': 30 units of 'run' resampled; 100.0% of refits converged" in text


def test_fewer_than_five_units_are_refused(table, fitted):
    few = dataclasses.replace(table, run=np.repeat(["a", "b", "c", "d"], 60))
    known = dataclasses.replace(fitted, data_hash=few.data_hash())
    with pytest.raises(Refusal, match="4 of unit 'run': too few to resample; add runs"):
        bootstrap(known, runs=few, unit="run", progress=False)


def test_another_table_or_none_at_all_is_named(table, fitted, tmp_path):
    with pytest.raises(InputError, match="is not the table that was fitted"):
        bootstrap(fitted, runs=table.select(slice(0, 200)), progress=False)
    fitted.save(tmp_path / "fit.json")
    back = FitResult.load(tmp_path / "fit.json")
    with pytest.raises(InputError, match=r"pass runs=t2jax\.read"):
        bootstrap(back, progress=False)
    with pytest.raises(InputError, match="n_draws = 0"):
        bootstrap(fitted, n_draws=0, progress=False)
    with pytest.raises(InputError, match="no unit 'question'"):
        bootstrap(fitted, unit="question", progress=False)
    with pytest.raises(InputError, match="no trunk"):
        bootstrap(fitted, unit="trunk", progress=False)


def test_questions_are_resampled_alike_for_every_checkpoint():
    # Where a question is harder by the same amount for every checkpoint, resampling questions
    # shifts all checkpoints alike: E moves, and nothing else does.
    rng = np.random.default_rng(2)
    loss = value(TRUE, {"params": PARAMS, "tokens": TOKENS}) * np.exp(rng.normal(0, 0.01, 240))
    hard = np.tile([-0.6, -0.3, 0.1, 0.8], 10)
    questions = Observations(
        kind="nll", run=RUN, params=PARAMS, tokens=TOKENS, nll=loss[:, None] + hard,
        question=ROWS[:40], task=np.repeat(["one", "two"], 20),
    )  # fmt: skip
    result = fit(questions, "additive", objective="sse")
    crossed = bootstrap(result, n_draws=DRAWS, progress=False).law.coefficients()
    runs_only = bootstrap(result, n_draws=DRAWS, resample_questions=False, progress=False)
    plain = runs_only.law.coefficients()
    for name in ("A", "B", "alpha", "beta"):
        assert crossed[name] == pytest.approx(plain[name], rel=1e-6)
    shift = crossed["E"] - plain["E"]
    assert np.std(shift) == pytest.approx(np.std(hard) / np.sqrt(40), rel=0.15)


# Other schemes -------------------------------------------------------------------------------

# Four training budgets of 60 sizes, each row its own run; the same number of rows again.
LEVEL = np.repeat(np.arange(4), 60)
SIZES = np.tile(np.geomspace(1e7, 3e9, 60), 4)


@pytest.fixture(scope="module")
def isoflop() -> FitResult:
    rng = np.random.default_rng(5)
    tokens = 1e19 * 8.0**LEVEL / 6 / SIZES
    loss = value(TRUE, {"params": SIZES, "tokens": tokens}) * np.exp(rng.normal(0, 0.01, 240))
    runs = Observations(kind="loss", run=ROWS, params=SIZES, tokens=tokens, loss=loss)
    return fit(runs, law="additive", objective="huber")


@pytest.fixture(scope="module")
def schemes(isoflop) -> dict[str, Ensemble]:
    return {
        name: bootstrap(isoflop, n_draws=DRAWS, scheme=name, unit="run", progress=False)
        for name in SCHEMES
    }


def test_four_schemes_agree_on_standard_errors_where_all_of_them_hold(schemes):
    # A standard deviation of 250 draws has an error of 4.5%. Under the sharp bend of this
    # objective weights are 10 to 25% too wide and signs are not (72 simulated tables): a third.
    pairs = spread(schemes["pairs"])
    for name, draws in schemes.items():
        assert draws.diagnostics["scheme"] == name
        assert f"scheme '{name}'" in draws.summary()
        assert draws.diagnostics["converged"] > 0.99
        for coefficient, error in spread(draws).items():
            assert error == pytest.approx(pairs[coefficient], rel=0.33), (name, coefficient)


def test_an_interval_leaves_equal_tails_and_impossible_questions_are_never_solved():
    ranks = np.arange(101.0)
    assert central_interval(ranks, 0.8) == pytest.approx((10.0, 90.0))
    law = TRUE.replace(**{name: np.full(2, x) for name, x in TRUE.coefficients().items()})
    draws = Ensemble(
        law=law, point=TRUE, kind="simulation", nuisance={"impossible": np.array([0.0, 0.25])}
    )
    all_of_them, three_quarters = draws.predict(params=1e9, tokens=1e11)
    assert three_quarters == pytest.approx(0.75 * all_of_them)


def test_dirichlet_weights_have_their_moments():
    rng = np.random.default_rng(0)
    weight = unit_weights(rng, "bayesian", 12, 40_000, None)
    assert weight.sum(axis=1) == pytest.approx(12)
    assert weight.min() > 0
    assert weight.mean(axis=0) == pytest.approx(1.0, abs=0.03)
    # n^2 times the covariance of a flat Dirichlet: (n - 1)/(n + 1) and -1/(n + 1).
    covariance = np.cov(weight.T)
    assert np.diagonal(covariance) == pytest.approx(11 / 13, rel=0.06)
    assert covariance[~np.eye(12, dtype=bool)] == pytest.approx(-1 / 13, abs=0.03)
    task = np.array(["a"] * 5 + ["b"] * 3)
    asked = question_weights(rng, "bayesian", task, 50)
    assert asked[:, :5].sum(axis=1) == pytest.approx(5)
    assert asked[:, 5:].sum(axis=1) == pytest.approx(3)
    assert asked.min() > 0


def test_stratified_weights_keep_the_size_of_each_level(isoflop):
    level = levels_of(isoflop.observations, np.arange(240))
    assert np.array_equal(level, LEVEL)
    weight = unit_weights(np.random.default_rng(0), "stratified", 240, 50, level)
    for code in range(4):
        assert np.all(weight[:, level == code].sum(axis=1) == 60)
    assert np.any(weight[0] != weight[1])


def test_a_unit_belongs_to_the_level_where_it_ends_and_a_lone_one_is_named(table, fitted):
    # 30 sizes trained to 300 tokens each: no two of them end at one level.
    assert 6 * 300 * PARAMS[0] ** 2 == pytest.approx(1.8e17)
    with pytest.raises(Refusal, match=r"one unit only at 1\.8e\+17, .* and 27 more") as caught:
        bootstrap(fitted, scheme="stratified", unit="run", progress=False)
    assert caught.value.exit_code == 3
    twice = dataclasses.replace(table, params=np.repeat(PARAMS[::16], 16), tokens=TOKENS)
    ends = np.maximum.reduceat(np.asarray(twice.train_flops), np.arange(0, 240, 8))
    level = levels_of(twice, twice.cluster("run"))
    assert len(level) == 30
    assert all(np.ptp(np.log(ends[level == code])) < np.log(1.25) for code in set(level))


def test_the_wild_bootstrap_keeps_the_design_and_centres_on_the_fit(isoflop, schemes, monkeypatch):
    seen = {}

    def stop(fit, stages, resamples, draws, **_):
        seen["resample"] = resamples[-1]
        raise InterruptedError

    monkeypatch.setattr(sys.modules[with_misfit.__module__], "refit", stop)
    runs = isoflop.observations
    with pytest.raises(InterruptedError):
        bootstrap(isoflop, n_draws=400, scheme="wild", unit="run", progress=False)
    weight, drawn = seen["resample"].weight, np.log(seen["resample"].value)
    assert np.all(weight == 1)
    centre, left = np.log(isoflop.predicted), np.log(runs.loss) - np.log(isoflop.predicted)
    # Signs alone, and the correction for five coefficients of 240 rows in 240 units.
    assert np.abs(drawn - centre) == pytest.approx(
        np.broadcast_to(np.abs(left) * np.sqrt(240 / 235), drawn.shape), rel=1e-9
    )
    turned = np.sign((drawn - centre) * left)
    assert abs(turned.mean()) < 4 / np.sqrt(turned.size)
    draws = schemes["wild"]
    for name, column in draws.law.coefficients().items():
        off = np.median(column) - isoflop.law.coefficients()[name]
        assert abs(off) < 0.35 * np.std(column), name


def test_a_unit_turns_as_a_whole(fitted, table, monkeypatch):
    seen = {}

    def stop(fit, stages, resamples, draws, **_):
        seen["value"] = resamples[-1].value
        raise InterruptedError

    monkeypatch.setattr(sys.modules[with_misfit.__module__], "refit", stop)
    with pytest.raises(InterruptedError):
        bootstrap(fitted, n_draws=20, scheme="wild", unit="run", progress=False)
    left = np.log(table.loss) - np.log(fitted.predicted)
    signs = np.sign((np.log(seen["value"]) - np.log(fitted.predicted)) * left).reshape(20, 30, 8)
    assert np.all(signs == signs[:, :, :1])
    assert 0.3 < np.mean(signs > 0) < 0.7


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_says_that_draws_sit_at_a_bound(scheme, isoflop):
    runs = isoflop.observations
    # Nothing irreducible: E sits at zero in about half of the draws.
    low = value(TRUE.replace(E=0.0), {"params": runs.params, "tokens": runs.tokens})
    rng = np.random.default_rng(1)
    bare = dataclasses.replace(runs, loss=low * np.exp(rng.normal(0, 0.02, 240)))
    result = fit(bare, law="additive", objective="huber", n_starts=2)
    draws = bootstrap(result, n_draws=32, scheme=scheme, unit="run", progress=False)
    share = draws.diagnostics["at_bound"]["E"]
    assert 0 < share <= 1
    assert f"E is at a bound in {share:.0%} of draws" in draws.summary()


def test_schemes_that_do_not_fit_are_refused(fitted):
    with pytest.raises(InputError, match="no scheme 'jackknife'; one of pairs, bayesian"):
        bootstrap(fitted, scheme="jackknife", progress=False)
    shape = (240, 3)
    counts = Observations(
        kind="counts", run=RUN, params=PARAMS, tokens=TOKENS, successes=np.ones(shape),
        trials=np.full(shape, 4.0), question=ROWS[:3], task=ROWS[:3],
    )  # fmt: skip
    known = dataclasses.replace(fitted, data_hash=counts.data_hash())
    with pytest.raises(InputError, match=r"turns residuals of log losses.*holds counts"):
        bootstrap(known, runs=counts, scheme="wild", progress=False)
