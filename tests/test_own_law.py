"""A law of one's own is one file: written to a temporary module, it goes through the whole house.

`own_law` is the hook: whoever adds a result that a law must reach takes that fixture, and touches
nothing else of the law.
"""

import importlib.util
import sys

import numpy as np
import pytest

import t2jax as t2
from t2jax import laws
from t2jax.observations import Observations

SOURCE = '''
"""A loss law with a bend: data beyond a size are worth less."""

import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws import (
    A_CARD, E_CARD, Coefficient, Law, Role, exponent_card, final_law, log_normal, power,
)


@final_law
class Bent(Law):
    """`L(N, D) = E + A N^-alpha + c log(1 + T/D)`, T in 1e9 tokens."""

    name = "bent"
    own_cards = (
        E_CARD,
        A_CARD,
        Coefficient(
            name="c", symbol="c", meaning="height of the data term", role=Role.AMPLITUDE,
            lower=0.0, prior=log_normal(0.5, 1.0),
        ),
        exponent_card("alpha", "a", "exponent of parameters"),
        Coefficient(
            name="T", symbol="T", meaning="1e9 tokens of one age", role=Role.ONSET, lower=0.0,
            grid=(0.3, 3.0, 30.0),
        ),
    )
    linear = ("E", "A", "c")

    E: ArrayLike
    A: ArrayLike
    c: ArrayLike
    alpha: ArrayLike
    T: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """The formula of the class."""
        return self.E + power(self.A, self.alpha, params) + self.c * self._data(tokens)

    def _data(self, tokens):
        return jnp.log1p(1e9 * self.T / tokens)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E, A and c."""
        one = jnp.ones_like(value)
        columns = [one, power(1.0, self.alpha, params), self._data(tokens)]
        return jnp.stack(columns, axis=-1), value, one
'''
TRUE = {"E": 1.4, "A": 0.8 * 1e8**0.4, "c": 0.3, "alpha": 0.4, "T": 3.0}
BUDGET = t2.Budget(train_flops=1e20)


@pytest.fixture(scope="module")
def own_law(tmp_path_factory):
    """The class of a law that stands in one file of a user's, imported as such."""
    path = tmp_path_factory.mktemp("mine") / "bent_law.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("bent_law", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bent_law"] = module
    spec.loader.exec_module(module)
    yield module.Bent
    del sys.modules["bent_law"]


@pytest.fixture(scope="module")
def table(own_law) -> Observations:
    rng = np.random.default_rng(0)
    params = np.tile(np.geomspace(1e7, 3e9, 7), 8)
    tokens = np.repeat(np.geomspace(3e8, 3e11, 8), 7)
    loss = laws.predict(own_law(**TRUE), params, tokens) * np.exp(rng.normal(0, 0.003, 56))
    run = np.arange(56).astype(str)
    return Observations(kind="loss", run=run, params=params, tokens=tokens, loss=loss)


@pytest.fixture(scope="module")
def fitted(own_law, table):
    return t2.fit(table, own_law)


@pytest.fixture(scope="module")
def draws(fitted):
    return t2.bootstrap(fitted, n_draws=30, seed=0, discrepancy=False, progress=False)


def test_a_fit_finds_it_by_class_and_by_name(own_law, table, fitted):
    assert fitted.success
    assert isinstance(fitted.law, own_law)
    assert fitted.law.T == pytest.approx(TRUE["T"], rel=0.3)
    assert t2.fit(table, "bent").law == fitted.law
    assert fitted.law.having(laws.Role.EXPONENT) == {"alpha": fitted.law.alpha}


def test_json_brings_it_back(fitted, draws, tmp_path):
    fitted.save(tmp_path / "fit.json")
    assert t2.FitResult.load(tmp_path / "fit.json").law == fitted.law
    draws.save(tmp_path / "draws.npz")
    assert type(t2.Ensemble.load(tmp_path / "draws.npz").point) is type(fitted.law)


def test_bootstrap_and_optimum_take_it(fitted, draws):
    assert draws.diagnostics["converged"] == 1.0
    best = t2.optimum(draws, BUDGET)
    assert best.draws is not None
    assert np.isfinite(np.asarray(best.draws.params)).all()
    # The certificate is that of any law: nothing near costs less under the same budget.
    n, d = float(best.params), float(best.tokens)
    near = [laws.predict(fitted.law, n * x, d / x) for x in (0.9, 1.0, 1.1)]
    assert near[1] == min(near)
    assert (
        t2.sensitivity(fitted, BUDGET).table["T"]["params"] < 0
    )  # more to gain from data: smaller models


@pytest.mark.slow
def test_its_prior_is_its_own_and_not_that_of_a_name(own_law, fitted):
    # `product` has a coefficient c too, with another prior; T has none here, and that is said.
    draws = t2.posterior(fitted, n_draws=400, warmup=300, chains=2, progress=False)
    assert isinstance(draws.law, own_law)
    assert any("misfit of the law is no part" in note for note in draws.diagnostics["notes"])
    notes = [note for note in draws.diagnostics["notes"] if "no prior of its own" in note]
    assert [note.split()[0] for note in notes] == ["T"]
    low, high = np.quantile(draws.law.coefficients()["T"], [0.005, 0.995])
    assert low < TRUE["T"] < high


def test_it_serves_as_the_loss_inside_a_law_of_samples(own_law):
    law = laws.template("softplus(bent)").replace(**TRUE, s=0.7)
    assert isinstance(law.base, own_law)
    assert laws.from_dict(law.to_dict()) == law
    best = t2.optimum(law, t2.Budget(train_flops=1e20, inference_flops=1e10))
    assert float(best.samples) > 1
    assert float(best.kkt_residual) < 1e-6
