"""Does the posterior cover where the questions are drawn too? See README.md.

The worlds of `questions.py`, through `t2jax.posterior`: of the questions, which draws their choice,
and of their means, which cannot. Writes `results/posterior.txt`. Public API only.
"""

import pathlib

import numpy as np
from questions import LAWS, LEVELS, QUESTIONS, SHOWN, World

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
CHECKPOINTS = 16
TABLES = 60
TAIL = (1 - np.array(LEVELS)) / 2


def ends(fit: t2.FitResult, budget: t2.Budget) -> dict[str, np.ndarray]:
    """Percentile intervals of the posterior [2, levels]; a longer run where chains ask for one."""
    try:
        draws = t2.posterior(fit, progress=False)
    except t2.Refusal:
        draws = t2.posterior(fit, n_draws=4000, warmup=1000, target_accept=0.98, progress=False)
    best = t2.optimum(draws, budget, chinchilla=False, progress=False).draws
    found = draws.law.coefficients() | {n: getattr(best, n) for n in ("params", "tokens_per_param")}
    return {n: np.nanquantile(np.asarray(found[n], float), [TAIL, 1 - TAIL]) for n in SHOWN}


def cell(name: str) -> list[str]:
    """One line for each kind of table: coverage of the posteriors that are handed on."""
    law = LAWS[name]
    world = World(law, CHECKPOINTS)
    budget = t2.Budget(train_flops=3e20, inference_flops=1e11 if law.uses_samples else None)
    best = t2.optimum(law, budget, chinchilla=False)
    known = law.coefficients() | {n: getattr(best, n) for n in ("params", "tokens_per_param")}
    truth = {n: float(known[n]) for n in SHOWN}
    rng = np.random.default_rng([CHECKPOINTS, list(LAWS).index(name), 7])
    hits: dict[str, list] = {"of questions": [], "of their means": []}
    refused = dict.fromkeys(hits, 0)
    for _ in range(TABLES):
        table = world.table(rng)
        for kind, own in zip(hits, (table, world.means(table)), strict=True):
            try:
                fit = t2.fit(own, law=name, objective="huber", n_starts=2)
                found = ends(fit, budget)
            except t2.Refusal:
                refused[kind] += 1
                continue
            hits[kind].append(
                [(found[n][0] <= truth[n]) & (truth[n] <= found[n][1]) for n in SHOWN]
            )
    out = []
    for kind, own in hits.items():
        share = np.mean(own, axis=0)  # [quantities, levels]
        shares = "  ".join(f"{high:6.1%} ({low:5.1%})" for low, high in share)
        out.append(f"{name:9s} {kind:14s} {shares}  {refused[kind]:4d}")
    return out


def main() -> None:
    """Every cell, printed as it is done and kept."""
    head = f"{'law':9s} {'posterior':14s} " + "  ".join(f"{s:>14s}" for s in SHOWN.values())
    text = [
        f"coverage of nominal 95% (90%) posterior intervals in {TABLES} simulated tables of "
        f"{CHECKPOINTS} runs and {QUESTIONS} questions",
        "",
        head + "  refused",
    ]
    print("\n".join(text), flush=True)
    for name in LAWS:
        text += cell(name)
        print("\n".join(text[-2:]), flush=True)
        kept = "\n".join(text) + "\n"
        (HERE / "results/posterior.txt").write_text(kept, encoding="utf-8")


if __name__ == "__main__":
    main()
