"""The corpus: no state, same bits everywhere, splits apart, questions the same for everybody."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t2jax.errors import InputError
from t2jax.trainer.batches import loss_mask
from t2jax.trainer.corpus import PRESETS, Corpus, FinetuneSet
from t2jax.trainer.packing import shuffled
from t2jax.trainer.tokens import BOS, EOS

SMALL = Corpus("small")
# the first 256 rows and 20 questions of each kind, by preset
GOLDEN = {"tiny": "7a828cc3dcd0", "small": "e13321674938", "large": "789727cbc63e"}


def documents_of(batch):
    """All documents of packed rows, as tuples."""
    found = []
    for words, segments in zip(batch.tokens, batch.segments, strict=True):
        for number in range(1, segments.max() + 1):
            found.append(tuple(words[segments == number].tolist()))
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_rows_are_whole_documents_one_behind_another(preset):
    corpus = Corpus(preset)
    batch = corpus.rows(0, 200)
    assert batch.tokens.shape == (200, corpus.seq_len)
    assert batch.tokens.max() < corpus.vocab_size
    assert ((batch.tokens > 0) == (batch.segments > 0)).all()
    assert (np.diff(np.where(batch.segments > 0, batch.segments, 99), axis=1) >= 0).all()
    for document in documents_of(batch):
        assert (document[0], document[-1]) == (BOS, EOS)
        assert document.count(BOS) == document.count(EOS) == 1
    assert (batch.tokens > 0).mean() > 0.9


def test_answers_are_marked_from_the_colon_to_eos():
    batch = SMALL.rows(3, 100)
    for words, segments, answers in zip(*batch, strict=True):
        for number in range(1, segments.max() + 1):
            here = segments == number
            document, marked = words[here].tolist(), answers[here].tolist()
            colon = document.index(3)
            assert marked == [False] * (colon + 1) + [True] * (len(document) - colon - 1)
    assert not batch.answers[batch.segments == 0].any()


@pytest.mark.parametrize("first", [100, 2**32 - 3, 5 * 2**32 + 7])
def test_a_row_depends_on_its_number_only(first):
    whole, part = SMALL.rows(first, 8), SMALL.rows(first + 4, 4)
    for a, b in zip(whole, part, strict=True):
        assert (a[4:] == b).all()


def test_row_numbers_beyond_32_bits_do_not_wrap():
    assert (SMALL.rows(0, 4).tokens != SMALL.rows(2**32, 4).tokens).any()


def test_numpy_and_jax_make_the_same_rows():
    corpus = Corpus("tiny")
    traced = jax.jit(
        lambda first: corpus.rows(first, 64, xp=jnp),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    for first in (0, 1000, 2**32 - 64):
        for a, b in zip(corpus.rows(first, 64), traced(jnp.uint32(first)), strict=True):
            assert a.dtype == b.dtype
            assert (a == np.asarray(b)).all()


def test_the_text_has_not_changed():
    # resumed runs and joined tables rely on it: raise _VERSION in corpus.py when it must change
    digests = {}
    for preset in PRESETS:
        corpus = Corpus(preset)
        digest = hashlib.sha256(corpus.rows(0, 256).tokens.tobytes())
        for kind in ("standard", "long"):
            digest.update(corpus.questions(20, kind=kind).prompts.tobytes())
        digests[preset] = digest.hexdigest()[:12]
    assert digests == GOLDEN


def test_seed_and_mix_change_the_rows_and_the_fingerprint():
    others = [Corpus(seed=1), Corpus(mix=(1, 0, 0, 0, 0)), Corpus("tiny"), Corpus(seq_len=128)]
    prints = {SMALL.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(prints) == 5
    assert SMALL.fingerprint() == Corpus().fingerprint()
    assert (others[0].rows(0, 8).tokens != SMALL.rows(0, 8).tokens).any()


def test_the_mix_is_that_of_the_documents():
    only = Corpus(mix=(0, 0, 0, 0, 1)).rows(0, 50)
    assert all(document[1] == 22 for document in documents_of(only))  # sum


def test_tokens_per_row_is_the_mean_of_the_loss_mask():
    counted = loss_mask(SMALL.rows(50_000, 2000)).sum() / 2000
    assert abs(SMALL.tokens_per_row / counted - 1) < 0.01


def test_a_longer_row_is_filled_too():
    assert (Corpus(seq_len=256).rows(0, 50).tokens > 0).mean() > 0.9


def test_questions_do_not_depend_on_seed_or_mix():
    for a, b in zip(SMALL.questions(20), Corpus(seed=7).questions(20), strict=True):
        assert (a == b).all()


def test_questions_of_a_smaller_number_come_first():
    few, many = SMALL.questions(10), SMALL.questions(30)
    picked = np.isin(many.names, few.names)
    assert picked.sum() == 50
    width = few.prompts.shape[1]
    assert (many.prompts[picked][:, :width] == few.prompts).all()


@pytest.mark.parametrize("kind", ["standard", "long"])
def test_questions_are_different_and_well_formed(kind):
    asked = SMALL.questions(100, kind=kind)
    assert len(asked.prompts) == 500
    assert len({tuple(prompt) for prompt in asked.prompts.tolist()}) == 500
    assert len(set(asked.names.tolist())) == 500
    assert (np.diff(asked.owner) >= 0).all()
    assert set(asked.owner.tolist()) == set(range(500))
    assert ((asked.prompts > 0).sum(1) == asked.prompt_lengths).all()
    assert ((asked.answers > 0).sum(1) == asked.answer_lengths).all()
    for answer, length, question in zip(
        asked.answers, asked.answer_lengths, asked.owner, strict=True
    ):
        assert answer[length - 1] == EOS
        assert SMALL.check(str(asked.task[question]), asked.prompts[question], answer)


def test_long_questions_have_longer_answers():
    standard, long = SMALL.questions(100), SMALL.questions(100, kind="long")

    def mean_length(asked, name):
        return asked.answer_lengths[asked.task[asked.owner] == name].mean()

    for name in ("knowledge", "causal", "spatial", "pairs"):
        assert mean_length(long, name) > 1.05 * mean_length(standard, name)


def test_splits_ask_differently():
    prompts = [
        {tuple(p) for p, _ in SMALL.documents("arithmetic", 400, split=split)}
        for split in ("eval", "dev", "finetune", "chance")
    ]
    for a in range(4):
        for b in range(a):
            # short sums are common to all; most questions are not
            assert len(prompts[a] & prompts[b]) < 0.5 * len(prompts[a])


def test_long_sums_of_the_evaluation_are_not_in_the_training_text():
    asked = SMALL.questions(100, kind="long")
    sums = {
        tuple(prompt[:length].tolist())
        for prompt, length, task in zip(
            asked.prompts, asked.prompt_lengths, asked.task, strict=True
        )
        if task == "arithmetic"
    }
    trained = {document[: document.index(3) + 1] for document in documents_of(SMALL.rows(0, 4000))}
    assert not sums & trained


def test_chance_is_what_no_reader_can_beat_by_format_alone():
    asked = SMALL.questions(60)
    chance = SMALL.chance(asked, documents=4000)
    assert list(chance) == list(SMALL.task_names)
    # a value has two syllables of 64 at most: never more than uniform guessing of everything
    lengths = {
        name: asked.answer_lengths[asked.task[asked.owner] == name].mean()
        for name in SMALL.task_names
    }
    for name, value in chance.items():
        assert 1 < value < lengths[name] * np.log(128)


def test_wrong_corpora_are_refused():
    for wrong, words in (
        (lambda: Corpus("huge"), "tiny or small or large"),
        (lambda: Corpus(seq_len=16), "64 or more"),
        (lambda: Corpus(mix=(1, 2)), "weigh 5 tasks"),
        (lambda: Corpus(seed=-1), "0 or more"),
        (lambda: SMALL.questions(5, kind="short"), "standard or long"),
        (lambda: SMALL.questions(5, split="train"), "eval, dev or finetune"),
        (lambda: SMALL.questions(0), "1 or more"),
        (lambda: SMALL.task("law"), "knowledge"),
        (lambda: FinetuneSet(SMALL, 2), "5 documents or more"),
    ):
        with pytest.raises(InputError, match=words):
            wrong()


# Finetuning ---------------------------------------------------------------------------------


def test_an_epoch_meets_every_document_once_and_the_next_one_in_another_order():
    pool = FinetuneSet(SMALL, 300)
    size = pool.rows_per_epoch
    first, second = pool.rows(0, size), pool.rows(size, size)
    assert sorted(documents_of(first)) == sorted(documents_of(second))
    assert len(documents_of(first)) == 300
    assert (first.tokens != second.tokens).any()
    assert pool.tokens_per_row == loss_mask(first).sum() / size


def test_finetune_rows_have_no_state_either():
    pool = FinetuneSet(SMALL, 300)
    for a, b in zip(pool.rows(0, 3 * pool.rows_per_epoch), pool.rows(20, 50), strict=True):
        assert (a[20:70] == b).all()


def test_finetune_documents_are_equally_many_of_every_task_and_right():
    pool = FinetuneSet(SMALL, 500)
    by_task = dict.fromkeys(SMALL.task_names, 0)
    for document in documents_of(pool.rows(0, pool.rows_per_epoch)):
        colon = document.index(3) + 1
        prompt, answer = document[:colon], document[colon:]
        right = [name for name in by_task if SMALL.check(name, prompt, answer)]
        assert len(right) == 1
        by_task[right[0]] += 1
    assert set(by_task.values()) == {100}


def test_the_pool_and_its_order_are_in_the_fingerprint():
    prints = {
        FinetuneSet(SMALL, 300).fingerprint(),
        FinetuneSet(SMALL, 400).fingerprint(),
        FinetuneSet(SMALL, 300, kind="long").fingerprint(),
        FinetuneSet(Corpus(seed=1), 300).fingerprint(),
    }
    assert len(prints) == 4


def test_shuffled_epochs_far_out():
    size = 10
    whole = shuffled(10**12, 30, size, key=1)
    assert sorted(whole[:10].tolist()) == sorted(whole[10:20].tolist()) == list(range(10))
