"""Tables as columns under their own names (floor 1, private).

A `Table` knows its header before it reads, reads only the columns that are asked for,
and can say which row of the source a value came from.
"""

import abc
import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from t2jax._bounds import check_fits, check_kind
from t2jax.errors import InputError
from t2jax.observations import _cells
from t2jax.observations._cells import show
from t2jax.observations._once import check_once

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

__all__ = ["ArrowTable", "FrameTable", "Labels", "ParquetTable", "Table", "arrow_codes",
           "arrow_numbers"]  # fmt: skip


_CELL = 16
"""Bytes of a value of a column, as Arrow and as NumPy hold it."""

_AT_ONCE = 16
"""Columns that are read together where any may be of use: a wide file is slow to open."""

_FOLDS = (
    (str.strip, "took spaces off the ends of {} names in column {}"),
    (_cells.composed, "wrote {} names in column {} in composed Unicode (NFC)"),
)
"""What names that look alike differ by."""


class Labels(NamedTuple):
    """A column of names: `names[codes]`, with code -1 where a name is missing."""

    codes: np.ndarray
    names: np.ndarray


@dataclasses.dataclass(kw_only=True, eq=False)
class Table(abc.ABC):
    """A table whose header is known and whose columns are read on demand.

    Args:
      source: what messages call the table.
      row_word: what its rows are called, "line" or "row".
      header: column names in order.
      notes: what was done to the table as it was read, in sentences.
    """

    source: str
    row_word: str
    header: list[str]
    notes: list[str] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def places(self) -> dict[str, list[int]]:
        """Where in the header each name stands."""
        places: dict[str, list[int]] = {}
        for place, name in enumerate(self.header):
            places.setdefault(name, []).append(place)
        return places

    def place(self, column: str) -> int:
        """Where a column stands; a name that stands in several places is refused."""
        places = self.places[column]
        if len(places) > 1:
            check_once(self.header, [column], self.source)
        return places[0]

    def names(self, columns: Sequence[str]) -> Iterator[tuple[str, Labels]]:
        """Of columns that nobody asked for, those that hold names; others are passed over."""
        for column in columns:
            self.place(column)
        for start in range(0, len(columns), _AT_ONCE):
            yield from self._readable(columns[start : start + _AT_ONCE]).items()

    def _readable(self, columns: Sequence[str]) -> dict[str, Labels]:
        try:
            return self.load(columns, [])[0]
        except InputError:
            if len(columns) < 2:
                return {}
            half = len(columns) // 2
            return self._readable(columns[:half]) | self._readable(columns[half:])

    def row(self, index: int) -> int:
        """The number under which a reader of the source finds the row at `index`."""
        return index + 1

    @abc.abstractmethod
    def load(
        self, labels: Sequence[str], numbers: Sequence[str]
    ) -> tuple[dict[str, Labels], dict[str, np.ndarray]]:
        """Columns of names and columns of float64 numbers, NaN where a number is missing."""

    def error(
        self,
        problem: str,
        *,
        index: int | None = None,
        column: str | None = None,
        remedy: str | None = None,
    ) -> InputError:
        """An `InputError` that names this table, and the row at `index`."""
        return InputError(
            problem,
            source=self.source,
            row=None if index is None else self.row(index),
            row_word=self.row_word,
            column=column,
            remedy=remedy,
        )

    def not_names(self, column: str) -> InputError:
        """The error for a column of names that holds anything else."""
        return self.error("holds lists or objects, not names", column=column, remedy="write text")

    def not_numbers(self, column: str) -> InputError:
        """The error for a column of numbers of which no cell can be one."""
        return self.error(
            "holds lists or objects, not numbers",
            column=column,
            remedy="write one plain number a row",
        )

    def to_numbers(self, values: Iterable[Any], column: str) -> np.ndarray:
        """Convert value by value, and stop at the first that is no number."""
        out: list[float] = []
        for value in values:
            number = _cells.number(value)
            if number is None:
                raise self.error(
                    f"{show(value)} is not a number",
                    index=len(out),
                    column=column,
                    remedy=_cells.number_remedy(value),
                )
            out.append(number)
        return np.array(out, dtype=np.float64)

    def to_labels(self, codes: np.ndarray, uniques: Sequence[Any], column: str) -> Labels:
        """Turn the distinct values into names, merging those that read the same."""
        names = [_cells.label(value) for value in uniques]
        for fold, told in _FOLDS:
            folded = [name if name is None else fold(name) for name in names]
            changed = sum(name != kept for name, kept in zip(names, folded, strict=True))
            note = told.format(changed, show(column))
            if changed and note not in self.notes:
                self.notes.append(note)
            names = folded
        for code, name in enumerate(names):
            if name is not None and not _cells.is_clean(name):
                raise self.error(
                    f"the name {show(name)} holds a control character or is not valid Unicode",
                    index=int(np.argmax(codes == code)),
                    column=column,
                    remedy="write the name on one line in UTF-8",
                )
        if all(names) and len(set(names)) == len(names) and (codes >= 0).all():
            # Nothing to merge: the usual case, and half a million questions need no dictionary.
            return Labels(codes, np.array(names, dtype=str))
        kept = list(dict.fromkeys(name for name in names if name))
        position = {name: code for code, name in enumerate(kept)}
        # The extra last entry serves code -1, which is how a missing value arrives.
        merge = np.array([position.get(name or "", -1) for name in names] + [-1])
        return Labels(merge[codes], np.array(kept, dtype=str))


@dataclasses.dataclass(kw_only=True, eq=False)
class FrameTable(Table):
    """A pandas DataFrame; rows count from 0, as `DataFrame.iloc` counts them."""

    frame: "pd.DataFrame"

    @classmethod
    def open(cls, frame: "pd.DataFrame") -> "FrameTable":
        """Check that a frame is a table."""
        source = "the DataFrame"
        if frame.columns.nlevels > 1:
            raise InputError(
                "has several header rows", source=source, remedy="flatten its columns to one row"
            )
        if not len(frame):
            raise InputError("has no rows", source=source, remedy="add at least one row")
        header = [str(name) for name in frame.columns]
        return cls(source=source, row_word="row", header=header, frame=frame)

    def row(self, index: int) -> int:
        """Position in the frame."""
        return index

    def load(
        self, labels: Sequence[str], numbers: Sequence[str]
    ) -> tuple[dict[str, Labels], dict[str, np.ndarray]]:
        """Columns of the frame."""
        import pandas as pd

        names = {}
        for name in labels:
            try:
                column = self._column(name)
                try:
                    codes, uniques = pd.factorize(column)
                except NotImplementedError:  # of what Arrow has no codes for, as runs of a value
                    codes, uniques = pd.factorize(pd.Series(column.tolist(), dtype=object))
                names[name] = self.to_labels(np.asarray(codes), list(uniques), name)
            except TypeError:
                raise self.not_names(name) from None
        return names, {name: self._numbers(name) for name in numbers}

    def _column(self, name: str) -> "pd.Series":
        return self.frame.iloc[:, self.place(name)]

    def _numbers(self, name: str) -> np.ndarray:
        column = self._column(name)
        if getattr(column.dtype, "kind", "O") in "iuf":
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        return self.to_numbers(column.tolist(), name)


class _Columnar(Table):
    """Columns of Arrow, wherever they are."""

    @abc.abstractmethod
    def kind(self, column: str) -> "pa.DataType":
        """The type of a column, before it is read."""

    @abc.abstractmethod
    def take(self, names: Sequence[str]) -> "pa.Table":
        """Some columns."""

    @abc.abstractmethod
    def broken(self, error: Exception) -> InputError:
        """The error for columns that Arrow itself cannot read."""

    def load(
        self, labels: Sequence[str], numbers: Sequence[str]
    ) -> tuple[dict[str, Labels], dict[str, np.ndarray]]:
        """Columns of the table."""
        import pyarrow as pa

        for columns, fault in ((labels, self.not_names), (numbers, self.not_numbers)):
            for name in columns:
                if _is_nested(self.kind(name)):  # which Parquet knows under other names
                    raise fault(name)
        try:
            table = self.take(list(dict.fromkeys((*labels, *numbers))))
            names = {name: self._labels(_plain(table.column(name)), name) for name in labels}
            read = {name: self._numbers(_plain(table.column(name)), name) for name in numbers}
            return names, read
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self.broken(error) from None

    def _labels(self, column: "pa.ChunkedArray", name: str) -> Labels:
        import pyarrow as pa

        if pa.types.is_string_view(column.type):
            column = column.cast(pa.large_string())
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        encoded = pa.table({name: column}).unify_dictionaries().column(name).combine_chunks()
        return self.to_labels(arrow_codes(encoded), encoded.dictionary.to_pylist(), name)

    def _numbers(self, column: "pa.ChunkedArray", name: str) -> np.ndarray:
        import pyarrow as pa

        kind = column.type
        plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if plain:
            return arrow_numbers(column.cast(pa.float64(), safe=False))
        return self.to_numbers(column.to_pylist(), name)


@dataclasses.dataclass(kw_only=True, eq=False)
class ArrowTable(_Columnar):
    """Columns of Arrow: its own tables, and frames of polars and others that hand theirs out."""

    columns: "pa.Table"

    @classmethod
    def open(cls, source: Any) -> "ArrowTable":
        """Take over the columns of anything that follows Arrow's protocol."""
        import pyarrow as pa

        name = f"the {type(source).__name__}"
        try:
            columns = source if isinstance(source, pa.Table) else pa.table(source)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InputError(
                f"cannot be read as columns ({error})", source=name, remedy="write it to a file"
            ) from None
        if not columns.num_rows or not columns.num_columns:
            raise InputError("has no rows", source=name, remedy="add at least one row")
        return cls(source=name, row_word="row", header=list(columns.column_names), columns=columns)

    def row(self, index: int) -> int:
        """Position in the table."""
        return index

    def kind(self, column: str) -> "pa.DataType":
        """The type of a column."""
        return self.columns.schema.field(self.place(column)).type

    def take(self, names: Sequence[str]) -> "pa.Table":
        """Some columns."""
        return self.columns.select([self.place(name) for name in names])

    def broken(self, error: Exception) -> InputError:
        """The error for columns that Arrow itself cannot read."""
        return self.error(f"cannot be read ({error})", remedy="write it again")


@dataclasses.dataclass(kw_only=True, eq=False)
class ParquetTable(_Columnar):
    """A Parquet file; rows count from 1."""

    path: Path
    rows: int
    schema: "pa.Schema"

    @classmethod
    def open(cls, path: Path, source: str) -> "ParquetTable":
        """Read the header of a Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet

        try:
            check_kind(path)
            file = pyarrow.parquet.ParquetFile(path)
            schema = file.schema_arrow
            header = list(schema.names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _broken(source, error) from None
        rows = file.metadata.num_rows
        if rows < 1 or not header:
            raise InputError("has no rows", source=source, remedy="add at least one row")
        return cls(
            source=source, row_word="row", header=header, path=path, rows=rows, schema=schema
        )

    def row(self, index: int) -> int:
        """Row of the file."""
        return index + 1

    def kind(self, column: str) -> "pa.DataType":
        """The type of a column, from the header."""
        return self.schema.field(self.place(column)).type

    def take(self, names: Sequence[str]) -> "pa.Table":
        """Some columns, read now."""
        import pyarrow.parquet

        check_fits(_CELL * self.rows * len(names), self.source, f"a table of {self.rows:,} rows")
        # Names as numbers: a long one that stands in every row is held once.
        file = pyarrow.parquet.ParquetFile(self.path, read_dictionary=list(names))
        return file.read(columns=list(names))

    def broken(self, error: Exception) -> InputError:
        """The error for a file that is damaged further in."""
        return _broken(self.source, error)


def _is_nested(kind: "pa.DataType") -> bool:
    """Whether a type holds lists or objects, under whatever encoding or name of its own."""
    import pyarrow as pa

    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_run_end_encoded(kind) or pa.types.is_dictionary(kind):
            kind = kind.value_type
        else:
            return pa.types.is_nested(kind)


def _plain(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Columns of runs of one value, a value a row."""
    import pyarrow as pa
    import pyarrow.compute

    if pa.types.is_run_end_encoded(column.type):
        return pyarrow.compute.call_function("run_end_decode", [column])
    return column


def arrow_codes(encoded: "pa.DictionaryArray") -> np.ndarray:
    """Which value of the dictionary each is, -1 where missing."""
    return np.nan_to_num(_values(encoded.indices), nan=-1).astype(np.int64)


def arrow_numbers(column: "pa.ChunkedArray") -> np.ndarray:
    """Float64 values of a float64 column, NaN where a value is missing."""
    return np.array(_values(column.combine_chunks()), dtype=np.float64)


def _values(array: "pa.Array") -> np.ndarray:
    """Numbers as NumPy holds them, NaN where one is missing."""
    if array.null_count:
        return array.to_numpy(zero_copy_only=False)
    return np.from_dlpack(array)  # `to_numpy` imports pandas, which takes half a second


def _broken(source: str, error: Exception) -> InputError:
    return InputError(
        f"is not a readable Parquet file ({error})", source=source, remedy="write it again"
    )
