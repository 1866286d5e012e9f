"""The ladders that come with t2jax: which sizes, which budgets, how often, asked what.

A preset is a rule, not a list: at each level of training FLOPs it takes the sizes between a
fraction and a multiple of the size at which Chinchilla's choice is expected, as far as the
caps on tokens allow. Seeds after the first repeat what is cheap.
"""

import dataclasses
import math

from t2jax.errors import InputError

__all__ = ["PRESETS", "Preset", "Size", "preset"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """Width and depth of one rung."""

    d_model: int  # width of the residual stream
    n_layers: int = 2  # blocks
    head_dim: int = 16  # width of a head, dividing d_model where that is larger


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """Everything that decides which checkpoints a ladder has."""

    name: str  # what the command line calls it
    about: str  # one line for its help
    sizes: tuple[Size, ...]  # rungs, ascending
    levels: tuple[float, ...]  # budgets of training FLOPs in 6ND, ascending
    corpus: str = "small"  # preset of the corpus
    ratio: float = 90.0  # tokens per parameter expected of Chinchilla's choice
    below: float = 12.0  # sizes down to the expected choice over this
    above: float = 5.0  # sizes up to the expected choice times this
    max_tokens: float = math.inf  # cap on D
    repeat_tokens: float = math.inf  # cap on D of every seed after the first
    min_chunks: int = 5  # compiled chunks that the shortest run must have, at a row a step
    seeds: tuple[tuple[float, int], ...] = ((math.inf, 1),)  # (up to this N, seeds), ascending
    chunk: int = 16  # steps of a compiled chunk
    cooldown: float = 0.2  # last part of every run, over which the rate falls
    save_tokens: float = math.inf  # state is saved after so many tokens, besides at branches
    compute_dtype: str = "float32"  # of activations
    questions: int = 150  # questions of each task
    long_questions: int = 50  # long-answer questions of each task that has them
    held_out_rows: int = 1024  # rows that no model trains on, for the loss of each checkpoint
    finetune_questions: int = 2048  # pool of questions and answers for finetuning

    def seeds_of(self, params: float) -> int:
        """How many seeds a size of `params` gets."""
        return next(seeds for largest, seeds in self.seeds if params <= largest)


def _sizes(*widths: int, n_layers: int = 2, head_dim: int = 16) -> tuple[Size, ...]:
    """Rungs of one depth; a width that heads of 16 do not divide has heads of 8 or 12."""
    return tuple(
        Size(
            d_model=width,
            n_layers=n_layers,
            head_dim=next(h for h in (head_dim, 12, 8, width) if width % h == 0 or width < h),
        )
        for width in widths
    )


def _doublings(first: float, count: int, factor: float = 2.0) -> tuple[float, ...]:
    return tuple(first * factor**step for step in range(count))


_ALL = (
    Preset(
        name="smoke",
        about="seconds: two sizes, four checkpoints, to see that everything works",
        sizes=_sizes(4, 8),
        levels=_doublings(1e8, 2),
        corpus="tiny",
        ratio=4.0,
        min_chunks=3,
        chunk=4,
        questions=8,
        long_questions=2,
        held_out_rows=32,
        finetune_questions=64,
    ),
    Preset(
        name="ci",
        about="two minutes on two cores: 5 sizes, enough for a Chinchilla fit",
        sizes=_sizes(8, 16, 24, 32, 48),
        levels=_doublings(1.2e10, 4, 2.6),
        below=8.0,
        above=6.0,
        max_tokens=7e6,
        questions=120,
        long_questions=30,
        finetune_questions=1024,
    ),
    Preset(
        name="laptop",
        about="a quarter of an hour on a laptop: 7 sizes over two decades",
        sizes=_sizes(8, 12, 16, 24, 32, 48, 64),
        levels=_doublings(5e9, 8),
        max_tokens=12e6,
        repeat_tokens=3e6,
        seeds=((20e3, 2), (math.inf, 1)),
    ),
    Preset(
        name="full",
        about="the built-in ladder: 11 sizes over 2.7 decades, five seeds, three where large",
        sizes=(*_sizes(4, 8, 12, 16, 24, 32), *_sizes(32, n_layers=4), *_sizes(48, 64, 80, 96)),
        levels=_doublings(1e10, 10),
        below=8.0,
        above=3.4,
        max_tokens=51e6,
        seeds=((110e3, 5), (math.inf, 3)),
        save_tokens=2e6,
        questions=300,
        long_questions=100,
    ),
    Preset(
        name="pod",
        about="one accelerator or many: 7 sizes, .2M to 19M, 1e14 to 1.3e16 FLOPs a run",
        sizes=(
            *_sizes(64, 96, 128, n_layers=4, head_dim=32),
            *_sizes(192, 256, 384, 512, n_layers=6, head_dim=64),
        ),
        levels=_doublings(1e14, 8),
        corpus="large",
        below=12.0,
        max_tokens=1.5e9,
        repeat_tokens=2e8,
        seeds=((2e6, 3), (math.inf, 1)),
        chunk=32,
        save_tokens=1e8,
        compute_dtype="bfloat16",
        questions=200,
        long_questions=100,
        finetune_questions=16384,
    ),
)
PRESETS = {entry.name: entry for entry in _ALL}
"""The presets by name."""


def preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
      InputError: there is none.

    >>> preset("full").levels[-1] / preset("full").levels[0]
    512.0
    """
    if name not in PRESETS:
        raise InputError(f"no ladder preset '{name}'", remedy=f"use one of {', '.join(PRESETS)}")
    return PRESETS[name]
