"""Answers drawn from some checkpoints of a ladder, counted: a table as people have who only sample.

    .venv/bin/python experiments/02_ladder/sample.py FOLDER

64 answers a question at temperature 1, of two seeds at every other training budget. Each checkpoint
is kept as soon as it is done, so the command goes on where it was stopped; `FOLDER/counts.parquet`
is written when all are.
"""

import os
import pathlib
import sys
import zlib

import jax
import numpy as np
import pandas as pd

from t2jax.trainer import checkpoint, evaluate
from t2jax.trainer.ladder import BuiltIn, preset

SAMPLES = 64
SEEDS = (0, 1)
KEY = 64  # of the draws


def chosen(runs: pd.DataFrame) -> pd.DataFrame:
    """Two seeds at every other level, the cheapest first."""
    levels = sorted(runs.level_flops.unique())[::2]
    return runs[runs.level_flops.isin(levels) & runs.seed.isin(SEEDS)]


def main(folder: pathlib.Path) -> None:
    """Draw what is missing, then join."""
    full = preset("full")
    questions = BuiltIn(full.corpus).asked(full)
    long = np.char.startswith(questions.task, "long-")  # apart: they need twice the columns
    parts = [(mask, evaluate.select(questions, mask)) for mask in (~long, long)]
    kept = folder / "sampled"
    kept.mkdir(exist_ok=True)
    rows = chosen(pd.read_csv(folder / "runs.csv"))
    for row in rows.itertuples():
        place = kept / f"{row.run}.npy"
        if place.exists():
            continue
        shape, params, _ = checkpoint.load_params(folder / "points" / str(row.run) / "params")
        # A key of the run's own name: the draws do not depend on which runs there are.
        key = jax.random.fold_in(jax.random.key(KEY), zlib.crc32(str(row.run).encode()))
        successes = np.zeros(len(questions.task), np.uint8)
        for half, (mask, asked) in enumerate(parts):
            own = jax.random.fold_in(key, half)
            successes[mask] = evaluate.sampled(params, shape, asked, samples=SAMPLES, key=own)
        partial = place.with_suffix(".part.npy")
        np.save(partial, successes)
        os.replace(partial, place)
        sys.stdout.write(f"{row.run}: {successes.mean() / SAMPLES:.3f} solved\n")
    tables = [
        pd.DataFrame(
            {
                "run": row.run, "trunk": row.trunk, "params": row.params, "tokens": row.tokens,
                "task": questions.task, "question": questions.names,
                "successes": np.load(kept / f"{row.run}.npy"), "trials": np.uint8(SAMPLES),
            }
        )
        for row in rows.itertuples()
    ]  # fmt: skip
    pd.concat(tables, ignore_index=True).to_parquet(folder / "counts.parquet", index=False)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
