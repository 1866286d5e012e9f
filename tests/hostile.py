"""Files that were made to do harm: small ones that expand, claims, devices, links in a circle.

Each function of `CASES` makes one and returns the words of a command that is given it, and what
that must say. Alone, this file runs them in a process of little memory:

    python tests/hostile.py FOLDER [CASE ...]
"""

import gzip
import io
import json
import os
import pathlib
import resource
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

BIG = 400 << 20  # bytes that a bomb expands to
MEMORY = 12 << 30  # of addresses, of which JAX reserves a few
RUNS = "run,params,tokens\norg/m-1,1e6,2e7\norg/m-2,4e6,8e7\n"
HEAD = b"run,params,tokens,loss\n"
COLUMNS = {"run": "a", "params": 1e8, "tokens": 1e9, "loss": 2.5}
SHAPE: dict[str, Any] = {"d_model": 8, "n_layers": 1, "vocab_size": 128, "seq_len": 64}
Case = tuple[Sequence[object], str]
CASES: dict[str, Callable[[pathlib.Path], Case]] = {}


def case(make: Callable[[pathlib.Path], Case]) -> Callable[[pathlib.Path], Case]:
    CASES[make.__name__] = make
    return make


# Makers ---------------------------------------------------------------------------------------


def expanding(path: pathlib.Path, head: bytes, unit: bytes) -> pathlib.Path:
    """A gzip file of one piece again and again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = (1 << 22) // len(unit)
    piece = gzip.compress(unit * times, mtime=0)
    path.write_bytes(gzip.compress(head, mtime=0) + piece * (BIG // (len(unit) * times)))
    return path


def varint(number: int) -> bytes:
    """A number as the footer of a Parquet file holds it."""
    number, out = number << 1, b""
    while True:
        number, low = number >> 7, number & 127
        out += bytes([low | (128 if number else 0)])
        if not number:
            return out


def claiming(path: pathlib.Path, rows: int, columns: dict) -> pathlib.Path:
    """A Parquet file of 77,773 rows whose footer claims others."""
    import pyarrow as pa
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({n: [v] * 77_773 for n, v in columns.items()}), out)
    raw = out.getvalue()
    size = struct.unpack("<I", raw[-8:-4])[0]
    foot = raw[-8 - size : -8].replace(b"\x16" + varint(77_773), b"\x16" + varint(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw[: -8 - size] + foot + struct.pack("<I", len(foot)) + b"PAR1")
    return path


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    out = io.BytesIO()
    described = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, described)
    return out.getvalue()


def arrays(path: pathlib.Path, members: dict[str, tuple[bytes, int]]) -> pathlib.Path:
    """An NPZ file of headers with so many zeros behind each."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, (head, size) in members.items():
            with file.open(f"{name}.npy", "w") as member:
                member.write(head)
                for _ in range(size >> 24):
                    member.write(bytes(1 << 24))
    return path


def link(path: pathlib.Path, target: object) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(str(target))
    return path


def checkpoint(folder: pathlib.Path, **other: int) -> pathlib.Path:
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({"model": {**SHAPE, **other}, "tokens": 100}))
    return folder


def trained(folder: pathlib.Path) -> pathlib.Path:
    """A checkpoint that can be read."""
    import jax

    from t2jax.trainer import checkpoint, model
    from t2jax.trainer.config import ModelConfig

    shape = ModelConfig(**SHAPE)
    params = model.initialise(shape, jax.random.key(0))
    checkpoint.save_params(folder, params, {"model": shape, "tokens": 100})
    return folder


def convert(tool: str, folder: pathlib.Path, path: pathlib.Path) -> list[object]:
    (folder / "runs.csv").write_text(RUNS)
    out = folder / "out.csv"
    return ["convert", tool, path, "--runs", folder / "runs.csv", "-o", out]


def optimum(path: pathlib.Path) -> list[object]:
    return ["optimum", path, "--train-flops", "1e20"]


def train(path: pathlib.Path, *more: object) -> list[object]:
    out = path.parent / "out"
    return ["train", path, "--d-model", "8", "--tokens", "3000", "-o", out, *more]


# Tables ---------------------------------------------------------------------------------------


@case
def table_of_zeros(folder):
    return ["fit", expanding(folder / "a.csv.gz", HEAD, b"0")], "expands to more than"


@case
def table_of_empty_lines(folder):
    return ["fit", expanding(folder / "a.csv.gz", HEAD, b"\n")], "expands to more than"


@case
def objects_without_end(folder):
    return ["fit", expanding(folder / "a.jsonl.gz", b"", b"{}\n")], "expands to more than"


@case
def billion_rows(folder):
    return ["fit", claiming(folder / "a.parquet", 10**9 + 7, COLUMNS)], "rows"


@case
def thousand_billion_rows(folder):
    return ["fit", claiming(folder / "a.parquet", 10**12, COLUMNS)], "1,000,000,000,000 rows takes"


@case
def as_many_keys_as_lines(folder):
    path = folder / "a.jsonl"
    path.write_text("".join(f'{{"run":"a","tokens":{i},"q{i}":1.5}}\n' for i in range(30_000)))
    return ["fit", path], "30,002 different keys"


@case
def table_that_is_a_device(folder):
    return ["fit", link(folder / "a.csv", "/dev/zero")], "is a device"


@case
def column_file_that_is_a_device(folder):
    return ["fit", link(folder / "a.parquet", "/dev/zero")], "is a device"


@case
def table_larger_than_memory(folder):
    with (folder / "a.csv").open("wb") as file:
        file.truncate(1 << 42)  # a hole
    return ["fit", folder / "a.csv"], "GiB of memory"


@case
def condition_of_many_brackets(folder):
    (folder / "a.csv").write_bytes(HEAD + b"a,1e8,1e9,2.5\n")
    return ["fit", folder / "a.csv", "--where", "not " * 20_000 + "loss > 1"], "the condition"


# Results and budgets --------------------------------------------------------------------------


@case
def draws_of_zeros(folder):
    members = {"E": (header((BIG // 8,)), BIG), "meta": (header((), "<U5"), 0)}
    return optimum(arrays(folder / "a.npz", members)), "expands to more than"


@case
def draws_that_claim_a_terabyte(folder):
    members = {"E": (header((10**12,)), 0), "meta": (header((), "<U5"), 0)}
    return optimum(arrays(folder / "a.npz", members)), "cannot be read as draws"


@case
def result_that_is_a_device(folder):
    return optimum(link(folder / "a.json", "/dev/zero")), "is a device"


@case
def result_nested_deeply(folder):
    path = folder / "a.json"
    path.write_text('{"format": "t2jax.fit/1", "a": ' + "[" * 200_000 + "]" * 200_000 + "}")
    return optimum(path), "cannot be read"


@case
def plan_that_names_files_elsewhere(folder):
    (folder / "plan.json").write_text(
        json.dumps({"format": "t2jax.plan/1", "files": {"../../../etc/passwd": "0" * 64}})
    )
    for name in ("fit.json", "draws.npz"):
        (folder / name).write_bytes(b"PK")
    return optimum(folder), "is not the file that the plan"


@case
def budget_of_many_tables(folder):
    path = folder / "a.toml"
    path.write_text("".join(f"{'a.' * 20_000}b{i} = 1\n" for i in range(20)))
    return ["plan", "--budget", path], "is larger than"


@case
def budget_that_is_a_device(folder):
    return ["plan", "--config", link(folder / "a.toml", "/dev/zero")], "is a device"


@case
def budget_of_many_digits(folder):
    return [
        "plan",
        "--train-flops",
        "1e" + "9" * 5000,
    ], "--train-flops inf is not a positive number"


@case
def draws_without_end(folder):
    return ["plan", "--draws", "9" * 5000], "--draws"


# Logs -----------------------------------------------------------------------------------------


def inspect(path: pathlib.Path, name: str, content: bytes, packing: int) -> pathlib.Path:
    told = {"version": 2, "status": "success",
            "eval": {"task": "sums", "model": "hf/org/m-1", "config": {"epochs": 1}}}  # fmt: skip
    with zipfile.ZipFile(path, "w", packing, compresslevel=1) as file:
        file.writestr("header.json", json.dumps(told), zipfile.ZIP_STORED)
        file.writestr(name, content)
    return path


@case
def sample_of_blanks(folder):
    content = b'{"id": "' + bytes(BIG) + b'"}'
    path = inspect(folder / "a.eval", "samples/q_epoch_1.json", content, zipfile.ZIP_DEFLATED)
    return convert("inspect", folder, path), "expands to more than"


@case
def sample_of_blanks_in_zstd(folder):
    import pyarrow as pa

    packed = pa.compress(b" " * (1 << 26), "zstd", asbytes=True) * (BIG >> 26)
    path = inspect(folder / "a.eval", "samples/q_epoch_1.json", packed, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    place = raw.rfind(b"PK\x01\x02")
    local = struct.unpack("<I", raw[place + 42 : place + 46])[0]
    for at in (place + 10, local + 8):  # says that it is zstd; the size stays a few kilobytes
        raw[at : at + 2] = struct.pack("<H", 93)
    path.write_bytes(raw)
    return convert("inspect", folder, path), "the checksum"


@case
def sample_that_climbs_out(folder):
    name = "samples/../../../../tmp/climbed.json"
    path = inspect(folder / "a.eval", name, b"{}", zipfile.ZIP_STORED)
    return convert("inspect", folder, path), "the field is missing"


@case
def line_without_end(folder):
    path = expanding(folder / "a.jsonl.gz", b'{"run": "', b" ")
    return convert("samples", folder, path), "expands to more than"


@case
def list_without_end(folder):
    path = expanding(folder / "a.jsonl.gz", b"[", b"[],")
    return convert("samples", folder, path), "expands to more than"


@case
def log_that_is_a_device(folder):
    link(folder / "logs/a.jsonl", "/dev/zero")
    return convert("samples", folder, folder / "logs"), "is a device"


@case
def folder_that_holds_itself(folder):
    link(folder / "logs/a", folder / "logs")
    link(folder / "logs/b.jsonl", folder / "logs/b.jsonl")
    return convert("samples", folder, folder / "logs"), "b.jsonl"


@case
def details_that_claim_rows(folder):
    path = folder / "org/m-1/details_arc_2025-06-01T10-00-00.parquet"
    claiming(path, 10**11, {"metric": "a", "doc": "b"})
    return convert("lighteval", folder, path), "claims 100,000,000,000 rows"


@case
def history_that_claims_rows(folder):
    path = claiming(folder / "a.parquet", 10**12, {"_step": 1, "train/loss": 2.5})
    return convert("wandb", folder, path), "rows takes"


@case
def history_that_expands(folder):
    path = expanding(folder / "a.csv.gz", b"_step,train/loss\n", b"1,2.5\n")
    return convert("wandb", folder, path), "cannot be read"


# The trainer ----------------------------------------------------------------------------------


@case
def model_of_two_billion_layers(folder):
    place = checkpoint(folder / "run", n_layers=2**31 - 1)
    arrays(place / "arrays.npz", {"E": (header((2,)), 0)})
    return ["evaluate", place, "-o", folder / "out.csv"], "run"


@case
def model_wider_than_memory(folder):
    place = checkpoint(folder / "run", d_model=2**30, vocab_size=2**30)
    arrays(place / "arrays.npz", {"E": (header((2,)), 0)})
    return ["evaluate", place, "-o", folder / "out.csv"], "run"


@case
def parameters_of_zeros(folder):
    place = checkpoint(folder / "run")
    arrays(place / "arrays.npz", {"E": (header((BIG // 4,), "<f4"), BIG)})
    return ["evaluate", place, "-o", folder / "out.csv"], "expands to more than"


@case
def tokens_that_claim_a_terabyte(folder):
    path = folder / "a.npy"
    path.write_bytes(header((10**12,), "<u2") + bytes(1000))
    return train(path), "this is not a NumPy array"


@case
def tokens_that_are_a_device(folder):
    return train(link(folder / "a.bin", "/dev/zero")), "no such file"


@case
def text_larger_than_memory(folder):
    with (folder / "a.txt").open("wb") as file:
        file.truncate(1 << 42)
    return train(folder / "a.txt"), "GiB of memory"


@case
def tokenizer_that_is_a_device(folder):
    (folder / "a.txt").write_text("hello " * 1000)
    words = train(folder / "a.txt", "--tokenizer", link(folder / "a.json", "/dev/zero"))
    return words, "a.json"


@case
def questions_without_end(folder):
    path = expanding(folder / "lambada.jsonl.gz", b"", b"\n")
    place = trained(folder / "run")
    words = ["evaluate", place, "--task", "lambada", "--data", path, "-o", folder / "out.csv"]
    return words, "expands to more than"


@case
def questions_that_claim_rows(folder):
    path = claiming(folder / "a.parquet", 10**12, {"question": "a", "correct_answer": "b"})
    place = trained(folder / "run")
    words = ["evaluate", place, "--task", "sciq", "--data", path, "-o", folder / "out.csv"]
    return words, "claims 1,000,000,000,000 rows"


# One process for all: a command each takes longer to start than to refuse.


def peak() -> int:
    """Kibibytes that this program, and not the one before it, has held at most."""
    told = pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return int(told.split()[0])


def main(folder: pathlib.Path, *names: str) -> None:
    import contextlib

    import t2jax.cli

    if not (folder / "made.json").exists():
        made = {}
        for name in names or CASES:
            place = folder / name
            place.mkdir(parents=True)
            words, said = CASES[name](place)
            made[name] = [[str(word) for word in words], said]
        (folder / "made.json").write_text(json.dumps(made))
        # Anew, since making them took memory.
        os.execv(sys.executable, [sys.executable, __file__, str(folder)])
    made = json.loads((folder / "made.json").read_text())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    before = peak()
    for name, (words, said) in made.items():
        error, started = io.StringIO(), time.process_time()
        with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
            code = t2jax.cli.main(words)
        told = {
            "case": name, "code": code, "error": error.getvalue(), "expected": said,
            "seconds": time.process_time() - started, "megabytes": (peak() - before) >> 10,
        }  # fmt: skip
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
