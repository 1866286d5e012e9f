"""`Observations`: a frozen table of checkpoints, and `read`, its front door (floor 1)."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from t2jax import passk
from t2jax._typing import ArrayLike
from t2jax.errors import InputError, Refusal
from t2jax.observations import _hull, _reading, _shown, _write

__all__ = ["Observations", "read"]

_ROW_FIELDS = ("run", "params", "tokens", "trunk", "unique_tokens", "samples", "loss")
_CELL_FIELDS = ("nll", "successes", "trials")
_QUESTION_FIELDS = ("question", "task")
_NAMES = ("run", "trunk", "question", "task")
_VALUES = {"loss": ("loss",), "nll": ("nll",), "counts": ("successes", "trials")}
_LEAST = {"samples": 1.0, "nll": 0.0, "successes": 0.0, "trials": 0.0}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """A table of checkpoints: one row per (run, tokens[, samples]), arrays that cannot be written.

    A loss table has one loss per row. A question table has one row per checkpoint and, beside
    it, a checkpoints x questions matrix of NLLs or of counts.

    Args:
      kind: "loss", "nll" or "counts".
      run: `[rows]` name of the training run; a run may appear at several token counts.
      params: `[rows]` number of parameters N.
      tokens: `[rows]` training tokens D.
      trunk: `[rows]` name of the trajectory whose data and seed the runs share, or None.
      unique_tokens: `[rows]` tokens of training text before repetition, or None where nothing
        is repeated.
      samples: `[rows]` samples k behind each loss, in loss tables only, or None.
      loss: `[rows]` loss in nats (or the table's own unit), if kind is "loss".
      nll: `[rows, questions]` nats of the correct answer, summed over its tokens, so that
        `exp(-nll)` is the chance that one sample is correct; if kind is "nll".
      successes: `[rows, questions]` correct samples, if kind is "counts".
      trials: `[rows, questions]` samples, 0 where a question was not asked.
      question: `[questions]` name within its task, or None in loss tables.
      task: `[questions]` task of each question, or None in loss tables.
      params_definition: what N counts: "total", "non-embedding", "matrices+head", "unstated"
        or any other words.
      source: file that the table came from, for messages.
      notes: what was done to the table when it was read, in sentences.

    Raises:
      InputError: when the arrays do not fit together.

    >>> table = Observations(
    ...     kind="loss", run=["a", "b"], params=[1e6, 1e7], tokens=[2e7, 2e8], loss=[4.0, 3.0]
    ... )
    >>> table.tokens_per_param
    array([20., 20.])
    """

    kind: str
    run: np.ndarray
    params: np.ndarray
    tokens: np.ndarray
    trunk: np.ndarray | None = None
    unique_tokens: np.ndarray | None = None
    samples: np.ndarray | None = None
    loss: np.ndarray | None = None
    nll: np.ndarray | None = None
    successes: np.ndarray | None = None
    trials: np.ndarray | None = None
    question: np.ndarray | None = None
    task: np.ndarray | None = None
    params_definition: str = _reading.UNSTATED
    source: str = "the table"
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.kind not in _VALUES:
            raise self._error(f"kind is '{self.kind}'", "use one of loss, nll, counts")
        for name, values in self.columns():
            dtype = str if name in _NAMES else np.float64
            # Copied, because a frozen view would still follow a base that others may write.
            array = np.array(values, dtype=dtype)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "notes", tuple(self.notes))
        self._check()

    def _check(self) -> None:
        """Refuse arrays that do not fit together or hold impossible numbers."""
        asked = self.kind != "loss"
        wanted = {*_VALUES[self.kind], *(_QUESTION_FIELDS if asked else ())}
        for name in (*_CELL_FIELDS, *_QUESTION_FIELDS, "loss", "samples"):
            value = getattr(self, name)
            if (value is None) == (name in wanted) and (asked or name != "samples"):
                verb = "needs" if value is None else "has no use for"
                raise self._error(
                    f"kind '{self.kind}' {verb} {name}", "give the fields of one kind"
                )
        sizes = (len(self.run), self.n_questions)
        if not sizes[0] or (asked and not sizes[1]):
            raise self._error("holds no row or no question", "give at least one")
        for name, values in self.columns():
            shape = sizes if name in _CELL_FIELDS else sizes[name in _QUESTION_FIELDS :][:1]
            if values.shape != shape:
                raise self._error(f"{name} has shape {values.shape}, not {shape}", "match the rows")
            if name in _NAMES:
                continue
            least = _LEAST.get(name)
            fine = np.isfinite(values) & (values > 0 if least is None else values >= least)
            if not fine.all():
                bound = "above 0" if least is None else f"at least {least:g}"
                raise self._error(
                    f"{name} holds {values[~fine][0]:g}", f"every value must be finite and {bound}"
                )
        if self.successes is not None and (self.successes > self.trials).any():
            raise self._error("successes exceed trials", "correct the counts")

    def _error(self, problem: str, remedy: str) -> InputError:
        return InputError(problem, source=self.source, remedy=remedy)

    def columns(self) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays that this table has, by name."""
        for name in (*_ROW_FIELDS, *_CELL_FIELDS, *_QUESTION_FIELDS):
            values = getattr(self, name)
            if values is not None:
                yield name, values

    describe = _shown.describe
    __repr__ = _shown.one_line
    _repr_html_ = _shown.as_html

    # What the table holds -------------------------------------------------------------------

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.run)

    @property
    def n_questions(self) -> int:
        """Number of questions, 0 in a loss table."""
        return 0 if self.question is None else len(self.question)

    @property
    def tokens_per_param(self) -> np.ndarray:
        """`[rows]` training tokens per parameter, D/N."""
        return self.tokens / self.params

    @property
    def train_flops(self) -> np.ndarray:
        """`[rows]` training FLOPs, 6ND, as floats, which do not overflow."""
        return 6.0 * self.params * self.tokens

    def cluster(self, unit: str) -> np.ndarray:
        """Codes of the unit that a bootstrap resamples.

        Args:
          unit: "run", "trunk" (trajectories that share data and seed) or "row".

        Returns:
          `[rows]` integers from 0, equal where rows belong to one unit.

        Raises:
          InputError: when the unit is unknown or the table has no trunk.
        """
        if unit == "row":
            return np.arange(self.n_rows)
        if unit not in ("run", "trunk"):
            raise self._error(f"no unit '{unit}' to resample", "use one of run, trunk, row")
        names = getattr(self, unit)
        if names is None:
            remedy = "add a column 'trunk' that names the trajectory of each run, or use unit='run'"
            raise self._error("the table has no trunk", remedy)
        return np.unique(names, return_inverse=True)[1].astype(np.int64)

    @property
    def one_token_count(self) -> bool:
        """Whether all checkpoints have seen as many tokens."""
        return _hull.one_count(self.tokens)

    def check_identifies(self) -> None:
        """Refuse a table that cannot tell the effect of parameters from that of tokens.

        Raises:
          Refusal: when the table has one size, one token count or one D/N only.
        """
        _hull.check_identifies(self.source, self.params, self.tokens)

    def data_hash(self) -> str:
        """SHA-256 over the kind and the columns, the same on every machine."""
        digest = hashlib.sha256(self.kind.encode())
        for name, values in self.columns():
            digest.update(f"\0{name}{values.shape}\0".encode())
            if name in _NAMES:
                digest.update("\0".join(values.tolist()).encode())
            else:
                digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()

    # Parts and unions -----------------------------------------------------------------------

    def select(self, rows: ArrayLike | Sequence[int] | slice) -> "Observations":
        """The rows where a mask is true, or at the given positions."""
        places = self._places(rows, self.n_rows, "rows")
        return self._replace(rows=places)

    def select_questions(self, mask: ArrayLike | Sequence[int] | slice) -> "Observations":
        """The questions where a mask is true, or at the given positions."""
        if self.question is None:
            raise self._error("a loss table has no questions", "select rows instead")
        return self._replace(questions=self._places(mask, self.n_questions, "questions"))

    def select_task(self, *tasks: str) -> "Observations":
        """The questions of some tasks."""
        own = np.array([], dtype=str) if self.task is None else self.task
        known = sorted(set(own.tolist()))
        for task in tasks:
            if task not in known:
                raise self._error(
                    f"no task '{task}'", f"the tasks are {', '.join(known) or 'none'}"
                )
        return self.select_questions(np.isin(own, tasks))

    def _places(
        self, chosen: ArrayLike | Sequence[int] | slice, count: int, what: str
    ) -> np.ndarray:
        """Positions from a mask, a slice or positions; each at most once."""
        try:
            places = np.arange(count)[chosen if isinstance(chosen, slice) else np.asarray(chosen)]
        except IndexError as error:
            remedy = f"give a mask of length {count} or positions below it"
            raise self._error(f"cannot select {what}: {error}", remedy) from None
        places = np.atleast_1d(places)
        if not len(places) or len(np.unique(places)) < len(places):
            problem = "some twice" if len(places) else "none"
            raise self._error(f"the selection takes {problem} of the {what}", "take each once")
        return places

    def _replace(
        self, rows: np.ndarray | None = None, questions: np.ndarray | None = None
    ) -> "Observations":
        fields = dict(self.columns())
        for name, values in fields.items():
            if rows is not None and name not in _QUESTION_FIELDS:
                values = values[rows]
            if questions is not None and name in (*_QUESTION_FIELDS, *_CELL_FIELDS):
                values = values[..., questions]
            fields[name] = values
        return dataclasses.replace(self, **fields)

    def join(self, other: "Observations") -> "Observations":
        """The rows of two tables of one kind, with the same questions and definition of N.

        Raises:
          InputError: when the tables differ in kind, questions or definition of N, or share a
            checkpoint.
        """
        both = f"{self.source} and {other.source}"
        for name in ("kind", "params_definition"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                problem = f"{name} is '{mine}' in one and '{theirs}' in the other"
                raise InputError(problem, source=both, remedy="join tables of one kind")
        if (self.samples is None) != (other.samples is None):
            raise InputError("only one has samples", source=both, remedy="give k in both")
        if (self.unique_tokens is None) != (other.unique_tokens is None):
            problem = "only one has unique_tokens"
            raise InputError(problem, source=both, remedy="give unique_tokens in both")
        other = self._align(other, both)
        mine, theirs = dict(self.columns()), dict(other.columns())
        if ("trunk" in mine) != ("trunk" in theirs):
            # A run without a stated trunk is its own trajectory.
            mine, theirs = {"trunk": self.run} | mine, {"trunk": other.run} | theirs
        fields = {
            name: values if name in _QUESTION_FIELDS else np.concatenate([values, theirs[name]])
            for name, values in mine.items()
        }
        keys = [fields[name].tolist() for name in ("run", "tokens", "samples") if name in fields]
        seen = set(zip(*keys, strict=True))
        if len(seen) < len(fields["run"]):
            raise InputError(
                "share a checkpoint", source=both, remedy="select it out of one of them"
            )
        sizes = set(zip(fields["run"].tolist(), fields["params"].tolist(), strict=True))
        if len(sizes) > len(set(fields["run"].tolist())):
            raise InputError(
                "give one run two numbers of parameters", source=both, remedy="rename one run"
            )
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        return dataclasses.replace(self, **fields, source=both, notes=notes)

    def _align(self, other: "Observations", both: str) -> "Observations":
        """The other table with its questions in this table's order."""
        if self.question is None or self.task is None:
            return self if other is self else other
        assert other.question is not None
        assert other.task is not None
        place = {key: i for i, key in enumerate(zip(other.task, other.question, strict=True))}
        keys = list(zip(self.task, self.question, strict=True))
        if place.keys() != set(keys):
            raise InputError(
                "have different questions",
                source=both,
                remedy="select the questions that both have",
            )
        return other._replace(questions=np.array([place[key] for key in keys]))

    # Derived quantities ---------------------------------------------------------------------

    def mean_nll(self) -> np.ndarray:
        """`[rows]` mean over questions of the NLL, in nats.

        Raises:
          Refusal: when the table has no NLLs.
        """
        if self.nll is None:
            raise Refusal(
                f"{self.source} has no NLL per question",
                remedy="give a question table with a column 'nll'",
            )
        return self.nll.mean(axis=1)

    def neg_log_pass(self, samples: ArrayLike | Sequence[float]) -> np.ndarray:
        """Mean over questions of `-log(1 - (1-p)^k)`, with `p = exp(-nll)`: the loss at k samples.

        Args:
          samples: `[K]` numbers of samples k, real and at least 1.

        Returns:
          `[rows, K]` in nats; at k = 1 the mean NLL.

        Raises:
          Refusal: for counts, from which it has no unbiased estimate, and for loss tables.
        """
        grid = self._grid(samples)
        if self.kind == "counts":
            raise Refusal(
                "-log pass@k has no unbiased estimate from counts at fixed trials, and is infinite "
                "where a question has no success",
                remedy="fit the counts themselves with an accuracy law such as law='beta_monotone'",
            )
        nll = self._nll()
        # One k at a time, so that memory stays at one matrix.
        return np.stack([(-passk.host_log_pass_at_k(nll, k)).mean(axis=1) for k in grid], axis=1)

    def pass_at_k(self, samples: ArrayLike | Sequence[float]) -> np.ndarray:
        """Mean over questions of `pass@k = 1 - (1-p)^k`; from counts, its unbiased estimate.

        Args:
          samples: `[K]` numbers of samples k, at least 1; whole numbers for counts.

        Returns:
          `[rows, K]`; NaN where a question has fewer than k trials (arXiv:2107.03374).

        Raises:
          Refusal: for loss tables.
        """
        grid = self._grid(samples)
        if self.successes is not None and self.trials is not None:
            each = [passk.pass_at_k(self.successes, self.trials, k).mean(axis=1) for k in grid]
            return np.stack(each, axis=1)
        nll = self._nll()
        return np.stack(
            [np.exp(passk.host_log_pass_at_k(nll, k)).mean(axis=1) for k in grid], axis=1
        )

    def _nll(self) -> np.ndarray:
        if self.nll is None:
            raise Refusal(
                f"{self.source} is a loss table and says nothing of single questions",
                remedy="give a question table: run, params, tokens, task, question, nll",
            )
        return self.nll

    def _grid(self, samples: ArrayLike | Sequence[float]) -> np.ndarray:
        """The numbers of samples as a vector."""
        grid = np.atleast_1d(np.asarray(samples, dtype=np.float64))
        if grid.ndim != 1 or not grid.size or not (np.isfinite(grid) & (grid >= 1)).all():
            raise self._error(f"samples is {samples}", "give numbers of at least 1")
        return grid

    def write(self, path: str | Path, beside: Mapping[str, float] | None = None) -> None:
        """Write a tidy table that `read` reads back exactly.

        Args:
          path: file that ends in .csv, .tsv, .parquet or .jsonl.
          beside: further columns of one number each, such as the temperature of samples.

        Raises:
          InputError: when the suffix is another or the folder does not exist.
        """
        _write.write(dict(self.columns()), self.params_definition, path, beside)


def read(
    source: Any,
    *,
    columns: Mapping[str, str] | str | None = None,
    params_definition: str = _reading.UNSTATED,
    units: Mapping[str, float] | str | None = None,
    drop_incomplete: bool = False,
    task: str | Sequence[str] | None = None,
    separator: str | None = None,
    where: str | None = None,
    common_questions: bool = False,
) -> Observations:
    """Read a table of checkpoints, and refuse one that is not what it says.

    A loss table has the columns `run, params, tokens, loss` and perhaps `samples`; a question
    table `run, params, tokens, task, question` and either `nll` or `successes, trials`. A wide
    question table has one row per checkpoint and the NLLs in columns q0, q1, ..., whose names
    are then the questions' names. Either may have `trunk`. Nothing is dropped, renamed or
    converted unless asked. Runs that no column names are named by the columns of text that tell
    them apart, with N and D; a column of seeds tells repetitions of one run apart.

    Args:
      source: a CSV, TSV or JSONL file (perhaps .gz), a Parquet file, "-" for CSV on standard
        input, a data frame of pandas or polars (a lazy one too), or an Arrow table.
      columns: our column names -> the table's, such as `{"params": "n_params"}` or
        "params=n_params,tokens=d_tokens".
      params_definition: what N counts: "total", "non-embedding", "matrices+head", or other words.
      units: factors by which columns are multiplied, such as `{"tokens": 1e9}` or "tokens=1e9".
      drop_incomplete: leave out rows with missing or infinite values, checkpoints that lack
        questions that most checkpoints have, and questions that most lack.
      task: keep these tasks only; in a table without tasks, the name of its one task.
      separator: character between the values of a text table, if the suffix does not say it.
      where: keep the rows that meet a condition on the table's own columns, such as
        "role == 'ladder' and xc >= 1"; a name that is no Python name stands in backticks.
      common_questions: keep only the questions that every checkpoint was asked.

    Returns:
      The table; its `notes` say what was done to it.

    Raises:
      InputError: one line that names the source, the row, the column and the remedy.

    >>> import pandas as pd
    >>> table = read(
    ...     pd.DataFrame({"run": ["a", "b"], "n": [1e6, 1e7], "tokens": [2, 4], "loss": [4, 3]}),
    ...     columns="params=n",
    ...     units="tokens=1e9",
    ... )
    >>> table.tokens
    array([2.e+09, 4.e+09])
    """
    fields = _reading.read_fields(
        source,
        columns=columns,
        params_definition=params_definition,
        units=units,
        drop_incomplete=drop_incomplete,
        task=task,
        separator=separator,
        where=where,
        common_questions=common_questions,
    )
    return Observations(**fields)
