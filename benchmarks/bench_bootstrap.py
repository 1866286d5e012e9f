"""A thousand refits under resampled weights, against SciPy refits started at the point fit."""

import numpy as np

import t2jax as t2
from benchmarks import peers, record, tables

DRAWS = 1000
SAMPLE = 20
SEED = 0


def test_bootstrap(points, case, clock):
    run_bootstrap(points, case, clock, unit="row")


def test_cluster_bootstrap(case, clock):
    run_bootstrap(tables.clustered_points(), case, clock, unit="run")


def run_bootstrap(points, case, clock, *, unit: str):
    runs = points.runs
    row = case(
        benchmark="1,000 bootstrap refits", name=f"{points.name}, by {unit}", independent=True,
        target="at most 3 s",
    )  # fmt: skip
    fit = t2.fit(runs, law="additive", objective="huber")
    timing, ensemble = clock(
        lambda: t2.bootstrap(fit, n_draws=DRAWS, unit=unit, seed=SEED, progress=False), rounds=3
    )
    row.met = max(timing.wall, timing.cpu) <= 3.0
    assert ensemble.diagnostics["converged"] == 1.0, ensemble.diagnostics

    # The same weights again; were they others, our draws would not be minima under them.
    clusters = runs.cluster(unit)
    count = clusters.max() + 1
    rng = np.random.default_rng(SEED)
    weight = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS)[:, clusters]
    weight = weight[:SAMPLE].astype(float)

    size, data, log_loss = np.log(runs.params), np.log(runs.tokens), np.log(runs.loss)
    draws = ensemble.law.coefficients()
    logs = [np.log(np.maximum(draws[name], 1e-300)) for name in ("A", "B", "E")]
    ours = np.stack([*logs, draws["alpha"], draws["beta"]], axis=1)[:SAMPLE]
    row.add(
        f"t2jax.bootstrap, {DRAWS} draws", timing,
        [peers.huber_value(u, size, data, log_loss, w) for u, w in zip(ours, weight, strict=True)],
    )  # fmt: skip

    at = fit.law.coefficients()
    start = np.array([*(np.log(at[name]) for name in ("A", "B", "E")), at["alpha"], at["beta"]])
    plain = (size, data, log_loss)
    # Best effort: centred coordinates make the problem a thousand times better conditioned.
    moved = (size - size.mean(), data - data.mean(), log_loss)
    shift = np.array([at["alpha"] * size.mean(), at["beta"] * data.mean(), 0, 0, 0])
    scale = DRAWS / SAMPLE
    for engine, begin, args, function, gradient, options in (
        ("SciPy L-BFGS-B as it comes, warm start", start, plain, peers.huber_value, False, None),
        ("SciPy L-BFGS-B at its best, warm start", start - shift, moved,
         peers.huber_and_gradient, True, peers.TIGHT),
    ):  # fmt: skip

        def refit(begin=begin, args=args, function=function, gradient=gradient, options=options):
            found = [
                peers.lbfgsb([begin], function, (*args, w), gradient=gradient, options=options)
                for w in weight
            ]
            return np.concatenate([values for _, values in found])

        timing, values = record.measure(refit)
        how = "exact gradients, centred, tight" if gradient else "gradients by differences"
        row.add(engine, timing, values, scale=scale,
                note=f"{how}; {SAMPLE} of the same draws, times {scale:.0f}")  # fmt: skip
    row.notes.append(f"objectives are means over the first {SAMPLE} draws, the same weights")
