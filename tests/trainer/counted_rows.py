"""A source of the smallest kind: tokens that follow from the number of their row."""

from typing import Any

import numpy as np

from t2jax.trainer.batches import Batch
from t2jax.trainer.config import ModelConfig, TrainConfig


class CountedRows:
    """Rows of two documents and two places of padding; the tokens count in some stride.

    >>> CountedRows().rows(5, 1).segments
    array([[1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 0, 0]], dtype=int32)
    """

    vocab_size, seq_len, traceable, tokens_per_row = 32, 16, True, 12.0

    def __init__(self, seed: int = 0):
        self.seed = seed

    def rows(self, first: Any, count: int, *, xp: Any = np) -> Batch:
        rows = xp.arange(count, dtype=xp.uint32) + xp.asarray(first, dtype=xp.uint32)
        mixed = (rows + xp.uint32(self.seed * 7919)) * xp.uint32(2654435761)
        mixed = (mixed ^ (mixed >> xp.uint32(15)))[:, None]
        place = xp.arange(self.seq_len, dtype=xp.uint32)
        tokens = 3 + (mixed % xp.uint32(11) + place * (1 + mixed % xp.uint32(3))) % xp.uint32(29)
        segments = xp.broadcast_to((1 + place // 7) * (place < 14), tokens.shape)
        answers = xp.broadcast_to(place % 7 > 3, tokens.shape)
        kinds = xp.int32, xp.int32, xp.bool_
        tokens = xp.where(segments > 0, tokens, 0)
        return Batch(
            *(x.astype(k) for x, k in zip((tokens, segments, answers), kinds, strict=True))
        )

    def fingerprint(self) -> str:
        return f"counted-{self.seed}"


def small_config(**fields: Any) -> TrainConfig:
    """A run of a model that compiles fast, on these rows."""
    model = ModelConfig(d_model=8, n_layers=1, vocab_size=32, seq_len=16)
    given = {"model": model, "batch_rows": 8, "chunk": 4, "learning_rate": 0.02}
    if not {"tokens", "train_flops", "tokens_per_param"} & set(fields):
        given["tokens"] = 8 * 12 * 24  # 24 steps
    return TrainConfig(**{**given, **fields})
