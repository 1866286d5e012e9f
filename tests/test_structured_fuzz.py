"""Whatever a table or a log is dressed in, each record of it is used or named, or one line says no.

`test_read_fuzz.py` and `test_importers_fuzz.py` damage sound files; here they are written as people
and tools write them, and a little wrong.
"""

import random

import made_logs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structured import dressed, table
from test_importers_fuzz import break_text
from test_importers_fuzz import outcome as imported
from test_read_fuzz import MANY, outcome

SUFFIXES = (".jsonl", ".json", ".csv")


def read_one(draw: random.Random, folder) -> None:
    case = table(draw)
    path = folder / f"table{case.suffix}"
    path.write_bytes(case.content)
    outcome(path, case.records, **case.options)


@settings(MANY, max_examples=250)
@given(draw=st.randoms(use_true_random=False))
def test_a_table_in_any_dress_is_read_whole_or_refused(draw, tmp_path):
    read_one(draw, tmp_path)


@pytest.fixture
def logs(tmp_path):
    """Of every tool whose log is text: the log, its folder and its main file as it was."""
    found = {}
    for name, make in made_logs.LOGS.items():
        folder = tmp_path / name
        folder.mkdir()
        log = make(folder)
        if log.main.suffix in SUFFIXES:
            found[name] = (log, folder, log.main.read_bytes())
    return found


def import_one(draw: random.Random, logs: dict) -> str:
    log, folder, whole = logs[draw.choice(list(logs))]
    content, samples = whole, log.samples
    lines = log.main.suffix == ".jsonl"
    if draw.random() < 0.6:
        content, samples = break_text(log, whole, draw)
    if lines or log.main.suffix == ".json":
        content = dressed(draw, content, lines)
    log.main.write_bytes(content)
    try:
        return imported(log, folder, draw.random() < 0.5, samples)
    finally:
        log.main.write_bytes(whole)


@settings(MANY, max_examples=120)
@given(draw=st.randoms(use_true_random=False))
def test_a_log_in_any_dress_is_read_whole_or_refused(draw, logs):
    import_one(draw, logs)


def campaign(one, cases: int, seed: int) -> None:
    """So many cases, each of which can be drawn again alone."""
    for case in range(cases):
        try:
            one(random.Random(f"{seed} {case}"))
        except Exception as error:
            raise AssertionError(f"case {case} of seed {seed}: {error!r}") from error


def test_many_tables_and_logs_in_any_dress(tmp_path, logs):
    campaign(lambda draw: read_one(draw, tmp_path), 3_000, seed=3)
    campaign(lambda draw: import_one(draw, logs), 1_000, seed=4)


@pytest.mark.slow
def test_very_many_tables_in_any_dress(tmp_path):
    campaign(lambda draw: read_one(draw, tmp_path), 60_000, seed=1)


@pytest.mark.slow
def test_very_many_logs_in_any_dress(logs):
    campaign(lambda draw: import_one(draw, logs), 40_000, seed=2)
