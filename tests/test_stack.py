"""Several forms at once: a weighted mean whose draws are each one of them."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from law_cases import draws_of, points, value, written
from test_page_solver import ask, form_of

import t2jax as t2
from t2jax import laws
from t2jax.laws import Stacked
from t2jax.uncertainty import Ensemble
from t2jax.uncertainty.of_forms import of_forms

FORMS = ("additive", "coupled", "farseer")
WEIGHTS = (0.5, 0.3, 0.2)


@dataclasses.dataclass(frozen=True)
class Fit:
    """What draws over forms read of a fit."""

    law: Any


def stacked(forms=FORMS, weights=WEIGHTS, seed=0) -> Stacked:
    members = tuple(written(form, draws_of(form, 1, seed=seed)[0]) for form in forms)
    return Stacked(members=members, weights=weights)


def test_its_value_is_the_weighted_mean_and_its_base_that_of_the_losses_inside():
    law, at = stacked(), points()
    each = [value(member, at) for member in law.members]
    assert value(law, at) == pytest.approx(np.average(each, axis=0, weights=WEIGHTS), rel=1e-12)
    assert law.base is law
    assert (law.kind, law.uses_samples) == ("loss", False)
    sampled = stacked(("softplus", "softplus(coupled)", "product"))
    assert (sampled.uses_samples, sampled.names()[1]) == (True, "softplus(coupled)")
    inside = [value(member.base, at) for member in sampled.members]
    assert value(sampled.base, at) == pytest.approx(np.average(inside, axis=0, weights=WEIGHTS))


def test_it_is_read_back_changed_and_batched_like_any_law():
    law, at = stacked(), points()
    assert laws.from_dict(json.loads(json.dumps(law.to_dict()))) == law
    names = [card.name for card in law.cards()]
    assert len(set(names)) == len(jax.tree.leaves(law))
    other = law.replace(**{"coupled.kappa": 0.5, "weight.additive": 0.0})
    assert other.members[1].coefficients()["kappa"] == 0.5
    assert other.weights == (0.0, 0.3, 0.2)
    batch = jax.tree.map(lambda *x: np.array(x), law, other)
    with jax.enable_x64(True):
        both = np.asarray(jax.vmap(lambda one: one(**at))(batch))
    assert both == pytest.approx(np.stack([value(law, at), value(other, at)]), rel=1e-12)
    with pytest.raises(t2.InputError, match="made of fitted laws"):
        laws.template("stack")


def test_the_page_has_its_values():
    law, at = stacked(), points(20, seed=5, near=True)
    rows = np.stack(list(at.values()), axis=1).tolist()
    coefficients = {name: float(x) for name, x in law.coefficients().items()}
    question = {"form": form_of(law), "draws": [coefficients], "points": rows}
    (found,) = ask(("values", question), laws=[law])
    np.testing.assert_allclose(np.array(found)[0, :, 0], value(law, at), rtol=1e-9)


def test_a_draw_is_one_member_as_often_as_its_weight_says(tmp_path):
    law = stacked(weights=(0.5, 0.5, 0.0))

    def draw(member, count):
        spread = 1.0 + 0.01 * np.arange(count)
        drawn = jax.tree.map(lambda x: x * spread, member.law)
        notes = {"converged": 1.0, "at_bound": {"E": 0.5}, "notes": ["resampled"]}
        return Ensemble(law=drawn, point=member.law, kind="bootstrap", diagnostics=notes)

    made = of_forms(Fit(law), 20, 0, draw)  # pyright: ignore
    assert made.point == law
    drawn: Any = made.law
    assert np.sum(drawn.weights, axis=1).tolist() == [10.0, 10.0, 0.0]
    assert np.sum(drawn.weights, axis=0).tolist() == [1.0] * 20
    at = {"params": 1e8, "tokens": 1e10}
    whole = made.predict(**at)
    for i in (0, 1):
        picked = np.asarray(drawn.weights[i]) > 0
        own = draw(Fit(law.members[i]), 10).predict(**at)
        assert whole[picked] == pytest.approx(own, rel=1e-12)
    assert made.diagnostics["at_bound"] == {"additive.E": 0.25, "coupled.E": 0.25}
    made.save(tmp_path / "draws.npz")
    assert Ensemble.load(tmp_path / "draws.npz").predict(**at) == pytest.approx(whole)
    budget = t2.Budget(train_flops=1e19)
    best = t2.optimum(made, budget, progress=False).draws
    assert best is not None
    sizes = np.asarray(best.params)
    first = int(np.flatnonzero(np.asarray(drawn.weights[1]))[0])
    alone = jax.tree.map(lambda x: float(np.asarray(x)[first]), drawn.members[1])
    assert sizes[first] == pytest.approx(float(t2.optimum(alone, budget).params), rel=1e-4)


@pytest.mark.slow
def test_a_table_of_losses_is_planned_with_all_forms_that_it_does_not_refute(tmp_path):
    rng = np.random.default_rng(0)
    params = np.tile(np.geomspace(1e7, 3e9, 6), 8)
    tokens = params * np.repeat(np.geomspace(3, 300, 8), 6)
    bent = laws.Coupled(E=1.6, A=0.5 * 2e8**0.8, B=0.4 * 6e9**0.7, alpha=0.8, beta=0.7, kappa=0.4)
    loss = value(bent, {"params": params, "tokens": tokens}) * np.exp(rng.normal(0, 0.002, 48))
    runs = t2.Observations(
        kind="loss", run=np.arange(48).astype(str), params=params, tokens=tokens, loss=loss
    )
    plan = t2.plan(runs, t2.Budget(train_flops=1e19), law="stack", n_draws=40, progress=False)
    law: Any = plan.fit.law
    assert "coupled" in law.names()
    assert "additive" not in law.names()
    assert sum(law.weights) == pytest.approx(1.0)
    plan.save(tmp_path)
    again: Any = t2.load(tmp_path)
    assert again.fit.law == law
    with pytest.raises(t2.Refusal, match=r"t2jax\.bootstrap"):
        t2.posterior(plan.fit)


@pytest.mark.slow
def test_members_keep_their_names_and_their_own_laws_under_misfit(tmp_path):
    runs = t2.datasets.load_ladder(measure="loss")
    fits = {name: t2.fit(runs, name) for name in ("additive", "coupled")}
    law = Stacked(members=tuple(f.law for f in fits.values()), weights=(0.5, 0.5))
    draws = t2.bootstrap(dataclasses.replace(fits["additive"], law=law), n_draws=8, progress=False)
    known = draws.law.coefficients()
    assert set(known) == set(law.coefficients())
    assert np.all(known["weight.additive"] + known["weight.coupled"] == 1.0)
    draws.save(tmp_path / "draws.npz")
    again = t2.Ensemble.load(tmp_path / "draws.npz")
    at = {"params": 1e4, "tokens": 1e7}
    np.testing.assert_array_equal(again.predict(**at), draws.predict(**at))


@pytest.mark.slow
def test_a_stack_of_laws_of_samples_is_drawn_as_such():
    runs = t2.datasets.load_ladder()
    fits = [t2.fit(runs, name) for name in ("softplus", "softplus(coupled)")]
    law = Stacked(members=tuple(fit.law for fit in fits), weights=(0.5, 0.5))
    assert law.names() == ["softplus(additive)", "softplus(coupled)"]
    draws = t2.bootstrap(dataclasses.replace(fits[0], law=law), n_draws=6, progress=False)
    assert draws.law.uses_samples
    one, many = (draws.predict(params=1e4, tokens=1e7, samples=k) for k in (1.0, 64.0))
    assert np.all(many < one)


@pytest.mark.slow
def test_a_linked_stack_is_not_searched_for_as_one():
    runs = t2.datasets.load_ladder()
    fit = t2.fit(runs)
    other = t2.fit(runs, "linked(additive)")
    assert isinstance(fit.law, laws.Linked)
    losses = Stacked(members=(fit.law.base, other.law.base), weights=(0.5, 0.5))
    with pytest.raises(t2.Refusal, match="coupled, additive"):
        t2.posterior(dataclasses.replace(fit, law=fit.law.on(losses)), progress=False)
