"""`t2jax evaluate`: checkpoints in, a question table out."""

import dataclasses
import json
import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from t2jax import _text
from t2jax._progress import track
from t2jax.cli import _terminal
from t2jax.cli._options import arg, positional
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.trainer.batches import Questions
    from t2jax.trainer.corpus import Corpus
    from t2jax.trainer.text import TextSource

__all__ = ["CheckpointOptions", "Command", "find_checkpoints", "mean_of_tasks"]

_MODES = ("likelihood", "sample", "both")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """Which checkpoints, and what they are asked about."""

    checkpoints: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        positional("folders of `t2jax train`, or of a ladder for all of its points", "CKPT"),
    ]
    data: Annotated[
        str, arg("corpus:tiny, corpus:small, corpus:large or a JSONL file of questions", "DATA")
    ] = "corpus:small"
    tokenizer: Annotated[
        str, arg("of a JSONL file: bytes, or a tokenizer.json of Hugging Face", "NAME")
    ] = "bytes"

    def source(self, seq_len: int, data: str = "") -> "Corpus | TextSource":
        """The corpus or file behind `--data`, or behind another option of that form."""
        from t2jax.trainer import corpus, text

        data = data or self.data
        if data.startswith("corpus:"):
            return corpus.Corpus(data.removeprefix("corpus:"), seq_len=seq_len)
        return text.open_text(data, self.tokenizer, seq_len=seq_len)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CheckpointOptions):
    """Ask checkpoints the same questions and write the table that `t2jax fit` reads.

    Example: t2jax evaluate run/ --mode both --samples 64 --out answers.csv
    """

    task: Annotated[
        str, arg("a public task: arc-easy, sciq, openbookqa, lambada; its file is --data", "TASK")
    ] = ""
    mode: Annotated[str, arg("likelihood, sample or both", "MODE")] = "likelihood"
    tasks: Annotated[str, arg("ask these tasks only", "TASK,...")] = ""
    questions: Annotated[int, arg("questions of each task", "COUNT")] = 150
    kind: Annotated[str, arg("standard, or long for the longest answers", "KIND")] = "standard"
    split: Annotated[str, arg("eval, dev or finetune", "SPLIT")] = "eval"
    samples: Annotated[int, arg("answers sampled to each question", "K")] = 64
    temperature: Annotated[float, arg("divides the logits; 0 takes the likeliest token", "T")] = 1.0
    top_p: Annotated[float, arg("sample from the likeliest tokens holding this share", "P")] = 1.0
    seed: Annotated[int, arg("of the samples", "SEED")] = 0
    out: Annotated[
        str, arg("write CSV, TSV, JSONL or Parquet; two files in mode 'both'", "FILE", "-o")
    ] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Load, ask, write, print."""
        self._check()
        import numpy as np

        from t2jax.trainer import checkpoint, evaluate

        folders = find_checkpoints(self.checkpoints)
        asked: dict[int, Questions] = {}
        shapes, cards, nll, successes = [], [], [], []
        questions = None
        _terminal.announce(f"asking {len(folders)} checkpoints")
        for folder in track(folders, "asking"):
            shape, params, card = checkpoint.load_params(folder)
            if shape.seq_len not in asked:
                asked[shape.seq_len] = self._questions(shape.seq_len)
            questions = asked[shape.seq_len]
            cards.append(card)
            shapes.append(shape)
            if self.mode != "sample":
                found = evaluate.likelihood(params, shape, questions, temperature=self.temperature)
                nll.append(found)
            if self.mode != "likelihood":
                successes.append(self._sampled(params, shape, questions))
        cards = _named(cards, folders, [shape.params for shape in shapes])
        assert questions is not None
        tables = {}
        if nll:
            tables["nll"] = evaluate.question_table(questions, cards, nll=np.stack(nll))
        if successes:
            tables["counts"] = evaluate.question_table(
                questions, cards, successes=np.stack(successes), trials=self.samples
            )
        for name, table in tables.items():
            if self.out:
                # One table holds one kind of measurement: `t2jax fit` reads either file as it is.
                path = pathlib.Path(self.out)
                single = len(tables) == 1
                path = path if single else path.with_name(f"{path.stem}.{name}{path.suffix}")
                sampling = {"temperature": self.temperature}
                table.write(path, sampling if name == "nll" else {**sampling, "top_p": self.top_p})
        measured = {}
        if nll:
            measured["NLL"] = nll
        if successes:
            measured["solved"] = [found / self.samples for found in successes]
        rows = [
            {
                "run": card["run"],
                "params": card["params"],
                "tokens": card["tokens"],
                "measure": name,
                **mean_of_tasks(questions, values[i]),
            }
            for name, values in measured.items()
            for i, card in enumerate(cards)
        ]
        _terminal.say(json.dumps(rows) if self.json else _as_text(rows))

    def _check(self) -> None:
        """Refuse what cannot be meant, before any checkpoint is asked."""
        from t2jax.observations import check_suffix

        if self.mode not in _MODES:
            raise InputError(f"--mode is '{self.mode}'", remedy=f"use {', '.join(_MODES)}")
        if self.mode != "sample" and self.top_p != 1:
            raise InputError(
                f"a likelihood under top-p {self.top_p:g} is not computed",
                remedy="leave --top-p out, or use --mode sample",
            )
        if self.out:
            check_suffix(self.out)
        if self.questions < 1:
            raise InputError(
                f"--questions is {self.questions}", remedy="give a whole number of at least 1"
            )
        if self.mode == "likelihood":
            known = {field.name: field.default for field in dataclasses.fields(self)}
            for name in ("samples", "seed"):
                if getattr(self, name) != known[name]:
                    raise InputError(
                        f"--{name} says nothing in mode 'likelihood'",
                        remedy="leave it out, or use --mode sample",
                    )
        elif self.temperature == 0 and self.samples > 1:
            raise InputError(
                f"at temperature 0 the {self.samples} samples of a question are one and the same",
                remedy="give --samples 1, or a temperature above 0",
            )

    def _sampled(self, params: Any, shape: Any, questions: "Questions") -> Any:
        """Successes of a checkpoint; nothing ends the answer of a public task."""
        import jax

        from t2jax.trainer import evaluate
        from t2jax.trainer.tokens import EOS

        return evaluate.sampled(
            params,
            shape,
            questions,
            samples=self.samples,
            key=jax.random.key(self.seed),
            temperature=self.temperature,
            top_p=self.top_p,
            stop=EOS if self.task else None,
        )

    def _questions(self, seq_len: int) -> "Questions":
        from t2jax.trainer import evaluate
        from t2jax.trainer.corpus import Corpus

        if self.task:
            from t2jax.trainer.public_tasks import open_task
            from t2jax.trainer.tokens import load_tokenizer

            file = "" if self.data.startswith("corpus:") else self.data
            encoder = load_tokenizer(self.tokenizer)
            return open_task(self.task, encoder, file=file, count=self.questions)
        source = self.source(seq_len)
        if isinstance(source, Corpus):
            found = source.questions(self.questions, kind=self.kind, split=self.split)
        else:
            found = source.questions(self.questions)
        tasks = [name.strip() for name in self.tasks.split(",") if name.strip()]
        return evaluate.select_tasks(found, tasks) if tasks else found


def find_checkpoints(names: tuple[str, ...]) -> list[pathlib.Path]:
    """Folders that hold parameters, in the order given; those of a ladder by name.

    Raises:
      InputError: a folder holds none.
    """
    if not names:
        raise InputError("no checkpoint is named", remedy="name folders of `t2jax train`")
    found: list[pathlib.Path] = []
    for name in names:
        place = pathlib.Path(name)
        options = [[place], [place / "params"], sorted(place.glob("points/*/params"))]
        here = next((o for o in options if o and (o[0] / "card.json").is_file()), None)
        if here is None:
            raise InputError(
                "holds no checkpoint",
                source=name,
                remedy="name a folder that `t2jax train` or `t2jax ladder` wrote",
            )
        found += here
    return found


def _named(
    cards: list[dict[str, Any]], folders: list[pathlib.Path], sizes: list[int]
) -> list[dict[str, Any]]:
    """Run, N and D of checkpoints, as their cards tell them, each under a name of its own.

    Raises:
      InputError: a card says no tokens, or one checkpoint is named twice.
    """
    places = [_home(folder) for folder in folders]
    names = []
    for card, folder, place in zip(cards, folders, places, strict=True):
        if places.count(place) > 1:
            raise InputError("is named twice", source=str(folder), remedy="name it once")
        if "tokens" not in card:
            raise InputError(
                "does not say how many tokens it was trained on",
                source=str(folder),
                remedy="add 'tokens' to its card.json",
            )
        variant = card.get("variant", "base")
        names.append(
            str(card.get("run", place.name)) + ("" if variant == "base" else f"-{variant}")
        )
    checkpoints = [(name, card["tokens"]) for name, card in zip(names, cards, strict=True)]
    for i, one in enumerate(checkpoints):
        if checkpoints.count(one) > 1:
            alike = [
                place for place, other in zip(places, checkpoints, strict=True) if other == one
            ]
            names[i] = f"{_apart(places[i], alike)}/{names[i]}"
    return [
        {**card, "run": name, "params": size}
        for card, name, size in zip(cards, names, sizes, strict=True)
    ]


def _home(folder: pathlib.Path) -> pathlib.Path:
    """The folder of a checkpoint, whose parameters may stand in one of their own."""
    place = folder.resolve()
    return place.parent if place.name == "params" else place


def _apart(place: pathlib.Path, alike: list[pathlib.Path]) -> str:
    """The least part of the path in front of a folder that sets it apart from its namesakes."""
    above = place.parts[:-1]
    for depth in range(1, len(above)):
        if sum(other.parts[:-1][-depth:] == above[-depth:] for other in alike) == 1:
            return "/".join(above[-depth:])
    return str(place)


def mean_of_tasks(questions: "Questions", values: Any) -> dict[str, float]:
    """Means by task, and the mean of these."""
    from t2jax.trainer import evaluate

    means = evaluate.task_means(questions, values)
    return {**means, "mean": sum(means.values()) / len(means)}


def _as_text(rows: list[dict[str, Any]]) -> str:
    """One line per checkpoint and measure."""
    shown = {"params": _text.count, "tokens": _text.count}
    return _text.table(
        list(rows[0]),
        [
            [
                value if isinstance(value, str) else shown.get(name, _text.number)(value)
                for name, value in row.items()
            ]
            for row in rows
        ],
    )
