"""The posterior: its density, its sampler, its refusals, and what is published of one table."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from law_cases import value
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from scipy import stats

from t2jax._precision import double
from t2jax.cli import main
from t2jax.errors import InputError, Refusal
from t2jax.fitting import FitResult, fit
from t2jax.fitting.count_likelihood import log_likelihood, tally_of
from t2jax.fitting.penalty import log_density
from t2jax.fitting.rows import Rows
from t2jax.laws import REGISTRY, Additive, BetaMonotone, template
from t2jax.observations import Observations
from t2jax.uncertainty import Ensemble, Prior, diagnostics, posterior
from t2jax.uncertainty.log_posterior import nested_t_log_density
from t2jax.uncertainty.posterior import _apart, _judge, _remedy, _Stats
from t2jax.uncertainty.prepare import _nest, prepare
from t2jax.uncertainty.priors import default_priors

PARAMS = np.tile(np.geomspace(1e7, 3e9, 6), 8)
TOKENS = PARAMS * np.repeat(np.geomspace(3, 300, 8), 6)
TRUE = Additive(E=1.7, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3)


@pytest.fixture(scope="module")
def table() -> Observations:
    """Losses with independent Student-t noise."""
    rng = np.random.default_rng(0)
    loss = value(TRUE, {"params": PARAMS, "tokens": TOKENS})
    loss = loss * np.exp(0.01 * rng.standard_t(4, len(loss)))
    run = np.arange(len(loss)).astype(str)
    return Observations(kind="loss", run=run, params=PARAMS, tokens=TOKENS, loss=loss)


@pytest.fixture(scope="module")
def fitted(table) -> FitResult:
    return fit(table, law="additive")


@pytest.fixture(scope="module")
def draws(fitted) -> Ensemble:
    return posterior(fitted, n_draws=600, warmup=300, progress=False)


def counts_table(impossible: float = 0.0, spread: float = 0.0) -> Observations:
    """Simulated counts under a monotone Beta law over four decades of N and D, so that the law's
    own coefficients are held; some questions impossible, or checkpoints astray."""
    rng = np.random.default_rng(1)
    params = np.repeat(np.geomspace(1e6, 1e10, 6), 6)
    tokens = np.tile(np.geomspace(1e8, 1e12, 6), 6)
    law = BetaMonotone(loss=TRUE, a0=1.5, a1=0.6, b0=-2.0, b1=1.2)
    with jax.enable_x64(True):
        a, b = (np.asarray(x)[:, None] for x in law.spread(params=params, tokens=tokens))
    b = b * np.exp(rng.normal(0, spread, b.shape))
    share = rng.beta(a, b, (36, 150)) * (rng.random(150) >= impossible)
    trials = np.full((36, 150), 200)
    return Observations(
        kind="counts", run=np.arange(36).astype(str), params=params, tokens=tokens,
        successes=rng.binomial(trials, share), trials=trials,
        question=np.arange(150).astype(str), task=np.full(150, "task"),
    )  # fmt: skip


def test_a_run_whose_checkpoints_share_shifts_is_one_multivariate_t():
    rng = np.random.default_rng(0)
    residual = rng.normal(0, 0.1, 9)
    inner, outer = np.array([0, 1, 1, 1, 2, 2, 3, 3, 4]), np.array([0, 1, 1, 2, 2])
    sigma, nu, shift, run_sd = 0.05, 3, 0.08, 0.11
    with jax.enable_x64(True):
        numbers = (jnp.asarray(x, float) for x in (sigma, nu, shift, run_sd))
        nest = _nest(inner, outer[inner])
        found = nested_t_log_density(jnp.asarray(residual), nest, *numbers)
    for i in range(3):
        rows = np.flatnonzero(outer[inner] == i)
        shape = sigma**2 * np.eye(len(rows)) + run_sd**2
        shape = shape + shift**2 * (inner[rows][:, None] == inner[rows])
        want = stats.multivariate_t(np.zeros(len(rows)), shape, df=nu).logpdf(residual[rows])  # pyright: ignore
        assert float(found[i]) == pytest.approx(float(want), rel=1e-10)


def test_impossible_questions_are_a_mixture_with_zero():
    successes = np.array([[0, 3, 10, 0], [0, 0, 1, 0]])
    trials = np.array([[10, 20, 10, 0], [50, 5, 40, 10]])
    a, b, share = np.array([0.3, 1.7]), np.array([4.0, 30.0]), 0.2
    mass = stats.betabinom.pmf(successes, trials, a[:, None], b[:, None])
    mass = share * (successes == 0) + (1 - share) * mass
    want = np.sum(np.where(trials > 0, np.log(mass), 0.0), axis=1)
    with jax.enable_x64(True):
        counts, point = tally_of(successes, trials), (jnp.asarray(a), jnp.asarray(b))
        found = log_likelihood(*point, counts, jnp.asarray(share))
        assert np.asarray(found) == pytest.approx(want, rel=1e-10)
        plain = stats.betabinom.logpmf(successes, trials, a[:, None], b[:, None]).sum(axis=1)
        assert np.asarray(log_likelihood(*point, counts)) == pytest.approx(plain, rel=1e-10)


def test_millions_of_attempts_at_a_question_take_no_millions_of_terms():
    successes = np.array([[0, 3, 70_000, 0, 2_000_000], [1, 0, 12, 30_000, 0]])
    trials = np.array([[50_048, 2_980_608, 90_000, 128, 2_980_000], [64, 0, 40_000, 99_999, 7]])
    point = a, b = np.array([0.3, 1.7]), np.array([40.0, 30.0])
    columns = [x[:, None] for x in point]

    def exact(a, b):
        return stats.betabinom.logpmf(successes, trials, a, b).sum(axis=1)

    with jax.enable_x64(True):
        counts = tally_of(successes, trials)
        assert counts.edges.size < 5_000
        assert float(counts.edges[-1]) == trials.max()
        found = np.asarray(log_likelihood(jnp.asarray(a), jnp.asarray(b), counts))
        np.testing.assert_allclose(found, exact(*columns), atol=0.05)
        slopes = jax.jacobian(lambda a, b: log_likelihood(a, b, counts), (0, 1))(*point)
        for i, slope in enumerate(slopes):
            step = [1e-4 * (i == j) * column for j, column in enumerate(columns)]
            up, down = (exact(*(x + sign * h for x, h in zip(columns, step, strict=True)))
                        for sign in (1, -1))  # fmt: skip
            want = (up - down) / (2e-4 * point[i])
            np.testing.assert_allclose(np.diagonal(slope), want, rtol=1e-4)


def test_the_density_is_that_of_scipy(fitted, table):
    prepared = double(prepare)(fitted, table, effects=None, impossible=False, priors=None)
    lowest, reach = table.loss.min(), np.ptp(table.loss)

    def term(x):
        return stats.norm.logpdf(x, np.log(0.2 * reach), 1.0)

    def exponent(x):
        return stats.norm.logpdf(x, np.log(0.35), 0.4)

    def by_hand(law: Additive, sigma: float, nu: float) -> float:
        residual = np.log(table.loss) - np.log(value(law, {"params": PARAMS, "tokens": TOKENS}))
        total = stats.t.logpdf(residual / sigma, nu).sum() - len(residual) * np.log(sigma)
        c = law.coefficients()
        total += stats.norm.logpdf(np.log(c["E"]), np.log(0.8 * lowest), 0.3)
        total += term(np.log(c["A"]) - c["alpha"] * np.log(PARAMS).mean())
        total += term(np.log(c["B"]) - c["beta"] * np.log(TOKENS).mean())
        total += exponent(np.log(c["alpha"])) + exponent(np.log(c["beta"]))
        # Sampled as log sigma, whose prior is normal, and logit nu: the Jacobian.
        total += stats.norm.logpdf(np.log(sigma), np.log(0.01), 0.75)
        inside = (nu - 1) / 199
        return total + stats.gamma.logpdf(nu, 2, scale=10) + np.log(inside * (1 - inside))

    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(3):
        with jax.enable_x64(True):
            move = jnp.asarray(rng.normal(size=len(prepared.mode)))
            vector = prepared.mode + prepared.root @ move
            coordinates = prepared.target.coordinates(vector, prepared.inputs)
            law, others = prepared.target.values(coordinates, prepared.inputs)
            ours = -float(prepared.target.value(vector, prepared.inputs))
        law = jax.tree.map(float, law)
        gaps.append(ours - by_hand(law, *map(float, others)))
    assert np.ptp(gaps) < 1e-8


def test_the_sampler_agrees_with_importance_sampling(fitted, table, draws):
    prepared = double(prepare)(fitted, table, effects=None, impossible=False, priors=None)
    target, inputs = prepared.target, prepared.inputs
    white = np.random.default_rng(0).standard_t(5, (20_000, len(prepared.mode)))
    with jax.enable_x64(True):
        vectors = prepared.mode + jnp.asarray(white) @ prepared.root.T
        potential = jax.jit(jax.vmap(lambda v: target.value(v, inputs)))(vectors)
        law, _ = jax.vmap(lambda v: target.values(target.coordinates(v, inputs), inputs))(vectors)
    log_weight = -np.asarray(potential) - stats.t.logpdf(white, 5).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    assert 1 / np.sum(weight**2) > 1000
    for name, column in law.coefficients().items():
        logs, ours = np.log(np.asarray(column)), np.log(draws.law.coefficients()[name])
        mean = np.sum(weight * logs)
        spread = np.sqrt(np.sum(weight * (logs - mean) ** 2))
        assert ours.mean() == pytest.approx(mean, abs=0.15 * spread)
        assert ours.std() == pytest.approx(spread, rel=0.12)


def test_a_posterior_says_how_its_chains_went(draws, fitted):
    assert (draws.kind, draws.unit, draws.n_draws, draws.chains) == ("posterior", "row", 2400, 4)
    assert draws.diagnostics["divergences"] == 0
    assert draws.diagnostics["r_hat"] <= 1.01
    assert draws.diagnostics["failed"] == []
    assert draws.point == fitted.law
    assert "R-hat" in draws.summary()
    assert all(0.01 < p < 0.99 for p in draws.diagnostics["predictive_checks"].values())
    for name, true in TRUE.coefficients().items():
        low, high = draws.interval(name, 0.99)
        assert low < true < high


def test_the_file_and_the_arviz_groups_hold_every_draw(draws, tmp_path):
    draws.save(tmp_path / "draws.npz")
    again = Ensemble.load(tmp_path / "draws.npz")
    groups, copies = draws.to_arviz_dict(), again.to_arviz_dict()
    assert set(groups) == {"posterior", "sample_stats"}
    assert set(groups["posterior"]) == {"E", "A", "B", "alpha", "beta", "sigma", "nu"}
    for group, columns in groups.items():
        for name, column in columns.items():
            assert column.shape == (4, 600)
            assert np.array_equal(column, copies[group][name])
    assert again.diagnostics == draws.diagnostics


def test_arviz_opens_the_draws_and_judges_them_alike(draws):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its next version on import
        arviz = pytest.importorskip("arviz")
    opened = arviz.from_dict(**draws.to_arviz_dict())
    assert dict(opened.posterior.sizes) == {"chain": 4, "draw": 600}
    told = draws.diagnostics["coefficients"]
    for name, own in told.items():
        column = opened.posterior[name].to_numpy()
        assert own["r_hat"] == pytest.approx(float(arviz.rhat(column)), rel=1e-9)
        for method in ("bulk", "tail"):
            known = float(arviz.ess(column, method=method))
            assert own[f"ess_{method}"] == pytest.approx(known, rel=1e-6)


def test_a_fit_that_is_not_among_its_draws_is_named(draws, fitted):
    names = tuple(TRUE.coefficients())
    assert _apart(draws.law, fitted, names) == []
    astray = dataclasses.replace(TRUE, beta=2 * TRUE.coefficients()["beta"])
    (note,) = _apart(draws.law, dataclasses.replace(fitted, law=astray), names)
    assert "outside 98% of the draws of beta: " in note
    # A coefficient that was held has no draws to lie among.
    assert _apart(draws.law, dataclasses.replace(fitted, law=astray), names[:-1]) == []


def test_short_chains_are_refused_unless_asked_for(fitted):
    short = {"n_draws": 40, "warmup": 20, "progress": False}
    with pytest.raises(Refusal, match=r"effective draws.*use n_draws=80"):
        posterior(fitted, **short)
    kept = posterior(fitted, allow_failed=True, **short)
    assert kept.diagnostics["failed"]
    assert "FAILED DIAGNOSTIC" in kept.summary()


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda x, _: x + np.arange(4)[:, None], "R-hat"),
        (lambda x, _: np.cumsum(x, axis=1), "effective"),
        (lambda x, stuck: np.where(stuck, 5.0, x), "R-hat"),
    ],
)
def test_chains_that_drift_stick_or_disagree_fail(spoil, word):
    rng = np.random.default_rng(0)
    chains = rng.normal(size=(4, 500))
    fine = _Stats(chains, np.zeros((4, 500), bool), np.ones((4, 500)))
    assert _judge({"alpha": chains.ravel()}, fine, 4, 500)["failed"] == []
    stuck = np.arange(4)[:, None] == 2
    found = _judge({"alpha": spoil(chains, stuck).ravel()}, fine, 4, 500)["failed"]
    assert word in "; ".join(found)
    diverged = fine._replace(diverging=rng.random((4, 500)) < 0.01)
    assert "diverged" in _judge({"alpha": chains.ravel()}, diverged, 4, 500)["failed"][0]


def test_the_remedy_names_effects_where_there_are_any():
    calm = _Stats(np.zeros((4, 10)), np.zeros((4, 10), bool), np.ones((4, 10)))
    wild = calm._replace(diverging=np.ones((4, 10), bool))
    assert "effects='none', whose intervals" in _remedy(wild, 500, 1000, 0.9, "spread")
    assert "use target_accept=0.98" in _remedy(wild, 500, 1000, 0.9, "none")
    assert "effects" not in _remedy(calm, 500, 1000, 0.9, "checkpoint")


def test_diagnostics_agree_with_numpyro_and_theory():
    rng = np.random.default_rng(0)
    chains = rng.normal(size=(4, 1000)) + 0.1 * np.arange(4)[:, None]
    assert diagnostics._split_r_hat(chains) == pytest.approx(split_gelman_rubin(chains), rel=1e-3)
    rho, walk = 0.8, np.zeros((4, 4000))
    for t in range(1, 4000):
        walk[:, t] = rho * walk[:, t - 1] + rng.normal(size=4)
    theory = walk.size * (1 - rho) / (1 + rho)
    assert diagnostics.ess_bulk(walk) == pytest.approx(theory, rel=0.1)
    assert diagnostics.ess_bulk(walk) == pytest.approx(effective_sample_size(walk), rel=0.05)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"n_draws": 1}, "n_draws = 1 is not"),
        ({"effects": "runs"}, "unknown effects"),
        ({"effects": "checkpoint"}, "one row"),
        ({"effects": "run"}, "one checkpoint"),
        ({"impossible": True}, "mean nothing"),
        ({"target_accept": 1.0}, "acceptance"),
        ({"priors": {"kappa": Prior(family="flat")}}, "not sampled"),
    ],
)
def test_options_that_do_not_fit_are_refused(fitted, options, word):
    with pytest.raises(InputError, match=word):
        posterior(fitted, **options)


@pytest.mark.parametrize("name", REGISTRY)
def test_every_law_has_default_priors_that_fit_its_coefficients(name):
    law = template(name)
    ones = jnp.ones(3)
    rows = Rows(value=ones, params=ones, tokens=ones, samples=ones, weight=ones,
                unique_tokens=ones, place=jnp.arange(len(ones)))  # fmt: skip
    names = [card.name for card in law.cards()]
    priors, _ = default_priors(law.cards(), law, rows, dict.fromkeys(names, 0.0))
    for prior, card in zip(priors, law.cards(), strict=True):
        at = jnp.asarray(0.3)
        density = log_density(prior.family, card, at, card.from_free(at), jnp.ones(2))
        assert np.isfinite(float(density))


def test_least_squares_on_pass_at_k_has_no_posterior(fitted):
    other = dataclasses.replace(fitted, recipe="paper")
    with pytest.raises(Refusal, match="no likelihood"):
        posterior(other)


def test_the_command_writes_draws(fitted, table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.write("runs.csv")
    fitted.save("fit.json")
    words = ["posterior", "runs.csv", "fit.json", "-o", "draws.npz", "--json"]
    assert main([*words, "--draws", "600", "--warmup", "300"]) == 0
    assert '"r_hat"' in capsys.readouterr().out
    assert Ensemble.load("draws.npz").n_draws == 2400
    assert main([*words, "--draws", "40", "--warmup", "20"]) == 3
    assert "failed its diagnostics" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("impossible", [0.0, 0.3])
def test_the_share_of_impossible_questions_is_found(impossible):
    table = counts_table(impossible)
    fitted = fit(table, law="beta_monotone", n_starts=2)
    draws = posterior(
        fitted, effects="none", impossible=True, warmup=1000, target_accept=0.95, progress=False
    )
    assert draws.diagnostics["failed"] == []
    share = draws.nuisance["impossible"]
    truth = float(np.mean(np.all(np.asarray(table.successes) == 0, axis=0))) if impossible else 0.0
    low, high = np.quantile(share, [0.025, 0.975])
    assert low - 0.02 < truth < high
    assert high < 0.5
    plain = value(draws.law, {"params": 1e9, "tokens": 1e11, "samples": 10.0})
    counted = draws.predict(params=1e9, tokens=1e11, samples=10.0)
    assert counted == pytest.approx(plain * (1 - share), rel=1e-9)


@pytest.mark.slow
def test_the_spread_of_checkpoints_is_found():
    table = counts_table(spread=0.4)
    fitted = fit(table, law="beta_monotone", n_starts=2)
    draws = posterior(fitted, warmup=1000, target_accept=0.99, progress=False)
    assert draws.diagnostics["failed"] == []
    assert draws.unit == "checkpoint"
    low, high = np.quantile(draws.nuisance["sd_log_b"], [0.01, 0.99])
    assert low < 0.4 < high


@pytest.mark.slow
def test_the_posterior_of_the_published_table(shared_data):
    points = pd.read_csv(shared_data / "chinchilla_epoch" / "points.csv")
    points = points[points.epoch_fit_subset == 1]
    table = Observations(
        kind="loss", run=np.arange(240).astype(str), params=points.n_params,
        tokens=points.d_tokens, loss=points.loss,
    )  # fmt: skip
    draws = posterior(fit(table, law="additive"), progress=False)
    assert draws.diagnostics["divergences"] == 0
    assert draws.diagnostics["r_hat"] <= 1.01
    published = {"alpha": (0.3453, 0.0091), "beta": (0.3604, 0.0102), "E": (1.8067, 0.0154)}
    for name, (mean, spread) in published.items():
        column = draws.law.coefficients()[name]
        assert column.mean() == pytest.approx(mean, abs=0.15 * spread)
        assert column.std() == pytest.approx(spread, rel=0.1)
