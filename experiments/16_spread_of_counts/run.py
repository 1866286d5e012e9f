"""Which spread of questions do 64 answers a question show: Beta or log-normal? See README.md.

python experiments/16_spread_of_counts/run.py ../shared/data

Writes `results/table.txt`.
"""

import pathlib
import sys

import numpy as np
from scipy import optimize
from scipy.special import betaln

HERE = pathlib.Path(__file__).resolve().parent
TABLES = ("ladder_1 macro", "openbookqa", "arc_challenge", "commonsense_qa")
ANSWERS = 64
CHECKPOINTS = 24
SAMPLES = np.array([1.0, 16, 64, 256, 1024, 4096, 16384])
LOG_NLL = np.linspace(np.log(1e-9), np.log(300.0), 1500)  # where log-normal densities are summed
NORMAL = np.linspace(-8.0, 8.0, 4001)


def log_normal(solved: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of log NLL, binomial counts integrated over it: the most likely ones."""
    nll = np.exp(LOG_NLL)
    counts = solved[:, None] * -nll + (ANSWERS - solved[:, None]) * np.log(-np.expm1(-nll))

    def cost(at: np.ndarray) -> float:
        prior = -0.5 * ((LOG_NLL - at[0]) / np.exp(at[1])) ** 2 - at[1]
        return -float(weight @ np.logaddexp.reduce(counts + prior, axis=1))

    mean, log_deviation = searched(cost, (0.5, 0.0))
    return mean, np.exp(log_deviation)


def beta(solved: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """The most likely a and b."""

    def cost(at: np.ndarray) -> float:
        a, b = np.exp(at)
        return -float(weight @ (betaln(a + solved, b + ANSWERS - solved) - betaln(a, b)))

    a, b = np.exp(searched(cost, (-1.0, 0.0)))
    return a, b


def searched(cost, start: tuple[float, float]) -> np.ndarray:
    """The least cost of two numbers."""
    options = {"xatol": 1e-3, "fatol": 1e-4}
    return optimize.minimize(cost, start, method="Nelder-Mead", options=options).x


def pass_at_k(nll: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean pass@k of weighed questions at each k."""
    missed = np.log(-np.expm1(-nll))
    return np.array([weight @ -np.expm1(k * missed) for k in SAMPLES])


def judged(nll: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors: of pass@k under each spread [checkpoints, k], and log mean NLL of the log-normal."""
    rng = np.random.default_rng(0)
    share = np.exp(-0.5 * NORMAL**2)
    share /= share.sum()
    by_normal, by_beta, of_mean = [], [], []
    for at in np.linspace(0, len(nll) - 1, CHECKPOINTS).astype(int):
        own = np.asarray(nll[at], float)
        solved, weight = np.unique(rng.binomial(ANSWERS, np.exp(-own)), return_counts=True)
        if solved.max() == 0:
            continue
        mean, deviation = log_normal(solved, weight)
        drawn = np.exp(mean + deviation * NORMAL)
        a, b = beta(solved, weight)
        truth = pass_at_k(own, np.full(len(own), 1 / len(own)))
        by_normal.append(pass_at_k(drawn, share) - truth)
        by_beta.append(-np.expm1(betaln(a, b + SAMPLES) - betaln(a, b)) - truth)
        of_mean.append(np.log(drawn @ share / own.mean()))
    return np.array(by_normal), np.array(by_beta), np.array(of_mean)


def main(folder: pathlib.Path) -> None:
    """Judge every table."""
    sys.path.insert(0, str(HERE.parent / "13_hold_outs"))
    from tables import tables

    found = tables(folder)
    head = "".join(f"{f'k = {k:.0f}':>16}" for k in SAMPLES)
    lines = [
        f"{ANSWERS} answers a question, drawn from measured likelihoods (simulation)",
        "mean absolute error of pass@k, points, and (bias)",
        "",
        f"{'':16}{'spread':12}{head}",
    ]
    for name in TABLES:
        by_normal, by_beta, of_mean = judged(found[name].nll)
        for title, errors in (("Beta", by_beta), ("log-normal", by_normal)):
            cells = zip(100 * np.abs(errors).mean(0), 100 * errors.mean(0), strict=True)
            shown = "".join(f"{f'{x:.2f} ({y:+.2f})':>16}" for x, y in cells)
            lines.append(f"{name:16}{title:12}{shown}")
        lines.append(f"{'':16}mean NLL of the log-normal: {np.mean(np.exp(of_mean)):.2f} times "
                     "the measured one")  # fmt: skip
    (HERE / "results/table.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
