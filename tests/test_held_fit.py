"""A quantity held: the least squares do not depend on where the fit with it starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import t2jax as t2
from t2jax.laws import Additive, Softplus, T2Loss
from t2jax.validation.held_fit import Setup, _solved, settle
from t2jax.validation.quantities import aims_of, budget_plan, quantities_of

LOSS = Additive(E=1.7, A=0.6 * 2e8**0.34, B=0.5 * 6e9**0.3, alpha=0.34, beta=0.3)
LAWS = {
    "additive": LOSS,
    "softplus": Softplus(loss=LOSS, s=1.2),
    "t2_loss": T2Loss(E1=1.7, A=LOSS.A, B=LOSS.B, S=0.5, alpha=0.34, beta=0.3, gamma=0.25),
}
FAR = {"additive": 0.03, "softplus": 0.06, "t2_loss": 0.03}  # of the logs of coefficients
TABLES = 12


def table(law: t2.laws.Law, far: float, rng: np.random.Generator) -> t2.Observations:
    """A law near the given one, which fits far better than the given one does.

    So it is where the questions were drawn anew: all losses move together, along the law, and the
    rows are left with little noise.
    """
    near = law
    for name, value in law.coefficients().items():
        near = near.replace(**{name: float(value) * np.exp(far * rng.standard_normal())})
    samples = np.array([1.0, 8.0, 64.0, 512.0]) if law.uses_samples else np.ones(1)
    params = np.repeat(np.geomspace(1e7, 2e9, 4), 4)
    tokens = params * np.tile(np.geomspace(5, 500, 4), 4)
    n, d = (np.repeat(x, len(samples)) for x in (params, tokens))
    k = np.tile(samples, 16)
    value = np.asarray(t2.laws.predict(near, n, d, k)) * np.exp(0.002 * rng.standard_normal(len(n)))
    run = np.repeat(np.arange(16), len(samples)).astype(str)
    return t2.Observations(
        kind="loss", run=run, params=n, tokens=d, loss=value,
        samples=k if law.uses_samples else None,
    )  # fmt: skip


def held_fits(name: str):
    """Laws with N* and the loss of the truth's plan held, from the fit and from the truth."""
    law = LAWS[name]
    budget = t2.Budget(train_flops=3e20, inference_flops=1e11 if law.uses_samples else None)
    best, box, plan = budget_plan(law, budget)
    assert plan is not None
    asked = quantities_of(law, best)[-2:]
    rng = np.random.default_rng(0)
    for _ in range(TABLES):
        setup = Setup.of(law, table(law, FAR[name], rng), box=box, plan=plan, objective="huber",
                         samples=None, unit="run")  # fmt: skip
        base = HOLD(setup.problem, setup.start, setup.case, None)
        for i, quantity in enumerate(asked):
            aim = jax.tree.map(lambda x, i=i: x[i], aims_of(asked, law))
            pair = [
                HOLD(setup.problem, jnp.asarray(start), setup.case, aim)
                for start in (base.free, setup.start)
            ]
            found = jax.tree.map(float, setup.problem.law(pair[0].free, setup.case.data))
            noise = float(base.square) / base.residual.size
            yield quantity, budget, plan, found, noise, pair


HOLD = jax.jit(settle, static_argnums=0)


@pytest.mark.parametrize("name", LAWS)
def test_the_fit_with_a_quantity_held_does_not_depend_on_where_it_starts(name):
    with jax.enable_x64(True):
        fits = list(held_fits(name))
    assert len(fits) == 2 * TABLES
    for quantity, budget, plan, law, noise, pair in fits:
        for found in pair:
            assert bool(found.done)
            assert float(found.missed) < 1e-6
        squares = [float(found.square) for found in pair]
        assert squares[0] == pytest.approx(squares[1], abs=0.01 * noise)
        if quantity.name == "params":
            best = t2.optimum(law, budget, chinchilla=False).params
            assert float(best) == pytest.approx(quantity.estimate, rel=1e-4)
        else:
            there = t2.laws.predict(law, *np.exp(plan))
            assert float(there) == pytest.approx(quantity.estimate, rel=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 12])
def test_small_systems_are_solved_as_numpy_solves_them(size):
    rng = np.random.default_rng(size)
    matrix = rng.normal(size=(size, size)) + (size == 1)
    if size > 1:  # as where an equation is held: no pivot on the diagonal
        matrix[0, 0] = matrix[-1, -1] = 0.0
    right = rng.normal(size=size)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(_solved)(jnp.asarray(matrix), jnp.asarray(right)))
        lost = np.asarray(_solved(jnp.zeros((size, size)), jnp.asarray(right)))
    assert found == pytest.approx(np.linalg.solve(matrix, right), rel=1e-8)
    assert not np.isfinite(lost).any()
