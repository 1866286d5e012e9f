"""Tokenizers give back the text they were given, and say no with a remedy."""

import importlib.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2jax.errors import InputError
from t2jax.trainer.tokens import BOS, EOS, PAD, ByteTokenizer, Vocabulary, load_tokenizer

WORDS = Vocabulary()


def test_every_word_has_one_number_and_comes_back():
    text = WORDS.decode(range(1, 128))
    assert len(set(text.split())) == 127
    assert WORDS.encode(text) == list(range(1, 128))


def test_a_number_is_its_digits():
    assert WORDS.encode("407") == WORDS.encode("4 0 7") == [8, 4, 11]


def test_an_unknown_word_is_refused():
    with pytest.raises(InputError, match=r"'hello' is not among the 128 words"):
        WORDS.encode("ba hello")


@given(st.text(max_size=50))
@settings(deadline=None, max_examples=50)
def test_bytes_come_back(text):
    ids = ByteTokenizer().encode(text)
    assert ByteTokenizer().decode([BOS, *ids, EOS, PAD]) == text
    assert not ids or (min(ids) >= 3 and max(ids) < ByteTokenizer.vocab_size)


def test_broken_utf8_still_decodes():
    assert ByteTokenizer().decode([0xFF + 3]) == "�"


def test_a_missing_tokenizer_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.json.*tokenizer\.json"):
        load_tokenizer("nowhere.json")


def test_a_tokenizer_file_needs_its_package(tmp_path, monkeypatch):
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"pip install tokenizers"):
        load_tokenizer(str(file))


class Inner:
    """Behaves as a tokenizer of Hugging Face's library does."""

    def get_vocab_size(self):
        return 26

    def encode(self, text, add_special_tokens):
        assert not add_special_tokens
        return type("Encoding", (), {"ids": [ord(letter) - 97 for letter in text]})

    def decode(self, ids):
        return "".join(chr(97 + token) for token in ids)


def test_tokens_of_a_file_stand_behind_our_three(tmp_path, monkeypatch):
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    library = type("Library", (), {"from_file": staticmethod(lambda path: Inner())})
    monkeypatch.setitem(
        __import__("sys").modules, "tokenizers", type("Module", (), {"Tokenizer": library})
    )
    tokenizer = load_tokenizer(str(file))
    assert tokenizer.vocab_size == 29
    assert tokenizer.encode("abc") == [3, 4, 5]
    assert tokenizer.decode([BOS, 3, 4, 5, EOS]) == "abc"


@pytest.mark.skipif(
    importlib.util.find_spec("tokenizers") is None, reason="tokenizers is not installed"
)
def test_a_broken_tokenizer_file_is_refused(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(InputError, match="not a tokenizer file"):
        load_tokenizer(str(file))
