"""Loss laws with more than two powers: what they make of public runs, and of few of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import t2jax as t2
from t2jax._precision import double
from t2jax.fitting.objectives import StudentT
from t2jax.fitting.refit import fitted_stages
from t2jax.laws import predict
from t2jax.observations import Observations


def losses(params, tokens, loss) -> Observations:
    params, tokens, loss = (np.asarray(x, float) for x in (params, tokens, loss))
    run = np.arange(len(loss)).astype(str)
    return Observations(kind="loss", run=run, params=params, tokens=tokens, loss=loss)


@pytest.fixture(scope="module")
def farseer(shared_data):
    pandas = pytest.importorskip("pandas")
    return pandas.read_csv(shared_data / "farseer" / "runs.csv")


def missed(table, law: str, seen, judged) -> float:
    """Mean relative error of a law where it was not fitted."""
    here, there = table[seen], table[judged]
    found = t2.fit(losses(here.params, here.tokens, here.loss), law)
    assert found.success, found.message
    told = predict(found.law, there.params.to_numpy(), there.tokens.to_numpy())
    return float(np.mean(np.abs(told / there.loss.to_numpy() - 1.0)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "along_ratio", "along_flops"),
    [("additive", 0.043, 0.042), ("coupled", 0.0177, 0.0101), ("ceiling", 0.0177, 0.0102),
     ("farseer", 0.0157, 0.0032)],
)  # fmt: skip
def test_farseers_overtrained_and_largest_runs(law, along_ratio, along_flops, farseer):
    ratio, flops = farseer.tokens / farseer.params, 6.0 * farseer.params * farseer.tokens
    assert missed(farseer, law, ratio <= 40, ratio > 200) == pytest.approx(along_ratio, rel=0.05)
    assert missed(farseer, law, flops < 1e21, flops > 3e21) == pytest.approx(along_flops, rel=0.05)


@pytest.mark.slow
def test_auto_takes_no_form_that_is_far_behind_on_overtrained_runs(shared_data):
    pandas = pytest.importorskip("pandas")
    folder = shared_data / "ladder_1"
    questions = pandas.read_parquet(folder / "questions-base.parquet")
    own = questions[~questions.task.astype(str).str.startswith("long")]
    table = pandas.read_csv(folder / "runs-base.csv").query("seed == 1").set_index("run")
    table["loss"] = own.groupby("run").nll.mean()
    assert len(table) == 47
    ratio = table.tokens / table.params
    miss = {law: missed(table, law, ratio <= 100, ratio > 250)
            for law in ("auto", "tied", "additive")}  # fmt: skip
    assert miss["auto"] < min(miss["tied"], miss["additive"])


def few_runs(count: int = 9, noise: float = 0.01) -> Observations:
    rng = np.random.default_rng(3)
    params = np.geomspace(1e7, 1e9, count)
    tokens = params * 10 ** rng.uniform(0.7, 2.5, count)
    loss = 1.7 + 400 / params**0.34 + 400 / tokens**0.28
    return losses(params, tokens, loss * np.exp(rng.normal(0, noise, count)))


def test_a_prior_that_belongs_to_the_fit_is_in_its_objective():
    runs = few_runs(25)
    found = t2.fit(runs, "coupled")
    (stage,) = double(fitted_stages)(found, runs)
    with_prior = found.objective_value
    law, (sigma, nu) = found.law.coefficients(), found.nuisance.values()
    with jax.enable_x64(True):
        noise = (jnp.asarray(sigma), jnp.asarray(nu))
        bare = float(StudentT()(found.law, noise, stage.rows))
    kappa = 0.5 * (np.log(law["kappa"] / 0.7) / 0.4) ** 2
    scale = 0.5 * (np.log(sigma / 0.01) / 0.75) ** 2
    share = (nu - 1.0) / 199.0
    tails = -np.log(share * (1.0 - share)) - np.log(nu) + 0.1 * nu
    assert with_prior - bare == pytest.approx(kappa + scale + tails, rel=1e-6)
    # And not among the criteria, which are of the likelihood alone.
    total = bare + np.sum(np.log(found.observed))
    assert found.criteria["AIC"] == pytest.approx(2 * (total + found.n_free))


def test_few_runs_do_not_let_the_outer_exponent_run_away():
    found = t2.fit(few_runs(25, noise=0.03), "coupled")
    assert found.success, found.message
    assert 0.2 < found.law.coefficients()["kappa"] < 2.0


def test_a_law_through_every_run_keeps_a_scale_and_intervals_a_width():
    runs = few_runs(7)
    found = t2.fit(runs, "additive")
    assert found.nuisance["sigma"] > 1e-4
    draws = t2.bootstrap(found, n_draws=40, scheme="bayesian", progress=False)
    best = t2.optimum(draws, t2.Budget(train_flops=1e18)).draws
    assert best is not None
    size = np.asarray(best.params)
    assert np.quantile(size, 0.95) > 1.001 * np.quantile(size, 0.05)
    again = dataclasses.replace(runs, loss=np.asarray(runs.loss) * 2.0)
    assert t2.fit(again, "additive").nuisance["sigma"] == pytest.approx(
        found.nuisance["sigma"], rel=0.2
    )
