"""Samples of evaluations, collected one by one and made into a question table (floor 1, private).

A sample is a run, a task, a question, and what was measured: the NLL of the right answer, or
whether the sample was right, or both. Each takes some fifty bytes here, whatever it took in its
log, and each ends in the table or in a note that says why not.
"""

import array
import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np

from t2jax.errors import InputError, Refusal
from t2jax.importers._manifest import Manifest
from t2jax.importers._records import Record, listing, show
from t2jax.importers.catalogue import LADDERS, Checkpoint
from t2jax.observations import UNSTATED, Observations, from_columns

__all__ = ["CONTINUATION", "JUDGED", "Options", "Samples"]

NAN = float("nan")
MEASURES = ("nll", "counts")

JUDGED = "its answers were generated and judged"
CONTINUATION = (
    "an NLL is that of the right choice as a continuation of the prompt: exp(-nll) is the chance "
    "that a sample at temperature 1 begins with it, not that of choosing it among the options"
)


class Options(TypedDict, total=False):
    """What every importer of samples takes besides its paths and runs.

    Attributes:
      catalogue: a public ladder that knows params and tokens: pythia, olmo-ladder, olmo2,
        gemstones.
      params_definition: what N counts.
      measure: "nll" or "counts"; by default NLLs where every sample has one.
      task: keep these tasks only.
      drop_incomplete: leave out broken lines, unscored samples and checkpoints that lack
        questions, and say how many.
      common_questions: keep only the questions that every checkpoint was asked.
      progress: draw a bar on a terminal.
    """

    catalogue: str | None
    params_definition: str
    measure: str
    task: str | Sequence[str] | None
    drop_incomplete: bool
    common_questions: bool
    progress: bool


class _Group(NamedTuple):
    """The samples of one table, column by column."""

    run: np.ndarray
    question: np.ndarray
    nll: np.ndarray
    successes: np.ndarray
    trials: np.ndarray
    trial: np.ndarray
    place: np.ndarray

    def keep(self, mask: np.ndarray) -> "_Group":
        return _Group(*(column[mask] for column in self))


class Samples:
    """Everything that the logs of one call say.

    Args:
      runs: the table of runs, as `Manifest.open` takes it.
      options: what the caller asked for.
    """

    def __init__(self, runs: Any, options: Options):
        unknown = set(options) - set(Options.__annotations__)
        if unknown:
            raise InputError(
                f"no option '{min(unknown)}'",
                remedy=f"the options are {', '.join(Options.__annotations__)}",
            )
        self.options = options
        self.measure = options.get("measure") or ""
        if self.measure not in ("", *MEASURES):
            raise InputError(f"measure is '{self.measure}'", remedy="use nll or counts")
        self.drop = options.get("drop_incomplete", False)
        self.progress = options.get("progress", True)
        given = options.get("params_definition", UNSTATED)
        self.manifest = Manifest.open(runs, options.get("catalogue"), given)
        self.notes: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self._left = collections.Counter[str]()
        self._models: dict[tuple[str, ...], int] = {}
        self._params: dict[int, float] = {}
        self._tasks: dict[str, int] = {}
        # Of a question its number by task and name; by number its task and its document's hash.
        self._names: list[dict[str, int]] = []
        self._task_of = array.array("i")
        self._documents = array.array("q")
        self._sources: dict[str, int] = {}
        self._columns = [array.array(kind) for kind in "iidddqq"]

    # Collecting -----------------------------------------------------------------------------

    def model(self, names: Sequence[str], params: float | None = None) -> int:
        """The number of a model that goes by some names, and its size where the log says it."""
        code = self._models.setdefault(tuple(names), len(self._models))
        if params is not None:
            self._params[code] = params
        return code

    def add(
        self,
        model: int,
        task: str,
        question: str,
        record: Record,
        *,
        nll: float | None = None,
        successes: float | None = None,
        trials: float = 1,
        trial: int = 0,
    ) -> None:
        """One record of a log.

        Args:
          model: from `model`.
          task: its task.
          question: its question's name in the task.
          record: where it stands.
          nll: nats of the right answer, summed over its tokens, or None.
          successes: how many of its trials were right, or None.
          trials: how many there were.
          trial: the number of its trial; -1 where equal records are trials and no repetition.
        """
        if nll is not None and not nll >= 0:
            # A log-likelihood of 1e-9 above 0 is rounding, more is no log-probability.
            if not nll > -1e-4:
                raise record.error(
                    f"the log-likelihood {-nll:.6g} is above 0 and no log-probability",
                    remedy="leave this file out",
                )
            nll = 0.0
        place = self._sources.setdefault(record.source, len(self._sources)) << 40
        values = (
            model,
            self._question(task, question),
            NAN if nll is None else nll,
            NAN if successes is None else successes,
            trials,
            trial,
            place | (record.row or 0),
        )
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def _question(self, task: str, name: str) -> int:
        """The number of a question."""
        at = self._tasks.setdefault(task, len(self._tasks))
        while len(self._names) < len(self._tasks):
            self._names.append({})
        code = self._names[at].setdefault(name, len(self._task_of))
        if code == len(self._task_of):
            self._task_of.append(at)
            self._documents.append(0)
        return code

    def same_document(self, task: str, question: str, document: str) -> bool:
        """Whether a question is the document that it was when it was first met."""
        code, told = self._question(task, question), hash(document) or 1
        if self._documents[code] == 0:
            self._documents[code] = told
        return self._documents[code] == told

    def wants(self, task: str) -> bool:
        """Whether a task was asked for; a sample of another is left out."""
        self._tasks.setdefault(task, len(self._tasks))
        wanted = self.options.get("task")
        if not wanted or task in ([wanted] if isinstance(wanted, str) else wanted):
            return True
        self.leave_out("samples of other tasks")
        return False

    def leave_out(self, why: str, count: int = 1) -> None:
        """Samples of a log that no table has; told in the notes."""
        self._left[why] += count

    def unscored(self, record: Record, why: str) -> None:
        """A sample that was not scored: an error, or left out where that was asked for."""
        if not self.drop:
            raise record.error(why, remedy="pass --drop-incomplete to leave such samples out")
        self.leave_out(f"samples of which one is: {why}")

    def broken(self, error: InputError) -> None:
        """A line that cannot be read: an error, or left out where that was asked for."""
        if not self.drop:
            raise error
        self.leave_out("lines that are cut or broken")

    def note(self, text: str, measure: str = "") -> None:
        """Say something once beside the table, or beside one of this measure only."""
        self.notes[text] = measure

    def no_nll(self, task: str, reason: str) -> None:
        """Why a task has no probability of its right answers."""
        self.reasons.setdefault(task, reason)

    # The table ------------------------------------------------------------------------------

    def table(self, source: str) -> Observations:
        """The question table of all samples.

        Raises:
          InputError: no sample, unknown models, or samples that contradict each other.
          Refusal: the measure that was asked for is not in the log.
        """
        self._check_tasks(source)
        rows = _Group(*(np.array(column) for column in self._columns))
        self._columns = []  # as large as the rows, and not needed again
        if not len(rows.run):
            left = "; ".join(f"left out {why}" for why in self._left)
            raise InputError(
                f"holds no scored sample{' (' + left + ')' if left else ''}",
                source=source,
                remedy="name the log that the tool writes per sample",
            )
        measure = self._measured(rows, source)
        rows, known = self._named(self._complete(rows, measure), source)
        rows = self._once(rows, measure)
        columns = self._laid_out(rows, measure, known)
        del rows
        self._names = []
        options = {"drop_incomplete": self.drop}
        options["common_questions"] = self.options.get("common_questions", False)
        definition = self.manifest.definition
        if definition == UNSTATED and self.manifest.catalogue and not self.manifest.known:
            definition = LADDERS[self.manifest.catalogue].definition
        if definition == UNSTATED and self._params and self.manifest.counts_by_log():
            definition = "total"
        notes = [text for text, only in self.notes.items() if only in ("", measure)]
        notes += [f"left out {why} ({_rows(count)})" for why, count in self._left.items()]
        table = from_columns(
            columns, source=source, notes=notes, params_definition=definition, **options
        )
        # The table's notes count its rows, which may be several samples each.
        total = len(columns["params"]) if measure == "nll" else columns["trials"].sum()
        held = table.n_rows * table.n_questions if table.trials is None else table.trials.sum()
        if held < total:
            lost = f"checkpoints and questions that were left out held {int(total - held)} samples"
            table = dataclasses.replace(table, notes=(*table.notes, lost))
        return table

    def _check_tasks(self, source: str) -> None:
        """Refuse a task that was asked for and is not there."""
        wanted = self.options.get("task") or []
        for name in [wanted] if isinstance(wanted, str) else wanted:
            if name not in self._tasks:
                listed = ", ".join(map(show, list(self._tasks)[:12])) or "none"
                raise InputError(
                    f"no task {show(name)}", source=source, remedy=f"the tasks are {listed}"
                )

    def _question_names(self) -> list[str]:
        """Names of all questions, by number."""
        names = [""] * len(self._task_of)
        for each in self._names:
            for name, code in each.items():
                names[code] = name
        return names

    def _measured(self, rows: _Group, source: str) -> str:
        """Whether the table holds NLLs or counts."""
        names = np.array(list(self._tasks))
        task = np.array(self._task_of)[rows.question]
        have = {
            "nll": set(names[np.unique(task[np.isfinite(rows.nll)])].tolist()),
            "counts": set(names[np.unique(task[np.isfinite(rows.successes)])].tolist()),
        }
        every = set(names[np.unique(task)].tolist())
        full = [measure for measure in MEASURES if have[measure] == every]
        if self.measure and self.measure not in full:
            lack = min(every - have[self.measure])
            what = "likelihoods" if self.measure == "nll" else "right or wrong samples"
            reason = self.reasons.get(lack, "") if self.measure == "nll" else ""
            other = MEASURES[self.measure == "nll"]
            raise Refusal(
                f"{source}: task {show(lack)} has no {what}" + (f": {reason}" if reason else ""),
                remedy=f"pass --measure {other}, or name other tasks with --task",
            )
        if not full:
            raise InputError(
                f"task {show(min(every - have['nll']))} has only right or wrong samples, "
                f"{show(min(every - have['counts']))} only likelihoods",
                source=source,
                remedy="one table holds one kind: name tasks with --task",
            )
        measure = self.measure or full[0]
        if len(full) == 2:
            other = MEASURES[measure == "nll"]
            self.note(f"the log has both likelihoods and scores: --measure {other} reads the other")
        return measure

    def _complete(self, rows: _Group, measure: str) -> _Group:
        """Samples that have what is measured."""
        values = rows.nll if measure == "nll" else rows.successes
        bad = ~np.isfinite(values)
        if bad.any():
            what = "likelihood of a right answer" if measure == "nll" else "score"
            if not self.drop:
                raise self._record(int(rows.place[np.argmax(bad)])).error(
                    f"the sample has no {what}",
                    remedy="pass --drop-incomplete to leave such samples out",
                )
            self.leave_out(f"samples without a {what}", int(bad.sum()))
        return rows.keep(~bad)

    def _record(self, place: int) -> Record:
        source = list(self._sources)[place >> 40]
        return Record({}, source, (place & (1 << 40) - 1) or None)

    def _once(self, rows: _Group, measure: str) -> _Group:
        """Every trial once: what several ranks or a second run wrote again is left out."""
        trial = np.where(rows.trial < 0, -1 - np.arange(len(rows.trial)), rows.trial)
        if measure == "nll":
            trial = np.zeros_like(trial)
        order = np.lexsort((trial, rows.question, rows.run))
        sorted_ = rows.keep(order)
        keys = np.stack([sorted_.run, sorted_.question, trial[order]])
        again = np.zeros(len(order), bool)
        again[1:] = (keys[:, 1:] == keys[:, :-1]).all(axis=0)
        if not again.any():
            return rows
        first = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
        pairs = [sorted_.nll] if measure == "nll" else [sorted_.successes, sorted_.trials]
        differ = again & ~np.logical_and.reduce(
            [np.isclose(values, values[first], rtol=1e-6, atol=1e-9) for values in pairs]
        )
        if differ.any():
            at = int(np.argmax(differ))
            here, there = (self._record(int(sorted_.place[i])) for i in (at, first[at]))
            code = int(sorted_.question[at])
            task = list(self._tasks)[self._task_of[code]]
            raise here.error(
                f"question {show(self._question_names()[code])} of {show(task)} was scored "
                f"otherwise in {show(there.source)}, line {there.row}",
                remedy="name the logs of one evaluation only",
            )
        self.leave_out("samples that repeat others exactly", int(again.sum()))
        return sorted_.keep(~again)

    def _named(self, rows: _Group, source: str) -> tuple[_Group, list[Checkpoint]]:
        """The samples with the checkpoints that their models are, and these."""
        runs: dict[str, Checkpoint] = {}
        called: dict[str, dict[str, None]] = {}
        place = np.zeros(len(self._models), np.int32)
        missing = []
        present = set(np.unique(rows.run).tolist())
        for names, code in self._models.items():
            if code not in present:
                continue
            found = self.manifest.find(names, self._params.get(code))
            if found is None:
                missing.append(names)
                continue
            # Two names of one checkpoint are one run.
            place[code] = list(runs).index(found.run) if found.run in runs else len(runs)
            runs.setdefault(found.run, found)
            called.setdefault(found.run, {})[names[0]] = None
        if missing:
            raise self.manifest.unknown(missing, source)
        for run, each in called.items():
            if len(each) > 1:
                self.note(f"{listing(each)} are read as one run, {show(run)}")
        return rows._replace(run=place[rows.run]), list(runs.values())

    def _laid_out(self, rows: _Group, measure: str, each: list[Checkpoint]) -> dict[str, Any]:
        """Columns of the table, one row a question of a checkpoint."""
        keys = rows.run.astype(np.int64) * len(self._task_of) + rows.question
        cells, back = np.unique(keys, return_inverse=True)
        run, question = np.divmod(cells, len(self._task_of))
        columns: dict[str, Any] = {
            "run": (run, [one.run for one in each]),
            "params": np.array([one.params for one in each])[run],
            "tokens": np.array([one.tokens for one in each])[run],
            "task": (np.array(self._task_of)[question], list(self._tasks)),
            "question": (question, self._question_names()),
        }
        if any(one.trunk is not None for one in each):
            columns["trunk"] = (run, [one.trunk or one.run for one in each])
        if all(one.unique_tokens is not None for one in each):
            columns["unique_tokens"] = np.array([one.unique_tokens for one in each])[run]
        if measure == "nll":
            columns["nll"] = np.empty(len(cells))
            columns["nll"][back] = rows.nll
        else:
            columns["successes"] = np.bincount(back, rows.successes)
            columns["trials"] = np.bincount(back, rows.trials)
        return columns


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
