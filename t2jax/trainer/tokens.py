"""Text to token numbers and back: the 128 words of the built-in corpus, and tokenizers for text.

Token 0 is padding, 1 begins a document, 2 ends it, whatever the tokenizer.
"""

import importlib
import pathlib
from collections.abc import Iterable
from typing import Any, Protocol

from t2jax.errors import InputError

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "ByteTokenizer",
    "FileTokenizer",
    "Tokenizer",
    "Vocabulary",
    "load_tokenizer",
]

PAD, BOS, EOS = 0, 1, 2
ANSWER = 3  # ":" between a question and its answer
DIGIT = 4  # the ten digits follow
PLUS, MINUS, EQUALS, COMMA, DOT, IN, WHERE, THEN, SUM, FROM = range(14, 24)
RELATION, N_RELATIONS = 24, 8
SYLLABLE, N_SYLLABLES = 64, 64

_WORDS = ["<pad>", "<bos>", "<eos>", ":", *(str(digit) for digit in range(10))]
_WORDS += ["+", "-", "=", ",", ".", "in", "where", "then", "sum", "from"]
_WORDS += ["capital", "currency", "founder", "symbol", "language", "rival", "river", "color"]
_WORDS += [f"<spare-{token}>" for token in range(len(_WORDS), SYLLABLE)]
_WORDS += [c + v for c in "bdfgklmnprstvz" for v in "aeiou"][:N_SYLLABLES]
_NUMBER_OF = {word: token for token, word in enumerate(_WORDS)}


class Tokenizer(Protocol):
    """What `text.open_text` needs of a tokenizer; encoded text holds no special tokens."""

    vocab_size: int

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token numbers."""
        ...


class Vocabulary:
    """The 128 words of the built-in corpus; a digit is a token of its own.

    >>> Vocabulary().decode(Vocabulary().encode("<bos> 12 + 7 :"))
    '<bos> 1 2 + 7 :'
    """

    vocab_size = 128

    def encode(self, text: str) -> list[int]:
        """Token numbers of words with spaces between them.

        Raises:
          InputError: a word is not in the vocabulary.
        """
        ids: list[int] = []
        for word in text.split():
            for part in word if word.isdecimal() else (word,):
                if part not in _NUMBER_OF:
                    raise InputError(
                        f"'{part}' is not among the 128 words of the corpus",
                        remedy="use words that Vocabulary().decode(range(128)) prints",
                    )
                ids.append(_NUMBER_OF[part])
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Words of token numbers, padding left out."""
        return " ".join(_WORDS[token] for token in ids if token != PAD)


class ByteTokenizer:
    """UTF-8 bytes: byte b is token b + 3.

    >>> ByteTokenizer().decode(ByteTokenizer().encode("naïve"))
    'naïve'
    """

    vocab_size = 259

    def encode(self, text: str) -> list[int]:
        """Token numbers of the bytes of a text."""
        return [byte + 3 for byte in text.encode()]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token numbers; specials are left out, broken UTF-8 becomes U+FFFD."""
        return bytes(token - 3 for token in ids if token >= 3).decode(errors="replace")


class FileTokenizer:
    """A tokenizer file of Hugging Face's `tokenizers`, behind the three tokens of this package.

    Args:
      inner: the loaded tokenizer; its token t becomes t + 3.
    """

    def __init__(self, inner: Any):
        self._inner = inner
        self.vocab_size = inner.get_vocab_size() + 3

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text, without the file's own specials."""
        return [token + 3 for token in self._inner.encode(text, add_special_tokens=False).ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token numbers."""
        return self._inner.decode([token - 3 for token in ids if token >= 3])


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a name, `bytes`, or of a `tokenizer.json` file.

    Args:
      name: `bytes`, or the path of a tokenizer file of Hugging Face's `tokenizers`.

    Returns:
      Something with `vocab_size`, `encode` and `decode`.

    Raises:
      InputError: no such file, not a tokenizer, or `tokenizers` is not installed.

    >>> load_tokenizer("bytes").encode("ab")
    [100, 101]
    """
    if name == "bytes":
        return ByteTokenizer()
    if not pathlib.Path(name).is_file():
        raise InputError(
            f"there is no tokenizer file '{name}'", remedy="give 'bytes' or a tokenizer.json"
        )
    # named at run time: the package is optional and not in the floor plan
    package = "tokenizers"
    try:
        tokenizers = importlib.import_module(package)
    except ImportError:
        raise InputError(
            "tokenizer files need the package 'tokenizers'",
            source=name,
            remedy="pip install tokenizers, or use the tokenizer 'bytes'",
        ) from None
    try:
        return FileTokenizer(tokenizers.Tokenizer.from_file(str(name)))
    except Exception as error:  # the library raises bare Exception
        raise InputError(
            f"not a tokenizer file ({error})",
            source=name,
            remedy="save one with Tokenizer.save('tokenizer.json')",
        ) from None
