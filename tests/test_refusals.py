"""Tables that are too small or say nothing: what is refused, and how no answer ever looks."""

import dataclasses
import math

import numpy as np
import pytest

import t2jax as t2
from t2jax import _text
from t2jax.fitting.result import LEAST_TREND, relative_errors
from t2jax.hull import Hull
from t2jax.laws import Additive, predict
from t2jax.observations import POOLED, Observations

LAW = Additive(E=1.6, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3)
BUDGET = t2.Budget(train_flops=1e20)
PARAMS = np.tile(np.geomspace(1e7, 3e9, 6), 8)
TOKENS = PARAMS * np.repeat(np.geomspace(3, 300, 8), 6)


def losses(noise: float, rows=slice(None), seed=0) -> Observations:
    params, tokens = PARAMS[rows], TOKENS[rows]
    scatter = np.random.default_rng(seed).normal(0, noise, len(params))
    loss = predict(LAW, params, tokens) * np.exp(scatter)
    run = np.arange(len(params)).astype(str)
    return Observations(
        kind="loss", run=run, params=params, tokens=tokens, loss=loss, source="these runs"
    )


@pytest.fixture(scope="module")
def noise():
    """A fit of a table whose losses the law explains by a quarter or so, and its draws."""
    fit = t2.fit(losses(0.35), "additive")
    return fit, t2.bootstrap(fit, n_draws=32, progress=False)


def test_a_table_without_trend_is_fitted_with_a_warning_and_not_planned(noise, tmp_path):
    fit, draws = noise
    share = 1 - (1 - np.corrcoef(fit.observed, fit.predicted)[0, 1] ** 2) * 47 / 43
    assert share < LEAST_TREND
    assert f"explains {share:.0%} of how its losses differ" in fit.trendless
    assert "NO PLAN CAN BE MADE" in fit.summary()
    draws.save(tmp_path / "draws.npz")
    for model in (fit, draws, t2.Ensemble.load(tmp_path / "draws.npz")):
        for ask in (t2.optimum, t2.regret, t2.design)[: 3 if model is not fit else 1]:
            with pytest.raises(t2.Refusal, match=r"next to no trend.*no ground for a plan"):
                ask(model, BUDGET)
    with pytest.raises(t2.Refusal, match="no ground for a plan"):
        t2.plan(losses(0.35), BUDGET, law="additive", n_draws=4, progress=False)
    assert float(t2.optimum(fit.law, BUDGET).params) > 0  # the law alone is asked for what it says


@pytest.mark.parametrize(("checkpoints", "advised"), [(4, False), (5, True)])
def test_a_smaller_law_is_advised_only_where_the_table_can_tell_it(checkpoints, advised):
    few = losses(0.0, rows=slice(0, 2 * checkpoints, 2))
    asked = np.tile([64.0], (checkpoints, 12))
    right = np.round(asked * np.linspace(0.1, 0.9, 12) * np.exp(-np.asarray(few.loss))[:, None])
    counts = dataclasses.replace(
        few, kind="counts", loss=None, successes=right, trials=asked,
        task=np.full(12, "t"), question=np.arange(12).astype(str),
    )  # fmt: skip
    with pytest.raises(t2.Refusal, match=f"has {checkpoints} distinct") as told:
        t2.fit(counts, "beta_monotone")
    assert "law 'additive' inside law 'beta_monotone' has 5 coefficients" in str(told.value)
    assert ("law='tied'" in str(told.value)) == advised
    if advised:
        t2.fit(few, "tied")
    else:
        with pytest.raises(t2.Refusal, match="'tied' has 4 coefficients"):
            t2.fit(few, "tied")


def test_what_may_hide_a_trend_is_said_instead_of_a_call_for_more_runs():
    noisy = losses(0.35)
    told = f"{POOLED} they differ in 'corpus'; keep one of them, e.g. --where \"corpus == 'a'\""
    pooled = dataclasses.replace(noisy, notes=("read", told))
    repeated = dataclasses.replace(noisy, unique_tokens=noisy.tokens / 4)
    for table, said in (
        (pooled, r"no ground for a plan; they differ in 'corpus'; keep one of them"),
        (repeated, r"100% of its rows repeat their data.*name law='data_constrained'"),
    ):
        with pytest.raises(t2.Refusal, match=said):
            t2.plan(table, BUDGET, law="additive", n_draws=4, progress=False)


def test_a_trend_along_samples_is_no_trend():
    samples = np.array([1.0, 4.0, 16.0])
    scatter = np.exp(np.random.default_rng(0).normal(0, 0.35, len(PARAMS)))
    loss = predict(LAW, PARAMS, TOKENS)[:, None] * scatter[:, None] / (1 + np.log(samples))
    runs = Observations(
        kind="loss", loss=loss.ravel(), samples=np.tile(samples, len(PARAMS)),
        source="these runs", run=np.repeat(np.arange(len(PARAMS)), 3).astype(str),
        params=np.repeat(PARAMS, 3), tokens=np.repeat(TOKENS, 3),
    )  # fmt: skip
    fit = t2.fit(runs, "softplus", n_starts=2)
    assert fit.criteria["R2"] > LEAST_TREND
    assert "next to no trend" in fit.trendless
    assert t2.FitResult.from_dict(fit.to_dict()).trendless == fit.trendless


def test_draws_that_spread_sizes_further_than_the_table_say_so():
    law = LAW.replace(**{n: np.full(40, x) for n, x in LAW.coefficients().items()})
    hull = Hull(params=(1e9, 1.1e9), tokens=(1e9, 1e11), samples=(1.0, 1.0),
                tokens_per_param=(1.0, 1e3), train_flops=(1e18, 1e21))  # fmt: skip
    for spread, told in ((1e-4, False), (0.03, True)):
        alpha = np.linspace(0.34 - spread, 0.34 + spread, 40)
        moved = law.replace(alpha=alpha, A=0.6 * 2e8**alpha)
        draws = t2.Ensemble(law=moved, point=LAW, kind="simulation", hull=hull)
        found = t2.optimum(draws, BUDGET)
        assert ("do not tell the size" in " ".join(found.status)) == told


def test_losses_next_to_nothing_do_not_make_a_mean_of_relative_errors():
    observed = np.array([2.0, 1.0, 1e-12])
    errors = relative_errors(np.array([2.2, 1.0, 1e-4]), observed)
    assert errors == pytest.approx([0.1, 0.0, 0.1], rel=1e-3)


def test_a_table_with_a_trend_is_planned():
    fit = t2.fit(losses(0.02), "additive")
    assert fit.trendless == ""
    assert "NO PLAN" not in fit.summary()
    assert float(t2.optimum(fit, BUDGET).params) > 0


def test_an_interval_never_has_two_equal_ends_nor_an_endless_one():
    assert _text.interval(1.08e8, 1.0800001e8, _text.count) == "108M at both ends"
    assert _text.interval(0.000119, math.inf) == "above 0.000119"
    assert _text.interval(-math.inf, 3.0) == "below 3"
    assert _text.interval(-math.inf, math.inf) == "open at both ends"
    assert _text.interval(math.nan, math.nan) == "n/a"


def test_draws_that_disagree_by_more_than_any_plan_is_worth_have_no_regret():
    wild = np.array([0.34] * 30 + [-2.0, -2.5])
    law = LAW.replace(**{n: np.full(32, x) for n, x in LAW.coefficients().items()})
    law = law.replace(A=np.where(wild > 0, law.A, 1e40), alpha=np.abs(wild) + 0.01)
    draws = t2.Ensemble(law=law, point=LAW, kind="simulation")
    with pytest.raises(t2.Refusal, match="disagree about every plan by more"):
        t2.regret(draws, BUDGET)


def questions(tokens) -> Observations:
    """NLLs of 300 questions at ten sizes, the mean that of a law in N."""
    params = np.geomspace(1e7, 1e10, 10)
    mean = 1.2 + 0.5 * (params / 1e9) ** -0.2
    spread = np.random.default_rng(0).gamma(1.5, 1.0 / 1.5, 300)
    return Observations(
        kind="nll", run=np.arange(10).astype(str), params=params, tokens=np.full(10, tokens),
        nll=mean[:, None] * spread, question=np.arange(300).astype(str),
        task=np.full(300, "task"), source="these models",
    )  # fmt: skip


def test_one_token_count_answers_for_size_and_samples_and_not_for_tokens():
    runs = questions(3e11)
    fit = t2.fit(runs)
    assert fit.success, fit.message
    assert fit.law.base.name == "size"
    with pytest.raises(t2.Refusal, match=r"one token count only.*law='size'"):
        t2.fit(runs, "softplus")
    found = t2.optimum(fit, t2.Budget(train_flops=1e23, inference_flops=2e11))
    assert float(found.tokens) == pytest.approx(3e11)
    # The best of sizes by hand: k = C_i/(2N), whatever was trained.
    sizes = np.geomspace(1e4, 1e11, 8001)
    told = predict(fit.law, sizes, 1e9, np.maximum(1e11 / sizes, 1.0))
    assert float(found.params) == pytest.approx(sizes[np.argmin(told)], rel=0.01)
    # What cannot be trained on as many tokens is no choice.
    small = t2.optimum(fit, t2.Budget(train_flops=6 * 3e11 * 5e5, inference_flops=2e11))
    assert float(small.params) <= 5e5 * (1 + 1e-9)
    assert float(small.tokens) == pytest.approx(3e11)
    cases = {
        "nothing of how many tokens": t2.Budget(train_flops=1e23),
        "says nothing of": t2.Budget(total_flops=1e23, questions=1e8, tokens_per_sample=100),
        "more than max_tokens": t2.Budget(train_flops=1e23, inference_flops=1e11, max_tokens=1e11),
    }
    for said, budget in cases.items():
        with pytest.raises(t2.Refusal, match=f"one token count only .3e.11.*{said}"):
            t2.optimum(fit, budget)
    with pytest.raises(t2.Refusal, match="ask the fit"):
        t2.optimum(fit.law, t2.Budget(train_flops=1e23, inference_flops=1e11))


def test_a_law_of_one_count_is_refused_to_a_table_of_several():
    with pytest.raises(t2.Refusal, match="holds several"):
        t2.fit(losses(0.02), "size")


@pytest.mark.slow
def test_models_of_one_token_count_are_planned():
    plan = t2.plan(questions(3e11), t2.Budget(train_flops=1e22, inference_flops=2e11), n_draws=16,
                   progress=False)  # fmt: skip
    assert float(plan.optimum.tokens) == pytest.approx(3e11)
    assert "tokens" in plan.summary()


SMALL = {
    "chinchilla_epoch/points.csv": ("n_params", "d_tokens", "loss", None),
    "gemstones/val_losses.csv": ("n_params", "d_tokens", "loss_val", None),
    "porian2024/grid.csv": ("n_params", "d_tokens", "loss", {"dataset": "rw", "hparams": "tuned",
                            "loss_split": "val"}),
    "olmo_ladder/final.csv": ("n_params", "d_tokens", "bpb", {"task": "arc_easy_test"}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_few_rows_of_real_tables_give_no_certified_scale_near_zero(name, shared_data):
    pandas = pytest.importorskip("pandas")
    if not (shared_data / name).exists():
        pytest.skip(f"needs {name}")
    frame, (params, tokens, loss, where) = pandas.read_csv(shared_data / name), SMALL[name]
    for column, wanted in (where or {}).items():
        frame = frame[frame[column] == wanted]
    rng = np.random.default_rng(0)
    fitted = 0
    for _ in range(50):
        some = frame.iloc[rng.choice(len(frame), rng.integers(5, 12), replace=False)]
        columns = (some[c].to_numpy(float) for c in (params, tokens, loss))
        n, d, y = columns
        runs = Observations(
            kind="loss", run=np.arange(len(n)).astype(str), params=n, tokens=d, loss=y
        )
        try:
            found = t2.fit(runs, "additive")
            draws = t2.bootstrap(found, n_draws=32, scheme="bayesian", progress=False)
        except t2.Refusal:
            continue
        fitted += 1
        assert not found.success or found.nuisance["sigma"] > 1e-4
        value = draws.predict(params=float(np.median(n)), tokens=float(np.median(d)))
        assert np.ptp(value) > 1e-6 * np.median(value)
    assert fitted > 20
