"""Log files found, read line by line, and their fields taken by kind (floor 1, private).

A log is never in memory as a whole: what a sample says in a few thousand characters ends as two
numbers. Whatever a field holds, taking it is a value of the kind that was asked for, or one line
that names file, line and field.
"""

import gzip
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from t2jax import _bounds
from t2jax._progress import Meter
from t2jax.errors import InputError
from t2jax.observations import decode_json

__all__ = [
    "Paths",
    "Record",
    "as_number",
    "find_files",
    "json_document",
    "json_lines",
    "listing",
    "open_binary",
    "show",
]

Paths = str | os.PathLike | Sequence[str | os.PathLike]
"""One file or folder, or several."""


def show(value: Any) -> str:
    """A value as it may stand in a one-line message."""
    try:
        text = ascii(value)
    except RecursionError:
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def listing(names: Iterable[str]) -> str:
    """The first few of some names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - 5} more" if len(every) > 5 else ""
    return ", ".join(map(show, every[:5])) + more


class Record:
    """An object of a log, whose fields are taken by kind.

    Args:
      values: the object.
      source: the file.
      row: its line, where the file has one object a line.
      path: the fields that led to it, such as "metrics.".
    """

    __slots__ = ("path", "row", "source", "values")

    def __init__(self, values: dict[str, Any], source: str, row: int | None = None, path: str = ""):
        self.values, self.source, self.row, self.path = values, source, row, path

    def error(self, problem: str, field: str | None = None, *, remedy: str) -> InputError:
        """The error that names this place."""
        column = self.path.rstrip(".") if field is None else f"{self.path}{field}"
        return InputError(
            problem, source=self.source, row=self.row, column=column or None, remedy=remedy
        )

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(field) is not None

    def _wrong(self, field: str, kind: str) -> InputError:
        value = self.values.get(field)
        problem = "is missing" if value is None else f"holds {show(value)}, not {kind}"
        return self.error(f"the field {problem}", field, remedy=_WRITE_AGAIN)

    def name(self, field: str) -> str:
        """A text or whole number, as a name."""
        value = self.values.get(field)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) < 10**40:
                return str(value)
            raise self._wrong(field, "a name")
        if isinstance(value, str) and value.strip():
            return value.strip()
        raise self._wrong(field, "a name")

    def text(self, field: str) -> str:
        """A text."""
        value = self.values.get(field)
        if not isinstance(value, str):
            raise self._wrong(field, "a text")
        return value

    def number(self, field: str) -> float:
        """A finite number, one that was written as a text included."""
        value = as_number(self.values.get(field))
        if value is None or not math.isfinite(value):
            raise self._wrong(field, "a number")
        return value

    def whole(self, field: str) -> int:
        """A whole number of at least 0."""
        value = self.number(field)
        if not value.is_integer() or not 0 <= value < 2**53:
            raise self._wrong(field, "a whole number")
        return int(value)

    def items(self, field: str) -> list[Any]:
        """A list."""
        value = self.values.get(field)
        if not isinstance(value, list):
            raise self._wrong(field, "a list")
        return value

    def record(self, field: str) -> "Record":
        """An object inside this one."""
        value = self.values.get(field)
        if not isinstance(value, dict):
            raise self._wrong(field, "an object")
        return Record(value, self.source, self.row, f"{self.path}{field}.")

    def records(self, field: str) -> list["Record"]:
        """A list of objects inside this one."""
        found = []
        for place, value in enumerate(self.items(field)):
            if not isinstance(value, dict):
                problem = f"entry {place} holds {show(value)}, not an object"
                raise self.error(problem, field, remedy=_WRITE_AGAIN)
            found.append(Record(value, self.source, self.row, f"{self.path}{field}[{place}]."))
        return found


_WRITE_AGAIN = "write the log again, or leave this file out"


def as_number(value: Any) -> float | None:
    """The number that a field holds, or a text of it; None where it is none."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "false"):
            return float(word == "true")
        try:
            return None if "_" in word else float(word)
        except ValueError:
            return None
    return None


# Files --------------------------------------------------------------------------------------


def find_files(paths: Paths, patterns: Sequence[str], what: str) -> list[Path]:
    """The files named, and those of folders that match a pattern, in order.

    Args:
      paths: files and folders.
      patterns: of the names that the tool gives its files, for folders.
      what: what such files are called, for messages.

    Raises:
      InputError: a path does not exist, a folder holds none, or a file is there packed and
        unpacked.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise InputError("no log is named", remedy=f"name {what}, or a folder of them")
    found: list[Path] = []
    for path in map(Path, given):
        try:
            folder, there = path.is_dir(), path.exists()
        except (OSError, ValueError):  # a name that the file system does not allow
            folder = there = False
        if not there:
            raise InputError("no such file", source=show(str(path)), remedy="check the path")
        inside = sorted({file for pattern in patterns for file in path.rglob(pattern)})
        if folder and not inside:
            listed = " or ".join(patterns)
            raise InputError(f"holds no {listed}", source=str(path), remedy=f"name {what}")
        found += inside if folder else [path]
    # By whatever names, links and detours, a file is the same samples.
    once = list({os.path.realpath(file): file for file in reversed(found)}.values())[::-1]
    _check_twins(once)
    return once


def _check_twins(files: Iterable[Path]) -> None:
    """Refuse a packed file beside its unpacked twin, which are the same samples too."""
    places = {os.path.join(os.path.realpath(file.parent), file.name): file for file in files}
    for place, file in places.items():
        twin = places.get(place.removesuffix(".gz"))
        if place.endswith(".gz") and twin is not None:
            raise InputError(
                f"is there beside '{twin.name}', whose samples it repeats",
                source=str(file),
                remedy="remove one of them, or name one",
            )


def open_binary(path: Path) -> IO[bytes]:
    """A file for reading, through gzip where its name says so.

    Raises:
      InputError: it cannot be opened.
    """
    try:
        _bounds.check_kind(path)
        if path.suffix != ".gz":
            return path.open("rb")
        packed = gzip.GzipFile(path, "rb")  # by its name, so that it closes what it opened
    except OSError as error:
        raise _unreadable(path, error) from None
    expanded = _bounds.Expanded(packed, _size(path), str(path))
    return io.BufferedReader(expanded, 1 << 18)


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"cannot be read ({error})", source=str(path), remedy="copy the file again")


def json_lines(
    paths: Iterable[Path], *, progress: bool, on_bad: Callable[[InputError], None] | None = None
) -> Iterator[Record]:
    """The objects of files with one a line, with a bar over all bytes.

    Args:
      paths: the files.
      progress: whether a bar may be drawn.
      on_bad: what becomes of a line that is no object, such as a last one that was cut; it is
        raised unless given.
    """
    files = list(paths)
    meter = Meter(sum(_size(path) for path in files), "reading", show=progress)
    before = 0
    for path in files:
        done, source = 0, str(path)
        if _is_array(path):
            yield from _array(path)
            continue
        with open_binary(path) as stream:
            for row, line in _lines(stream, path):
                done += len(line)
                if row % 64 == 0:
                    meter.to(before + (done if path.suffix != ".gz" else 0))
                if row == 1 and line.startswith(b"\xef\xbb\xbf"):
                    line = line[3:]
                if not line.strip():
                    continue
                try:
                    yield Record(_object(line, source, row), source, row)
                except InputError as error:
                    if on_bad is None:
                        raise
                    on_bad(error)
        before += _size(path)
    meter.close()


def _is_array(path: Path) -> bool:
    """Whether a file is one JSON list, as some tools write under the name .jsonl."""
    try:
        with open_binary(path) as stream:
            return stream.read(64).lstrip().startswith(b"[")
    except _bounds.CUT_SHORT as error:
        raise _unreadable(path, error) from None


def _array(path: Path) -> Iterator[Record]:
    found = json_document(path)
    for place, values in enumerate(found if isinstance(found, list) else [], start=1):
        record = Record(values, str(path), place) if isinstance(values, dict) else None
        if record is None:
            problem = f"entry {place} is not an object"
            raise InputError(problem, source=str(path), remedy=_WRITE_AGAIN)
        yield record


def _lines(stream: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        yield from _bounds.lines(stream, str(path))
    except _bounds.CUT_SHORT as error:
        raise _unreadable(path, error) from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from None


def _object(line: bytes, source: str, row: int | None) -> dict[str, Any]:
    """The object on a line."""
    remedy = "write one object a line; --drop-incomplete leaves out what is cut or broken"
    try:
        found = decode_json(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", source=source, row=row, remedy=remedy) from None
    except (ValueError, RecursionError) as error:
        problem = f"is not a JSON object ({error})"
        raise InputError(problem, source=source, row=row, remedy=remedy) from None
    if not isinstance(found, dict):
        raise InputError("is not a JSON object", source=source, row=row, remedy=remedy)
    return found


def json_document(path: Path) -> Any:
    """The one value that a JSON file holds; bare NaN and Infinity are read.

    Raises:
      InputError: the file is not JSON.
    """
    remedy = "copy the file again, or leave it out"
    try:
        text = _bounds.read_whole(path, zipped=path.suffix == ".gz").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", source=str(path), remedy=remedy) from None
    except _bounds.CUT_SHORT as error:
        raise _unreadable(path, error) from None
    try:
        return decode_json(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", source=str(path), remedy=remedy) from None
