"""The comparison without a law: sums done by hand, choices judged on questions left out."""

import numpy as np
import pytest

import t2jax as t2
from t2jax.errors import InputError
from t2jax.planner import measured
from t2jax.reporting.tables import measured_section

FLOPS, INFERENCE = 6e10, 8e4


def table(nll, params, *, flops=FLOPS, **fields):
    """A question table with one checkpoint per row of `nll`, all of one training budget."""
    nll, params = np.asarray(nll, float), np.asarray(params, float)
    return t2.Observations(
        kind="nll",
        run=np.array([f"r{i}" for i in range(len(params))]),
        params=params,
        tokens=flops / (6 * params),
        nll=nll,
        question=np.array([f"q{i}" for i in range(nll.shape[1])]),
        task=np.array(["t"] * nll.shape[1]),
        **fields,
    )


def budget(train=FLOPS, inference=INFERENCE):
    return t2.Budget(train_flops=train, inference_flops=inference)


def noisy(levels, questions=40, seed=0):
    rng = np.random.default_rng(seed)
    return np.asarray(levels)[:, None] + rng.uniform(0, 1, (len(levels), questions))


def test_the_numbers_are_those_of_a_sum_by_hand():
    # The larger model is better at one sample; with 20 samples against 5 the smaller one is.
    nll, params = noisy([3.0, 2.6]), [2e3, 8e3]
    found = measured(table(nll, params), budget())
    assert found is not None
    assert (found.single.params, found.repeated.params) == (8e3, 2e3)
    for choice, row, k in ((found.single, 1, 5), (found.repeated, 0, 20)):
        success = 1 - (1 - np.exp(-nll[row])) ** k
        assert choice.samples == k
        assert choice.pass_at_k == pytest.approx(success.mean(), rel=1e-12)
        assert choice.loss == pytest.approx(-np.log(success).mean(), rel=1e-12)
        assert choice.tokens == pytest.approx(FLOPS / (6 * params[row]))
    some = measured(table(nll, params), budget(inference=9e4))  # 5.6 samples and 22.5
    assert some is not None
    assert (some.single.samples, some.repeated.samples) == (5, 22)
    assert found.gain() == found.repeated.pass_at_k - found.single.pass_at_k > 0
    low, high = found.gain_interval
    assert low <= found.gain() <= high
    assert found.at_edge


def test_seeds_of_a_size_are_averaged_before_the_choice():
    # One lucky seed of the small size would win alone; its mean does not.
    nll = noisy([0.5, 9.0, 1.0, 1.0])
    found = measured(table(nll, [2e3, 2e3, 4e3, 4e3]), budget())
    assert found is not None
    assert found.repeated.params == 4e3
    assert found.repeated.checkpoints == 2


def test_noise_alone_gains_nothing():
    # Equal sizes whose questions differ by luck: a choice judged on its own questions would be
    # flattered in nearly every table, one judged elsewhere is as often wrong as right.
    lows = []
    for seed in range(30):
        nll = np.random.default_rng(seed).uniform(2, 8, (6, 60))
        found = measured(table(nll, 4e3 * (1 + np.arange(6) * 1e-6)), budget())
        assert found is not None
        lows.append(found.gain_interval[0])
    assert np.mean(np.asarray(lows) > 0) < 0.2


def test_another_level_or_a_size_without_a_sample_is_left_out():
    near, far = table(noisy([3, 2]), [2e3, 8e3]), table(noisy([1, 1]), [3e3, 5e3], flops=10 * FLOPS)
    both = near.join(t2.Observations(**{
        **{name: values for name, values in far.columns()}, "kind": "nll", "run": ["x", "y"],
    }))  # fmt: skip
    found = measured(both, budget())
    assert found is not None
    assert found.sizes == 2
    assert found.train_flops == pytest.approx(FLOPS)
    assert measured(both, budget(train=300 * FLOPS)) is None
    # 2 N k <= C_i leaves the larger model no sample, so nothing to compare.
    assert measured(near, budget(inference=1e4)) is None


def test_counts_are_judged_by_the_unbiased_estimate_and_never_beyond_the_trials():
    shape, params = (2, 30), np.array([2e3, 8e3])
    successes = np.random.default_rng(0).binomial(64, [[0.1], [0.15]], shape)
    runs = t2.Observations(
        kind="counts", run=np.array(["a", "b"]), params=params, tokens=FLOPS / (6 * params),
        successes=successes, trials=np.full(shape, 64), task=np.array(["t"] * 30),
        question=np.arange(30).astype(str),
    )  # fmt: skip
    found = measured(runs, budget())
    assert found is not None
    expected = t2.pass_at_k(successes[0], 64, 20).mean()
    assert found.repeated.pass_at_k == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found.repeated.loss)
    assert measured(runs, budget(inference=1e6)) is None  # k = 250 of 64 trials


def test_what_cannot_be_compared():
    runs = table(noisy([3, 2]), [2e3, 8e3])
    assert measured(runs, t2.Budget(train_flops=FLOPS)) is None
    with pytest.raises(InputError, match="sweep"):
        measured(runs, t2.Budget(train_flops=[FLOPS, 2 * FLOPS], inference_flops=INFERENCE))


def test_the_words_say_edge_and_sameness():
    found = measured(table(noisy([3.0, 2.6]), [2e3, 8e3]), budget())
    assert found is not None
    text = " ".join(measured_section(found).text().split())
    assert "2 sizes trained with 6e+10 FLOPs" in text
    assert "at the edge of the sizes measured" in text
    same = measured(table(noisy([1.0, 2.6]), [2e3, 8e3]), budget())
    assert same is not None
    assert "Both choose the same size" in measured_section(same).text()


def test_the_gain_of_luck_is_as_often_a_loss():
    # Sizes that differ by luck alone. Judged on the questions that chose it, a choice all but
    # never loses, and all ten intervals lie mostly above zero.
    params = 4e3 * (1 + np.arange(6) * 1e-6)
    middles = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        runs = t2.Observations(
            kind="counts", run=np.arange(6).astype(str), params=params,
            tokens=FLOPS / (6 * params), successes=rng.binomial(64, rng.beta(0.3, 3, (6, 40))),
            trials=np.full((6, 40), 64), task=np.full(40, "t"), question=np.arange(40).astype(str),
        )  # fmt: skip
        found = measured(runs, budget())
        assert found is not None
        middles.append(np.mean(found.gain_interval))
    assert 3 <= np.sum(np.asarray(middles) < 0) <= 7


def test_a_lower_level_lies_inside_a_higher_one_and_closes_on_the_middle():
    runs = table(np.random.default_rng(0).exponential(3, (6, 60)) + 0.5, 4e3 * (1 + np.arange(6)))
    levels = (0.001, 0.5, 0.9)
    found = [measured(runs, budget(inference=5e5), level=level) for level in levels]
    low, high = zip(*(each.gain_interval for each in found if each is not None), strict=True)
    assert low[0] == pytest.approx(high[0], abs=1e-3)
    assert low[2] <= low[1] <= low[0] <= high[0] <= high[1] <= high[2]
    assert low[2] < low[0] or high[2] > high[0]
