"""The user's cache folder: whether it may be used, where it is, how large it grows (floor 0).

What is in it may be deleted at any time. `T2JAX_CACHE=off` keeps and reads nothing.
"""

import contextlib
import os
import pathlib
import platform
import stat
import sys
from importlib import metadata

__all__ = ["bound", "cache_folder", "keep_programs_in", "kept_programs", "processor", "version"]

_MOST = 1 << 30
_CPU = pathlib.Path("/proc/cpuinfo")


def cache_folder(name: str) -> pathlib.Path | None:
    """A folder of the user's cache, for this user alone; None where nothing may be kept."""
    if os.environ.get("T2JAX_CACHE", "").lower() == "off":
        return None
    place = _home() / "t2jax" / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.mkdir(exist_ok=True, mode=0o700)
        return (
            place if os.access(place, os.W_OK) and all(map(_alone, (place, place.parent))) else None
        )
    except OSError:
        return None  # without a home there is nothing to keep


def _alone(place: pathlib.Path) -> bool:
    """Whether nobody else may write there: programs are read from it, and run."""
    if os.name != "posix":
        return True
    told = place.stat()
    return told.st_uid == os.getuid() and not told.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


class _Programs:
    """Where compiled programs are kept."""

    folder: pathlib.Path | None = None


def keep_programs_in(folder: pathlib.Path | None) -> None:
    """Keep compiled programs in a folder, or nowhere: for commands, not for libraries."""
    _Programs.folder = folder


def kept_programs() -> pathlib.Path | None:
    """Where compiled programs are kept; None where they are not."""
    return _Programs.folder


def bound(folder: pathlib.Path, most: float = _MOST) -> None:
    """Delete the files of a folder that were used longest ago, until the rest is small enough.

    Args:
      folder: whose files, those in folders of it too, may all be made again.
      most: bytes that may stay.
    """
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process may take it away at any moment
            told = path.lstat()
            if not path.is_dir():
                found.append((max(told.st_atime, told.st_mtime), told.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most:
            return
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        total -= size


def processor() -> str:
    """This kind of processor: what was made on another may use instructions that it lacks."""
    return f"{platform.system()} {platform.machine()} {_features()}"


def version(package: str) -> str:
    """The version of an installed package, without what `importlib.metadata` parses for it."""
    with contextlib.suppress(metadata.PackageNotFoundError, StopIteration):
        text = metadata.distribution(package).read_text("METADATA") or ""
        return next(line[9:] for line in text.splitlines() if line.startswith("Version: "))
    return "unknown"


def _home() -> pathlib.Path:
    """The folder for what may be deleted at any time, by the custom of the system."""
    if os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(os.environ["XDG_CACHE_HOME"])
    home = pathlib.Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    if sys.platform == "win32":
        return pathlib.Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    return home / ".cache"


def _features() -> str:
    """The processor's instructions, where the system lists them."""
    try:
        lines = _CPU.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
