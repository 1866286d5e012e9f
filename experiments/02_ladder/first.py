"""The ladder beside the first one, which other rules trained: same sizes, budgets and questions.

Imported by `run.py`. Public API only.
"""

import itertools
import pathlib

import numpy as np
import pandas as pd
from direction import of_levels

import t2jax as t2

STEPS = (0, 20, 40, 100, 200, 1000, np.inf)  # of tokens per parameter


def beside_first(runs: t2.Observations, folder: pathlib.Path, budgets: list[float]) -> list[str]:
    """What the rules of the first ladder did to its checkpoints, and to the choice of sizes."""
    first = t2.read(folder / "questions-base.parquet", params_definition="matrices+head")
    assert first.task is not None
    first = first.select_questions(np.isin(first.task, list(set(runs.task))))
    known = set(zip(first.task, first.question, strict=True))
    asked = [key in known for key in zip(runs.task, runs.question, strict=True)]
    now = runs.select_questions(asked)
    both = pd.concat([_means(first, "then"), _means(now, "now")], axis=1, join="inner")
    ratio = both.index.get_level_values("flops") / (
        6 * both.index.get_level_values("params") ** 2.0
    )
    change = np.log(both.then / both.now)
    lines = [
        f"  {now.n_questions} questions of three families that both were asked, {len(both)} sizes "
        "and training budgets that both have, means over seeds",
        "  mean NLL of the first ladder over that of this one, by tokens per parameter:",
    ]
    for low, high in itertools.pairwise(STEPS):
        here = change[(ratio >= low) & (ratio < high)]
        lines.append(
            f"    {low:6g} to {high:6g}: {np.exp(here.mean()) - 1:+6.1%} on average, "
            f"{np.exp(here.min()) - 1:+.1%} to {np.exp(here.max()) - 1:+.1%}, of {len(here)}"
        )
    for inference in budgets:
        lines += [f"  choices under {inference:.3g} FLOPs a token, at one sample -> at what each "
                  "size affords (gain in pass@k):"]  # fmt: skip
        found = [{round(np.log2(one.train_flops)): one for one in of_levels(table, inference)}
                 for table in (first, now)]  # fmt: skip
        for level in sorted(set(found[0]) & set(found[1])):
            cells = [
                f"{one.sizes[one.single]:7,.0f} -> {one.sizes[one.repeated]:6,.0f} "
                f"({one.passed:+.3f})"
                for one in (by_level[level] for by_level in found)
            ]
            lines.append(f"    {found[1][level].train_flops:9.3g}: then {cells[0]}, now {cells[1]}")
    return lines


def _means(table: t2.Observations, name: str) -> pd.Series:
    """Mean NLL by size and training budget, in powers of two."""
    flops = 2.0 ** np.round(np.log2(table.train_flops))
    frame = pd.DataFrame({"params": table.params, "flops": flops, name: table.mean_nll()})
    return frame.groupby(["params", "flops"])[name].mean()
