"""Finetuning helps where it can, stops by the dev split alone, and never makes things worse."""

import functools
import json

import jax
import numpy as np
import pytest

from t2jax.cli import evaluate as evaluate_command
from t2jax.cli import finetune as finetune_command
from t2jax.cli._flags import parse
from t2jax.errors import InputError
from t2jax.trainer import checkpoint, evaluate, model, text
from t2jax.trainer.config import ModelConfig
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.finetune import FinetuneConfig, FinetuneResult, finetune, tune

CORPUS = Corpus("tiny")
SHAPE = ModelConfig(d_model=8)
# An untrained model has everything to learn, at the rate of pretraining.
RECIPE = FinetuneConfig(rates=(0.5,), max_tokens=60_000)
POOL, DEV = 256, 12


@functools.cache
def start():
    return model.initialise(SHAPE, jax.random.key(0))


@functools.cache
def tuned(mode: str) -> FinetuneResult:
    return finetune(start(), SHAPE, CORPUS, mode=mode, pool=POOL, dev_per_task=DEV, recipe=RECIPE)


def mean_nll(params, split: str) -> float:
    questions = CORPUS.questions(DEV, split=split)
    nll = evaluate.likelihood(params, SHAPE, questions)
    return float(np.mean(list(evaluate.task_means(questions, nll).values())))


@pytest.mark.parametrize("mode", ["ft", "sft"])
def test_it_improves_on_questions_that_it_has_not_seen(mode):
    result = tuned(mode)
    assert result.steps > 0
    assert result.dev_nll == pytest.approx(mean_nll(result.params, "dev"))
    assert result.dev_nll < 0.8 * result.dev_history[0].nll
    assert mean_nll(result.params, "eval") < 0.9 * mean_nll(start(), "eval")


def test_both_modes_read_the_same_rows_and_sft_counts_the_answers():
    looks = [{look.step: look.tokens for look in tuned(mode).dev_history} for mode in ("ft", "sft")]
    assert list(looks[0]) == list(looks[1]) == [0, 48, 96]
    answers = looks[1][48] / looks[0][48]
    assert 0.2 < answers < 0.6
    ft = tuned("ft")
    assert ft.document_tokens == pytest.approx(ft.tokens, rel=0.05)
    assert ft.spent_tokens == pytest.approx(ft.document_tokens * (64 + 16 + 32) / 96, rel=0.05)


def test_the_start_is_kept_where_nothing_helps_and_is_never_used_up():
    good = tuned("sft").params
    before = jax.tree.map(np.array, good)
    hot = FinetuneConfig(rates=(40.0, 30.0), max_tokens=1.0, warmup_steps=1)
    result = finetune(good, SHAPE, CORPUS, pool=POOL, dev_per_task=DEV, recipe=hot)
    assert len(result.dev_history) == 3  # one length at each rate
    assert (result.steps, result.tokens, result.rate) == (0, 0, 0.0)
    assert not result.converged
    for kept, old, now in zip(*map(jax.tree.leaves, (result.params, before, good)), strict=True):
        np.testing.assert_array_equal(kept, old)
        np.testing.assert_array_equal(now, old)


def test_it_stops_after_two_doublings_without_progress():
    patient = FinetuneConfig(rates=(0.5,), progress=0.99)
    result = finetune(start(), SHAPE, CORPUS, pool=POOL, dev_per_task=DEV, recipe=patient)
    assert [look.step for look in result.dev_history] == [0, 48, 96]
    assert result.converged
    # Progress decides when to stop, not what to keep.
    best = min(result.dev_history, key=lambda look: look.nll)
    assert result.steps == best.step > 0


def test_it_is_a_function_of_its_arguments():
    again = finetune(start(), SHAPE, CORPUS, mode="sft", pool=POOL, dev_per_task=DEV, recipe=RECIPE)
    assert again.card() == tuned("sft").card()
    for a, b in zip(*map(jax.tree.leaves, (again.params, tuned("sft").params)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_the_finetune_and_dev_splits_are_looked_at(monkeypatch):
    splits = set()
    plain = Corpus.documents

    def watched(self, task, count, *, split="eval", **more):
        splits.add(split)
        return plain(self, task, count, split=split, **more)

    monkeypatch.setattr(Corpus, "documents", watched)
    quick = FinetuneConfig(max_tokens=1.0)
    finetune(start(), SHAPE, CORPUS, pool=POOL + 1, dev_per_task=DEV, recipe=quick)
    assert splits == {"finetune", "dev"}


def test_a_users_own_questions_are_learnt(tmp_path):
    def write(name: str, numbers: range) -> str:
        lines = [json.dumps({"prompt": f"{n} is ", "answer": "odd" if n % 2 else "even"})
                 for n in numbers]  # fmt: skip
        (tmp_path / name).write_text("\n".join(lines))
        return str(tmp_path / name)

    files = write("train.jsonl", range(0, 400, 3)), write("dev.jsonl", range(1, 100, 7))
    source, dev = (text.open_text(file, seq_len=32) for file in files)
    shape = ModelConfig(d_model=8, vocab_size=source.vocab_size, seq_len=32)
    params = model.initialise(shape, jax.random.key(1))
    result = tune(params, shape, source, dev.questions(), RECIPE)
    assert result.dev_nll < 0.5 * result.dev_history[0].nll

    card = {"model": shape, "tokens": 1000, "run": "mine"}
    checkpoint.save_params(tmp_path / "mine", params, card)
    words = [str(tmp_path / "mine"), "--data", files[0], "--max-tokens", "1"]
    out = ["--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match="others to stop by"):
        run(finetune_command.Command, *words, *out)
    run(finetune_command.Command, *words, *out, "--dev", files[1])
    assert (tmp_path / "out" / "mine-sft" / "card.json").is_file()


def run(command, *words: str) -> None:
    config = parse(command, "evaluate", words)
    assert config is not None
    config.run()


def test_commands_go_from_checkpoint_to_table(tmp_path, capsys):
    card = {"model": SHAPE, "tokens": 1000, "run": "fresh"}
    checkpoint.save_params(tmp_path / "points" / "fresh" / "params", start(), card)
    data = ["--data", "corpus:tiny"]
    run(finetune_command.Command, str(tmp_path), *data, "--pool", "256", "--max-tokens", "1",
        "--out", str(tmp_path / "tuned"), "--json")  # fmt: skip
    (row,) = json.loads(capsys.readouterr().out)
    assert row["after"] < row["dev NLL before"]

    folders = [str(tmp_path), str(tmp_path / "tuned" / "fresh-sft")]
    table = str(tmp_path / "table.csv")
    run(evaluate_command.Command, *folders, *data, "--questions", "5", "--tasks", "causal,pairs",
        "--mode", "both", "--samples", "8", "--out", table)  # fmt: skip
    assert "fresh-sft" in capsys.readouterr().out
    import t2jax as t2

    nll, counts = t2.read(tmp_path / "table.nll.csv"), t2.read(tmp_path / "table.counts.csv")
    assert nll.run.tolist() == counts.run.tolist() == ["fresh", "fresh-sft"]
    assert nll.n_questions == counts.n_questions == 10
    assert nll.params[0] == SHAPE.params
    assert nll.mean_nll()[1] < nll.mean_nll()[0]
    with pytest.raises(InputError, match="holds no checkpoint"):
        run(evaluate_command.Command, str(tmp_path / "nothing"))


@pytest.mark.parametrize("field", [{"mode": "rl"}, {"rates": ()}, {"cooldown": 0}])
def test_settings_that_cannot_be_are_refused(field):
    with pytest.raises(InputError):
        FinetuneConfig(**field)
