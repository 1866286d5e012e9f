"""One fit of the additive law to 240 points, under the Huber objective of Chinchilla."""

import numpy as np

import t2jax as t2
from benchmarks import chinchilla_peer, peers, record

GRID = 4500
SAMPLE = 45
PACKAGE_SAMPLE = 125


def test_point_fit(points, case, clock):
    runs = points.runs
    row = case(benchmark="point fit", name=points.name, target="at most 0.2 CPU-s")
    timing, fit = clock(lambda: t2.fit(runs, law="additive", objective="huber"))
    row.met = timing.cpu <= 0.2
    assert fit.success, fit.message
    starts = len(fit.starts)
    row.add(f"t2jax.fit, {starts} starts", timing, [s["end"] for s in fit.starts])

    size, data, log_loss = np.log(runs.params), np.log(runs.tokens), np.log(runs.loss)
    centred = (size - size.mean(), data - data.mean(), log_loss)

    grid = np.random.default_rng(7).permutation(peers.hoffmann_grid())
    timing, (_, values) = record.measure(
        lambda: peers.lbfgsb(
            grid[:SAMPLE], peers.huber_value, (size, data, log_loss), gradient=False
        )
    )
    row.add(
        "SciPy L-BFGS-B as it comes, 4,500-start grid", timing, values, scale=GRID / SAMPLE,
        note=f"gradients by differences, default tolerances; {SAMPLE} random starts of the grid, "
        f"times {GRID / SAMPLE:.0f}",
    )  # fmt: skip

    timing, (_, values) = record.measure(
        lambda: peers.lbfgsb(
            grid[:SAMPLE],
            peers.huber_and_gradient,
            (size, data, log_loss),
            gradient=True,
            options=peers.TIGHT,
        )
    )
    row.add(
        "SciPy L-BFGS-B at its best, 4,500-start grid", timing, values, scale=GRID / SAMPLE,
        note=f"exact gradients, tight tolerances; {SAMPLE} starts, times {GRID / SAMPLE:.0f}",
    )  # fmt: skip

    begin = peers.random_starts(*centred[:2], runs.loss, starts)
    timing, values = record.measure(lambda: peers.least_squares_huber(begin, *centred), rounds=3)
    row.add(
        f"SciPy least_squares, Huber loss, {starts} starts", timing, values,
        note="exact Jacobian, centred coordinates, random starts",
    )  # fmt: skip

    timing, values = record.measure(
        lambda: peers.levenberg_marquardt(begin, *centred), rounds=5, compiles=True
    )
    row.add(
        f"Optimistix Levenberg-Marquardt, {starts} starts", timing, values,
        note="signed root of twice the Huber loss, centred coordinates, the same random starts",
    )  # fmt: skip

    scale = chinchilla_peer.STARTS / PACKAGE_SAMPLE
    for loss_name, factor, words in (
        ("asymmetric_mae", 1.0, "its default loss, which is another objective"),
        ("log_huber", 1.0, "its log_huber, delta 1e-3: a mean, so BFGS stops early"),
        ("log_huber", 1e6, "its log_huber, delta 1e-3, times 1e6 by us, so that BFGS goes on"),
    ):
        timing, theta = chinchilla_peer.fit(
            runs.params, runs.tokens, runs.loss, starts=PACKAGE_SAMPLE, loss_name=loss_name,
            factor=factor,
        )  # fmt: skip
        name = loss_name if factor == 1 else f"{loss_name} scaled"
        row.add(
            f"chinchilla 0.2.0, {name}", timing,
            peers.huber_value(theta, size, data, log_loss), scale=scale,
            note=f"{words}; {PACKAGE_SAMPLE} random starts of its README's 3,125, "
            f"times {scale:.0f}; all cores; objective is ours at its coefficients",
        )  # fmt: skip
