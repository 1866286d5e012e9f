"""Users' own text as a source of rows: JSONL, plain text, token arrays on disk.

Every epoch is a keyed permutation of the rows, so that row i is a function of (seed, i) alone.
Token arrays stay on disk: they are mapped into memory and read where they are needed.
"""

import copy
import functools
import hashlib
import json
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Int

from t2jax._bounds import read_whole
from t2jax.errors import InputError
from t2jax.trainer import token_files
from t2jax.trainer.batches import Batch, Questions
from t2jax.trainer.hashing import fold, permute
from t2jax.trainer.packing import loss_tokens, pack_documents, pad, shuffled
from t2jax.trainer.tokens import BOS, EOS, Tokenizer, load_tokenizer

__all__ = ["TextSource", "open_text"]

_BLOCK = 1 << 24  # tokens looked at in one go
_ORDER, _HELD = 5, 6  # set the order of text apart from the keys of the corpus
_ARRAYS, _LINES = (".npy", ".bin"), (".jsonl", ".ndjson")
_OTHERS = (
    ".json", ".npz", ".parquet", ".arrow", ".gz", ".zip", ".zst", ".xz", ".bz2", ".tar", ".pkl",
    ".pt", ".safetensors", ".csv", ".tsv", ".xlsx",
)  # fmt: skip
_Document = tuple[list[int], list[int]]
_Name = tuple[str, str]  # task and question


class TextSource:
    """Rows of a user's text, in another order every epoch.

    A stream of tokens is cut into rows, wherever documents end; questions with answers are packed
    whole instead. `open_text` makes one from a file.

    Args:
      tokens: a stream of tokens, or None when there are documents.
      documents: questions and answers, each beginning with bos and ending with eos.
      vocab_size: tokens run from 0 to vocab_size - 1.
      seq_len: tokens of a row.
      seed: of the order of rows.
      end: token that ends a document of the stream, or None when no token does.
      names: task and name of each question, in the order of `documents`.
      name: of the file, as error messages and questions show it.
      held_out: rows that are not trained on, at most a tenth; the same ones for every seed.

    Raises:
      InputError: a row or a seed out of range, or a text too short to hold any of it out.
    """

    traceable = False

    def __init__(
        self,
        tokens: Int[np.ndarray, " n"] | None,
        *,
        vocab_size: int,
        seq_len: int,
        seed: int = 0,
        documents: list[_Document] | None = None,
        end: int | None = EOS,
        names: list[_Name] | None = None,
        name: str = "text",
        held_out: int = 0,
    ):
        if seq_len < 2:
            raise InputError(f"seq_len is {seq_len}", remedy="use 2 or more")
        if seed < 0:
            raise InputError(f"the seed is {seed}", remedy="use 0 or more")
        self.vocab_size, self.seq_len, self.seed, self.name = vocab_size, seq_len, seed, name
        self._end, self._documents = end, documents or []
        self._names = names or [("text", f"text-{i}") for i in range(len(self._documents))]
        self._stream, self._packed = tokens, None
        if tokens is None:
            self._packed = pack_documents(self._documents, seq_len)
            self._rows = len(self._packed.tokens)
        else:
            self._rows = -(-len(tokens) // seq_len)
        self._held = min(held_out, self._rows // 10)
        if held_out and not self._held:
            raise InputError(
                f"a text of {self._rows} rows is too short to hold one out",
                source=name,
                remedy="give at least 10 rows of text, or shorten the rows",
            )
        self.rows_per_epoch = self._rows - self._held

    def rows(self, first: Any, count: int, *, xp: Any = np) -> Batch:
        """Training rows `first` to `first + count - 1`; `first` is a Python integer."""
        picked = shuffled(int(first), count, self.rows_per_epoch, key=fold(_ORDER, self.seed))
        return Batch(*(xp.asarray(part) for part in self._take(self._placed(picked + self._held))))

    def held_out(self) -> Batch:
        """The rows that no seed trains on."""
        return self._take(self._placed(np.arange(self._held)))

    def _placed(self, number: Int[np.ndarray, " count"]) -> Int[np.ndarray, " count"]:
        """Where rows stand in the file: those held out, which come first, are from all over it."""
        return permute(fold(_HELD), number, self._rows) if self._held else number

    def with_seed(self, seed: int) -> "TextSource":
        """The same rows in the order of another seed, for no more memory."""
        other = copy.copy(self)
        other.seed = seed
        other.__dict__.pop("_digest", None)
        return other

    def _take(self, picked: Int[np.ndarray, " count"]) -> Batch:
        """Rows by their place in the file."""
        if self._packed is not None:
            return Batch(*(part[picked] for part in self._packed))
        assert self._stream is not None
        words = np.zeros((len(picked), self.seq_len), np.int32)
        segments = np.zeros((len(picked), self.seq_len), np.int32)
        for row, place in enumerate(picked * self.seq_len):
            piece = self._stream[place : place + self.seq_len]
            words[row, : len(piece)] = piece
            segments[row, : len(piece)] = 1
        if self._end is not None:
            ended = np.cumsum(words == self._end, axis=1)
            segments[:, 1:] += np.where(segments[:, 1:] > 0, ended[:, :-1], 0).astype(np.int32)
        return Batch(words, segments, np.zeros(words.shape, bool))

    @property
    def tokens_per_row(self) -> float:
        """Mean loss tokens of a row; of the first 2,048 of a longer text."""
        return self._tokens_per_row

    @functools.cached_property
    def _tokens_per_row(self) -> float:
        return loss_tokens(self._take(np.arange(min(self._rows, 2048))))

    @functools.cached_property
    def _digest(self) -> str:
        held = f" {self._held}" if self._held else ""
        digest = hashlib.sha256(f"text {self.seq_len} {self.seed} {self._end}{held}".encode())
        if self._packed is not None:
            for part in self._packed:
                digest.update(np.ascontiguousarray(part).tobytes())
        else:
            assert self._stream is not None
            for start in range(0, len(self._stream), _BLOCK):
                digest.update(self._stream[start : start + _BLOCK].astype(np.uint32).tobytes())
        return digest.hexdigest()[:16]

    def fingerprint(self) -> str:
        """Changes with any token, the row length and the seed."""
        return self._digest

    def questions(self, count: int | None = None) -> Questions:
        """The first questions of a file with `prompt` and `answer`; its answer is the right one.

        Args:
          count: how many; all by default.

        Raises:
          InputError: the file has no questions.
        """
        asked = self._documents[:count]
        if not asked:
            raise InputError(
                "there are no questions",
                source=self.name,
                remedy="give a JSONL file whose lines have 'prompt' and 'answer'",
            )
        lengths = np.asarray([len(answer) for _, answer in asked], np.int32)
        tasks, names = zip(*self._names[: len(asked)], strict=True)
        return Questions(
            task=np.asarray(tasks),
            difficulty=lengths,
            prompts=pad([prompt for prompt, _ in asked]),
            prompt_lengths=np.asarray([len(prompt) for prompt, _ in asked], np.int32),
            answers=pad([answer for _, answer in asked]),
            answer_lengths=lengths,
            owner=np.arange(len(asked), dtype=np.int32),
            names=np.asarray(names),
        )

    def check(self, task: str, prompt: Any, answer: Any) -> bool:
        """Whether an answer, eos included, is that of the file, whatever the task."""
        words = [int(token) for token in answer]
        if EOS not in words:
            return False
        words = tuple(words[: words.index(EOS) + 1])
        return (tuple(int(token) for token in prompt if token), words) in self._answered

    @functools.cached_property
    def _answered(self) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
        return {(tuple(prompt), tuple(answer)) for prompt, answer in self._documents}


def open_text(
    path: str | pathlib.Path,
    tokenizer: str | Tokenizer = "bytes",
    *,
    seq_len: int,
    seed: int = 0,
    dtype: str = "uint16",
    vocab_size: int | None = None,
    end: int | None = None,
    held_out: int = 0,
) -> TextSource:
    """Rows of a file of text or tokens, or of all such files in a folder.

    `.jsonl`: a line is an object with `text`, or with `prompt` and `answer`, and perhaps the
    question's own `task` and `id`; without an id it is named after its words. `.npy`, `.bin`: a
    flat array of tokens, taken as they are. Any other name: UTF-8 text, one document.

    Args:
      path: the file, or a folder whose files of one kind are read in the order of their names.
      tokenizer: `bytes`, a `tokenizer.json`, or an object that encodes; not for token arrays.
      seq_len: tokens of a row.
      seed: of the order of rows.
      dtype: of a `.bin` file: uint16, uint32, int32 or int64; refused where its tokens say another.
      vocab_size: of a token array; its largest token + 1 by default.
      end: token that ends a document of a token array; without it rows are not split.
      held_out: rows that are not trained on, at most a tenth.

    Returns:
      A source, with `questions()` when the file has prompts and answers.

    Raises:
      InputError: the file is missing, empty or malformed: says where and what to do.
    """
    files = _files(pathlib.Path(path))
    more: dict[str, Any] = {"seq_len": seq_len, "seed": seed, "name": str(path)}
    for file in files:
        _check_kind(file)
    if _kind(files[0]) in _ARRAYS:
        streams = [token_files.read(file, dtype) for file in files]
        sizes = [
            token_files.vocabulary(file, s, vocab_size)
            for file, s in zip(files, streams, strict=True)
        ]
        # One file stays on disk; several are read.
        stream = streams[0] if len(files) == 1 else np.concatenate(streams)
        return TextSource(stream, vocab_size=max(sizes), end=end, held_out=held_out, **more)
    encoder = load_tokenizer(tokenizer) if isinstance(tokenizer, str) else tokenizer
    texts: list[list[int]] = []
    documents: list[_Document] = []
    names: list[_Name] = []
    for file in files:
        if _kind(file) in _LINES:
            found, solved, named = _read_json(file, encoder, seq_len)
            texts += found
            documents += solved or []
            names += named
        else:
            text = _read_utf8(file)
            if not text.strip():
                raise InputError("the file is empty", source=str(file), remedy="give a text")
            texts.append(encoder.encode(text))
    if texts and documents:
        raise InputError(
            "texts and questions are mixed", source=str(path), remedy="put them in two folders"
        )
    stream = None
    if not documents:
        words = [token for text in texts for token in (BOS, *text, EOS)]
        stream = np.asarray(words, np.int32)
    return TextSource(
        stream,
        vocab_size=encoder.vocab_size,
        documents=documents or None,
        names=names or None,
        held_out=held_out,
        **more,
    )


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    """A file, or the files of a folder, which must be of one kind."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError("there is no such file", source=str(path), remedy="check the path")
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    kinds = {_kind(p) if _kind(p) in _ARRAYS else "text" for p in files}
    if len(kinds) != 1:
        raise InputError(
            "the folder is empty" if not files else "token arrays and text are mixed",
            source=str(path),
            remedy="give a folder of files of one kind",
        )
    return files


def _kind(path: pathlib.Path) -> str:
    """What a file's name says that it is, in whatever case."""
    return path.suffix.lower()


def _check_kind(path: pathlib.Path) -> None:
    """Refuse by its name what would be read as if it were plain text."""
    if _kind(path) in _OTHERS:
        raise InputError(
            f"a {path.suffix} file is neither text nor tokens",
            source=str(path),
            remedy="write .txt, .jsonl with one object a line, or one flat array as .npy or .bin",
        )


def _read_utf8(path: pathlib.Path) -> str:
    """The text of a file."""
    data = read_whole(path)
    if (place := data.find(b"\0")) >= 0:
        # UTF-16 without its mark is UTF-8 too, with a zero behind every letter.
        raise InputError(
            "there is a zero byte, which no text has",
            source=str(path),
            row=data.count(b"\n", 0, place) + 1,
            remedy="save the file as UTF-8",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "this is not UTF-8",
            source=str(path),
            row=data.count(b"\n", 0, error.start) + 1,
            remedy="save the file as UTF-8",
        ) from None


def _read_json(
    path: pathlib.Path, encoder: Tokenizer, seq_len: int
) -> tuple[list[list[int]], list[_Document] | None, list[_Name]]:
    """Texts, or questions and answers with their names, of a JSONL file."""
    texts: list[list[int]] = []
    documents: list[_Document] = []
    names: dict[_Name, int] = {}
    for row, line in enumerate(_read_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        place: dict[str, Any] = {"source": str(path), "row": row}
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(
                "this is not JSON", **place, remedy="write one JSON object a line"
            ) from None
        fields = ("text",) if isinstance(found, dict) and "text" in found else ("prompt", "answer")
        for field in fields:
            if not isinstance(found, dict) or not isinstance(found.get(field), str):
                raise InputError(
                    f"there is no string '{field}'",
                    **place,
                    remedy="give each line a 'text', or a 'prompt' and an 'answer'",
                )
            try:
                found[field].encode()
            except UnicodeEncodeError:
                raise InputError(
                    f"'{field}' holds half a surrogate pair, which no text has",
                    **place,
                    remedy="write the whole pair or leave it out",
                ) from None
        if (fields == ("text",) and documents) or (fields != ("text",) and texts):
            raise InputError(
                "texts and questions are mixed", **place, remedy="put them in two files"
            )
        if fields == ("text",):
            texts.append(encoder.encode(found["text"]))
            continue
        prompt = [BOS, *encoder.encode(found["prompt"])]
        answer = [*encoder.encode(found["answer"]), EOS]
        if len(answer) == 1:
            raise InputError("the answer is empty", **place, remedy="leave the line out")
        if len(prompt) + len(answer) > seq_len:
            raise InputError(
                f"question and answer have {len(prompt) + len(answer)} tokens",
                **place,
                remedy=f"a row has {seq_len}: raise seq_len or shorten the text",
            )
        documents.append((prompt, answer))
        named = _name_of(found, place)
        if named in names:
            raise InputError(
                f"question '{named[1]}' of '{named[0]}' stands in row {names[named]} already",
                **place,
                remedy="leave one out, or give each an 'id' of its own",
            )
        names[named] = row
    if not texts and not documents:
        raise InputError("the file has no lines", source=str(path), remedy="give it some text")
    return texts, documents or None, list(names)


def _name_of(found: dict[str, Any], place: dict[str, Any]) -> _Name:
    """Task and name of a question: the file's own, or a name made of its words.

    A name by position would be another question's in a file of another order, and tables of the
    two would join without an error.
    """
    told = {"task": found.get("task", "text"), "id": found.get("id", found.get("question"))}
    if told["id"] is None:
        words = f"{found['prompt']}\0{found['answer']}".encode()
        told["id"] = f"text-{hashlib.sha256(words).hexdigest()[:12]}"
    for field, value in told.items():
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise InputError(f"'{field}' is no name", **place, remedy="give a text or a number")
    return str(told["task"]), str(told["id"])
