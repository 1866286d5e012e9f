"""Can pass@k be told beyond the samples taken, and at models not sampled? See README.md.

    python run.py FOLDER        # with passk_pythia_gsm8k/ and passk_codecontests/ in it

Writes `results/table.txt`. Public API only.
"""

import pathlib
import sys

import numpy as np
import pandas as pd

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
TAKEN = 100  # samples a question that the methods may see
GRID = np.array([1, 10, 100, 1000, 10_000])
LEVEL = 0.9
SHUFFLES = 5  # ways to take the samples out of those that were made
METHODS = (
    ("beta_binomial", {}),
    ("beta_binomial, impossible", {"impossible": True}),
    ("regression", {"method": "regression"}),
)


def as_table(
    frame: pd.DataFrame, run: str, limit: int | None = None, seed: int = 0
) -> t2.Observations:
    """Counts of the questions that every checkpoint has, thinned to `limit` samples each."""
    both = frame.pivot(index=run, columns="problem_idx", values=["n_samples", "n_correct"])
    both = both.dropna(axis="columns").astype(int)
    trials, successes = both["n_samples"].to_numpy(), both["n_correct"].to_numpy()
    if limit:
        taken = np.minimum(trials, limit)
        rng = np.random.default_rng(seed)
        successes = rng.hypergeometric(successes, trials - successes, taken)
        trials = taken
    places = frame.groupby(run).first().loc[both.index]
    return t2.Observations(
        kind="counts",
        run=both.index.to_numpy().astype(str),
        params=places.n_params.to_numpy(),
        tokens=places.d_tokens.to_numpy(),
        successes=successes,
        trials=trials,
        question=np.array([str(name) for name in both["n_samples"].columns]),
        task=np.full(trials.shape[1], "task"),
    )


def measured(table: t2.Observations) -> np.ndarray:
    """Unbiased mean pass@k [rows, K]; NaN where any question has fewer than k samples."""
    return table.pass_at_k(GRID)


def scores(found: t2.Extrapolation, truth: np.ndarray) -> list[str]:
    """Per k: mean absolute error of log pass@k, coverage and number of checkpoints."""
    cells = []
    for j in range(len(GRID)):
        one = np.full_like(truth, np.nan)
        one[:, j] = truth[:, j]
        known = int(np.sum(np.isfinite(one) & (one > 0)))
        cells.append(f"{found.error(one):5.2f} {found.coverage(one):4.0%} {known:3d}")
    return cells


def line(name: str, cells: list[str]) -> str:
    """One line of a table."""
    return f"  {name:34s}" + "".join(f"{cell:>17s}" for cell in cells)


def header(what: str) -> list[str]:
    """The title of a table and its columns."""
    cells = [f"k={k}" for k in GRID]
    return [what, line("mean |error of log pass@k|, coverage", cells), ""]


def power_law(train: t2.Observations, target: t2.Observations) -> np.ndarray:
    """The baseline at models not sampled: log(-log pass@k) is linear in log N, log D, log k."""
    k = np.array([1, 3, 10, 30, 100])
    rate = train.pass_at_k(k)
    n, d, x = np.broadcast_arrays(
        np.log(train.params)[:, None], np.log(train.tokens)[:, None], np.log(k)
    )
    sound = (rate > 0) & (rate < 1)
    design = np.stack([np.ones(sound.sum()), n[sound], d[sound], x[sound]], axis=1)
    beta = np.linalg.lstsq(design, np.log(-np.log(rate[sound])), rcond=None)[0]
    there = beta[0] + beta[1] * np.log(target.params) + beta[2] * np.log(target.tokens)
    return np.exp(-np.exp(there[:, None] + beta[3] * np.log(GRID)))


def unseen_models(folder: pathlib.Path) -> list[str]:
    """Fit up to 2.8B at k <= 100, predict 6.9B and 12B."""
    frame = pd.read_csv(folder / "passk_pythia_gsm8k" / "counts.csv")
    frame = frame.rename(columns={"d_tokens": "nominal", "d_tokens_exact": "d_tokens"})
    # Below 1e9 tokens the learning rate still rises and nearly nothing is ever solved.
    frame = frame[frame.d_tokens > 1e9]
    whole, few = as_table(frame, "ckpt"), as_table(frame, "ckpt", limit=TAKEN)
    small, large = few.params < 3e9, few.params > 6e9
    train, target = few.select(small), few.select(large)
    truth = measured(whole.select(large))
    lines = header(
        f"Pythia on GSM8K: fitted to {train.n_rows} checkpoints up to 2.8B, {TAKEN} samples a "
        f"question,\npredicted at {target.n_rows} checkpoints of 6.9B and 12B. {LEVEL:.0%} "
        "intervals; last number: checkpoints measured"
    )
    for law in ("beta_monotone", "t2_accuracy"):
        fit = t2.fit(train, law=law)
        lines.append(f"  {law}: {fit.message}")
        for kind, sample in (
            ("bootstrap", lambda fit: t2.bootstrap(fit, draws=100, progress=False)),
            (
                "posterior",
                lambda fit: t2.posterior(fit, progress=False, warmup=1000, target_accept=0.98),
            ),
        ):
            try:
                draws = sample(fit)
            except t2.Refusal as refusal:
                lines.append(f"  {law}, {kind}: REFUSED: {refusal}")
                continue
            found = t2.extrapolate(draws, GRID, runs=target, level=LEVEL)
            lines.append(line(f"{law}, {kind}", scores(found, truth)))
            lines += [f"    {note}" for note in draws.diagnostics["notes"] if "MISFIT" in note]
            print(lines[-1], flush=True)
    baseline = power_law(train, target)
    errors = [np.abs(np.log(p / t)) for p, t in zip(baseline.T, truth.T, strict=True)]
    cells = [f"{np.nanmean(e):5.2f}   -  {np.isfinite(e).sum():3d}" for e in errors]
    lines += [line("regression on log N, log D, log k", cells), ""]

    lines += header(
        f"The same {target.n_rows} checkpoints from {TAKEN} samples a question of their own, "
        "one checkpoint at a time"
    )
    for name, options in METHODS:
        found = t2.extrapolate(target, GRID, level=LEVEL, **options)
        lines.append(line(name, scores(found, truth)))
    lines.append("")
    every = as_table(frame, "ckpt", limit=TAKEN)
    truth = measured(whole)
    lines += header(f"All {every.n_rows} checkpoints with more than 1e9 tokens, in the same way")
    for name, options in METHODS:
        found = t2.extrapolate(every, GRID, level=LEVEL, **options)
        lines.append(line(name, scores(found, truth)))
    return [*lines, ""]


def same_models(folder: pathlib.Path) -> list[str]:
    """Five models on CodeContests: pass@10k from 100 of 10,000 samples a problem."""
    frame = pd.read_csv(folder / "passk_codecontests" / "counts.csv")
    truth = measured(as_table(frame, "model"))
    lines = header(
        f"CodeContests: five models, {TAKEN} of 10,000 samples a problem, {SHUFFLES} ways to take "
        f"them. {LEVEL:.0%} intervals;\nlast number: models times ways measured"
    )
    for name, options in METHODS:
        found = [
            t2.extrapolate(as_table(frame, "model", TAKEN, seed), GRID, level=LEVEL, **options)
            for seed in range(SHUFFLES)
        ]
        stacked = {
            part: np.concatenate([getattr(f, part) for f in found])
            for part in ("run", "params", "tokens", "estimate", "low", "high", "beyond")
        }
        whole = t2.Extrapolation(method=name, samples=GRID, level=LEVEL, **stacked)
        lines.append(line(name, scores(whole, np.tile(truth, (SHUFFLES, 1)))))
        means = np.mean([f.estimate[:, -1] for f in found], axis=0)
        told = ", ".join(
            f"{run} {p:.3f} ({t:.3f})"
            for run, p, t in zip(found[0].run, means, truth[:, -1], strict=True)
        )
        lines.append(f"    mean estimate at k=10000 (measured): {told}")
    return [*lines, ""]


def main(words: list[str]) -> int:
    """Predict, measure, write the table."""
    if len(words) != 1:
        print("usage: run.py FOLDER, which holds passk_pythia_gsm8k/ and passk_codecontests/")
        return 2
    folder = pathlib.Path(words[0])
    lines: list[str] = []
    parts = (("passk_codecontests", same_models), ("passk_pythia_gsm8k", unseen_models))
    for name, part in parts:
        if not (folder / name / "counts.csv").is_file():
            print(f"{folder / name / 'counts.csv'} is absent: that part is left out")
            continue
        lines += part(folder)
        print("\n".join(lines), flush=True)
        (HERE / "results/table.txt").write_text("\n".join(lines), encoding="utf-8")
    return 0 if lines else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
