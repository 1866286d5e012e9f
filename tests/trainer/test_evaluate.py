"""Likelihoods are exact, samples agree with them, and verifiers decide."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import t2jax as t2
from t2jax.errors import InputError
from t2jax.trainer import evaluate, exam, model
from t2jax.trainer.batches import Questions
from t2jax.trainer.config import ModelConfig, TrainConfig
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.train import Trainer

CORPUS = Corpus("tiny")
SHAPE = ModelConfig(d_model=8)


@functools.cache
def trained():
    """A model that has learnt enough to be right now and then."""
    trainer = Trainer(TrainConfig(model=SHAPE, tokens=250_000, batch_rows=12), CORPUS)
    plan = trainer.plan()
    return trainer.run(trainer.init(), int(plan.stop), plan)[0].params


@functools.cache
def asked(per_task: int = 40) -> Questions:
    return CORPUS.questions(per_task)


def plain_log_prob(params, questions: Questions, answer: int) -> float:
    """One document at a time, unpacked and unpadded, tokens added up in a loop."""
    owner = questions.owner[answer]
    start = questions.prompt_lengths[owner]
    document = np.concatenate(
        [
            questions.prompts[owner, :start],
            questions.answers[answer, : questions.answer_lengths[answer]],
        ]
    )
    logits = np.asarray(model.apply(params, SHAPE, jnp.asarray(document)[None])[0], np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return sum(log_p[t - 1, document[t]] for t in range(start, len(document)))


def test_answer_log_probs_are_those_of_each_document_alone():
    questions = asked()
    found = evaluate.answer_log_probs(trained(), SHAPE, questions)
    assert found.dtype == np.float64
    places = np.random.default_rng(0).choice(len(questions.owner), 4, replace=False)
    plain = [plain_log_prob(trained(), questions, place) for place in places]
    np.testing.assert_allclose(found[places], plain, atol=2e-4)


def test_the_likelihood_of_a_question_is_that_of_all_its_accepted_answers():
    questions = asked()
    log_probs = evaluate.answer_log_probs(trained(), SHAPE, questions)
    nll = evaluate.likelihood(trained(), SHAPE, questions)
    sizes = np.bincount(questions.owner)
    assert sizes.max() > 5
    for question in (0, int(np.argmax(sizes))):
        own = log_probs[questions.owner == question]
        assert nll[question] == pytest.approx(-np.log(np.exp(own).sum()))
    assert (nll >= 0).all()


def test_a_model_that_knows_nothing_gives_every_token_one_chance_in_the_vocabulary():
    nothing = jax.tree.map(jnp.zeros_like, model.initialise(SHAPE, jax.random.key(0)))
    questions = asked()
    nll = evaluate.likelihood(nothing, SHAPE, questions)
    each = np.exp(-questions.answer_lengths * np.log(128.0))
    exact = -np.log(np.bincount(questions.owner, weights=each))
    np.testing.assert_allclose(nll, exact, rtol=1e-6)


def test_the_likelihood_does_not_depend_on_what_else_is_asked():
    questions = asked()
    nll = evaluate.likelihood(trained(), SHAPE, questions)
    for task in ("pairs", "causal"):
        alone = evaluate.likelihood(trained(), SHAPE, evaluate.select_tasks(questions, [task]))
        np.testing.assert_allclose(alone, nll[questions.task == task], atol=1e-4)


def test_documents_longer_than_a_training_row_are_asked_too():
    short = dataclasses.replace(SHAPE, seq_len=8)
    nll = evaluate.likelihood(trained(), short, asked())
    np.testing.assert_allclose(nll, evaluate.likelihood(trained(), SHAPE, asked()), atol=1e-4)


def test_training_makes_the_accepted_answers_likelier_in_every_task():
    questions = asked()
    fresh = model.initialise(SHAPE, jax.random.key(0))
    before = evaluate.task_means(questions, evaluate.likelihood(fresh, SHAPE, questions))
    after = evaluate.task_means(questions, evaluate.likelihood(trained(), SHAPE, questions))
    assert list(after) == list(CORPUS.task_names)
    assert all(after[task] < before[task] for task in after)


def z_scores(samples: int, count: int, temperature: float = 1.0):
    """Standard scores of counted successes, and that of all of them together.

    Of questions that expect at least one success and one failure: elsewhere a score is far from
    normal.
    """
    asked_all = CORPUS.questions(700)
    nll = evaluate.likelihood(trained(), SHAPE, asked_all, temperature=temperature)
    chance = np.exp(-nll)
    fair = np.flatnonzero(samples * chance * (1 - chance) >= 1)
    assert len(fair) >= count
    fair = np.sort(np.random.default_rng(6).choice(fair, count, replace=False))
    questions = evaluate.select(asked_all, fair)
    assert {"pairs", "causal", "spatial"} <= set(questions.task.tolist())
    found = evaluate.sampled(
        trained(), SHAPE, questions, samples=samples, key=jax.random.key(5),
        temperature=temperature,
    )  # fmt: skip
    chance = chance[fair]
    variance = samples * chance * (1 - chance)
    total = (found.sum() - samples * chance.sum()) / np.sqrt(variance.sum())
    return (found - samples * chance) / np.sqrt(variance), total


def check_scores(scores, total):
    assert abs(scores.mean()) < 4 / np.sqrt(len(scores))
    assert 0.85 < scores.var() < 1.2
    assert abs(total) < 4


def test_sampled_successes_are_binomial_with_the_exact_chance():
    check_scores(*z_scores(samples=256, count=500))


@pytest.mark.slow
def test_sampled_successes_are_binomial_over_a_thousand_questions():
    check_scores(*z_scores(samples=512, count=1000))


def test_temperature_enters_samples_and_likelihood_alike():
    check_scores(*z_scores(samples=128, count=400, temperature=0.6))
    warm = evaluate.likelihood(trained(), SHAPE, asked())
    cold = evaluate.likelihood(trained(), SHAPE, asked(), temperature=0.6)
    assert abs(cold - warm).max() > 0.1


def test_the_narrowest_nucleus_is_the_most_likely_answer():
    arguments = {"samples": 4, "key": jax.random.key(1)}
    narrow = evaluate.sampled(trained(), SHAPE, asked(), top_p=1e-6, **arguments)
    greedy = evaluate.sampled(trained(), SHAPE, asked(), temperature=0.0, **arguments)
    assert set(greedy.tolist()) == {0, 4}
    np.testing.assert_array_equal(narrow, greedy)


def test_the_verifiers_count_the_same_successes_as_the_accepted_answers():
    arguments = {"samples": 40, "key": jax.random.key(2)}
    listed = evaluate.sampled(trained(), SHAPE, asked(), **arguments)
    checked = evaluate.sampled(trained(), SHAPE, asked(), check=CORPUS.check, **arguments)
    assert listed.sum() > 20
    np.testing.assert_array_equal(listed, checked)


def test_a_different_number_of_samples_in_several_calls_is_counted_in_full():
    questions = evaluate.select_tasks(asked(), ["causal"])
    everything = evaluate.sampled(
        trained(), SHAPE, questions, samples=1025, key=jax.random.key(3),
        check=lambda task, prompt, answer: True,
    )  # fmt: skip
    assert set(everything.tolist()) == {1025}


def test_the_tree_of_answers_holds_what_a_set_of_answers_holds():
    rng = np.random.default_rng(4)
    count, width, stop = 30, 5, 2
    owner = np.sort(rng.integers(0, 10, count))
    owner[:10] = np.arange(10)
    owner.sort()
    lengths = rng.integers(1, width + 1, count)
    answers = rng.integers(3, 6, (count, width))  # few tokens, so that answers share beginnings
    answers[np.arange(count), lengths - 1] = stop
    answers[np.arange(width) >= lengths[:, None]] = 0
    ones = np.ones(10, np.int32)
    questions = Questions(
        task=np.array(["a"] * 10), difficulty=ones, prompts=ones[:, None], prompt_lengths=ones,
        answers=answers, answer_lengths=lengths, owner=owner, names=np.arange(10).astype(str),
    )  # fmt: skip
    tokens = rng.integers(2, 6, (10, 4000, width))
    ended = np.cumsum(tokens == stop, axis=-1)
    tokens = np.where((ended > 1) | ((ended == 1) & (tokens != stop)), 0, tokens)
    held = evaluate._Trie.grow(questions, 128).holds(tokens)
    accepted = {(o, tuple(a[:n])) for o, a, n in zip(owner, answers, lengths, strict=True)}
    plain = [[(q, tuple(t[t > 0])) in accepted and stop in t for t in tokens[q]] for q in range(10)]
    assert held.any()
    np.testing.assert_array_equal(held, plain)


def test_tables_hold_what_was_measured(tmp_path):
    questions = asked()
    cards = [{"run": "a", "params": 5120, "tokens": 500_000, "trunk": "t", "more": 1}]
    nll = evaluate.likelihood(trained(), SHAPE, questions)
    table = evaluate.question_table(questions, cards, nll=nll[None])
    table.write(tmp_path / "questions.parquet")
    again = t2.read(tmp_path / "questions.parquet")
    np.testing.assert_array_equal(again.nll, nll[None])
    assert again.params_definition == "matrices+head"
    assert again.task is not None
    assert again.task.tolist() == questions.task.tolist()
    found = evaluate.sampled(trained(), SHAPE, questions, samples=16, key=jax.random.key(0))
    counts = evaluate.question_table(questions, cards, successes=found[None], trials=16)
    assert counts.pass_at_k([4])[0, 0] == t2.pass_at_k(found, 16, 4).mean()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda q: evaluate.likelihood(trained(), SHAPE, q, temperature=0), "temperature is 0"),
        (
            lambda q: evaluate.likelihood(trained(), dataclasses.replace(SHAPE, vocab_size=8), q),
            "the model knows 8 tokens",
        ),
        (
            lambda q: evaluate.likelihood(trained(), SHAPE, q._replace(owner=q.owner + 1)),
            "knowledge-0 has no accepted answer",
        ),
        (
            lambda q: evaluate.sampled(trained(), SHAPE, q, samples=0, key=jax.random.key(0)),
            "samples is 0",
        ),
        (lambda q: evaluate.select_tasks(q, ["chess"]), "the tasks are knowledge"),
        (lambda q: evaluate.question_table(q, [{}], nll=np.zeros((1, 2))), "no 'run'"),
        (lambda q: evaluate.question_table(q, []), "NLLs or counts"),
    ],
)
def test_errors_say_what_to_do(call, words):
    with pytest.raises(InputError, match=words):
        call(asked())


def test_held_out_loss_is_the_mean_over_all_loss_tokens_whatever_the_blocks(monkeypatch):
    config = ModelConfig(d_model=8)
    params = model.initialise(config, jax.random.key(0))
    batch = Corpus("tiny").rows(0, 7)
    _, seen = model.loss(params, config, batch, z_loss=0.0)
    for logits in (2**13, 2**14 * 3, 2**19):
        monkeypatch.setattr(exam, "_BLOCK_LOGITS", logits)
        found = exam.held_out_loss(params, config, batch)
        assert found == pytest.approx(float(seen["loss"]), rel=1e-5)
