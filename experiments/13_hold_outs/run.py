"""Do intervals for new checkpoints hold on real tables, and how far off is the law? See README.md.

    python run.py FOLDER [LAW]       # FOLDER with gemstones/, porian2024/, farseer/, ... in it

Writes `results/coverage.txt`. Public API only.
"""

import pathlib
import sys

import numpy as np
from tables import Cell, cells

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
LEVEL = 0.9
DRAWS = 400
HEAD = ("table", "split", "fitted", "judged", "error %", "bias %", "hold %", "error* %", "hold* %")


def judge(cell: Cell, law: str | None) -> list[str]:
    """One row: errors and coverage without and with the surface of misfit."""
    runs = cell.runs
    train, test = runs.select(cell.fitted), runs.select(~cell.fitted)
    fit = t2.fit(train, law)
    grid = np.asarray(cell.samples, float)
    truth = test.neg_log_pass(grid) if runs.kind == "nll" else np.asarray(test.loss)[:, None]
    shown = []
    for discrepancy in (False, True):
        one = t2.bootstrap(fit, n_draws=DRAWS, discrepancy=discrepancy, progress=False)
        told = t2.predict(one, params=test.params[:, None], tokens=test.tokens[:, None],
                          samples=grid, new="checkpoint")  # fmt: skip
        low, high = np.quantile(told, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        point = t2.laws.predict(one.point, test.params[:, None], test.tokens[:, None], grid)
        error = point / truth - 1
        held = np.mean((truth >= low) & (truth <= high))
        shown += [(100 * np.mean(np.abs(error)), 100 * np.mean(error), 100 * held)]
    (error, bias, held), (error_2, _, held_2) = shown
    numbers = [error, bias, held, error_2, held_2]
    counts = [str(train.n_rows), str(test.n_rows)]
    return [cell.name, cell.split, *counts, *[f"{x:.1f}" for x in numbers]]


def main() -> None:
    """Every cell."""
    folder = pathlib.Path(sys.argv[1])
    law = sys.argv[2] if len(sys.argv) > 2 else None
    rows = []
    for cell in cells(folder):
        name = law or ("linked" if cell.runs.kind == "nll" else "coupled")
        rows.append(judge(cell, name))
        print("  ".join(rows[-1]), flush=True)
    for column in (6, 8):
        print(HEAD[column], "mean", np.mean([float(row[column]) for row in rows]))
    widths = [max(len(row[i]) for row in [*rows, HEAD]) for i in range(len(HEAD))]
    lines = [
        "  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)) for row in [HEAD, *rows]
    ]
    (HERE / "results" / "coverage.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
