"""One process that fits 2,000 tables of different shapes: maps and memory on the way.

Usage: many_tables.py [TABLES]

Shapes are programs to compile, and every program takes maps of the operating system, of which
Linux allows a process 65,530. Few lengths share a program, and `few_programs` forgets what is left;
without either the process died inside the compiler.
"""

import pathlib
import resource
import sys
import time

import jax
import numpy as np

import t2jax as t2

MAPS = pathlib.Path("/proc/self/maps")
LIMIT = pathlib.Path("/proc/sys/vm/max_map_count")


def table(rows: int) -> t2.Observations:
    """Losses of that many runs, of a law with noise."""
    rng = np.random.default_rng(rows)
    params, tokens = 10 ** rng.uniform([[6], [8]], [[9], [11]], (2, rows))
    loss = 1.7 + 400 / params**0.34 + 400 / tokens**0.28
    return t2.Observations(
        kind="loss", run=np.arange(rows), params=params, tokens=tokens,
        loss=loss * np.exp(0.005 * rng.standard_normal(rows)),
    )  # fmt: skip


def main(tables: int) -> None:
    """Fit, and say every hundred tables what the process holds."""
    begun, most, forgotten = time.perf_counter(), 0, 0
    clear = jax.clear_caches

    def counted() -> None:
        nonlocal forgotten
        forgotten += 1
        clear()

    jax.clear_caches = counted
    for number in range(1, tables + 1):
        found = t2.fit(table(7 + number), "tied", n_starts=1)
        assert np.isfinite(found.objective_value), number
        held = MAPS.read_bytes().count(b"\n")
        most = max(most, held)
        if number % 100 == 0 or number == tables:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(
                f"{number:,} tables, {time.perf_counter() - begun:,.0f} s: {held:,} maps, at most "
                f"{most:,} of {int(LIMIT.read_bytes()):,}; programs forgotten {forgotten} times; "
                f"peak memory {memory:,.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
