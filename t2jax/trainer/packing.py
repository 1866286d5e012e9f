"""Documents packed one behind another into rows, and the order in which rows are met."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from t2jax.trainer.batches import Batch, loss_mask
from t2jax.trainer.hashing import fold, permute

__all__ = ["ANSWER_BIT", "loss_tokens", "pack", "pack_documents", "pad", "shuffled"]

ANSWER_BIT = 128  # marks the tokens of answers while they are packed as bytes


def pack(xp: Any, codes: UInt8[Any, "slots rows documents"], seq_len: int) -> Batch:
    """Rows of the documents that fit, in order: one that does not is left out.

    Args:
      xp: `numpy` or `jax.numpy`.
      codes: a token in each place, plus `ANSWER_BIT` in answers; 0 in empty places.
      seq_len: tokens of a row.
    """
    _, count, documents = codes.shape
    lengths = (codes > 0).sum(0, dtype=xp.int32)
    used = xp.zeros(count, xp.int32)
    starts, segments, number = [], [], xp.zeros(count, xp.int32)
    for place in range(documents):
        fits = used + lengths[:, place] <= seq_len
        number = number + fits
        starts.append(xp.where(fits, used, seq_len))
        segments.append(xp.where(fits, number, 0))
        used = used + lengths[:, place] * fits
    start, segment = xp.stack(starts, 1), xp.stack(segments, 1)
    if xp is np:
        # in row order the tokens that stay are the rows one behind another
        by_row = np.ascontiguousarray(codes.transpose(1, 2, 0))
        by_row *= (segment > 0)[:, :, None]
        filled = np.arange(seq_len) < used[:, None]
        packed = np.zeros((count, seq_len), np.uint8)
        packed[filled] = by_row[by_row > 0]
        numbers = np.zeros((count, seq_len), np.int32)
        numbers[filled] = np.repeat(segment.ravel(), np.where(segment > 0, lengths, 0).ravel())
    else:
        place = xp.cumsum((codes > 0).astype(xp.int32), 0) - 1 + start[None]
        place = xp.where(codes > 0, place, seq_len)  # past the end: dropped
        row = xp.arange(count)[None, :, None]
        empty = xp.zeros((count, seq_len), xp.int32)
        word = codes.astype(xp.int32) | (segment << 8)[None]
        word = empty.at[xp.broadcast_to(row, place.shape), place].set(word, mode="drop")
        packed, numbers = word & 255, word >> 8
    return Batch(
        tokens=(packed & 127).astype(xp.int32),
        segments=numbers,
        answers=packed >= ANSWER_BIT,
    )


def pack_documents(pool: Sequence[tuple[list[int], list[int]]], seq_len: int) -> Batch:
    """Every document of a pool in one row or another: the first one that has room."""
    room: list[int] = []
    rows: list[list[tuple[list[int], list[int]]]] = []
    for document in pool:
        length = len(document[0]) + len(document[1])
        # only the last rows are worth a look: the others are nearly full
        recent = range(max(0, len(room) - 16), len(room))
        row = next((place for place in recent if room[place] >= length), None)
        if row is None:
            row = len(room)
            room.append(seq_len)
            rows.append([])
        room[row] -= length
        rows[row].append(document)
    shape = (len(rows), seq_len)
    batch = Batch(np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, bool))
    for row, documents in enumerate(rows):
        place = 0
        for number, (prompt, answer) in enumerate(documents, start=1):
            middle, end = place + len(prompt), place + len(prompt) + len(answer)
            batch.tokens[row, place:end] = prompt + answer
            batch.segments[row, place:end] = number
            batch.answers[row, middle:end] = True
            place = end
    return batch


def pad(lists: Sequence[Sequence[int]]) -> np.ndarray:
    """Lists as one array, filled up with 0."""
    out = np.zeros((len(lists), max(map(len, lists), default=0)), np.int32)
    for row, values in enumerate(lists):
        out[row, : len(values)] = values
    return out


def loss_tokens(batch: Batch) -> float:
    """Mean number of places of a row that predict a token of their own document."""
    return float(np.asarray(loss_mask(batch)).sum() / len(batch.tokens))


def shuffled(first: int, count: int, size: int, *, key: int) -> Int[np.ndarray, " count"]:
    """Which of `size` rows stand at places first, first + 1, ...: every epoch in another order.

    >>> import numpy as np
    >>> sorted(shuffled(6, 6, 6, key=1).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    places = np.arange(count, dtype=np.int64) + first % size
    epochs = places // size
    picked = np.empty(count, np.int64)
    for turn in np.unique(epochs):
        now = epochs == turn
        epoch = first // size + int(turn)
        picked[now] = permute(fold(key, epoch), places[now] % size, size)
    return picked
