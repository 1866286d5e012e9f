"""From short runs to long ones: is the curve of overtraining in the rows at all? See README.md.

    python run.py FOLDER        # with ladder_1/ in it

Writes `results/table.txt`. Public API only.
"""

import pathlib
import sys

import numpy as np
import pandas as pd
from scipy import optimize

import t2jax as t2

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
SAMPLES = (1, 4, 16, 64, 256, 1024)
LAWS = ("additive", "coupled", "ceiling", "farseer")
KAPPAS = (0.14, 0.2, 0.3, 0.45, 0.67, 1.0)
STARTS = 4


def ladder(folder: pathlib.Path) -> t2.Observations:
    """The five tasks without long prompts."""
    questions = pd.read_parquet(folder / "questions-base.parquet")
    own = questions[~questions.task.astype(str).str.startswith("long")]
    wide = own.pivot(index="run", columns=["task", "question"], values="nll")
    runs = pd.read_csv(folder / "runs-base.csv").set_index("run").loc[wide.index]
    return t2.Observations(
        kind="nll", run=runs.trunk.to_numpy().astype(str), params=runs.params.to_numpy(float),
        tokens=runs.tokens.to_numpy(float), nll=wide.to_numpy(float), source="ladder_1",
        question=np.arange(wide.shape[1]).astype(str),
        task=wide.columns.get_level_values("task").to_numpy().astype(str),
    )  # fmt: skip


def products(runs: t2.Observations, near: np.ndarray, far: np.ndarray) -> list[str]:
    """What each loss law under the linked law makes of the long runs."""
    truth, params, tokens = runs.neg_log_pass(SAMPLES)[far], runs.params[far], runs.tokens[far]
    lines = []
    for law in LAWS:
        fit = t2.fit(runs.select(near), f"linked({law})")
        told = t2.laws.predict(fit.law, params[:, None], tokens[:, None], np.array(SAMPLES, float))
        miss = 100 * (told / truth - 1)
        lines.append(
            f"{law:10s} {np.mean(np.abs(miss)):8.1f} {np.mean(miss):8.1f} "
            f"{np.mean(np.abs(miss[:, 0])):12.1f}   {fit.objective}"
        )
    return lines


def log_coupled(free: np.ndarray, log_kappa: float, n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Log of `E + (A N^-alpha + B D^-beta)^kappa`, n and d logs from the middle of the table."""
    floor, a, alpha, b, beta = free
    inner = np.logaddexp(a - np.exp(alpha) * n, b - np.exp(beta) * d)
    return np.log(np.exp(floor) + np.exp(np.exp(log_kappa) * inner))


def along_kappa(runs: t2.Observations, near: np.ndarray, far: np.ndarray) -> list[str]:
    """Least squares in log L with kappa held: how well it fits, and what it says of long runs."""
    n, d = (np.log(x) - np.log(x).mean() for x in (runs.params, runs.tokens))
    log_loss = np.log(runs.neg_log_pass([1.0])[:, 0])
    rng, lines, least = np.random.default_rng(0), [], []
    for kappa in KAPPAS:
        log_kappa = float(np.log(kappa))

        def left(free, log_kappa=log_kappa):
            out = log_loss[near] - log_coupled(free, log_kappa, n[near], d[near])
            return np.nan_to_num(out, nan=50.0, posinf=50.0, neginf=-50.0)

        middle = np.array([-1.0, 1.5 / kappa, -0.9 - log_kappa, 1.5 / kappa, -1.2 - log_kappa])
        found = [
            optimize.least_squares(left, middle + rng.normal(0, 0.2, 5), max_nfev=4000)
            for _ in range(STARTS)
        ]
        best = min(found, key=lambda one: one.cost)
        told = np.exp(log_coupled(best.x, log_kappa, n[far], d[far]) - log_loss[far])
        miss = 100 * (told - 1)
        rms = np.sqrt(2 * best.cost / near.sum())
        least.append(near.sum() * np.log(rms))
        lines.append(
            f"{kappa:6.2f} {rms:10.4f} {least[-1] - least[0]:10.2f} "
            f"{np.mean(np.abs(miss)):8.1f} {np.mean(miss):8.1f}"
        )
    return lines


def by_task(runs: t2.Observations) -> list[str]:
    """The coupled law, kappa near its prior, on each task alone: the largest runs held out."""
    n, d = (np.log(x) - np.log(x).mean() for x in (runs.params, runs.tokens))
    near = runs.train_flops < np.quantile(runs.train_flops, 0.75)
    rng, lines = np.random.default_rng(0), []
    assert runs.task is not None
    for task in sorted(set(runs.task)):
        log_loss = np.log(runs.select_task(task).neg_log_pass([1.0])[:, 0])

        def left(free, log_loss=log_loss):
            out = log_loss[near] - log_coupled(free[:5], free[5], n[near], d[near])
            out = np.append(out, 0.05 * (free[5] - np.log(0.7)) / 0.4)
            return np.nan_to_num(out, nan=50.0, posinf=50.0, neginf=-50.0)

        middle = np.array([-1.0, 1.5, -0.5, 1.5, -0.9, -0.4])
        found = [
            optimize.least_squares(left, middle + rng.normal(0, 0.4, 6), loss="soft_l1",
                                   f_scale=0.05, max_nfev=3000)
            for _ in range(2 * STARTS)
        ]  # fmt: skip
        best = min(found, key=lambda one: one.cost)
        miss = 100 * np.expm1(log_coupled(best.x[:5], best.x[5], n, d) - log_loss)
        lines.append(
            f"{task:12s} {np.mean(np.abs(miss[near])):8.1f} {np.mean(np.abs(miss[~near])):10.1f} "
            f"{np.mean(miss[~near]):8.1f}"
        )
    return lines


def main() -> None:
    """Fit, judge, write the table."""
    runs = ladder(pathlib.Path(sys.argv[1]) / "ladder_1")
    ratio = runs.tokens / runs.params
    near, far = ratio <= 40, ratio > 200
    told = [
        f"ladder_1, fitted to {near.sum()} checkpoints of D/N <= 40, judged at {far.sum()} of more "
        "than 200",
        "",
        f"mean -log pass@k over k = {', '.join(map(str, SAMPLES))}, percent",
        "loss law    |error|     bias  at k=1 alone   objective",
        *products(runs, near, far),
        "",
        "the coupled law with kappa held, least squares in log L; misfit on the rows fitted, in",
        "nats of a normal likelihood from the first line; error of L beyond 200, percent",
        " kappa   scatter       nats  |error|     bias",
        *along_kappa(runs, near, far),
        "",
        "each task alone, the quarter of checkpoints with the most FLOPs held out; error of L, %",
        "task           fitted   held out     bias",
        *by_task(runs),
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table.txt").write_text("\n".join(told), encoding="utf-8")


if __name__ == "__main__":
    main()
