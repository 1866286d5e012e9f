"""Members of a zip file, those that are compressed by zstd included (floor 1, private).

Python reads zstd members from 3.14 on; Arrow has the codec, and the bytes of a member lie where
its header says.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from t2jax import _bounds
from t2jax._progress import Meter
from t2jax.errors import InputError

__all__ = ["Archive"]

_ZSTD = 93
_LOCAL = 30  # bytes of a local header, before the name


class Archive:
    """A zip file that is read member by member.

    Args:
      path: the file.

    Raises:
      InputError: it is no zip file, or is cut.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            _bounds.check_kind(path)
            self._file = zipfile.ZipFile(path)
        except InputError:
            raise  # a ValueError too
        except _bounds.UNREADABLE as error:
            raise self._broken(error) from None
        _bounds.check_archive(self._file, str(path))
        self._members = {member.filename: member for member in self._file.infolist()}

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self, folder: str) -> list[str]:
        """Members of a folder, in the order in which they were written."""
        return [name for name in self._members if name.startswith(folder) and name != folder]

    def read(self, name: str) -> bytes:
        """A member's content.

        Raises:
          InputError: the member is damaged.
        """
        member = self._members[name]
        try:
            if member.compress_type != _ZSTD:
                return self._file.read(member)
            content = self._zstd(member)
        except _bounds.UNREADABLE as error:
            raise self._broken(error) from None
        if zlib.crc32(content) != member.CRC:
            raise self._broken(ValueError(f"the checksum of {name} is wrong"))
        return content

    def each(self, names: list[str], *, progress: bool) -> Iterator[tuple[str, bytes]]:
        """Some members with their content, and a bar."""
        meter = Meter(sum(self._members[name].compress_size for name in names), "reading",
                      show=progress)  # fmt: skip
        done = 0
        for name in names:
            yield name, self.read(name)
            done += self._members[name].compress_size
            meter.to(done)
        meter.close()

    def _zstd(self, member: zipfile.ZipInfo) -> bytes:
        import pyarrow as pa

        with self.path.open("rb") as raw:
            raw.seek(member.header_offset)
            header = raw.read(_LOCAL)
            if len(header) < _LOCAL or header[:4] != b"PK\x03\x04":
                raise ValueError("a member's header is damaged")
            name, extra = struct.unpack("<HH", header[26:30])
            raw.seek(name + extra, io.SEEK_CUR)
            packed = raw.read(min(member.compress_size, self.path.stat().st_size))
        # As one stream: a member may be several frames one behind another.
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            return stream.read(member.file_size + 1)  # one more is another checksum

    def _broken(self, error: Exception) -> InputError:
        return InputError(
            f"is no whole zip file ({error})", source=str(self.path), remedy="copy the file again"
        )
