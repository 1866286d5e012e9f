"""What the built-in ladder shows, and what it does not. See README.md.

    .venv/bin/python experiments/02_ladder/run.py [FOLDER of the first ladder, to be set beside it]

Writes `results/card.txt` and two figures. Public API only.
"""

import pathlib
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from direction import Level, budgets_of, interval, of_levels
from first import beside_first

import t2jax as t2
from t2jax.datasets import load_ladder, load_questions, load_runs

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
SAMPLES_AT_MIDDLE = (32, 512)  # samples that a model of middling size affords
KS = np.array([1, 4, 16, 64, 256, 1024])
LAWS = ("linked", "linked(ceiling)", "softplus", "product", "t2_loss", "beta_monotone")
APPROACHES = ("linked", "t2_loss", "beta_monotone")
FEW, MANY = 40, 200  # tokens per parameter: fitted up to the one, judged beyond the other
DRAWS = 200


def inference_budgets(runs: t2.Observations) -> list[float]:
    """FLOPs a token that give a model of middling size so many samples."""
    middle = float(np.exp(np.log(runs.params).mean()))
    return [2 * middle * samples for samples in SAMPLES_AT_MIDDLE]


def sizes(runs: t2.Observations) -> list[str]:
    """How large the ladder is."""
    flops, ratio = runs.train_flops, runs.tokens_per_param
    table = load_runs()
    table = table[table.variant == "base"]
    seeds = table.groupby(["d_model", "n_layers"]).seed.nunique()
    shown = ", ".join(f"{d} x {depth}: {n}" for (d, depth), n in seeds.items())
    return [
        f"{runs.n_rows} checkpoints on {len(set(runs.trunk))} trunks, {runs.n_questions} questions",
        f"training FLOPs {flops.min():.3g} to {flops.max():.3g}: "
        f"{np.log10(flops.max() / flops.min()):.2f} decades",
        f"parameters {runs.params.min():,.0f} to {runs.params.max():,.0f}, "
        f"{len(set(runs.params))} sizes; steps {table.steps.min():,} and more",
        f"tokens per parameter {ratio.min():.2g} to {ratio.max():,.0f}; beyond 200: "
        f"{int((ratio > 200).sum())} checkpoints",
        f"seeds, by width x layers: {shown}",
    ]


def optima(runs: t2.Observations) -> list[str]:
    """The best measured size at each training budget, at one sample and at what it affords."""
    lines = []
    for inference in inference_budgets(runs):
        found = of_levels(runs, inference)
        lines += [
            f"inference budget {inference:.3g} FLOPs a token",
            "  train FLOPs sizes Chinchilla's N   D/N  T2's N     D/N    k  better by, nats"
            "            pass@k higher by          smaller same larger  N smaller by",
        ]
        lines += ["  " + _of_level(one) for one in found]
        once, often = np.array([one.edges for one in found]).T
        sure = sum(one.smaller > 0.95 for one in found)
        gains = sum(one.nats_interval[0] > 0 for one in found)
        lines.append(
            f"  * smallest or largest size there: no optimum was seen. Interior: {sum(~once)} of "
            f"{len(found)} at one sample, {sum(~often)} at what each size affords. T2's choice is "
            f"smaller at {sum(one.repeated < one.single for one in found)}, in over 95% of the "
            f"resamples at {sure}, and better beyond doubt at {gains}."
        )
    return lines


def _of_level(one: Level) -> str:
    marks = ["*" if edge else " " for edge in one.edges]
    ratio = one.tokens / one.sizes
    same = 1 - one.smaller - one.larger
    return (
        f"{one.train_flops:11.3g} {len(one.sizes):5d} {one.sizes[one.single]:13,.0f}{marks[0]}"
        f"{ratio[one.single]:6.0f} {one.sizes[one.repeated]:7,.0f}{marks[1]}"
        f"{ratio[one.repeated]:7.0f} {one.samples[one.repeated]:4d}  "
        f"{one.nats:+.3f} {_ends(one.nats_interval)}  "
        f"{one.passed:+.3f} {_ends(one.passed_interval)}  "
        f"{one.smaller:5.0%} {same:6.0%} {one.larger:5.0%}   "
        f"{one.ratio:.2f} [{one.ratio_interval[0]:.2f}, {one.ratio_interval[1]:.2f}]"
    )


def _ends(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:+.3f}, {ends[1]:+.3f}]"


def seed_means(runs: t2.Observations, values: np.ndarray) -> t2.Observations:
    """A table of losses of each size at each training budget, the mean over its seeds."""
    level = np.round(np.log2(runs.train_flops)).astype(int)  # budgets double
    columns = {"params": runs.params, "level": level, "tokens": runs.tokens, "loss": values}
    table = pd.DataFrame(columns).groupby(["params", "level"], as_index=False).mean()
    return t2.read(table[["params", "tokens", "loss"]], params_definition="matrices+head")


def families() -> list[str]:
    """Per family: the range, the guesser's level, the laws over seed means, the noise of seeds."""
    guess = load_questions().groupby("task").nll_chance_task.first().to_dict()
    lines = [
        "  of                  worst   best guesser  additive R2, error   coupled R2, error"
        "   ceiling R2, error  seed noise"
    ]
    tables = [load_ladder(questions=which) for which in ("standard", "apart")]
    text = load_ladder(measure="loss")
    assert text.loss is not None
    rows = [(task, table, table.select_task(task).mean_nll())
            for table in tables for task in sorted(set(table.task))]  # fmt: skip
    rows = [("mean of the three", tables[0], tables[0].mean_nll()), *rows,
            ("loss of text", text, text.loss)]  # fmt: skip
    for name, table, values in rows:
        means = seed_means(table, values)
        cells = []
        for law in ("additive", "coupled", "ceiling"):
            found = t2.fit(means, law=law).criteria
            cells.append(f"{found['R2']:12.4f} {found['mean relative error']:6.1%}")
        lines.append(
            f"  {name:18s} {values.max():6.2f} {values.min():6.2f} {guess.get(name, np.nan):7.2f}"
            f"{''.join(cells)} {seed_noise(table, values):11.1%}"
        )
    return lines


def seed_noise(runs: t2.Observations, values: np.ndarray) -> float:
    """Relative standard deviation between seeds of one size at one training budget."""
    level = np.round(np.log2(runs.train_flops)).astype(int)
    logs = pd.Series(np.log(values)).groupby([runs.params, level])
    inside = logs.transform(lambda x: x - x.mean())
    free = int((logs.size() - 1).sum())
    return float(np.sqrt((inside**2).sum() / free))


def told(fit: t2.FitResult, runs: t2.Observations) -> np.ndarray:
    """The law at every checkpoint and every k, [rows, k]."""
    return np.asarray(
        fit.predict(params=runs.params[:, None], tokens=runs.tokens[:, None], samples=KS)
    )


def seen(law: str, runs: t2.Observations) -> np.ndarray:
    """What that law predicts, as measured."""
    return runs.pass_at_k(KS) if law == "beta_monotone" else runs.neg_log_pass(KS)


def laws(runs: t2.Observations) -> list[str]:
    """How each law fits, and how far it is off on overtrained checkpoints that it has not seen."""
    few = runs.select(runs.tokens_per_param <= FEW)
    many = runs.select(runs.tokens_per_param > MANY)
    lines = [
        f"  mean relative error of mean -log pass@k, of law beta_monotone of mean pass@k, over "
        f"k = 1 to {KS[-1]:,}",
        f"  law               fitted to all: R2  error   fitted to D/N <= {FEW} ({few.n_rows} "
        f"checkpoints): error   beyond {MANY} ({many.n_rows}): error   bias",
    ]
    for name in LAWS:
        fit = t2.fit(runs, law=name, samples=KS)
        inside = np.abs(told(fit, runs) / seen(name, runs) - 1).mean()
        short = t2.fit(few, law=name, samples=KS)
        near = np.abs(told(short, few) / seen(name, few) - 1).mean()
        off = told(short, many) / seen(name, many) - 1
        lines.append(
            f"  {name:17s} {fit.criteria['R2']:17.3f} {inside:6.1%} {near:45.1%}"
            f"{np.abs(off).mean():28.1%} {off.mean():+6.1%}"
            f"{'' if fit.success and short.success else '  not certified'}"
        )
    lines.append("  T2's RQ2: 2.8% (Approach 1), 8.4% (Approach 2)")
    return lines


def drawn(runs: t2.Observations) -> dict[str, t2.Ensemble]:
    """Bootstraps of the laws whose frontiers are compared."""
    fits = {name: t2.fit(runs, law=name, samples=KS) for name in APPROACHES}
    return {name: t2.bootstrap(fit, n_draws=DRAWS, progress=False) for name, fit in fits.items()}


def frontiers(
    runs: t2.Observations, laws: dict[str, t2.Ensemble], inference: float
) -> tuple[list[str], dict[str, t2.Frontier]]:
    """Optima of both approaches along the training budgets."""
    budgets = np.array(budgets_of(runs))
    lines = [f"inference budget {inference:.3g} FLOPs a token; D/N of the optimum, 90% interval"]
    fronts = {}
    for name, draws in laws.items():
        budget = t2.Budget(train_flops=budgets, inference_flops=inference)
        fronts[name] = found = t2.frontier(draws, budget, progress=False)
        low, high = found.band("tokens_per_param")
        best, other = found.optimum, found.optimum.chinchilla
        cells = [
            f"{best.tokens_per_param[i]:.0f} [{low[i]:.0f}, {high[i]:.0f}] with k = "
            f"{best.samples[i]:.0f} (once {other.tokens_per_param[i]:.0f})"
            for i in range(len(budgets))
        ]
        slopes = [np.polyfit(np.log(budgets), np.log(x), 1)[0] for x in (best.params, other.params)]
        lines += [f"  {name}: N* as training FLOPs to the {slopes[0]:.2f}, once {slopes[1]:.2f}"]
        lines += [f"    {flops:9.3g}: {cell}" for flops, cell in zip(budgets, cells, strict=True)]
    return lines, fronts


def finetuned() -> list[str]:
    """Per variant and family: T2's choice against Chinchilla's at equal budgets."""
    lines = [
        "  mean over training budgets of the gain in pass@k of the best measured size with its "
        "samples over Chinchilla's with its own,",
        "  of all questions and of each family with sizes chosen on it; [90% interval over seeds "
        "and questions of the mean over budgets]; at how many budgets the best is smaller",
        "  FLOPs a token variant  of            higher by",
    ]
    base = load_ladder()
    for inference in inference_budgets(base):
        for variant in dict.fromkeys(load_runs().variant):
            runs = load_ladder(variant=variant)
            for name in ("all", *sorted(set(runs.task))):
                own = runs if name == "all" else runs.select_task(name)
                found = of_levels(own, inference)
                gain = np.mean([one.passed for one in found])
                ends = interval(np.mean([one.passed_drawn for one in found], axis=0))
                smaller = sum(one.repeated < one.single for one in found)
                larger = sum(one.repeated > one.single for one in found)
                lines.append(
                    f"  {inference:13.3g} {variant:7s}  {name:10s} {gain:+8.3f} "
                    f"{_ends(ends)}  smaller {smaller}, larger {larger} of {len(found)}"
                )
    for variant in [one for one in dict.fromkeys(load_runs().variant) if one != "base"]:
        ratio = load_ladder(variant=variant).mean_nll() / base.mean_nll()
        lines.append(
            f"  mean NLL of {variant} over base: median {np.median(ratio):.3f}, "
            f"from {ratio.min():.3f} to {ratio.max():.3f}"
        )
    return lines


def draw_levels(runs: t2.Observations) -> None:
    """Loss against size at each training budget, at one sample and at what a size affords."""
    budgets = [None, *inference_budgets(runs)]
    figure, axes = plt.subplots(1, len(budgets), figsize=(13, 4.2), constrained_layout=True)
    levels = budgets_of(runs)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(levels)))
    for ax, inference in zip(axes, budgets, strict=True):
        for flops, colour in zip(levels, colours, strict=True):
            near = np.abs(np.log(runs.train_flops / flops)) < np.log(1.2)
            sizes_there = np.unique(runs.params[near])
            means, least, most = [], [], []
            for size in sizes_there:
                own = runs.select(np.flatnonzero(near & (runs.params == size)))
                samples = 1 if inference is None else int(inference // (2 * size))
                values = own.neg_log_pass([samples])[:, 0]
                means.append(values.mean())
                least.append(values.min())
                most.append(values.max())
            best = int(np.argmin(means))
            ax.fill_between(sizes_there, least, most, color=colour, alpha=0.2, lw=0)
            ax.plot(sizes_there, means, color=colour, marker=".", label=f"{flops:.2g}")
            ax.plot(sizes_there[best], means[best], "o", mfc="none", ms=10, color=colour)
        title = "one sample" if inference is None else f"{inference:.3g} FLOPs a token"
        ax.set(xscale="log", xlabel="N, parameters", title=title)
    axes[0].set_ylabel("mean of -log pass@k, nats")
    axes[-1].legend(title="training FLOPs", fontsize=7, title_fontsize=8)
    figure.savefig(RESULTS / "levels.png", dpi=110)


def draw_frontiers(runs: t2.Observations, found: dict[float, dict]) -> None:
    """Tokens per parameter of the optimum along training budgets, measured and by law."""
    figure, axes = plt.subplots(1, len(found), figsize=(11, 4.8), sharey=True,
                                constrained_layout=True)  # fmt: skip
    for ax, (inference, fronts) in zip(axes, found.items(), strict=True):
        for (name, front), colour in zip(fronts.items(), ("C0", "C2", "C4"), strict=True):
            low, high = front.band("tokens_per_param")
            ax.fill_between(front.train_flops, low, high, color=colour, alpha=0.25, lw=0)
            ax.plot(front.train_flops, front.optimum.tokens_per_param, color=colour, label=name)
            once = front.optimum.chinchilla.tokens_per_param
            ax.plot(front.train_flops, once, color=colour, ls="--", lw=1)
        for one in of_levels(runs, inference):
            ratio = one.tokens / one.sizes
            for choice, edge, marker in zip(
                (one.single, one.repeated), one.edges, "sD", strict=True
            ):
                ax.plot(one.train_flops, ratio[choice], marker, color="black", ms=6,
                        mfc="none" if edge or marker == "s" else "black")  # fmt: skip
        ax.axhline(20, color="grey", lw=1, ls=":")
        ax.set(xscale="log", yscale="log", xlabel="training FLOPs",
               title=f"{inference:.3g} FLOPs a token")  # fmt: skip
    axes[0].plot([], [], "D", color="black", label="best measured size with its samples")
    axes[0].plot([], [], "s", color="black", mfc="none", label="best measured size at one sample")
    axes[0].plot([], [], color="grey", ls="--", lw=1, label="the law's optimum at one sample")
    axes[0].set_ylabel("D/N of the optimum, tokens per parameter")
    told = axes[0].get_legend_handles_labels()
    figure.legend(*told, loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(RESULTS / "frontiers.png", dpi=110)


def main() -> None:
    """Measure, and write the card."""
    runs = load_ladder()
    lines = ["The built-in ladder. Everything below is measured.", "", *sizes(runs)]
    lines += ["", "== the best measured size, without a law ==", *optima(runs)]
    draw_levels(runs)
    for folder in sys.argv[1:]:
        lines += ["", "== beside the first ladder =="]
        lines += beside_first(runs, pathlib.Path(folder), inference_budgets(runs))
    lines += ["", "== families and laws of N and D, over seed means ==", *families()]
    lines += ["", "== laws of N, D and k ==", *laws(runs), "", "== the frontier by law =="]
    found, draws = {}, drawn(runs)
    for inference in inference_budgets(runs):
        more, found[inference] = frontiers(runs, draws, inference)
        lines += more
    draw_frontiers(runs, found)
    lines += ["", "== finetuned ==", *finetuned()]
    (RESULTS / "card.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
