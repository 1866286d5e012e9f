"""Do runs of 190M to 1.3B foretell 7B and 13B, and with honest intervals? See README.md.

    python run.py FOLDER        # with olmo_ladder/ in it

Writes `results/table.txt`. Public API only.
"""

import pathlib
import sys

import numpy as np
import pandas as pd

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
TASKS = (  # the eight that the paper reports, on the split that it reports
    "mmlu_avg_test",
    "hellaswag_val",
    "arc_challenge_test",
    "arc_easy_test",
    "piqa_val",
    "csqa_val",
    "socialiqa_val",
    "openbookqa_test",
)
LAWS = ("additive", "coupled")
LEVEL = 0.9
LENGTH = {"n_draws": 4000, "warmup": 4000}  # of a chain; with 1000, four of `coupled` fail


def tables(folder: pathlib.Path) -> dict[str, tuple[t2.Observations, pd.DataFrame, str]]:
    """Per quantity: the ladder, the target runs, and the column that is measured."""
    frame = pd.read_csv(folder / "olmo_ladder" / "final.csv")
    out = {}
    for task in TASKS:
        out[task.rsplit("_", 1)[0]] = (*split(frame[frame.task == task], "bpb"), "bpb")
    first = frame[frame.task == frame.task.iloc[0]]
    out["C4 loss"] = (*split(first, "c4_loss"), "c4_loss")
    return out


def split(rows: pd.DataFrame, column: str) -> tuple[t2.Observations, pd.DataFrame]:
    """The 16 runs of the ladder as a table, and the targets."""
    ladder = rows[rows.role == "ladder"]
    table = t2.Observations(
        kind="loss",
        run=ladder.run.to_numpy().astype(str),
        params=ladder.n_params.to_numpy(),
        tokens=ladder.d_tokens.to_numpy(),
        loss=ladder[column].to_numpy(),
        params_definition="non-embedding",
        source="OLMo ladder",
    )
    return table, rows[rows.role == "target"].sort_values("n_params")


def new_runs(draws: t2.Ensemble, params: float, tokens: float, seed: int = 0) -> np.ndarray:
    """Losses of a new run: the law in every draw, and the scatter of runs round it."""
    centre = draws.predict(params=params, tokens=tokens)
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(draws.nuisance["nu"]) * draws.nuisance["sigma"]
    return centre * np.exp(noise)


def main(words: list[str]) -> int:
    """Fit, sample, predict, write the table."""
    if len(words) != 1 or not (pathlib.Path(words[0]) / "olmo_ladder/final.csv").is_file():
        print("usage: run.py FOLDER, which holds olmo_ladder/final.csv")
        return 2
    lines = [f"predicted from 16 runs of 190M to 1.3B; {LEVEL:.0%} intervals of a new run", ""]
    lines.append(f"{'':15s}{'target':>9s}{'measured':>9s}" + "".join(f"{n:>31s}" for n in LAWS))
    inside = {name: [] for name in LAWS}
    errors = {name: [] for name in LAWS}
    notes = []
    for quantity, (table, targets, column) in tables(pathlib.Path(words[0])).items():
        cells: dict[str, list[str]] = {run: [] for run in targets.run}
        for law in LAWS:
            try:
                fit = t2.fit(table, law=law)
                draws = t2.posterior(fit, progress=False, target_accept=0.98, **LENGTH)
            except t2.Refusal as refusal:
                notes.append(f"{quantity}, {law}: REFUSED: {refusal}")
                for run in targets.run:
                    cells[run].append(f"{'refused':>31s}")
                continue
            for row in targets.itertuples():
                made = new_runs(draws, row.n_params, row.d_tokens)
                low, middle, high = np.quantile(made, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
                truth = getattr(row, column)
                inside[law].append(low <= truth <= high)
                errors[law].append(abs(middle / truth - 1))
                mark = " " if inside[law][-1] else "*"
                cells[row.run].append(f"{middle:10.4f} [{low:7.4f}, {high:7.4f}]{mark}")
        for row in targets.itertuples():
            start = f"{quantity:15s}{row.size:>9s}{getattr(row, column):9.4f}"
            lines.append(start + "".join(f"{cell:>31s}" for cell in cells[row.run]))
        print(lines[-1], flush=True)
    lines += ["", "* outside its interval"]
    for law in LAWS:
        if errors[law]:
            lines.append(
                f"{law}: {np.sum(inside[law])} of {len(inside[law])} inside {LEVEL:.0%}, mean "
                f"relative error {np.mean(errors[law]):.3f}, median {np.median(errors[law]):.3f}"
            )
    text = "\n".join([*lines, *notes]) + "\n"
    (HERE / "results/table.txt").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
