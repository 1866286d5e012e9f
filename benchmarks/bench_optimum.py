"""The optimum over draws and budgets at once: separate budgets, and one for a whole life."""

import numpy as np

import t2jax as t2
from benchmarks import peers, record, tables

INFERENCE = 2e10
LIFETIME = {"questions": 1e6, "tokens_per_sample": 100.0}
CAPS = {"max_params": 3e8, "max_tokens": 2e11}


def test_loss_optimum(case, clock):
    run_optimum(
        case, clock, tables.loss_draws(1000), np.geomspace(1e17, 1e21, 1000), peers.loss_on_path,
        sample=300, scan=0, seconds=1.0, name="t2_loss, closed form",
    )  # fmt: skip


def test_lifetime_optimum(case, clock):
    flops = np.geomspace(1e18, 1e22, 100)
    served = 2 * LIFETIME["questions"] * LIFETIME["tokens_per_sample"]
    run_optimum(
        case, clock, tables.loss_draws(1000), flops,
        lambda c, total, _: peers.lifetime_on_path(c, total, served, CAPS), sample=30, scan=0,
        seconds=1.0, name="t2_loss, lifetime budget with caps",
        budget=t2.Budget(total_flops=flops, **LIFETIME, **CAPS),
    )  # fmt: skip


def test_accuracy_optimum(case, clock):
    run_optimum(
        case, clock, tables.accuracy_draws(100), np.geomspace(1e17, 1e21, 100),
        peers.failure_on_path, sample=200, scan=512, seconds=2.0,
        name="t2_accuracy, scan of 512 sizes and polish",
    )  # fmt: skip


def run_optimum(
    case, clock, draws, budgets, cost_on_path, *, sample, scan, seconds, name, budget=None
):
    shape = (draws.n_draws, len(budgets))
    row = case(
        benchmark="optimum", name=f"{name}, {shape[0]} draws x {shape[1]} budgets",
        independent=True, target=f"at most {seconds:g} s on two cores",
    )  # fmt: skip
    if budget is None:
        budget = t2.Budget(train_flops=budgets, inference_flops=INFERENCE)
    timing, best = clock(
        lambda: t2.optimum(draws, budget, chinchilla=False, progress=False), rounds=3
    )
    row.met = timing.wall <= seconds
    found = np.log(np.asarray(best.draws.params))
    assert found.shape == shape

    rng = np.random.default_rng(8)
    chosen = np.unravel_index(rng.choice(found.size, sample, replace=False), shape)
    coefficients = draws.law.coefficients()
    costs = []
    for draw, place in zip(*chosen, strict=True):
        c = {key: float(column[draw]) for key, column in coefficients.items()}
        costs.append(cost_on_path(c, budgets[place], INFERENCE))
    ours = found[chosen]
    # Both are judged by the peer's own formula.
    row.add("t2jax.optimum", timing,
            [cost(n) for (cost, _), n in zip(costs, ours, strict=True)])  # fmt: skip

    timing, answers = record.measure(lambda: [peers.bounded(*pair, scan=scan) for pair in costs])
    theirs, values = np.asarray(answers).T
    scale = found.size / sample
    row.add(
        "SciPy minimize_scalar, one at a time", timing, values, scale=scale,
        note=f"{sample} random pairs of {found.size:,}, times {scale:.0f}"
        + (f"; after the same grid of {scan}" if scan else ""),
    )  # fmt: skip
    gap = float(np.abs(ours - theirs).max())
    row.notes.append(f"largest difference in log N over the sample: {gap:.1e}")
    row.notes.append(f"largest KKT residual over all: {float(np.max(best.draws.kkt_residual)):.1e}")
    # The peer's bracket is good to the root of rounding, and no further.
    assert gap < 1e-3
