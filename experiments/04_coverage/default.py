"""Do the intervals of a plan cover, as a user gets them: default law, bootstrap with misfit?

Writes `results/default.txt`. Public API only. See README.md.
"""

import pathlib

import numpy as np

import t2jax as t2
from t2jax.laws import Additive, Coupled

HERE = pathlib.Path(__file__).resolve().parent
A, B = 0.6 * 2e8**0.34, 0.5 * 6e9**0.30
LAWS = {
    "additive": Additive(E=1.7, A=A, B=B, alpha=0.34, beta=0.30),
    "coupled": Coupled(E=1.7, A=A**1.4, B=B**1.4, alpha=0.48, beta=0.42, kappa=0.7),
}
DESIGNS = {16: (4, 4), 60: (10, 6)}  # sizes, tokens per parameter
BUDGETS = {"within": 1e20, "10 x beyond": 1.2e23}  # training FLOPs
NOISE = 0.01
TABLES, DRAWS = 100, 199


def table(law: t2.laws.Law, checkpoints: int, seed: int) -> t2.Observations:
    """Losses of runs of their own on a grid of sizes and tokens per parameter."""
    sizes, ratios = DESIGNS[checkpoints]
    params = np.repeat(np.geomspace(1e7, 2e9, sizes), ratios)
    tokens = params * np.tile(np.geomspace(5, 500, ratios), sizes)
    noise = NOISE * np.random.default_rng([checkpoints, seed]).normal(size=checkpoints)
    loss = t2.laws.predict(law, params, tokens) * np.exp(noise)
    return t2.Observations(
        kind="loss", run=np.arange(checkpoints).astype(str), params=params, tokens=tokens, loss=loss
    )


def intervals(draws: t2.Ensemble, budget: t2.Budget) -> dict[str, tuple[float, float]]:
    """90% intervals of N* and of the loss there."""
    found = t2.optimum(draws, budget)
    return {
        name: tuple(np.quantile(getattr(found.draws, name), [0.05, 0.95]))
        for name in ("params", "value")
    }


def cell(truth: t2.laws.Law, checkpoints: int) -> dict[tuple[bool, str, str], float]:
    """Shares of tables whose intervals hold the truth, with misfit and without."""
    held: dict[tuple[bool, str, str], list[bool]] = {}
    for seed in range(TABLES):
        fit = t2.fit(table(truth, checkpoints, seed))
        for misfit in (True, False):
            draws = t2.bootstrap(fit, n_draws=DRAWS, seed=seed, discrepancy=misfit, progress=False)
            for where, flops in BUDGETS.items():
                budget = t2.Budget(train_flops=flops)
                right = t2.optimum(truth, budget)
                for name, (low, high) in intervals(draws, budget).items():
                    value = float(getattr(right, name))
                    held.setdefault((misfit, where, name), []).append(low <= value <= high)
    return {key: float(np.mean(hits)) for key, hits in held.items()}


def main() -> None:
    """Every cell, written as soon as it is known."""
    text = [f"coverage of nominal 90% intervals in {TABLES} simulated tables a cell; fitted by the "
            "default law, whatever the truth", "",
            f"{'truth':9s} runs  {'intervals':15s} {'budget':12s}    N*  loss"]  # fmt: skip
    for name, truth in LAWS.items():
        for checkpoints in DESIGNS:
            found = cell(truth, checkpoints)
            for misfit in (True, False):
                for where in BUDGETS:
                    shares = [found[misfit, where, what] for what in ("params", "value")]
                    text.append(
                        f"{name:9s} {checkpoints:4d}  {'with misfit' if misfit else 'without':15s} "
                        f"{where:12s} {shares[0]:5.0%} {shares[1]:5.0%}"
                    )
            (HERE / "results/default.txt").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
