"""The main job: a table and a budget in, a `Plan` out that says, saves and reads back itself."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax import _text
from t2jax.errors import InputError, Refusal
from t2jax.hull import Hull
from t2jax.planner import budgets
from t2jax.planner.beside import decide
from t2jax.planner.doubts import doubts

LAW = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
HULL = Hull(
    params=(1e3, 1e5), tokens=(1e5, 1e8), samples=(1.0, 1.0), tokens_per_param=(1.0, 1e4),
    train_flops=(1e10, 1e12),
)  # fmt: skip
SERVED = {"questions": 1e4, "tokens_per_sample": 10.0}


@pytest.fixture(scope="module")
def losses() -> t2.Observations:
    return t2.datasets.load_ladder(measure="loss")


@pytest.fixture(scope="module")
def made(losses) -> t2.Plan:
    """A plan of a table of losses, whose law has a closed form: nothing in it compiles for long."""
    return t2.plan(losses, law="additive", n_draws=24, progress=False)


@pytest.fixture(scope="module")
def saved(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan") / "report"
    made.save(folder)
    return folder


def test_a_plan_carries_what_was_found(made, losses):
    assert made.runs is losses
    assert made.fit.law.name == "additive"
    assert made.draws.n_draws == 24
    assert made.budget.goal == "train_flops"
    again = t2.optimum(made.draws, made.budget)
    assert made.optimum.params == pytest.approx(float(again.params), rel=1e-12)
    assert made.optimum.interval("params") == again.interval("params")
    assert len(made.frontier.swept) == 33
    assert made.profile is None  # the draws carry misfit: there is one interval for one number
    assert made.decision is not None
    assert made.design is not None
    (note,) = made.notes
    assert "the middle of the table" in note


@pytest.mark.slow
def test_a_plan_of_the_law_alone_has_its_profile(made):
    draws = t2.bootstrap(made.fit, n_draws=24, discrepancy=False, progress=False)
    plan = t2.Plan.of(made.fit, draws, made.budget, progress=False)
    assert plan.profile is not None
    assert plan.profile["params"].low < plan.optimum.params < plan.profile["params"].high
    assert "90% intervals by profile likelihood" in plan.summary(full=True)


def test_a_part_that_is_missing_says_why(made):
    assert made.companion is None
    assert made.inside is None  # the optimum itself is in range
    assert made.measured is not None  # losses judge at one sample
    assert made.measured.once
    far = dataclasses.replace(made.budget, train_flops=1e30)
    plan = t2.Plan.of(made.fit, made.draws, far, progress=False)
    assert plan.measured is None
    assert any(
        "no two sizes were measured at this training budget and one" in w for w in plan.warnings
    )
    bare = dataclasses.replace(made.fit, observations=None)
    alone = {k: x for k, x in made.draws.diagnostics.items() if k != "misfit"}
    cut = jax.tree.map(lambda x: x[:8], made.draws.law)
    few = dataclasses.replace(made.draws, law=cut, diagnostics=alone)
    plan = t2.Plan.of(bare, few, made.budget, progress=False)
    assert (plan.runs, plan.measured, plan.profile, plan.decision) == (None, None, None, None)
    said = " ".join(plan.warnings)
    for words in ("does not carry its table", "no profile interval", "Too few draws"):
        assert words in said


def test_a_path_is_read_and_its_plan_is_the_tables(made, losses, tmp_path):
    losses.write(tmp_path / "runs.csv")
    steps = []
    again = t2.plan(tmp_path / "runs.csv", {}, law=t2.laws.Additive, n_draws=24, progress=False,
                    announce=steps.append)  # fmt: skip
    assert again.optimum.params == pytest.approx(float(made.optimum.params), rel=1e-9)
    assert again.runs is not None
    assert again.runs.source.endswith("runs.csv")
    assert steps == ["fitting law 'additive'", "24 refits of law 'additive'",
                     "finding the optimum", "weighing what is not known"]  # fmt: skip


@pytest.mark.slow
def test_counts_of_answers_are_planned_for_and_read_back(tmp_path):
    loss = t2.laws.Additive(E=1.0, A=60.0, B=200.0, alpha=0.3, beta=0.3)
    law = t2.laws.BetaMonotone(loss=loss, a0=1.5, a1=0.6, b0=-2.0, b1=1.2)
    params = np.repeat(np.geomspace(1e6, 1e8, 4), 3)
    place: dict[str, Any] = {"params": params, "tokens": params * np.tile([5.0, 40.0, 300.0], 4)}
    rng = np.random.default_rng(0)
    a, b = (np.asarray(shape)[:, None] for shape in law.spread(**place))
    right = rng.binomial(16, rng.beta(a, b, (12, 20)))
    asked: dict[str, Any] = {"question": np.arange(20).astype(str), "task": np.full(20, "all")}
    table = t2.Observations(
        kind="counts", run=np.arange(12).astype(str), **place, successes=right,
        trials=np.full(right.shape, 16), **asked,
    )  # fmt: skip
    table.write(tmp_path / "counts.csv")
    plan = t2.plan(tmp_path / "counts.csv", n_draws=10, progress=False, uncertified=True)
    assert plan.fit.law.name == "beta_monotone"
    assert 0 < float(plan.optimum.value) < 1
    assert float(plan.optimum.kkt_residual) < 1e-6
    assert float(plan.optimum.samples) >= 1
    assert "mean pass@k" in plan.summary()
    plan.save(tmp_path / "report")
    again = t2.load(tmp_path / "report")
    assert isinstance(again, t2.Plan)
    assert again.summary() == plan.summary()


def test_its_frame_has_a_row_a_quantity_with_intervals(made):
    frame = made.to_frame(level=0.5)
    assert list(frame.index[:5]) == ["params", "tokens", "samples", "tokens_per_param", "value"]
    for name in ("params", "tokens"):
        row = frame.loc[name]
        assert row["plan"] == pytest.approx(float(getattr(made.optimum, name)))
        assert (row["plan_low"], row["plan_high"]) == made.optimum.interval(name, 0.5)
    assert "chinchilla" not in frame  # one sample: that is Chinchilla's own problem
    with pytest.raises(InputError, match="is no share of one"):
        made.to_frame(level=95)


def test_a_notebook_shows_its_words_and_tables(made):
    shown = made._repr_html_()
    assert shown.count("<table>") == 1
    size, data = (_text.count(float(x)) for x in (made.optimum.params, made.optimum.tokens))
    assert f"Train {size} parameters on {data} tokens." in shown
    assert repr(made) == f"Plan(law 'additive': {size} parameters, {data} tokens, k = 1)"
    assert "90% interval" in made.summary()
    assert "50% interval" in made.summary(level=0.5)


def test_the_folder_is_read_back_whole(made, saved, tmp_path):
    again = t2.load(saved)
    assert isinstance(again, t2.Plan)
    assert again.summary() == made.summary()
    assert _text.json_ready(again.to_dict()) == _text.json_ready(made.to_dict())
    assert again.runs is None
    assert again.frontier.optimum.draws is None
    np.testing.assert_array_equal(again.frontier.swept, made.frontier.swept)
    names = ("notes", "warnings", "companion", "inside")
    assert all(getattr(again, name) == getattr(made, name) for name in names)
    again.save(tmp_path / "again")
    assert (tmp_path / "again" / "plan.json").exists()


@pytest.mark.parametrize("name", ["plan.json", "fit.json", "draws.npz"])
def test_a_folder_that_lacks_a_file_is_refused_in_one_line(saved, tmp_path, name):
    for path in saved.iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=f"no folder of a plan: {name} cannot be read") as caught:
        t2.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_law_of_ones_own_is_planned_with_and_not_read_back(made, losses, tmp_path):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Mine(t2.laws.Additive):
        name = "mine"

    fit = t2.fit(losses, Mine, n_starts=1)
    draws = dataclasses.replace(made.draws, point=fit.law)
    plan = t2.Plan.of(fit, draws, made.budget, progress=False)
    assert "law 'mine'" in plan.summary(full=True)
    plan.save(tmp_path)
    with pytest.raises(InputError, match="unknown law 'mine'") as caught:
        t2.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_file_of_a_plan_alone_names_the_folder(saved):
    with pytest.raises(InputError, match="is part of a plan; name its folder"):
        t2.load(saved / "plan.json")


def test_decisions_and_designs_are_read_back(made, tmp_path):
    for one in (made.decision, made.design):
        (tmp_path / "one.json").write_text(json.dumps(one.to_dict()))
        again = t2.load(tmp_path / "one.json")
        assert isinstance(again, t2.Decision | t2.Design)
        assert type(again) is type(one)
        assert again.summary() == one.summary()
        assert _text.json_ready(again.to_dict()) == _text.json_ready(one.to_dict())


CHIPS = {"hardware": "h100", "dollars_per_hour": 2.0, "realistic": False}
ASKED = {
    "separate": ({"train_flops": 1e12, "max_params": 1e4}, "Training budget 1e+12 FLOPs."),
    "total": ({"total_flops": 1e12, **SERVED}, "Budget 1e+12 FLOPs for training and for serving"),
    "tokens": ({"total_flops": 1e12, "inference_tokens": 1e6}, "serving 1M tokens."),
    "dollars": ({"dollars": 1e-6, "cost": CHIPS, **SERVED}, "dollars for training"),
    "target": ({"target_loss": 1.5, **SERVED}, "Target: a loss of 1.5 at least cost"),
}


@pytest.mark.parametrize("kind", ASKED)
def test_every_budget_that_optimum_takes_has_a_plan(made, kind):
    fields, words = ASKED[kind]
    plan = t2.Plan.of(made.fit, made.draws, fields, progress=False)
    best = t2.optimum(made.draws.alone(), t2.Budget.from_dict(fields))
    assert float(plan.optimum.params) == pytest.approx(float(best.params), rel=1e-6)
    text = plan.summary(full=True)
    assert words in " ".join(text.split())
    assert ("cost, " in text) == (kind != "separate")
    assert ("Chinchilla's own problem" in text) == (kind == "separate")
    swept = plan.frontier.swept
    assert swept[0] < swept[-1]
    if kind == "target":
        # The least cost of a target is the budget whose best plan reaches it.
        spend = budgets.lifetime(plan.budget, plan.optimum)
        same = t2.optimum(made.draws.alone(), spend)
        assert float(same.value) == pytest.approx(1.5, rel=1e-6)
        assert float(same.params) == pytest.approx(float(best.params), rel=1e-3)
        assert "than reaching the target with Chinchilla's size" in " ".join(text.split())


def test_a_budget_is_one_budget_and_names_what_it_lacks(made):
    for asked, problem in (
        ({"train_flops": [1e11, 1e12]}, "a plan has one budget"),
        ({"train_flops": 1e12, "total_flops": 1e12}, "contradict each other"),
        ({"train_flop": 1e12}, "a budget has no 'train_flop'"),
    ):
        with pytest.raises(InputError, match=problem):
            t2.Plan.of(made.fit, made.draws, asked)
    with pytest.raises(Refusal, match="knows single samples only"):
        t2.Plan.of(made.fit, made.draws, t2.Budget(train_flops=1e12, inference_flops=1e6))
    with pytest.raises(Refusal, match=r"this budget's training run, .* lies .* above the table"):
        t2.Plan.of(made.fit, made.draws, {"total_flops": 1e16, **SERVED}, extrapolate=False,
                   progress=False)  # fmt: skip


def test_gaps_are_filled_and_a_whole_budget_is_left_alone(losses):
    law, hull = t2.laws.template("softplus"), dataclasses.replace(HULL, samples=(1.0, 256.0))
    filled, notes = budgets.choose({"train_flops": 1e12}, law, hull, losses)
    middling = np.exp(np.log(losses.params).mean())
    told = filled.to_dict()["inference_flops"]
    assert told == pytest.approx(2 * middling * 16, rel=5e-3)  # three digits
    assert "16 samples of a model of middling size" in notes[1]
    asked = t2.Budget(train_flops=1e12)
    assert budgets.choose(asked, law, hull)[0] is asked
    middle, notes = budgets.choose({"max_tokens": 1e6}, law, hull)
    assert middle.to_dict()["train_flops"] == pytest.approx(np.sqrt(1e10 * 1e12), rel=1e-3)
    assert middle.to_dict()["max_tokens"] == 1e6
    trained, _ = budgets.choose(None, law, hull, losses)
    apart = np.abs(np.log(losses.train_flops / 1e11))
    told = trained.to_dict()["train_flops"]
    assert abs(np.log(told / 1e11)) == pytest.approx(apart.min(), abs=0.02)
    assert np.isclose(losses.train_flops, told, rtol=5e-3).any()
    assert all("as none was given" in note for note in notes)


@pytest.mark.parametrize(("share", "inside"), [(0.999, False), (1.0, True), (1.001, True)])
def test_budgets_at_the_edge_of_the_table_are_inside(share, inside):
    budget = t2.Budget(train_flops=1e10 * share)

    def beyond(extrapolate):
        return budgets.beyond(budget, None, LAW, HULL, extrapolate=extrapolate)

    if inside:
        assert beyond(False) == ()
        return
    with pytest.raises(Refusal, match="below the table"):
        beyond(False)
    (warning,) = beyond(True)
    assert warning.startswith("EXTRAPOLATION")


def test_a_realistic_cost_is_not_said_to_be_6nd(made):
    costly = t2.Budget(train_flops=1e12, cost=t2.Cost(train_context=128.0, attention=1.0))
    for budget, plain in ((made.budget, True), (costly, False)):
        said = doubts(made.fit, made.draws, made.optimum, made.frontier, None, budget)
        assert any("counted as 6ND" in sentence for sentence in said) == plain


@pytest.mark.parametrize(("moved", "told"), [(1.49, False), (1.51, True), (1 / 1.51, True)])
def test_misfit_that_moves_the_size_by_half_is_said(made, moved, told):
    alone = dataclasses.replace(made.optimum, params=moved * float(made.optimum.params))
    said = doubts(made.fit, made.draws, made.optimum, made.frontier, None, made.budget, alone)
    sizes = [_text.count(float(one.params)) for one in (alone, made.optimum)]
    sentence = f"The law's own form puts N* at {sizes[0]}"
    assert any(one.startswith(sentence) and sizes[1] in one for one in said) == told


@pytest.mark.parametrize(("leap", "told"), [(1.9, False), (2.1, True)])
def test_a_size_that_leaps_along_the_budgets_is_said(made, leap, told):
    front = made.frontier
    smooth = np.asarray(front.swept) / float(front.swept[0])
    sizes = 1e4 * smooth * np.where(np.arange(len(smooth)) < 7, 1.0, leap)
    best = dataclasses.replace(front.optimum, params=sizes)
    front = dataclasses.replace(front, optimum=best)
    said = doubts(made.fit, made.draws, made.optimum, front, None, made.budget)
    assert any(f"leaps from {_text.count(sizes[6])} to" in one for one in said) == told


def test_the_law_alone_is_saved_with_a_plan_whose_draws_carry_misfit(made, saved):
    assert made.law_alone is not None
    alone = t2.optimum(made.fit, made.budget)
    assert float(made.law_alone.params) == pytest.approx(float(alone.params), rel=1e-9)
    assert float(made.law_alone.params) != pytest.approx(float(made.optimum.params), rel=1e-4)
    again = t2.load(saved)
    assert isinstance(again, t2.Plan)
    assert again.law_alone is not None
    assert float(again.law_alone.params) == float(made.law_alone.params)


def test_a_design_that_is_refused_leaves_the_decision_and_says_why(monkeypatch):
    law = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    rng = np.random.default_rng(0)
    many = jax.tree.map(lambda x: float(x) * np.exp(0.02 * rng.standard_normal(40)), law)
    draws = t2.Ensemble(law=many, point=law, kind="simulation")
    budget = t2.Budget(train_flops=1e21)
    decision, design, why = decide(draws, budget, None)
    assert (decision is not None, design) == (True, None)
    assert "the draws do not carry the noise of runs" in why[0]

    def refuse(*_, **__):
        raise Refusal("no candidate is left", remedy="none")

    monkeypatch.setattr("t2jax.planner.beside.design", refuse)
    noisy = dataclasses.replace(draws, diagnostics={"noise": [0.01, 0.0]})
    decision, design, why = decide(noisy, budget, None)
    assert (decision is not None, design) == (True, None)
    assert why == ("Which runs to buy next is not said: no candidate is left.",)
