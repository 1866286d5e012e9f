"""The lines of `docs/faults.md` that no other test holds, and that each line has its test."""

import pathlib
import re

import pytest

import t2jax as t2
from t2jax.cli import _terminal
from t2jax.cli._budget import BudgetOptions
from t2jax.cli.evaluate import Command as Evaluate
from t2jax.cli.optimum import named_models
from t2jax.errors import InputError


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"questions": -1}, "--questions is -1"),
        ({"mode": "sample", "samples": 16, "temperature": 0.0}, "one and the same"),
        ({"samples": 16}, "--samples says nothing in mode 'likelihood'"),
        ({"seed": 3}, "--seed says nothing in mode 'likelihood'"),
    ],
)
def test_evaluations_that_cannot_be_meant_are_refused(words, problem):
    with pytest.raises(InputError, match=problem):
        Evaluate(checkpoints=("run",), **words).run()


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_of_very_many_digits_is_no_budget(digits, tmp_path):
    path = tmp_path / "budget.toml"
    path.write_text("train_flops = " + "9" * digits)
    with pytest.raises(InputError, match=r"budget|train_flops"):
        t2.Budget.from_dict(BudgetOptions(budget=str(path)).description())


def test_escapes_of_a_terminal_are_shown_and_not_obeyed(capsys):
    _terminal.say("run \x1b]0;title\x07\x1b[2J of runs.csv\nsecond \u202e line")
    told = capsys.readouterr().out
    assert told == "run \\x1b]0;title\\x07\\x1b[2J of runs.csv\nsecond \\u202e line\n"


def test_a_price_beyond_all_floats_is_refused():
    with pytest.raises(InputError, match="prompt_tokens = inf is out of range"):
        t2.Cost(prompt_tokens=10**400)


@pytest.mark.parametrize("dollars", [10**400, float("inf"), float("nan"), 0])
def test_an_hour_without_a_price_is_refused(dollars):
    with pytest.raises(InputError, match="dollars_per_hour"):
        t2.Cost.on("h100", dollars_per_hour=dollars)


def test_two_models_of_one_name_are_refused():
    with pytest.raises(InputError, match="names 'ours' twice"):
        named_models("ours=7e9:2e12, ours=1e9:2e12")


def test_files_of_two_plans_are_told_apart(tmp_path):
    (tmp_path / "fit.json").write_text("{}")
    (tmp_path / "draws.npz").write_bytes(b"PK")
    (tmp_path / "plan.json").write_text('{"format": "t2jax.plan/1", "files": {"fit.json": "0"}}')
    with pytest.raises(InputError, match=r"fit\.json: is not the file that the plan"):
        t2.load(tmp_path)


def test_whatever_the_page_quotes_is_expected_by_a_test():
    root = pathlib.Path(__file__).parent
    page = (root.parent / "docs" / "faults.md").read_text(encoding="utf-8")
    tests = "".join(p.read_text(encoding="utf-8") for p in root.rglob("*.py")).replace("\\", "")
    rows = [line.split("|")[2] for line in page.splitlines() if line.startswith("| ")][2:]
    quoted = [text for cell in rows for text in re.findall("`([^`]+)`", cell)]
    assert len(quoted) > 25
    assert [text for text in quoted if text not in tests] == []
