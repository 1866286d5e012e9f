"""What was compiled once serves every table, seed, budget and level of the same shape."""

import jax
import numpy as np
import pytest

import t2jax as t2

COMPILED = []


def listen(event: str, duration_secs: float, **_about: str | int) -> None:
    """Note every compilation."""
    del duration_secs
    if "backend_compile" in event:
        COMPILED.append(event)


jax.monitoring.register_event_duration_secs_listener(listen)


def table(seed: int) -> t2.Observations:
    """Sixteen runs of another noise for every seed."""
    params = np.repeat(np.geomspace(1e7, 1e9, 4), 4)
    tokens = params * np.tile(np.geomspace(5, 500, 4), 4)
    noise = np.random.default_rng(seed).normal(0, 0.005, 16)
    loss = (1.7 + 400 * params**-0.34 + 400 * tokens**-0.28) * np.exp(noise)
    names = np.arange(16).astype(str)
    return t2.Observations(kind="loss", run=names, params=params, tokens=tokens, loss=loss)


def budget(seed: int) -> t2.Budget:
    return t2.Budget(train_flops=1e20 * (1 + seed))


def drawn(seed: int) -> t2.uncertainty.Ensemble:
    return t2.bootstrap(t2.fit(table(seed)), n_draws=50, seed=seed, progress=False)


CALLS = {
    "fit": lambda i: t2.fit(table(i)),
    "bootstrap": drawn,
    "optimum": lambda i: t2.optimum(drawn(i), budget(i), progress=False),
    "profile": lambda i: t2.profile(t2.fit(table(i)), budget=budget(i), level=0.9 + 0.01 * i),
    "laplace": lambda i: t2.profile(t2.fit(table(i)), method="laplace", level=0.9 + 0.01 * i),
    "calibrate": lambda i: t2.calibrate(
        t2.fit(table(i)), tables=4, seed=i, methods=["laplace"], progress=False
    ),
    "regret": lambda i: t2.regret(drawn(i), budget(i)),
    "design": lambda i: t2.design(drawn(i), budget(i), purchases=1, simulate=False),
}


def test_a_compilation_is_heard():
    before = len(COMPILED)
    jax.jit(lambda x: x + 1)(np.ones(3))
    assert len(COMPILED) > before


@pytest.mark.parametrize("call", CALLS)
def test_a_second_call_compiles_nothing(call):
    CALLS[call](0)
    before = len(COMPILED)
    CALLS[call](1)
    assert COMPILED[before:] == []
