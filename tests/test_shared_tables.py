"""Public tables as their authors wrote them: each reaches a fit in one command.

The tables are not part of the project; where they are not beside it, there is nothing to test.
"""

import json

import numpy as np
import pytest
from conftest import SHARED_DATA

import t2jax as t2
from t2jax.cli import main

TABLES = {
    "porian2024/grid.csv": (
        88,
        ["--columns", "params=n_params,tokens=d_tokens", "--where",
         "dataset == 'rw' and hparams == 'base' and warmup == 'short' and decay == 'chinchilla'"
         " and loss_split == 'val'"],
    ),
    "isoflop_collection/points.csv": (
        None,
        ["--columns", "params=n_params,tokens=d_tokens", "--where",
         "source == 'llama_3' and condition == 'raw_loss' and not outlier"],
    ),
    "olmo_ladder/final.csv": (
        16,
        ["--columns", "params=n_params,tokens=d_tokens,loss=bpb", "--task", "hellaswag_val",
         "--where", "role == 'ladder'"],
    ),
    "datablations/runs.csv": (
        62,
        ["--columns", "params=n_params,tokens=d_tokens", "--where", "epochs <= 2.5"],
    ),
    "passk_pythia_gsm8k/counts.csv": (
        None,
        ["--columns", "run=ckpt,params=n_params,tokens=d_tokens_exact,question=problem_idx,"
         "successes=n_correct,trials=n_samples", "--drop-incomplete",
         "--where", "d_tokens >= 2e10"],
    ),
}  # fmt: skip
"""File -> its rows after the condition, where they are known, and the words of the command."""


def beside(name):
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the project")
    return path


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_read_with_every_row_accounted_for(name):
    path = beside(name)
    count, words = TABLES[name]
    flags = dict(zip(words[::2], words[1::2], strict=False))
    if "--drop-incomplete" in words:
        flags = {"--columns": words[1], "--where": words[4]}
    table = t2.read(
        path,
        columns=flags["--columns"],
        where=flags["--where"],
        task=flags.get("--task"),
        drop_incomplete="--drop-incomplete" in words,
    )
    assert count is None or table.n_rows == count
    assert any("do not meet" in note for note in table.notes)
    if name.startswith(("porian", "isoflop")):
        assert any("named the runs by" in note for note in table.notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_one_command_fits_the_table(name, tmp_path, capsys):
    path = beside(name)
    out = tmp_path / "fit.json"
    assert main(["fit", str(path), *TABLES[name][1], "-o", str(out), "--json"]) == 0
    capsys.readouterr()
    fit = t2.FitResult.load(out)
    assert np.isfinite(list(fit.law.coefficients().values())).all()
    assert json.loads(out.read_text())


def test_seeds_of_one_run_are_runs():
    path = beside("datablations/runs.csv")
    table = t2.read(path, columns="params=n_params,tokens=d_tokens")
    assert table.n_rows == 295
    assert any("told apart by column 'replicate'" in note for note in table.notes)
