"""Separated values and JSON Lines as tables (floor 1, private).

Whole columns are parsed at once; a single line is looked for only after that has failed.
"""

import csv
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from t2jax.errors import InputError
from t2jax.observations import _cells
from t2jax.observations._cells import show
from t2jax.observations._once import decode_json
from t2jax.observations._table import Labels, Table, arrow_codes, arrow_numbers

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["JsonTable", "TextTable"]

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_NOT_TABLES = {
    b"PK\x03\x04": "a zip file (an Excel workbook is one)",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
_CELLS, _SPARSE = 10_000_000, 50  # of a JSON table: cells that it may have, and to one value
_OBJECT = 'write one object a line, such as {"run": "a", "params": 1e8}'


@dataclasses.dataclass(kw_only=True, eq=False)
class TextTable(Table):
    """Separated values: one line per row, and no line breaks inside a value."""

    raw: bytes
    separator: str
    header_line: int

    @classmethod
    def open(cls, raw: bytes, source: str, separator: str) -> "TextTable":
        """Check that bytes are separated values and read their header."""
        raw = _text(raw, source)
        separator = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
        if len(separator) != 1 or not separator.isascii() or separator in '"\n\r\0':
            raise InputError(
                f"the separator {show(separator)} is not one plain character",
                source=source,
                remedy="pass for instance --separator ';' or --separator tab",
            )
        line, first, separator, comments = _first_line(raw, source, separator)
        header = _header(first, line, source, separator)
        if _COMMENT.search(raw, _after(raw, line)) is not None:
            _ask_about_comments(raw, line, source, separator, len(header))
            raw, below = _blank_comments(raw, line)
            comments += below
        if re.compile(rb"\S").search(raw, _after(raw, line)) is None:
            raise InputError(
                "has a header and no rows", source=source, remedy="add at least one row"
            )
        return cls(
            source=source,
            row_word="line",
            header=header,
            notes=[_skipped(comments)] if comments else [],
            raw=raw,
            separator=separator,
            header_line=line,
        )

    def row(self, index: int) -> int:
        """Line of the file; blank lines are skipped."""
        if b"\n\n" in self.raw:
            for place, (line, _) in enumerate(self._rows()):
                if place == index:
                    return line
        return self.header_line + 1 + index

    def load(
        self, labels: Sequence[str], numbers: Sequence[str]
    ) -> tuple[dict[str, Labels], dict[str, np.ndarray]]:
        """Columns of the file."""
        import pyarrow as pa

        names = dict.fromkeys(labels, pa.dictionary(pa.int32(), pa.string()))
        try:
            table = self._parse({**dict.fromkeys(numbers, pa.float64()), **names})
            read = {name: arrow_numbers(table.column(name)) for name in numbers}
        except pa.ArrowInvalid:
            try:
                table = self._parse({**dict.fromkeys(numbers, pa.string()), **names})
            except pa.ArrowInvalid as error:
                raise self._locate(str(error)) from None
            self._count_lines(table.num_rows)
            read = {name: self.to_numbers(table.column(name).to_pylist(), name) for name in numbers}
        self._count_lines(table.num_rows)
        return {name: self._labels(table, name) for name in labels}, read

    def _labels(self, table: "pa.Table", name: str) -> Labels:
        column = table.column(name).combine_chunks()
        return self.to_labels(arrow_codes(column), column.dictionary.to_pylist(), name)

    def _parse(self, types: Mapping[str, "pa.DataType"]) -> "pa.Table":
        """Read some columns; they go by position, so that a strange header does no harm."""
        import pyarrow as pa
        import pyarrow.csv

        place = {name: str(self.place(name)) for name in types}
        table = pyarrow.csv.read_csv(
            pa.BufferReader(pa.py_buffer(self.raw)),
            read_options=pyarrow.csv.ReadOptions(
                column_names=[str(i) for i in range(len(self.header))],
                skip_rows=self.header_line,
                block_size=max(1 << 24, 4096 * len(self.header)),
            ),
            # Line breaks in values are allowed here so that `_count_lines` can refuse them.
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.separator, newlines_in_values=True
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={place[name]: kind for name, kind in types.items()},
                include_columns=list(place.values()),
                null_values=_cells.SPELLINGS,
                strings_can_be_null=False,
            ),
        ).unify_dictionaries()
        return pa.table({name: table.column(place[name]) for name in types})

    def _rows(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines below the header, without the blank ones."""
        return ((line, text) for line, text in _lines(self.raw) if line > self.header_line and text)

    def _count_lines(self, n_rows: int) -> None:
        """Every line must have become a row: a stray quote swallows lines in silence."""
        ends = self.raw.count(b"\n") + (not self.raw.endswith(b"\n"))
        if ends == self.header_line + n_rows or sum(1 for _ in self._rows()) == n_rows:
            return
        raise InputError(
            "a quoted value runs over several lines",
            source=self.source,
            row=next((line for line, text in self._rows() if text.count(b'"') % 2), None),
            remedy="close the quote, or take the line breaks out of the value",
        )

    def _locate(self, problem: str) -> InputError:
        """Find the line that the parser could not read."""
        wanted = len(self.header)
        for line, text in self._rows():
            try:
                decoded = text.decode("utf-8")
                found = len(next(csv.reader([decoded], delimiter=self.separator)))
            except UnicodeDecodeError:
                return _not_utf8(self.source, line)
            except csv.Error as error:
                return InputError(
                    f"{error}", source=self.source, row=line, remedy="repair the line"
                )
            if found != wanted:
                values = "value" if found == 1 else "values"
                return InputError(
                    f"has {found} {values} where the header has {wanted}",
                    source=self.source,
                    row=line,
                    remedy="complete the line, or quote values that contain the separator",
                )
        return InputError(
            f"cannot be parsed ({problem})", source=self.source, remedy="repair the file"
        )


@dataclasses.dataclass(kw_only=True, eq=False)
class JsonTable(Table):
    """JSON Lines: one object per line; blank lines are skipped."""

    records: list[dict[str, Any]]
    lines: list[int]

    @classmethod
    def open(cls, raw: bytes, source: str) -> "JsonTable":
        """Read every object of a JSON Lines file."""
        records: list[dict[str, Any]] = []
        lines: list[int] = []
        for line, text in _lines(_text(raw, source)):
            if not text.strip():
                continue
            records.append(_record(text, line, source))
            lines.append(line)
        header = list(dict.fromkeys(name for record in records for name in record))
        if not header:
            raise InputError("has no columns", source=source, remedy=_OBJECT)
        held = sum(map(len, records))
        if len(header) * len(records) > max(_CELLS, _SPARSE * held):
            # As a table that would be far more than the file: names are keys here, or keys values.
            raise InputError(
                f"has {len(header):,} different keys on {len(records):,} lines, of which a line "
                f"has {held / len(records):.3g} in the mean",
                source=source,
                remedy="give every line the same keys",
            )
        return cls(source=source, row_word="line", header=header, records=records, lines=lines)

    def row(self, index: int) -> int:
        """Line of the file."""
        return self.lines[index]

    def load(
        self, labels: Sequence[str], numbers: Sequence[str]
    ) -> tuple[dict[str, Labels], dict[str, np.ndarray]]:
        """Columns of the file."""
        names = {}
        for name in labels:
            seen: dict[Any, int] = {}
            try:
                codes = [seen.setdefault(value, len(seen)) for value in self._column(name)]
            except TypeError:
                raise self.not_names(name) from None
            names[name] = self.to_labels(np.array(codes), list(seen), name)
        return names, {name: self.to_numbers(self._column(name), name) for name in numbers}

    def _column(self, name: str) -> list[Any]:
        return [record.get(name) for record in self.records]


def _text(raw: bytes, source: str) -> bytes:
    """Check that bytes are text, and give every line the same end."""
    for magic, what in _NOT_TABLES.items():
        if raw.startswith(magic):
            remedy = "save it as UTF-8" if "UTF" in what else "export the table to a CSV file"
            raise InputError(f"is {what}, not a text table", source=source, remedy=remedy)
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    if b"\0" in raw[: 1 << 16]:
        raise InputError(
            "is binary, not a text table", source=source, remedy="export the table to a CSV file"
        )
    if raw[:512].lstrip().lower().startswith(_PAGES):
        raise InputError(
            "is a web page, not a table", source=source, remedy="download the raw file instead"
        )
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if re.search(rb"\S", raw) is None:
        raise InputError("is empty", source=source, remedy="give a table with a header and rows")
    return raw


def _first_line(raw: bytes, source: str, separator: str) -> tuple[int, bytes, str, int]:
    """The header with its number, the separator, and how many comments stand above it."""
    comments = 0
    for line, text in _lines(raw):
        said = re.fullmatch(rb"\s*\"?sep=(.)\"?[\s]*", text, re.IGNORECASE)
        if said and said[1].isascii():
            # A spreadsheet's own line: it is no header, whatever was asked for.
            separator = said[1].decode()
        elif text.lstrip().startswith(b"#"):
            comments += 1
        elif text.strip():
            return line, text, separator, comments
    raise InputError("holds comments only", source=source, remedy="give a header and rows")


def _skipped(comments: int) -> str:
    rows = "row" if comments == 1 else "rows"
    return f"left out comments, which begin with # ({comments} {rows})"


_COMMENT = re.compile(rb"^#[^\n]*$", re.MULTILINE)
_ROW = re.compile(rb"^[^#\n][^\n]*$", re.MULTILINE)


def _blank_comments(raw: bytes, header: int) -> tuple[bytes, int]:
    """Comment lines below the header made blank, so that the lines keep their numbers."""
    start = _after(raw, header)
    below, count = _COMMENT.subn(b"", raw[start:])
    return raw[:start] + below, count


def _ask_about_comments(raw: bytes, header: int, source: str, separator: str, width: int) -> None:
    """Refuse a comment that reads as a row: a run may be named #1, and no run is lost unasked."""
    start = _after(raw, header)
    row = _ROW.search(raw, start)
    like = _cells_of(row[0], separator) if row else []
    numeric = [
        at
        for at, cell in enumerate(like[:width])
        if at and np.isfinite(_cells.number(cell) or np.nan)
    ]
    for comment in _COMMENT.finditer(raw, start):
        cells = _cells_of(comment[0], separator)
        if comment[0].startswith(b"##") or len(cells) != width:
            continue
        numbers = [_cells.number(cells[at]) for at in numeric or range(1, width)]
        told = [number for number in numbers if number is not None and not np.isnan(number)]
        if told and (not numeric or None not in numbers):
            raise InputError(
                f"may be a row or a comment: it begins with {show(cells[0])} and has the "
                f"{width} values of the header",
                source=source,
                row=raw.count(b"\n", 0, comment.start()) + 1,
                remedy="write that name in double quotes where the line is a row, "
                "or begin the line with ## where it is a comment",
            )


def _cells_of(line: bytes, separator: str) -> list[str]:
    """The values of one line; none where it cannot be read."""
    try:
        return next(csv.reader([line.decode("utf-8", "replace")], delimiter=separator))
    except csv.Error:
        return []


def _header(first: bytes, line: int, source: str, separator: str) -> list[str]:
    """Column names, or the reason why the first line cannot hold them."""
    try:
        text = first.decode("utf-8")
        header = [name.strip() for name in next(csv.reader([text], delimiter=separator))]
    except UnicodeDecodeError:
        raise _not_utf8(source, line) from None
    except csv.Error as error:
        raise InputError(f"{error}", source=source, row=line, remedy="repair the header") from None
    if text.lstrip()[:1] in {"{", "["}:
        raise InputError(
            "holds JSON, not separated values",
            source=source,
            row=line,
            remedy="name the file .jsonl and write one object a line",
        )
    likely = max(_SEPARATORS, key=text.count)
    if len(header) == 1 and likely != separator and likely in text:
        flag = "tab" if likely == "\t" else f"'{likely}'"
        word = _SEPARATORS.get(separator, show(separator))
        raise InputError(
            f"the header is one column when split at {word}s",
            source=source,
            row=line,
            remedy=f"it looks separated by {_SEPARATORS[likely]}s: pass --separator {flag}",
        )
    return header


def _record(text: bytes, line: int, source: str) -> dict[str, Any]:
    """The object on one line of JSON."""
    try:
        record = decode_json(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise _not_utf8(source, line) from None
    except (ValueError, RecursionError) as error:
        problem = f"is not a JSON object ({error})"
        raise InputError(problem, source=source, row=line, remedy=_OBJECT) from None
    if not isinstance(record, dict):
        raise InputError("is not a JSON object", source=source, row=line, remedy=_OBJECT)
    return record


def _lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, from 1, without their ends."""
    start, line = 0, 0
    while start < len(raw):
        end = raw.find(b"\n", start)
        end = len(raw) if end < 0 else end
        line += 1
        yield line, raw[start:end]
        start = end + 1


def _after(raw: bytes, line: int) -> int:
    """Offset just after the given line."""
    end = -1
    for _ in range(line):
        end = raw.find(b"\n", end + 1)
        if end < 0:
            return len(raw)
    return end + 1


def _not_utf8(source: str, line: int) -> InputError:
    return InputError(
        "is not UTF-8 text",
        source=source,
        row=line,
        remedy="save the file as UTF-8, for instance with iconv -f latin1 -t utf-8",
    )
