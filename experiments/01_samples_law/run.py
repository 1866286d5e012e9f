"""Which law of repeated sampling predicts runs it has not seen? See README.md.

Writes `results/table.txt`. Public API only.
"""

import pathlib

import numpy as np

import t2jax as t2
from t2jax.laws import predict

HERE = pathlib.Path(__file__).resolve().parent
GEMSTONES = HERE.parents[2] / "shared/data/gemstones/per_question_nll_openbookqa.csv"
LAWS = ("linked", "linked(additive)", "softplus", "softplus(coupled)", "product", "t2_loss")
SAMPLES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
FEW = SAMPLES[:3]


def tables() -> dict[str, t2.Observations]:
    """The built-in ladder, and a public table where it stands beside the project."""
    found = {"built-in ladder": t2.datasets.load_ladder()}
    if GEMSTONES.is_file():
        columns = "run=model,params=n_params,tokens=d_tokens"
        found["Gemstones OpenBookQA"] = t2.read(GEMSTONES, columns=columns)
    return found


def error(law: t2.laws.Law, runs: t2.Observations, samples: tuple[float, ...]) -> float:
    """Mean relative error of the mean of -log pass@k."""
    measured = runs.neg_log_pass(samples)
    columns = [predict(law, runs.params, runs.tokens, k) for k in samples]
    return float(np.mean(np.abs(np.stack(columns, axis=1) / measured - 1)))


def main() -> None:
    """Fit, predict, write the table."""
    lines = ["mean relative error of the mean of -log pass@k", ""]
    for name, runs in tables().items():
        flops = runs.train_flops
        most = flops >= np.quantile(flops, 0.75)
        lines += [f"{name}: {runs.n_rows} checkpoints, {runs.n_questions} questions"]
        lines += [f"  {'law':20s} in sample  top quarter of FLOPs held out  k > 16 held out"]
        for form in LAWS:
            whole = t2.fit(runs, law=form, samples=SAMPLES).law
            smaller = t2.fit(runs.select(~most), law=form, samples=SAMPLES).law
            fewer = t2.fit(runs, law=form, samples=FEW).law
            cells = (
                error(whole, runs, SAMPLES),
                error(smaller, runs.select(most), SAMPLES),
                error(fewer, runs, SAMPLES[3:]),
            )
            lines.append(f"  {form:20s} {cells[0]:9.3f}  {cells[1]:29.3f}  {cells[2]:15.3f}")
        lines.append("")
    (HERE / "results/table.txt").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
