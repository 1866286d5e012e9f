"""Tables as people have them: conditions, unnamed runs, seeds, frames of other kinds, oddities."""

import pandas as pd
import pyarrow as pa
import pytest
from made_logs import given

import t2jax as t2
from t2jax.errors import InputError
from t2jax.observations import read

GRID = pd.DataFrame(
    {
        "dataset": ["web", "web", "web", "books", "books", "books"],
        "role": ["ladder", "ladder", "target", "ladder", "ladder", "target"],
        "outlier": [False, False, True, False, False, False],
        "xc": [1.0, 2.0, 20.0, 1.0, 2.0, 20.0],
        "params": [1e6, 2e6, 4e6, 1e6, 2e6, 4e6],
        "tokens": [2e7, 4e7, 8e7, 2e7, 4e7, 8e7],
        "loss": [4.01, 3.52, 3.03, 4.14, 3.65, 3.16],
    }
)


def refused(source, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("role == 'ladder'", [0, 1, 3, 4]),
        ('role != "ladder" and dataset == "web"', [2]),
        ("role in ['target', 'other'] or xc < 1.5", [0, 2, 3, 5]),
        ("role not in ('target',)", [0, 1, 3, 4]),
        ("not outlier", [0, 1, 3, 4, 5]),
        ("outlier == True", [2]),
        ("1 < xc <= 2", [1, 4]),
        ("tokens / params >= 20 and loss > -4 * -1", [0, 3]),
        ("(dataset == 'web') & ~(xc > 10)", [0, 1]),
        ("`xc` > 10", [2, 5]),
        ("'m' <= role", [2, 5]),
    ],
)
@pytest.mark.parametrize("form", ["frame", "csv", "parquet", "jsonl"])
def test_a_condition_keeps_its_rows_in_every_kind_of_table(where, kept, form, tmp_path):
    source = GRID
    if form != "frame":
        source = tmp_path / f"grid.{form}"
        if form == "csv":
            GRID.to_csv(source, index=False)
        elif form == "parquet":
            GRID.to_parquet(source)
        else:
            GRID.to_json(source, orient="records", lines=True)
    table = read(source, where=where)
    assert given(table.loss).tolist() == given(GRID.loss)[kept].tolist()
    assert f"({6 - len(kept)} row" in " ".join(table.notes)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("rolle == 'ladder'", "'rolle', which is no column"),
        ("role == ladder", "'ladder', which is no column; put texts in quotes"),
        ("role ==", "cannot be read"),
        ("__import__('os').system('true') == 0", "'__import__', which is no column"),
        ("role == 'nobody'", "no row meets"),
        ("params", "no row meets"),
        ("loss", "no row meets"),
        ("3", "no yes or no"),
        ("role > 3", "'ladder' is not a number"),
        ("role in dataset", "'in' of something that is no list"),
        ("loss is 4", "compares in a way"),
        ("sum(xc) > 1", "'sum', which is no column"),
        ("(" * 300 + "xc" + ")" * 300 + " > 1", "condition"),
    ],
)
def test_a_condition_that_says_nothing_is_refused_in_a_line(where, said):
    message = refused(GRID, where=where)
    assert said in message
    assert len(message.splitlines()) == 1


def test_runs_that_nobody_named_are_named_by_what_tells_them_apart():
    table = read(GRID)
    assert len(set(table.run)) == 6
    assert table.run[0] == "web-ladder-False-1M-20M"
    assert any("named the runs by 'dataset', 'role'" in note for note in table.notes)
    one = GRID[GRID.dataset == "web"].drop(columns=["role", "outlier"])
    grid = pd.concat([one, one.assign(tokens=one.tokens * 4, loss=one.loss - 0.3)])
    notes = " ".join(read(grid).notes)
    assert "6 runs share 3 models" in notes
    assert "trunk=params" in notes
    assert len(set(given(read(grid, columns="trunk=params").trunk))) == 3


def test_a_column_that_seems_to_name_the_runs_is_asked_for_and_not_taken():
    named = GRID.assign(model=list("abcdef"))
    assert "--columns run=model" in refused(named)
    # A family of models is no run: its members differ in size.
    assert len(set(read(GRID.assign(model="llama")).run)) == 6


def test_several_counts_of_parameters_are_asked_about():
    frame = GRID.rename(columns={"params": "n_params"}).assign(n_params_no_embed=GRID.params / 2)
    message = refused(frame)
    assert "which of 'n_params', 'n_params_no_embed' is N" in message
    assert read(frame, columns="params=n_params_no_embed").params[0] == 5e5


def test_seeds_are_runs_and_no_duplicates():
    frame = pd.DataFrame({"run": ["a", "a", "b"], "params": 1e6, "tokens": 2e7})
    frame = frame.assign(loss=[4.0, 4.1, 4.2], replicate=[0, 1, 0])
    table = read(frame)
    assert table.run.tolist() == ["a-0", "a-1", "b-0"]
    assert any("told apart by column 'replicate'" in note for note in table.notes)
    assert "repeats the run and tokens" in refused(frame.drop(columns="replicate"))


def test_names_lose_their_outer_spaces_and_are_told():
    frame = pd.DataFrame({"run": ["a", "a ", "b"], "params": 1e6, "tokens": [2e7, 4e7, 2e7]})
    table = read(frame.assign(loss=[4.0, 3.9, 4.2]))
    assert table.run.tolist() == ["a", "a", "b"]
    assert "took spaces off the ends of 1 names in column 'run'" in table.notes


def test_names_need_not_be_text():
    frame = pd.DataFrame({"run": [1, "1b", 2.0], "params": 1e6, "tokens": 2e7, "loss": 3.0})
    assert read(frame).run.tolist() == ["1", "1b", "2"]
    frame["run"] = pd.Categorical(["x", "y", "z"])
    assert read(frame).run.tolist() == ["x", "y", "z"]
    frame["run"] = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    assert len(set(read(frame).run)) == 3
    frame.columns = pd.Index(["run", "params", "tokens", 7])
    assert read(frame, columns="loss=7").n_rows == 3


def test_copies_under_other_names_are_noticed():
    frame = pd.DataFrame({"run": list("abc"), "params": 1e6, "tokens": 2e7})
    notes = " ".join(read(frame.assign(loss=[3.1234, 3.2, 3.1234])).notes)
    assert "2 rows agree with another run's" in notes
    assert "rows 0 and 2" in notes
    assert read(frame.assign(loss=[3.1, 3.2, 3.3])).notes == ()


def test_common_questions_are_kept_on_request():
    rows = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 2), ("c", 0), ("c", 1), ("c", 2)]
    frame = pd.DataFrame(rows, columns=["run", "question"])
    frame = frame.assign(params=1e6, tokens=2e7, nll=1.5)
    assert "lack a question" in refused(frame)
    table = read(frame, common_questions=True)
    assert given(table.question).tolist() == ["0", "2"]
    assert any("left out 1 of 3 questions" in note and "(2 rows)" in note for note in table.notes)


def test_arrow_tables_and_whatever_hands_out_arrow_columns_are_read():
    frame = GRID.assign(run=list("abcdef"))
    plain = read(frame).data_hash()
    arrow = pa.table(frame)
    assert read(arrow).data_hash() == plain
    view = arrow.set_column(arrow.column_names.index("run"), "run",
                            pa.array(list("abcdef"), pa.string_view()))  # fmt: skip
    assert read(view).data_hash() == plain

    class Other:
        def __arrow_c_stream__(self, requested_schema=None):
            return arrow.__arrow_c_stream__(requested_schema)

    assert read(Other()).data_hash() == plain
    assert "has no rows" in refused(arrow.slice(0, 0))


def test_frames_of_polars_are_read_lazy_ones_too():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = GRID.assign(run=list("abcdef"))
    rows = polars.DataFrame(frame.to_dict(orient="list"))
    assert read(rows).data_hash() == read(frame).data_hash()
    assert read(rows.lazy()).data_hash() == read(frame).data_hash()


LOSS = "run,params,tokens,loss\na,1e6,2e7,4.0\nb,2e6,2e7,3.0\n"


def test_a_spreadsheets_separator_line_is_no_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\n" + LOSS.replace(",", ";"))
    assert read(path).data_hash() == read(_csv()).data_hash()


def _csv() -> pd.DataFrame:
    return pd.DataFrame(
        {"run": ["a", "b"], "params": [1e6, 2e6], "tokens": 2e7, "loss": [4.0, 3.0]}
    )


def test_comments_are_passed_over_and_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("# made by hand\n" + LOSS.replace("b,", "# a second run\nb,") + "# end\n")
    table = read(path)
    assert table.data_hash() == read(_csv()).data_hash()
    assert "left out comments, which begin with # (3 rows)" in table.notes
    path.write_text("# only\n# comments\n")
    assert "holds comments only" in refused(path)
    path.write_text("# made by hand\n" + LOSS.replace("3.0", "three"))
    assert "line 4, column 'loss'" in refused(path)


@pytest.mark.parametrize("word", ["mean", "Average", "TOTAL:"])
def test_a_last_row_that_sums_up_is_named_for_what_it_is(word, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(LOSS + f"{word},1.5e6,2e7,3.5\n")
    message = refused(path)
    assert "line 4, column 'run'" in message
    assert "sums the others up" in message
    assert read(path, where=f"run != '{word}'").n_rows == 2


def test_workbooks_are_named_with_what_to_do(tmp_path):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"PK\x03\x04")
    assert "save the sheet as CSV" in refused(path)


def test_the_front_door_is_the_same():
    assert t2.read(GRID, where="xc > 10").n_rows == 2
