"""The bootstrap: refits of whole runs and of questions, as weights."""

import dataclasses

import numpy as np
import pytest
from law_cases import value

from t2jax.errors import InputError, Refusal
from t2jax.fit import FitResult, fit
from t2jax.laws import Additive
from t2jax.observations import Observations
from t2jax.uncertainty import Ensemble, bootstrap

# 30 runs of 8 checkpoints: 240 rows, as many as the published table has, so that compiled
# programs are shared.
PARAMS = np.repeat(np.geomspace(1e7, 3e9, 30), 8)
TOKENS = PARAMS * np.tile(np.geomspace(3, 300, 8), 30)
RUN = np.repeat([f"run {i:02}" for i in range(30)], 8)
ROWS = np.arange(240).astype(str)
TRUE = Additive(E=1.7, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3)
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
    return fit(table, objective="huber")


@pytest.fixture(scope="module")
def by_run(fitted) -> Ensemble:
    return bootstrap(fitted, draws=DRAWS, progress=False)


@pytest.fixture(scope="module")
def by_row(fitted) -> Ensemble:
    return bootstrap(fitted, draws=DRAWS, unit="row", seed=7, progress=False)


def spread(draws: Ensemble) -> dict[str, float]:
    return {name: float(np.std(x)) for name, x in draws.law.coefficients().items()}


def test_the_same_seed_gives_the_same_draws(fitted, by_run):
    again = bootstrap(fitted, draws=DRAWS, unit="run", seed=0, progress=False)
    other = bootstrap(fitted, draws=DRAWS, unit="run", seed=1, progress=False)
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
        refit = fit(repeated, objective="huber", n_starts=16).law.coefficients()
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
    draws = bootstrap(fit(epoch, objective="huber"), draws=1500, progress=False)
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
    assert "30 units of 'run' resampled; 100.0% of refits converged" in text


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
    with pytest.raises(InputError, match="draws = 0"):
        bootstrap(fitted, draws=0, progress=False)
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
    result = fit(questions, objective="sse")
    crossed = bootstrap(result, draws=DRAWS, progress=False).law.coefficients()
    runs_only = bootstrap(result, draws=DRAWS, resample_questions=False, progress=False)
    plain = runs_only.law.coefficients()
    for name in ("A", "B", "alpha", "beta"):
        assert crossed[name] == pytest.approx(plain[name], rel=1e-6)
    shift = crossed["E"] - plain["E"]
    assert np.std(shift) == pytest.approx(np.std(hard) / np.sqrt(40), rel=0.15)
