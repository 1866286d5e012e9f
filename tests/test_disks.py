"""Full disks, folders that take nothing, signals: one line, nothing half-written, a rerun works."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import browser
import made_logs as made
import numpy as np
import pytest
from test_outputs import BEST, LAW, WORDS, writers

import t2jax as t2
from t2jax import cli
from t2jax._files import write_whole
from t2jax.errors import InputError

HERE = pathlib.Path(__file__).parent


@contextlib.contextmanager
def mounted(place: pathlib.Path, options: str):
    """A file system of its own, or a skip where none may be mounted."""
    place.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: pathlib.Path, spare: int = 0) -> pathlib.Path:
    """Take what room there is, but for some bytes."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, max(filler.stat().st_size - spare, 0))
    return filler


@pytest.fixture
def disk(tmp_path):
    """A disk of two megabytes."""
    with mounted(tmp_path / "disk", "size=2m") as place:
        yield place


@pytest.fixture
def sealed(tmp_path):
    """A folder that takes nothing, whatever its permissions."""
    with mounted(tmp_path / "sealed", "size=1m,ro") as place:
        yield place


def law_file(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "draws.npz"
    browser.ensemble("softplus", 8).save(path)
    return path


def test_a_full_disk_leaves_what_was_there(disk, run, tmp_path):
    draws, log = law_file(tmp_path), tmp_path / "log"
    log.mkdir()
    made.human_eval(log)
    runs = tmp_path / "runs.csv"
    runs.write_text("run,params,tokens\norg/m-1,1e6,2e7\norg/m-2,4e6,8e7\n")
    asked = {
        "best.json": ["optimum", draws, "--train-flops", "1e20", "--inference-flops", "1e11"],
        "table.parquet": ["convert", "human-eval", log, "--runs", runs],
    }
    for name in asked:
        (disk / name).write_bytes(b"old")
    fill(disk)
    for name, words in asked.items():
        code, _, error = run(*words, "-o", disk / name)
        assert (code, error.count("\n")) == (2, 1)
        assert f"{name}: cannot be written (" in error
        assert "No space left on device" in error
        assert (disk / name).read_bytes() == b"old"
    assert sorted(p.name for p in disk.iterdir()) == ["best.json", "filler", "table.parquet"]
    (disk / "filler").unlink()
    for name, words in asked.items():
        assert run(*words, "-o", disk / name)[0] == 0
        assert (disk / name).read_bytes() != b"old"


def planned() -> t2.Plan:
    """A plan with a frontier, of a law written down."""
    draws, budget = browser.ensemble("softplus", 50), t2.Budget.from_dict(browser.START)
    sweep = t2.Budget(train_flops=np.geomspace(1e19, 1e21, 3), inference_flops=1e11)
    plan = browser.plan_of(draws, budget)
    return dataclasses.replace(plan, frontier=t2.frontier(draws, sweep))


@pytest.mark.parametrize("spare", [0, 4096, 65536])
def test_a_report_on_a_full_disk_is_whole_or_not_there(disk, spare):
    plan = planned()
    filler = fill(disk, spare)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        plan.save(disk / "report")
    assert list(disk.iterdir()) == [filler]
    filler.unlink()
    plan.save(disk / "report")
    assert t2.load(disk / "report").summary() == plan.summary()
    # A second one, for which there is no room: the first stays whole.
    before = {path.name: path.read_bytes() for path in (disk / "report").iterdir()}
    fill(disk, spare)
    with pytest.raises(InputError, match="No space left"):
        plan.save(disk / "report")
    assert {path.name: path.read_bytes() for path in (disk / "report").iterdir()} == before


def test_training_on_a_full_disk_ends_in_one_line_and_goes_on(disk, run, tmp_path):
    words = ["train", "corpus:tiny", "--d-model", "8", "--batch-rows", "4", "--tokens", "6000",
             "--checkpoint-every", "8"]  # fmt: skip
    filler = fill(disk, 40_000)
    code, _, error = run(*words, "-o", disk / "run")
    assert (code, error.count("\n")) == (2, 1), error
    assert "No space left on device" in error
    filler.unlink()
    assert run(*words, "-o", disk / "run")[0] == 0
    assert run(*words, "-o", tmp_path / "alone")[0] == 0
    for name in ("arrays.npz", "metrics.jsonl"):
        one, other = (place / name for place in (disk / "run", tmp_path / "alone"))
        if name == "arrays.npz":
            with np.load(one) as mine, np.load(other) as theirs:
                assert all(np.array_equal(mine[n], theirs[n]) for n in theirs.files)
        else:
            assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("command", writers())
def test_a_folder_that_takes_nothing_is_refused_before_the_work(command, run, sealed):
    # None of the inputs is there: a command that began its work would name one of them.
    code, out, error = run(command, *WORDS.get(command, ["t.csv"]), "-o", sealed / "out.json")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "Read-only file system" in error


@pytest.mark.slow
def test_programs_that_cannot_be_kept_are_no_ones_business(disk, tmp_path):
    """A home that is full, and entries that were cut when it filled up."""
    BEST.save(tmp_path / "best.json")
    fit = tmp_path / "draws.npz"
    law_file(tmp_path)
    words = [sys.executable, "-m", "t2jax", "optimum", str(fit), "--train-flops", "1e20",
             "--inference-flops", "1e11", "--json"]  # fmt: skip
    keep = ("PATH", "HOME", "PYTHONPATH")
    setting = {**{n: os.environ[n] for n in keep if n in os.environ}, "XDG_CACHE_HOME": str(disk)}
    told = []
    for _ in range(3):
        told.append(subprocess.run(words, env=setting, capture_output=True, text=True))
        assert (told[-1].returncode, told[-1].stderr) == (0, "")
        for entry in disk.rglob("*-cache"):
            os.truncate(entry, entry.stat().st_size // 2)
        if not (disk / "filler").exists():
            fill(disk)
    assert len({one.stdout for one in told}) == 1


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_console_that_takes_nothing_is_one_line():
    with open("/dev/full", "wb") as full:
        told = subprocess.run(
            [sys.executable, "-m", "t2jax", "--version"], stdout=full, stderr=subprocess.PIPE
        )
    assert told.returncode == 2
    assert told.stderr.count(b"\n") == 1
    assert b"No space left on device" in told.stderr


# Each command is begun in a process of its own that has imported everything, and is stopped while
# it writes its result.
SIGNALS = """
import importlib, json, os, signal, sys
from t2jax import cli
from t2jax._files import write_whole

words, folder = json.loads(sys.argv[1]), sys.argv[2]
# Behind `nohup` or in the background of a script it is ignored, and so it stays.
signal.signal(signal.SIGINT, signal.default_int_handler)
commands = {name: importlib.import_module(f"t2jax.cli.{name}").Command for name in cli.COMMANDS}
for name, command in commands.items():
    for number, times in ((signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGTERM, 2)):
        heard, told = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(told, 2)
            os.chdir(folder)

            def half(part):
                part.write_text("half")
                for _ in range(times):
                    signal.raise_signal(number)  # to this thread: handled at once
                raise SystemExit("it went on")

            command.run = lambda self: write_whole("result.json", half)
            sys.argv = ["t2jax", name, *words.get(name, ["t.csv"])]
            os._exit(cli.main())
        os.close(told)
        _, status = os.waitpid(child, 0)
        said = open(heard).read()
        print(json.dumps([name, number, os.waitstatus_to_exitcode(status), said]), flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")
def test_every_command_takes_back_what_it_had_begun_when_it_is_stopped(tmp_path):
    (tmp_path / "result.json").write_text("old")
    more = {"completion": ["bash"], "identify": ["t.csv"], "extrapolate": ["t.csv"],
            "compare": ["t.csv"], "backtest": ["t.csv"]}  # fmt: skip
    found = subprocess.run(
        [sys.executable, "-c", SIGNALS, json.dumps({**WORDS, **more}), str(tmp_path)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(rows) == 3 * len(cli.COMMANDS)
    for name, number, code, said in rows:
        assert code == 128 + number, (name, number, said)
        assert said.count("\n") == 1, (name, said)
        assert "nothing was written" in said
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("result.json", "old")]


def test_a_stop_inside_a_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "law.json"
    path.write_text(json.dumps(LAW.to_dict()))

    def half(part: pathlib.Path) -> None:
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, half)
    assert [p.name for p in tmp_path.iterdir()] == ["law.json"]
