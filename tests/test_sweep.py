"""Sweeps: cut into chunks or spread over devices, they give the same bits."""

# Draws are there because the test asked for them.
# pyright: reportOptionalMemberAccess=false

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from t2jax import Budget, Cost, Ensemble, frontier
from t2jax.laws import T2Loss

CHECK = T2Loss.from_paper(E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3)


def test_chunks_change_nothing():
    rng = np.random.default_rng(0)
    many = jax.tree.map(lambda x: float(x) * np.exp(0.02 * rng.standard_normal(40)), CHECK)
    draws = Ensemble(law=many, point=CHECK, kind="simulation")
    sweep = Budget(dollars=np.geomspace(1e5, 1e7, 300), questions=1e9, tokens_per_sample=1e3,
                   cost=Cost.on("h100", dollars_per_hour=2.0, realistic=False))  # fmt: skip
    whole, cut = (frontier(draws, sweep, memory=m) for m in (2.0**30, 1.0))
    for name in ("params", "tokens", "samples", "value", "total_price", "spent"):
        np.testing.assert_array_equal(
            getattr(whole.optimum.draws, name), getattr(cut.optimum.draws, name)
        )
    assert whole.axis == "dollars"
    assert whole.records()[0]["dollars"] == pytest.approx(1e5)
    assert whole.records()[0]["spent"] == pytest.approx(1e5)


SWEEP = """
import hashlib, jax, numpy as np, t2jax as t2
law = t2.laws.T2Loss.from_paper(E=.5, A=482., B=2085., G=5., alpha=.3478, beta=.3658, gamma=.3)
rng = np.random.default_rng(0)
many = jax.tree.map(lambda x: float(x) * np.exp(.02 * rng.standard_normal(50)), law)
draws = t2.Ensemble(law=many, point=law, kind="simulation")
flops = np.geomspace(1e18, 1e25, 999)
both = (
    t2.Budget(train_flops=flops, inference_flops=2e12),
    t2.Budget(total_flops=flops, questions=1e3, tokens_per_sample=10., max_tokens=1e12),
)
for budget in both:
    best = t2.frontier(draws, budget, progress=False).optimum
    leaves = [np.asarray(x) for x in jax.tree.leaves((best.draws, best.params, best.value))]
    print(hashlib.sha256(b"".join(x.tobytes() for x in leaves)).hexdigest())
loss = t2.laws.Additive(E=1.69, A=406., B=411., alpha=.336, beta=.283)
scanned = t2.laws.BetaMonotone(loss=loss, a0=1., a1=.8, b0=-1., b1=1.)
best = t2.optimum(scanned, t2.Budget(train_flops=flops[:300], inference_flops=2e11), progress=False)
print(hashlib.sha256(np.asarray(best.params).tobytes()).hexdigest())
print(len(jax.devices()))
"""


@pytest.mark.slow
def test_eight_devices_give_the_bits_of_one():
    told = {}
    for devices in (1, 8):
        flags = f"--xla_force_host_platform_device_count={devices}"
        environment = {**os.environ, "XLA_FLAGS": flags}
        done = subprocess.run([sys.executable, "-c", SWEEP], env=environment, check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        told[devices] = done.stdout.split()
    assert [told[n][-1] for n in (1, 8)] == ["1", "8"]
    assert told[1][:-1] == told[8][:-1]
