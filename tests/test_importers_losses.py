"""Histories of losses: Weights & Biases, TensorBoard, MaxText, Levanter."""

import importlib.util
import json
from typing import Any

import made_logs as made
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from made_logs import given

from t2jax import importers
from t2jax.cli import main
from t2jax.errors import InputError

RUNS = {"a": (1e6, 2e7), "b": (4e6, 8e7)}
STEPS = (10, 20, 40)


def loss(run: str, step: int) -> float:
    return 4.0 - (run == "b") - step / 100


def wandb_history(folder):
    for run in RUNS:
        frame = pd.DataFrame(
            {"_step": [*STEPS, 41], "train/loss": [loss(run, s) for s in STEPS] + [None]}
        )
        folder.mkdir(exist_ok=True)
        frame.assign(other=1.0).to_csv(folder / f"{run}.csv", index=False)
    return importers.wandb, {}


def wandb_panel(folder):
    columns: dict[str, list[float]] = {"Step": list(STEPS)}
    for run in RUNS:
        columns[f"{run} - train/loss"] = [loss(run, s) for s in STEPS]
        columns[f"{run} - train/loss__MIN"] = [0.0] * 3
    folder.mkdir(exist_ok=True)
    pd.DataFrame(columns).to_csv(folder / "panel.csv", index=False)
    return importers.wandb, {}


def wandb_parquet(folder):
    rows = [{"run": run, "_step": s, "val": loss(run, s)} for run in RUNS for s in STEPS]
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "all.parquet")
    return importers.wandb, {"metric": "val"}


def maxtext(folder):
    for run in RUNS:
        rows = [{"learning/loss": loss(run, s), "step": s - 1.0, "run_name": run} for s in STEPS]
        rows.insert(1, {"eval/avg_loss": 1.0, "step": 9.0, "run_name": run})
        made.lines(folder / f"metrics-{run}.jsonl", rows)
    return importers.maxtext, {}


def levanter(folder):
    for run in RUNS:
        events = [{"tracker": "json_logger", "event": "hparams", "hparams": {"x": 1}}]
        events += [
            {"tracker": "json_logger", "event": "log", "step": s,
             "metrics": {"train": {"loss": loss(run, s)}, "optim/lr": 1}} for s in STEPS
        ]  # fmt: skip
        lines = [f"2025-01-01 INFO levanter {json.dumps(event)}\n" for event in events]
        folder.mkdir(exist_ok=True)
        (folder / f"{run}.log").write_text("starting\n" + "".join(lines))
    return importers.levanter, {}


HISTORIES = [wandb_history, wandb_panel, wandb_parquet, maxtext, levanter]
every_history = pytest.mark.parametrize("write", HISTORIES)


@every_history
def test_the_last_loss_is_read_unless_others_are_asked_for(write, tmp_path):
    tool, options = write(tmp_path / "logs")
    table = tool(tmp_path / "logs", RUNS, **options)
    assert table.kind == "loss"
    found = dict(zip(table.run.tolist(), table.loss.tolist(), strict=True))
    assert found == pytest.approx({run: loss(run, 40) for run in RUNS})
    assert sorted(table.tokens.tolist()) == [2e7, 8e7]


@every_history
def test_checkpoints_of_a_run_share_a_trunk(write, tmp_path):
    tool, options = write(tmp_path / "logs")
    table = tool(tmp_path / "logs", RUNS, step="all", tokens_per_step=1e6, **options)
    assert table.n_rows == 6
    assert sorted(set(table.trunk.tolist())) == ["a", "b"]
    assert sorted(set(table.tokens.tolist())) == [1e7, 2e7, 4e7]
    assert any("not at the end of one" in note for note in table.notes)
    one = tool(tmp_path / "logs", RUNS, step=20, **options)
    assert sorted(one.tokens.tolist()) == [1e7, 4e7]  # half of the run's tokens
    with pytest.raises(InputError, match="the nearest is step 20"):
        tool(tmp_path / "logs", RUNS, step=21, **options)


def test_what_cannot_be_read_is_one_line(tmp_path):
    wandb_history(tmp_path / "w")
    refusals: tuple[tuple[dict[str, Any], str], ...] = (
        ({"metric": "val/loss"}, "has no column 'val/loss'"),
        ({"step": "first"}, "use last, all, or a number"),
        ({"tokens_per_step": 0}, "above 0"),
        ({"tokens": "seen"}, "has no column 'seen'"),
        ({"stp": 1}, "no option 'stp'"),
    )
    for words, said in refusals:
        with pytest.raises(InputError, match=said):
            importers.wandb(tmp_path / "w", RUNS, **words)
    with pytest.raises(InputError, match="not known of 'b'"):
        importers.wandb(tmp_path / "w", {"a": (1e6, 2e7)})
    (tmp_path / "w" / "a.csv").write_text("_step,train/loss\n1,four\n")
    with pytest.raises(InputError, match="'four' is not a number"):
        importers.wandb(tmp_path / "w", RUNS)
    (tmp_path / "w" / "a.csv").write_text("_step,train/loss\n1,4,5\n")
    with pytest.raises(InputError, match="more values than its header"):
        importers.wandb(tmp_path / "w", RUNS)
    (tmp_path / "w" / "a.csv").write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        importers.wandb(tmp_path / "w", RUNS)
    (tmp_path / "x.log").write_text("nothing\n")
    with pytest.raises(InputError, match="json_logger"):
        importers.levanter(tmp_path / "x.log", RUNS)


def test_nan_losses_are_left_out_and_told_and_restarts_too(tmp_path):
    rows = [{"learning/loss": value, "step": step, "run_name": "a"}
            for step, value in ((0, 4.0), (1, 3.5), (1, 3.4), (2, float("nan")))]  # fmt: skip
    table = importers.maxtext(made.lines(tmp_path / "m.jsonl", rows), RUNS)
    assert given(table.loss).tolist() == [3.4]
    notes = " ".join(table.notes)
    assert "left out losses that are not finite (1 rows)" in notes
    assert "the later loss is read" in notes


def test_tensorboard_needs_its_reader_and_says_so(tmp_path, monkeypatch, capsys):
    if importlib.util.find_spec("tbparse") is not None:
        pytest.skip("tbparse is installed")
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"")
    assert main(["convert", "tensorboard", str(path)]) == 2
    assert "pip install 't2jax[tensorboard]'" in capsys.readouterr().err


def test_tensorboard_scalars_are_read(tmp_path):
    pytest.importorskip("tbparse", reason="tbparse is not installed")
    writers = pytest.importorskip("tensorboard.summary", reason="tensorboard is not installed")
    for run in RUNS:
        writer = writers.Writer(str(tmp_path / run))
        for step in STEPS:
            writer.add_scalar("loss", loss(run, step), step)
        writer.close()
    table = importers.tensorboard(tmp_path, RUNS)
    found = dict(zip(table.run.tolist(), given(table.loss).tolist(), strict=True))
    assert found == pytest.approx({run: loss(run, 40) for run in RUNS}, abs=1e-6)


# Runs that diverged -------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
DIVERGED = ((100, 3.5), (200, 3.1), (300, NAN), (400, INF))


def diverged_csv(folder):
    text = "".join(f"{step},{value},1\n" for step, value in DIVERGED)
    (folder / "a.csv").write_text(f"_step,train/loss,lr\n{text}500,,1\n")
    return importers.wandb


def diverged_panel(folder):
    text = "".join(f"{step},{value}\n" for step, value in DIVERGED)
    (folder / "p.csv").write_text(f"Step,a - train/loss\n{text}500,\n")
    return importers.wandb


def diverged_parquet(folder):
    steps, values = zip(*DIVERGED, (500, None), strict=True)
    columns = {"_step": pa.array(steps), "train/loss": pa.array(values)}
    pyarrow.parquet.write_table(pa.table(columns), folder / "a.parquet")
    return importers.wandb


def diverged_maxtext(folder):
    rows = [{"learning/loss": value, "step": step - 1, "run_name": "a"} for step, value in DIVERGED]
    made.lines(folder / "m.jsonl", rows)
    return importers.maxtext


def diverged_levanter(folder):
    events = [
        {"tracker": "json_logger", "event": "log", "step": step, "metrics": {"train/loss": value}}
        for step, value in (*DIVERGED, (500, None))
    ]
    made.lines(folder / "a.jsonl", events)
    return importers.levanter


@pytest.mark.parametrize(
    "write",
    [diverged_csv, diverged_panel, diverged_parquet, diverged_maxtext, diverged_levanter],
)
def test_a_run_that_diverged_has_the_tokens_of_its_last_finite_loss(write, tmp_path):
    table = write(tmp_path)(tmp_path, RUNS)
    assert (given(table.loss).tolist(), table.tokens.tolist()) == ([3.1], [1e7])  # half of them
    notes = " ".join(table.notes)
    assert (
        "run 'a' ends in losses that are not finite: its last finite one is of step 200 of 400"
        in notes
    )
    assert "left out losses that are not finite (2 rows)" in notes
    batch = write(tmp_path)(tmp_path, RUNS, tokens_per_step=1e5)
    assert batch.tokens.tolist() == [2e7]


def test_a_run_that_was_set_back_before_it_diverged_has_all_its_tokens(tmp_path):
    text = "100,3.5\n200,nan\n300,-inf\n150,3.3\n250,3.0\n"
    (tmp_path / "a.csv").write_text(f"_step,train/loss\n{text}")
    table = importers.wandb(tmp_path, RUNS)
    assert (given(table.loss).tolist(), table.tokens.tolist()) == ([3.0], [2e7])


def test_a_run_without_a_finite_loss_is_told(tmp_path):
    wandb_history(tmp_path)
    (tmp_path / "b.csv").write_text("_step,train/loss\n10,nan\n20,\n")
    table = importers.wandb(tmp_path, RUNS)
    assert table.run.tolist() == ["a"]
    assert "left out runs without a finite loss: 'b'" in table.notes
    (tmp_path / "b.csv").write_text("_step,train/loss\n0,9.5\n20,nan\n")
    with pytest.raises(InputError, match="tokens"):
        importers.wandb(tmp_path, RUNS)


# Columns that are there twice ---------------------------------------------------------------


@pytest.mark.parametrize("twice", ["train/loss", "_step", "seen", "run"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_column_of_losses_that_is_there_twice_is_refused(twice, ending, tmp_path):
    names = ["_step", "train/loss", "seen", "run", twice]
    columns = [pa.array([str(row)] * len(STEPS)) for row in range(5)]
    path = tmp_path / f"a.{ending}"
    table = pa.Table.from_arrays(columns, names=names)
    if ending == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        path.write_text(",".join(names) + "\n1,3,100,a,2\n")
    message = made.refused(importers.wandb, path, RUNS, tokens="seen")
    assert f"column '{twice}': the column appears 2 times in the header" in message


def test_two_runs_of_one_name_in_a_panel_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("Step,a - train/loss,a - train/loss\n10,3,2\n")
    with pytest.raises(InputError, match=r"'a - train/loss': the column appears 2 times"):
        importers.wandb(path, RUNS)
    path.write_text("Step,a - train/loss,a - lr,a - lr\n10,3,1,1\n")
    assert importers.wandb(path, RUNS).run.tolist() == ["a"]
