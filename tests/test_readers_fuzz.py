"""Whatever stands in a file that we read back, the answer is right or one line that says why not.

Tables have `test_read_fuzz.py` and logs `test_importers_fuzz.py`; here is everything else. A case
is a sound file damaged by a seeded draw: bits, pieces, JSON values of another kind.
"""

import copy
import functools
import io
import json
import pathlib
import random
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from test_saved import SAVED

import t2jax as t2
from t2jax.cli._budget import BudgetOptions, read_toml
from t2jax.errors import T2Error
from t2jax.trainer import checkpoint, model
from t2jax.trainer.config import ModelConfig
from t2jax.trainer.text import open_text
from t2jax.trainer.tokens import load_tokenizer

ODD = (None, True, -1, 0, 0.5, 1e400, -1e400, float("nan"), 10**60, 2**63, "", " ", "x", "9" * 5000,
       "\0", "\ud800", "\x1b[2J", [], {}, [[]], [{}], {"a": None}, [None] * 3, ["x"], [[1, 2], [3]],
       "../../etc/passwd", "__class__", {"law": "additive"})  # fmt: skip
JUNK = (b"\0", b"\xff\xfe", b"\r", b"{" * 2000, b"[" * 90_000, b"9" * 400, b"PK\x03\x04", b"1e999",
        b"\x93NUMPY", b"NaN", b'"', b"\x1f\x8b")  # fmt: skip


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes with a few faults."""
    raw = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(raw) + 1)
        match draw.choice(("flip", "cut", "insert", "drop", "repeat", "replace")):
            case "flip" if at < len(raw):
                raw[at] ^= 1 << draw.randrange(8)
            case "cut":
                del raw[at:]
            case "insert":
                raw[at:at] = draw.choice(JUNK)
            case "drop":
                del raw[at : at + draw.randint(1, 40)]
            case "repeat":
                raw[at:at] = raw[max(0, at - 50) : at]
            case "replace" if draw.random() < 0.1:
                raw = bytearray(draw.choice(JUNK))
    return bytes(raw)


def places(value: Any, at: tuple = ()) -> list[tuple]:
    """Where the values of a JSON tree stand."""
    found = [at] if at else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = list(enumerate(value))[:4]
    for name, item in items:
        found += places(item, (*at, name))
    return found


def twisted(described: Any, draw: random.Random) -> bytes:
    """A JSON description with values of another kind, or none."""
    found = copy.deepcopy(described)
    if isinstance(found, dict):
        found.pop("sha256", None)  # which would say so before anybody looks
    for _ in range(draw.randint(1, 2)):
        options = places(found)
        if not options:
            break
        *above, last = draw.choice(options)
        place = functools.reduce(lambda tree, key: tree[key], above, found)
        if draw.random() < 0.25 and isinstance(place, dict):
            del place[last]
        else:
            place[last] = copy.deepcopy(draw.choice(ODD))
    return json.dumps(found).encode("utf-8", "surrogatepass")


def saved(folder: pathlib.Path, name: str) -> tuple[bytes, Callable[[pathlib.Path], Any]]:
    """A saved result, and what loads it and looks at it."""
    SAVED[name].save(folder / name)

    def look(path: pathlib.Path) -> None:
        found: Any = t2.load(path)
        assert isinstance(found.summary(), str)

    return (folder / name).read_bytes(), look


def budget(path: pathlib.Path) -> None:
    """Everything that a TOML file of a budget goes through."""
    read_toml(str(path))
    found = BudgetOptions(budget=str(path)).description()
    t2.Budget.from_dict(found)


def card(folder: pathlib.Path) -> tuple[bytes, bytes]:
    """Card and arrays of a small checkpoint."""
    shape = ModelConfig(d_model=8, n_layers=1, vocab_size=16, seq_len=8)
    params = model.initialise(shape, jax.random.key(0))
    checkpoint.save_params(folder, params, {"model": shape, "tokens": 100})
    return (folder / "card.json").read_bytes(), (folder / "arrays.npz").read_bytes()


TOML = b"""dollars = 1e7
questions = "1e9"
tokens_per_sample = 500
max_params = 70e9
[cost]
hardware = "h100"
dollars_per_hour = 2.5
prompt_tokens = 100
"""
LINES = b"\n".join(
    json.dumps({"prompt": f"{n} and {n}: ", "answer": str(2 * n), "id": n}).encode()
    for n in range(20)
)
WORDS = json.dumps({
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    "added_tokens": [{"id": 3, "content": "<s>"}],
}).encode()  # fmt: skip


def array(kind: str) -> bytes:
    """A flat array of tokens as .npy."""
    out = io.BytesIO()
    np.save(out, np.arange(400).astype(kind) % 90)
    return out.getvalue()


@pytest.fixture(scope="module")
def readers(tmp_path_factory) -> dict[str, Callable[[random.Random], None]]:
    """Of each kind of file, what reads one damaged file of that kind."""
    folder = tmp_path_factory.mktemp("files")
    found: dict[str, Callable[[random.Random], None]] = {}

    def add(name: str, data: bytes, look: Callable[[pathlib.Path], Any], at: str = "") -> None:
        tree = json.loads(data) if name.endswith(".json") else None
        path = folder / (at or f"case-{name}")

        def once(draw: random.Random) -> None:
            twist = tree is not None and draw.random() < 0.6
            path.write_bytes(twisted(tree, draw) if twist else damaged(data, draw))
            look(path)

        found[name] = once

    for name in SAVED:
        add(name, *saved(folder, name))
    add("budget.toml", TOML, budget)
    for place in ("card", "arrays"):
        (folder / place).mkdir()
    for place, which, name in (("card", 0, "card.json"), ("arrays", 1, "arrays.npz")):
        data = card(folder / place)[which]
        load = lambda path: checkpoint.load_params(path.parent)  # noqa: E731
        add(f"params-{name}", data, load, f"{place}/{name}")
    text = functools.partial(open_text, seq_len=32)
    add("questions.jsonl", LINES, lambda path: text(path).questions())
    add("text.txt", LINES, text)
    add("tokens.npy", array("u2"), text)
    add("tokens.bin", np.arange(400).astype("u2").tobytes(), text)
    add("tokenizer.json", WORDS, lambda path: load_tokenizer(str(path)).encode("ab"))
    return found


def campaign(readers: dict[str, Callable], cases: int, seed: int) -> dict[str, int]:
    """Read that many damaged files; how many were read as they are, and how many refused."""
    seen = {"read": 0, "refused": 0}
    for case in range(cases):
        name = list(readers)[case % len(readers)]
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of numbers that are none
                readers[name](random.Random(f"{seed} {case}"))
            seen["read"] += 1
        except T2Error as error:
            message = str(error)
            assert message.isprintable(), (name, case)
            assert len(message) > 20
            seen["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{name}, case {case} of seed {seed}: {error!r}") from error
        assert time.monotonic() - start < 20, (name, case)
    return seen


def test_damaged_files_are_read_or_refused(readers):
    seen = campaign(readers, 5_000, seed=0)
    assert min(seen.values()) > 300


@pytest.mark.slow
def test_very_many_damaged_files_are_read_or_refused(readers):
    campaign(readers, 100_000, seed=1)
