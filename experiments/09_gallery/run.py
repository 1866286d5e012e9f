"""Draws every figure of t2jax, light and dark, and writes `docs/gallery.md`. See README.md.

All from the measured built-in ladder, except one figure that says otherwise. Public API only.
"""

import pathlib
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import t2jax as t2
from t2jax.reporting import figures

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TRAIN, INFERENCE = 1e12, 1.8e6
KS = (1, 4, 16, 64, 256, 1024)
SMOOTH = np.geomspace(min(KS), max(KS), 60)  # k of the curves between them
VARIANTS = {"base": "base", "finetuned on documents": "ft", "finetuned on answers": "sft"}
# arXiv:2404.10102, the refit of Chinchilla's law: the ladder's models are too small to stand
# beside public ones.
PUBLISHED = t2.laws.Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)

Drawn = tuple[str, str, Callable[[], Figure]]


def frontier_of(draws: t2.Ensemble, hull) -> t2.Frontier:
    """Optima over the training budgets of the table."""
    flops = np.geomspace(*hull.train_flops, 25)
    return t2.frontier(draws, t2.Budget(train_flops=flops, inference_flops=INFERENCE))


def measured_curves(fit: t2.FitResult, draws: t2.Ensemble, count: int = 4):
    """pass@k of some checkpoints of rising training FLOPs, and what an accuracy law says."""
    runs = fit.observations
    assert runs is not None
    order = np.argsort(runs.train_flops, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, count).round().astype(int)]
    seen, told = {}, {}
    for i in chosen:
        n, d = float(runs.params[i]), float(runs.tokens[i])
        name = f"N = {n / 1e3:.3g}k, D = {d / 1e6:.2g}M"
        seen[name] = runs.select([i]).pass_at_k(KS)[0]
        drawn = np.stack([draws.predict(params=n, tokens=d, samples=k) for k in SMOOTH])
        low, high = np.quantile(drawn, [0.05, 0.95], axis=1)
        told[name] = (fit.predict(params=n, tokens=d, samples=SMOOTH), low, high)
    return seen, told


def held_out() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed, predicted, and whether held out: the dearest eighth of the ladder is not fitted."""
    runs = t2.datasets.load_ladder()
    dear = runs.train_flops >= np.quantile(runs.train_flops, 0.875)
    fit = t2.fit(runs.select(np.flatnonzero(~dear)), law="softplus", samples=KS)
    n, d = runs.params[:, None], runs.tokens[:, None]
    told = fit.predict(params=n, tokens=d, samples=np.asarray(KS, float))
    seen = runs.neg_log_pass(KS)
    return seen.ravel(), told.ravel(), np.repeat(dear, len(KS))


def tornado(draws: t2.Ensemble) -> tuple[list[str], np.ndarray, np.ndarray, float]:
    """N* with each input at its low and its high end, the others as planned."""
    names, low, high = ["training budget, x 1/2 and x 2", "inference budget, x 1/2 and x 2"], [], []

    def size(law, train=TRAIN, inference=INFERENCE) -> float:
        budget = t2.Budget(train_flops=train, inference_flops=inference)
        return float(t2.optimum(law, budget, chinchilla=False).params)

    base = size(draws.point)
    low += [size(draws.point, train=TRAIN / 2), size(draws.point, inference=INFERENCE / 2)]
    high += [size(draws.point, train=TRAIN * 2), size(draws.point, inference=INFERENCE * 2)]
    # The law moves as a whole: a coefficient alone is no input, because they trade off.
    sizes = np.asarray(t2.optimum(draws, t2.Budget(
        train_flops=TRAIN, inference_flops=INFERENCE), chinchilla=False).draws.params)  # fmt: skip
    ends = np.quantile(sizes, [0.05, 0.95])
    return (
        [*names, "the law, 5% and 95% of draws"],
        *(np.asarray([*column, end]) for column, end in zip((low, high), ends, strict=True)),
        base,
    )


def collect() -> list[Drawn]:
    """Every figure: its name, what it shows, and how it is drawn."""
    runs = t2.datasets.load_ladder()
    fit = t2.fit(runs, law="softplus", samples=KS)
    draws = t2.bootstrap(fit, n_draws=200, progress=False)
    budget = t2.Budget(train_flops=TRAIN, inference_flops=INFERENCE)
    best, front = t2.optimum(draws, budget), frontier_of(draws, fit.hull)
    others = {}
    for label, variant in VARIANTS.items():
        table = runs if variant == "base" else t2.datasets.load_ladder(variant=variant)
        other = t2.fit(table, law="softplus", samples=KS)
        drawn = draws if variant == "base" else t2.bootstrap(other, n_draws=200, progress=False)
        others[label] = front if variant == "base" else frontier_of(drawn, other.hull)
    spend = np.geomspace(3e21, 1e26, 41)
    published = t2.frontier(PUBLISHED, t2.Budget(train_flops=spend))
    seen, told, out = held_out()
    accuracy = t2.fit(runs, law="beta_monotone", samples=KS)
    spread = t2.bootstrap(accuracy, n_draws=100, progress=False)
    curves, laws = measured_curves(accuracy, spread)
    posterior = t2.posterior(fit, seed=0, target_accept=0.98, progress=False)
    decision = t2.regret(draws, budget)
    design = t2.design(draws, budget, purchases=4)
    inputs = tornado(draws)
    label = "mean of −log pass@k, nats"  # noqa: RUF001
    where = np.repeat(runs.params, len(KS))
    return [
        ("frontier", "Tokens per parameter, size and tokens of the optimum along training "
         "budgets, with its interval, Chinchilla's choice and 20 tokens per parameter; what lies "
         "outside the shaded box is extrapolation.",
         lambda: figures.frontier_figure(front, best, fit.hull)),
        ("public_models", "Public models beside the single-sample optimum of the *published* "
         "additive law of arXiv:2404.10102, not of the ladder, whose models are too small. N and "
         "D of each are in `t2jax.datasets.public_models`, with sources.",
         lambda: figures.frontier_figure(published, models=t2.datasets.public_models())),
        ("isoflop", "The law against size at fixed training budgets, and the measured checkpoints.",
         lambda: figures.isoflop_figure(fit, best, front)),
        ("held_out", "Predicted against observed; the eighth of the checkpoints with the most "
         "training FLOPs was not fitted.",
         lambda: figures.alone(lambda ax: figures.predicted_panel(seen, told, ax=ax, held_out=out,
                                                           label=label))),
        ("fit", "Predicted against observed, and the relative error along training FLOPs. A "
         "pattern means that the law is wrong there.", lambda: figures.fit_figure(fit)),
        ("residuals", "The same errors along N.",
         lambda: figures.alone(lambda ax: figures.residual_panel(where, fit.observed, fit.predicted,
                                                          ax=ax, label="N, parameters"))),
        ("pass_at_k", "Measured pass@k of four checkpoints as points; law `beta_monotone` with "
         "its 90% interval.",
         lambda: figures.alone(lambda ax: figures.pass_at_k_panel(
             KS, curves, ax=ax, laws=laws, at=SMOOTH))),
        ("variants", "Optimal tokens per parameter of the base checkpoints and of the same "
         "checkpoints finetuned on whole documents and on answers.",
         lambda: figures.variants_figure(others)),
        ("regret", "What each size loses against the best, on average over the draws.",
         lambda: figures.regret_figure(decision)),
        ("pairs", "Draws of the posterior in pairs: lines round 50% and 90% of them, and the fit. "
         "Here the fit lies at their edge or beyond: law `softplus` misses the most trained "
         "checkpoints (see Fit), and the likelihood, in which the checkpoints of a run share a "
         "deviation, weighs them otherwise than the fit does.",
         lambda: figures.pairs_figure(posterior)),
        ("traces", "The chains behind them, with R-hat.",
         lambda: figures.trace_figure(posterior)),
        ("design", "By how much each run would lower the expected regret, and which to buy first "
         "for their FLOPs.",
         lambda: figures.design_figure(design, runs.params, runs.tokens)),
        ("tornado", "What N* becomes when one input moves and the others stay. Under this law "
         "the best size does not depend on the inference budget, only the number of samples does.",
         lambda: figures.alone(
             lambda ax: figures.tornado_panel(*inputs, ax=ax, label="N*, parameters"), (7.0, 3.0))),
        ("grid", "The checkpoints of the built-in ladder.",
         lambda: figures.alone(lambda ax: figures.grid_panel(runs.params, runs.tokens, ax=ax))),
    ]  # fmt: skip


def page(drawn: list[Drawn]) -> str:
    """The gallery in Markdown; GitHub shows the look that suits the reader's."""
    lines = [
        "# Gallery", "",
        "Every figure of `t2jax.reporting.figures`, drawn from the built-in ladder by "
        "[experiments/09_gallery](../experiments/09_gallery/README.md). Panels take `ax=` and give "
        'it back; `with figures.theme("dark"):` draws for a dark page. Each stands here on its '
        "own paper: light, then dark.",
    ]  # fmt: skip
    for name, told, _ in drawn:
        title = name.replace("_", " ").capitalize()
        lines += ["", f"## {title}", "", told, ""]
        for look in figures.THEMES:
            path = f"../experiments/09_gallery/figures/{name}-{look}.png"
            lines.append(f"![{title}, {look}]({path})")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draw and write."""
    drawn = collect()
    (HERE / "figures").mkdir(exist_ok=True)
    for name, _, draw in drawn:
        for look in figures.THEMES:
            with figures.theme(look):
                path = HERE / f"figures/{name}-{look}.png"
                figures.save(draw(), path)
                # 128 colours tell these figures from the full ones to no eye, at a third the size.
                Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)
    (ROOT / "docs/gallery.md").write_text(page(drawn), encoding="utf-8")
    total = sum(file.stat().st_size for file in (HERE / "figures").iterdir())
    print(f"{len(drawn)} figures in two looks, {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
