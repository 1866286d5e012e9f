"""The built-in corpus: rows of solved questions that are a pure function of (seed, row).

Documents `bos question : answer eos` of the families in `tasks`, packed into rows. Training,
dev, finetune and evaluation questions come from different keys; the facts of the world are
common to all of them, and the evaluation questions depend on the world only, not on the seed.
"""

import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np

from t2jax.errors import InputError
from t2jax.trainer.batches import Batch, Questions
from t2jax.trainer.hashing import Stream, fold, thresholds
from t2jax.trainer.packing import ANSWER_BIT, loss_tokens, pack, pack_documents, pad, shuffled
from t2jax.trainer.tasks import (
    TASKS,
    Arithmetic,
    Causal,
    Ids,
    Knowledge,
    Pairs,
    Slots,
    Spatial,
    Task,
)
from t2jax.trainer.tokens import EOS, Vocabulary

__all__ = ["PRESETS", "SPLITS", "Corpus", "FinetuneSet"]

_VERSION = 1  # of the text: raise it when any row changes
SPLITS = {"train": 0, "eval": 1, "dev": 2, "finetune": 3, "chance": 4}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Preset:
    seq_len: int
    documents: int  # offered to each row; those that do not fit are left out
    tasks: tuple[Task, ...]


PRESETS = {
    # for CI: a model of 1M parameters learns all of it
    "tiny": _Preset(
        seq_len=64,
        documents=8,
        tasks=(
            Knowledge(world=11, facts=8192),
            Arithmetic(world=11, operators=(0.6, 0.4), digits=2),
            Causal(world=11, events=512),
            Spatial(world=11, links=(0.5, 0.3, 0.2)),
            Pairs(world=11, digits=2),
        ),
    ),
    # for a ladder on a laptop
    "small": _Preset(
        seq_len=64,
        documents=8,
        tasks=(
            Knowledge(world=23),
            Arithmetic(world=23),
            Causal(world=23),
            Spatial(world=23),
            Pairs(world=23),
        ),
    ),
    # for accelerators: a million facts, six digits and operators, chains to 8
    "large": _Preset(
        seq_len=128,
        documents=12,
        tasks=(
            Knowledge(world=37, facts=1_000_000, syllables=3),
            Arithmetic(
                world=37,
                operators=(0.3, 0.25, 0.18, 0.12, 0.09, 0.06),
                digits=6,
                exponent=1.1,
                long_operators=6,
                long_digits=(3, 6),
                long_share=0.05,
            ),
            Causal(
                world=37,
                events=8192,
                syllables=3,
                links=(0.3, 0.22, 0.15, 0.11, 0.08, 0.06, 0.05, 0.03),
            ),
            Spatial(world=37, links=(0.3, 0.22, 0.15, 0.11, 0.08, 0.06, 0.05, 0.03)),
            Pairs(world=37, digits=6, spread=30),
        ),
    ),
}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Rows of the built-in corpus, and questions about its world.

    Args:
      preset: `tiny`, `small` or `large`.
      seed: of the training rows; the world and the evaluation questions do not depend on it.
      seq_len: tokens of a row; the preset's own where 0.
      mix: weight of each task among the documents, in the order of `task_names`.

    Raises:
      InputError: an unknown preset, a row too short for the longest document, a wrong mix.

    >>> corpus = Corpus("tiny")
    >>> bool((corpus.rows(100, 8).tokens[4:] == corpus.rows(104, 4).tokens).all())
    True
    """

    preset: str = "small"
    _: dataclasses.KW_ONLY
    seed: int = 0
    seq_len: int = 0
    mix: tuple[float, ...] = (0.3, 0.25, 0.2, 0.15, 0.1)

    vocab_size = Vocabulary.vocab_size
    traceable = True

    def __post_init__(self):
        if self.preset not in PRESETS:
            raise InputError(
                f"there is no corpus '{self.preset}'", remedy=f"use {' or '.join(PRESETS)}"
            )
        if self.seed < 0:
            raise InputError(f"the corpus seed is {self.seed}", remedy="use 0 or more")
        object.__setattr__(self, "seq_len", self.seq_len or self._preset.seq_len)
        if self.seq_len < self._preset.seq_len:
            raise InputError(
                f"rows of {self.seq_len} tokens are too short for the corpus '{self.preset}'",
                remedy=f"use seq_len {self._preset.seq_len} or more",
            )
        if len(self.mix) != len(TASKS) or min(self.mix) < 0 or sum(self.mix) <= 0:
            raise InputError(
                f"the mix {self.mix} does not weigh {len(TASKS)} tasks",
                remedy=f"give one weight from 0 for each of {', '.join(TASKS)}",
            )

    @property
    def _preset(self) -> _Preset:
        return PRESETS[self.preset]

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return tuple(task.name for task in self._preset.tasks)

    def task(self, name: str) -> Task:
        """The task of a name, in the world of this corpus."""
        if name not in self.task_names:
            raise InputError(
                f"there is no task '{name}'", remedy=f"use {', '.join(self.task_names)}"
            )
        return self._preset.tasks[self.task_names.index(name)]

    def check(self, task: str, prompt: Ids, answer: Ids) -> bool:
        """Whether the verifier of a task accepts an answer; see `Task.check`."""
        return self.task(task).check(prompt, answer)

    @property
    def _documents(self) -> int:
        """Documents offered to a row."""
        return -(-self._preset.documents * self.seq_len // self._preset.seq_len)

    @property
    def keys(self) -> tuple[int, ...]:
        """What the training rows are drawn by: the mix, then each task; see `rows_by`."""
        train = SPLITS["train"]
        places = range(len(self._preset.tasks))
        return (fold(train, self.seed), *(fold(train, self.seed, place) for place in places))

    def rows(self, first: Any, count: int, *, xp: Any = np) -> Batch:
        """Training rows `first` to `first + count - 1`.

        Args:
          first: number of the first row; may be traced when `xp` is `jax.numpy`.
          count: rows.
          xp: `numpy` or `jax.numpy`, which give the same bits.
        """
        return self.rows_by(self.keys, first, count, xp=xp)

    def rows_by(self, keys: Any, first: Any, count: int, *, xp: Any = np) -> Batch:
        """Training rows of the corpus that has these `keys`, and else is like this one.

        With keys that are traced, one program makes the rows of any seed, and `jax.vmap` those of
        several at once.

        Args:
          keys: of a corpus; 32-bit words, traced ones when `xp` is `jax.numpy`.
          first: as for `rows`.
          count: rows.
          xp: as for `rows`.

        >>> corpus, other = Corpus("tiny"), Corpus("tiny", seed=1)
        >>> bool((corpus.rows_by(other.keys, 0, 4).tokens == other.rows(0, 4).tokens).all())
        True
        """
        high, low = _two_words(xp, first, count)
        documents = self._documents
        slot = xp.tile(xp.arange(documents, dtype=xp.uint32), count)
        counters = (*(x if isinstance(x, int) else xp.repeat(x, documents) for x in (high, low)),)
        picked = Stream(xp, keys[0], *counters, slot).choice(thresholds(self.mix))
        codes = None
        for place, task in enumerate(self._preset.tasks):
            key = keys[1 + place]
            if xp is np:
                # each document once, by its own task only
                where = np.flatnonzero(picked == place)
                if not where.size:
                    continue
                own = (x if isinstance(x, int) else x[where] for x in (*counters, slot))
                pages = _codes(np, task.sample(Stream(np, key, *own)))
                if codes is None:
                    codes = np.zeros((self._widest, slot.size), np.uint8)
                codes[: pages.shape[0], where] = pages
            else:
                pages = _codes(xp, task.sample(Stream(xp, key, *counters, slot)))
                pages = xp.pad(pages, ((0, self._widest - pages.shape[0]), (0, 0)))
                pages = xp.where(picked == place, pages, 0)
                codes = pages if codes is None else codes | pages
        assert codes is not None
        stack = codes.reshape(self._widest, count, documents)
        return pack(xp, stack, self.seq_len)

    @functools.cached_property
    def _widest(self) -> int:
        """Places of the document with the most places."""
        one = np.zeros(1, np.uint32)
        return max(len(task.sample(Stream(np, 0, one)).answers) for task in self._preset.tasks)

    @property
    def tokens_per_row(self) -> float:
        """Mean loss tokens of a row, over 2,048 rows."""
        return self._tokens_per_row

    @functools.cached_property
    def _tokens_per_row(self) -> float:
        return loss_tokens(self.rows(0, 2048))

    def fingerprint(self) -> str:
        """Changes with preset, seed, mix, row length and any change of the text."""
        digest = hashlib.sha256(f"corpus {_VERSION} {self!r} {self._preset!r}".encode())
        for row in (0, 1 << 20):
            digest.update(self.rows(row, 64).tokens.tobytes())
        return digest.hexdigest()[:16]

    def documents(
        self, task: str, count: int, *, split: str = "eval", long: bool = False, first: int = 0
    ) -> list[tuple[list[int], list[int]]]:
        """Solved questions of one task outside the training text: prompts and true answers.

        Args:
          task: name of the task.
          count: documents, which may repeat each other as in the training text.
          split: `eval`, `dev`, `finetune` or `chance`.
          long: only documents with the longest answers.
          first: number of the first document.
        """
        if split not in SPLITS or split == "train":
            raise InputError(f"there is no split '{split}'", remedy="use eval, dev or finetune")
        family = self.task(task)
        key = fold(SPLITS[split], family.world, self.task_names.index(task), int(long))
        low = np.arange(first, first + count).astype(np.uint32)
        pages = family.sample(Stream(np, key, low), long=long)
        question, answer = pages.tokens[~pages.answers].T, pages.tokens[pages.answers].T
        return [
            (q[q > 0].tolist(), a[a > 0].tolist()) for q, a in zip(question, answer, strict=True)
        ]

    def questions(self, per_task: int, *, kind: str = "standard", split: str = "eval") -> Questions:
        """Different questions of every task, the same ones for every model and seed.

        Args:
          per_task: questions of each task; fewer where a task has not so many. The questions
            of a smaller number are the first of those of a larger one.
          kind: `standard`, distributed as in the training text, or `long`: its longest answers.
          split: `eval`, `dev` (to stop by) or `finetune`.

        Returns:
          Questions with every accepted answer, task by task.
        """
        if kind not in ("standard", "long"):
            raise InputError(f"there is no kind '{kind}'", remedy="use standard or long")
        if per_task < 1:
            raise InputError(f"per_task is {per_task}", remedy="ask for 1 or more questions")
        prompts: list[list[int]] = []
        names: list[str] = []
        owners: list[str] = []
        answers: list[list[int]] = []
        owner: list[int] = []
        prefix = "long-" if kind == "long" else ""
        for name in self.task_names:
            chosen: dict[tuple[int, ...], None] = {}
            for block in range(64):
                drawn = self.documents(
                    name, 512, split=split, long=kind == "long", first=512 * block
                )
                chosen.update((tuple(prompt), None) for prompt, _ in drawn)
                if len(chosen) >= per_task:
                    break
            for place, prompt in enumerate(list(chosen)[:per_task]):
                accepted = self.task(name).accepted(prompt)
                owner += [len(prompts)] * len(accepted)
                answers += accepted
                prompts.append(list(prompt))
                owners.append(name)
                names.append(f"{prefix}{name}-{place}")
        difficulty = [
            self.task(name).difficulty(prompt) for name, prompt in zip(owners, prompts, strict=True)
        ]
        return Questions(
            task=np.asarray(owners),
            difficulty=np.asarray(difficulty, np.int32),
            prompts=pad(prompts),
            prompt_lengths=np.asarray([len(prompt) for prompt in prompts], np.int32),
            answers=pad(answers),
            answer_lengths=np.asarray([len(answer) for answer in answers], np.int32),
            owner=np.asarray(owner, np.int32),
            names=np.asarray(names),
        )

    def chance(self, questions: Questions, *, documents: int = 16_384) -> dict[str, float]:
        """Mean negative log-likelihood of a guesser that has not read the question, by task.

        It knows how answers of the task look, from so many solved documents: the probability of
        each token given its place in the answer and the token before it (one pseudo-count spread
        over the vocabulary). Estimated, and a little above the best such guesser for that.

        Args:
          questions: of this corpus, all `standard` or all `long`.
          documents: solved documents of each task that the guesser has seen.

        Returns:
          Nats per question, of all accepted answers together.
        """
        long = str(questions.names[0]).startswith("long-")
        means = {}
        for name in dict.fromkeys(questions.task.tolist()):
            seen = pad(
                [answer for _, answer in self.documents(name, documents, split="chance", long=long)]
            )
            width = max(seen.shape[1], questions.answers.shape[1])
            counts = np.zeros((width, self.vocab_size, self.vocab_size))
            np.add.at(counts, _transitions(seen), 1.0)
            counts += 1.0 / self.vocab_size
            log_p = np.log(counts / counts.sum(-1, keepdims=True))
            picked = np.flatnonzero(questions.task[questions.owner] == name)
            each = np.where(
                questions.answers[picked] > 0, log_p[_transitions(questions.answers[picked])], 0
            ).sum(1)
            total: dict[int, float] = {}
            for question, value in zip(questions.owner[picked], each, strict=True):
                total[int(question)] = np.logaddexp(total.get(int(question), -np.inf), value)
            means[name] = -float(np.mean(list(total.values())))
        return means


class FinetuneSet:
    """A finite pool of solved questions, met again in another order every epoch.

    Documents of the split `finetune`, drawn as the evaluation questions are: equally many of every
    task, but a common question may come twice. They are packed once; an epoch is a keyed
    permutation of the packed rows, so that row i is a function of i alone here too.

    Args:
      corpus: whose world is asked about; its seed orders the rows.
      size: documents of the pool.
      kind: `standard` or `long`.
    """

    traceable = False

    def __init__(self, corpus: Corpus, size: int, *, kind: str = "standard"):
        names = corpus.task_names
        if size < len(names):
            raise InputError(f"a pool of {size}", remedy=f"use {len(names)} documents or more")
        self.corpus, self.size, self.kind = corpus, size, kind
        self.vocab_size, self.seq_len = corpus.vocab_size, corpus.seq_len
        each = -(-size // len(names))
        by_task = [
            corpus.documents(name, each, split="finetune", long=kind == "long") for name in names
        ]
        pool = [document for group in zip(*by_task, strict=True) for document in group][:size]
        self._rows = pack_documents(pool, self.seq_len)
        self.rows_per_epoch = len(self._rows.tokens)
        self.tokens_per_row = loss_tokens(self._rows)

    def rows(self, first: Any, count: int, *, xp: Any = np) -> Batch:
        """Training rows `first` to `first + count - 1`; `first` is a Python integer."""
        key = fold(SPLITS["finetune"], self.corpus.seed)
        picked = shuffled(int(first), count, self.rows_per_epoch, key=key)
        return Batch(*(xp.asarray(part[picked]) for part in self._rows))

    def fingerprint(self) -> str:
        """Changes with the pool and its order."""
        digest = hashlib.sha256(self.corpus.fingerprint().encode())
        digest.update(self._rows.tokens.tobytes())
        return digest.hexdigest()[:16]


def _two_words(xp: Any, first: Any, count: int) -> tuple[Any, Any]:
    """The numbers of rows as two 32-bit words each, for which no row number is too large."""
    if isinstance(first, int | np.integer):
        first = int(first)
        if (first >> 32) == (first + count - 1) >> 32:
            start = np.uint32(first & 0xFFFFFFFF)
            return first >> 32, xp.asarray(start) + xp.arange(count, dtype=xp.uint32)
        number = np.uint64(first) + np.arange(count, dtype=np.uint64)
        words = (number >> np.uint64(32), number & np.uint64(0xFFFFFFFF))
        return xp.asarray(words[0].astype(np.uint32)), xp.asarray(words[1].astype(np.uint32))
    return 0, first.astype(xp.uint32) + xp.arange(count, dtype=xp.uint32)


def _codes(xp: Any, pages: Slots) -> Any:
    """Tokens with the answer's mark in the high bit; 0 stays 0."""
    marks = np.where(pages.answers, np.uint8(ANSWER_BIT), np.uint8(0))[:, None]
    return pages.tokens | (xp.asarray(marks) * (pages.tokens > 0))


def _transitions(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place, token before and token of each place of answers; padding counts as eos to eos."""
    now = np.where(answers > 0, answers, EOS)
    before = np.concatenate([np.zeros((len(now), 1), now.dtype), now[:, :-1]], 1)
    place = np.broadcast_to(np.arange(now.shape[1]), now.shape)
    return place, before, now
