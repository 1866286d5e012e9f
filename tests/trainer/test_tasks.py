"""Verifiers: every written answer is right, every mutation that changes the meaning is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t2jax.trainer.corpus import PRESETS, Corpus
from t2jax.trainer.hashing import Stream
from t2jax.trainer.tasks import TASKS, Causal, Knowledge, Spatial
from t2jax.trainer.tokens import EOS, Vocabulary

WORDS = Vocabulary()
CASES = [(preset, name) for preset in PRESETS for name in TASKS]
SMALL = Corpus("small")


def written(text):
    return WORDS.encode(text)


@pytest.mark.parametrize(("preset", "name"), CASES)
@pytest.mark.parametrize("long", [False, True])
def test_every_true_answer_is_accepted(preset, name, long):
    corpus = Corpus(preset)
    documents = corpus.documents(name, 300, long=long, split="chance")
    assert all(corpus.check(name, prompt, answer) for prompt, answer in documents)


@pytest.mark.parametrize(("preset", "name"), CASES)
def test_check_accepts_the_listed_answers_and_no_single_token_mutation(preset, name):
    corpus = Corpus(preset)
    rng = np.random.default_rng(0)
    for prompt, answer in corpus.documents(name, 25, split="chance"):
        accepted = {tuple(words) for words in corpus.task(name).accepted(prompt)}
        assert tuple(answer) in accepted
        for words in accepted:
            assert words[-1] == EOS
            assert corpus.check(name, prompt, words)
            # what a sampler leaves behind eos does not count
            assert corpus.check(name, prompt, [*words, 0, 5])
        for place in range(len(answer) - 1):
            for token in rng.integers(3, 128, 6).tolist():
                changed = [*answer[:place], token, *answer[place + 1 :]]
                right = tuple(changed) in accepted
                assert corpus.check(name, prompt, changed) == right, WORDS.decode(changed)
            shorter = [*answer[:place], *answer[place + 1 :]]
            assert corpus.check(name, prompt, shorter) == (tuple(shorter) in accepted)
            longer = [*answer[:place], answer[place], *answer[place:]]
            assert corpus.check(name, prompt, longer) == (tuple(longer) in accepted)
        assert not corpus.check(name, prompt, answer[:-1])  # never said stop
        assert not corpus.check(name, prompt, [EOS])
        assert not corpus.check(name, prompt, [])


@pytest.mark.parametrize("name", TASKS)
def test_a_malformed_question_has_no_answer(name):
    task = SMALL.task(name)
    for text in ("", "<bos> :", "<bos> + + :", "<bos> ba :", "capital ba ba", "<bos> sum 1 from :"):
        prompt = written(text)
        assert task.accepted(prompt) == []
        assert not task.check(prompt, [EOS])
        task.difficulty(prompt)


@pytest.mark.parametrize("name", TASKS)
def test_numpy_and_jax_write_the_same_documents(name):
    task = SMALL.task(name)
    counters = np.arange(200, dtype=np.uint32)
    ours = task.sample(Stream(np, 3, counters))
    # compile quickly rather than well
    theirs = jax.jit(
        lambda c: task.sample(Stream(jnp, 3, c)).tokens,
        compiler_options={"xla_backend_optimization_level": 0},
    )(counters)
    assert theirs.dtype == jnp.uint8
    assert (ours.tokens == np.asarray(theirs)).all()
    assert ours.answers.shape == (len(ours.tokens),)


def test_arithmetic_checks_each_running_value():
    prompt = written("<bos> 12 + 7 - 4 :")
    assert SMALL.check("arithmetic", prompt, written("19 = 15 <eos>"))
    for wrong in ("15", "18 = 15", "19 = 16", "19 = 15 = 15", "19 = 015", "19 + 15", "= 15"):
        assert not SMALL.check("arithmetic", prompt, written(f"{wrong} <eos>"))
    assert SMALL.task("arithmetic").accepted(prompt) == [written("19 = 15 <eos>")]


def test_arithmetic_agrees_with_python():
    for prompt, answer in SMALL.documents("arithmetic", 500):
        asked = WORDS.decode(prompt[1:-1]).replace(" ", "")
        values = WORDS.decode(answer[:-1]).replace(" ", "").split("=")
        assert eval(asked) == int(values[-1])
        assert len(values) == sum(asked.count(sign) for sign in "+-")


def test_pairs_accepts_any_pair_in_range():
    prompt = written("<bos> sum 40 from 10 :")
    accepted = SMALL.task("pairs").accepted(prompt)
    assert len(accepted) == 16
    for right in ("10 + 30", "25 + 15", "17 + 23"):
        assert written(f"{right} <eos>") in accepted
    for wrong in ("9 + 31", "26 + 14", "10 + 31", "30 - 10", "010 + 30", "10 + 20 + 10", "40"):
        assert not SMALL.check("pairs", prompt, written(f"{wrong} <eos>"))
    assert len(SMALL.task("pairs").accepted(written("<bos> sum 0 from 0 :"))) == 1
    # both members count: none of them may be larger than the sum
    assert not SMALL.check("pairs", written("<bos> sum 3 from 0 :"), written("4 + 0 <eos>"))


def test_training_shows_every_pair():
    seen = {
        tuple(answer)
        for prompt, answer in SMALL.documents("pairs", 20_000)
        if prompt == written("<bos> sum 3 from 0 :")
    }
    assert len(seen) == 4


def test_spatial_follows_the_text_not_the_world():
    prompt = written("<bos> ka in mo . ba in be . bi in ka . where bi :")
    assert SMALL.task("spatial").accepted(prompt) == [written("ka mo <eos>")]
    for wrong in ("mo ka", "ka", "mo", "ka mo be", "be"):
        assert not SMALL.check("spatial", prompt, written(f"{wrong} <eos>"))
    # a loop in the text ends the path instead of the program
    loop = written("<bos> ka in mo . mo in ka . where ka :")
    assert len(SMALL.task("spatial").accepted(loop)) == 1


def test_causal_accepts_both_effects_at_every_link():
    task = SMALL.task("causal")
    counts = [
        (task.difficulty(prompt), len(task.accepted(prompt)))
        for prompt, _ in SMALL.documents("causal", 300)
    ]
    assert {links for links, _ in counts} == {1, 2, 3}
    assert all(1 <= count <= 2**links for links, count in counts)
    assert any(count == 8 for _, count in counts)


def test_causal_shows_the_usual_effect_three_times_in_four():
    documents = Corpus("small").documents("causal", 40_000)
    prompt = max({tuple(p) for p, _ in documents[:500]}, key=lambda p: sum(
        list(p) == q for q, _ in documents[:500]))  # fmt: skip
    answers = [tuple(answer) for p, answer in documents if tuple(p) == prompt]
    usual = max(answers.count(answer) for answer in set(answers)) / len(answers)
    assert abs(usual - 0.75) < 4 * np.sqrt(0.1875 / len(answers))


def test_knowledge_is_asked_as_often_as_zipf_says():
    task = SMALL.task("knowledge")
    octaves = np.bincount([task.difficulty(p) for p, _ in SMALL.documents("knowledge", 4000)])
    assert len(octaves) >= 15
    # the octaves of Zipf's law are equally likely, but for the first ones
    share = octaves[3:15] / octaves[3:15].sum()
    assert np.abs(share - 1 / 12).max() < 0.02


def test_facts_belong_to_the_world():
    prompt = written("<bos> capital bu ro :")
    answers = {str(Knowledge(world=world).accepted(prompt)) for world in range(6)}
    assert len(answers) > 1


def test_sizes_that_cannot_be_named_are_refused():
    for wrong in (
        lambda: Knowledge(facts=40_000, syllables=2),
        lambda: Causal(events=5000, syllables=2),
        lambda: Causal(links=(0.1,) * 10),
        lambda: Spatial(links=(0.05,) * 20),
    ):
        with pytest.raises(ValueError, match=r"name|links"):
            wrong()
