"""Histories of losses: Weights & Biases, TensorBoard, MaxText, Levanter."""

import importlib.util
import json
from typing import Any

import made_logs as made
import pandas as pd
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
