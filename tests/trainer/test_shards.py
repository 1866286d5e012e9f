"""Shares of a ladder, and who trains which trunk where processes share a folder only."""

import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from t2jax.cli import main
from t2jax.errors import InputError
from t2jax.trainer.ladder import LadderPlan, Shard, claims, plan_ladder, preset, worker
from t2jax.trainer.ladder.claims import claimed

ROW = {"tokens_per_row": 55.0, "seq_len": 64, "vocab_size": 128}


@pytest.fixture(scope="module")
def full() -> LadderPlan:
    return plan_ladder(preset("full"), **ROW)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holders that touch their claims often, and others who wait for less than a second."""
    monkeypatch.setattr(claims, "BEAT", 0.05)
    monkeypatch.setattr(claims, "PATIENCE", 0.4)


@pytest.mark.parametrize("count", [1, 3, 16, 200])
def test_shares_have_every_trunk_once_and_equal_work(full: LadderPlan, count: int):
    shares = [Shard(index=index, count=count).of(full) for index in range(count)]
    names = [trunk.name for share in shares for trunk in share.trunks]
    assert sorted(names) == sorted(trunk.name for trunk in full.trunks)
    best = max(full.seconds / count, max(trunk.seconds for trunk in full.trunks))
    assert max(share.seconds for share in shares) <= 4 / 3 * best
    # whoever makes the plan makes the same shares
    again = plan_ladder(preset("full"), **ROW)
    assert [Shard(index=i, count=count).of(again) for i in range(count)] == shares


@pytest.mark.parametrize("text", ["3", "16/16", "-1/2", "a/b", "1/0", "1/2/3", ""])
def test_a_shard_is_written_as_a_fraction(text: str):
    with pytest.raises(InputError, match=r"3/16|0/16"):
        Shard.read(text)


def test_a_trunk_has_one_holder(tmp_path: pathlib.Path, quick: None):
    with claimed(tmp_path, ["a", "b"]):
        with pytest.raises(InputError, match=f"process {os.getpid()} on .* is training b"):
            with claimed(tmp_path, ["b", "c"]):
                pass
        # all or none
        with claimed(tmp_path, ["c"]):
            pass
    assert not list((tmp_path / "claims").iterdir())
    with claimed(tmp_path, ["a", "b", "c"]):
        pass


def test_of_many_who_come_at_once_one_is_served(tmp_path: pathlib.Path, quick: None):
    served, refused, together = [], [], threading.Barrier(12)

    def come(number: int) -> None:
        together.wait()
        try:
            with claimed(tmp_path, ["a"]):
                served.append(number)
                over.wait()
        except InputError:
            refused.append(number)

    over = threading.Event()
    threads = [threading.Thread(target=come, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(1.5)
    over.set()
    for thread in threads:
        thread.join()
    assert len(served) == 1
    assert len(refused) == 11


def leave(folder: pathlib.Path, name: str, host: str, process: int) -> pathlib.Path:
    """The claim of somebody who is not there any more."""
    (folder / "claims").mkdir(exist_ok=True)
    path = folder / "claims" / f"{name}.1"
    path.write_text(json.dumps({"host": host, "process": process, "token": f"{host} {process}"}))
    return path


def test_what_the_dead_have_left_is_taken_over(tmp_path: pathlib.Path, quick: None):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    leave(tmp_path, "here", socket.gethostname(), ended.pid)
    leave(tmp_path, "elsewhere", "another host", 1)
    (tmp_path / "claims" / "torn.1").touch()
    with claimed(tmp_path, ["elsewhere", "here", "torn"]):
        left = {path.name for path in (tmp_path / "claims").iterdir()}
        assert left == {"elsewhere.2", "here.2", "torn.2"}


def refused_while(beat: Callable[[int], None], folder: pathlib.Path) -> None:
    """Nobody else gets the claim on a while another process tells that it lives, by beats."""
    over = threading.Event()

    def beats() -> None:
        number = 0
        while not over.wait(0.05):
            beat(number := number + 1)

    thread = threading.Thread(target=beats)
    thread.start()
    try:
        with pytest.raises(InputError, match="process 1 on another host is training a"):
            with claimed(folder, ["a"]):
                pass
    finally:
        over.set()
        thread.join()


def test_who_lives_elsewhere_keeps_what_it_has(tmp_path: pathlib.Path, quick: None):
    path = leave(tmp_path, "a", "another host", 1)
    refused_while(lambda _: os.utime(path), tmp_path)
    assert path.exists()


YEAR = 365 * 24 * 3600.0


@pytest.mark.parametrize("away", [YEAR, -YEAR])
def test_a_clock_that_is_wrong_hides_nobody_and_keeps_nobody(
    away: float, tmp_path: pathlib.Path, quick: None
):
    path, then = leave(tmp_path, "a", "another host", 1), time.time() + away
    os.utime(path, (then, then))
    # The clock of the folder goes back with each beat.
    refused_while(lambda number: os.utime(path, (then - number, then - number)), tmp_path)
    with claimed(tmp_path, ["a"]):  # nobody touches it any more, whenever that was
        assert not path.exists()


@pytest.mark.parametrize("text", ["[]", "1", "{", '{"host": 1}', '"x"', "\0", '{"process": []}'])
def test_a_claim_that_was_altered_is_taken_over(text: str, tmp_path: pathlib.Path, quick: None):
    leave(tmp_path, "a", "another host", 1).write_text(text)
    huge = {"host": socket.gethostname(), "process": 10**30, "token": "x"}
    leave(tmp_path, "b", "", 1).write_text(json.dumps(huge))
    (tmp_path / "claims" / "a.\N{SUPERSCRIPT TWO}").touch()
    with claimed(tmp_path, ["a", "b"]):
        pass


def test_who_stood_still_for_too_long_is_told(tmp_path: pathlib.Path, quick: None):
    told = threading.Event()
    with claimed(tmp_path, ["a"], told.set):
        # as another process does that has waited in vain
        (tmp_path / "claims" / "a.2").write_text("{}")
        (tmp_path / "claims" / "a.1").unlink()
        assert told.wait(5)
    assert (tmp_path / "claims" / "a.2").exists()


def test_one_worker_for_each_accelerator(monkeypatch: pytest.MonkeyPatch):
    from t2jax.trainer.ladder import chosen_workers, run

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(run, "_installed", lambda name: name == "jax_cuda12_plugin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-1f,6")
    assert worker.visible_devices() == ["4", "GPU-1f", "6"]
    assert chosen_workers() == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert chosen_workers() == 1
    assert chosen_workers(5) == 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--shard 2/2", "there is no shard 2 of 2; count them from 0"),
        ("--shard 0/2 --merge", "--shard, --merge and --submit are three ways"),
        ("--shards 4", "--shards says nothing without --submit"),
        ("--merge", "holds no ladder; name the --out of a shard"),
        ("--submit pbs --shards 2", "--submit is 'pbs'; use slurm or local"),
        ("--submit local --shards 0", "--shards is 0; give at least 1"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
):
    assert main(["ladder", "--preset", "smoke", "--out", str(tmp_path / "l"), *words.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_job_option_is_a_name_and_a_value():
    from t2jax.cli import _submit

    read = _submit._read("slurm_partition=gpu, timeout_min=240")
    assert read == {"slurm_partition": "gpu", "timeout_min": 240}
    with pytest.raises(InputError, match="--job has 'gpu'"):
        _submit._read("gpu")


SMOKE = ["ladder", "--preset", "smoke", "--seeds", "2", "--workers", "1", "--out"]
TABLES = ("runs.csv", "questions.csv", "questions.parquet", "questions-apart.parquet")


@pytest.mark.slow
def test_four_jobs_in_one_folder_one_of_them_killed_and_queued_again(tmp_path: pathlib.Path):
    submitit = pytest.importorskip("submitit")
    from t2jax.cli._submit import ShardJob

    one, four = tmp_path / "one", tmp_path / "four"
    assert main([*SMOKE, str(one)]) == 0
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")
    executor.update_parameters(timeout_min=20)
    words = [[*SMOKE, str(four), "--shard", f"{index}/4"] for index in range(4)]
    jobs = executor.submit_array([ShardJob(each) for each in words])
    # the first is killed with all its processes as soon as it has a point
    mine = Shard(index=0, count=4).of(_smoke_plan())
    first = mine.points[0][1].run
    while not worker.has(four, first, "base"):
        assert jobs[0].state == "RUNNING"
        with contextlib.suppress(TimeoutError):
            threading.Event().wait(0.02)
    _kill(jobs[0]._process.pid)
    for job in jobs[1:]:
        job.result()
    assert not (four / "runs.csv").exists()
    jobs += executor.submit_array([ShardJob(words[0])])
    jobs[-1].result()
    for job in jobs:
        job._process.wait()
    for name in TABLES:
        assert (four / name).read_bytes() == (one / name).read_bytes()
    trained = [
        json.loads(line)["run"]
        for path in sorted(four.glob("timing-*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    print("each point trained once:", sorted(trained))
    assert sorted(trained) == sorted(point.run for _, point in _smoke_plan().points)


def _smoke_plan() -> LadderPlan:
    from t2jax.trainer.ladder import BuiltIn, shape

    rule = dataclasses.replace(preset("smoke"))
    return plan_ladder(rule, **shape(BuiltIn(rule.corpus)), seeds=2)


def _kill(parent: int) -> None:
    """End a process and all that it started, at once."""
    text = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = {int(a): int(b) for a, b in (line.split() for line in text.stdout.splitlines())}
    doomed = [parent]
    for process in doomed:
        doomed += [child for child, its in parents.items() if its == process]
    for process in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, 9)
