"""The accelerator's experiment, run dry: the same code at a hundredth of the size."""

import importlib.util
import json
import pathlib

import pandas as pd
import pytest

import t2jax as t2

KIT = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "10_accelerator"


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"accelerator_{name}", KIT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_dry_run_leaves_a_ladder_that_can_be_read(tmp_path, capsys):
    ladder = script("ladder")
    assert ladder.main(["--out", str(tmp_path), "--dry"]) == 0
    assert "level 1.2e+09: tables of 6 checkpoints written" in capsys.readouterr().out
    journal = json.loads((tmp_path / "journal.json").read_text("utf-8"))
    assert journal["exact_resume"]
    assert journal["finished"] == "6 checkpoints"
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert runs.run.is_unique
    assert (runs.train_flops / runs.level_flops - 1).abs().max() < 0.1
    questions = t2.read(str(tmp_path / "questions.parquet"))
    assert questions.n_rows == 6
    assert questions.n_questions == 5 * (6 + 2)
    means = questions.select_task("knowledge").mean_nll()
    assert means == pytest.approx(runs.nll_knowledge.to_numpy(), rel=1e-6)
    counts = t2.read(str(tmp_path / "counts.parquet"))
    assert counts.kind == "counts"


def test_levels_are_dropped_from_the_dearest_down():
    ladder = script("ladder")

    class Column:
        seconds_per_step = 0.1
        points = tuple(
            ladder.Point(flops=f, branch=s, stop=s) for f, s in ((1.0, 10), (2.0, 20), (4.0, 40))
        )

        def steps_to(self, point):
            return point.stop

    levels, _ = ladder.levels_that_fit([Column(), Column()], (1.0, 2.0, 4.0), 8.0, per_point=0.5)
    assert levels == [1.0, 2.0]


@pytest.mark.slow
def test_the_analysis_runs_dry(tmp_path):
    analysis = script("analysis")
    assert analysis.main(["--out", str(tmp_path), "--dry"]) == 0
    for name in ("accelerator", "cpu"):
        told = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
        assert sum("second" in row for row in told["analysis"]) == 3
        assert all(row["units_per_second"] > 0 for row in told["analysis"] if "second" in row)
