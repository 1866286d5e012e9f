"""How far checkpoints stray from a law of pass@k: against quadrature, and where it is known."""

import dataclasses

import numpy as np
import pytest
from scipy import integrate, special, stats

from t2jax import fit
from t2jax._precision import double
from t2jax.fitting.rows import counts_rows
from t2jax.laws import Additive, BetaMonotone
from t2jax.observations import Observations
from t2jax.uncertainty import bootstrap
from t2jax.uncertainty.checkpoint_spread import stray_draws
from t2jax.validation import extrapolate

LAW = BetaMonotone(
    loss=Additive(E=0.0, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3),
    a0=0.5, a1=1.0, b0=1.0, b1=2.0,
)  # fmt: skip


def simulate(spread: float, sizes: int, ratios: int, questions: int, seed: int = 0):
    """Counts at 40 trials a question, log b of every checkpoint off the law's, and pass@k."""
    rng = np.random.default_rng(seed)
    params = np.repeat(np.geomspace(2e7, 2e9, sizes), ratios)
    tokens = params * np.tile(np.geomspace(5, 200, ratios), sizes)
    a, b = (np.asarray(x, float) for x in double(LAW.spread)(params=params, tokens=tokens))
    b = b * np.exp(spread * rng.standard_normal(len(b)))
    p = rng.beta(a[:, None], b[:, None], (len(params), questions))
    table = Observations(
        kind="counts", run=np.arange(len(params)).astype(str), params=params, tokens=tokens,
        successes=rng.binomial(40, p), trials=np.full(p.shape, 40),
        question=np.arange(questions).astype(str), task=np.full(questions, "task"),
    )  # fmt: skip
    return table, np.stack([(1 - (1 - p) ** k).mean(axis=1) for k in (1, 10, 40)], axis=1)


@double
def strays(table):
    return stray_draws(LAW, counts_rows(table), 4000, np.random.default_rng(0))


def test_the_posterior_of_the_spread_is_that_of_quadrature():
    table, _ = simulate(0.5, 4, 3, 20)
    c, n = np.asarray(table.successes), np.asarray(table.trials)
    a, b = double(LAW.spread)(params=table.params, tokens=table.tokens)
    x = np.linspace(-12, 12, 4801)
    tau = np.geomspace(0.02, 3.0, 60)
    log_density = np.log(tau) - 0.5 * (tau / 0.5) ** 2
    for own_a, own_b, won, tried in zip(a, b, c, n, strict=True):
        moved = own_b * np.exp(x)[:, None]
        cells = special.betaln(own_a + won, moved + tried - won) - special.betaln(own_a, moved)
        like = np.exp(cells.sum(axis=1) - cells.sum(axis=1).max())
        normal = stats.norm.pdf(x, 0, tau[:, None])
        log_density += np.log(integrate.simpson(like * normal, x=x, axis=1))
    share = np.exp(log_density - log_density.max())
    below = integrate.cumulative_trapezoid(share / tau, tau, initial=0.0)
    charge = np.sqrt(len(c) / (len(c) - len(LAW.cards())))
    found = np.quantile(strays(table) / charge, [0.1, 0.5, 0.9])
    assert np.interp(found, tau, below / below[-1]) == pytest.approx([0.1, 0.5, 0.9], abs=0.03)


@pytest.mark.parametrize("spread", [0.0, 0.6])
def test_a_spread_that_is_there_is_found_and_one_that_is_not_is_small(spread):
    table, _ = simulate(spread, 6, 5, 80)
    low, high = np.quantile(strays(table), [0.02, 0.98])
    if spread:
        assert low < spread < high < 2 * spread
    else:
        assert high < 0.3


@pytest.mark.slow
def test_the_bootstrap_of_counts_covers_checkpoints_that_were_not_seen():
    table, truth = simulate(0.6, 8, 6, 80)
    known = np.arange(48) % 3 > 0
    fitted = fit(table.select(known), law="beta_monotone", n_starts=2)
    draws = bootstrap(fitted, n_draws=60, progress=False)
    found = extrapolate(draws, [1, 10, 40], runs=table.select(~known), level=0.8)
    assert 0.6 <= found.coverage(truth[~known]) <= 0.98
    assert not any("leave out" in note for note in found.notes)
    bare = dataclasses.replace(draws, nuisance={})
    without = extrapolate(bare, [1, 10, 40], runs=table.select(~known), level=0.8)
    assert without.coverage(truth[~known]) < 0.6
