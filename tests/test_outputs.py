"""Where results go: whole or not at all, through links, never in place of a pipe or device."""

import importlib
import os
import pathlib
import subprocess
import sys
import threading

import pytest

import t2jax as t2
from t2jax import cli
from t2jax._files import check_file, check_folder, write_whole
from t2jax.errors import InputError

LAW = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
BEST = t2.optimum(LAW, t2.Budget(train_flops=1e21))


def test_a_link_leads_to_the_file_that_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there/optimum.json", tmp_path / "link.json"
    link.symlink_to(target)
    BEST.save(link)  # a link to nothing yet
    first = target.read_bytes()
    target.write_text("old")
    target.chmod(0o600)
    BEST.save(link)
    assert link.is_symlink()
    assert target.read_bytes() == first
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["link.json", "optimum.json", "there"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe, heard = tmp_path / "pipe.json", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    BEST.save(pipe)
    reader.join(20)
    assert pipe.is_fifo()
    (tmp_path / "plain.json").write_text(heard[0])
    assert t2.load(tmp_path / "plain.json").summary() == BEST.summary()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to make devices")
@pytest.mark.parametrize("name", ["sink.json", "sink.csv"])
def test_a_device_is_written_to_and_stays_a_device(tmp_path, name):
    device = tmp_path / name
    try:
        os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))
        device.write_bytes(b"")
    except OSError:
        pytest.skip("needs a file system that takes devices")
    if name.endswith("csv"):
        t2.datasets.load_ladder(measure="loss").write(device)
    else:
        BEST.save(device)
    assert device.is_char_device()


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "fit.json"
    path.write_text("old")

    def fails(part: pathlib.Path) -> None:
        part.write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(path, fails)
    assert [p.name for p in tmp_path.iterdir()] == ["fit.json"]
    assert path.read_text() == "old"


def writers() -> list[str]:
    """Commands with an `--out`."""
    asked = {name: importlib.import_module(f"t2jax.cli.{name}").Command for name in cli.COMMANDS}
    return [name for name, command in asked.items() if hasattr(command, "out")]


WORDS = {
    "plan": ["t.csv"], "fit": ["t.csv"], "bootstrap": ["t.csv", "f.json"], "profile": ["t.csv"],
    "calibrate": ["t.csv"], "posterior": ["t.csv", "f.json"], "optimum": ["f.json"],
    "frontier": ["f.json"], "design": ["d.npz"], "convert": ["lm-eval", "logs"],
    "report": ["f.json"], "train": ["corpus:tiny"], "evaluate": ["run"], "finetune": ["run"],
    "ladder": [],
}  # fmt: skip


@pytest.mark.parametrize("command", writers())
def test_an_unwritable_place_is_refused_before_the_work(command, run, tmp_path):
    # None of the inputs is there: a command that began its work would name one of them.
    (tmp_path / "file").write_text("")
    words = WORDS.get(command, ["t.csv"])
    code, out, error = run(command, *words, "-o", tmp_path / "file/below.json")
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert str(tmp_path / "file") in error
    assert "cannot be" in error


@pytest.mark.parametrize("command", ["convert", "evaluate"])
def test_a_table_of_no_format_is_refused_before_the_work(command, run):
    code, _, error = run(command, *WORDS[command], "-o", "table.xls")
    assert code == 2
    assert "cannot write '.xls' files" in error


def test_places_are_tried_and_left_as_they_were(tmp_path):
    check_file(tmp_path / "new.json")
    check_folder(tmp_path / "a/b/c")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="is a folder, not a file"):
        check_file(tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        check_file(tmp_path / ("x" * 300))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="cannot be"):
        check_folder(tmp_path / "loop/deep")
    with pytest.raises(InputError, match="cannot be"):
        check_folder("nul\0byte")


def test_a_console_that_cannot_encode_shows_another_letter(tmp_path):
    script = (
        "import sys; from t2jax.cli import _terminal, main; _terminal.encodable(); "
        "_terminal.say('α is 0.3'); sys.exit(main(['fit', 'nö.csv']))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (told.returncode, told.stdout) == (2, "? is 0.3\n")
    assert told.stderr.count("\n") == 1
    assert "t2jax: error: 'n" in told.stderr


def test_what_a_command_reads_is_not_written_over(run, tmp_path):
    table = "run,params,tokens,loss\na,1e8,1e9,3.1\n"
    (tmp_path / "t.csv").write_text(table)
    (tmp_path / "link.csv").symlink_to("t.csv")
    (tmp_path / "logs.jsonl").write_text("{}")
    for words in (
        ["fit", "t.csv", "-o", "t.csv"],
        ["fit", "./t.csv", "-o", "link.csv"],
        ["convert", "samples", "logs.jsonl", "--runs", "t.csv", "-o", "t.csv"],
        ["convert", "samples", "x.jsonl", "logs.jsonl", "--runs", "t.csv", "-o", "logs.jsonl"],
    ):
        code, out, error = run(*words)
        assert (code, out) == (2, "")
        assert "is read by this command, and would be overwritten; name another file" in error
    assert (tmp_path / "t.csv").read_text() == table
    assert (tmp_path / "logs.jsonl").read_text() == "{}"


@pytest.mark.parametrize(("words", "code", "said"), [
    ("--help >&-", 0, ""),
    ("--version >&- 2>&-", 0, ""),
    ("fit no.csv >&-", 2, "'no.csv': no such file"),
    ("fit - <&-", 2, "standard input: is closed; name a file"),
    ("fit no.csv -o - >&-", 2, "standard output is closed; name a file with --out"),
])  # fmt: skip
def test_closed_streams_are_no_bug(tmp_path, words, code, said):
    script = "import sys; from t2jax.cli import main; sys.exit(main())"
    told = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{script}" {words}'], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(t2.__file__).parents[1])},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (code, "")
    assert told.stderr.count("\n") == bool(said)
    assert said in told.stderr
