"""Valleys of the cost: two of them, with a kink for a floor, and under a total budget."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false

import math

import jax.numpy as jnp
import numpy as np
import pytest
from law_cases import draws_of

import t2jax as t2
from t2jax import Budget, optimum
from t2jax.errors import Status
from t2jax.laws import Law, final_law, predict, template
from t2jax.laws.additive import A_CARD, B_CARD, E_CARD, exponent_card


@final_law
class Wavy(Law):
    """The additive law with a ripple in log N."""

    name = "wavy"
    own_cards = (E_CARD, A_CARD, B_CARD, exponent_card("alpha", "α", "of N"),
                 exponent_card("beta", "β", "of D"))  # fmt: skip
    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def formula(self, params, tokens, samples, unique_tokens):
        n, d = jnp.log(params), jnp.log(tokens)
        smooth = self.A * jnp.exp(-self.alpha * n) + self.B * jnp.exp(-self.beta * d)
        return self.E + smooth + 0.05 * jnp.cos(2.0 * n)


@final_law
class Kinked(Wavy):
    """The additive law with a kink where a table might end."""

    name = "kinked"

    def formula(self, params, tokens, samples, unique_tokens):
        smooth = self.A * params**-self.alpha + self.B * tokens**-self.beta
        return self.E + smooth + 0.05 * jnp.abs(jnp.log(params / 3e9))


def test_an_optimum_at_a_kink_is_one():
    law = Kinked(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    best = optimum(law, Budget(train_flops=1e22), chinchilla=False)
    assert float(best.params) == pytest.approx(3e9, rel=1e-9)
    assert not int(best.code) & int(Status.NOT_CONVERGED)
    assert float(best.kkt_residual) == 0.0


@pytest.mark.slow
def test_the_runner_up_is_the_second_valley():
    law = Wavy(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    best = optimum(law, Budget(train_flops=1e22), chinchilla=False)
    n = np.linspace(math.log(1e7), math.log(1e12), 400_001)
    cost = np.asarray(predict(law, np.exp(n), 1e22 / 6 / np.exp(n)))
    valleys = np.flatnonzero((cost[1:-1] < cost[:-2]) & (cost[1:-1] <= cost[2:])) + 1
    order = valleys[np.argsort(cost[valleys])]
    assert math.log(float(best.params)) == pytest.approx(n[order[0]], abs=2e-5)
    assert math.log(float(best.runner_up.params)) == pytest.approx(n[order[1]], abs=2e-5)
    assert "runner-up" in best.summary()


@pytest.mark.parametrize(
    "form",
    ["product", *(pytest.param(form, marks=pytest.mark.slow)
                  for form in ("product(tied)", "softplus(coupled)", "beta_monotone"))],
)  # fmt: skip
def test_every_draw_has_its_own_optimum_under_a_total_budget(form):
    """Shares lie on a grid of the scan that is rougher than the one of sizes."""
    drawn = draws_of(form, 64, seed=7)
    point = template(form).replace(**drawn[0])
    law = point.replace(**{name: np.array([d[name] for d in drawn]) for name in drawn[0]})
    rng = np.random.default_rng(3)
    low, high = [[20], [4], [1]], [[24], [9], [3]]
    total, questions, tokens = 10 ** rng.uniform(low, high, (3, 40))
    budget = Budget(total_flops=total, questions=questions, tokens_per_sample=tokens)
    draws = t2.Ensemble(law=law, point=point, kind="written")
    best = optimum(draws, budget, progress=False).draws
    flat = (law.kind == "accuracy") & (best.value > 1 - 1e-12)  # nothing is gained by any move
    stuck = (best.code & int(Status.NOT_CONVERGED)) > 0
    assert np.count_nonzero(stuck & ~flat) == 0
    assert np.mean(flat) < 0.2
