"""Every trap of a real table is one line that names the place and the remedy."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest
from malformed import valid_frame

from t2jax.errors import InputError
from t2jax.observations import read

LOSS = "run,params,tokens,loss\na,1e6,2e7,4.0\na,1e6,6e7,3.5\nb,2e6,2e7,3.0\n"
NLL = (
    "run,params,tokens,task,question,nll\n"
    "a,1e6,2e7,t,0,1.5\na,1e6,2e7,t,1,2.5\nb,2e6,2e7,t,0,0.5\nb,2e6,2e7,t,1,2.0\n"
)
COUNTS = (
    "run,params,tokens,task,question,successes,trials\n"
    "a,1e6,2e7,t,0,1,8\na,1e6,2e7,t,1,0,8\nb,2e6,2e7,t,0,3,8\nb,2e6,2e7,t,1,8,8\n"
)


def refused(source, **options) -> str:
    """The message with which a table is refused."""
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def save(tmp_path):
    """Write a text (or bytes) and return its path."""

    def write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# One edit of a sound table, and what the message must hold: place, problem, remedy.
EDITS = [
    pytest.param(LOSS, "2e7,4.0", "2e7,four", ["line 2", "'loss'", "'four'", "plain number"]),
    pytest.param(LOSS, "6e7,3.5", "6e7,", ["line 3", "'loss'", "missing", "--drop-incomplete"]),
    pytest.param(LOSS, "6e7,3.5", "6e7,NaN", ["line 3", "'loss'", "missing", "--drop-incomplete"]),
    pytest.param(LOSS, "6e7,3.5", "6e7,inf", ["line 3", "'loss'", "infinite", "--drop-incomplete"]),
    pytest.param(LOSS, "6e7,3.5", "6e7,1e999", ["line 3", "'loss'", "infinite"]),
    pytest.param(LOSS, "\nb,", "\n,", ["line 4", "'run'", "missing"]),
    pytest.param(LOSS, "2e7,3.0", "2e7,-3.0", ["line 4", "'loss'", "above 0"]),
    pytest.param(LOSS, "2e7,3.0", "2e7,0", ["line 4", "'loss'", "above 0"]),
    pytest.param(LOSS, "b,2e6", "b,-2e6", ["line 4", "'params'", "above 0", "overflow"]),
    pytest.param(LOSS, "b,2e6", "b,0", ["line 4", "'params'", "above 0"]),
    pytest.param(LOSS, "2e7,3.0", "0,3.0", ["line 4", "'tokens'", "above 0", "remove the row"]),
    pytest.param(LOSS, "2e7,3.0", "-1294967296,3.0", ["line 4", "'tokens'", "overflow"]),
    pytest.param(LOSS, "2e7,3.0", "1e30,3.0", ["line 4", "'tokens'", "unit"]),
    pytest.param(LOSS, "b,2e6,2e7", "b,2e6,20", ["line 4", "'tokens'", "--units tokens=1e"]),
    pytest.param(LOSS, "2e7,3.0", "20Mio,3.0", ["line 4", "'tokens'", "'20Mio'", "7B"]),
    pytest.param(LOSS, "2e7,3.0", '"20,000",3.0', ["line 4", "'tokens'", "plain number"]),
    pytest.param(LOSS, "2e7,3.0", '2e7,"3,5"', ["line 4", "'loss'", "point"]),
    pytest.param(
        LOSS, "a,1e6,6e7", "a,1e6,2e7", ["line 3", "repeats the run and tokens of line 2"]
    ),
    pytest.param(LOSS, "a,1e6,6e7", "a,3e6,6e7", ["line 3", "'params'", "'a'", "3000000 here"]),
    pytest.param(LOSS, "2e7,3.0", "2e7", ["line 4", "3 values where the header has 4"]),
    pytest.param(LOSS, "2e7,3.0", "2e7,3.0,9", ["line 4", "5 values where the header has 4"]),
    pytest.param(LOSS, "\nb,2e6", '\n"b,2e6', ["line 4", "1 value where the header has 4"]),
    pytest.param(LOSS, "loss", "loss,loss", ["'loss'", "appears 2 times in the header"]),
    pytest.param(LOSS, "run,params", "run,Params", ["'params'", "--columns params=Params"]),
    pytest.param(LOSS, "run,params", "model,n_params", ["--columns run=model,params=n_params"]),
    pytest.param(LOSS, "tokens", "d_tokens", ["no column 'tokens'", "--columns tokens=d_tokens"]),
    pytest.param(LOSS, "loss", "val_loss", ["no column 'loss'", "--columns loss=val_loss"]),
    pytest.param(LOSS, "loss", "xyz", ["no column 'loss'", "'xyz'", "--columns"]),
    pytest.param(LOSS, "run,params,tokens,loss\n", "", ["numbers", "column names"]),
    pytest.param(NLL, "t,1,2.0", "t,1,-2.0", ["line 5", "'nll'", "at least 0", "probability"]),
    pytest.param(NLL, "t,1,2.0", "t,0,2.0", ["line 5", "repeats the run, tokens and question"]),
    pytest.param(NLL, "b,2e6,2e7,t,1,2.0\n", "", ["line 3", "'1'", "1 of 2 checkpoints"]),
    pytest.param(NLL, "question", "problem_idx", ["--columns question=problem_idx"]),
    pytest.param(NLL, "t,1,2.0", ",1,2.0", ["line 5", "'task'", "missing"]),
    pytest.param(COUNTS, "t,1,8,8", "t,1,9,8", ["line 5", "'successes'", "9 successes out of 8"]),
    pytest.param(COUNTS, "t,1,8,8", "t,1,-1,8", ["line 5", "'successes'", "at least 0"]),
    pytest.param(COUNTS, "t,1,8,8", "t,1,0,0", ["line 5", "'trials'", "above 0", "not asked"]),
    pytest.param(COUNTS, "t,1,8,8", "t,1,0.5,8", ["line 5", "'successes'", "whole number"]),
    pytest.param(COUNTS, "successes", "n_correct", ["--columns successes=n_correct"]),
    pytest.param(COUNTS, "trials", "n_samples", ["no column 'trials'", "trials=n_samples"]),
]


@pytest.mark.parametrize(("text", "old", "new", "said"), EDITS)
def test_one_wrong_place_is_named(save, text, old, new, said):
    assert text.count(old) >= 1
    read(save(text))
    at = text.rfind(old)
    message = refused(save(text[:at] + new + text[at + len(old) :]))
    for piece in ["table.csv", *said]:
        assert piece in message


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "t.csv", "empty"),
        (b"\n \n", "t.csv", "empty"),
        (b"", "t.jsonl", "empty"),
        (b"", "t.parquet", "Parquet"),
        (b"run,params,tokens,loss\n", "t.csv", "has a header and no rows"),
        (LOSS.replace(",", ";").encode(), "t.csv", "pass --separator ';'"),
        (LOSS.encode(), "t.tsv", "pass --separator ','"),
        (LOSS.replace(",", "\t").encode(), "t.csv", "pass --separator tab"),
        (LOSS.replace("b,", "bé,").encode("latin-1"), "t.csv", "line 4: is not UTF-8"),
        (LOSS.replace("run", "rün").encode("latin-1"), "t.csv", "line 1: is not UTF-8"),
        (LOSS.encode("utf-16"), "t.csv", "UTF-16"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "t.csv", "web page"),
        (bytes(range(256)) * 4, "t.csv", "binary"),
        (b"PK\x03\x04rest of a workbook", "t.csv", "zip"),
        (gzip.compress(LOSS.encode(), mtime=0), "t.csv", "gzip"),
        (gzip.compress(LOSS.encode(), mtime=0)[:-9], "t.csv.gz", "cannot be read"),
        (LOSS.encode(), "t.csv.gz", "cannot be read"),
        (LOSS.encode(), "t.xlsx", "save the sheet as CSV"),
        (LOSS.encode(), "t", "without a suffix"),
        (LOSS.encode(), "t.parquet", "not a readable Parquet file"),
        (LOSS.encode(), "t.jsonl", "line 1: is not a JSON object"),
        (b'{"run": "a"}\n[1]\n', "t.jsonl", "line 2: is not a JSON object"),
        (b'{"run": "a", "run": "b"}\n', "t.jsonl", "a key appears twice"),
        (b'[{"run": "a"}]', "t.csv", "JSON"),
    ],
)
def test_what_is_no_table_is_named(save, content, name, said):
    message = refused(save(content, name))
    assert said in message
    assert name in message


def test_missing_files_and_folders_are_named(tmp_path):
    assert "no such file" in refused(tmp_path / "none.csv")
    assert "is a folder" in refused(tmp_path)
    assert "no such file" in refused("x" * 5000 + ".csv")
    assert "cannot read a table from a list" in refused([1, 2])


def test_duplicate_columns_are_refused_only_where_they_are_read(save):
    lines = LOSS.splitlines()
    header, rows = lines[0], lines[1:]
    twice = "\n".join([header + ",loss", *(row + ",1.0" for row in rows)])
    assert "column 'loss': the column appears 2 times" in refused(save(twice))
    unread = "\n".join([header + ",x,x", *(row + ",1.0,2.0" for row in rows)])
    assert read(save(unread)).n_rows == 3


def test_lines_swallowed_by_a_quote_are_not_lost_in_silence(save):
    text = (
        LOSS.replace("loss\n", "loss,note\n").replace(".0\n", '.0,"\n').replace("3.5\n", "3.5,x\n")
    )
    assert "line 2: a quoted value runs over several lines" in refused(save(text))


def test_blank_lines_are_skipped_and_counted(save):
    text = "\n\n" + LOSS.replace("\nb,2e6", "\n\n\nb,abc")
    assert "line 8, column 'params': 'abc'" in refused(save(text))
    assert read(save("\n" + LOSS.replace("\nb", "\n\nb") + "\n\n")).n_rows == 3


def test_byte_order_marks_and_line_ends_do_not_matter(save):
    plain = read(save(LOSS)).data_hash()
    assert read(save(b"\xef\xbb\xbf" + LOSS.encode())).data_hash() == plain
    for end in ("\r\n", "\r"):
        assert read(save(LOSS.replace("\n", end))).data_hash() == plain


@pytest.mark.parametrize(
    ("scale", "column", "remedy"),
    [
        ({"tokens": 1e-9}, "tokens", "--units tokens=1e9"),
        ({"tokens": 1e-6}, "tokens", "--units tokens=1e6"),
        ({"params": 1e-6}, "params", "--units params=1e6"),
        ({"params": 1e-9}, "params", "--units params=1e9"),
        ({"params": 1e-9, "tokens": 1e-9}, "params", "--units params=1e9"),
        ({"params": 1e-6, "tokens": 1e-9}, "tokens", "--units tokens=1e9"),
    ],
)
def test_units_are_suspected_and_the_remedy_works(scale, column, remedy):
    params = np.array([150e6, 400e6, 1.2e9])
    frame = pd.DataFrame({"run": list("abc"), "params": params, "tokens": 20 * params})
    frame["loss"] = [4.0, 3.5, 3.0]
    small = frame.assign(**{name: frame[name] * factor for name, factor in scale.items()})
    message = refused(small)
    assert f"column '{column}'" in message
    assert remedy in message
    units = {name: 1 / factor for name, factor in scale.items()}
    np.testing.assert_allclose(read(small, units=units).tokens, frame["tokens"], rtol=1e-12)


def test_one_row_in_another_unit_is_found(save):
    text = LOSS.replace("a,1e6,6e7", "a,1e6,0.06")
    assert "line 3, column 'tokens'" in refused(save(text))


def test_a_stated_unit_settles_a_doubt_about_size(save):
    text = "run,params,tokens,loss\na,50,900,4\nb,90,2000,3\n"
    assert "params=1 if the number is right" in refused(save(text))
    assert read(save(text), units="params=1,tokens=1").params.tolist() == [50, 90]


def test_log_likelihoods_are_recognised_by_their_sign(save):
    flipped = NLL.replace(",1.5", ",-1.5").replace(",2.5", ",-2.5")
    flipped = flipped.replace(",0.5", ",-0.5").replace(",2.0", ",-2.0")
    assert "change its sign" in refused(save(flipped))


def test_frames_count_rows_from_zero_and_parquet_from_one(tmp_path):
    frame = valid_frame("loss")
    frame.loc[2, "loss"] = np.nan
    assert "the DataFrame, row 2, column 'loss'" in refused(frame)
    frame.to_parquet(tmp_path / "t.parquet")
    assert "row 3, column 'loss'" in refused(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    assert "line 3, column 'loss'" in refused(tmp_path / "t.jsonl")


def test_integers_beyond_64_bits_are_numbers():
    frame = valid_frame("loss").drop(columns="trunk").astype({"tokens": object})
    frame["tokens"] = [2 * 10**7, 10**8] * 3
    table = read(frame)
    assert table.tokens.tolist() == [2e7, 1e8] * 3
    # 6ND of these overflows a 64-bit integer.
    large = read(frame.assign(params=10**12, run="a", tokens=[10**12 + i for i in range(6)]))
    assert (large.train_flops > 2.0**63).all()


def test_too_small_k_is_refused():
    frame = valid_frame("samples").assign(samples=[0.5, 1] * 6)
    assert "column 'samples': 0.5 where samples must be at least 1" in refused(frame)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": "parms=x"}, "'parms', which is not one of ours"),
        ({"columns": "n_params=params"}, "write params=n_params"),
        ({"columns": "params=nope"}, "no column 'nope'"),
        ({"columns": "params"}, "cannot read 'params'"),
        ({"columns": "params=tokens"}, "one column cannot be two numbers"),
        ({"columns": {"nll": "loss"}}, "no column 'question'"),
        ({"units": "tokens=0"}, "not a positive number"),
        ({"units": "tokens=many"}, "not a positive number"),
        ({"units": "run=1"}, "no number column of ours"),
        ({"units": "samples=2"}, "no such column was read"),
        ({"separator": "--"}, "not one plain character"),
    ],
)
def test_wrong_options_are_named(save, options, said):
    assert said in refused(save(LOSS), **options)


def test_nothing_is_dropped_unasked_and_the_drop_is_told(save):
    text = LOSS.replace("6e7,3.5", "6e7,")
    assert "leave out 1 such row of 3" in refused(save(text))
    table = read(save(text), drop_incomplete=True)
    assert table.n_rows == 2
    assert table.notes == ("left out rows with a missing or infinite value (1 row)",)


def test_dropping_everything_is_refused(save):
    text = "run,params,tokens,loss\na,1e6,2e7,\n"
    assert "no complete row" in refused(save(text), drop_incomplete=True)
    ragged = NLL.replace("t,0,0.5", "t,2,0.5").replace("t,1,2.0", "t,3,2.0")
    assert "no checkpoint has all the questions" in refused(save(ragged), drop_incomplete=True)


def test_several_tasks_in_a_loss_table_ask_for_one(save):
    text = "run,params,tokens,task,loss\na,1e6,2e7,x,4\na,1e6,2e7,y,3\nb,2e6,2e7,x,2\n"
    assert "--task" in refused(save(text))
    table = read(save(text), task="x")
    assert table.loss is not None
    assert table.loss.tolist() == [4, 2]
    assert "left out other tasks (1 row)" in table.notes
    assert "its tasks are 'x', 'y'" in refused(save(text), task="z")


def test_names_are_text_whatever_they_look_like(save):
    text = "run,params,tokens,loss\n007,1e6,2e7,4\n7,2e6,2e7,3\nNA,3e6,2e7,3\n"
    assert read(save(text)).run.tolist() == ["007", "7", "NA"]


def test_bits_are_told_from_nats():
    frame = pd.DataFrame({"run": ["a", "b"], "params": [1e6, 2e6], "tokens": [2e7, 4e7],
                          "bpb": [1.5, 1.25]})  # fmt: skip
    with pytest.raises(InputError, match=r"pass --columns loss=bpb --units loss=bits$"):
        read(frame)
    taken = read(frame, columns="loss=bpb")
    assert any("'bpb' seems to count bits" in note for note in taken.notes)
    made = read(frame, columns="loss=bpb", units="loss=bits")
    np.testing.assert_allclose(np.asarray(made.loss), np.log(2) * frame["bpb"])
    assert not any("seems" in note for note in made.notes)
    with pytest.raises(InputError, match="the unit of 'tokens' is 'bits'"):
        read(frame, columns="loss=bpb", units="tokens=bits")


def test_misspelt_columns_are_named_with_what_they_probably_are(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,parms,tokns,los\na,1e6,2e7,3.1\nb,2e6,4e7,3.0\n")
    with pytest.raises(InputError, match="--columns params=parms,tokens=tokns,loss=los"):
        read(path)


@pytest.mark.parametrize("name", ["tokens_per_param", "tokens_std"])
def test_columns_that_count_something_else_are_not_offered(tmp_path, name):
    path = tmp_path / "runs.csv"
    path.write_text(f"run,params,{name},loss\na,1e6,20,3\nb,2e6,40,3\n")
    with pytest.raises(InputError, match="say with --columns which of"):
        read(path)


HEADER = "run,params,tokens,loss\n"
ROWS = {
    "one": HEADER + "#1,1e6,2e7,4.0\nb,2e6,4e7,3.0\n",
    "all": HEADER + "#1,1e6,2e7,4.0\n#2,2e6,4e7,3.0\n",
    "spaced": HEADER + "# 1,1e6,2e7,4.0\nb,2e6,4e7,3.0\n",
    "lacking": "run,params,tokens,loss,note\n#1,1e6,2e7,4.0,\nb,2e6,4e7,3.0,9\n",
    "questions": "run,task,params,tokens,question,nll\n#1,t,1e6,2e7,q,4.0\nb,t,2e6,4e7,q,3.0\n",
}


@pytest.mark.parametrize("text", ROWS.values(), ids=ROWS)
def test_a_row_that_begins_with_a_number_sign_is_asked_about(save, text):
    message = refused(save(text))
    assert "line 2: may be a row or a comment: it begins with '#" in message
    quoted = re.sub("(?m)^(#[^,]*)", r'"\1"', text)
    assert "write that name in double quotes where the line is a row" in message
    assert str(read(save(quoted)).run[0]).startswith("#")
    assert "begin the line with ## where it is a comment" in message
    table = read(save(text.replace("\n#", "\n##").replace("##2", "b")))
    assert table.run.tolist() == ["b"]
    assert any("left out comments" in note for note in table.notes)


@pytest.mark.parametrize("comment", ["# a, b, c, d", "#", "# 1, 2", "#,,,", "# lr, bs, 1e6, x"])
def test_a_comment_of_words_stays_one(save, comment):
    assert read(save(HEADER + f"a,1e6,2e7,4.0\n{comment}\nb,2e6,4e7,3.0\n")).n_rows == 2
    assert "has a header and no rows" in refused(save(HEADER + "# a, b, c, d\n"))
