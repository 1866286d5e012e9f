"""The recipes of arXiv:2604.01411, against SciPy and their own definitions."""

import numpy as np
import pytest
import scipy.optimize

from t2jax import InputError, Observations, Refusal, bootstrap, fit, laws
from t2jax.fitting.paper import E_SHARES, isoflop_weights

TRUE = laws.T2LossPaper(E=0.6, A=80.0, B=300.0, G=2.0, alpha=0.3, beta=0.32, gamma=0.25)


def grid(questions: int = 40) -> Observations:
    """IsoFLOP checkpoints with success probabilities spread round the law's loss."""
    rng = np.random.default_rng(3)
    flops = np.repeat([1e16, 4e16, 1.6e17], 5)
    params = np.tile([4e6, 1e7, 2.5e7, 6e7, 1.5e8], 3)
    tokens = flops / (6 * params)
    mean = laws.predict(TRUE, params, tokens)
    nll = mean[:, None] * rng.gamma(4.0, 0.25, (1, questions)) * rng.gamma(400, 1 / 400, (15, 1))
    names = np.arange(questions).astype(str)
    return Observations(
        kind="nll", run=np.arange(15).astype(str), params=params, tokens=tokens, nll=nll,
        question=names, task=np.full(questions, "all"),
    )  # fmt: skip


def losses() -> Observations:
    """Losses at five k on the same checkpoints, from the law with noise of a percent."""
    rng = np.random.default_rng(4)
    table = grid()
    params, tokens = np.repeat(table.params, 5), np.repeat(table.tokens, 5)
    samples = np.tile([1.0, 4.0, 16.0, 64.0, 256.0], 15)
    loss = laws.predict(TRUE, params, tokens, samples) * np.exp(0.01 * rng.standard_normal(75))
    run = np.repeat(table.run, 5)
    return Observations(
        kind="loss", run=run, params=params, tokens=tokens, samples=samples, loss=loss
    )


@pytest.fixture(scope="module")
def first():
    return fit(losses(), law="t2_loss", recipe="paper")


@pytest.fixture(scope="module")
def second():
    return fit(grid(), law="t2_accuracy", recipe="paper")


def test_approach_1_is_the_best_of_the_published_form(first):
    runs = losses()
    assert runs.samples is not None
    n, d, x, y = np.log(runs.params), np.log(runs.tokens), np.log(runs.samples), runs.loss

    def misfit(free):
        e, a, b, g, alpha, beta, gamma = free
        terms = np.exp(e) + np.exp(a - alpha * n) + np.exp(b - beta * d) + np.exp(g - gamma * x)
        return terms - y

    assert first.law.name == "t2_loss_paper"
    assert all(value >= 0 for value in first.law.coefficients().values())
    rng = np.random.default_rng(0)
    low, high = [-4, 0, 0, -2, 0.05, 0.05, 0.02], [0, 8, 9, 2, 0.8, 0.8, 1.0]
    with np.errstate(all="ignore"):
        ends = [scipy.optimize.least_squares(misfit, rng.uniform(low, high)) for _ in range(12)]
    assert first.success
    assert first.objective_value <= 2 * min(end.cost for end in ends) * (1 + 1e-7)


def test_the_boxcox_form_contains_the_published_one(first):
    wider = fit(losses(), law="t2_loss", objective="sse")
    assert wider.objective_value <= first.objective_value * (1 + 1e-9)


@pytest.mark.slow
def test_approach_2_takes_e_from_the_profile_and_fits_pass_at_k(second):
    smallest = grid().mean_nll().min()
    nearest = np.min(np.abs(np.asarray(E_SHARES) - second.law.coefficients()["E"] / smallest))
    assert nearest < 1e-9
    assert second.n_free == 10
    assert second.criteria["R2"] > 0.9
    again = fit(grid(), law="t2_accuracy")
    # Both minimise pass@k's squared error over the thetas, on different inner losses.
    assert second.objective_value == pytest.approx(again.objective_value, rel=0.5)


def test_weights_are_inverse_variances_within_isoflop_groups():
    runs = grid()
    value = runs.mean_nll()
    weight = isoflop_weights(runs, value)
    assert weight.mean() == pytest.approx(1.0)
    groups = value.reshape(3, 5)
    expected = 1 / groups.var(axis=1, ddof=1)
    np.testing.assert_allclose(weight[::5] / weight[0], expected / expected[0], rtol=1e-12)
    assert np.all(weight.reshape(3, 5) == weight[::5, None])


@pytest.mark.slow
def test_what_the_recipe_does_not_do_is_refused(second):
    runs = grid()
    with pytest.raises(InputError, match="no law 'softplus'"):
        fit(runs, law="softplus", recipe="paper")
    with pytest.raises(InputError, match="sum of squared errors"):
        fit(runs, law="t2_loss", objective="huber", recipe="paper")
    with pytest.raises(InputError, match="unknown recipe"):
        fit(runs, law="t2_loss", recipe="folklore")
    with pytest.raises(InputError, match="not resampled"):
        bootstrap(second)
    apart = runs.select(np.asarray([0, 5, 10]))  # one checkpoint of each isoFLOP group
    with pytest.raises(Refusal, match="equal training FLOPs"):
        isoflop_weights(apart, apart.mean_nll())
