"""Whatever the table, `read` accounts for every row or says in one line what is wrong."""

import pathlib
import re

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import (
    FORMS,
    MalformedFile,
    malformed_bytes,
    malformed_frames,
    malformed_texts,
    valid_frame,
    write_frame,
)

from t2jax.errors import InputError, Refusal
from t2jax.observations import Observations, read

# 700 + 900 + 600 tables: with the tables drawn here the promise is of at least 2,000.
MANY = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,  # the folder is overwritten by each example
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def n_rows_used(table: Observations) -> int:
    """Rows of the input that went into the table, or that its notes say were left out."""
    cells = 1 if table.question is None else table.n_questions
    wide = table.question is not None and bool(re.match(r"q\d", str(table.question[0])))
    used = table.n_rows * (1 if wide else cells)
    for note in table.notes:
        left_out = re.search(r"left out .*\((\d+) rows?\)", note)
        used += int(left_out.group(1)) if left_out else 0
    return used


def outcome(source, n_rows, **options) -> None:
    """Read, and hold `read` to its promise.

    Args:
      source: what to read.
      n_rows: rows of the input, or None where they cannot be counted independently.
      options: for `read`.
    """
    try:
        table = read(source, **options)
    except (InputError, Refusal) as error:
        message = str(error)
        assert len(message.splitlines()) == 1
        assert message.isprintable()
        assert len(message) > 20
        return
    assert table.describe().isprintable()
    if n_rows is not None:
        assert n_rows_used(table) == n_rows


def n_lines(content: bytes) -> int | None:
    """Lines that are not empty below the first, in the bytes of a text table."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    lines = re.split("\r\n|\n|\r", text)
    # A line of spaces is blank to JSON Lines and a broken row to separated values.
    return sum(1 for line in lines if line.strip())


def save(folder: pathlib.Path, file: MalformedFile) -> pathlib.Path:
    """Write the file."""
    path = folder / f"table{file.suffix}"
    path.write_bytes(file.content)
    return path


@settings(MANY, max_examples=900)
@given(file=malformed_texts(), drop=st.booleans())
def test_broken_text_is_read_whole_or_refused(file, drop, tmp_path):
    rows = None
    if not file.suffix.endswith(".gz"):
        lines = n_lines(file.content)
        rows = None if lines is None else lines - (file.suffix != ".jsonl")
    outcome(save(tmp_path, file), rows, drop_incomplete=drop)


@settings(MANY, max_examples=700)
@given(file=malformed_bytes(), drop=st.booleans())
def test_damaged_bytes_are_read_or_refused(file, drop, tmp_path):
    outcome(save(tmp_path, file), None, drop_incomplete=drop)


@settings(MANY, max_examples=600)
@given(drawn=malformed_frames(), drop=st.booleans())
def test_broken_frames_are_read_whole_or_refused(drawn, drop):
    _, frame = drawn
    outcome(frame, len(frame), drop_incomplete=drop)


@settings(MANY, max_examples=100)
@given(
    form=st.sampled_from(FORMS),
    columns=st.one_of(st.text(max_size=20), st.just("run=run"), st.just("params=tokens")),
    units=st.sampled_from(("", "tokens=1e9", "tokens=0", "tokens", "loss=x", "a=1", "params=nan")),
    task=st.sampled_from((None, "t", "other", ("t", "u"), ())),
    separator=st.one_of(st.none(), st.text(max_size=2)),
)
def test_odd_options_are_honoured_or_refused(form, columns, units, task, separator, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(write_frame(valid_frame(form), ".csv"))
    outcome(path, None, columns=columns, units=units or None, task=task, separator=separator)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".jsonl", ".parquet"])
def test_every_valid_table_is_read_whole(form, suffix, tmp_path):
    """The tables that the strategies break are sound before they are broken."""
    frame = valid_frame(form)
    path = tmp_path / f"table{suffix}"
    path.write_bytes(write_frame(frame, suffix))
    assert n_rows_used(read(path)) == len(frame)
    assert read(path).data_hash() == read(frame).data_hash()


def test_parquet_rows_are_counted(tmp_path):
    """The frames of the fuzz test go through Parquet as well."""
    frame = pd.concat([valid_frame("loss")] * 2)
    path = tmp_path / "table.parquet"
    path.write_bytes(write_frame(frame, ".parquet"))
    assert pq.read_metadata(path).num_rows == len(frame)
    with pytest.raises(InputError, match="row 7: repeats the run and tokens of row 1"):
        read(path)
