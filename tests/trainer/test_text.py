"""Users' text: every token once an epoch, rows without state, and errors that name the line."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from t2jax.errors import InputError
from t2jax.trainer.batches import loss_mask
from t2jax.trainer.text import open_text
from t2jax.trainer.tokens import BOS, EOS, ByteTokenizer

BYTES = ByteTokenizer()
LENGTH = 32


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.jsonl"
    lines = [f"text number {n}: {'na' * (n % 23)}" for n in range(100)]
    file.write_text("".join(json.dumps({"text": line}) + "\n\n" for line in lines))
    return file, lines


@pytest.fixture
def solved(tmp_path):
    file = tmp_path / "solved.jsonl"
    pairs = [(f"{n} plus {n}: ", str(2 * n)) for n in range(100)]
    file.write_text("\n".join(json.dumps({"prompt": p, "answer": a}) for p, a in pairs))
    return file, pairs


def epoch(source, number=0):
    return source.rows(number * source.rows_per_epoch, source.rows_per_epoch)


def test_an_epoch_holds_every_token_of_the_text_once(texts):
    file, lines = texts
    source = open_text(file, seq_len=LENGTH)
    expected = [token for line in lines for token in (BOS, *BYTES.encode(line), EOS)]
    batch = epoch(source)
    assert (batch.tokens > 0).sum() == len(expected)
    assert np.bincount(batch.tokens[batch.tokens > 0]).tolist() == np.bincount(expected).tolist()
    assert not batch.answers.any()
    assert source.vocab_size == BYTES.vocab_size


def test_documents_of_a_row_are_told_apart(texts):
    source = open_text(texts[0], seq_len=LENGTH)
    batch = epoch(source)
    for words, segments in zip(batch.tokens, batch.segments, strict=True):
        inside = words[segments > 0]
        changes = np.flatnonzero(np.diff(segments[segments > 0]))
        assert (inside[changes] == EOS).all()
        assert (inside[changes + 1] == BOS).all()
        assert len(changes) == (inside[1:] == BOS).sum()


def test_rows_have_no_state_and_epochs_differ(texts):
    source = open_text(texts[0], seq_len=LENGTH, seed=3)
    size = source.rows_per_epoch
    whole, part = source.rows(0, 3 * size), source.rows(size - 5, 20)
    for a, b in zip(whole, part, strict=True):
        assert (a[size - 5 : size + 15] == b).all()
    first, second = whole.tokens[:size], whole.tokens[size : 2 * size]
    assert (first != second).any()
    assert sorted(map(tuple, first.tolist())) == sorted(map(tuple, second.tolist()))
    other = open_text(texts[0], seq_len=LENGTH, seed=4)
    assert (other.rows(0, size).tokens != first).any()


def test_rows_come_as_jax_arrays_too(texts):
    source = open_text(texts[0], seq_len=LENGTH)
    for a, b in zip(source.rows(7, 4), source.rows(7, 4, xp=jnp), strict=True):
        assert a.dtype == b.dtype
        assert (a == np.asarray(b)).all()


def test_tokens_per_row_is_exact_for_a_short_text(texts):
    source = open_text(texts[0], seq_len=LENGTH)
    assert source.tokens_per_row == loss_mask(epoch(source)).sum() / source.rows_per_epoch


def test_the_fingerprint_follows_text_seed_and_length(texts, tmp_path):
    file, _ = texts
    changed = tmp_path / "changed.jsonl"
    changed.write_text(file.read_text().replace("number 7:", "number 8:"))
    prints = [
        open_text(path, seq_len=length, seed=seed).fingerprint()
        for path, length, seed in ((file, 32, 0), (changed, 32, 0), (file, 33, 0), (file, 32, 1))
    ]
    assert len(set(prints)) == 4
    assert open_text(file, seq_len=32).fingerprint() == prints[0]


def test_plain_text_is_one_document(tmp_path):
    file = tmp_path / "book.txt"
    file.write_text("Café. " * 50, encoding="utf-8")
    batch = epoch(open_text(file, seq_len=LENGTH))
    assert (batch.tokens == BOS).sum() == (batch.tokens == EOS).sum() == 1
    assert batch.segments.max() == 1


# Questions ----------------------------------------------------------------------------------


def test_questions_are_packed_whole_and_their_answers_marked(solved):
    file, pairs = solved
    batch = epoch(open_text(file, seq_len=LENGTH))
    found = set()
    for words, segments, answers in zip(*batch, strict=True):
        for number in range(1, segments.max() + 1):
            here = segments == number
            prompt = BYTES.decode(words[here & ~answers].tolist())
            found.add((prompt, BYTES.decode(words[here & answers].tolist())))
            assert words[here][0] == BOS
            assert words[here & answers][-1] == EOS
    assert found == set(pairs)


def test_questions_of_a_file(solved):
    file, pairs = solved
    source = open_text(file, seq_len=LENGTH)
    asked = source.questions(10)
    assert len(asked.prompts) == 10
    for (prompt, answer), p, a in zip(pairs, asked.prompts, asked.answers, strict=False):
        assert BYTES.decode(p.tolist()) == prompt
        assert BYTES.decode(a.tolist()) == answer
        assert source.check("text", p, a)
        assert source.check("text", p, [*a.tolist(), EOS, 50])
        assert not source.check("text", p, a[a != EOS])
        assert not source.check("text", p, [50, EOS])
    assert len(source.questions().prompts) == 100


def test_a_text_has_no_questions(texts):
    with pytest.raises(InputError, match="'prompt' and 'answer'"):
        open_text(texts[0], seq_len=LENGTH).questions()


# Token arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32"])
@pytest.mark.parametrize("suffix", [".npy", ".bin"])
def test_token_arrays_are_mapped_and_read(tmp_path, suffix, dtype):
    words = np.random.default_rng(0).integers(1, 500, 1001).astype(dtype)
    words[::50] = 7
    file = tmp_path / f"tokens{suffix}"
    if suffix == ".npy":
        np.save(file, words)
    else:
        words.tofile(file)
    source = open_text(file, seq_len=LENGTH, dtype=dtype, end=7)
    assert isinstance(source._stream, np.memmap)
    assert source.vocab_size == words.max() + 1
    batch = epoch(source)
    assert sorted(batch.tokens[batch.segments > 0].tolist()) == sorted(words.tolist())
    ends = (batch.tokens == 7) & (batch.segments > 0)
    here, after = batch.segments[:, :-1], batch.segments[:, 1:]
    assert ((after == here + 1) == ends[:, :-1])[after > 0].all()
    assert open_text(file, seq_len=LENGTH, dtype=dtype).rows(0, 40).segments.max() == 1


def test_a_token_zero_of_an_array_counts_as_a_token(tmp_path):
    file = tmp_path / "zeros.npy"
    np.save(file, np.zeros(64, np.uint16))
    batch = open_text(file, seq_len=LENGTH).rows(0, 2)
    assert (batch.segments == 1).all()


# Refusals -----------------------------------------------------------------------------------

BAD = {
    "empty.jsonl": ("", r"no lines"),
    "empty.txt": (" \n", r"the file is empty"),
    "json.jsonl": ('{"text": "a"}\n\n{"text"', r"line 3: this is not JSON"),
    "list.jsonl": ("[1]", r"line 1: there is no string 'prompt'"),
    "number.jsonl": ('{"text": 3}', r"line 1: there is no string 'text'"),
    "half.jsonl": ('{"prompt": "a"}', r"line 1: there is no string 'answer'"),
    "void.jsonl": ('{"prompt": "a", "answer": ""}', r"line 1: the answer is empty"),
    "mixed.jsonl": ('{"text": "a"}\n{"prompt": "a", "answer": "b"}', r"line 2: texts and"),
    "surrogate.jsonl": ('{"text": "\\ud800"}', r"line 1: 'text' holds half"),
    "long.jsonl": (json.dumps({"prompt": "a" * 40, "answer": "b"}), r"line 1: .* 43 tokens"),
    "deep.jsonl": ("[" * 100_000, r"line 1: this is not JSON"),
}


def test_bad_options_are_refused(texts):
    with pytest.raises(InputError, match="2 or more"):
        open_text(texts[0], seq_len=1)
    with pytest.raises(InputError, match="0 or more"):
        open_text(texts[0], seq_len=8, seed=-1)


@pytest.mark.parametrize("suffix", [".JSONL", ".NdJson", ".NPY", ".Bin"])
def test_a_suffix_means_the_same_in_capitals(suffix, texts, tmp_path):
    names = [tmp_path / f"small{suffix.lower()}", tmp_path / "capitals" / f"large{suffix}"]
    names[1].parent.mkdir()
    for path in names:
        if "j" in suffix.lower():
            path.write_bytes(texts[0].read_bytes())
        else:
            array = np.arange(1, 200, dtype=np.uint16)
            path.write_bytes(array.tobytes())
            if suffix == ".NPY":
                with path.open("wb") as file:
                    np.save(file, array)
    small, large = (open_text(path, seq_len=LENGTH) for path in names)
    np.testing.assert_array_equal(epoch(small).tokens, epoch(large).tokens)
    folder = open_text(names[1].parent, seq_len=LENGTH)
    assert folder.rows_per_epoch == small.rows_per_epoch
