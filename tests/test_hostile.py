"""Files that were made to do harm are refused in one line, in little memory and little time."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from hostile import CASES

from t2jax._bounds import free_memory, lines, read_whole
from t2jax.cli import fit as fit_command
from t2jax.errors import InputError

MEGABYTES = 700  # a quarter of a gigabyte is expanded of whatever it is
SECONDS = 20.0
HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a process of little memory says of every case."""
    if sys.platform != "linux":
        pytest.skip("needs a system that tells and bounds the memory of a process")
    folder = tmp_path_factory.mktemp("hostile")
    found = subprocess.run(
        [sys.executable, str(HERE / "hostile.py"), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])},
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    return {row["case"]: row for row in map(json.loads, found.stdout.splitlines())}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_refused_within_bounds(case, told):
    row = told[case]
    assert row["code"] in (2, 3)
    assert row["expected"] in row["error"]
    assert row["error"].count("\n") == 1
    assert row["error"].rstrip("\n").isprintable()
    assert row["megabytes"] < MEGABYTES
    assert row["seconds"] < SECONDS


def test_a_line_longer_than_any_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("t2jax._bounds.LONGEST_LINE", 100)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"{}\n" + b"x" * 101)
    with path.open("rb") as stream, pytest.raises(InputError, match="line 2: the line is longer"):
        list(lines(stream, str(path)))


def test_memory_that_is_not_there_is_one_line(monkeypatch, run):
    def no_room(_):
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr(fit_command.Command, "run", no_room)
    code, _, error = run("fit", "a.csv")
    assert code == 2
    assert error == (
        "t2jax: error: there is not enough memory (Unable to allocate 3 TiB); give it less, or use "
        "a machine with more\n"
    )


def test_files_that_a_container_has_read_do_not_count_against_it(tmp_path, monkeypatch):
    told = {
        "memory.max": "4000000\n", "memory.current": "3900000\n",
        "memory.stat": "anon 900000\ninactive_file 2000000\nactive_file 900000\nfile 2900000\n"
        "slab_reclaimable 100000\n",
    }  # fmt: skip
    for name, text in told.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("t2jax._bounds._CONTAINER", tmp_path)
    assert free_memory() == 4_000_000 - 900_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 4e6


def test_a_file_that_is_too_large_is_refused_with_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("t2jax._bounds.free_memory", lambda: 2.0**20)
    file = tmp_path / "runs.csv"
    file.write_bytes(b"1" * 2**20)
    said = r"takes 0\.00195 GiB of memory and there are 0\.000977 GiB"
    with pytest.raises(InputError, match=said):
        read_whole(file)
