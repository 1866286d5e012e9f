"""From a file or a frame to checked, complete columns (floor 1).

`observations.read` is the front door; this module opens, names, checks and lays out.
"""

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from t2jax._bounds import CUT_SHORT, read_whole
from t2jax.errors import InputError
from t2jax.observations import _checks, _naming, _runs, _units, _where
from t2jax.observations._cells import composed, show
from t2jax.observations._checks import Rows, first, n_rows
from t2jax.observations._pooled import one_experiment, pooled
from t2jax.observations._table import ArrowTable, FrameTable, Labels, ParquetTable, Table
from t2jax.observations._text_table import JsonTable, TextTable

__all__ = ["UNSTATED", "read_fields", "read_runs"]

UNSTATED = "unstated"
_SUFFIXES = {".csv": ",", ".tsv": "\t"}
_WORKBOOKS = {".xlsx", ".xls", ".xlsm", ".ods", ".numbers"}
_SHEET = "save the sheet as CSV, or read it with pandas.read_excel and give t2.read the frame"
_READABLE = "give a .csv, .tsv or .jsonl file (also .gz), a .parquet file, or a DataFrame"


def open_table(source: Any, separator: str | None) -> Table:
    """Open a file or a frame and read its header.

    Args:
      source: path to a CSV, TSV, JSONL or Parquet file, "-" for CSV on standard input,
        a data frame of pandas or polars, or an Arrow table.
      separator: the character between values; by default what the suffix says.
    """
    if isinstance(source, os.PathLike):
        source = os.fspath(source)
    if isinstance(source, Table):
        return source
    if not isinstance(source, str):
        if type(source).__module__.split(".")[0] == "polars" and "Lazy" in type(source).__name__:
            source = source.collect()
        if "pandas" in sys.modules and isinstance(source, sys.modules["pandas"].DataFrame):
            return FrameTable.open(source)
        if getattr(source, "__arrow_c_stream__", None) is not None:
            return ArrowTable.open(source)
        raise InputError(f"cannot read a table from a {type(source).__name__}", remedy=_READABLE)
    name = source
    if name == "-" and sys.stdin is None:
        raise InputError("is closed", source="standard input", remedy="name a file")
    if name == "-":
        return TextTable.open(sys.stdin.buffer.read(), "standard input", separator or ",")
    path = Path(source)
    zipped = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if zipped else path).suffix.lower()
    if not _exists(path):
        raise InputError("no such file", source=show(name), remedy="check the path")
    if path.is_dir():
        raise InputError("is a folder, not a table", source=name, remedy=_READABLE)
    if suffix == ".parquet" and not zipped:
        return ParquetTable.open(path, name)
    if suffix in _WORKBOOKS:
        raise InputError("is a workbook, not a table", source=name, remedy=_SHEET)
    if suffix not in {*_SUFFIXES, ".jsonl"}:
        kind = f"'{suffix}' files" if suffix else "a file without a suffix"
        raise InputError(f"cannot read {kind}", source=name, remedy=_READABLE)
    try:
        raw = read_whole(path, zipped=zipped)
    except CUT_SHORT as error:
        remedy = "copy the file again" if zipped else "check the permissions"
        raise InputError(f"cannot be read ({error})", source=name, remedy=remedy) from None
    if suffix == ".jsonl":
        return JsonTable.open(raw, name)
    return TextTable.open(raw, name, separator or _SUFFIXES[suffix])


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than the file system allows
        return False


def read_fields(
    source: Any,
    *,
    columns: Mapping[str, str] | str | None = None,
    params_definition: str = UNSTATED,
    units: Mapping[str, float] | str | None = None,
    drop_incomplete: bool = False,
    task: str | Sequence[str] | None = None,
    separator: str | None = None,
    where: str | None = None,
    common_questions: bool = False,
) -> dict[str, Any]:
    """The fields of `Observations`, read from a table; arguments as for `observations.read`."""
    named, factors = _naming.read_columns(columns), _naming.read_units(units)
    table = open_table(source, separator)
    naming = _naming.name_columns(table, named, by_task=task is not None)
    notes: list[str] = []
    if naming.ignored:
        more = f" and {len(naming.ignored) - 12} more" if len(naming.ignored) > 12 else ""
        notes.append(f"ignored columns {', '.join(map(show, naming.ignored[:12]))}{more}")
    rows = _load(table, naming)
    notes += table.notes
    if where is not None and where.strip():
        rows = _meeting(rows, where, notes)
    try:
        fields = _checked(rows, naming, factors, notes, params_definition=params_definition,
                          drop=drop_incomplete, task=task, common=common_questions)  # fmt: skip
    except InputError as error:
        error.args = (_where.besides(where, str(error)),)
        raise
    told = tuple(_where.besides(where, note) for note in dict.fromkeys(notes))
    return {**fields, "notes": told}


def _checked(
    rows: Rows, naming: _naming.Naming, factors: Mapping[str, float], notes: list[str], *,
    params_definition: str, drop: bool, task: str | Sequence[str] | None, common: bool,
) -> dict[str, Any]:  # fmt: skip
    """The fields of the rows that were kept, after every check; what was done is added to notes."""
    rows = _units.apply_units(rows, factors, naming, notes)
    rows, only_task = _choose_tasks(rows, task, notes)
    if "run" not in rows.labels:
        rows = _named(rows, naming, notes)
    _checks.check_summaries(rows)
    rows, dropped = _checks.complete(rows, drop)
    notes += dropped
    definition = _definition(rows, params_definition)
    _checks.check_ranges(rows)
    _checks.check_units(rows, factors.keys())
    _checks.check_constant(rows, "params")
    if "trunk" in rows.labels:
        _checks.check_constant(rows, "trunk")
    rows = _runs.tell_seeds_apart(rows, _keys(rows), notes)
    if naming.kind == "loss":
        fields = _loss_fields(rows, notes)
        asked = pooled(rows, _runs.identifying(rows.table, naming.theirs, naming.wide))
        notes += [asked] if asked else []
    elif naming.wide:
        fields = _wide_fields(rows, naming.wide, drop, only_task, notes)
    else:
        if common:
            rows = _common(rows, only_task, notes)
        fields = _question_fields(rows, naming.kind, drop, only_task, notes)
    known = {"params_definition": definition, "source": rows.table.source}
    return {**fields, "kind": naming.kind, **known}


def read_runs(
    source: Any, *, columns: Mapping[str, str] | str | None, where: str | None = None
) -> Rows:
    """A table of runs without measurements: `run`, `tokens`, and perhaps `params` and `trunk`.

    Raises:
      InputError: a value is missing or out of range, or a run is named twice.
    """
    table = open_table(source, None)
    rows = _load(table, _naming.name_columns(table, _naming.read_columns(columns), form="manifest"))
    if where is not None and where.strip():
        rows = _meeting(rows, where, [])
    rows, _ = _checks.complete(rows, drop=False)
    _checks.check_ranges(rows)
    _checks.check_unique(rows, rows.labels["run"].codes, "run")
    return rows


def _load(table: Table, naming: _naming.Naming) -> Rows:
    """Read the planned columns."""
    labels = {ours: name for ours, name in naming.theirs.items() if ours in _naming.LABELS}
    numbers = {ours: name for ours, name in naming.theirs.items() if ours in _naming.NUMBERS}
    every = [*numbers.values(), *naming.wide]
    if set(labels.values()) & set(every):
        # One column may serve as a name and as a number (a run named after its size).
        read, values = table.load(list(labels.values()), [])[0], table.load([], every)[1]
    else:
        read, values = table.load(list(labels.values()), every)
    cells = np.stack([values[name] for name in naming.wide], axis=1) if naming.wide else None
    return Rows(
        table=table,
        theirs=naming.theirs,
        labels={ours: read[name] for ours, name in labels.items()},
        numbers={ours: values[name] for ours, name in numbers.items()},
        cells=cells,
        index=np.arange(len(values[numbers["tokens"]])),
    )


def _meeting(rows: Rows, where: str, notes: list[str]) -> Rows:
    """The rows that meet a condition."""
    mask = _where.matching(rows.table, where, len(rows))
    if not mask.any():
        raise rows.table.error(
            f"no row meets the condition {show(where)}", remedy="correct it, or leave it out"
        )
    if not mask.all():
        notes.append(f"left out rows that do not meet {show(where)} {n_rows(int((~mask).sum()))}")
    return rows.keep(mask)


def _named(rows: Rows, naming: _naming.Naming, notes: list[str]) -> Rows:
    """Rows with runs named by what tells them apart, unless a column seems to name them."""
    assert naming.ask is not None
    if naming.perhaps:
        for _, labels in rows.table.names([naming.perhaps]):
            runs = labels.codes[rows.index]
            models = _pairs(runs, _codes(rows.numbers["params"])[0])[1]
            if models == len(np.unique(runs)):
                raise naming.ask
    free = _runs.identifying(rows.table, naming.theirs, (*naming.wide, *_naming.LABELS))
    return _runs.name_runs(rows, free, notes)


def _common(rows: Rows, only_task: str, notes: list[str]) -> Rows:
    """The questions that every checkpoint has."""
    checkpoint, n_checkpoints = _pairs(rows.labels["run"].codes, _codes(rows.numbers["tokens"])[0])
    question = rows.labels["question"].codes
    if "task" in rows.labels:
        question, _ = _pairs(rows.labels["task"].codes, question)
    asked = np.bincount(np.unique(np.stack([question, checkpoint]), axis=1)[0])
    mask = (asked == n_checkpoints)[question]
    if not mask.any():
        raise rows.table.error(
            f"no question is common to all {n_checkpoints} checkpoints",
            remedy="leave out the checkpoints that lack most, with --where",
        )
    if not mask.all():
        kept, known = int((asked == n_checkpoints).sum()), int((asked > 0).sum())
        notes.append(
            f"left out {known - kept} of {known} questions that some checkpoint lacks "
            f"{n_rows(int((~mask).sum()))}"
        )
    return rows.keep(mask)


def _choose_tasks(
    rows: Rows, task: str | Sequence[str] | None, notes: list[str]
) -> tuple[Rows, str]:
    """Keep the tasks that were asked for; without a task column, `task` names the only one."""
    if task is None:
        return rows, "all"
    wanted = [composed(str(name)) for name in ([task] if isinstance(task, str) else task)]
    if not wanted:
        raise rows.table.error("no task was named", remedy="name one or more, or none at all")
    if "task" not in rows.labels:
        if len(wanted) != 1:
            raise rows.table.error(
                "has no column 'task' to choose from", remedy="say with --columns which it is"
            )
        return rows, wanted[0]
    codes, names = rows.labels["task"]
    for name in wanted:
        if name not in names:
            tasks = ", ".join(show(str(name)) for name in names[:12])
            raise rows.table.error(
                f"has no task {show(name)}", column="task", remedy=f"its tasks are {tasks}"
            )
    mask = np.isin(codes, np.flatnonzero(np.isin(names, wanted)))
    if not mask.all():
        notes.append(f"left out other tasks {n_rows(int((~mask).sum()))}")
    return rows.keep(mask), "all"


def _definition(rows: Rows, given: str) -> str:
    """What N counts, from the caller or from a column that says it."""
    if "params_definition" not in rows.labels:
        return given
    codes, names = rows.labels["params_definition"]
    at = first(codes != codes[0])
    said = str(names[codes[0]])
    if at is not None:
        raise rows.error(
            f"N is {show(str(names[codes[at]]))} here and {show(said)} before",
            at=at,
            column="params_definition",
            remedy="convert N to one definition, or read the parts as two tables",
        )
    if given not in (UNSTATED, said):
        raise rows.error(
            f"the table says that N is {show(said)}, the caller {show(given)}",
            at=0,
            column="params_definition",
            remedy="correct one of them",
        )
    return said


# Layout -------------------------------------------------------------------------------------


def _codes(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Integers that name equal values alike, in order of first appearance, and their number."""
    _, places, codes = np.unique(values, return_index=True, return_inverse=True)
    order = np.empty(len(places), dtype=np.int64)
    order[np.argsort(places)] = np.arange(len(places))
    return order[codes], len(places)


def _pairs(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, int]:
    """Codes of pairs of codes."""
    return _codes(left.astype(np.int64) * (int(right.max()) + 1) + right)


def _first_rows(codes: np.ndarray, count: int) -> np.ndarray:
    """Where each code appears first."""
    places = np.empty(count, dtype=np.int64)
    places[codes[::-1]] = np.arange(len(codes))[::-1]
    return places


def _names(rows: Rows, name: str) -> np.ndarray:
    codes, names = rows.labels[name]
    return names[codes]


def _checkpoints(rows: Rows) -> dict[str, Any]:
    """The columns that describe a checkpoint."""
    return {
        "run": _names(rows, "run"),
        "params": rows.numbers["params"],
        "tokens": rows.numbers["tokens"],
        "trunk": _names(rows, "trunk") if "trunk" in rows.labels else None,
        "unique_tokens": rows.numbers.get("unique_tokens"),
    }


def _keys(rows: Rows) -> np.ndarray:
    """One integer per row for what may not occur twice: run, tokens, and k or question."""
    keys, _ = _pairs(rows.labels["run"].codes, _codes(rows.numbers["tokens"])[0])
    if "samples" in rows.numbers:
        keys, _ = _pairs(keys, _codes(rows.numbers["samples"])[0])
    for name in ("task", "question") if "question" in rows.labels else ():
        if name in rows.labels:
            keys, _ = _pairs(keys, rows.labels[name].codes)
    return keys


def _unique(rows: Rows, keys: np.ndarray, names: str) -> None:
    _checks.check_unique(rows, keys, names, functools.partial(one_experiment, rows, keys))


def _loss_fields(rows: Rows, notes: list[str]) -> dict[str, Any]:
    keys, samples = _keys(rows), rows.numbers.get("samples")
    _unique(rows, keys, "run and tokens" if samples is None else "run, tokens and k")
    loss = rows.numbers["loss"]
    _runs.same_numbers(rows, [loss, *([] if samples is None else [samples])], notes)
    return {**_checkpoints(rows), "samples": samples, "loss": loss}


def _wide_fields(
    rows: Rows, columns: tuple[str, ...], drop: bool, task: str, notes: list[str]
) -> dict[str, Any]:
    """One row per checkpoint and one column per question; the question's name is the column's."""
    keys, _ = _pairs(rows.labels["run"].codes, _codes(rows.numbers["tokens"])[0])
    _unique(rows, keys, "run and tokens")
    _checks.check_cells(rows, columns, drop)
    assert rows.cells is not None
    if "task" in rows.labels:
        codes, names = rows.labels["task"]
        if (codes != codes[0]).any():
            raise rows.table.error(
                "has several tasks in a wide table", column="task", remedy="name one with --task"
            )
        task = str(names[codes[0]])
    present = np.isfinite(rows.cells)
    if not present.any(axis=1).all():
        # In the long form such a checkpoint has no row at all.
        empty = ~present.any(axis=1)
        if empty.all():
            raise _checks.no_row(rows.table)
        notes.append(f"left out rows without any value {n_rows(int(empty.sum()))}")
        rows, present = rows.keep(~empty), present[~empty]
    asked = present.sum(axis=0) * 2 > len(rows)
    keep = present[:, asked].all(axis=1)
    if not asked.any() or not keep.any():
        raise _nothing_left(rows)
    if not keep.all():
        count = int((~keep).sum())
        notes.append(_lacking(count, len(rows), int(asked.sum()), count))
    if not asked.all():
        notes.append(f"left out {int((~asked).sum())} questions that most checkpoints lack")
    kept = rows.keep(keep)
    assert kept.cells is not None
    question = np.array(columns)[asked]
    tasks = np.full(len(question), task)
    return {**_checkpoints(kept), "nll": kept.cells[:, asked], "question": question, "task": tasks}


def _question_fields(
    rows: Rows, kind: str, drop: bool, only_task: str, notes: list[str]
) -> dict[str, Any]:
    """One row per checkpoint and question."""
    runs = rows.labels["run"].codes
    checkpoint, n_checkpoints = _pairs(runs, _codes(rows.numbers["tokens"])[0])
    tasks = rows.labels.get("task") or Labels(np.zeros_like(runs), np.array([only_task]))
    question, n_questions = _pairs(tasks.codes, rows.labels["question"].codes)
    _unique(rows, checkpoint * n_questions + question, "run, tokens and question")

    asked = np.bincount(question, minlength=n_questions) * 2 > n_checkpoints
    have = np.bincount(checkpoint[asked[question]], minlength=n_checkpoints)
    lacks = have < asked.sum()
    if lacks.any() or not asked.all():
        bad = lacks[checkpoint] | ~asked[question]
        if not drop:
            raise _ragged(rows, checkpoint, question, asked, have, int(np.argmax(bad)))
        if bad.all():
            raise _nothing_left(rows)
        if lacks.any():
            gone = int(lacks[checkpoint].sum())
            notes.append(_lacking(int(lacks.sum()), n_checkpoints, int(asked.sum()), gone))
        extra = int((bad & ~lacks[checkpoint]).sum())
        if extra:
            others = len(np.unique(question[bad & ~lacks[checkpoint]]))
            note = f"left out {others} questions that most checkpoints lack"
            notes.append(f"{note} {n_rows(extra)}")
        return _question_fields(rows.keep(~bad), kind, drop, only_task, notes)

    at_checkpoint = rows.keep(_first_rows(checkpoint, n_checkpoints))
    at_question = _first_rows(question, n_questions)
    fields = {
        **_checkpoints(at_checkpoint),
        "question": _names(rows, "question")[at_question],
        "task": tasks.names[tasks.codes[at_question]],
    }
    for name in ("nll",) if kind == "nll" else ("successes", "trials"):
        fields[name] = np.empty((n_checkpoints, n_questions))
        fields[name][checkpoint, question] = rows.numbers[name]
    return fields


def _lacking(count: int, total: int, questions: int, gone: int) -> str:
    return (
        f"left out {count} of {total} checkpoints that lack some of the {questions} questions "
        f"{n_rows(gone)}"
    )


def _nothing_left(rows: Rows) -> InputError:
    return rows.table.error(
        "no checkpoint has all the questions that most checkpoints have",
        remedy="ask every checkpoint the same questions",
    )


def _ragged(
    rows: Rows,
    checkpoint: np.ndarray,
    question: np.ndarray,
    asked: np.ndarray,
    have: np.ndarray,
    at: int,
) -> InputError:
    """The error for a table in which not every checkpoint has every question."""
    n_asked, n_checkpoints = int(asked.sum()), len(have)
    if not n_asked:
        return _nothing_left(rows)
    here = int(checkpoint[at])
    run, tokens = _names(rows, "run")[at], rows.numbers["tokens"][at]
    if have[here] < n_asked:
        problem = (
            f"checkpoint {show(str(run))} at {tokens:.6g} tokens has {int(have[here])} of the "
            f"{n_asked} questions that most checkpoints share"
        )
    else:
        times = int((question == question[at]).sum())
        name = _names(rows, "question")[at]
        problem = f"question {show(str(name))} is asked of {times} of {n_checkpoints} checkpoints"
    lacking, others = int((have < n_asked).sum()), int((~asked[question]).sum())
    return rows.error(
        f"{problem} ({lacking} of {n_checkpoints} checkpoints lack a question, {others} rows are "
        "of questions that most lack)",
        at=at,
        column="question",
        remedy="complete the table, or pass --drop-incomplete to leave these rows out",
    )
