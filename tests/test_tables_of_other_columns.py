"""Columns that hold no names or no numbers: one line where they are read, else nothing.

A used column is named with its fault; what nobody asked for never keeps a table from being read.
"""

import datetime
import time
import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from made_logs import given

from t2jax.cli import main
from t2jax.errors import InputError
from t2jax.observations import read

COLUMNS = {
    "run": ["a", "b", "c", "d"],
    "params": [1e6, 2e6, 4e6, 8e6],
    "tokens": [2e7, 4e7, 8e7, 1.6e8],
    "loss": [4.0, 3.5, 3.2, 3.0],
}
NESTED = {
    "list": (pa.list_(pa.float64()), [[1.0], [2.0], [3.0], [4.0]]),
    "fixed": (pa.list_(pa.float64(), 1), [[1.0], [2.0], [3.0], [4.0]]),
    "struct": (pa.struct([("a", pa.float64())]), [{"a": 1.0}] * 4),
    "map": (pa.map_(pa.string(), pa.float64()), [[("a", 1.0)]] * 4),
}


def arrow(*without, **more) -> pa.Table:
    columns = {name: pa.array(values) for name, values in COLUMNS.items() if name not in without}
    return pa.table(columns | more)


def repeated(name: str, values: list, *without, rows=(0, 1, 2, 3)) -> pa.Table:
    """A table whose column `name` stands in it twice."""
    table = arrow(*without).take(list(rows))
    for _ in range(2):
        table = table.append_column(name, pa.array(values))
    return table


@pytest.fixture(params=["arrow", "parquet", "jsonl", "csv"])
def dress(request, tmp_path):
    """A table as Arrow has it or as a file holds it."""

    def write(table):
        path = tmp_path / f"table.{request.param}"
        if request.param == "arrow":
            return table
        if request.param == "parquet":
            pq.write_table(table, path)
        elif request.param == "csv":
            frame = pd.concat([table.column(i).to_pandas() for i in range(table.num_columns)],
                              axis=1, keys=table.column_names)  # fmt: skip
            frame.to_csv(path, index=False)
        else:
            table.to_pandas().to_json(path, orient="records", lines=True)
        return path

    return write


def refused(source, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_used_column_of_lists_or_objects_is_named(kind, column, tmp_path):
    type_, values = NESTED[kind]
    table = arrow(**{column: pa.array(values, type_)})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    told = f"column '{column}': holds lists or objects, not "
    for source in (table, path):
        assert told + ("names" if column == "run" else "numbers") in refused(source)
    frame = pd.DataFrame(COLUMNS).assign(**{column: pd.array(values, dtype=pd.ArrowDtype(type_))})
    assert f"column '{column}'" in refused(frame)


def test_the_command_line_says_so_in_a_line_too(tmp_path, capsys):
    path = tmp_path / "t.parquet"
    pq.write_table(arrow(loss=pa.array(NESTED["list"][1])), path)
    assert main(["fit", str(path)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "t.parquet, column 'loss': holds lists or objects, not numbers" in said


@pytest.mark.parametrize("kind", NESTED)
def test_columns_of_lists_that_nobody_asked_for_name_no_run(kind, dress, request):
    type_, values = NESTED[kind]
    told = {"tags": pa.array(values, type_), "model": pa.array(values, type_)}
    if "csv" in request.node.name:
        return  # which holds text alone
    assert read(dress(arrow("run", **told))).n_rows == 4
    assert read(dress(arrow("run", **told)), where="1 < 2").n_rows == 4


@pytest.mark.parametrize("text", ["a\nb", "a\0b", "a\u2028b"])
def test_texts_that_nobody_asked_for_name_no_run(text, tmp_path):
    table = arrow("run", prompt=pa.array([text, "x", "y", "z"]))
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    for source in (table, path, table.to_pandas()):
        assert read(source).run[0] == "1M-20M"


def test_text_in_another_encoding_names_no_run(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("params,tokens,loss,note\n1e6,2e7,4,größe\n2e6,4e7,3,x\n".encode("latin-1"))
    assert read(path).run.tolist() == ["1M-20M", "2M-40M"]


def test_repeated_rows_are_told_apart_without_columns_of_lists():
    rows = arrow().take([0, 1, 2, 3, 3])
    for name, values in (("tags", [[n] for n in range(5)]), ("prompt", ["a\rb"] * 5),
                         ("kind", list("xxxxy"))):  # fmt: skip
        rows = rows.append_column(name, pa.array(values))
    said = refused(rows)
    assert "repeats the run and tokens of row 3" in said
    assert "kind == 'x'" in said


@pytest.mark.parametrize("name", ["exp", "kind"])
def test_a_column_that_stands_twice_tells_nothing_apart(name, dress, request):
    if "jsonl" in request.node.name:
        return  # where no key stands twice
    assert read(dress(repeated(name, list("wxyz")))).n_rows == 4
    again = repeated(name, list("wxyzz"), rows=(0, 1, 2, 3, 3))
    assert "repeats the run and tokens" in refused(dress(again))
    if name == "kind":
        assert read(dress(repeated(name, list("wxyz"), "run"))).n_rows == 4


@pytest.mark.parametrize(
    ("name", "values", "without", "rows"),
    [
        ("seed", [0, 0, 0, 0, 1], (), (0, 1, 2, 3, 3)),
        ("model", list("wxyz"), ("run",), (0, 1, 2, 3)),
        ("loss", [1.0] * 4, ("loss",), (0, 1, 2, 3)),
    ],
)
def test_a_column_that_matters_and_stands_twice_is_named(
    name, values, without, rows, dress, request
):
    if "jsonl" in request.node.name:
        return  # where no key stands twice
    said = refused(dress(repeated(name, values, *without, rows=rows)))
    assert f"column '{name}': the column appears 2 times in the header; rename or delete" in said


def test_a_condition_on_a_column_that_stands_twice_is_refused(dress, request):
    if "jsonl" not in request.node.name:
        said = refused(dress(repeated("exp", list("wxyz"))), where="exp == 'w'")
        assert "column 'exp': the column appears 2 times in the header" in said


@pytest.mark.parametrize("column", COLUMNS)
def test_run_end_encoded_columns_are_read_as_what_they_hold(column):
    encoded = pyarrow.compute.call_function("run_end_encode", [pa.array(COLUMNS[column])])
    plain = read(arrow()).data_hash()
    assert read(arrow(**{column: encoded})).data_hash() == plain
    frame = pd.DataFrame(COLUMNS)
    frame[column] = pd.arrays.ArrowExtensionArray(encoded)
    assert read(frame).data_hash() == plain


@pytest.mark.parametrize(
    "value",
    [
        np.timedelta64(20_000_000, "ns"),
        np.datetime64("2024-01-01", "ns"),
        np.array(np.timedelta64(20_000_000, "ns")),
        np.array([2e7]),
        pd.Timedelta(20_000_000),
        pd.Timestamp("2024-01-01"),
        datetime.timedelta(seconds=20_000_000),
        np.bool_(True),
        np.complex64(1),
    ],
)
def test_times_and_arrays_are_no_numbers(value):
    tokens = np.empty(4, dtype=object)
    tokens[:] = [value, 4e7, 8e7, 1.6e8]
    frame = pd.DataFrame(COLUMNS).assign(tokens=pd.Series(tokens, dtype=object))
    assert "row 0, column 'tokens': " in (said := refused(frame))
    assert "is not a number" in said


def test_an_array_without_axes_is_a_number():
    tokens = pd.Series(
        [np.float32(2e7), np.array(4e7), np.int32(80_000_000), 160_000_000], dtype=object
    )
    assert read(pd.DataFrame(COLUMNS).assign(tokens=tokens)).tokens.tolist() == COLUMNS["tokens"]


@pytest.mark.parametrize("column", ["run", "task", "question"])
def test_names_that_look_alike_are_one_name(column):
    composed, apart = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    frame = pd.DataFrame({"run": ["a", "a", "b", "b"], "params": [1e6, 1e6, 2e6, 2e6],
                          "tokens": [2e7, 2e7, 4e7, 4e7], "task": "t", "question": list("0101"),
                          "nll": [1.0, 2.0, 1.5, 0.5]})  # fmt: skip
    frame.loc[[0, 2], column] = [apart, composed] if column != "run" else [composed, composed]
    if column == "run":
        frame.loc[[1, 3], column] = [apart, "b"]
        frame.loc[2, column] = "b"
    if column == "task":
        frame.loc[[1, 3], column] = composed
    table = read(frame)
    assert composed in {
        *map(str, table.run),
        *map(str, given(table.question)),
        *map(str, given(table.task)),
    }
    assert f"wrote 1 names in column '{column}' in composed Unicode (NFC)" in table.notes
    wanted = read(frame, where=f"{column} == '{apart}'")
    assert wanted.n_rows >= 1
    if column == "task":
        assert read(frame, task=apart).data_hash() == table.data_hash()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_a_hundred_thousand_columns_take_seconds(named, wide, tmp_path):
    count = 20_000 if wide else 100_000
    extra = [f"q{i}" if wide else f"c{i}" for i in range(count)]
    names = ["run"] * named + ["params", "tokens"] + ["loss"] * (not wide) + extra
    lines = [",".join(names)]
    for n in (1, 2, 3):
        cells = [f"r{n}"] * named + [f"{n}e6", f"{n}e7"] + [f"{n}"] * (not wide) + [f"{n}"] * count
        lines.append(",".join(cells))
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines))
    begun = time.process_time()
    assert read(path).n_rows == 3
    assert time.process_time() - begun < 15
