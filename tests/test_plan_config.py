"""A plan's whole configuration is a file, and the one beside a report makes the plan again."""

import pathlib
import tomllib

import pytest

import t2jax as t2
from t2jax.cli._config import toml
from t2jax.errors import Refusal


@pytest.fixture
def loss_table(run):
    """A loss table in the folder in which commands are run."""
    t2.datasets.load_ladder(measure="loss").write("loss.csv")
    return "loss.csv"


@pytest.fixture
def asked(run, loss_table, monkeypatch):
    """Run `t2jax plan` up to the planning, and hand back what would have been planned."""

    def call(*words):
        seen = {}

        def stub(runs, budget, **options):
            seen.update(options, rows=runs.n_rows, budget=budget)
            raise Refusal("seen", remedy="nothing")

        monkeypatch.setattr(t2, "plan", stub)
        code, _, error = run("plan", *words)
        return seen if code == 3 else error

    return call


def test_a_file_holds_everything_and_flags_override_it(asked, loss_table):
    pathlib.Path("sub").mkdir()
    pathlib.Path("sub/plan.toml").write_text(
        f'table = "../{loss_table}"\nlaw = "coupled"\ndraws = 9\nseed = 3\nno_discrepancy = true\n'
        "train_flops = 1e12\n[budget]\nmax_params = 1e5\n"
    )
    found = asked("--config", "sub/plan.toml")
    assert (found["rows"], found["law"], found["n_draws"], found["seed"]) == (285, "coupled", 9, 3)
    assert found["discrepancy"] is False
    assert found["budget"] == {"train_flops": 1e12, "max_params": 1e5}
    found = asked("--config", "sub/plan.toml", "--draws", "5", "--train-flops", "2e12")
    assert (found["n_draws"], found["law"]) == (5, "coupled")
    assert found["budget"] == {"train_flops": 2e12, "max_params": 1e5}


def test_a_flag_typed_at_its_default_overrides_the_file(asked, loss_table):
    pathlib.Path("plan.toml").write_text(
        f'table = "{loss_table}"\ndraws = 9\nseed = 3\ntrain_flops = 1e12\n'
    )
    found = asked("--config", "plan.toml", "--draws", "1000", "--seed=0")
    assert (found["n_draws"], found["seed"]) == (1000, 0)


def test_columns_may_be_a_table_of_the_file(asked, loss_table):
    text = pathlib.Path(loss_table).read_text().replace("params", "size", 1)
    pathlib.Path("other.csv").write_text(text)
    pathlib.Path("plan.toml").write_text(
        'table = "other.csv"\nsamples = [1, 4]\n[columns]\nparams = "size"\n'
    )
    found = asked("--config", "plan.toml")
    assert found["rows"] == 285
    assert found["samples"] == [1.0, 4.0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('draws = "many"', "'draws' is 'many', not a whole number"),
        ("extrapolate = 1", "not true or false"),
        ('config = "x.toml"', "'config' is no option of a file"),
        ("drawz = 3", "a budget has no 'drawz'"),
        ("draws = ", "is no TOML"),
    ],
)
def test_what_a_file_may_not_say_is_said_in_one_line(run, loss_table, text, problem):
    pathlib.Path("plan.toml").write_text(f'table = "{loss_table}"\n{text}\n')
    code, _, error = run("plan", "--config", "plan.toml")
    assert code == 2
    assert problem in error
    assert error.count("\n") == 1


def test_toml_is_read_back_as_it_was():
    told = {"a": 'quo"te\\', "b": True, "c": [1.5, 2.0], "d": None, "e": 1e-300,
            "budget": {"train_flops": 1.28e12, "questions": {"mean": 2.0}}}  # fmt: skip
    again = tomllib.loads(toml(told, "one\ntwo"))
    assert again == {name: value for name, value in told.items() if value is not None}


@pytest.mark.slow
def test_the_file_beside_a_report_makes_the_plan_again(run, loss_table):
    words = ("--law", "additive", "--draws", "20", "--seed", "5", "--train-flops", "1.3e12",
             "--no-discrepancy", "--out", "deep/report")  # fmt: skip
    pathlib.Path("deep").mkdir()
    assert run("plan", loss_table, *words, "--quiet") == (0, "", "")
    code, _, error = run("plan", "--config", "deep/report/plan.toml", "--out", "again", "--quiet")
    assert (code, error) == (0, "")
    names = ("plan.json", "fit.json", "optimum.json", "frontier.csv")
    for name in names:
        assert pathlib.Path("again", name).read_text() == (
            pathlib.Path("deep/report", name).read_text()
        ), name
    ours, theirs = (tomllib.loads(pathlib.Path(f, "plan.toml").read_text())
                    for f in ("deep/report", "again"))  # fmt: skip
    assert {**ours, "table": ""} == {**theirs, "table": ""}


def test_a_number_where_a_file_has_a_table_is_refused(run, tmp_path):
    path = tmp_path / "budget.toml"
    for name in ("cost", "budget"):
        path.write_text(f"{name} = 5\n")
        code, _, error = run("plan", "--budget", str(path), "--train-flops", "1e11")
        assert code == 2
        assert error.startswith(f"t2jax: error: the file's '{name}' is 5 and no table; begin one")
