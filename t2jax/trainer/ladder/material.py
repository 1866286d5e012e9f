"""What a ladder is trained on and asked: the built-in corpus, or somebody's own text."""

import dataclasses
import functools
from typing import Any, Protocol

import numpy as np

from t2jax.errors import InputError
from t2jax.trainer.batches import Batch, Questions, Source
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.ladder.presets import Preset
from t2jax.trainer.tasks import TASKS
from t2jax.trainer.text import TextSource, open_text

__all__ = ["HELD_OUT_SEED", "BuiltIn", "Material", "OwnText", "headline", "shape"]

HELD_OUT_SEED = 1_000_003
"""Of the rows of the built-in corpus that no model trains on."""
LONG = "long-"
"""In front of the name of a task of long answers."""


def headline(task: str) -> bool:
    """Whether a task counts in the mean over tasks: its NLL falls as a power law of N and D.

    Tasks that are learnt in a step, or by luck of the seed, would lend the mean their jumps.

    >>> headline("knowledge"), headline("arithmetic"), headline("long-knowledge")
    (True, False, False)
    """
    return not task.startswith(LONG) and (task not in TASKS or TASKS[task].smooth)


class Material(Protocol):
    """Rows to train on, rows to measure the loss on, and questions."""

    @property
    def name(self) -> str:
        """As messages show it."""
        ...

    def source(self, seed: int) -> Source:
        """Training rows; the order of them, or their text, depends on the seed."""
        ...

    def held_out(self, rows: int) -> Batch:
        """Rows that no seed trains on."""
        ...

    def asked(self, preset: Preset) -> Questions | None:
        """The questions that every point answers, long ones as tasks of their own."""
        ...

    def guesses(self, preset: Preset) -> dict[str, float]:
        """Mean NLL of a guesser who has not read the question, by task, where it is known."""
        ...

    @property
    def unique_tokens(self) -> int | None:
        """Loss tokens after which rows repeat; None where they never do."""
        ...

    def fingerprint(self) -> str:
        """Changes with the rows and the questions."""
        ...


@dataclasses.dataclass(frozen=True)
class BuiltIn:
    """The built-in corpus.

    Args:
      name: preset of the corpus.
    """

    name: str
    unique_tokens = None

    def source(self, seed: int) -> Corpus:
        """The corpus of a seed."""
        return Corpus(self.name, seed=seed)

    def held_out(self, rows: int) -> Batch:
        """Rows of a seed of their own."""
        return _held_out(self.name, rows)

    def asked(self, preset: Preset) -> Questions:
        """Questions of every task, and long ones where the preset has them."""
        return _asked(self.name, preset.questions, preset.long_questions)

    def guesses(self, preset: Preset) -> dict[str, float]:
        """See `Corpus.chance`."""
        corpus = Corpus(self.name)
        chance = dict(corpus.chance(corpus.questions(preset.questions)))
        if preset.long_questions:
            long = corpus.questions(preset.long_questions, kind="long")
            chance |= {f"{LONG}{task}": value for task, value in corpus.chance(long).items()}
        return chance

    def fingerprint(self) -> str:
        """That of the corpus: the questions follow from its world and the preset."""
        return Corpus(self.name).fingerprint()


@functools.lru_cache(maxsize=2)
def _held_out(corpus: str, rows: int) -> Batch:
    return Corpus(corpus, seed=HELD_OUT_SEED).rows(0, rows)


@functools.lru_cache(maxsize=2)
def _asked(name: str, standard: int, long: int) -> Questions:
    corpus = Corpus(name)
    parts = [corpus.questions(standard)]
    if long:
        more = corpus.questions(long, kind="long")
        parts.append(more._replace(task=np.char.add(LONG, more.task)))
    return _joined(parts)


def _joined(parts: list[Questions]) -> Questions:
    """Several sets of questions as one."""

    def stack(name: str) -> np.ndarray:
        arrays = [getattr(part, name) for part in parts]
        if arrays[0].ndim == 2:
            width = max(a.shape[1] for a in arrays)
            arrays = [np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in arrays]
        return np.concatenate(arrays)

    before = np.cumsum([0, *(len(part.task) for part in parts)])
    owner = [part.owner + start for part, start in zip(parts, before, strict=False)]
    rest = {name: stack(name) for name in Questions._fields if name != "owner"}
    return Questions(**rest, owner=np.concatenate(owner).astype(np.int32))


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnText:
    """A user's text, some rows of which are held out, and perhaps questions of the user's.

    Args:
      path: a file, or a folder of files of one kind.
      tokenizer: `bytes` or a `tokenizer.json`.
      seq_len: tokens of a row.
      token_dtype: of `.bin` files.
      questions: a JSONL file of prompts and answers; empty where the loss is all that is asked.
      held_out_rows: rows that no model trains on, at most a tenth of the text.
    """

    path: str
    tokenizer: str = "bytes"
    seq_len: int = 256
    token_dtype: str = "uint16"
    questions: str = ""
    held_out_rows: int = 1024

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    def source(self, seed: int) -> TextSource:
        """The rows that are not held out, in the order of a seed."""
        return _opened(self).with_seed(seed)

    def held_out(self, rows: int) -> Batch:
        """The rows that are held out; as many as there are, whatever a preset wants."""
        return _opened(self).held_out()

    def asked(self, preset: Preset) -> Questions | None:
        """The questions of the file."""
        return _own_questions(self) if self.questions else None

    def guesses(self, preset: Preset) -> dict[str, float]:
        """Nobody knows how a guesser would do."""
        return {}

    @property
    def unique_tokens(self) -> int:
        """Those of an epoch of the rows that are not held out."""
        source = _opened(self)
        return round(source.rows_per_epoch * source.tokens_per_row)

    def fingerprint(self) -> str:
        """Of the rows and of the questions."""
        asked = f"-{_questions_source(self).fingerprint()}" if self.questions else ""
        return _opened(self).fingerprint() + asked


@functools.lru_cache(maxsize=2)
def _opened(text: OwnText) -> TextSource:
    return open_text(
        text.path,
        text.tokenizer,
        seq_len=text.seq_len,
        dtype=text.token_dtype,
        held_out=text.held_out_rows,
    )


@functools.lru_cache(maxsize=2)
def _questions_source(text: OwnText) -> TextSource:
    source = open_text(text.questions, text.tokenizer, seq_len=text.seq_len)
    if source.vocab_size > _opened(text).vocab_size:
        raise InputError(
            f"the tokenizer knows {source.vocab_size} tokens, the text {_opened(text).vocab_size}",
            source=text.questions,
            remedy="name the --tokenizer that the text was written with",
        )
    return source


@functools.lru_cache(maxsize=2)
def _own_questions(text: OwnText) -> Questions:
    return _questions_source(text).questions()


def shape(material: Material) -> dict[str, Any]:
    """What a plan must know of a material."""
    source = material.source(0)
    return {
        "tokens_per_row": source.tokens_per_row,
        "seq_len": source.seq_len,
        "vocab_size": source.vocab_size,
        "source": material.fingerprint(),
    }
