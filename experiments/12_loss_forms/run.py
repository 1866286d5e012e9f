"""Which form of the loss in N and D foretells overtrained and larger runs? See README.md.

    python run.py FOLDER [TABLE ...]    # with farseer/, gemstones/, ladder_1/, olmo_ladder/,
                                        # porian2024/
    python run.py trend                 # how much trend a plan needs: the simulation of trend.py

Writes `results/errors.csv`, `results/table.txt`, `results/trend.txt`. Public API only.
"""

import itertools
import pathlib
import sys

import numpy as np
import pandas as pd
import trend

import t2jax as t2

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
LAWS = ("additive", "tied", "coupled", "ceiling", "farseer", "auto", "stack")
SPLITS = ("in sample", "D/N", "FLOPs")


def tables(folder: pathlib.Path) -> dict[str, pd.DataFrame]:
    """Per table: run, params, tokens and loss."""
    grid = pd.read_csv(folder / "porian2024" / "grid.csv")
    wanted = {"dataset": "rw", "hparams": "base", "warmup": "short", "decay": "chinchilla",
              "loss_split": "val", "n_count": "standard"}  # fmt: skip
    grid = grid[(grid[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    olmo = pd.read_csv(folder / "olmo_ladder" / "final.csv").drop_duplicates("run")
    gemstones = pd.read_csv(folder / "gemstones" / "val_losses.csv")
    sizes = {"n_params": "params", "d_tokens": "tokens"}
    return {
        "olmo": olmo.rename(columns=sizes | {"c4_loss": "loss"}),
        "porian": grid.rename(columns=sizes).assign(run=np.arange(len(grid))),
        "ladder_1": _ladder(folder / "ladder_1"),
        "farseer": pd.read_csv(folder / "farseer" / "runs.csv"),
        "gemstones": gemstones.rename(columns=sizes | {"loss_val": "loss", "model": "run"}),
    }


def _ladder(folder: pathlib.Path) -> pd.DataFrame:
    questions = pd.read_parquet(folder / "questions-base.parquet")
    own = questions[~questions.task.astype(str).str.startswith("long")]
    mean = own.groupby("run").nll.mean()
    runs = pd.read_csv(folder / "runs-base.csv").set_index("run").loc[mean.index]
    return runs.assign(loss=mean, run=runs.trunk).reset_index(drop=True)


def seen(name: str, table: pd.DataFrame, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are fitted, and rows that are judged."""
    ratio, flops = table.tokens / table.params, table.params * table.tokens
    every = np.ones(len(table), bool)
    if split == "in sample":
        return every, every
    if split == "D/N" and name in ("farseer", "ladder_1"):
        return (ratio <= 40).to_numpy(), (ratio > 200).to_numpy()
    axis = ratio if split == "D/N" else flops
    fitted = (axis < np.quantile(axis, 0.75)).to_numpy()
    return fitted, ~fitted


def observed(table: pd.DataFrame) -> t2.Observations:
    """Rows as a table of losses."""
    numbers = {c: table[c].to_numpy(float) for c in ("params", "tokens", "loss")}
    return t2.Observations(kind="loss", run=table.run.to_numpy().astype(str), **numbers)


def scatter(table: pd.DataFrame) -> float:
    """Leave-one-out error of the best polynomial of up to the fourth degree in log N, log D."""
    n, d = (np.log(table[c].to_numpy(float)) for c in ("params", "tokens"))
    n, d, y = (n - n.mean()) / np.std(n), (d - d.mean()) / np.std(d), np.log(table.loss.to_numpy())
    errors = []
    for degree in range(1, 5):
        powers = [p for p in itertools.product(range(degree + 1), repeat=2) if sum(p) <= degree]
        design = np.stack([n**i * d**j for i, j in powers], axis=1)
        if len(powers) < len(y) / 2:
            hat = design @ np.linalg.pinv(design)
            left = (y - hat @ y) / np.maximum(1 - np.diagonal(hat), 1e-6)
            errors.append(np.mean(np.abs(np.expm1(left))))
    return float(min(errors))


def measure(name: str, table: pd.DataFrame) -> list[dict]:
    """One row for every split and law."""
    rows = []
    for split in SPLITS:
        fitted, judged = seen(name, table, split)
        there = table[judged]
        for law in LAWS[:5] if split == "in sample" else LAWS:
            row = {"table": name, "split": split, "law": law, "fitted": int(fitted.sum()),
                   "judged": int(judged.sum()), "scatter": scatter(table)}  # fmt: skip
            try:
                found = t2.fit(observed(table[fitted]), law)
            except t2.Refusal as refused:
                rows.append(row | {"chosen": f"refused: {refused}"})
                continue
            told = found.predict(params=there.params.to_numpy(), tokens=there.tokens.to_numpy())
            miss = np.asarray(told) / there.loss.to_numpy() - 1
            weights = getattr(found.law, "weights", (1.0,))
            names = found.law.names() if law == "stack" else [found.law.name]
            chosen = " + ".join(f"{w:.2f} {n}" for w, n in zip(weights, names, strict=True))
            rows.append(row | {"error": np.mean(np.abs(miss)), "bias": np.mean(miss),
                               "certified": found.success, "chosen": chosen})  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def show(errors: pd.DataFrame) -> str:
    """Errors in percent, a law a column; the scatter of checkpoints is the floor."""
    wide = errors.assign(error=100 * errors.error).pivot_table(
        index=["table", "split", "fitted", "judged"], columns="law", values="error", sort=False
    )
    wide = wide[[law for law in LAWS if law in wide]].round(2)
    floor = errors.groupby(["table", "split", "fitted", "judged"], sort=False).scatter.first()
    wide["scatter"] = (100 * floor).round(2)
    auto = errors[errors.law.isin(["auto", "stack"])]
    told = [f"{r.table}, {r.split}: {r.law} took {r.chosen}" for r in auto.itertuples()]
    return "\n".join([wide.to_string(), "", *told, ""])


def main(arguments: list[str]) -> None:
    """Measure the tables that are named, or all of them."""
    RESULTS.mkdir(exist_ok=True)
    if arguments == ["trend"]:
        (RESULTS / "trend.txt").write_text(trend.show(trend.simulate()))
        return
    made = RESULTS / "errors.csv"
    for name, table in tables(pathlib.Path(arguments[0])).items():
        if name not in (arguments[1:] or [name]):
            continue
        old = pd.read_csv(made).query("table != @name") if made.exists() else pd.DataFrame()
        errors = pd.concat([old, pd.DataFrame(measure(name, table))])
        errors.to_csv(made, index=False, float_format="%.6g")
        (RESULTS / "table.txt").write_text(show(errors))


if __name__ == "__main__":
    main(sys.argv[1:])
