"""Laws judged by what they were not fitted to."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from law_cases import value
from scipy import special, stats

from t2jax.cli import main
from t2jax.errors import InputError, Refusal
from t2jax.fitting import FitResult, fit
from t2jax.fitting.default import candidates
from t2jax.fitting.held_out import HeldOut, _beyond_samples, _far_ends, held_out, thinned
from t2jax.fitting.judge import best_of, judge, win_shares
from t2jax.fitting.refit import fitted_stages
from t2jax.laws import Additive, BetaMonotone, Coupled, Product
from t2jax.observations import Observations
from t2jax.validation import Comparison, compare
from t2jax.validation.compare import _samples_check, _slopes

# As many rows as the tests of the posterior have, so that compiled programs are shared.
PARAMS = np.tile(np.geomspace(1e7, 3e9, 6), 8)
TOKENS = PARAMS * np.repeat(np.geomspace(3, 300, 8), 6)
PLACE = {"params": PARAMS, "tokens": TOKENS}
BENT = Coupled(E=1.6, A=0.5 * 2e8**0.8, B=0.4 * 6e9**0.7, alpha=0.8, beta=0.7, kappa=0.4)


@pytest.fixture(scope="module")
def table() -> Observations:
    """Losses of a coupled law with independent noise."""
    loss = value(BENT, PLACE) * np.exp(np.random.default_rng(0).normal(0, 0.002, 48))
    run = np.arange(48).astype(str)
    return Observations(kind="loss", run=run, params=PARAMS, tokens=TOKENS, loss=loss)


@pytest.fixture(scope="module")
def additive(table) -> FitResult:
    return fit(table, "additive")


@pytest.fixture(scope="module")
def compared(table) -> Comparison:
    return compare(table, ["additive", "coupled"], progress=False)


@pytest.mark.slow
def test_a_held_out_part_is_a_fit_without_it(table, additive):
    found = held_out(additive, table, each=False)
    assert found.converged == 1.0
    assert list(found.axis_error) == ["tokens_per_param", "train_flops"]
    flops = 6 * PARAMS * TOKENS
    far = flops >= np.quantile(flops, 0.75, method="higher")
    assert far.sum() == 12
    again = fit(table.select(~far), "additive", n_starts=2).law
    place = {name: column[far] for name, column in PLACE.items()}
    error = np.mean(np.abs(value(again, place) / table.loss[far] - 1))
    assert found.axis_error["train_flops"] == pytest.approx(error, rel=1e-5)


@pytest.mark.slow
def test_the_law_behind_the_data_wins(compared):
    assert [each.law_name for each in compared.held_out] == ["coupled", "additive"]
    assert compared.best.law.name == "coupled"
    assert compared.weights.sum() == pytest.approx(1)
    assert compared.weights[0] > 0.9
    best, other = compared.records()
    assert best["train_flops"] < 0.5 * other["train_flops"]
    assert best["checkpoints"] == pytest.approx(0.0016, rel=0.5)  # noise of .002, mean absolute
    assert "each checkpoint" in compared.summary()
    json.dumps(compared.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_auto_says_what_it_compared(table):
    chosen = fit(table, "auto")
    assert chosen.law.name == "coupled"
    for word in (
        "laws judged by their relative error",
        "train_flops",
        "coupled 0.0",
        "additive 0.0",
    ):
        assert word in chosen.message
    assert FitResult.from_dict(chosen.to_dict()).message == chosen.message
    with pytest.raises(InputError, match="recipe"):
        fit(table, "auto", recipe="paper")


def judged_as(name, *errors, runs=40, noise=0.1, seed=0, converged=1.0) -> HeldOut:
    """A law whose rows miss by these means on D/N and FLOPs, one row of each run on each axis."""
    rng = np.random.default_rng(seed)
    scatter = stats.zscore(rng.normal(size=(len(errors), runs)), axis=1)  # the means are exact
    each = np.array(errors)[:, None] * (1.0 + noise * scatter)
    none = np.zeros((runs, 2))
    return HeldOut(
        law_name=name, form=name.rpartition("(")[2].rstrip(")"),
        quantity="relative error", points=none, point_error=none[:, 0],
        point_density=none[:, 0], axes=("tokens_per_param", "train_flops"), error=each,
        rows=np.ones_like(each), converged=converged,
    )  # fmt: skip


def test_a_mean_error_has_the_standard_error_of_its_runs():
    one, other = judged_as("additive", 0.03, 0.05), judged_as("coupled", 0.02, 0.02, seed=1)
    together = one.error.mean(axis=0)  # a run has one row on each axis
    assert one.mean().value == pytest.approx(together.mean())
    assert one.mean().error == pytest.approx(together.std(ddof=1) / np.sqrt(40))
    gap = (one.error - other.error)[1]
    found = one.mean(("train_flops",), beside=other)
    assert found == pytest.approx((gap.mean(), gap.std(ddof=1) / np.sqrt(40)))
    # Rows of one run are no new data: twice the rows, the same error.
    twice = dataclasses.replace(one, error=2 * one.error, rows=2 * one.rows)
    assert twice.mean() == pytest.approx(one.mean())
    none = dataclasses.replace(one, error=np.pad(one.error, ((0, 0), (0, 9))),
                               rows=np.pad(one.rows, ((0, 0), (0, 9))))  # fmt: skip
    assert none.mean() == pytest.approx(one.mean())


@pytest.mark.parametrize(
    ("errors", "best"),
    [
        # Within a standard error of the least: the coupled law, then the additive one.
        (
            {"tied": (0.0200, 0.02), "additive": (0.0201, 0.02), "coupled": (0.0202, 0.02)},
            "coupled",
        ),
        ({"tied": (0.0200, 0.02), "additive": (0.0201, 0.02), "coupled": (0.03, 0.03)}, "additive"),
        ({"tied": (0.01, 0.01), "additive": (0.02, 0.02), "coupled": (0.03, 0.03)}, "tied"),
        # The laws that bend more must win along D/N, and lose nowhere.
        ({"coupled": (0.0201, 0.02), "farseer": (0.02, 0.01)}, "coupled"),
        ({"coupled": (0.03, 0.02), "farseer": (0.02, 0.0201)}, "farseer"),
        ({"coupled": (0.03, 0.02), "farseer": (0.02, 0.03)}, "coupled"),
        ({"coupled": (0.03, 0.02), "farseer": (0.02, 0.02), "ceiling": (0.01, 0.02)}, "ceiling"),
        ({"softplus(coupled)": (0.0201, 0.02), "softplus": (0.02, 0.02)}, "softplus(coupled)"),
    ],
)
def test_a_tie_goes_to_the_coupled_law_and_bent_laws_must_win(errors, best):
    judged = [judged_as(name, *pair, seed=i) for i, (name, pair) in enumerate(errors.items())]
    assert best_of(judged).law_name == best
    assert best_of(judged[::-1]).law_name == best


def test_shares_of_wins_leave_out_what_the_runs_refute_and_split_what_they_do_not():
    far = judged_as("additive", 0.05, 0.02)
    one, other = (judged_as(n, 0.02, 0.02, seed=i) for i, n in enumerate(("coupled", "farseer")))
    lost = dataclasses.replace(one, error=np.full_like(one.error, 1e6))
    shares = win_shares([far, one, other, lost])
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == shares[3] == 0.0
    gap = one.mean(("tokens_per_param",), beside=other)
    # About the normal probability that the difference has that sign.
    assert shares[2] == pytest.approx(stats.norm.cdf(gap.value / gap.error), abs=0.03)


def samples_table(seed: int) -> Observations:
    """Losses whose exponent of k grows with log N and falls with log D."""
    k = np.array([1.0, 4.0, 16.0, 64.0])
    n, d, x = (np.ravel(c) for c in np.broadcast_arrays(PARAMS[:, None], TOKENS[:, None], k))
    exponent = 0.2 + 0.03 * np.log(n / 1e8) - 0.01 * np.log(d / 1e10)
    noise = np.random.default_rng(seed).normal(0, 0.01, len(n))
    run = np.repeat(np.arange(48), 4).astype(str)
    loss = 3.0 * x**-exponent * np.exp(noise)
    return Observations(kind="loss", run=run, params=n, tokens=d, samples=x, loss=loss)


def test_slopes_of_the_exponent_are_within_their_standard_errors():
    # Only the law of the fit is looked at: one exponent for all.
    flat = Product(loss=BENT, c=1.0, gamma=0.2)
    scores = []
    for seed in range(100):
        table = samples_table(seed)
        check = _samples_check(table, SimpleNamespace(law=flat, samples=None))  # pyright: ignore
        assert check is not None
        for name, slope in (("params", 0.03), ("tokens", -0.01)):
            found, error = check.measured[name]
            scores.append((found - slope) / error)
    assert 0.85 < np.std(scores) < 1.25
    assert abs(np.mean(scores)) < 0.3
    assert abs(check.residual["params"][0]) > 10 * check.residual["params"][1]
    assert "left by product" in " ".join(check.sentences())


def test_standard_errors_take_each_row_from_a_fit_without_it():
    rng = np.random.default_rng(2)
    matrix = np.column_stack([np.ones(9), rng.normal(size=(9, 2))])
    y = rng.normal(size=9)
    left = []
    for i in range(9):
        rest = np.arange(9) != i
        left.append(y[i] - matrix[i] @ np.linalg.lstsq(matrix[rest], y[rest])[0])
    inverse = np.linalg.inv(matrix.T @ matrix)
    spread = inverse @ (matrix.T * np.square(left)) @ matrix @ inverse
    found = _slopes(matrix, y)
    assert [error for _, error in found.values()] == pytest.approx(np.sqrt(np.diag(spread))[1:])


def test_candidates_follow_the_table(table):
    assert candidates(table) == ("coupled", "additive", "tied", "ceiling", "farseer")
    repeated = Observations(**dict(table.columns()), kind="loss", unique_tokens=TOKENS / 2)
    assert "data_constrained" in candidates(repeated)


@pytest.mark.parametrize(
    ("laws", "word"),
    [
        (["additive", "beta_monotone"], "different rows"),
        ([], "no laws"),
        (["power"], "unknown law"),
    ],
)
def test_laws_that_do_not_compare_are_refused(table, laws, word):
    with pytest.raises(InputError, match=word):
        compare(table, laws)


def test_a_table_too_small_to_hold_out_is_refused(table):
    small = table.select([0, 1, 7, 20, 30, 41, 47])
    with pytest.raises(Refusal, match="too few to hold a quarter"):
        compare(small, ["additive"])


@pytest.fixture(scope="module")
def counts() -> Observations:
    """Simulated counts under a monotone Beta law: 15 checkpoints, 100 samples a question."""
    rng = np.random.default_rng(1)
    params, tokens = np.repeat(np.geomspace(1e7, 3e9, 5), 3), np.tile([3e9, 3e10, 3e11], 5)
    loss = Additive(E=1.7, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3)
    law = BetaMonotone(loss=loss, a0=2.0, a1=1.0, b0=0.5, b1=0.8)
    with jax.enable_x64(True):
        a, b = (np.asarray(x)[:, None] for x in law.spread(params=params, tokens=tokens))
    trials = np.full((15, 300), 100)
    return Observations(
        kind="counts", run=np.arange(15).astype(str), params=params, tokens=tokens,
        successes=rng.binomial(trials, rng.beta(a, b, trials.shape)), trials=trials,
        question=np.arange(300).astype(str), task=np.full(300, "task"),
    )  # fmt: skip


LAW = Additive(E=1.6, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3)


def written_down(law, objective: str, samples=None) -> Any:
    """What `held_out` reads of a fit, without fitting."""
    return SimpleNamespace(law=law, objective=objective, objective_options={}, samples=samples)


def test_held_out_rows_are_the_far_quarter_and_a_doubtful_refit_is_evidence(table, monkeypatch):
    noise = {"sigma": 0.01, "nu": 4.0}
    kept = []

    def refit(fit, stages, resamples, folds, **_):
        # As if every refit had come back to one law, that of one axis without convergence.
        kept.append(resamples[-1].weight > 0)
        law = jax.tree.map(lambda x: np.full(folds, float(x)), fit.law)
        nuisance = tuple(np.full(folds, x) for x in noise.values())
        return SimpleNamespace(law=law, nuisance=nuisance, converged=np.arange(folds) != 1)

    monkeypatch.setattr("t2jax.fitting.held_out.refit", refit)
    found = held_out(written_down(LAW, "student_t"), table)
    out = ~kept[0]
    for far, axis in zip(out, (TOKENS / PARAMS, PARAMS * TOKENS), strict=False):
        assert far.sum() == 12  # of 48
        assert axis[far].min() > axis[~far].max() * (1 - 1e-9)
    told, seen = value(LAW, PLACE), np.asarray(table.loss)
    error = np.abs(told - seen) / seen
    assert 0.0 < np.mean(told < seen) < 1.0  # so that signs would cancel
    means = {"tokens_per_param": error[out[0]].mean(), "train_flops": error[out[1]].mean()}
    assert found.axis_error == pytest.approx(means, rel=1e-9)
    assert found.converged == pytest.approx(49 / 50)
    # Each checkpoint alone, and the density of a loss: that of its log over the loss.
    assert out[2:].sum(axis=0).tolist() == out[2:].sum(axis=1).tolist() == [1] * 48
    at = np.lexsort((TOKENS, PARAMS))
    assert np.array_equal(found.points, np.stack([PARAMS, TOKENS], axis=1)[at])
    assert found.point_error == pytest.approx(error[at], rel=1e-9)
    density = stats.t.logpdf(np.log(seen / told), noise["nu"], scale=noise["sigma"]) - np.log(seen)
    assert found.point_density == pytest.approx(density[at], rel=1e-6)


def test_along_k_the_largest_are_held_out_of_four_or_more():
    points = np.stack([PARAMS, TOKENS], axis=1)
    for k, far in (((1, 4, 16, 64), (64,)), ((1, 2, 4, 8, 16, 32, 64), (32, 64)), ((1, 8, 64), ())):
        rows: Any = SimpleNamespace(samples=np.asarray(k, float), params=1e9, tokens=1e10)
        ends = _far_ends(rows, points)
        assert ("samples" in ends) == bool(far)
        if far:  # the upper third of log k
            assert np.asarray(k)[ends["samples"](rows)].tolist() == list(far)


def test_a_law_of_counts_that_does_not_settle_on_fewer_samples_is_judged_where_it_stands(
    counts, monkeypatch
):
    law = BetaMonotone(loss=LAW, a0=2.0, a1=1.0, b0=0.5, b1=0.8)
    fit = written_down(law, "beta_binomial", (1.0, 4.0, 16.0, 64.0))
    astray = law.replace(a0=float("nan"))
    for stands, missed in (
        (law, lambda x: np.all(x < 0.1)),
        (astray, lambda x: np.all(x == 1e6)),
    ):
        monkeypatch.setattr("t2jax.fitting.held_out.resettled", lambda *_, at=stands: (at, False))
        with jax.enable_x64(True):
            stages = fitted_stages(fit, counts)
            error, rows = _beyond_samples(fit, stages, counts)["samples"]
        assert missed(error)
        assert rows.all()


def test_the_chosen_law_stands_first_and_certified_ones_before_others(table, monkeypatch):
    errors = {"additive": 0.1, "tied": 0.3, "coupled": 0.1001, "doubtful": 0.01, "failed": 1e6}
    monkeypatch.setattr("t2jax.fitting.judge.held_out", lambda fit, *_, **__: fit.judged)

    def fit_of(name: str) -> Any:
        judged = judged_as(name, errors[name], errors[name], seed=len(name))
        return lambda: SimpleNamespace(success=name != "doubtful", judged=judged)

    found = judge(table, {name: fit_of(name) for name in errors}).found
    names = [judged.law_name for _, judged in found]
    assert names == ["coupled", "additive", "tied", "failed", "doubtful"]


def test_thinned_counts_are_samples_of_the_counts(counts):
    successes, trials = thinned(counts, 16)
    assert np.all(trials == 16)
    assert np.all(successes <= np.minimum(counts.successes, 16))
    assert np.all(16 - successes <= counts.trials - counts.successes)
    # Drawn without replacement: the share is kept, give or take the noise of 72,000 draws.
    assert successes.mean() / 16 == pytest.approx(counts.successes.mean() / 100, abs=0.004)
    assert np.array_equal(thinned(counts, 100)[0], counts.successes)


@pytest.mark.slow
def test_the_largest_k_of_counts_is_held_out(counts):
    found = held_out(fit(counts, "beta_monotone"), counts, each=False)
    assert set(found.axis_error) == {"train_flops", "tokens_per_param", "samples"}
    # By hand: k = 1, 4, 16, 64 in 100 samples; the law sees 16 of them and is judged at 64.
    successes, trials = thinned(counts, 16)
    fewer = dataclasses.replace(counts, successes=successes, trials=trials)
    law = fit(fewer, "beta_monotone").law
    told = value(law, {"params": counts.params, "tokens": counts.tokens, "samples": 64.0})
    failed = counts.trials - counts.successes
    choose = special.gammaln(failed + 1.0) - special.gammaln(np.maximum(failed - 63, 1.0))
    each = 1.0 - np.exp(choose + special.gammaln(37.0) - special.gammaln(101.0))
    measured = np.where(failed < 64, 1.0, each).mean(axis=1)
    error = np.mean(np.abs(told - measured))
    assert found.axis_error["samples"] == pytest.approx(error, rel=1e-4)
    assert error < 0.1


@pytest.mark.slow
def test_the_command_prints_one_table(table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.write("runs.csv")
    assert main(["compare", "runs.csv", "--laws", "additive,coupled", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["law"] for row in told["laws"]] == ["coupled", "additive"]


@pytest.mark.slow
def test_laws_of_samples_are_held_out_along_k():
    import t2jax as t2

    runs = t2.datasets.load_ladder()
    found = compare(runs, ["softplus", "t2_loss"], progress=False)
    assert set(found.held_out[0].axis_error) == {"train_flops", "tokens_per_param", "samples"}
    assert found.samples is not None
    assert all(each.converged > 0.95 for each in found.held_out)
