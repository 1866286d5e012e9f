"""Hashes of seeded results, one a line; `test_same_bits.py` runs it on several simulated devices.

Usage: bits.py [all]
"""

import hashlib
import sys
from typing import Any

import jax
import numpy as np

import t2jax as t2


def told(name: str, tree: Any) -> None:
    """Print a hash of every array of a result."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        found.update(np.asarray(leaf).tobytes())
    sys.stdout.write(f"{name} {found.hexdigest()}\n")


def main(*words: str) -> None:
    """Optima of one law under 300 budgets; with `all`, everything that is drawn by a seed."""
    written = t2.laws.T2Loss.from_paper(
        E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3
    )
    many = t2.Budget(train_flops=np.geomspace(1e16, 1e26, 300), inference_flops=2e12)
    told("optimum", t2.optimum(written, many, progress=False))
    if not words:
        return
    table = t2.datasets.load_ladder(measure="loss")
    found = t2.fit(table, "additive")
    told("fit", found.law)
    draws = t2.bootstrap(found, n_draws=40, seed=3, progress=False)
    told("bootstrap", (draws.law, draws.nuisance))
    budget = t2.Budget(train_flops=np.geomspace(1e10, 1e12, 7))
    told("optima of draws", t2.optimum(draws, budget, progress=False))
    scanned = t2.optimum(draws, budget, method="scan", progress=False)
    told("scanned optima of draws", scanned)
    sampled = t2.posterior(
        found,
        runs=table,
        seed=3,
        n_draws=100,
        chains=2,
        warmup=100,
        allow_failed=True,
        progress=False,
    )
    told("posterior", (sampled.law, sampled.nuisance))


if __name__ == "__main__":
    main(*sys.argv[1:])
