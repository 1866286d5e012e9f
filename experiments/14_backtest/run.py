"""What plans of a table's cheaper runs would have lost on the dearer ones that were measured.

python experiments/14_backtest/run.py ../shared/data            # every table, and the ladder
python experiments/14_backtest/run.py ../shared/data porian     # one of them
python experiments/14_backtest/run.py                           # the card, from results/
"""

import argparse
import dataclasses
import os
import pathlib
import sys

os.environ.setdefault("MPLBACKEND", "agg")
HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"
TABLES = ("ladder", "openbookqa", "arc_challenge", "commonsense_qa", "gemstones loss", "porian",
          "farseer")  # fmt: skip
CHOICES = ("plan", "chinchilla", "chinchilla_measured", "ratio", "smallest", "largest")
LINE = "{:16}{:10}{:>6}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}{:>14}{:>8}{:>9}"
DRAWN = "ladder"
INFERENCE_FLOPS = 7.01e5  # of the ladder: 20 samples of a middling model; elsewhere the default


def table(name: str, folder: pathlib.Path):
    """The measured runs of a name."""
    import t2jax as t2

    if name == "ladder":
        return t2.datasets.load_ladder()
    sys.path.insert(0, str(HERE.parent / "13_hold_outs"))
    from tables import tables

    return tables(folder)[name]


def file_of(name: str, *, in_sample: bool = False) -> pathlib.Path:
    """Where the result of a table lies."""
    return RESULTS / f"{name.replace(' ', '_')}{'_in_sample' if in_sample else ''}.json"


def judge(name: str, folder: pathlib.Path) -> None:
    """Backtest one table."""
    import t2jax as t2

    runs = dataclasses.replace(table(name, folder), source=name)
    budget = {"inference_flops": INFERENCE_FLOPS} if name == "ladder" else None
    for in_sample in (False, True):
        asked = {"shares": [1.0]} if in_sample else {}
        try:
            found = t2.backtest(runs, budget, progress=False, **asked)
        except t2.Refusal as refused:
            sys.stderr.write(f"{name}: refused: {refused}\n")
            continue
        found.save(file_of(name, in_sample=in_sample))


def card() -> str:
    """All results as text, one line a table and then every case."""
    import t2jax as t2

    lines = []
    for in_sample in (False, True):
        files = {name: file_of(name, in_sample=in_sample) for name in TABLES}
        found = {name: t2.load(file) for name, file in files.items() if file.exists()}
        lines += [
            "fitted to the whole table: in sample"
            if in_sample
            else "fitted to runs of at most half, then a third, of the budget",
            *rows_of(found),
        ]
        lines += ["\n\n" + one.summary() + "\n" for one in found.values()]
    return "\n".join(lines) + "\n"


def rows_of(found: dict) -> list[str]:
    """What each choice lost on each table, and under it the error of its difference to the plan."""
    head = ("table", "law", "cases", "plan", "Chinch.", "measured", "20:1", "least", "most",
            "promised off", "inside", "decades")  # fmt: skip
    rows = []
    for name, one in found.items():
        lost = {choice: f"{one.lost(choice).mean():.4f}" for choice in one.choices()}
        held = sum(case.inside for case in one.cases)
        rows.append((
            name, one.law, len(one.cases), *(lost.get(choice, "") for choice in CHOICES),
            f"{one.error():.1%}", f"{held}/{len(one.cases)}",
            "" if one.in_sample() else f"{one.decades():.2f}",
        ))  # fmt: skip
        errors = {name: one.error_from_plan(name) for name in one.choices()}
        errors = {name: f"+-{x:.4f}" for name, x in errors.items() if x}
        rows.append(("", "", "", *(errors.get(choice, "") for choice in CHOICES), "", "", ""))
    lines = ["lost to the best size measured, nats, mean over the cases; +- standard error of "
             "the difference to the plan", ""]  # fmt: skip
    return lines + [LINE.format(*row) for row in (head, *rows)]


def main() -> None:
    """Judge the tables that were named, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, help="where the public tables are")
    parser.add_argument("names", nargs="*", help="some of them")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if arguments.folder is not None:
        for name in arguments.names or TABLES:
            judge(name, arguments.folder)
    (RESULTS / "backtest.txt").write_text(card(), encoding="utf-8")
    if file_of(DRAWN).exists():
        import t2jax as t2
        from t2jax.reporting import figures

        figures.save(t2.load(file_of(DRAWN)).plot(), RESULTS / "backtest.png")


if __name__ == "__main__":
    main()
