"""Files that are written whole or not at all, and places that are tried before the work (floor 0).

A regular file gets its content under another name and then that name's place, through links to
what they lead to. Whatever else stands there (a pipe, a device) is written to and never replaced.
"""

import contextlib
import os
import pathlib
import shutil
import stat
import tempfile
from collections.abc import Callable

from t2jax.errors import InputError

__all__ = ["check_file", "check_folder", "put", "same_file", "write_whole"]

PathLike = str | os.PathLike[str]


def write_whole(path: PathLike, save: Callable[[pathlib.Path], object]) -> None:
    """Have a file written whole or not at all.

    Args:
      path: the file; one that is there keeps its permissions.
      save: writes what it is given the path of, whose name ends as that of `path` does.

    Raises:
      OSError: it cannot be written; what was there is as it was.
    """
    if _is_open_end(path):
        # Made elsewhere first: half of a failure cannot be taken back from a pipe.
        with tempfile.TemporaryDirectory() as folder:
            made = pathlib.Path(folder) / pathlib.Path(path).name
            save(made)
            with made.open("rb") as source, open(path, "wb") as end:
                shutil.copyfileobj(source, end)
        return
    target = pathlib.Path(os.path.realpath(path))
    partial = target.with_name(f".partial.{os.getpid()}.{target.name}")  # what it ends with counts
    try:
        save(partial)
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def put(made: pathlib.Path, path: PathLike) -> None:
    """Have a file that was made elsewhere stand in its place, whole or not at all.

    Raises:
      OSError: it cannot be written; what was there is as it was.
    """
    write_whole(path, lambda partial: shutil.copyfile(made, partial))


def same_file(one: PathLike, other: PathLike) -> bool:
    """Whether two paths lead to one regular file; one that leads nowhere is no file.

    >>> same_file("no such", "no such")
    False
    """
    try:
        return os.path.isfile(one) and os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _is_open_end(path: PathLike) -> bool:
    """Whether a path leads to a pipe, a device or what a shell has opened."""
    text = os.path.abspath(path)
    if text.startswith(("/dev/std", "/dev/fd/", "/proc/")):
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_file(path: PathLike) -> None:
    """Refuse a place where no file can be written, before the work that makes it.

    Raises:
      InputError: says why.

    >>> check_file("no/such/folder/fit.json")
    Traceback (most recent call last):
        ...
    t2jax.errors.InputError: no/such/folder/fit.json: cannot be written (no folder no/such/folder);
    name a file in a folder that exists and in which you may write
    """
    remedy = "name a file in a folder that exists and in which you may write"
    problem = ""
    try:
        target = pathlib.Path(os.path.realpath(path))
        if target.is_dir():
            problem = "is a folder, not a file"
        elif _is_open_end(path):
            # Not opened: that would wait for whoever reads a pipe, or begin to write to it.
            problem = "" if os.access(path, os.W_OK) else "cannot be written (Permission denied)"
        elif not target.parent.is_dir():
            problem = f"cannot be written (no folder {pathlib.Path(path).parent})"
        else:
            _try(target.parent, target.name)
    except (OSError, ValueError) as error:
        problem = f"cannot be written ({getattr(error, 'strerror', None) or error})"
    if problem:
        raise InputError(problem, source=str(path), remedy=remedy)


def check_folder(path: PathLike) -> None:
    """Refuse a place where no folder of results can be made or written, before the work.

    Raises:
      InputError: says why.
    """
    problem = ""
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path)  # says of a name too long what `lexists` keeps to itself
        above = pathlib.Path(os.path.realpath(path))
        while not os.path.lexists(above):
            above = above.parent
        if not above.is_dir():
            same = os.path.realpath(path) == str(above)
            problem = "is a file, not a folder" if same else f"cannot be made ({above} is a file)"
        else:
            _try(above, "probe")
    except (OSError, ValueError) as error:
        problem = f"cannot be written ({getattr(error, 'strerror', None) or error})"
    if problem:
        raise InputError(
            problem, source=str(path), remedy="name another folder, in which you may write"
        )


def _try(folder: pathlib.Path, name: str) -> None:
    """Make a file in a folder and take it away; permissions alone say little to root."""
    probe = folder / f".partial.{os.getpid()}.{name}"
    try:
        probe.touch()
    finally:
        probe.unlink(missing_ok=True)
