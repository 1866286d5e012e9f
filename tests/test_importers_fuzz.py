"""Whatever happened to a log, each sample is in the table or a note, or one line says why not."""

import copy
import json
import pathlib
import random
import re
import shutil

import made_logs as made
import pytest

from t2jax import importers
from t2jax.errors import InputError, Refusal
from t2jax.observations import Observations

ODD = (None, True, -1, 0, 0.5, 1e400, 10**60, -1.5, "", " ", "x", "1e9", "ß\u2028\ud800", [], {},
       [[]], [{}], {"a": None}, float("nan"), "9" * 5000)  # fmt: skip
"""What a field may hold that no tool ever wrote."""


def accounted(table: Observations) -> int:
    """Samples in a table, and those that its notes say were left out."""
    cells = table.nll.size if table.nll is not None else 0
    held = cells if table.trials is None else int(table.trials.sum())
    for note in table.notes:
        found = re.fullmatch(r".* that were left out held (\d+) samples", note)
        if found is None and not re.search("checkpoints? |questions? ", note):
            found = re.search(r"left out .*\((\d+) rows?\)", note)
        held += int(found[1]) if found else 0
    return held


def outcome(found: made.Made, folder: pathlib.Path, drop: bool, samples: int | None) -> str:
    """Import, and hold the importer to its promise."""
    options = {**found.options, "drop_incomplete": drop, "progress": False}
    try:
        table = getattr(importers, found.tool)(folder, made.RUNS, **options)
    except (InputError, Refusal) as error:
        message = str(error)
        assert len(message.splitlines()) == 1
        assert message.isprintable()
        assert len(message) > 20
        return "refused"
    assert table.describe().isprintable()
    if samples is not None:
        assert accounted(table) == samples, table.notes
    return "read"


@pytest.fixture
def logs(request, tmp_path):
    """A log in a folder of its own, and how to write its main file anew."""
    folder = tmp_path / "log"
    folder.mkdir()
    return made.LOGS[request.param](folder), folder


every_log = pytest.mark.parametrize("logs", made.LOGS, indirect=True)


@every_log
def test_an_untouched_log_is_read_whole(logs):
    found, folder = logs
    assert outcome(found, folder, False, found.samples) == "read"


def cut(logs, places) -> dict[str, int]:
    """Read a log whose main file ends early, at each of some places."""
    found, folder = logs
    whole = found.main.read_bytes()
    seen = {"read": 0, "refused": 0}
    for place in places(len(whole)):
        found.main.write_bytes(whole[:place])
        for drop in (False, True):
            text = whole[:place].decode("utf-8", "ignore")
            samples = None
            if found.main.suffix == ".jsonl":
                # Of each file the lines; a piece of one is a broken line.
                others = found.samples - whole.count(b"\n")
                samples = others + sum(1 for line in text.split("\n") if line.strip())
            seen[outcome(found, folder, drop, samples)] += 1
    return seen


@every_log
def test_a_log_cut_anywhere_is_accounted_for(logs):
    seen = cut(logs, lambda size: range(0, size, max(1, size // 12)))
    assert seen["refused"]


def fields(value, path=()):
    """Every place in a JSON value, as a path of keys and positions."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from fields(inner, (*path, key))


def changed(value, path, new, draw):
    """A copy with another value at one place, or none, or the same twice."""
    value = copy.deepcopy(value)
    if not path:
        return new
    place = value
    for key in path[:-1]:
        place = place[key]
    kind = draw.randrange(4)
    if kind == 0 and isinstance(place, dict):
        del place[path[-1]]
    elif kind == 1 and isinstance(place, list):
        place.append(copy.deepcopy(place[path[-1]]))
    else:
        place[path[-1]] = new
    return value


def break_text(found: made.Made, whole: bytes, draw: random.Random) -> tuple[bytes, int | None]:
    """A main file with one thing wrong in it, and how many samples the folder then holds."""
    text = whole.decode()
    if found.main.suffix == ".jsonl":
        rows = text.splitlines()
        at = draw.randrange(len(rows))
        kind = draw.randrange(6)
        if kind == 0:
            rows.append(rows[at])
        elif kind == 1:
            del rows[at]
        elif kind == 2:
            rows[at] = draw.choice(("{", "[1]", "null", "{}", "\ufeff{}", '{"a": 1}' * 2, "\x00"))
        else:
            record = json.loads(rows[at])
            place = draw.choice(list(fields(record)))
            rows[at] = json.dumps(changed(record, place, draw.choice(ODD), draw))
        held = sum(1 for row in rows if row.strip())
        samples = found.samples - len(text.splitlines()) + held
        return ("\n".join(rows) + "\n").encode("utf-8", "surrogatepass"), samples
    if found.main.suffix == ".json":
        value = json.loads(text)
        place = draw.choice(list(fields(value)))
        return json.dumps(changed(value, place, draw.choice(ODD), draw)).encode(), None
    at = draw.randrange(len(text))
    piece = draw.choice(("", ",", '"', "\n", "nan", "ß", "\x00", text[at : at + 40]))
    return (text[:at] + piece + text[at + 1 :]).encode(), None


def break_bytes(whole: bytes, draw: random.Random) -> bytes:
    """Some bytes replaced, taken out or doubled."""
    at, size = draw.randrange(len(whole)), draw.randrange(1, 9)
    new = draw.choice((b"", draw.randbytes(size), whole[at : at + size] * 2, b"\xff" * size))
    return whole[:at] + new + whole[at + size :]


def broken(logs, seed: int, count: int) -> dict[str, int]:
    """Read a log with one thing wrong in it, again and again."""
    found, folder = logs
    whole = found.main.read_bytes()
    text = found.main.suffix in (".jsonl", ".json", ".csv")
    draw = random.Random(seed)
    seen = {"read": 0, "refused": 0}
    for _ in range(count):
        samples = None
        if text and draw.random() < 0.8:
            content, samples = break_text(found, whole, draw)
        else:
            content = break_bytes(whole, draw)
        found.main.write_bytes(content)
        seen[outcome(found, folder, draw.random() < 0.5, samples)] += 1
    return seen


@every_log
def test_a_broken_log_is_accounted_for(logs):
    seen = broken(logs, 0, 30)
    assert seen["refused"]


@pytest.mark.slow
@every_log
def test_a_log_cut_at_every_byte_is_accounted_for(logs):
    assert cut(logs, range)["refused"]


@pytest.mark.slow
@every_log
def test_many_broken_logs_are_accounted_for(logs):
    assert sum(broken(logs, 1, 1200).values()) == 1200


def test_two_logs_side_by_side_are_one_table(tmp_path):
    """What breaks one file never takes another with it in silence."""
    found = made.lm_eval(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    table = importers.lm_eval([tmp_path / "a", tmp_path / "b"], made.RUNS)
    assert accounted(table) == 2 * found.samples
