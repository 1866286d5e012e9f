"""Flat arrays of tokens on disk: how wide they are, and which vocabulary they need."""

import pathlib

import numpy as np

from t2jax._bounds import UNREADABLE, check_kind
from t2jax.errors import InputError

__all__ = ["read", "vocabulary"]

LARGEST_VOCABULARY = 1 << 21
"""Eight times the largest one in use; a token beyond it is a stray, or the width is wrong."""

_DTYPES = ("uint16", "uint32", "int32", "int64")
_BLOCK = 1 << 24  # tokens looked at in one go
_LOOKED_AT = 1 << 16  # tokens from which the width is told
_HEADERS = {20240520: "uint16", 20240801: "uint32"}  # llm.c: 256 int32, the third the tokens
_HEADER_BYTES = 1024


def read(path: pathlib.Path, dtype: str) -> np.ndarray:
    """A flat array of tokens, left on disk.

    Args:
      path: `.npy`, or `.bin` with or without the header that llm.c writes.
      dtype: of a `.bin` file.

    Raises:
      InputError: it is no such array, or the tokens say that their type is another one.
    """
    check_kind(path)
    if path.suffix.lower() == ".npy":
        try:
            # Not `np.load`, which leaves an archive of that name open.
            stream = np.lib.format.open_memmap(path, mode="r")
        except UNREADABLE:
            raise InputError(
                "this is not a NumPy array", source=str(path), remedy="write it with numpy.save"
            ) from None
    else:
        stream = _read_bin(path, dtype)
    if not isinstance(stream, np.ndarray) or stream.ndim != 1 or stream.dtype.kind not in "ui":
        raise InputError(
            "this is not a flat array of whole numbers",
            source=str(path),
            remedy="save a one-dimensional array of uint16, uint32 or int32",
        )
    if not len(stream):
        raise InputError("the file is empty", source=str(path), remedy="give it some tokens")
    return stream


def _read_bin(path: pathlib.Path, dtype: str) -> np.ndarray:
    if dtype not in _DTYPES:
        raise InputError(f"dtype is '{dtype}'", remedy=f"use {', '.join(_DTYPES)}")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if head.startswith(b"\x93NUMPY"):
        raise InputError(
            "this is a NumPy array under another name", source=str(path), remedy="name it .npy"
        )
    offset = 0
    if len(head) == _HEADER_BYTES and int(np.frombuffer(head, "<i4")[0]) in _HEADERS:
        magic, _, count = np.frombuffer(head, "<i4")[:3].tolist()
        dtype, offset = _HEADERS[magic], _HEADER_BYTES
        if size - offset != count * np.dtype(dtype).itemsize:
            raise InputError(
                f"the header says {count} tokens of {dtype} and {size - offset} bytes follow",
                source=str(path),
                remedy="write the file again",
            )
    if (size - offset) % np.dtype(dtype).itemsize:
        raise InputError(
            f"{size} bytes are no whole number of {dtype} tokens",
            source=str(path),
            remedy="name the dtype that the file was written with",
        )
    if size == offset:  # which cannot be mapped
        return np.zeros(0, dtype)
    stream = np.memmap(path, dtype=dtype, mode="r", offset=offset)
    if not offset and (wider := _wider(stream)):
        raise InputError(
            f"these are not {dtype} tokens: {wider[0]} of every {wider[1]} are the zeros of a "
            "wider type",
            source=str(path),
            remedy=f"name the dtype that the file was written with, perhaps {wider[2]}",
        )
    return stream


def _wider(stream: np.ndarray) -> tuple[int, int, str] | None:
    """How often, and of which type, the tokens are but the upper halves of wider ones."""
    narrow, halves = stream.dtype.itemsize, stream[:_LOOKED_AT]
    for size, wide in ((8, "int64"), (4, "uint32")):
        parts = size // narrow
        if parts < 2 or len(stream) % parts or len(halves) < 2 * parts:
            continue
        rows = halves[: len(halves) // parts * parts].reshape(-1, parts)
        # Upper halves of a vocabulary below 2^21 stay below 32, whatever the lower ones are.
        high = rows[:, 1] < (LARGEST_VOCABULARY >> 16 if narrow == 2 else 1)
        zeros = high.all() and not rows[:, 2:].any()
        if zeros and rows[:, 0].max() > 2 * int(rows[:, 1].max()) + 1:
            return parts - 1, parts, wide
    return None


def vocabulary(path: pathlib.Path, stream: np.ndarray, vocab_size: int | None) -> int:
    """The vocabulary size of a token array, all of whose tokens must fit.

    Raises:
      InputError: names the first token that does not, and its place.
    """
    largest, limit = 0, LARGEST_VOCABULARY if vocab_size is None else vocab_size
    for start in range(0, len(stream), _BLOCK):
        block = stream[start : start + _BLOCK]
        largest = max(largest, int(block.max()))
        bad = (block < 0) | (block >= limit)
        if bad.any():
            place = int(np.argmax(bad))
            known = "any" if vocab_size is None else "the"
            raise InputError(
                f"token {int(block[place])} at place {start + place} is not in {known} vocabulary",
                source=str(path),
                remedy="check dtype and vocab_size",
            )
    return vocab_size or largest + 1
