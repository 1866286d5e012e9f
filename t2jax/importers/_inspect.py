"""Inspect: `.eval`, a zip of JSON members, and `.json` (floor 1).

Epochs are trials. A score is C, I, P or N, or a number; partial credit is neither right nor wrong.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

from t2jax.errors import InputError
from t2jax.importers._manifest import at_revision
from t2jax.importers._records import Paths, Record, as_number, find_files, json_document, show
from t2jax.importers._samples import JUDGED, Options, Samples
from t2jax.importers._zip import Archive
from t2jax.observations import Observations, decode_json

__all__ = ["inspect"]

_LETTERS = {"C": 1.0, "I": 0.0, "N": 0.0, "yes": 1.0, "no": 0.0}


def inspect(
    paths: Paths, runs: Any = None, *, metric: str = "", **options: Unpack[Options]
) -> Observations:
    """Logs of Inspect as a question table of successes and trials, one trial an epoch.

    Args:
      paths: `.eval` or `.json` logs, or folders of them.
      runs: which model is which checkpoint: a table with `run`, `params`, `tokens` and perhaps
        `trunk`, or a mapping from names to `(params, tokens)`.
      metric: the scorer whose verdict is read, where a log has several; `scorer.key` where its
        verdict is a mapping.
      options: see `Options`.

    Returns:
      A table of counts; its notes say what was left out and why.

    Raises:
      InputError: a damaged log, an unknown model, a sample that was not scored.
      Refusal: likelihoods were asked for, which such logs do not have.

    Source: UK AI Security Institute, inspect.aisi.org.uk; log format version 2.
    """
    files = find_files(paths, ["*.eval", "*.json"], "the .eval or .json logs of Inspect")
    samples = Samples(runs, options)
    for path in files:
        log = _Zipped(path, samples) if path.suffix != ".json" else _Plain(path)
        try:
            _read(log, samples, metric)
        finally:
            log.close()
    return samples.table(str(files[0]) if len(files) == 1 else f"{len(files)} logs of Inspect")


class _Plain:
    """A log that is one JSON file."""

    def __init__(self, path: Path):
        found = json_document(path)
        if not isinstance(found, dict) or "eval" not in found:
            raise InputError("is no log of Inspect", source=str(path), remedy="leave it out")
        self.header = Record(found, str(path))

    def samples(self) -> Iterator[Record]:
        return iter(self.header.records("samples") if self.header.has("samples") else [])

    def close(self) -> None:
        """Nothing is open."""


class _Zipped:
    """A log that is a zip file, of which one sample at a time is in memory."""

    def __init__(self, path: Path, samples: Samples):
        self._archive, self._path = Archive(path), path
        self._progress = samples.progress
        name = next((n for n in ("header.json", "_journal/start.json") if n in self._archive), "")
        if not name:
            raise InputError("is no log of Inspect", source=str(path), remedy="leave it out")
        if name != "header.json":
            samples.note(f"{path.name} was interrupted: the samples written so far are read")
        self.header = self._record(name, self._archive.read(name))

    def samples(self) -> Iterator[Record]:
        names = [name for name in self._archive.names("samples/") if name.endswith(".json")]
        for name, content in self._archive.each(names, progress=self._progress):
            yield self._record(name, content)

    def close(self) -> None:
        """Close the file."""
        self._archive.__exit__()

    def _record(self, name: str, content: bytes) -> Record:
        source = f"{self._path}, {name}"
        try:
            found = decode_json(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"is not JSON ({error})", source=source, remedy="copy the file again"
            ) from None
        if not isinstance(found, dict):
            raise InputError("is not a JSON object", source=source, remedy="copy the file again")
        return Record(found, source)


def _read(log: "_Plain | _Zipped", samples: Samples, metric: str) -> None:
    spec = log.header.record("eval")
    task, name = spec.name("task"), spec.name("model")
    given = spec.values.get("model_args")
    revision = given.get("revision") if isinstance(given, dict) else None
    names = [name, name.partition("/")[2]] if "/" in name else [name]
    model = samples.model(at_revision(names, revision))
    samples.no_nll(task, JUDGED)
    for record in log.samples():
        if not samples.wants(task):
            continue
        question = record.name("id")
        if record.has("error"):
            samples.unscored(record, f"sample {show(question)} ended in an error")
            continue
        right = _verdict(record, metric, samples)
        if right is not None:
            epoch = record.whole("epoch") if record.has("epoch") else 1
            samples.add(model, task, question, record, successes=right, trial=epoch)


def _verdict(record: Record, metric: str, samples: Samples) -> float | None:
    """1 for right, 0 for wrong, None for a sample that was left out."""
    scorer, _, key = metric.partition(".")
    if not record.has("scores") or not record.record("scores").values:
        samples.unscored(record, f"sample {show(record.name('id'))} has no score")
        return None
    scores = record.record("scores")
    if not scorer and len(scores.values) > 1:
        raise scores.error(
            f"{len(scores.values)} scorers judged the sample",
            remedy=f"name one with --metric: {', '.join(map(str, scores.values))}",
        )
    scorer = scorer or next(iter(scores.values))
    if scorer not in scores.values:
        raise scores.error(
            f"no scorer {show(scorer)}", remedy=f"they are {', '.join(map(str, scores.values))}"
        )
    value = scores.record(scorer).values.get("value")
    if isinstance(value, dict):
        if key not in value:
            raise scores.error(
                f"{show(scorer)} gives several values",
                scorer,
                remedy=f"name one: --metric {scorer}.{next(iter(value), 'key')}",
            )
        value = value[key]
    number = _LETTERS.get(value) if isinstance(value, str) else None
    number = as_number(value) if number is None else number
    if number is None or number not in (0, 1):
        why = f"scored {show(value)}, which is neither right nor wrong"
        if value is None or (number is not None and math.isnan(number)):
            why = "was not scored"
        samples.unscored(record, f"sample {show(record.name('id'))} {why}")
        return None
    return number
