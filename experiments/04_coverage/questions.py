"""Do the intervals cover where the questions are drawn too? See README.md.

Every table is simulated from the questions up and goes through `t2jax.fit` and `t2jax.profile` as
a user's would. Writes `results/questions.txt` and `results/questions.json`. Public API only.
"""

import json
import pathlib
import sys

import numpy as np
from run import DESIGNS, LAWS, SAMPLES, SHOWN
from scipy import special

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
SURPRISE = np.geomspace(1e-4, 60.0, 400)  # -log p that a question can have, nats
QUESTIONS = 400
OWN = 0.05  # share of the variance of a question's rank that is a checkpoint's own
RUN = 0.01  # deviation between runs alike of the log of every -log p
TABLES, NAIVE_TABLES, DRAWS = 1000, 100, 199
JUDGED = 400  # tables that `t2jax.calibrate` simulates from the first one
LEVELS = (0.9, 0.95)


def spread_of(targets: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Shares of questions [surprises] whose mean -log pass@k is the target at every k.

    The shares nearest to an exponential spread, in relative entropy: Newton on the dual.
    """
    held = -np.log(-np.expm1(samples * np.log1p(-np.exp(-SURPRISE))[:, None]))
    base = np.log(SURPRISE) - SURPRISE / 6.0

    def shares(tilt):
        raw = base + held @ tilt
        whole = special.logsumexp(raw)
        return np.exp(raw - whole), whole - tilt @ targets

    tilt = np.zeros(len(samples))
    for _ in range(200):
        share, dual = shares(tilt)
        gap = targets - share @ held
        if np.abs(gap).max() < 1e-10:
            return share
        off = held - share @ held
        step = np.linalg.solve((off * share[:, None]).T @ off, gap)
        size = 1.0
        while shares(tilt + size * step)[1] > dual + 1e-12 * abs(dual):
            size /= 2
        tilt = tilt + size * step
    raise RuntimeError("no spread of questions has these means")


class World:
    """A law that holds exactly for the mean over all questions, and a design to look at it."""

    def __init__(self, law: t2.laws.Law, checkpoints: int):
        sizes, ratios = DESIGNS[checkpoints]
        self.params = np.repeat(np.geomspace(1e7, 2e9, sizes), ratios)
        self.tokens = self.params * np.tile(np.geomspace(5, 500, ratios), sizes)
        self.run = np.array([f"run {i}" for i in range(checkpoints)])
        self.samples = np.array(SAMPLES if law.uses_samples else SAMPLES[:1])
        grid = (x[:, None] for x in (self.params, self.tokens))
        targets = np.asarray(t2.laws.predict(law, *grid, self.samples))
        self.below = [np.cumsum(spread_of(row, self.samples)) for row in targets]

    def table(self, rng: np.random.Generator) -> t2.Observations:
        """New questions, alike for every checkpoint, and new runs."""
        common = rng.standard_normal(QUESTIONS)
        own = rng.standard_normal((len(self.run), QUESTIONS))
        rank = special.ndtr(np.sqrt(1 - OWN) * common + np.sqrt(OWN) * own)
        places = [np.searchsorted(b, r) for b, r in zip(self.below, rank, strict=True)]
        nll = SURPRISE[np.minimum(places, len(SURPRISE) - 1)]
        nll = nll * np.exp(RUN * rng.standard_normal((len(self.run), 1)))
        names = np.array([f"q{i}" for i in range(QUESTIONS)])
        return t2.Observations(
            kind="nll", run=self.run, params=self.params, tokens=self.tokens, nll=nll,
            question=names, task=np.full(QUESTIONS, "task"),
        )  # fmt: skip

    def means(self, table: t2.Observations) -> t2.Observations:
        """What is left once questions are averaged: a loss for every checkpoint and k."""
        count = len(self.samples)
        loss = table.neg_log_pass(self.samples)
        run, params, tokens = (np.repeat(x, count) for x in (self.run, self.params, self.tokens))
        return t2.Observations(
            kind="loss", run=run, params=params, tokens=tokens, loss=np.ravel(loss),
            samples=np.tile(self.samples, len(self.run)),
        )  # fmt: skip


def draws_of(fit: t2.FitResult, budget: t2.Budget, unit: str) -> dict[str, np.ndarray]:
    """Percentile intervals of a bootstrap: ends by quantity [2, levels]."""
    draws = t2.bootstrap(fit, n_draws=DRAWS, unit=unit, progress=False)
    best = t2.optimum(draws, budget, chinchilla=False, progress=False).draws
    found = dict(draws.law.coefficients())
    found |= {name: getattr(best, name) for name in ("params", "tokens_per_param")}
    tail = (1 - np.array(LEVELS)) / 2
    return {n: np.nanquantile(np.asarray(found[n], float), [tail, 1 - tail]) for n in SHOWN}


def cell(name: str, checkpoints: int) -> dict:
    """Coverage in one world; a table whose fit or plan is refused counts as a miss."""
    law = LAWS[name]
    world = World(law, checkpoints)
    budget = t2.Budget(train_flops=3e20, inference_flops=1e11 if law.uses_samples else None)
    best = t2.optimum(law, budget, chinchilla=False)
    truth = dict(law.coefficients()) | {n: getattr(best, n) for n in ("params", "tokens_per_param")}
    truth = {n: float(truth[n]) for n in SHOWN}
    rng = np.random.default_rng([checkpoints, list(LAWS).index(name)])
    hits: dict[str, list[list[list[bool]]]] = {}
    refused: dict[str, int] = {}

    def count(method: str, ends) -> None:
        """`ends` returns lower and upper ends by quantity [2, levels]."""
        try:
            found = ends()
        except t2.Refusal:
            refused[method] = refused.get(method, 0) + 1
            found = {n: np.full((2, len(LEVELS)), np.nan) for n in SHOWN}
        hits.setdefault(method, []).append(
            [list((found[n][0] <= truth[n]) & (truth[n] <= found[n][1])) for n in SHOWN]
        )

    recommended = None
    for i in range(TABLES):
        table = world.table(rng)
        fit = t2.fit(table, law=name, objective="huber", n_starts=2)

        def ends(method, fit=fit):
            """Both ends by `t2jax.profile`."""
            found = [
                t2.profile(fit, ["alpha", "beta", "params"], budget=budget, level=level,
                           method=method).intervals for level in LEVELS
            ]  # fmt: skip
            return {n: np.array([[f[n].low, f[n].high] for f in found]).T for n in SHOWN}

        for method in ("profile", "laplace"):
            count(method, lambda method=method, ends=ends: ends(method))
        if i < NAIVE_TABLES:
            naive = t2.fit(world.means(table), law=name, objective="huber", n_starts=2)
            count("row bootstrap", lambda fit=naive: draws_of(fit, budget, "row"))
            count("bootstrap", lambda fit=fit: draws_of(fit, budget, "run"))
        if i == 0:
            recommended = t2.calibrate(
                fit, budget=budget, tables=JUDGED, methods=["profile", "laplace"],
                seed=checkpoints, progress=False,
            ).recommended  # fmt: skip
    return {
        "truth": truth,
        "recommended": recommended,
        "tables": {m: len(own) for m, own in hits.items()},
        "refused": refused,
        "coverage": {
            m: dict(zip(SHOWN, np.mean(own, axis=0).tolist(), strict=True))
            for m, own in hits.items()
        },
    }


def lines(name: str, checkpoints: int, found: dict) -> list[str]:
    """One line for each method."""
    out = []
    for method, own in found["coverage"].items():
        shares = "  ".join(f"{own[n][1]:6.1%} ({own[n][0]:5.1%})" for n in SHOWN)
        lost = found["refused"].get(method, 0)
        out.append(f"{name:9s} {checkpoints:3d}  {method:14s} {shares}" + f"  {lost:4d}")
    out.append(f"{'':15s}t2jax.calibrate of the first table recommends {found['recommended']}")
    return out


def report(results: dict) -> str:
    """Every cell that is known, as text."""
    head = f"{'law':9s} runs {'method':14s} " + "  ".join(f"{s:>14s}" for s in SHOWN.values())
    text = [
        f"coverage of nominal 95% (90%) intervals in simulated tables of {QUESTIONS} questions:",
        f"{TABLES} tables by profile and laplace, {NAIVE_TABLES} by the bootstraps",
        "",
        head + "  refused",
    ]
    for checkpoints in DESIGNS:
        for name in LAWS:
            if f"{name}/{checkpoints}" in results:
                text += lines(name, checkpoints, results[f"{name}/{checkpoints}"])
    return "\n".join(text) + "\n"


def main(words: list[str]) -> None:
    """Every cell, or those of the checkpoints named beside what is there already."""
    kept = HERE / "results/questions.json"
    if not words:
        kept.write_text("{}", encoding="utf-8")
    for checkpoints in map(int, words or DESIGNS):
        for name in LAWS:
            found = cell(name, checkpoints)
            results = json.loads(kept.read_text(encoding="utf-8"))
            results[f"{name}/{checkpoints}"] = found
            print("\n".join(lines(name, checkpoints, found)), flush=True)
            kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            (HERE / "results/questions.txt").write_text(report(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
