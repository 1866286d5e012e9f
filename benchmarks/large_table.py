"""A question table of ten million rows through `t2jax plan`: time, and memory at its peak.

Usage: large_table.py FOLDER [--kind nll|counts] [--suffix parquet|csv] [--questions COUNT]
         [--draws COUNT]

The table is simulated where it is not there yet: 1,000 checkpoints (5 seeds of 20 sizes at 10
lengths) and, by default, 10,000 questions. The plan runs in a process whose memory is its own.
"""

import argparse
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

SIZES, LENGTHS, SEEDS, TRIALS = 20, 10, 5, 128


def write(path: pathlib.Path, kind: str, questions: int) -> None:
    """A table of that kind, checkpoint by checkpoint, so that little of it is held at once."""
    import pyarrow as pa
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    hardness = np.exp(0.8 * rng.standard_normal(questions))
    names = np.char.add("q", np.arange(questions).astype(str))
    partial, writer = path.with_name(f"{path.name}.part"), None
    for place in range(SIZES * LENGTHS * SEEDS):
        size, rest = divmod(place, LENGTHS * SEEDS)
        seed, length = divmod(rest, LENGTHS)
        params, tokens = 1e6 * 10 ** (size * 3 / (SIZES - 1)), 1e9 * 10 ** (length * 2 / LENGTHS)
        loss = 0.4 + 300 / params**0.35 + 400 / tokens**0.3
        nll = loss * hardness * np.exp(0.1 * rng.standard_normal(questions))
        cells = {"nll": nll}
        if kind == "counts":
            cells = {"successes": rng.binomial(TRIALS, np.exp(-nll)), "trials": TRIALS}
        frame = pd.DataFrame(
            {"run": f"r{size}s{seed}", "params": params, "tokens": tokens, "task": "made",
             "question": names, **cells}
        )  # fmt: skip
        if path.suffix == ".csv":
            frame.to_csv(partial, mode="a" if place else "w", header=not place, index=False)
            continue
        block = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or pyarrow.parquet.ParquetWriter(partial, block.schema)
        writer.write_table(block)
    if writer is not None:
        writer.close()
    partial.rename(path)


def main() -> None:
    """Write the table, plan on it, say what that took."""
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=pathlib.Path)
    asked.add_argument("--kind", choices=("nll", "counts"), default="nll")
    asked.add_argument("--suffix", choices=("parquet", "csv"), default="parquet")
    asked.add_argument("--questions", type=int, default=10_000)
    asked.add_argument("--draws", type=int, default=1000)
    given = asked.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / f"{given.kind}-{given.questions}.{given.suffix}"
    if not path.exists():
        write(path, given.kind, given.questions)
    words = [sys.executable, "-m", "t2jax", "plan", str(path), "--train-flops", "6e19",
             "--inference-flops", "2e10", "--draws", str(given.draws),
             "--out", str(given.folder / "report")]  # fmt: skip
    begun = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True)
    spent = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout if done.returncode == 0 else done.stderr)
    print(
        f"{path.name}: {SIZES * LENGTHS * SEEDS * given.questions:,} rows, "
        f"{path.stat().st_size / 1e6:.0f} MB, {given.draws} draws: exit {done.returncode}, "
        f"{spent:.0f} s, {used.ru_utime + used.ru_stime:.0f} CPU-s, "
        f"peak memory {used.ru_maxrss / 1e3:,.0f} MB"
    )


if __name__ == "__main__":
    main()
