"""Does the linked law ever choose worse sizes than the softplus law, which it replaced?

python experiments/14_backtest/softplus.py ../shared/data

Writes `results/softplus.txt`: both laws' plans of the tables of questions, judged as in `run.py`.
"""

import dataclasses
import pathlib
import sys

import run

import t2jax as t2

TABLES = ("ladder_1 macro", "openbookqa", "arc_challenge", "commonsense_qa")
LAWS = ("linked", "softplus")
LINE = "{:16}{:12}{:10}{:>7}{:>11}{:>15}   {}"


def judged(name: str, law: str, folder: pathlib.Path, *, in_sample: bool) -> str:
    """One line of the table."""
    runs = dataclasses.replace(run.table(name, folder), source=name)
    budget = {"inference_flops": run.INFERENCE_FLOPS} if name.startswith("ladder") else None
    asked = {"shares": [1.0]} if in_sample else {}
    where = "whole table" if in_sample else "1/2, 1/3"
    try:
        found = t2.backtest(runs, budget, law=law, n_draws=20, progress=False, **asked)
    except t2.Refusal:
        return LINE.format(name, where, law, "", "refused", "", "")
    lost = found.lost("plan")
    return LINE.format(
        name, where, law, len(found.cases), f"{lost.mean():.4f}", f"{found.error():.1%}",
        " ".join(f"{one:.3f}" for one in lost),
    )  # fmt: skip


def main(folder: pathlib.Path) -> None:
    """Judge both laws, and write as soon as something is known."""
    lines = [LINE.format("table", "planned from", "law", "cases", "lost, nats", "promised off", "")]
    for name in TABLES:
        for in_sample in (True, False):
            lines += [judged(name, law, folder, in_sample=in_sample) for law in LAWS]
            (run.RESULTS / "softplus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
