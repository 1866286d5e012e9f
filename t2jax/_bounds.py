"""What a file that somebody else made may take: its kind, its size, what it expands to (floor 0).

A few kilobytes can be written so that they expand to more than a machine holds, or claim to hold
more rows than there are disks. Everything that is read whole or expanded is read through here.
"""

import contextlib
import gzip
import io
import lzma
import math
import os
import pathlib
import pickle
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from t2jax.errors import InputError

__all__ = [
    "CUT_SHORT",
    "UNREADABLE",
    "Expanded",
    "check_archive",
    "check_fits",
    "check_kind",
    "check_rows",
    "free_memory",
    "lines",
    "open_npz",
    "read_whole",
]

LARGEST_RATIO = 200
"""Bytes that one byte may expand to; deflate ends at 1032, and logs and tables stay below 50."""
ALWAYS = 1 << 28
"""Bytes that a file may expand to whatever its own size."""
LONGEST_LINE = 1 << 28
"""Bytes of one line, a whole sample of an evaluation."""

CUT_SHORT = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What a stream raises, expanded or not, that ends before it should or cannot be read at all."""
UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    RuntimeError, MemoryError, ImportError, StopIteration, SyntaxError, tokenize.TokenError,
    pickle.PickleError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What the libraries raise of a file that holds something else than it should, whatever it is."""

_SHARE = 0.5  # of the memory, for what is read whole and parsed after that
_BLOCK = 1 << 20
_GIB = 2.0**30
_CONTAINER = pathlib.Path("/sys/fs/cgroup")


def free_memory() -> float:
    """Bytes that this process may still take; infinite where nobody says."""
    found = [math.inf]
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        told = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(line for line in told if line.startswith("MemAvailable:"))
        found.append(1024.0 * int(free.split()[1]))
    with contextlib.suppress(OSError, ValueError):
        # A container's own limit, which the machine's count does not know of.
        found.append(_left_to(_CONTAINER))
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)  # `ulimit -v`
        if limit != resource.RLIM_INFINITY:
            pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            found.append(float(limit - pages * resource.getpagesize()))
    return max(min(found), 0.0)


def _left_to(group: pathlib.Path) -> float:
    """Bytes that a control group may still take: files that it has read are let go when asked."""
    limit, used = (
        int((group / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current")
    )
    left = float(limit - used)
    with contextlib.suppress(OSError, ValueError):
        told = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = {"active_file", "inactive_file", "slab_reclaimable"}
        left += sum(int(n) for name, n in map(str.split, told) if name in cached)
    return left


def check_fits(size: float, source: str, what: str = "it") -> None:
    """Refuse what would take more memory than there is.

    Args:
      size: bytes that it takes at the least.
      source: the file.
      what: what takes them, for the message.

    Raises:
      InputError: says how much it takes, and how much there is.
    """
    there = free_memory()
    if size > there:
        raise _too_large(size, there, source, what)


def _too_large(size: float, there: float, source: str, what: str) -> InputError:
    return InputError(
        f"{what} takes {size / _GIB:.3g} GiB of memory and there are {there / _GIB:.3g} GiB",
        source=source,
        remedy="read a part of it, or use a machine with more memory",
    )


def check_kind(path: pathlib.Path) -> None:
    """Refuse to read a device or a socket, which may have no end.

    Raises:
      InputError: it is one.
      OSError: it is not there.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        what = "a folder" if stat.S_ISDIR(mode) else "a device"
        raise InputError(f"is {what}, not a file", source=str(path), remedy="name a file")


def read_whole(path: pathlib.Path, *, zipped: bool = False) -> bytes:
    """The content of a file that fits into memory.

    Args:
      path: a file, or a pipe.
      zipped: whether it is expanded by gzip.

    Raises:
      InputError: it is a device, expands to more than any table does, or does not fit.
      OSError, EOFError, zlib.error: it cannot be read.
    """
    check_kind(path)
    limit, source = _SHARE * free_memory(), str(path)
    size = os.stat(path).st_size
    if size > limit:
        raise _too_large(size / _SHARE, limit / _SHARE, source, "reading it")
    pieces, held = [], 0
    with path.open("rb") as raw:
        stream = Expanded(gzip.GzipFile(fileobj=raw), size, source) if zipped else raw
        while piece := stream.read(_BLOCK):
            pieces.append(piece)
            held += len(piece)
            if held > limit:
                raise _too_large(held / _SHARE, limit / _SHARE, source, "reading it")
    return b"".join(pieces)


def check_rows(rows: int, path: pathlib.Path) -> None:
    """Refuse a column file that claims more records than can be in it.

    Args:
      rows: what its footer says.
      path: the file, each record of which holds a text.

    Raises:
      InputError: there are fewer bits.
    """
    check_kind(path)
    size = os.stat(path).st_size
    if not 0 <= rows <= 8 * size:
        raise InputError(
            f"claims {rows:,} rows in {size:,} bytes", source=str(path), remedy="write it again"
        )


class Expanded(io.RawIOBase):
    """What a packed file expands to, until that is more than any honest file does.

    Args:
      stream: gives the expanded bytes.
      packed: bytes of the file.
      source: its name, for the message.

    Raises:
      InputError: on reading, it expands to more than `ALWAYS` and `LARGEST_RATIO` times its size.
    """

    def __init__(self, stream: Any, packed: int, source: str):
        self._stream, self._packed, self._source, self._done = stream, packed, source, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self._done += len(piece)
        _check_ratio(self._done, self._packed, self._source)
        return len(piece)

    def close(self) -> None:
        """Close what it reads."""
        self._stream.close()
        super().close()


def _check_ratio(size: int, packed: int, source: str) -> None:
    if size > max(ALWAYS, LARGEST_RATIO * packed):
        raise InputError(
            f"expands to more than {LARGEST_RATIO} times its {packed} bytes",
            source=source,
            remedy="no table and no log does: leave it out",
        )


def check_archive(file: zipfile.ZipFile, source: str) -> None:
    """Refuse a zip file whose members expand to more than fits, before any is read.

    Raises:
      InputError: says what they expand to.
    """
    members = file.infolist()
    size = sum(member.file_size for member in members)
    # Not of the members: those may all lie in one place.
    packed = os.fstat(file.fp.fileno()).st_size if file.fp is not None else 0
    _check_ratio(size, packed, source)
    check_fits(size, source)


@contextlib.contextmanager
def open_npz(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Arrays by name, none of which is pickled, of a file that fits into memory.

    Raises:
      InputError: it is a device, or expands to more than fits.
      OSError, ValueError, EOFError, zipfile.BadZipFile: it cannot be read.
    """
    import numpy as np  # which `t2jax --help` has no use for

    check_kind(pathlib.Path(path))
    with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("one array and no archive")
        if file.zip is not None:  # as it is until it is closed
            check_archive(file.zip, str(path))
        yield file


def lines(stream: IO[bytes], source: str) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, from 1, none of which is longer than any honest one.

    Raises:
      InputError: a line has no end.
    """
    row = 0
    while line := stream.readline(LONGEST_LINE + 1):
        row += 1
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"the line is longer than {LONGEST_LINE} bytes",
                source=source,
                row=row,
                remedy="write one object a line, or leave this file out",
            )
        yield row, line
