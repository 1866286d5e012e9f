"""JSON lines and CSV of one row a sample, whoever wrote them (floor 1)."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from t2jax._progress import Meter
from t2jax.errors import InputError
from t2jax.importers._records import Paths, Record, find_files, json_lines, open_binary, show
from t2jax.importers._samples import JUDGED, Options, Samples
from t2jax.importers.catalogue import Checkpoint
from t2jax.observations import Observations, check_once

__all__ = ["plain_samples"]

_OURS = ("run", "task", "question", "correct", "params", "tokens", "trunk")
_WORDS = {"pass": 1.0, "passed": 1.0, "correct": 1.0, "yes": 1.0, "right": 1.0, "fail": 0.0,
          "failed": 0.0, "incorrect": 0.0, "wrong": 0.0, "no": 0.0}  # fmt: skip


def plain_samples(
    paths: Paths,
    runs: Any = None,
    *,
    columns: Mapping[str, str] | str | None = None,
    **options: Unpack[Options],
) -> Observations:
    """Rows of one sample each, counted into successes and trials.

    Every row is a trial: equal rows are equal samples, drawn twice.

    Args:
      paths: `.jsonl` or `.csv` files (perhaps `.gz`), or folders of them.
      runs: which run is which checkpoint: a table with `run`, `params`, `tokens` and perhaps
        `trunk`, or a mapping; not needed where the rows themselves have params and tokens.
      columns: our names -> theirs, for run, task, question, correct, params, tokens, trunk.
      options: see `Options`.

    Returns:
      A table of counts.

    Raises:
      InputError: a row that is no sample, or an unknown run.
    """
    files = find_files(
        paths, ["*.jsonl", "*.jsonl.gz", "*.csv", "*.csv.gz"], ".jsonl or .csv files"
    )
    samples = Samples(runs, options)
    named = _columns(columns)
    found: dict[str, tuple[float, float, str | None]] = {}
    for record in _records(files, samples, named.values()):
        task = record.name(named["task"]) if record.has(named["task"]) else "all"
        samples.no_nll(task, JUDGED)
        if not samples.wants(task):
            continue
        for ours in ("run", "question", "correct"):
            if named[ours] not in record.values:
                raise record.error(
                    f"has no field '{named[ours]}'",
                    remedy=f"say which of {', '.join(map(show, list(record.values)[:12]))} it is "
                    f"with --columns {ours}=...",
                )
        run = record.name(named["run"])
        right = _correct(record, named["correct"])
        if right is None:
            samples.unscored(record, f"{named['correct']} is neither right nor wrong")
            continue
        if record.has(named["params"]) and record.has(named["tokens"]):
            _agree(record, named, run, found)
        model = samples.model([run])
        question = record.name(named["question"])
        samples.add(model, task, question, record, successes=right, trial=-1)
    known = {
        run: Checkpoint(run=run, params=params, tokens=tokens, trunk=trunk)
        for run, (params, tokens, trunk) in found.items()
    }
    samples.manifest = samples.manifest.beside(known)
    return samples.table(str(files[0]) if len(files) == 1 else f"{len(files)} files of samples")


def _columns(given: Mapping[str, str] | str | None) -> dict[str, str]:
    pairs = given or {}
    if isinstance(pairs, str):
        parts = [part.partition("=") for part in pairs.split(",")]
        pairs = {ours.strip(): theirs.strip() for ours, _, theirs in parts}
    unknown = set(pairs) - set(_OURS)
    if unknown or not all(pairs.values()):
        raise InputError(
            f"columns names {show(min(unknown, default=''))}, which is not one of ours",
            remedy=f"write ours=theirs; ours are {', '.join(_OURS)}",
        )
    return {ours: pairs.get(ours, ours) for ours in _OURS}


def _correct(record: Record, field: str) -> float | None:
    value = record.values[field]
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if value is None or value == "":
        return None
    number = record.number(field)
    return number if number in (0, 1) else None


def _agree(
    record: Record,
    named: Mapping[str, str],
    run: str,
    found: dict[str, tuple[float, float, str | None]],
) -> None:
    """Remember a run's size and tokens, which every row must repeat."""
    trunk = record.name(named["trunk"]) if record.has(named["trunk"]) else None
    told = (record.number(named["params"]), record.number(named["tokens"]), trunk)
    if found.setdefault(run, told) != told:
        raise record.error(
            f"run {show(run)} has {told[0]:g} params and {told[1]:g} tokens here, "
            f"{found[run][0]:g} and {found[run][1]:g} before",
            remedy="give different checkpoints different run names",
        )


def _records(files: list[Path], samples: Samples, used: Iterable[str]) -> Iterator[Record]:
    lined = [path for path in files if not _is_csv(path)]
    yield from json_lines(lined, progress=samples.progress, on_bad=samples.broken)
    for path in files:
        if _is_csv(path):
            yield from _csv_rows(path, samples, used)


def _is_csv(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".csv")


def _csv_rows(path: Path, samples: Samples, used: Iterable[str]) -> Iterator[Record]:
    """The rows of a CSV file, one at a time."""
    meter = Meter(path.stat().st_size, "reading", show=samples.progress)
    source = str(path)
    with open_binary(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        header: list[str] = []
        row = 0
        while True:
            row += 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except (csv.Error, UnicodeDecodeError, OSError, EOFError) as error:
                raise InputError(f"cannot be read ({error})", source=source, row=row,
                                 remedy="repair the file") from None  # fmt: skip
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                check_once(header, used, source)
                continue
            if len(cells) != len(header):
                samples.broken(
                    InputError(
                        f"has {len(cells)} values where the header has {len(header)}",
                        source=source,
                        row=reader.line_num,
                        remedy="complete the line, or pass --drop-incomplete",
                    )
                )
                continue
            if row % 256 == 0 and path.suffix != ".gz":
                meter.to(raw.tell())
            yield Record(dict(zip(header, cells, strict=True)), source, reader.line_num)
    meter.close()
