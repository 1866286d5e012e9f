"""Does buying runs by design beat buying them at random or in the corners? See README.md.

Simulation. Writes `results/worlds.csv`, `results/summary.txt` and `results/regret.png`.
Public API only.
"""

import pathlib

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
SEEDS, REPEATS, ROUNDS, DRAWS = 20, 20, 5, 400  # worlds, histories of noise in each
NOISE = 0.01  # deviation of log loss between runs alike
TRUTH = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
BUDGET = t2.Budget(train_flops=1e22)  # 2.5 decades beyond the dearest run of the first table
FIRST = [(n, n * r) for n in (1e7, 3e7, 1e8, 3e8) for r in (5.0, 20.0, 80.0)]
MOST = 4e19  # FLOPs of the dearest run that may be bought
COLOURS = {"design": "#0072B2", "random": "#E69F00", "corners": "#009E73"}


def truth_of(seed: int) -> t2.laws.Law:
    """Another world for every seed: exponents and terms a little different."""
    rng = np.random.default_rng([seed, 1])
    alpha, beta = TRUTH.alpha * np.exp(0.1 * rng.standard_normal(2))
    a = TRUTH.A * 1e8 ** (alpha - TRUTH.alpha) * np.exp(0.1 * rng.standard_normal())
    b = TRUTH.B * 2e9 ** (beta - TRUTH.beta) * np.exp(0.1 * rng.standard_normal())
    return TRUTH.replace(A=float(a), B=float(b), alpha=float(alpha), beta=float(beta))


def measure(law: t2.laws.Law, params: float, tokens: float, noise: float) -> dict[str, float]:
    """One simulated run."""
    loss = float(law(params=params, tokens=tokens)) * np.exp(NOISE * noise)
    return {"params": params, "tokens": tokens, "loss": float(loss)}


def grid() -> list[tuple[float, float]]:
    """What may be bought: sizes and token counts up to `MOST`."""
    sizes, ratios = np.geomspace(1e7, 3e9, 10), np.geomspace(2.0, 640.0, 8)
    pairs = [(n, n * r) for n in sizes for r in ratios]
    return [(n, d) for n, d in pairs if 1e17 <= 6 * n * d <= MOST]


def corners(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The heuristic: largest model, most tokens, dearest, most overtrained, least trained."""

    def ratio(pair):
        return round(pair[1] / pair[0], 3)

    keys = (
        lambda p: p[0],
        lambda p: p[1],
        lambda p: p[0] * p[1],
        lambda p: (ratio(p), p[0]),
        lambda p: (-ratio(p), p[0]),
    )
    return [max(pairs, key=key) for key in keys]


def plan_of(rows: list[dict[str, float]]) -> tuple[t2.FitResult, t2.Optimum]:
    """Fit a table and find its optimum."""
    table = pd.DataFrame(rows)
    table.insert(0, "run", [f"run {i}" for i in range(len(table))])
    fit = t2.fit(t2.read(table), law="additive", objective="huber", delta=0.05)
    return fit, t2.optimum(fit, BUDGET, chinchilla=False)


def campaign(seed: int, repeat: int, strategy: str) -> list[dict[str, float | str]]:
    """Five purchases in one world, and the true regret of the plan after each."""
    law = truth_of(seed)
    # The same first table and noise for every strategy.
    rng = np.random.default_rng([seed, 2, repeat])
    rows = [measure(law, n, d, e) for (n, d), e in zip(FIRST, rng.standard_normal(len(FIRST)),
                                                       strict=True)]  # fmt: skip
    noise = rng.standard_normal(ROUNDS)
    chance = np.random.default_rng([seed, 3, repeat])
    pairs, spent, out = grid(), 0.0, []
    least = float(t2.optimum(law, BUDGET, chinchilla=False).value)
    for purchase in range(ROUNDS + 1):
        fit, best = plan_of(rows)
        loss = float(law(params=float(best.params), tokens=float(best.tokens)))
        out.append({"seed": seed, "repeat": repeat, "strategy": strategy, "purchase": purchase,
                    "flops": spent, "regret": loss - least})  # fmt: skip
        if purchase == ROUNDS:
            return out
        if strategy == "design":
            draws = t2.bootstrap(fit, n_draws=DRAWS, unit="run", seed=repeat, progress=False)
            chosen = t2.design(draws, BUDGET, candidates=pairs, noise=NOISE, purchases=1,
                               simulate=False).picks[0].purchase  # fmt: skip
            n, d = chosen.params, chosen.tokens
        elif strategy == "random":
            n, d = pairs[chance.integers(len(pairs))]
        else:
            n, d = corners(pairs)[purchase]
        rows.append(measure(law, n, d, noise[purchase]))
        spent += 6 * n * d
    raise AssertionError("unreachable")


def per_world(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the histories of a world, and how many they are."""
    groups = table.groupby(["seed", "strategy", "purchase"], as_index=False)
    return groups.agg(repeats=("regret", "size"), flops=("flops", "mean"),
                      regret=("regret", "mean"), regret_sd=("regret", "std"))  # fmt: skip


def falls(worlds: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By strategy: fall of the regret and FLOPs spent, a mean per world."""
    out = {}
    for name in COLOURS:
        rows = worlds[worlds.strategy == name]
        first = rows[rows.purchase == 0].regret.to_numpy()
        last = rows[rows.purchase == ROUNDS]
        out[name] = (first - last.regret.to_numpy(), last.flops.to_numpy())
    return out


def summarise(table: pd.DataFrame) -> str:
    """Regret before and after, FLOPs, and the fall per FLOP with intervals over worlds."""
    worlds = per_world(table)
    count = worlds.seed.nunique()
    lines = [
        f"Simulation: {count} worlds, {table.repeat.nunique()} histories of noise in each, "
        f"{ROUNDS} purchases; regret in nats at 1e22 FLOPs.",
        "Fall per FLOP: all falls over all FLOPs spent, per 1e19; 90% intervals over worlds.",
        "",
        "strategy  before   after (mean, median)  FLOPs spent  fall per 1e19 FLOPs",
    ]
    rng = np.random.default_rng(0)
    picked = rng.integers(count, size=(4000, count))
    found = falls(worlds)
    rates = {n: f[picked].sum(1) / c[picked].sum(1) * 1e19 for n, (f, c) in found.items()}
    for name, (fall, flops) in found.items():
        rows = table[table.strategy == name]
        first, last = (rows[rows.purchase == i].regret for i in (0, ROUNDS))
        low, high = np.quantile(rates[name], [0.05, 0.95])
        lines.append(
            f"{name:8}  {first.mean():.5f}  {last.mean():.5f}, {last.median():.5f}      "
            f"{flops.mean():.3g}     {fall.sum() / flops.sum() * 1e19:.5f} [{low:.5f}, {high:.5f}]"
        )
    lines.append("")
    key = ["seed", "repeat"]
    last = table[table.purchase == ROUNDS].pivot(index=key, columns="strategy", values="regret")
    own = {n: f / c for n, (f, c) in found.items()}
    for other in ("random", "corners"):
        low, middle, high = np.quantile(rates["design"] / rates[other], [0.05, 0.5, 0.95])
        wins, better = last["design"] < last[other], own["design"] > own[other]
        lines.append(
            f"design against {other}: {middle:.1f} [{low:.1f}, {high:.1f}] times the fall per "
            f"FLOP, more in {better.sum()} of {count} worlds; less regret in the end in "
            f"{wins.sum()} of {len(wins)} campaigns"
        )
    return "\n".join(lines)


def draw(table: pd.DataFrame) -> Figure:
    """Mean regret along the purchases, and against the compute spent."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name, colour in COLOURS.items():
        rows = per_world(table).query("strategy == @name").groupby("purchase")
        mean, error = rows.regret.mean(), rows.regret.sem()
        flops = rows.flops.mean()
        left.errorbar(mean.index, mean, error, color=colour, marker="o", capsize=3, label=name)
        right.plot(flops / 1e19, mean, color=colour, marker="o", label=name)
    left.set(xlabel="runs bought", ylabel="true regret of the plan, nats", yscale="log")
    right.set(xlabel="compute spent, 1e19 FLOPs")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#e6e6e6")
    left.legend(frameon=False)
    figure.suptitle(
        f"Simulation: {SEEDS} worlds, {REPEATS} histories each; mean and standard error",
        fontsize=10,
    )
    return figure


def main() -> None:
    """Run every campaign, write, draw."""
    rows = []
    for seed in range(SEEDS):
        for repeat in range(REPEATS):
            for strategy in COLOURS:
                rows += campaign(seed, repeat, strategy)
        print(f"world {seed + 1} of {SEEDS}", flush=True)
    table = pd.DataFrame(rows)
    per_world(table).to_csv(HERE / "results/worlds.csv", index=False, float_format="%.6g")
    text = summarise(table)
    print(text)
    (HERE / "results/summary.txt").write_text(text + "\n", encoding="utf-8")
    draw(table).savefig(HERE / "results/regret.png", dpi=130)


if __name__ == "__main__":
    main()
