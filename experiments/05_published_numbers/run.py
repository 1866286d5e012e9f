"""Do fit, bootstrap and posterior give the numbers published of one table? See README.md.

    python run.py FOLDER        # with chinchilla_epoch/ in it

Writes `results/table.txt`. Public API only.
"""

import pathlib
import sys
import time

import numpy as np
import pandas as pd

import t2jax as t2

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ("A", "B", "E", "alpha", "beta")
# Epoch's notebook (arXiv:2404.10102): estimates, and standard errors of 4000 bootstrap fits.
PUBLISHED = dict(zip(NAMES, (482.00572, 2085.4342, 1.81686, 0.34781, 0.36585), strict=True))
PUBLISHED_SE = dict(zip(NAMES, (124.52, 1293.28, 0.02566, 0.0154, 0.0206), strict=True))
# An independent program of the same bootstrap, each fit started at the minimum of the whole table.
WARM_SE = dict(zip(NAMES, (118.0, 1480.0, 0.0246, 0.0146, 0.0194), strict=True))
DRAWS = 4000


def read(folder: pathlib.Path) -> t2.Observations:
    """The 240 points that Epoch fits."""
    points = pd.read_csv(folder / "chinchilla_epoch" / "points.csv")
    points = points[points.epoch_fit_subset == 1]
    return t2.Observations(
        kind="loss",
        run=np.arange(len(points)).astype(str),
        params=points.n_params.to_numpy(),
        tokens=points.d_tokens.to_numpy(),
        loss=points.loss.to_numpy(),
        source="Hoffmann et al. 2022, Figure 4",
    )


def main(words: list[str]) -> int:
    """Fit, resample, sample, write the table."""
    if len(words) != 1 or not (pathlib.Path(words[0]) / "chinchilla_epoch/points.csv").is_file():
        print("usage: run.py FOLDER, which holds chinchilla_epoch/points.csv")
        return 2
    runs = read(pathlib.Path(words[0]))
    fit = t2.fit(runs, law="additive", objective="huber", delta=1e-3)
    draws = t2.bootstrap(fit, n_draws=DRAWS, unit="row", progress=False)
    robust = t2.fit(runs, law="additive")
    start = time.process_time()
    posterior = t2.posterior(robust, progress=False)
    seconds = time.process_time() - start
    columns = draws.law.coefficients(), posterior.law.coefficients()
    value = f"{fit.objective_value:.11g} (printed 0.0010182740346)"
    lines = [f"{runs.n_rows} points; sum of Huber losses {value}", ""]
    head = ("", "published", "se", "ours", "se", "/published", "/warm", "posterior", "sd")
    lines.append("".join(f"{word:>12s}" for word in head))
    for name in NAMES:
        spread = float(np.std(columns[0][name]))
        cells = [PUBLISHED[name], PUBLISHED_SE[name], fit.law.coefficients()[name], spread]
        cells += [spread / PUBLISHED_SE[name], spread / WARM_SE[name]]
        cells += [np.mean(columns[1][name]), np.std(columns[1][name])]
        lines.append(f"{name:>12s}" + "".join(f"{x:12.4g}" for x in cells))
    lines += ["", *draws.diagnostics["notes"], *posterior.diagnostics["notes"]]
    lines += [f"posterior in {seconds:.1f} CPU seconds, with whatever compilation was not cached"]
    for what, other in (("published", PUBLISHED_SE), ("the warm-started program", WARM_SE)):
        off = [n for n in NAMES if abs(np.std(columns[0][n]) / other[n] - 1) > 0.15]
        verdict = f"DOES NOT HOLD for {', '.join(off)}" if off else "holds"
        lines.append(f"bootstrap standard errors within 15% of {what}: {verdict}")
    text = "\n".join(lines) + "\n"
    (HERE / "results/table.txt").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
