"""A ladder on somebody's own text: rows held out, a folder of files, the user's questions."""

import csv
import dataclasses
import json
import pathlib

import numpy as np
import pytest

from t2jax import observations
from t2jax.cli import main
from t2jax.errors import InputError
from t2jax.trainer import checkpoint, evaluate, exam
from t2jax.trainer.ladder import OwnText, Size, material, presets
from t2jax.trainer.text import open_text

LENGTH = 64
QUICK = dataclasses.replace(
    presets.preset("smoke"), name="quick", sizes=(Size(d_model=4),), levels=(5e7, 1e8)
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of two files of text, and a file of questions beside it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "text" / "more").mkdir(parents=True)
    for part, name in enumerate(("a.jsonl", "more/b.jsonl")):
        lines = [{"text": f"the {n} of part {part}: {'na' * (n % 17)}"} for n in range(150)]
        (folder / "text" / name).write_text("\n".join(map(json.dumps, lines)))
    asked = [{"prompt": f"the {n} of ", "answer": "part 0"} for n in range(12)]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, asked)))
    return folder


def rows_of(batch) -> set[bytes]:
    return {row.tobytes() for row in np.asarray(batch.tokens)}


def test_what_is_held_out_is_never_trained_on(corpus: pathlib.Path):
    source = open_text(corpus / "text", seq_len=LENGTH, held_out=9)
    whole = open_text(corpus / "text", seq_len=LENGTH)
    held = rows_of(source.held_out())
    assert len(held) == 9
    assert source.rows_per_epoch + 9 == whole.rows_per_epoch
    for seed in (0, 1):
        epoch = source.with_seed(seed).rows(0, 2 * source.rows_per_epoch)
        assert rows_of(epoch) | held == rows_of(whole.rows(0, whole.rows_per_epoch))
        assert not rows_of(epoch) & held
        assert rows_of(source.with_seed(seed).held_out()) == held
    first, second = (source.with_seed(seed) for seed in (0, 1))
    assert first.fingerprint() != second.fingerprint()
    assert (
        first.fingerprint() == open_text(corpus / "text", seq_len=LENGTH, held_out=9).fingerprint()
    )


def test_at_most_a_tenth_is_held_out_and_a_text_must_have_that(tmp_path: pathlib.Path):
    (tmp_path / "t.txt").write_text("na" * 1000)
    source = open_text(tmp_path / "t.txt", seq_len=LENGTH, held_out=1000)
    assert len(source.held_out().tokens) == 3
    with pytest.raises(InputError, match="a text of 4 rows is too short to hold one out"):
        open_text(tmp_path / "t.txt", seq_len=512, held_out=1)


def test_a_folder_is_its_files_one_behind_another(corpus: pathlib.Path, tmp_path: pathlib.Path):
    parts = [corpus / "text" / name for name in ("a.jsonl", "more/b.jsonl")]
    (tmp_path / "one.jsonl").write_text("\n".join(part.read_text() for part in parts))
    one, both = (open_text(p, seq_len=LENGTH) for p in (tmp_path / "one.jsonl", corpus / "text"))
    assert (one.rows(0, 40).tokens == both.rows(0, 40).tokens).all()
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    for place in range(2):
        np.save(arrays / f"{place}.npy", np.arange(100, dtype=np.uint16) + 50 * place)
    assert open_text(arrays, seq_len=LENGTH).vocab_size == 150
    (arrays / "c.txt").write_text("text")
    with pytest.raises(InputError, match="token arrays and text are mixed"):
        open_text(arrays, seq_len=LENGTH)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        open_text(tmp_path / "none", seq_len=LENGTH)


def test_a_ladder_on_own_text(
    corpus: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(presets.PRESETS, "quick", QUICK)
    out, questions = tmp_path / "ladder", corpus / "questions.jsonl"
    words = ["ladder", "--preset", "quick", "--data", corpus / "text", "--questions", questions]
    words += ["--seq-len", LENGTH, "--workers", 1, "--out", out]
    assert main([str(word) for word in words]) == 0
    table = observations.read(out / "questions.parquet")
    assert table.question is not None
    assert len(table.question) == 12
    text = OwnText(path=str(corpus / "text"), seq_len=LENGTH, questions=str(questions))
    with (out / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for place, row in enumerate(rows):
        config, params, _ = checkpoint.load_params(out / "points" / row["run"] / "params")
        loss = exam.held_out_loss(params, config, text.held_out(0))
        assert float(row["held_out_loss"]) == pytest.approx(loss)
        asked = text.asked(QUICK)
        assert asked is not None
        assert table.nll is not None
        nll = evaluate.likelihood(params, config, asked)
        np.testing.assert_allclose(table.nll[place], nll, rtol=1e-5)
        assert int(row["unique_tokens"]) == text.unique_tokens
    # another text in the folder of this one, and a process that has not read the first
    material._opened.cache_clear()
    (corpus / "text" / "a.jsonl").write_text(json.dumps({"text": "other words " * 900}))
    assert main([*map(str, words), "--resume"]) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--questions q.jsonl", "--questions says nothing without --data"),
        ("--seq-len 128", "--seq-len says nothing without --data"),
        ("--data t.txt --finetune", "--finetune needs the built-in corpus"),
        ("--data t.txt", "there is no such file"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["ladder", "--preset", "smoke", "--dry-run", *words.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
