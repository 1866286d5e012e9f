"""What should a team with five million dollars and 2e12 unique tokens train? See README.md.

Writes `results/plan.txt`, `results/tornado.csv` and `results/tornado.png`. Public API only.
"""

import csv
import dataclasses
import pathlib

import numpy as np
from matplotlib.figure import Figure

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
BLUE, ORANGE = "#0072B2", "#D55E00"

# The loss per token as published (arXiv:2404.10102, a refit of arXiv:2203.15556). The answer that
# decides success has some tokens that are not copied from the question: -log p is their number
# times that loss. Samples take log k off it until the softplus law bends. Both are assumptions.
LOSS = t2.laws.Additive(E=1.8172, A=477.83, B=2143.4, alpha=0.3473, beta=0.3672)
WIDTH = 1.3
ANSWER = 6.0

BASE = {
    "dollars": 5e6,
    "questions": 1e9,
    "tokens_per_sample": 500.0,
    "unique_tokens": 2e12,
    "dollars_per_hour": 2.0,
    "train_utilisation": 0.4,
    "decode_utilisation": 0.4,
    "batch": 256.0,
    "prompt_tokens": 512.0,
    "alpha": LOSS.alpha,
    "beta": LOSS.beta,
    "width": WIDTH,
    "answer": ANSWER,
}
RANGES = {
    "dollars": (2.5e6, 1e7),
    "questions": (1e8, 1e10),
    "tokens_per_sample": (200.0, 2000.0),
    "unique_tokens": (5e11, 8e12),
    "dollars_per_hour": (1.5, 4.0),
    "train_utilisation": (0.3, 0.5),
    "decode_utilisation": (0.1, 0.6),
    "batch": (16.0, 1024.0),
    "prompt_tokens": (128.0, 4096.0),
    "alpha": (LOSS.alpha - 0.03, LOSS.alpha + 0.03),
    "beta": (LOSS.beta - 0.03, LOSS.beta + 0.03),
    "width": (0.6, 2.6),
    "answer": (4.0, 8.0),
}
TITLES = {
    "dollars": "pot, dollars",
    "questions": "questions served",
    "tokens_per_sample": "tokens per sample",
    "unique_tokens": "unique tokens",
    "dollars_per_hour": "dollars per H100 hour",
    "train_utilisation": "utilisation, training",
    "decode_utilisation": "utilisation, decoding",
    "batch": "samples decoded together",
    "prompt_tokens": "tokens of a question",
    "alpha": "exponent of N",
    "beta": "exponent of D",
    "width": "bend of the samples law",
    "answer": "decisive tokens of an answer",
}


def law_of(values: dict[str, float]) -> t2.laws.Law:
    """The law with exponents that keep the terms as they are at 1e9 parameters, 1e11 tokens."""
    a = LOSS.A * 1e9 ** (values["alpha"] - LOSS.alpha)
    b = LOSS.B * 1e11 ** (values["beta"] - LOSS.beta)
    tokens = values["answer"]
    inner = t2.laws.Additive(
        E=tokens * LOSS.E, A=tokens * a, B=tokens * b, alpha=values["alpha"], beta=values["beta"]
    )
    return t2.laws.Softplus(loss=inner, s=values["width"])


def budget_of(values: dict[str, float], **more: float) -> t2.Budget:
    """The budget of one set of assumptions."""
    cost = t2.Cost.on(
        "h100",
        dollars_per_hour=values["dollars_per_hour"],
        train_utilisation=values["train_utilisation"],
        decode_utilisation=values["decode_utilisation"],
        batch=values["batch"],
        prompt_tokens=values["prompt_tokens"],
    )
    names = ("dollars", "questions", "tokens_per_sample", "unique_tokens")
    return t2.Budget(**{name: values[name] for name in names}, cost=cost, **more)


def solve(values: dict[str, float]) -> t2.Optimum:
    """The optimum of one set of assumptions."""
    return t2.optimum(law_of(values), budget_of(values), chinchilla=False)


def tornado() -> list[dict[str, float | str]]:
    """The optimum at either end of every assumption, the others as stated."""
    rows = []
    for name, ends in RANGES.items():
        row: dict[str, float | str] = {"assumption": TITLES[name]}
        for side, value in zip(("low", "high"), ends, strict=True):
            best = solve({**BASE, name: value})
            row |= {side: value, f"params_{side}": float(best.params)}
            row |= {f"tokens_{side}": float(best.tokens), f"samples_{side}": float(best.samples)}
            row[f"value_{side}"] = float(best.value)
        rows.append(row)
    return rows


def draw(rows: list[dict[str, float | str]], best: t2.Optimum) -> Figure:
    """How far each assumption moves the size to train, the largest swing on top."""
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    shown = (("params", "parameters N*, 1e9", 1e9), ("samples", "samples per question k*", 1.0))

    def swing(row):
        return abs(np.log(float(row["params_high"]) / float(row["params_low"])))

    ordered = sorted(rows, key=swing)
    for ax, (name, label, unit) in zip(panels, shown, strict=True):
        centre = float(getattr(best, name)) / unit
        for i, row in enumerate(ordered):
            for side, colour in (("low", BLUE), ("high", ORANGE)):
                end = float(row[f"{name}_{side}"]) / unit
                ax.barh(i, end - centre, left=centre, color=colour, height=0.62)
        ax.axvline(centre, color="#333333", lw=1)
        ax.set(xscale="log", xlabel=label)
        ax.grid(axis="x", color="#e6e6e6")
        ax.set_axisbelow(True)
        low, high = ax.get_xlim()
        ticks = [m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)]
        ticks = [tick for tick in ticks if low <= tick <= high]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    labels = [f"{r['assumption']}, {plain(r['low'])} to {plain(r['high'])}" for r in ordered]
    panels[0].set_yticks(range(len(ordered)), labels)
    handles = [panels[0].patches[0], panels[0].patches[1]]
    figure.legend(handles, ["at the low end", "at the high end"], loc="outside upper right",
                  ncols=2, frameon=False)  # fmt: skip
    return figure


def plain(value: float | str) -> str:
    """A number as people write it: 4096, 2.5M, 8T."""
    value = float(value)
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.4g}"


def main() -> None:
    """Plan, compare, vary one assumption at a time, write."""
    law, budget = law_of(BASE), budget_of(BASE)
    best = t2.optimum(law, budget, rivals={"7B on 2T": (7e9, 2e12)})
    uncertain = t2.optimum(law, budget_of(BASE, questions_factor=5.0), chinchilla=False)
    walled = t2.optimum(
        law, dataclasses.replace(budget, unique_tokens=None, max_tokens=2e12), chinchilla=False
    )
    share = float(budget.cost.train(best.params, best.tokens)) / BASE["dollars"]
    lines = [best.summary(), "", f"training takes {share:.0%} of the money"]
    for title, other in (("questions known within a factor of 5 only", uncertain),
                         ("tokens never repeated (a wall at 2e12)", walled)):  # fmt: skip
        lines.append(
            f"{title}: N {float(other.params):.3g}, D {float(other.tokens):.3g}, "
            f"k {float(other.samples):.3g}, loss {float(other.value):.4g}"
        )
    (HERE / "results/plan.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = tornado()
    with open(HERE / "results/tornado.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, best).savefig(HERE / "results/tornado.png", dpi=130)


if __name__ == "__main__":
    main()
