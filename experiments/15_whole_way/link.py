"""Given a checkpoint's loss, does the spread of questions tell every k? See README.md.

    python link.py FOLDER       # with gemstones/ and ladder_1/ in it

Writes `results/link.txt`. Public API only.
"""

import pathlib
import sys

import jax
import numpy as np

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
TABLES = ("openbookqa", "arc_challenge", "commonsense_qa", "ladder_1 macro")
SAMPLES = np.array([4.0, 16.0, 64.0, 256.0, 1024.0])
EVERY = np.geomspace(1.0, 16384.0, 57)


def line(name: str, runs: t2.Observations) -> str:
    """Mean error of -log pass@k in percent, and of pass@k in points at its worst k."""
    spread = t2.fit(runs, "linked").law.spread
    loss = np.asarray(runs.nll).mean(axis=1)[:, None]
    with jax.enable_x64(True):
        told = np.asarray(spread.neg_log_pass(loss, SAMPLES))
        share = np.asarray(spread.pass_at_k(loss, EVERY))
    missed = 100 * np.mean(np.abs(told / runs.neg_log_pass(SAMPLES) - 1), axis=0)
    points = 100 * np.abs(share - runs.pass_at_k(EVERY)).mean(axis=0)
    return f"{name:16}" + "".join(f"{x:10.2f}" for x in missed) + f"{points.max():16.2f}"


def main() -> None:
    """Every table."""
    sys.path.insert(0, str(HERE.parent / "13_hold_outs"))
    from tables import tables

    found = tables(pathlib.Path(sys.argv[1]))
    lines = [
        "given the measured loss of a checkpoint: error of mean -log pass@k in percent, and of",
        "mean pass@k in points at the worst of 57 k from 1 to 16,384; means over checkpoints",
        f"{'table':16}"
        + "".join(f"{f'k = {k:g}':>10}" for k in SAMPLES)
        + f"{'pass@k, points':>16}",
        *[line(name, found[name]) for name in TABLES],
    ]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    (HERE / "results" / "link.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
