"""What plans of the cheaper runs would have lost at budgets that were measured. See README.md.

    python decisions.py FOLDER       # with gemstones/ and ladder_1/ in it

Writes `results/decisions.txt`, table by table. Public API only.
"""

import pathlib
import sys

from tables import tables

import t2jax as t2

RESULT = pathlib.Path(__file__).resolve().parent / "results" / "decisions.txt"


def main() -> None:
    """Every table of questions."""
    told = []
    kept = {n: runs for n, runs in tables(pathlib.Path(sys.argv[1])).items() if runs.kind == "nll"}
    for runs in dict(reversed(kept.items())).values():
        try:
            found = t2.backtest(runs, shares=[0.5], n_levels=3, n_draws=40, progress=False)
            told += [found.summary(), ""]
        except t2.Refusal as refused:
            told += [f"{runs.source}: refused: {refused}", ""]
        RESULT.write_text("\n".join(told), encoding="utf-8")


if __name__ == "__main__":
    main()
