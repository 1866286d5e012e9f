"""Checks of plain arguments (floor 0): counts, seeds, levels, folders, refused in one line."""

import math
import numbers
import os
import pathlib
from typing import Any

from t2jax.errors import InputError

__all__ = ["check_level", "check_seed", "check_whole", "local_folder"]


_MOST = 2**32 - 1


def check_whole(name: str, value: Any, *, least: int = 1, usual: int) -> None:
    """Refuse what is no whole number of at least `least`, or takes more than 32 bits.

    Args:
      name: what the caller calls it.
      value: what was given.
      least: the smallest that makes sense.
      usual: the number that the remedy proposes.

    Raises:
      InputError: anything else, a bool or 40.0 included.

    >>> check_whole("n_draws", 40, usual=1000)
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or int(value) < least:
        raise InputError(
            f"{name} = {value!r} is not a whole number of at least {least}",
            remedy=f"use {name}={usual}",
        )
    if int(value) > _MOST:
        raise InputError(f"{name} = {value} does not fit in 32 bits", remedy=f"use {name}={usual}")


def check_seed(seed: Any) -> None:
    """Refuse a seed that is no whole number from 0 to 2^32 - 1.

    Raises:
      InputError: anything else.
    """
    check_whole("seed", seed, least=0, usual=0)


def check_level(level: Any) -> None:
    """Refuse a level that is no share of one; 90% is 0.9.

    Raises:
      InputError: anything else.

    >>> check_level(0.9)
    """
    real = isinstance(level, numbers.Real) and math.isfinite(float(level))
    if not real or not 0 < float(level) < 1:
        raise InputError(f"level = {level!r} is no share of one", remedy="use level=0.9 for 90%")


def local_folder(folder: str | os.PathLike[str]) -> pathlib.Path:
    """A folder of the file system, as an absolute path.

    Args:
      folder: where results go, or are.

    Raises:
      InputError: it is the address of a bucket, of which a path would make a local folder `gs:`.

    >>> local_folder("/tmp/run").name
    'run'
    """
    text = os.fspath(folder)
    if "://" in text:
        raise InputError(
            "is an address, and results are kept in folders",
            source=text,
            remedy="mount the bucket, with gcsfuse or mount-s3, and name the folder",
        )
    return pathlib.Path(text).absolute()
