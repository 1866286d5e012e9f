"""Every example of `--help`, typed as it stands, one after another in one folder."""

import contextlib
import dataclasses
import importlib
import io
import re
import shlex

import made_logs
import numpy as np
import pytest

import t2jax as t2
from t2jax import cli

# The built-in ladder at the size of the examples' budgets.
LARGER = 1e4


def example(command: str) -> list[str]:
    """The words of a command's example; what a shell does with the output is left to it."""
    asked = importlib.import_module(f"t2jax.cli.{command}").Command
    line = re.findall(rf"Example: t2jax ({command} .*)", asked.__doc__ or "")[0]
    return shlex.split(line.partition(" > ")[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the table that the examples name, and what the examples before it wrote."""
    place = tmp_path_factory.mktemp("examples")
    ladder = t2.datasets.load_ladder().select_task("knowledge", "causal")
    few = ladder.select_questions([i % 6 == 0 for i in range(ladder.n_questions)])
    larger = {"params": few.params * LARGER, "tokens": few.tokens * LARGER}
    dataclasses.replace(few, **larger).write(place / "runs.csv")
    assert few.nll is not None
    tried = np.full(few.nll.shape, 200.0)
    solved = np.random.default_rng(0).binomial(200, np.exp(-few.nll)).astype(float)
    counted = {"kind": "counts", "nll": None, "successes": solved, "trials": tried}
    dataclasses.replace(few, **counted).write(place / "counts.csv")
    return place


# In the order of a user: what one writes, another reads.
CHAIN = ("plan", "backtest", "extrapolate", "identify", "fit", "compare", "bootstrap", "profile",
         "calibrate", "posterior", "optimum", "frontier", "design", "report", "train", "evaluate",
         "finetune", "ladder", "completion")  # fmt: skip


def answer(words: list[str]) -> tuple[int, str]:
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        code = cli.main(words)
    return code, errors.getvalue() or printed.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("command", CHAIN)
def test_the_example_runs(folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    code, said = answer(example(command))
    assert code == 0, said


@pytest.mark.slow
def test_the_example_of_convert_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made_logs.lm_eval(tmp_path / "results")
    names, sizes = made_logs.MODELS, made_logs.RUNS
    lines = [",".join(map(str, (name, *sizes[name]))) for name in names]
    (tmp_path / "runs.csv").write_text("\n".join(["run,params,tokens", *lines]))
    code, said = answer(example("convert"))
    assert code == 0, said


def test_no_command_is_without_an_example():
    assert {*CHAIN, "convert"} == set(cli.COMMANDS)
