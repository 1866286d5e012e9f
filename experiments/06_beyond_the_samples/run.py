"""Can pass@k be told beyond the samples taken, and at models not sampled? See README.md.

    python run.py FOLDER      # with passk_codecontests/, passk_pythia_gsm8k/, ladder_1/, gemstones/

Writes `results/table.txt`. Public API only.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import special

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
TAKEN = 100  # samples a question that the methods may see
GRID = np.array([1, 10, 100, 1000, 10_000])
LEVEL = 0.9
SHUFFLES = 5  # ways to take the samples out of those that were made
METHODS = (
    ("stack", {}),
    ("beta_binomial", {"method": "beta_binomial"}),
    ("beta_binomial, impossible", {"method": "beta_binomial", "impossible": True}),
    ("regression", {"method": "regression"}),
)


def as_table(frame: pd.DataFrame, run: str) -> t2.Observations:
    """Counts of the questions that every checkpoint has."""
    both = frame.pivot(index=run, columns="problem_idx", values=["n_samples", "n_correct"])
    both = both.dropna(axis="columns").astype(int)
    trials, successes = both["n_samples"].to_numpy(), both["n_correct"].to_numpy()
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


def thinned(table: t2.Observations, seed: int = 0) -> t2.Observations:
    """The table as if `TAKEN` samples of each question had been taken."""
    assert table.trials is not None
    assert table.successes is not None
    trials, successes = table.trials.astype(int), table.successes.astype(int)
    taken = np.minimum(trials, TAKEN)
    rng = np.random.default_rng(seed)
    kept = rng.hypergeometric(successes, trials - successes, taken)
    return dataclasses.replace(table, successes=kept, trials=taken)


def mean(errors: np.ndarray) -> float:
    """Of the finite ones, NaN where there are none."""
    kept = errors[np.isfinite(errors)]
    return float(kept.mean()) if len(kept) else float("nan")


def measured(table: t2.Observations) -> np.ndarray:
    """Unbiased mean pass@k [rows, K]; NaN where any question has fewer than k samples."""
    return table.pass_at_k(GRID)


def bounds(table: t2.Observations, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What all trials, however unequal, leave open for mean pass@k [rows], lower and upper.

    A question's chance lies between Beta(c, n - c + 1) and Beta(c + 1, n - c): the imprecise Beta
    model with one prior attempt (Walley 1996).
    """
    n, c = np.asarray(table.trials, float), np.asarray(table.successes, float)

    def mean_pass(a, b):
        sure = np.where(a > 0, 1.0, 0.0)
        a, b = np.maximum(a, 1e-12), np.maximum(b, 1e-12)
        failed = special.betaln(a, b + k) - special.betaln(a, b)
        return np.where(sure > 0, -np.expm1(failed), 0.0).mean(axis=1)

    return mean_pass(c, n - c + 1), mean_pass(c + 1, n - c)


def scores(
    found: t2.Extrapolation, truth: np.ndarray, answered: np.ndarray | bool = True
) -> list[str]:
    """Per k: mean absolute error of log pass@k, coverage and number of checkpoints."""
    cells, truth = [], np.where(answered, truth, np.nan)
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


def pythia(folder: pathlib.Path) -> t2.Observations:
    """Every Pythia checkpoint that is past the warm-up of its learning rate."""
    frame = pd.read_csv(folder / "passk_pythia_gsm8k" / "counts.csv")
    frame = frame.rename(columns={"d_tokens": "nominal", "d_tokens_exact": "d_tokens"})
    return as_table(frame[frame.d_tokens > 1e9], "ckpt")


def pythia_alone(folder: pathlib.Path) -> Iterator[str]:
    """Every checkpoint from its own samples."""
    whole = pythia(folder)
    few, large, truth = thinned(whole), whole.params > 6e9, measured(whole)
    for what, rows in (("all sizes", np.ones_like(large)), ("6.9B and 12B", large)):
        yield from header(
            f"Pythia on GSM8K, {what}: {rows.sum()} checkpoints past 1e9 tokens, each from "
            f"{TAKEN} samples\na question of its own; 90% intervals; last number: how many measured"
        )
        yield from side_by_side([few.select(rows)], truth[rows])


def side_by_side(
    tables: list[t2.Observations], truth: np.ndarray, told: bool = False
) -> Iterator[str]:
    """Every method on the same tables, judged where every method has an answer.

    Args:
      tables: of one set of checkpoints, each a way to take the samples.
      truth: pass@k of the checkpoints [checkpoints, K].
      told: whether to add mean estimates at the largest k.
    """
    found = {}
    for name, options in METHODS:
        each = [t2.extrapolate(table, GRID, level=LEVEL, **options) for table in tables]
        parts = ("run", "params", "tokens", "estimate", "low", "high", "beyond")
        stacked = {part: np.concatenate([getattr(f, part) for f in each]) for part in parts}
        found[name] = t2.Extrapolation(method=name, samples=GRID, level=LEVEL, **stacked)
        if name == "stack":
            yield f"  {next(note for note in each[0].notes if 'weight' in note)}"
    every = np.all([np.isfinite(f.estimate) for f in found.values()], axis=0)
    known = np.tile(truth, (len(tables), 1))
    for name, one in found.items():
        yield line(name, scores(one, known, every))
        if told:
            last = one.estimate[:, -1].reshape(len(tables), -1).T
            rows = zip(tables[0].run, last, truth[:, -1], strict=True)
            rest = ", ".join(f"{run} {mean(x):.3f} ({y:.3f})" for run, x, y in rows)
            yield f"    mean estimate at k=10000 (measured): {rest}"
    if not every.all():
        yield f"  {np.sum(~every[:, 0])} with too few solved samples for a line are left out"
    yield ""


def pythia_unseen(folder: pathlib.Path) -> Iterator[str]:
    """Fit up to 2.8B at k <= 100, predict 6.9B and 12B."""
    whole = pythia(folder)
    few, large = thinned(whole), whole.params > 6e9
    train, target, truth = few.select(~large), few.select(large), measured(whole)[large]
    yield from header(
        f"Pythia on GSM8K: fitted to {train.n_rows} checkpoints up to 2.8B, {TAKEN} samples a "
        f"question, and\npredicted at {target.n_rows} checkpoints of 6.9B and 12B by N and D alone"
    )
    baseline = power_law(train, target)
    errors = [np.abs(np.log(p / t)) for p, t in zip(baseline.T, truth.T, strict=True)]
    cells = [f"{mean(e):5.2f}   -  {np.isfinite(e).sum():3d}" for e in errors]
    yield line("regression on log N, log D, log k", cells)
    samplers = {
        "bootstrap": lambda fit: t2.bootstrap(fit, n_draws=100, progress=False),
        "posterior of questions": lambda fit: t2.posterior(
            fit, effects="none", progress=False, warmup=1000, target_accept=0.98
        ),
    }
    for law in ("beta_monotone", "t2_accuracy"):
        fit = t2.fit(train, law=law)
        yield f"  {law}: {fit.message}"
        for kind, sample in samplers.items():
            try:
                draws = sample(fit)
            except t2.Refusal as refusal:
                yield f"  {law}, {kind}: REFUSED: {refusal}"
                continue
            found = t2.extrapolate(draws, GRID, runs=target, level=LEVEL)
            yield line(f"{law}, {kind}", scores(found, truth))
            if kind == "bootstrap":
                low, high = bounds(whole.select(large), 10_000)
                meet = (found.low[:, -1] <= high) & (low <= found.high[:, -1])
                stray = np.quantile(draws.nuisance["sd_log_b"], [0.05, 0.5, 0.95])
                yield (
                    f"    at k=10000 the trials leave {mean(low):.2f} to {mean(high):.2f} open on "
                    f"average; {meet.sum()} of {len(meet)} intervals\n    meet what is open; "
                    f"checkpoints stray by {stray[1]:.2f} [{stray[0]:.2f}, {stray[2]:.2f}] in log b"
                )
                found = t2.extrapolate(draws, GRID, runs=train, level=LEVEL)
                yield line("    at the checkpoints fitted", scores(found, measured(whole)[~large]))
            yield from (f"    {note}" for note in draws.diagnostics["notes"] if "MISFIT" in note)
    yield ""


def contests(folder: pathlib.Path) -> Iterator[str]:
    """Five models on CodeContests: pass@10k from 100 of 10,000 samples a problem."""
    whole = as_table(pd.read_csv(folder / "passk_codecontests" / "counts.csv"), "model")
    truth = measured(whole)
    yield from header(
        f"CodeContests: five models, {TAKEN} of 10,000 samples a problem, {SHUFFLES} ways to take "
        "them. 90%\nintervals; last number: models times ways measured"
    )
    yield from side_by_side([thinned(whole, seed) for seed in range(SHUFFLES)], truth, told=True)


def known_chances(folder: pathlib.Path) -> Iterator[str]:
    """Tables whose questions have a measured chance: samples are simulated, the truth is exact."""
    for name, chance in chances(folder).items():
        rng = np.random.default_rng(0)
        runs, questions = chance.shape
        table = t2.Observations(
            kind="counts", run=np.arange(runs).astype(str), params=np.ones(runs),
            tokens=np.ones(runs), successes=rng.binomial(TAKEN, chance),
            trials=np.full(chance.shape, TAKEN), question=np.arange(questions).astype(str),
            task=np.full(questions, "task"),
        )  # fmt: skip
        rest = np.log1p(-np.minimum(chance, 1 - 1e-16))
        truth = np.stack([-np.expm1(k * rest).mean(axis=1) for k in GRID], axis=1)
        yield from header(
            f"{name}: {runs} checkpoints, {TAKEN} samples a question simulated from chances that "
            "were measured"
        )
        yield from side_by_side([table], truth)


def chances(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Success probabilities by table [checkpoints, questions]."""
    out, parquet = {}, folder / "ladder_1" / "questions-base.parquet"
    if parquet.is_file():
        own = pd.read_parquet(parquet)
        own = own[~own.task.astype(str).str.startswith("long")]
        out["ladder_1"] = np.exp(-own.pivot(index="run", columns="question", values="nll"))
    for task in ("openbookqa", "arc_challenge", "commonsense_qa"):
        csv = folder / "gemstones" / f"per_question_nll_{task}.csv"
        if csv.is_file():
            out[task] = np.exp(-pd.read_csv(csv).filter(regex="^q"))
    return {name: wide.to_numpy(float)[::5] for name, wide in out.items()}


def main(words: list[str]) -> int:
    """Predict, measure, write the table."""
    if len(words) != 1:
        print("usage: run.py FOLDER, which holds passk_pythia_gsm8k/, passk_codecontests/, ...")
        return 2
    folder, told = pathlib.Path(words[0]), []
    for name, part in (
        ("passk_codecontests/counts.csv", contests),
        ("passk_pythia_gsm8k/counts.csv", pythia_alone),
        ("", known_chances),
        ("passk_pythia_gsm8k/counts.csv", pythia_unseen),
    ):
        if not (folder / name).exists():
            print(f"{folder / name} is absent: {part.__name__} is left out")
            continue
        for text in part(folder):
            print(text, flush=True)
            told.append(text)
            (HERE / "results/table.txt").write_text("\n".join(told) + "\n", encoding="utf-8")
    return 0 if told else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
