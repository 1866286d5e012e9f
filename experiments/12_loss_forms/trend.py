"""How much of a table must be trend before a plan may be made of it: a simulation.

The same 6 x 6 design under laws whose noise leaves a given share R2 of the variance to the law;
for each the optimal size at a budget inside the table, against that of the law behind it.
"""

import numpy as np
import pandas as pd

import t2jax as t2

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)
PARAMS = np.tile(np.geomspace(1e7, 1e9, 6), 6)
TOKENS = PARAMS * np.repeat(np.geomspace(5, 300, 6), 6)
BUDGET = t2.Budget(train_flops=6 * 1e8 * 40 * 1e8)
LAW = t2.laws.Additive(E=1.6, A=0.5 * 1e8**0.35, B=0.5 * 4e9**0.35, alpha=0.35, beta=0.35)


def table(share: float, rng: np.random.Generator) -> t2.Observations:
    """Losses whose noise leaves that share of the variance of log loss to the law."""
    loss = t2.laws.predict(LAW, PARAMS, TOKENS)
    noise = np.std(np.log(loss)) * np.sqrt(1 / share - 1)
    return t2.Observations(
        kind="loss", run=np.arange(len(PARAMS)).astype(str), params=PARAMS, tokens=TOKENS,
        loss=loss * np.exp(noise * rng.standard_normal(len(PARAMS))), source="simulated",
    )  # fmt: skip


def simulate(repeats: int = 30, n_draws: int = 64) -> list[dict]:
    """One row per table."""
    true = np.log(float(t2.optimum(LAW, BUDGET).params))
    rows = []
    for share in SHARES:
        for seed in range(repeats):
            found = t2.fit(table(share, np.random.default_rng(seed)), "additive", n_starts=4)
            draws = t2.bootstrap(found, n_draws=n_draws, seed=seed, progress=False)
            # The law of each draw, so that no refusal stands in the way of what is measured here.
            free = t2.Ensemble(law=draws.law, point=draws.point, kind="bootstrap")
            best = t2.optimum(free, BUDGET, progress=False)
            low, high = np.quantile(np.log(best.draws.params), [0.05, 0.95])
            rows.append({
                "share": share, "seed": seed, "R2": found.criteria["R2"],
                "error": float(np.log(best.params)) - true, "width": float(high - low),
                "held": bool(low <= true <= high), "certified": found.success,
            })  # fmt: skip
    return rows


def show(rows: list[dict]) -> str:
    """What the size planned is worth, by how much of the variance the fit explains."""
    table = pd.DataFrame(rows)
    free = len(PARAMS) - 5
    table["explained"] = 1 - (1 - table.R2) * (len(PARAMS) - 1) / free
    table["explained"] = pd.cut(table.explained, [-9, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
    off = np.abs(table.error)
    table = table.assign(
        factor=np.exp(off), off_by_ten=off > np.log(10), wider_than_table=table.width > np.log(100)
    )
    shown = table.groupby("explained", observed=True).agg(
        tables=("R2", "size"), median_factor=("factor", "median"),
        off_by_ten=("off_by_ten", "mean"), held=("held", "mean"),
        wider_than_table=("wider_than_table", "mean"),
    )  # fmt: skip
    return shown.round(2).to_string() + "\n"
