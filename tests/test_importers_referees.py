"""Logs made by the tools themselves, converted and fitted, with the tools' own figures beside.

The tools may live in an environment of their own, named by T2JAX_REFEREES (its interpreter): one
of them alone brings a hundred packages.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from made_logs import given

import t2jax as t2
from t2jax.cli import main

pytestmark = pytest.mark.slow
REFEREE = os.environ.get("T2JAX_REFEREES", sys.executable)
SCRIPTS = pathlib.Path(__file__).parent / "referees"


def made_by(tool: str, tmp_path_factory) -> pathlib.Path:
    """The folder of a tool's logs, made by the tool; skips where it is not installed."""
    check = subprocess.run([REFEREE, "-c", f"import {tool}"], capture_output=True, check=False)
    if check.returncode:
        pytest.skip(f"{tool} is not installed for {REFEREE}")
    folder = tmp_path_factory.mktemp(tool)
    offline = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    environment = {**os.environ, **offline}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [REFEREE, str(SCRIPTS / f"{tool}_logs.py"), str(folder)],
        env=environment, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def figures(folder: pathlib.Path) -> list[dict]:
    return json.loads((folder / "figures.json").read_text())


def row(table: t2.Observations, run: str) -> int:
    return table.run.tolist().index(run)


# lm-evaluation-harness ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def lm_eval_logs(tmp_path_factory):
    return made_by("lm_eval", tmp_path_factory)


def trunks(told: list[dict]) -> dict:
    """A table of runs without params, which the logs count themselves."""
    return {f["run"]: {"tokens": f["tokens"], "trunk": f["run"].split("-")[0]} for f in told}


@pytest.mark.parametrize(
    ("task", "filter", "metric"),
    [
        ("t_choice", "none", "acc"),
        ("t_choice", "none", "acc_norm"),
        ("t_choice", "none", "acc_bytes"),
        ("t_choice", "none", "acc_mutual_info"),
        ("t_named", "none", "acc"),
        ("t_word", "none", "acc"),
        ("t_sums", "strict", "exact_match"),
        ("t_sums", "flexible", "exact_match"),
    ],
)
def test_accuracy_is_that_which_the_harness_printed(lm_eval_logs, task, filter, metric):
    told = figures(lm_eval_logs)
    table = t2.importers.lm_eval(
        lm_eval_logs / "logs", trunks(told), task=task, filter=filter, metric=metric,
        measure="counts",
    )  # fmt: skip
    assert table.n_rows == len(told) == 9
    assert table.params_definition == "total"
    for one in told:
        at = row(table, one["run"])
        assert table.params[at] == one["params"]
        share = (given(table.successes)[at] / given(table.trials)[at]).mean()
        assert share == pytest.approx(one["results"][task][f"{metric},{filter}"], abs=1e-12)


def test_the_nll_is_that_behind_the_harness_perplexity(lm_eval_logs):
    told = figures(lm_eval_logs)
    table = t2.importers.lm_eval(lm_eval_logs / "logs", trunks(told), task="t_word")
    for one in told:
        mean = table.mean_nll()[row(table, one["run"])]
        assert np.exp(mean) == pytest.approx(one["results"]["t_word"]["perplexity,none"], rel=1e-9)


def test_a_named_gold_answer_is_the_numbered_one(lm_eval_logs):
    told = figures(lm_eval_logs)
    number, name = (
        t2.importers.lm_eval(lm_eval_logs / "logs", trunks(told), task=task)
        for task in ("t_choice", "t_named")
    )
    np.testing.assert_allclose(given(number.nll), given(name.nll))


@pytest.mark.parametrize("filter", ["strict", "flexible"])
def test_every_repeat_counts_and_the_first_alone_is_the_harness_figure(lm_eval_logs, filter):
    told, place = figures(lm_eval_logs), lm_eval_logs / "logs"
    every = t2.importers.lm_eval(place, trunks(told), task="t_again", filter=filter)
    first = t2.importers.lm_eval(
        place, trunks(told), task="t_again", filter=filter, first_repeat=True
    )
    assert given(every.trials).min() == 4
    assert (given(every.successes) >= given(first.successes)).all()
    assert (given(every.successes) <= given(first.successes) + 3).all()
    for one in told:
        share = given(first.successes)[row(first, one["run"])].mean()
        want = one["results"]["t_again"][f"exact_match,{filter}"]
        assert share == pytest.approx(want, abs=1e-12)


def test_one_command_converts_and_one_fits(lm_eval_logs, tmp_path, capsys):
    told = figures(lm_eval_logs)
    runs, out = tmp_path / "runs.csv", tmp_path / "table.parquet"
    lines = [f"{one['run']},{one['tokens']:.0f}" for one in told]
    runs.write_text("\n".join(["run,tokens", *lines]) + "\n")
    logs = str(lm_eval_logs / "logs")
    words = ["--runs", str(runs), "--task", "t_choice,t_word", "-o", str(out), "--measure", "nll"]
    assert main(["convert", "lm-eval", logs, *words]) == 0
    assert "NLL of 24 questions" in capsys.readouterr().out
    fit = t2.fit(t2.read(out))
    assert fit.law.name
    assert np.isfinite(fit.residuals).all()


# Inspect ------------------------------------------------------------------------------------


def test_inspect_counts_are_those_of_its_own_reader(tmp_path_factory):
    folder = made_by("inspect_ai", tmp_path_factory)
    told = figures(folder)
    kinds = {path.suffix for path in (folder / "logs").iterdir()}
    assert kinds == {".eval", ".json"}
    runs = {one["run"]: (one["params"], one["tokens"]) for one in told}
    table = t2.importers.inspect(folder / "logs", runs)
    assert given(table.trials).min() == given(table.trials).max() == 3
    assert "naïve" in given(table.question).tolist()
    for one in told:
        at = row(table, one["run"])
        counts = dict(
            zip(given(table.question).tolist(), given(table.successes)[at].tolist(), strict=True)
        )
        assert counts == one["successes"]
        assert (given(table.successes)[at] / 3).mean() == pytest.approx(one["accuracy"], abs=1e-12)
    assert np.isfinite(t2.fit(table).residuals).all()


# human-eval ---------------------------------------------------------------------------------


def test_pass_at_k_of_human_eval_follows_from_its_counts(tmp_path_factory):
    folder = made_by("human_eval", tmp_path_factory)
    told = figures(folder)
    runs = {one["run"]: (one["params"], one["tokens"]) for one in told}
    table = t2.importers.human_eval(folder, runs)
    assert given(table.trials).min() == 5
    ours = table.pass_at_k([1, 2, 4])
    for one in told:
        want = [one["pass"][f"pass@{k}"] for k in (1, 2, 4)]
        np.testing.assert_allclose(ours[row(table, one["run"])], want, rtol=1e-12)
    assert np.isfinite(t2.fit(table).residuals).all()
