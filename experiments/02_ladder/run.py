"""What the built-in ladder shows, and what it does not. See README.md.

Writes `results/card.txt`. Public API only.
"""

import pathlib

import numpy as np

import t2jax as t2
from t2jax.datasets import load_questions
from t2jax.planner import measured

HERE = pathlib.Path(__file__).resolve().parent
VARIANTS = ("base", "ft", "sft")
LAWS = ("additive", "softplus", "softplus(coupled)", "product", "t2_loss", "beta_monotone")
SAMPLES_AT_MIDDLE = (32, 512)  # samples that a model of middling size affords


def levels(runs: t2.Observations) -> list[float]:
    """Training budgets at which more than one size was trained, FLOPs."""
    flops = np.sort(runs.train_flops)
    groups = np.split(flops, np.flatnonzero(np.diff(np.log(flops)) > np.log(1.2)) + 1)
    return [float(np.exp(np.log(group).mean())) for group in groups if len(group) > 1]


def sizes(runs: t2.Observations) -> list[str]:
    """How large the ladder is."""
    flops, ratio = runs.train_flops, runs.tokens_per_param
    return [
        f"{runs.n_rows} checkpoints on {len(set(runs.trunk))} trunks, {runs.n_questions} questions",
        f"training FLOPs {flops.min():.3g} to {flops.max():.3g}: "
        f"{np.log10(flops.max() / flops.min()):.2f} decades",
        f"parameters {runs.params.min():,.0f} to {runs.params.max():,.0f}, "
        f"{len(set(runs.params))} sizes",
        f"tokens per parameter {ratio.min():.2g} to {ratio.max():,.0f}; beyond 200: "
        f"{int((ratio > 200).sum())} checkpoints",
    ]


def optima(runs: t2.Observations) -> list[str]:
    """The best measured size at each training budget, at one sample and at what it affords."""
    middle = float(np.exp(np.log(runs.params).mean()))
    lines = []
    for samples in SAMPLES_AT_MIDDLE:
        inference = 2 * middle * samples
        lines += [
            f"inference budget {inference:.3g} FLOPs a token ({samples} samples at N = "
            f"{middle:,.0f})",
            "  train FLOPs  sizes  Chinchilla's N    D/N  T2's N     D/N     k  pass@k gain"
            "      90% interval",
        ]
        edges = {"single": 0, "repeated": 0}
        found = [measured(runs, t2.Budget(train_flops=c, inference_flops=inference))
                 for c in levels(runs)]  # fmt: skip
        found = [one for one in found if one is not None]
        for one in found:
            a, b = one.single, one.repeated
            at = np.abs(np.log(runs.train_flops / one.train_flops)) < np.log(1.2)
            own = np.unique(runs.params[at & (2 * runs.params <= inference)])
            marks = []
            for name, choice in (("single", a), ("repeated", b)):
                edge = choice.params in (own[0], own[-1])
                edges[name] += edge
                marks.append("*" if edge else " ")
            low, high = one.gain_interval
            lines.append(
                f"  {one.train_flops:11.3g}  {one.sizes:5d}  {a.params:13,.0f}{marks[0]} "
                f"{a.tokens / a.params:6.0f} {b.params:6,.0f}{marks[1]} "
                f"{b.tokens / b.params:6.0f} {b.samples:5d}  {one.gain():+11.3f}"
                f"  [{low:+.3f}, {high:+.3f}]"
            )
        lines.append(
            f"  * at the edge of the sizes measured there: no optimum was seen. Interior: "
            f"{len(found) - edges['single']} of {len(found)} at one sample, "
            f"{len(found) - edges['repeated']} of {len(found)} at what each size affords."
        )
    return lines


def families(runs: t2.Observations, chance: dict[str, float]) -> list[str]:
    """Per family: the range, the guesser's level, the law's fit, and the noise of seeds."""
    lines = [
        "  family       NLL, worst  best  guesser  R2 of the additive law  mean error  seed noise"
    ]
    for task in sorted(set(runs.task)):
        one = runs.select_task(task)
        nll = one.mean_nll()
        loss = t2.Observations(
            kind="loss", run=one.run, params=one.params, tokens=one.tokens, trunk=one.trunk,
            loss=nll,
        )  # fmt: skip
        fit = t2.fit(loss, law="additive")
        lines.append(
            f"  {task:12s} {nll.max():10.2f} {nll.min():5.2f} {chance.get(task, np.nan):8.2f} "
            f"{fit.criteria['R2']:23.3f} {fit.criteria['mean relative error']:11.1%} "
            f"{seed_noise(one.params, one.tokens, nll):11.1%}"
        )
    return lines


def seed_noise(params: np.ndarray, tokens: np.ndarray, loss: np.ndarray) -> float:
    """Relative standard deviation between seeds of one size at one number of tokens."""
    key = np.round(np.log(tokens) * 20).astype(int)  # seeds differ by a fraction of a percent in D
    squares, free = 0.0, 0
    for pair in set(zip(params.tolist(), key.tolist(), strict=True)):
        same = np.log(loss[(params == pair[0]) & (key == pair[1])])
        if len(same) > 1:
            squares += float(((same - same.mean()) ** 2).sum())
            free += len(same) - 1
    return float(np.sqrt(squares / free)) if free else float("nan")


def laws(runs: t2.Observations) -> list[str]:
    """How each law fits, and what it leaves undetermined."""
    lines = ["  law                 R2   mean error  at its bound"]
    for name in LAWS:
        at_one = {"samples": [1.0]} if name == "additive" else {}
        fit = t2.fit(runs, law=name, **at_one)
        bound = ", ".join(fit.certificate.at_bound) or "none"
        error = fit.criteria["mean relative error"]
        lines.append(f"  {name:17s} {fit.criteria['R2']:6.3f} {error:9.1%}  {bound}"
                     f"{'' if fit.success else '; NOT CERTIFIED'}")  # fmt: skip
    return lines


def main() -> None:
    """Measure, and write the card."""
    guess = load_questions().groupby("task").nll_chance_task.first().to_dict()
    lines = ["The built-in ladder. Everything below is measured.", ""]
    for variant in VARIANTS:
        runs = t2.datasets.load_ladder(variant=variant)
        lines += [f"== {variant} ==", *sizes(runs), "", *optima(runs), "",
                  *families(runs, guess), "", *laws(runs), ""]  # fmt: skip
    base, others = t2.datasets.load_ladder(), VARIANTS[1:]
    for variant in others:
        ratio = t2.datasets.load_ladder(variant=variant).mean_nll() / base.mean_nll()
        lines.append(
            f"mean NLL of {variant} over base: median {np.median(ratio):.3f}, "
            f"from {ratio.min():.3f} to {ratio.max():.3f}"
        )
    (HERE / "results/card.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
