"""Laws and budgets far outside what anybody has measured: finite, monotone, honest, or refused."""

from typing import Any

import numpy as np
import pytest
from law_cases import value

import t2jax as t2
from t2jax import laws
from t2jax.errors import Status, T2Error
from t2jax.laws import Law

LAWS = ("additive", "tied", "coupled", "data_constrained", "ceiling", "t2_loss", "t2_loss_paper",
        "softplus", "product", "beta_monotone", "t2_accuracy")  # fmt: skip
EXPONENTS = ("alpha", "beta", "gamma")
OTHERS = {
    "kappa": (0.2, 2.0), "L0": (1.0, 50.0), "R_D": (1.0, 50.0), "R_N": (1.0, 50.0),
    "G": (1e-3, 10.0), "S": (1e-3, 1.0), "s": (0.05, 20.0), "c": (1e-3, 10.0), "th0": (0.1, 10.0),
    "th1": (0.1, 5.0), "th2": (0.01, 1.0), "th3": (-3.0, 5.0), "th4": (-2.0, 0.0),
    "a0": (-3.0, 3.0), "a1": (0.0, 2.0), "b0": (-3.0, 3.0), "b1": (0.0, 2.0),
}  # fmt: skip
BUDGETS = 6


def extreme(form: str, rng: np.random.Generator) -> Law:
    """A law of exponents .02 to 1.5 and amplitudes over twelve decades."""
    drawn: dict[str, float] = {}
    for card in laws.template(form).cards():
        name = card.name
        if name in EXPONENTS:
            drawn[name] = 10 ** rng.uniform(np.log10(0.02), np.log10(1.5))
        elif name in ("A", "B"):
            drawn[name] = 10 ** rng.uniform(-3, 9)
        elif name in ("E", "E1"):
            drawn[name] = rng.choice([0.0, 10 ** rng.uniform(-12, 1)])
        else:
            drawn[name] = rng.uniform(*OTHERS[name])
    return laws.template(form).replace(**drawn)


def worse(law: Law, value: np.ndarray) -> np.ndarray:
    """A value of the law such that more of it is worse."""
    return value if law.kind == "loss" else -value


def check_optima(law: Law, train: np.ndarray, serve: np.ndarray) -> str:
    """Optima of rising budgets: finite, ever better, and no better plan beside one that is sure."""
    words: dict[str, Any] = {"train_flops": train}
    if law.uses_samples:
        words["inference_flops"] = serve
    try:
        best = t2.optimum(law, t2.Budget(**words), progress=False)
    except T2Error:
        return "refused"
    params, tokens, samples, found = (
        np.asarray(getattr(best, name)) for name in ("params", "tokens", "samples", "value")
    )
    assert np.isfinite([params, tokens, samples, found]).all(), law
    room = 1e-9 * np.maximum(np.abs(found), 1e-300)
    assert (np.diff(worse(law, found)) <= room[1:]).all(), (law, found)
    assert (6 * params * tokens <= train * (1 + 1e-6)).all(), law
    sure = (np.asarray(best.code, int) & int(Status.NOT_CONVERGED)) == 0
    for factor in (1e-3, 0.5, 0.9, 1.1, 2.0, 1e3):
        size = params * factor
        most = serve / (2 * size) if law.uses_samples else np.ones(BUDGETS)
        given = {"params": size, "tokens": train / 6 / size, "samples": np.maximum(most, 1.0)}
        allowed = sure & (most >= 1) & (size >= 1) & (given["tokens"] >= 1)
        gain = worse(law, found) - worse(law, value(law, given))
        assert not (allowed & (gain > room)).any(), (law, factor, found)
    return "sure" if sure.all() else "doubtful"


def campaign(form: str, cases: int, seed: int) -> dict[str, int]:
    """That many laws of a form under budgets of 1e6 to 1e32 FLOPs; how many ended how."""
    rng = np.random.default_rng(seed)
    seen = {"sure": 0, "doubtful": 0, "refused": 0}
    for _ in range(cases):
        law = extreme(form, rng)
        train, serve = np.sort(10 ** rng.uniform([[6], [3]], 32, (2, BUDGETS)))
        seen[check_optima(law, train, serve)] += 1
    return seen


@pytest.mark.parametrize("form", ["additive", "t2_loss", "softplus", "t2_accuracy"])
def test_optima_of_extreme_laws_are_the_best_plans(form):
    seen = campaign(form, 6, seed=0)
    assert seen["sure"] > seen["doubtful"] + seen["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("form", LAWS)
def test_optima_of_very_many_extreme_laws_are_the_best_plans(form):
    seen = campaign(form, 200, seed=1)
    assert seen["sure"] > 0.9 * sum(seen.values())


@pytest.mark.parametrize("form", LAWS)
def test_samples_up_to_a_trillion_never_hurt(form):
    rng = np.random.default_rng(2)
    samples = np.geomspace(1, 1e12, 25)
    for _ in range(40):
        law = extreme(form, rng)
        at = {"params": 10 ** rng.uniform(2, 13), "tokens": 10 ** rng.uniform(4, 16)}
        points = {name: np.full(25, x) for name, x in at.items()}
        found = worse(law, value(law, {**points, "samples": samples}))
        assert np.isfinite(found).all(), law
        assert (np.diff(found) <= 1e-12 * np.abs(found[1:])).all(), (law, found)


def test_pass_at_k_of_a_trillion_samples_is_a_chance():
    trials = 1e12
    k = np.array([1.0, 1e6, 1e12])
    for solved in (0.0, 1.0, 1e6, 1e12 - 1, 1e12):
        found = t2.pass_at_k(solved, trials, k)
        assert ((found >= 0) & (found <= 1)).all()
        assert (np.diff(found) >= 0).all()
        assert found[0] == pytest.approx(solved / trials, rel=1e-9)
    assert t2.pass_at_k(1.0, trials, 1e6) == pytest.approx(1e-6, rel=1e-9)
