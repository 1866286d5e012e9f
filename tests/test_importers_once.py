"""What is in a log once is counted once, and what is in it twice is refused."""

import gzip

import made_logs as made
import pyarrow as pa
import pyarrow.parquet
import pytest
from made_logs import given, refused

from t2jax import importers

LINED = ("human_eval", "every_eval_ever", "lm_eval", "olmes", "plain_jsonl", "plain_csv")

ROWS = [{"run": m, "question": q, "correct": q} for m in made.MODELS for q in range(2)]


@pytest.mark.parametrize("log", made.LOGS)
def test_a_file_by_two_names_is_read_once(log, tmp_path):
    (tmp_path / "log").mkdir()
    found = made.LOGS[log](tmp_path / "log")
    tool = getattr(importers, found.tool)
    alone = tool(tmp_path / "log", made.RUNS, **found.options)
    (tmp_path / "link").symlink_to(tmp_path / "log", target_is_directory=True)
    again = tmp_path / "log" / ".." / "log"
    paths = [tmp_path / "log", again, tmp_path / "link", found.main, tmp_path / "link"]
    table = tool(paths, made.RUNS, **found.options)
    assert table.data_hash() == alone.data_hash()
    assert "repeat others" not in " ".join(table.notes)


def test_a_link_in_a_folder_to_a_file_of_it_is_read_once(tmp_path):
    path = made.lines(tmp_path / "s.jsonl", ROWS)
    (tmp_path / "t.jsonl").symlink_to(path)
    table = importers.plain_samples(tmp_path, made.RUNS)
    assert given(table.trials).tolist() == [[1, 1]] * 2


@pytest.mark.parametrize("log", LINED)
def test_a_file_and_its_packed_twin_are_refused(log, tmp_path):
    found = made.LOGS[log](tmp_path)
    twin = found.main.with_name(f"{found.main.name}.gz")
    twin.write_bytes(gzip.compress(found.main.read_bytes()))
    tool = getattr(importers, found.tool)
    both = [tmp_path, twin] if log == "every_eval_ever" else tmp_path
    message = refused(tool, both, made.RUNS, **found.options)
    assert f"{found.main.name}.gz: is there beside '{found.main.name}'" in message
    assert "remove one" in message


def test_files_of_one_name_in_two_folders_are_two_draws(tmp_path):
    for folder, ending in (("first", ""), ("second", ".gz")):
        made.lines(tmp_path / folder / f"s.jsonl{ending}", ROWS)
    table = importers.plain_samples(tmp_path, made.RUNS)
    assert given(table.trials).tolist() == [[2, 2]] * 2


def test_a_packed_log_of_losses_beside_its_twin_is_refused(tmp_path):
    (tmp_path / "a.log").write_text("x")
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(b"x"))
    assert "beside 'a.log'" in refused(importers.levanter, tmp_path, made.RUNS)


# Columns and keys ---------------------------------------------------------------------------


def test_a_column_of_samples_that_is_there_twice_is_refused_where_it_is_read(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("run,question,correct, correct\nm-1,1,1,0\n")
    message = refused(importers.plain_samples, path, made.RUNS)
    assert "s.csv, column 'correct': the column appears 2 times in the header" in message
    path.write_text("run,question,right,right\nm-1,1,1,0\n")
    again = refused(importers.plain_samples, path, made.RUNS, columns="correct=right")
    assert "column 'right'" in again
    path.write_text("run,question,correct,note,note\norg/m-1,1,1,0,1\norg/m-2,1,1,,\n")
    assert importers.plain_samples(path, made.RUNS).n_questions == 1


@pytest.mark.parametrize("log", [log for log in made.LOGS if log not in ("lighteval", "plain_csv")])
def test_a_key_that_is_there_twice_is_refused(log, tmp_path):
    found = made.LOGS[log](tmp_path)
    if found.main.suffix == ".eval":
        whole = made.inspect_log(made.MODELS[1], [["C", "I"], ["N", 1]])
        whole["samples"][0] = Twice(whole["samples"][0])
        made.inspect_zip(found.main, whole)
    else:
        text = found.main.read_text()
        start = text.rindex("{")
        end = text.index("}", start)
        twice = f"{text[:end]}, {text[start + 1 : end]}{text[end:]}"
        found.main.write_text(twice)
    message = refused(getattr(importers, found.tool), tmp_path, made.RUNS, **found.options)
    assert "a key appears twice" in message


class Twice(dict):
    """An object that is written with every key twice."""

    def items(self):
        return [*super().items(), *super().items()]


def test_a_key_that_is_there_twice_in_a_log_of_losses_is_refused(tmp_path):
    event = '{"tracker": "json_logger", "event": "log", "step": 1, "step": 2, "metrics": {}}'
    (tmp_path / "a.log").write_text(f"INFO {event}\n")
    message = refused(importers.levanter, tmp_path / "a.log", made.RUNS)
    assert "line 1: a key appears twice" in message
    (tmp_path / "a.jsonl").write_text('{"step": 1, "learning/loss": 2.0, "learning/loss": 3.0}\n')
    assert "a key appears twice" in refused(importers.maxtext, tmp_path / "a.jsonl", made.RUNS)


def test_a_column_of_lighteval_that_is_there_twice_is_refused(tmp_path):
    path = made.lighteval(tmp_path).main
    table = pyarrow.parquet.read_table(path)
    twice = table.append_column("metric", table.column("metric"))
    pyarrow.parquet.write_table(twice, path)
    message = refused(importers.lighteval, tmp_path, made.RUNS)
    assert "column 'metric': the column appears 2 times in the header" in message
    fields = [pa.array([1.0]), pa.array([0.0])]
    inside = pa.StructArray.from_arrays(fields, names=["acc", "acc"])
    pyarrow.parquet.write_table(pa.table({"metric": inside}), path)
    assert "is not a readable Parquet file" in refused(importers.lighteval, tmp_path, made.RUNS)
