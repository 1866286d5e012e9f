"""The command line: what it prints, what it writes, and how it says no."""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import re
import sys

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax.cli import main
from t2jax.errors import Refusal
from t2jax.fitting.default import default_law
from t2jax.reporting import FILES
from t2jax.uncertainty.ensemble import as_ensemble


@pytest.fixture(scope="module")
def loss_table(tmp_path_factory):
    """A loss table with one row a checkpoint."""
    path = tmp_path_factory.mktemp("tables") / "loss.csv"
    t2.datasets.load_ladder(measure="loss").write(path)
    return path


def plan(out, *words):
    """Run `t2jax plan` on the built-in ladder: exit code and what it printed."""
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        code = main(["plan", "--samples", "1,16,256", "--out", str(out), *words])
    return code, printed.getvalue(), errors.getvalue()


def check_page(text, *more):
    """Assert that the page is narrow and says everything in its order."""
    assert max(map(len, text.splitlines())) <= 100
    order = ["The verdict\n", "The plan\n", "none was given", "parameters N"]
    order += ["-log pass@k, nats", "Doubling the training", *more, "What this does not know"]
    order += ["synthetic questions", "The fit", "alpha  ", "The data\n", "285 checkpoints"]
    order += ["written to"]
    places = [text.index(word) for word in order]
    assert places == sorted(places)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command, and the plan that it made.

    Without the accuracy law beside it, which takes as long again to compile.
    """
    out, made, whole = tmp_path_factory.mktemp("plan") / "report", [], t2.plan

    def kept(*runs, **options):
        made.append(whole(*runs, **options, companion=None))
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(t2, "plan", kept)
        return (*plan(out, "--draws", "12", "--full"), out), made[0]


@pytest.fixture(scope="module")
def planned(command):
    """What the command printed and wrote."""
    return command[0]


def test_the_command_prints_the_summary_of_the_plan(command):
    (_, text, _, out), made = command
    said, files = text.split(f"\n\nwritten to {out}:\n")
    assert said == made.summary(full=True)
    assert files.replace(",", "").split() == [*FILES, "plan.toml"]
    assert len(made.summary().splitlines()) <= 24
    again = t2.load(out)
    assert isinstance(again, t2.Plan)
    assert again.summary() == made.summary()
    assert again.measured == made.measured
    assert again.measured is not None
    frame = made.to_frame()
    assert frame.loc["params", "chinchilla"] == float(made.optimum.chinchilla.params)
    assert frame.loc["value", "plan"] < frame.loc["value", "chinchilla"]


BUDGETS = {
    "--total-flops 1e12 --questions 1e4": {"total_flops": 1e12, "questions": 1e4},
    "--budget plan.toml --dollars 5": {"dollars": 5.0, "questions": 1e9},
    "--target-loss 1.5 --inference-tokens 1e6": {"target_loss": 1.5, "inference_tokens": 1e6},
    "--max-params 1e4 --unique-tokens 1e6": {"max_params": 1e4, "unique_tokens": 1e6},
    "--train-flops 1e12 --realistic-inference": {
        "train_flops": 1e12, "cost": {"realistic": True}},
}  # fmt: skip


@pytest.mark.parametrize("words", BUDGETS)
def test_plan_takes_every_budget_that_optimum_takes(run, loss_table, monkeypatch, words):
    pathlib.Path("plan.toml").write_text("total_flops = 1e12\nquestions = 1e9\n")
    seen = []

    def stub(runs, budget, **options):
        seen.append((runs.n_rows, budget, options["law"], options["n_draws"]))
        raise Refusal("seen", remedy="nothing")

    monkeypatch.setattr(t2, "plan", stub)
    assert run("plan", loss_table, *words.split(), "--draws", "7", "--law", "coupled")[0] == 3
    assert seen == [(285, BUDGETS[words], "coupled", 7)]


def test_the_plan_prints_one_reading_and_writes_the_folder(planned):
    code, text, errors, out = planned
    assert (code, errors) == (0, "")
    check_page(text)
    told = " ".join(text.split())
    page = (out / "index.html").read_text("utf-8")
    for sentence in (
        "Intervals: 12 bootstrap refits, resampling 51 trunks and the questions",
        "doubling the inference budget takes",
    ):
        assert sentence in told
        assert sentence in page
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "plan.toml"])


@pytest.mark.slow
def test_the_plan_brings_the_accuracy_law(tmp_path):
    code, text, errors = plan(tmp_path / "report", "--draws", "40", "--full")
    assert (code, errors) == (0, "")
    check_page(text, "law 'beta_monotone'", "most pass@k")
    told = json.loads((tmp_path / "report" / "optimum.json").read_text())
    assert told["companion"]["law"] == "beta_monotone"
    values = [p for p in told["predictions"] if p["of"] == "plan"]
    assert [p["quantity"] for p in values] == ["loss", "mean pass@k"]
    assert all(p["low"] < p["estimate"] < p["high"] for p in values)


def test_the_plan_is_the_librarys_optimum(planned):
    _, _, _, out = planned
    told = json.loads((out / "optimum.json").read_text())
    fit = t2.Ensemble.load(out / "draws.npz").alone()
    n, k = told["params"], told["samples"]
    budget = t2.Budget(train_flops=6 * n * told["tokens"], inference_flops=2 * n * k)
    assert float(t2.optimum(fit, budget).params) == pytest.approx(n, rel=1e-6)
    assert fit.hull is not None
    runs = t2.datasets.load_ladder()
    # Two levels are equally near the middle of the ladder: the cheaper one is taken.
    middle = np.sqrt(np.prod(fit.hull.train_flops))
    level = runs.train_flops[(runs.train_flops > 0.65 * middle) & (runs.train_flops < middle)]
    assert budget.train_flops == pytest.approx(level.min(), rel=5e-3)
    middle = np.exp(np.mean(np.log(runs.params)))
    exact = 2 * middle * np.sqrt(256)
    assert budget.inference_flops == pytest.approx(float(f"{exact:.3g}"))
    low, high = told["intervals"]["params"]
    assert low < n < high


def test_the_page_tells_what_doubling_a_budget_does(planned):
    _, text, _, out = planned
    said = " ".join(text.split())
    told = json.loads((out / "optimum.json").read_text())
    fit = t2.Ensemble.load(out / "draws.npz").alone()
    n, d, k = (told[name] for name in ("params", "tokens", "samples"))
    budget = {"train_flops": 6 * n * d, "inference_flops": 2 * n * k}
    for name, word in (("train_flops", "training"), ("inference_flops", "inference")):
        # From a budget over the root of two to one times it: twice as much.
        low, high = (
            float(t2.optimum(fit, t2.Budget(**{**budget, name: budget[name] * x})).value)
            for x in (np.sqrt(0.5), np.sqrt(2))
        )
        found = re.search(rf"oubling the {word} budget takes (\S+) nats off the loss", said)
        assert found is not None
        assert float(found[1]) == pytest.approx(low - high, rel=0.02)


def test_the_page_tells_on_which_side_the_law_misses_the_largest_runs(planned):
    _, text, _, out = planned
    fit = t2.FitResult.load(out / "fit.json")
    flops = t2.datasets.load_ladder().train_flops
    most = np.argsort(flops, kind="stable")[-(len(flops) // 10) :]
    rows = (len(flops), -1)  # checkpoints, k
    seen, told = (np.reshape(x, rows)[most] for x in (fit.observed, fit.predicted))
    bias = np.mean(told / seen) - 1
    found = re.search(r"predicts (\S+)% too (high|low) on average", " ".join(text.split()))
    assert found is not None
    assert float(found[1]) / 100 == pytest.approx(abs(bias), abs=6e-4)
    assert found[2] == ("high" if bias > 0 else "low")


@pytest.mark.parametrize("name", ["fit.json", "draws.npz"])
def test_optimum_and_frontier_read_what_plan_wrote(planned, run, name):
    model = planned[3] / name
    code, text, _ = run("optimum", model, "--train-flops", "1e12", "--inference-flops", "1e6")
    assert code == 0
    assert ("90% interval" in text) == (name == "draws.npz")
    sweep = ("--train-flops", "1e11:1e12:3", "--inference-flops", "1e6")
    code, text, _ = run("frontier", model, *sweep, "--json")
    rows = json.loads(text, parse_constant=pytest.fail)
    assert code == 0
    assert [row["train_flops"] for row in rows] == pytest.approx([1e11, 10**11.5, 1e12])
    assert ("params_low" in rows[0]) == (name == "draws.npz")
    assert run("frontier", model, *sweep, "-o", "front.csv")[0] == 0
    assert pathlib.Path("front.csv").read_text().startswith("train_flops,params")
    assert os.listdir() == ["front.csv"]


def test_one_step_after_another_on_a_loss_table(run, loss_table):
    code, text, _ = run("fit", loss_table, "--law", "additive", "-o", "fit.json")
    assert code == 0
    assert "Fit of law 'additive'" in text
    code, text, _ = run("bootstrap", loss_table, "fit.json", "--draws", "8", "-o", "draws.npz")
    assert code == 0
    assert "8 bootstrap draws" in text
    made = ("bootstrap", loss_table, "fit.json", "--draws", "8", "--scheme", "stratified", "--json")
    code, text, _ = run(*made)
    assert code == 0
    told = json.loads(text, parse_constant=pytest.fail)["diagnostics"]
    assert told["scheme"] == "stratified"
    assert any("scheme 'stratified': " in note and "isoFLOP" in note for note in told["notes"])
    code, _, error = run("bootstrap", loss_table, "fit.json", "--scheme", "jackknife")
    assert (code, "one of pairs, bayesian" in error) == (2, True)
    code, text, _ = run("optimum", "draws.npz", "--train-flops", "1e12", "--json")
    assert code == 0
    assert json.loads(text, parse_constant=pytest.fail)["samples"] == 1.0
    code, _, error = run("optimum", "fit.json", "--train-flops", "1e12", "--inference-flops", "1e6")
    assert code == 3
    assert "cannot weigh inference against training" in error
    assert sorted(os.listdir()) == ["draws.npz", "fit.json"]


@pytest.mark.slow
def test_a_plan_of_a_loss_table_goes_beyond_it_only_with_a_warning(run, loss_table):
    code, text, _ = run(
        "plan", loss_table, "--law", "additive", "--draws", "8", "--train-flops", "1e13",
        "--extrapolate", "--json",
    )  # fmt: skip
    assert code == 0
    told = json.loads(text, parse_constant=pytest.fail)
    assert told["doubts"][0].startswith(
        "EXTRAPOLATION: the training budget 1e+13 lies 0.29 decades"
    )
    assert [pathlib.Path(path).name for path in told["files"]] == [*FILES, "plan.toml"]
    assert run("plan", loss_table, "--law", "additive", "--draws", "8", "--quiet") == (0, "", "")


REFUSED = {
    "pln": (2, "did you mean 'plan'?"),
    "plan --trian-flops 1e12": (2, "did you mean '--train-flops'?"),
    "plan --train-flops abc": (2, "--train-flops 'abc' is not a number"),
    "plan --train-flops": (2, "Missing value"),
    "plan --train-flops -1": (2, "not a positive number"),
    "plan --train-flops nan": (2, "not a positive number"),
    "plan a.csv b.csv": (2, "b.csv"),
    "plan --json=1": (2, "--json takes no value"),
    "plan nowhere.csv": (2, "no such file"),
    "plan --law sofplus": (2, "did you mean 'softplus'?"),
    "plan --samples 4,x": (2, "is not a list of numbers; e.g. --samples 1,4,16"),
    "backtest ladder --shares 1/0": (2, "is not a list of numbers; e.g. --shares 1/2,1/3"),
    "plan --samples 16,4": (2, "rising list"),
    "plan --draws 0": (2, "--draws 0 is not a whole number of at least 1; use --draws 1000"),
    "plan --draws 1.5": (2, "--draws '1.5' is not a whole number"),
    "plan --draws 1e99": (2, "does not fit in 32 bits; use --draws 1000"),
    "plan --law linked(additive": (2, "unknown law 'linked(additive'"),
    "plan --law linked()": (2, "unknown law 'linked()'"),
    "plan --train-flops=": (2, "--train-flops is empty"),
    "plan --unit ron": (2, "no unit 'ron'"),
    "plan --task sptial": (2, "the tasks are"),
    "plan --train-flops 1e20": (3, "7.3 decades above the table, which spans 9.99e+09 to 5.13e+12"),
    "plan --train-flops 1e9": (3, "1 decades below"),
    "plan --inference-flops 1e12": (3, "pass --extrapolate"),
    "plan --law additive --inference-flops 1e6": (3, "samples"),
    "plan LOSS --inference-flops 1e6": (3, "losses at three or more k"),
    "plan LOSS --law softplus": (3, "softplus"),
    "plan LOSS --columns params=n": (2, "no column 'n'"),
    "plan --train-flops 1e11:1e12:3": (2, "a plan has one budget"),
    "plan --total-flops 1e12 --train-flops 1e12": (2, "contradict each other"),
    "plan --budget nowhere.toml": (2, "nowhere.toml: cannot be read"),
    "plan --out taken": (2, "is a file, not a folder"),
    "fit": (2, "TABLE"),
    "fit LOSS --objective mae": (2, "did you mean 'mse'?"),
    "optimum nothing.json --train-flops 1e12": (
        2,
        "nothing.json: is neither a fit (.json) nor draws (.npz)",
    ),
    "optimum taken --train-flops 1e12": (2, "taken: is neither a fit (.json) nor draws (.npz)"),
    "frontier x.json --train-flops 1e12": (2, "is no sweep"),
    "frontier x.json --train-flops 2:1:4": (2, "is no sweep"),
    "frontier x.json --dollars 5e6 --questions 1e9": (2, "--dollars '5e+06' is no sweep"),
    "optimum x.json": (2, "give exactly one of train_flops"),
    "optimum x.json --train-flops 1e12 --dollars 1": (2, "contradict each other"),
    "optimum x.json --dollars 5e6 --questions 1e9": (2, "--dollars-per-hour"),
    "optimum x.json --train-flops 1e12 --hardware h100": (2, "alone changes nothing"),
    "optimum x.json --total-flops 1e3 --questions 1e9": (2, "the least that does is 2e+09"),
    "optimum x.json --train-flops 1e12 --compare ours=7e9": (2, "names no model"),
    "optimum x.json --train-flops 1e11:1e12:3": (2, "sweep with `t2jax frontier`"),
    "optimum x.json --budget nowhere.toml": (2, "nowhere.toml: cannot be read"),
    "optimum x.json --budget taken": (2, "no budget"),
    "design x.npz --train-flops 1e12": (2, "x.npz: is neither a fit (.json) nor draws (.npz)"),
    "design x.npz --train-flops 1e11:1e12:3": (2, "serves one budget"),
    "design x.npz": (2, "give exactly one of train_flops"),
    "extrapolate LOSS": (2, "--samples 100,1000,10000"),
    "extrapolate LOSS --samples 10": (3, "has no counts to extrapolate"),
    "extrapolate LOSS --samples 10 --draws 1e99": (2, "does not fit in 32 bits"),
    "calibrate LOSS --train-flops much": (2, "'much' is not a number"),
    "profile LOSS --train-flops 1e12 --method guess": (2, "no method 'guess'"),
    "profile LOSS --level 95": (2, "--level 95.0 is no share of one"),
    "backtest LOSS --figure a.bmp": (2, "--figure 'a.bmp' is no picture; end the name in .png"),
    "backtest LOSS --figure no/a.png": (2, "no/a.png: cannot be written (no folder no)"),
    "bootstrap LOSS nothing.json": (2, "cannot be read as a fit"),
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_refusal_is_one_line_and_writes_nothing(run, loss_table, line):
    pathlib.Path("taken").write_text("")
    code, text, error = run(*[loss_table if w == "LOSS" else w for w in line.split()])
    wanted, words = REFUSED[line]
    assert (code, text) == (wanted, "")
    assert error.startswith("t2jax: error: ")
    assert error.count("\n") == 1
    assert words in error
    assert os.listdir() == ["taken"]


def test_extrapolate_answers_beyond_the_samples_of_a_table_of_counts(run):
    rows = [f"{run},{n},1e9,{q},{(q * 7 + run) % 12 // 3},40"
            for run, n in ((0, 1e7), (1, 3e7)) for q in range(30)]  # fmt: skip
    head = "run,params,tokens,question,successes,trials"
    pathlib.Path("counts.csv").write_text("\n".join([head, *rows]))
    words = ("extrapolate", "counts.csv", "--samples", "10,1000", "--draws", "50")
    code, text, _ = run(*words, "--json", "-o", "told.json")
    told = json.loads(text, parse_constant=pytest.fail)
    assert code == 0
    assert told["method"] == "stack"
    assert told["beyond"] == [[False, True]] * 2
    assert np.all(np.array(told["low"]) <= np.array(told["high"]))
    assert json.loads(pathlib.Path("told.json").read_text()) == told
    code, text, _ = run(*words, "--method", "regression")
    assert (code, text.count("EXTRAPOLATED")) == (0, 2)


def test_profile_prints_intervals_of_coefficients_and_of_a_plan(run, loss_table):
    words = ("profile", loss_table, "--train-flops", "1e12")
    code, text, _ = run(*words, "--json", "-o", "profile.json")
    told = json.loads(text, parse_constant=pytest.fail)
    assert code == 0
    assert {"alpha", "beta", "params", "tokens_per_param"} < set(told["intervals"])
    for own in told["intervals"].values():
        assert own["low"] <= own["estimate"]
    assert pathlib.Path("profile.json").exists()
    code, text, _ = run(*words, "--method", "laplace", "--level", "0.9")
    assert code == 0
    assert "90% intervals by Laplace" in text


def test_calibrate_says_which_intervals_cover(run, loss_table):
    words = ("calibrate", loss_table, "--train-flops", "1e12", "--tables", "4")
    code, text, _ = run(*words, "--draws", "39", "--json", "-o", "calibration.json")
    told = json.loads(text, parse_constant=pytest.fail)
    assert code == 0
    assert set(told["coverage"]) == {"profile", "laplace", "bootstrap", "row bootstrap"}
    assert {"tokens_per_param", "loss"} < set(told["coverage"]["profile"])
    kept = json.loads(pathlib.Path("calibration.json").read_text())
    assert len(kept.pop("sha256")) == 64
    assert kept == told


def test_calibrate_refuses_one_ratio_with_rows_that_repair_it(run):
    table = t2.datasets.load_ladder(measure="loss")
    dataclasses.replace(table, tokens=20 * table.params).write("loss.csv")
    code, _, error = run("calibrate", "loss.csv", "--law", "additive")
    assert code == 3
    assert "20 tokens per parameter throughout" in error
    assert "cheap rows that repair it" in error


@pytest.mark.slow
def test_every_budget_on_the_command_line_and_from_a_file(run, tmp_path):
    law = t2.laws.T2Loss.from_paper(
        E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3
    )
    as_ensemble(law).save("law.npz")
    served = ("--questions", "1e9", "--tokens-per-sample", "500")
    chips = ("--hardware", "h100", "--dollars-per-hour", "2")
    money = ("optimum", "law.npz", "--dollars", "5e6", *served, *chips)
    code, text, _ = run(*money, "--compare", "ours=7e9:2e12", "--sensitivity")
    assert code == 0
    for words in ("cost, dollars", "doubling the whole budget", "against ours (7B on 2T tokens",
                  "against 20 tokens per parameter", "log dollars", "log train_price"):  # fmt: skip
        assert words in text
    pathlib.Path("plan.toml").write_text(
        "[budget]\ndollars = 5e6\nquestions = 1e9\ntokens_per_sample = 500\n"
        "[budget.cost]\nhardware = 'h100'\ndollars_per_hour = 2\nrealistic = false\n"
    )
    code, filed, _ = run("optimum", "law.npz", "--budget", "plan.toml", "--json")
    told = json.loads(filed, parse_constant=pytest.fail)
    assert code == 0
    code, typed, _ = run(*money, "--json")
    assert json.loads(typed)["params"] == told["params"]
    assert told["spent"] == pytest.approx(5e6, rel=1e-9)
    # A flag overrides the file: another goal replaces the file's.
    code, text, _ = run("frontier", "law.npz", "--budget", "plan.toml", "--dollars", "1e6:1e7:3")
    assert code == 0
    assert "dollars" in text
    flops = ("--train-flops", "1e22", "--inference-flops", "2e12")
    code, text, _ = run("optimum", "law.npz", *flops, "--realistic-inference")
    assert code == 0
    assert "against 6ND and 2Nk alone the answer moved: N 434M ->" in text
    reach = ("optimum", "law.npz", "--target-loss", "0.2", *served)
    code, _, error = run(*reach)
    assert code == 3
    assert "ask for a target above 0.5" in error


def test_regret_and_design_from_draws(run):
    law = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    rng = np.random.default_rng(0)
    many = jax.tree.map(lambda x: float(x) * np.exp(0.02 * rng.standard_normal(40)), law)
    t2.Ensemble(law=many, point=law, kind="simulation").save("draws.npz")
    code, text, _ = run("optimum", "draws.npz", "--train-flops", "1e21", "--regret")
    assert code == 0
    assert "costs at most 0.005 nats more than the best" in text
    bought = ("design", "draws.npz", "--train-flops", "1e21", "--candidates", "1e8:2e9,3e8:6e9")
    code, text, _ = run(*bought, "--noise", "0.01", "--json")
    told = json.loads(text, parse_constant=pytest.fail)
    assert code == 0
    assert {pick["params"] for pick in told["picks"]} <= {1e8, 3e8}
    code, _, error = run(*bought)
    assert code == 2
    assert "give --noise 0.01" in error
    as_ensemble(law).save("point.npz")
    code, _, error = run("design", "point.npz", "--train-flops", "1e21", "--noise", "0.01")
    assert code == 2
    assert "`t2jax bootstrap`" in error


def test_standard_input_is_read(run, loss_table, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(loss_table.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    seen = []

    def stub(runs, **options):
        seen.append((runs.n_rows, options["law"]))
        raise Refusal("seen", remedy="nothing")

    monkeypatch.setattr(t2, "fit", stub)
    assert run("fit", "-")[0] == 3
    assert seen == [(285, "coupled")]


def test_an_interrupt_is_130_and_a_bug_shows_itself(run, loss_table, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("t2jax.planner.driver.fit", stop)
    code, text, error = run("plan", loss_table)
    assert (code, text) == (130, "")
    assert error.count("\n") == 1
    assert os.listdir() == []

    def bug(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("t2jax.planner.driver.fit", bug)
    with pytest.raises(ZeroDivisionError):
        run("plan", loss_table)


def test_the_law_follows_from_the_table():
    ladder = t2.datasets.load_ladder()
    assert default_law(ladder) == "linked"
    loss = t2.datasets.load_ladder(measure="loss")
    assert default_law(loss) == "coupled"
    three = np.full(3, 1e7)
    fields = {"kind": "loss", "run": np.array(["a", "b", "c"]), "params": three}
    fields["tokens"] = np.array([1e8, 2e8, 3e8])
    for samples, law in (([1, 2, 4], "softplus"), ([1, 2, 2], "coupled")):
        runs = t2.Observations(loss=three, samples=np.array(samples), **fields)
        assert default_law(runs) == law
    shape = (ladder.n_rows, ladder.n_questions)
    asked = {"question": ladder.question, "task": ladder.task, "trials": np.full(shape, 4.0)}
    counts = t2.Observations(
        kind="counts", run=ladder.run, params=ladder.params, tokens=ladder.tokens,
        successes=np.ones(shape), **asked,
    )  # fmt: skip
    assert default_law(counts) == "beta_monotone"


@pytest.mark.slow
def test_misfit_is_left_out_where_asked(run, loss_table):
    assert run("fit", loss_table, "--law", "additive", "-o", "alone.json")[0] == 0
    for words, kind in (((), "warped"), (("--no-discrepancy",), "additive")):
        asked = ("bootstrap", loss_table, "alone.json", "--draws", "6", *words, "-o", "a.npz")
        assert run(*asked)[0] == 0
        assert t2.Ensemble.load("a.npz").point.name == kind
