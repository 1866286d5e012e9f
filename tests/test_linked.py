"""The linked law: exact at one sample, every k from one spread, and the table's own questions."""

import pathlib
from typing import Any

import jax.numpy as jnp
import mpmath
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import t2jax as t2
from t2jax._precision import double
from t2jax.fitting.spread import measured_spread, spreads
from t2jax.laws import Coupled, Linked, from_dict
from t2jax.laws.spread import Quantile
from t2jax.laws.spread.quantile import EDGES, NODES

GEMSTONES = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "gemstones"
INNER = Coupled(E=0.8, A=900.0, B=1300.0, alpha=0.5, beta=0.45, kappa=0.8)
K = (1.0, 4.0, 64.0, 1024.0)
HIGH = 1.8


def curves(seed: int, *, bent: bool = False) -> Quantile:
    """A spread such as tables have: easy questions gain most from a better model."""
    rng = np.random.default_rng(seed)
    level = np.sort(rng.normal(0.7, 0.8, NODES))
    slope = np.linspace(rng.uniform(1.2, 2.0), rng.uniform(0.6, 1.0), NODES)
    more = {"bend": np.full(NODES, 0.1)} if bent else {}
    return Quantile(level=level, slope=slope, centre=1.1, low=0.2, high=HIGH, **more)


@double
def table(seed: int = 0, *, runs: int = 24, questions: int = 120, noise: float = 0.0):
    """A table whose questions are powers of a mean loss: what the law says, with no misfit."""
    rng = np.random.default_rng(seed)
    params = np.tile(np.geomspace(1e6, 1e8, 6), runs // 6)
    tokens = np.repeat(np.geomspace(1e8, 1e10, runs // 6), 6) * rng.uniform(0.8, 1.25, runs)
    loss = np.asarray(INNER(params=params, tokens=tokens)) * np.exp(noise * rng.normal(size=runs))
    place = (np.arange(questions) + 0.5) / questions
    slope = 1.5 - 0.8 * place
    centre = np.log(loss).mean()
    nll = np.exp(np.log(place / (1.02 - place)) * 0.7 + slope * (np.log(loss) - centre)[:, None])
    nll = nll * (loss / nll.mean(1))[:, None]
    return t2.Observations(
        kind="nll", run=np.array([f"r{i}" for i in range(runs)]), params=params, tokens=tokens,
        nll=nll, question=np.arange(questions).astype(str), task=np.full(questions, "all"),
        source="a simulated table",
    )  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50), st.floats(0.3, 12.0), st.booleans())
def test_at_one_sample_the_law_is_its_loss(seed, loss, bent):
    spread = curves(seed, bent=bent)
    at, weight = spread.nodes(jnp.asarray(loss))
    assert float(weight.sum()) == pytest.approx(1.0, rel=1e-6)
    assert float(at @ weight) == pytest.approx(loss, rel=1e-5)
    assert float(spread.neg_log_pass(jnp.asarray(loss), jnp.asarray(1.0))) == pytest.approx(
        loss, rel=1e-5
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 50), st.floats(0.5, 8.0), st.floats(1.0, 1e6))
def test_every_k_is_the_mean_over_its_nodes(seed, loss, k):
    spread = curves(seed)
    x = min(np.log(loss), HIGH) - 1.1
    raw = np.exp(np.asarray(spread.level) + np.asarray(spread.slope) * x)
    weight = np.diff(EDGES)
    nll = raw * loss / (raw @ weight)
    with mpmath.workdps(40):
        solved = [1 - (1 - mpmath.exp(-mpmath.mpf(q))) ** k for q in nll]
        y = sum(w * -mpmath.log(s) for w, s in zip(weight, solved, strict=True))
        p = sum(w * s for w, s in zip(weight, solved, strict=True))
        tries = sum(w * s * mpmath.exp(q) for w, s, q in zip(weight, solved, nll, strict=True))
    given_ = [jnp.asarray(loss), jnp.asarray(k)]
    for name, exact in (("neg_log_pass", y), ("pass_at_k", p), ("tries", tries)):
        told = double(getattr(spread, name))(*map(np.asarray, given_))
        # In 32-bit mode the law's own logs lose digits; in double nothing but rounding is left.
        assert float(told) == pytest.approx(float(exact), rel=2e-5), name


def test_a_table_that_is_so_made_is_told_exactly():
    runs = table()
    fit = t2.fit(runs, "linked")
    assert fit.success
    told = fit.predict(
        params=runs.params[:, None], tokens=runs.tokens[:, None], samples=np.array(K)
    )
    np.testing.assert_allclose(told, runs.neg_log_pass(K), rtol=0.02)
    assert fit.n_obs == runs.n_rows  # one row for each checkpoint, never one for each k
    assert fit.samples is not None
    assert fit.observed.shape == (runs.n_rows * len(fit.samples),)


def test_a_worse_loss_is_never_better_however_far_from_the_table():
    runs = t2.datasets.load_ladder()
    spread = double(measured_spread)(runs)
    seen = np.asarray(runs.nll).mean(axis=1)
    loss = np.geomspace(seen.min(), 20 * seen.max(), 200)[:, None]
    grid = np.array([1.0, 16.0, 1e3, 1e5])
    y, p = (
        np.asarray(double(f)(jnp.asarray(loss), jnp.asarray(grid)))
        for f in (spread.neg_log_pass, spread.pass_at_k)
    )
    assert np.all(np.diff(y, axis=0) > -1e-9)
    assert np.all(np.diff(p, axis=0) < 1e-9)


def test_it_is_what_a_table_of_questions_means_by_default():
    fit = t2.fit(table())
    assert isinstance(fit.law, Linked)
    assert isinstance(fit.law.loss, Coupled)


def test_pass_at_k_is_of_the_same_draws():
    runs = table(noise=0.02)
    draws = t2.bootstrap(t2.fit(runs), n_draws=30, progress=False)
    both = draws.accuracy()
    for name, column in draws.law.coefficients().items():
        np.testing.assert_array_equal(both.law.coefficients()[name], column)
    share = both.predict(params=1e7, tokens=1e9, samples=16.0)
    # Jensen: the log of the mean is no less than the mean of the log.
    assert np.all(-np.log(share) <= draws.predict(params=1e7, tokens=1e9, samples=16.0) + 1e-9)


@pytest.mark.slow
def test_other_laws_have_no_pass_at_k_of_the_same_draws():
    with pytest.raises(t2.InputError, match="one unit"):
        t2.bootstrap(t2.fit(table(), "softplus"), n_draws=5, progress=False).accuracy()


def test_counts_and_losses_are_refused_with_what_to_bring():
    with pytest.raises(t2.Refusal, match="bring per-question nll"):
        t2.fit(t2.datasets.load_ladder(measure="loss"), "linked")


def test_law_and_draws_are_read_back_as_they_were(tmp_path):
    fit = t2.fit(table(noise=0.02))
    assert from_dict(fit.law.to_dict()).to_dict() == fit.law.to_dict()
    fit.save(tmp_path / "fit.json")
    again = t2.FitResult.load(tmp_path / "fit.json")
    point = {"params": 3e7, "tokens": 2e9, "samples": 50.0}
    assert float(again.predict(**point)) == float(fit.predict(**point))
    draws = t2.bootstrap(fit, n_draws=10, progress=False)
    draws.save(tmp_path / "draws.npz")
    read = t2.Ensemble.load(tmp_path / "draws.npz")
    np.testing.assert_array_equal(read.predict(**point), draws.predict(**point))


def test_a_resample_of_all_questions_alike_measures_the_same_spread():
    runs = table(noise=0.02)
    found = double(measured_spread)(runs)
    many = double(spreads)(
        runs, np.ones((2, runs.n_rows)), np.full((2, runs.n_questions), 3.0),
        bent=found.bend is not None,
    )  # fmt: skip
    np.testing.assert_allclose(np.asarray(many.level)[1], found.level, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(many.slope)[0], found.slope, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_sampling_until_success_costs_fewer_samples():
    fit = t2.fit(table())
    cost = t2.Cost(stop_at_success=True)
    budget: dict[str, Any] = {"train_flops": 1e17, "inference_flops": 1e10}
    plain = t2.optimum(fit, t2.Budget(**budget), progress=False)
    stopped = t2.optimum(fit, t2.Budget(cost=cost, **budget), progress=False)
    assert float(stopped.value) < float(plain.value)
    assert float(stopped.samples) > float(plain.samples)


@pytest.mark.parametrize(
    ("task", "errors"),
    [
        ("openbookqa", (0.02, 0.09, 0.41, 1.33, 3.1)),
        ("arc_challenge", (0.1, 0.65, 2.55, 6.4, 11.0)),
        ("commonsense_qa", (0.02, 0.1, 0.4, 1.1, 2.6)),
    ],
)
def test_on_public_tables_the_loss_tells_every_k(task, errors):
    path = GEMSTONES / f"per_question_nll_{task}.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is not at hand")
    frame = pd.read_csv(path)
    nll = frame[[name for name in frame if name.startswith("q")]].to_numpy()
    runs = t2.Observations(
        kind="nll", run=frame.model.to_numpy(str), params=frame.n_params.to_numpy(float),
        tokens=frame.d_tokens.to_numpy(float), nll=nll, source=task,
        question=np.arange(nll.shape[1]).astype(str), task=np.full(nll.shape[1], "all"),
    )  # fmt: skip
    grid = np.array([4.0, 16.0, 64.0, 256.0, 1024.0])
    spread = double(measured_spread)(runs)
    loss = nll.mean(axis=1)[:, None]
    told = np.asarray(double(lambda: spread.neg_log_pass(jnp.asarray(loss), jnp.asarray(grid)))())
    missed = 100 * np.mean(np.abs(told / runs.neg_log_pass(grid) - 1), axis=0)
    assert np.all(missed <= 1.1 * np.array(errors)), missed
    every = np.array([1.0, *grid, 16384.0])
    share = np.asarray(double(lambda: spread.pass_at_k(jnp.asarray(loss), jnp.asarray(every)))())
    assert np.max(np.mean(np.abs(share - runs.pass_at_k(every)), axis=0)) < 0.02
