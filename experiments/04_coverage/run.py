"""Do the intervals cover? See README.md.

Writes `results/coverage.txt` and `results/coverage.json`, cell by cell. Public API only.
"""

import json
import pathlib

import numpy as np

import t2jax as t2
from t2jax.laws import Additive, Softplus, T2Loss

HERE = pathlib.Path(__file__).resolve().parent
A, B = 0.6 * 2e8**0.34, 0.5 * 6e9**0.30
LOSS = Additive(E=1.7, A=A, B=B, alpha=0.34, beta=0.30)
LAWS = {
    "additive": LOSS,
    "t2_loss": T2Loss(E1=1.7, A=A, B=B, S=0.5, alpha=0.34, beta=0.30, gamma=0.25),
    "softplus": Softplus(loss=LOSS, s=1.2),
}
DESIGNS = {9: (3, 3), 16: (4, 4), 60: (10, 6)}  # sizes, tokens per parameter
SAMPLES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
RUN, ROW = 0.01, 0.004
SHOWN = {"alpha": "alpha", "beta": "beta", "params": "N*", "tokens_per_param": "D/N"}
TABLES, NAIVE_TABLES, DRAWS = 400, 100, 199


def design(law: t2.laws.Law, checkpoints: int, *, one_run: bool) -> t2.Observations:
    """A grid of sizes and tokens per parameter, each judged at every k that the law knows.

    Checkpoints are runs of their own, or those of a size are one run seen along its way.
    """
    sizes, ratios = DESIGNS[checkpoints]
    params = np.repeat(np.geomspace(1e7, 2e9, sizes), ratios)
    tokens = params * np.tile(np.geomspace(5, 500, ratios), sizes)
    names = np.array([f"run {i // ratios if one_run else i}" for i in range(checkpoints)])
    if not law.uses_samples:
        loss = t2.laws.predict(law, params, tokens)
        return t2.Observations(kind="loss", run=names, params=params, tokens=tokens, loss=loss)
    count = len(SAMPLES)
    params, tokens, names = (np.repeat(x, count) for x in (params, tokens, names))
    samples = np.tile(SAMPLES, checkpoints)
    loss = t2.laws.predict(law, params, tokens, samples)
    return t2.Observations(
        kind="loss", run=names, params=params, tokens=tokens, samples=samples, loss=loss
    )


def cell(name: str, checkpoints: int, *, one_run: bool = False) -> dict:
    """Coverage on one design: intervals in all tables, the naive bootstrap in the first hundred."""
    law = LAWS[name]
    table = design(law, checkpoints, one_run=one_run)
    budget = t2.Budget(train_flops=3e20, inference_flops=1e11 if law.uses_samples else None)
    noise = {"run_noise": RUN, "row_noise": ROW, "seed": checkpoints, "progress": False}
    found = t2.calibrate(
        table, law, budget=budget, tables=TABLES, methods=["profile", "laplace"], **noise
    )
    naive = t2.calibrate(
        table, law, budget=budget, tables=NAIVE_TABLES, methods=["row bootstrap", "bootstrap"],
        n_draws=DRAWS, **noise,
    )  # fmt: skip
    out = found.to_dict()
    out["coverage"] |= naive.to_dict()["coverage"]
    return out


def lines(name: str, checkpoints: int, found: dict) -> list[str]:
    """One line for each method."""
    out = []
    for method, own in found["coverage"].items():
        shares = "  ".join(f"{own[n][1]:6.1%} ({own[n][0]:5.1%})" for n in SHOWN)
        out.append(f"{name:9s} {checkpoints:3d}  {method:14s} {shares}")
    out.append(f"{'':14s} {found['notes'][0]}")
    return out


def write(text: list[str], results: dict) -> None:
    """What is known so far."""
    (HERE / "results/coverage.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    data = json.dumps(results, indent=1)
    (HERE / "results/coverage.json").write_text(data + "\n", encoding="utf-8")


def main() -> None:
    """Every cell, written as soon as it is known."""
    head = f"{'law':9s} runs {'method':14s} " + "  ".join(f"{s:>14s}" for s in SHOWN.values())
    text = ["coverage of nominal 95% (90%) intervals in simulated tables", "", head]
    results = {}
    for checkpoints in DESIGNS:
        for name in LAWS:
            results[f"{name}/{checkpoints}"] = found = cell(name, checkpoints)
            text += lines(name, checkpoints, found)
            write(text, results)
    text += ["", "60 checkpoints of ten runs, six along each, that share its noise"]
    results["additive/60 of 10 runs"] = found = cell("additive", 60, one_run=True)
    write(text + lines("additive", 60, found), results)


if __name__ == "__main__":
    main()
