"""Malformed tables for the tests of `read` and, later, of the command line.

`malformed_files()` draws the bytes of a file and its suffix, `malformed_frames()` a DataFrame.
Each starts from a valid table and is broken in one to three ways, some of which leave it valid.
"""

import dataclasses
import gzip
import io
import json

import numpy as np
import pandas as pd
from hypothesis import strategies as st

FORMS = ("loss", "samples", "nll", "counts", "wide")

# What people, spreadsheets and crashed jobs leave in cells.
CELLS = (
    *("", " ", "NaN", "nan", "None", "null", "N/A", "-", "?", "inf", "-inf", "1e999", "Infinity"),
    *("0", "-1", "-0.0", "1e-320", "1e300", "0.5", "-9223372036854775808", "1" * 40, "1_000"),
    *("1,000", "12.5M", "3e", "0x10", "abc", "TRUE", "x" * 300, "ü", "\u2028", "\x00", "\x1c"),
    *('"', "'", '"a', "a\nb", "a\rb", "=1+1", "{}", "[1]", "<b>", "é\u0301", "run-0", "\ufeff"),
)
OBJECTS = (
    None,
    np.nan,
    np.inf,
    -np.inf,
    pd.NA,
    pd.NaT,
    True,
    1j,
    [1],
    {"a": 1},
    b"x",
    (),
    "\ud800",
)
HEADERS = (
    "",
    "run",
    "params",
    "tokens",
    "loss",
    "nll",
    "question",
    "q0",
    "n_params",
    "\x00",
    "a\nb",
)
JUNK = (
    *(
        b"",
        b"\n",
        b"\n\n\n",
        b"\r",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\x1f\x8b\x08",
        b"PAR1",
    ),
    *(b"PK\x03\x04", b"<!doctype html><html></html>", b"{", b"[]", b'{"run": 1}', b"%PDF-1.4"),
    *(b"run", b"run,params,tokens,loss", b"run,params,tokens,loss\n", b"\xe9", b'"', b",,,\n,,,"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MalformedFile:
    """A file to be written and read.

    Args:
      content: its bytes.
      suffix: how its name ends.
      form: the form of the valid table it was made from.
    """

    content: bytes
    suffix: str
    form: str


def valid_frame(form: str, *, n_runs: int = 3, n_tokens: int = 2, n_questions: int = 3):
    """A small table without a fault, of any form."""
    rng = np.random.default_rng(0)
    rows = []
    for run in range(n_runs):
        for step in range(n_tokens):
            base = {"run": f"run-{run}", "params": 1e6 * 2**run, "tokens": 2e7 * 3**step}
            if form == "loss":
                rows.append(base | {"loss": 2 + rng.random(), "trunk": f"trunk-{run // 2}"})
            elif form == "samples":
                rows += [base | {"samples": k, "loss": 2 + rng.random()} for k in (1, 4)]
            elif form == "wide":
                rows.append(base | {f"q{i}": 5 * rng.random() for i in range(n_questions)})
            for question in range(n_questions) if form in ("nll", "counts") else ():
                cell = base | {"task": "t", "question": question}
                if form == "nll":
                    rows.append(cell | {"nll": 5 * rng.random()})
                else:
                    rows.append(cell | {"successes": int(rng.integers(0, 9)), "trials": 8})
    return pd.DataFrame(rows)


def write_frame(frame, suffix: str) -> bytes:
    """The bytes of a frame in one of the formats that `read` takes."""
    if suffix.startswith(".parquet"):
        out = io.BytesIO()
        frame.to_parquet(out)
        content = out.getvalue()
    elif suffix.startswith(".jsonl"):
        # Not `to_json`, which rounds.
        content = "".join(json.dumps(row) + "\n" for row in frame.to_dict("records")).encode()
    else:
        content = frame.to_csv(index=False, sep="\t" if ".tsv" in suffix else ",").encode()
    return gzip.compress(content, mtime=0) if suffix.endswith(".gz") else content


@st.composite
def malformed_frames(draw):
    """A DataFrame broken in one to three ways, and the form it was made from."""
    form = draw(st.sampled_from(FORMS))
    frame = valid_frame(form)
    for _ in range(draw(st.integers(1, 3))):
        frame = draw(st.sampled_from(_FRAME_FAULTS))(draw, frame)
    return form, frame


def _cell(draw, frame):
    if not frame.size:
        return frame
    column = draw(st.integers(0, frame.shape[1] - 1))
    columns = [frame.iloc[:, i].astype(object) for i in range(frame.shape[1])]
    broken = columns[column].tolist()
    broken[draw(st.integers(0, len(frame) - 1))] = draw(st.sampled_from((*CELLS, *OBJECTS)))
    columns[column] = pd.Series(broken, dtype=object, index=frame.index)
    names = list(frame.columns)
    return pd.concat(columns, axis=1).set_axis(names, axis=1)


def _scale_column(draw, frame):
    numeric = [i for i in range(frame.shape[1]) if frame.dtypes.iloc[i].kind in "if"]
    if not numeric:
        return frame
    column = draw(st.sampled_from(numeric))
    factor = draw(st.sampled_from((0, -1, 1e-9, 1e-6, 1e6, 1e9, 1e300, np.nan, np.inf, 0.1)))
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    columns[column] = columns[column] * factor
    return pd.concat(columns, axis=1)


def _drop_column(draw, frame):
    if frame.shape[1] < 2:
        return frame
    gone = draw(st.integers(0, frame.shape[1] - 1))
    return frame.iloc[:, [i for i in range(frame.shape[1]) if i != gone]]


def _rename_column(draw, frame):
    names = list(frame.columns)
    if names:
        names[draw(st.integers(0, len(names) - 1))] = draw(st.sampled_from((*HEADERS, 0, None)))
    return frame.set_axis(names, axis=1)


def _repeat_rows(draw, frame):
    if not len(frame):
        return frame
    order = draw(st.lists(st.integers(0, len(frame) - 1), min_size=1, max_size=2 * len(frame)))
    return frame.iloc[order]


def _drop_rows(draw, frame):
    kept = draw(st.lists(st.booleans(), min_size=len(frame), max_size=len(frame)))
    return frame[np.array(kept, dtype=bool)]


def _retype_column(draw, frame):
    if not frame.shape[1]:
        return frame
    column = draw(st.integers(0, frame.shape[1] - 1))
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    kind = draw(st.sampled_from(("str", "object", "category", "float32", "Float64", "bool")))
    try:
        columns[column] = columns[column].astype(kind)
    except (ValueError, TypeError, OverflowError):
        return frame
    return pd.concat(columns, axis=1)


_FRAME_FAULTS = (
    *(_cell, _cell, _scale_column, _drop_column),
    *(_rename_column, _repeat_rows, _drop_rows, _retype_column),
)


@st.composite
def malformed_texts(draw):
    """A CSV, TSV or JSONL file whose cells or lines were broken before it was written."""
    form = draw(st.sampled_from(FORMS))
    suffix = draw(st.sampled_from((".csv", ".csv", ".tsv", ".csv.gz", ".jsonl")))
    text = write_frame(valid_frame(form), suffix.removesuffix(".gz")).decode()
    comma = "\t" if ".tsv" in suffix else ","
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        lines = draw(st.sampled_from(_LINE_FAULTS))(draw, lines, comma)
    end = draw(st.sampled_from(("\n", "\n", "\r\n", "\r", "\n\n")))
    content = end.join(lines) + draw(st.sampled_from((end, "", end * 3)))
    encoding = draw(st.sampled_from(("utf-8",) * 6 + ("utf-8-sig", "latin-1", "utf-16")))
    raw = content.encode(encoding, errors="replace")
    return MalformedFile(
        content=gzip.compress(raw, mtime=0) if suffix.endswith(".gz") else raw,
        suffix=suffix,
        form=form,
    )


def _line(draw, lines):
    return draw(st.integers(0, max(len(lines) - 1, 0)))


def _break_cell(draw, lines, comma):
    if not lines:
        return lines
    at = _line(draw, lines)
    values = lines[at].split(comma)
    values[draw(st.integers(0, len(values) - 1))] = draw(st.sampled_from((*CELLS, *HEADERS)))
    return [*lines[:at], comma.join(values), *lines[at + 1 :]]


def _cut_line(draw, lines, comma):
    if not lines:
        return lines
    at = _line(draw, lines)
    cut = lines[at][: draw(st.integers(0, len(lines[at])))]
    return [*lines[:at], cut, *lines[at + 1 :]]


def _add_value(draw, lines, comma):
    if not lines:
        return lines
    at = _line(draw, lines)
    return [*lines[:at], lines[at] + comma + draw(st.sampled_from(CELLS)), *lines[at + 1 :]]


def _repeat_line(draw, lines, comma):
    return lines + lines[_line(draw, lines) :][:1]


def _lose_line(draw, lines, comma):
    at = _line(draw, lines)
    return lines[:at] + lines[at + 1 :]


def _insert_line(draw, lines, comma):
    at = _line(draw, lines)
    junk = draw(
        st.sampled_from(("", " ", comma, comma * 3, "# note", '"', "{}", "null", "0", "\x00"))
    )
    return [*lines[:at], junk, *lines[at:]]


def _other_separator(draw, lines, comma):
    other = draw(st.sampled_from((";", "\t", "|", ", ", " ")))
    return [line.replace(comma, other) for line in lines]


def _header_only(draw, lines, comma):
    return lines[:1]


_LINE_FAULTS = (
    *(_break_cell, _break_cell, _break_cell, _cut_line, _add_value),
    *(_repeat_line, _lose_line, _insert_line, _other_separator, _header_only),
)


@st.composite
def malformed_bytes(draw):
    """A file of any format whose bytes were damaged after it was written."""
    form = draw(st.sampled_from(FORMS))
    suffix = draw(st.sampled_from((".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".jsonl.gz")))
    raw = bytearray(write_frame(valid_frame(form), suffix))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        fault = draw(st.sampled_from(("flip", "cut", "insert", "replace", "repeat")))
        if fault == "flip" and raw:
            raw[at] = draw(st.integers(0, 255))
        elif fault == "cut":
            del raw[at:]
        elif fault == "insert":
            raw[at:at] = draw(st.sampled_from(JUNK))
        elif fault == "replace":
            raw = bytearray(draw(st.sampled_from(JUNK)))
        else:
            raw += raw[at:]
    if draw(st.integers(0, 9)) == 0:
        suffix = draw(
            st.sampled_from((".csv", ".parquet", ".jsonl", ".csv.gz", ".xlsx", "", ".gz"))
        )
    return MalformedFile(content=bytes(raw), suffix=suffix, form=form)


def malformed_files():
    """Any malformed file: broken text, or damaged bytes."""
    return st.one_of(malformed_texts(), malformed_bytes())
