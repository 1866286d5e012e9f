"""What the small ladder says of the larger one, and laws fitted to both.

    .venv/bin/python experiments/10_accelerator/run.py

Reads the two ladders of the package and the timings in results/, prints the card and writes
results/card.txt, and the timings to benchmarks/results/accelerator.txt. The larger ladder was
trained by `ladder.py` on one accelerator.
"""

import json
import pathlib

import jax
import numpy as np

import t2jax as t2
from t2jax.datasets import load_ladder, load_runs

RESULTS = pathlib.Path(__file__).parent / "results"
BENCHMARK = RESULTS.parents[2] / "benchmarks" / "results" / "accelerator.txt"
SAMPLES = np.array([1.0, 4.0, 16.0, 64.0, 256.0, 1024.0])
LAWS = ("linked", "additive", "coupled", "softplus", "softplus(coupled)", "product", "t2_loss")
DRAWS = 200
LEVELS = (5e13, 1e14, 2e14)
INFERENCE = 2e7  # FLOPs a token: 22 samples of the size that is best at one sample

lines: list[str] = []


def say(text: str = "") -> None:
    """A line of the card."""
    lines.append(text)
    print(text, flush=True)


def main() -> None:
    """The card."""
    small, large = load_ladder("cpu"), load_ladder("gpu")
    large = large.select_questions(np.isin(large.question, small.question))
    both = small.join(large)
    for name, runs in (("small", small), ("large", large), ("both", both)):
        flops, ratio = runs.train_flops, runs.tokens_per_param
        say(f"{name}: {runs.n_rows} checkpoints, N {runs.params.min():,.0f} to "
            f"{runs.params.max():,.0f}, D/N {ratio.min():.0f} to {ratio.max():,.0f}, "
            f"{flops.min():.2e} to {flops.max():.2e} FLOPs, "
            f"{np.log10(flops.max() / flops.min()):.2f} decades")  # fmt: skip
    seeds(load_runs("gpu"))
    fits = forecast(small, large)
    together(both, small.n_rows)
    sizes(fits["linked"], large)
    before = len(lines)
    timings()
    (RESULTS / "card.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    BENCHMARK.write_text("\n".join(lines[before + 1 :]) + "\n", encoding="utf-8")


def seeds(runs) -> None:
    """The larger ladder, and the spread between its seeds."""
    groups = runs.groupby(["params", "level_flops"])
    say("\nlarger ladder: mean NLL of the questions, nats, over three seeds")
    table = runs.pivot_table(index="level_flops", columns="params", values="nll_mean")
    say("  train FLOPs" + "".join(f"{int(n):>12,}" for n in table.columns))
    for level, row in table.iterrows():
        cells = "".join(f"{'' if np.isnan(x) else format(x, '.3f'):>12}" for x in row)
        say(f"  {level:11.2e}{cells}")
    for name, what in (("held_out_loss", "held-out loss"), ("nll_mean", "NLL of the questions")):
        share = (groups[name].std() / groups[name].mean()).median()
        say(f"  {what}: standard deviation between seeds {share:.1%} (median)")


def predictions(law, runs, *, drawn: bool) -> np.ndarray:
    """The law at checkpoints and samples, [rows, k] or [draws, rows, k]."""
    grid = SAMPLES if law.uses_samples else SAMPLES[:1]

    def values(one):
        return one(params=runs.params[:, None], tokens=runs.tokens[:, None], samples=grid)

    with jax.enable_x64(True):
        law = jax.tree.map(lambda x: jax.numpy.asarray(x, float), law)
        return np.asarray(jax.vmap(values)(law) if drawn else values(law))


def forecast(small, large) -> dict:
    """Laws fitted to the small ladder, judged on the larger one."""
    say("\nforecast: fitted to the small ladder, judged on the larger one")
    say("  law, of mean -log pass@k                          90% intervals hold:")
    say("                    mean error      bias      of the law   with checkpoints' noise")
    fits = {}
    for name in LAWS:
        fits[name] = fit = t2.fit(small, law=name, samples=list(SAMPLES))
        grid = SAMPLES if fit.law.uses_samples else SAMPLES[:1]
        judge(name, fit, large, large.neg_log_pass(grid))
    say("  law, of the loss per token of text")
    for name in LAWS[1:3]:
        fit = t2.fit(load_ladder("cpu", measure="loss"), law=name)
        text = load_ladder("gpu", measure="loss")
        judge(name, fit, text, text.loss[:, None])
    say("  (error and bias: predicted over measured, less one; noise: what the fit left over)")
    return fits


def judge(name: str, fit, runs, truth: np.ndarray) -> None:
    """A line: how far a fit is off on other runs, and how often its intervals hold."""
    draws = t2.bootstrap(fit, n_draws=DRAWS, progress=False)
    off = predictions(fit.law, runs, drawn=False) / truth - 1
    drawn = predictions(draws.law, runs, drawn=True)
    between, within = draws.diagnostics["noise"]
    rng = np.random.default_rng(0)
    noise = between * rng.normal(size=(*drawn.shape[:2], 1)) + within * rng.normal(size=drawn.shape)
    held = [holds(x, truth) for x in (drawn, drawn * np.exp(noise))]
    say(f"  {name:18}{np.mean(np.abs(off)):10.1%}{off.mean():+10.1%}{held[0]:16.0%}{held[1]:16.0%}")


def holds(draws: np.ndarray, truth: np.ndarray) -> float:
    """Share of the measured values in the central 90% of the draws."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return float(np.mean((truth >= low) & (truth <= high)))


def together(both, first: int) -> None:
    """Laws fitted to both ladders: how far off on each."""
    say("\nfitted to both ladders: mean error (bias) on the small one and on the larger one")
    for name in LAWS:
        fit = t2.fit(both, law=name, samples=list(SAMPLES))
        grid = SAMPLES if fit.law.uses_samples else SAMPLES[:1]
        off = predictions(fit.law, both, drawn=False) / both.neg_log_pass(grid) - 1
        parts = "".join(
            f"{np.mean(np.abs(x)):9.1%} ({x.mean():+.1%})" for x in (off[:first], off[first:])
        )
        shown = ", ".join(
            f"{k} {float(v):.3g}" for k, v in fit.law.coefficients().items()
            if k in ("E", "alpha", "beta", "kappa", "s", "gamma")
        )  # fmt: skip
        say(f"  {name:18}{parts}   {shown}{'' if fit.success else '   NOT CERTIFIED'}")


def sizes(fit, large) -> None:
    """The size that the small ladder would have planned, beside those measured."""
    say(f"\nbest size at {INFERENCE:.0e} inference FLOPs a token: planned from the small ladder "
        "(linked), and measured")  # fmt: skip
    level = np.array([LEVELS[np.abs(np.log(np.array(LEVELS) / c)).argmin()]
                      for c in large.train_flops])  # fmt: skip
    near = np.abs(np.log(large.train_flops / level)) < 0.2
    for flops in LEVELS:
        best = t2.optimum(fit, t2.Budget(train_flops=flops, inference_flops=INFERENCE))
        found = {}
        for n in np.unique(large.params):
            rows = near & (level == flops) & (large.params == n)
            if rows.any():
                k = max(1.0, INFERENCE / (2 * n))
                part = large.select(rows)
                found[n] = (k, part.neg_log_pass([k]).mean(), part.pass_at_k([k]).mean())
        say(f"  {flops:.0e} FLOPs: planned N {float(best.params):,.0f}, "
            f"k {float(best.samples):.1f}, {float(best.value):.3f} nats")  # fmt: skip
        for n, (k, loss, solved) in found.items():
            say(f"      measured N {n:>9,.0f}, k {k:5.1f}: {loss:.3f} nats, pass@k {solved:.3f}")


def timings() -> None:
    """Rates on the accelerator and on two cores, and utilisation."""
    here, there = (json.loads((RESULTS / f"{n}.json").read_text()) for n in ("accelerator", "cpu"))
    say(f"\nanalysis: {here['device']} beside two cores of its host, jax {here['jax']}, "
        "units per second, compiled")  # fmt: skip
    place = "experiments/10_accelerator"
    say(f"  {place}/kit.sh analysis OUT; bf16, versions in {place}/results/journal.json")
    rate = {row["task"]: row for row in there["analysis"] if "second" in row}
    for row in (row for row in here["analysis"] if "second" in row):
        other = rate[row["task"]]
        say(f"  {row['task']}: {row['units']:,} in {row['second']:.1f} s "
            f"(first call {row['first']:.1f} s), {row['units_per_second']:,.0f}/s; two cores "
            f"{other['units']:,} in {other['second']:.1f} s, {other['units_per_second']:,.0f}/s: "
            f"{row['units_per_second'] / other['units_per_second']:.1f} times; success "
            f"{row['success']:.0%} and {other['success']:.0%}")  # fmt: skip
    peak = here["matrix_flops_per_second"] / 1e12
    say(f"\ntraining: share of the rate of an 8192 matrix product in bf16, {peak:.0f} TFLOP/s")
    for row in here["training"]:
        busy = row["profile"]
        say(
            f"  d {row['d_model']} x {row['n_layers']}, {row['seeds']} x {row['rows']} rows: "
            f"{row['share_of_matrix_product']:.1%} ({row['mfu']:.1%} of the data sheet), "
            f"{row['places_per_second']:,.0f} tokens/s, {row['ms_a_step']:.2f} ms a step, "
            f"{busy['kernels_a_step']:.0f} kernels busy for {busy['busy_ms_a_step']:.2f} ms"
        )


if __name__ == "__main__":
    main()
