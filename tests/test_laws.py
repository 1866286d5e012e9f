"""One conformance suite for every law of the registry, nested forms and a user's own law.

A new law needs a line in `law_cases.CASES`: its formula once more, in plain NumPy or mpmath, and
ranges for its coefficients. The rest follows.
"""

import dataclasses
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from law_cases import (
    CASES,
    Ageing,
    additive,
    at,
    coefficients,
    data_constrained,
    draws_of,
    points,
    value,
    written,
)

from t2jax import laws
from t2jax.errors import InputError
from t2jax.laws import Additive, Centre

every_law = pytest.mark.parametrize("form", CASES)
WORD = {"params": 1e7, "tokens": 1e9, "samples": 1.0}


# Facts that hold for every law -----------------------------------------------------------------


def test_the_suite_covers_the_registry():
    # Linked laws hold a spread that is measured, and have a file of their own.
    searched = {name for name, law in laws.REGISTRY.items() if not issubclass(law, laws.Link)}
    assert {form.partition("(")[0] for form in CASES} == {*searched, Ageing.name}


@every_law
@settings(max_examples=8)
@given(data=st.data())
def test_value_is_the_formula(form, data):
    values, seed = data.draw(coefficients(form)), data.draw(st.integers(0, 99))
    law = written(form, values)
    point = points(seed=seed, near=law.kind == "accuracy")
    exact = CASES[form](values, point["params"], point["tokens"], point["samples"])
    # T2Loss crosses zero at large k, where only an absolute error makes sense.
    assert value(law, point) == pytest.approx(exact, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("form", [form for form in CASES if laws.template(form).linear])
def test_slope_of_a_linear_start_is_how_its_target_moves_with_the_value(form):
    law = written(form, draws_of(form, 1)[0])
    point = points(6, near=True)
    with jax.enable_x64(True):
        values, at = jnp.asarray(value(law, point)), {n: jnp.asarray(x) for n, x in point.items()}

        def target(one):
            return law.start_problem(value=one, **at)[1]

        slope = law.start_problem(value=values, **at)[2]
        moved = jax.jvp(target, (values,), (jnp.ones_like(values),))[1]
    np.testing.assert_allclose(np.abs(slope), np.abs(moved), rtol=1e-9)


@every_law
def test_gradient_is_the_limit_of_differences(form):
    template = laws.template(form)
    point = points(6, near=True)

    def curve(u, start):
        """The law along relative changes of its coefficients and of N, D and k."""
        scale = jnp.maximum(jnp.abs(start), 0.1)
        law = jax.tree.unflatten(jax.tree.structure(template), list(start + u[:-3] * scale))
        moved = [x * jnp.exp(v) for x, v in zip(point.values(), u[-3:], strict=True)]
        return law(**dict(zip(point, moved, strict=True)))

    slopes = jax.jit(jax.jacrev(curve))
    curves = jax.jit(jax.vmap(curve, (0, None)))
    with jax.enable_x64(True):
        for values in draws_of(form, 2):
            start = np.array(list(values.values()))
            size = len(start) + 3
            step = 2e-4
            away = [curves(h * step * np.eye(size), start) for h in (1, -1, 2, -2)]
            expected = (8 * (away[0] - away[1]) - (away[2] - away[3])) / (12 * step)
            ours = np.asarray(slopes(np.zeros(size), start))
            assert ours.T == pytest.approx(np.asarray(expected), rel=1e-5, abs=1e-8)


@every_law
@settings(max_examples=8)
@given(data=st.data())
def test_more_of_anything_never_hurts(form, data):
    law = written(form, data.draw(coefficients(form)))
    point = points(seed=data.draw(st.integers(0, 99)))
    more = data.draw(st.floats(1.0, 1e3))
    sign = 1 if law.kind == "accuracy" else -1
    before = value(law, point)
    for axis in point:
        after = value(law, {**point, axis: point[axis] * more})
        assert (sign * (after - before) >= -1e-12 * np.abs(before)).all()


@every_law
@settings(max_examples=5)
@given(data=st.data())
def test_coefficients_survive_the_free_coordinates(form, data):
    values = data.draw(coefficients(form))
    law = written(form, values)
    about = [data.draw(st.floats(-3, 40)) for _ in range(4)]
    with jax.enable_x64(True):
        centre = Centre(**dict(zip(("params", "tokens", "samples", "loss"), about, strict=True)))
        back = law.from_free(law.to_free(centre), centre).coefficients()
        assert {n: float(x) for n, x in back.items()} == pytest.approx(values, rel=1e-11)
        own = law.to_free(centre, own=True)
        other = law.replace(**{card.name: 0.5 for card in law.own_cards})
        kept = other.from_free(own, centre, own=True)
        assert len(own) == len(law.own_cards)
        assert {n: float(x) for n, x in kept.coefficients().items()} == pytest.approx(
            values, rel=1e-11
        )


@every_law
@settings(max_examples=10)
@given(data=st.data())
def test_json_brings_the_same_law_back(form, data):
    law = written(form, data.draw(coefficients(form)))
    assert laws.from_dict(json.loads(json.dumps(law.to_dict()))) == law


@every_law
def test_a_batch_of_laws_is_a_loop_and_compiled_is_eager(form):
    drawn = [written(form, values) for values in draws_of(form, 3, seed=1)]
    point = {name: jnp.asarray(x) for name, x in WORD.items()}
    with jax.enable_x64(True):
        batch = jax.tree.map(lambda *x: np.array(x), *drawn)
        together = jax.vmap(lambda law: law(**point))(batch)
        alone = [float(law(**point)) for law in drawn]
        compiled = [float(at(law, point)) for law in drawn]
    assert np.asarray(together) == pytest.approx(alone, rel=1e-12)
    assert compiled == pytest.approx(alone, rel=1e-12)


@every_law
def test_single_precision_is_finite_and_near(form):
    with jax.enable_x64(False):
        everywhere = {name: np.float32(x) for name, x in points(60).items()}
        slope = jax.jit(jax.grad(lambda law, point: jnp.sum(law(**point)), (0, 1)))
        for values in draws_of(form, 2, seed=2):
            law = written(form, values)
            single = np.asarray(at(law, everywhere))
            assert single.dtype == np.float32
            assert value(law, everywhere) == pytest.approx(single, rel=1e-3, abs=2e-5)
            for leaf in jax.tree.leaves(slope(law, everywhere)):
                assert np.isfinite(leaf).all()


@every_law
def test_new_coefficients_do_not_compile_again(form):
    traces = []

    @jax.jit
    def counted(law, size):
        traces.append(1)
        return law(params=size, tokens=1e9, samples=4.0)

    for size, values in enumerate(draws_of(form, 3, seed=3)):
        counted(written(form, values), 1e6 + size)
    assert len(traces) == 1


@every_law
def test_two_laws_never_pass_for_one(form):
    # Compiled programs are kept by structure; laws with as many coefficients must differ in it.
    own = jax.tree.structure(laws.template(form))
    same = [other for other in CASES if jax.tree.structure(laws.template(other)) == own]
    assert same == [form]


@every_law
def test_a_coefficient_out_of_bounds_is_refused_in_a_line(form):
    law = written(form, draws_of(form, 1)[0])
    bounded = [card for card in law.own_cards if math.isfinite(card.lower)]
    for card in bounded:
        outside = [card.lower - 1, *([card.upper + 1] if math.isfinite(card.upper) else [])]
        for wrong in outside:
            with pytest.raises(InputError, match=rf"^{law.name}: {card.name} = .*; ") as caught:
                dataclasses.replace(law, **{card.name: wrong})  # pyright: ignore
            assert "\n" not in str(caught.value)


# Limits and special cases ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["additive", "tied", "coupled", "data_constrained", "ageing"])
@settings(max_examples=10)
@given(data=st.data())
def test_an_infinite_run_leaves_the_irreducible_loss(form, data):
    law = written(form, data.draw(coefficients(form)))
    limit = value(law, {"params": 1e300, "tokens": 1e300})
    assert limit == pytest.approx(law.coefficients()["E"], rel=1e-6)


def base_and_points(data, *, near=False):
    base = written("additive", data.draw(coefficients("additive")))
    point = points(seed=data.draw(st.integers(0, 99)), near=near)
    return base, point, value(base, point)


@given(st.data())
def test_coupled_tied_and_data_constrained_contain_the_additive_law(data):
    c = data.draw(coefficients("additive", alpha=0.3, beta=0.3))
    point = points(seed=1)
    one = value(Additive(**c), point)
    assert value(laws.Coupled(**c, kappa=1.0), point) == pytest.approx(one, rel=1e-12)
    same = {name: c[name] for name in ("E", "A", "B", "alpha")}
    assert value(laws.Tied(**same), point) == pytest.approx(one, rel=1e-12)
    decays = laws.DataConstrained(**c, R_D=15.0, R_N=5.0)
    balance = (c["A"] / c["B"]) ** (1 / c["alpha"])  # where both terms have the same slope
    matched = {"params": point["tokens"] * balance / 2, "tokens": point["tokens"]}
    assert value(decays, matched) == pytest.approx(value(Additive(**c), matched), rel=1e-12)


@given(st.data())
def test_repeated_tokens_are_worth_no_more_than_new_ones(data):
    law = written("data_constrained", data.draw(coefficients("data_constrained")))
    point = points(seed=data.draw(st.integers(0, 99)))
    share = data.draw(st.floats(1e-3, 1.0))
    new, repeated = (
        value(law, {**point, "unique_tokens": point["tokens"] * x}) for x in (1, share)
    )
    c = law.coefficients()
    exact = data_constrained(c, point["params"], point["tokens"], U=point["tokens"] * share)
    assert repeated == pytest.approx(exact, rel=1e-10)
    assert (repeated >= new * (1 - 1e-12)).all()
    assert new == pytest.approx(value(law, point), rel=1e-12)


def test_data_constrained_gives_the_published_losses(golden):
    table = golden("muennighoff")
    c = table["coefficients"].value
    logs = {name: math.exp(c[f"log {name}"]) for name in ("A", "B", "E")}
    law = laws.DataConstrained(
        **logs, alpha=c["alpha"], beta=c["alpha"], R_D=c["R_D"], R_N=c["R_N"]
    )
    for name in ("6.34e9 on 242e9", "8.67e9 on 178e9"):
        params, tokens = map(float, name.split(" on "))
        loss = value(law, {"params": params, "tokens": tokens, "unique_tokens": 25e9})
        assert loss == table[name].approx


@given(st.data(), st.floats(0.05, 4.0))
def test_softplus_at_one_sample_is_the_loss_up_to_its_bend(data, s):
    base, point, loss = base_and_points(data)
    above = value(laws.Softplus(loss=base, s=s), {**point, "samples": 1.0}) - loss
    assert (above >= -1e-12 * loss).all()
    assert (above <= s * np.exp(-loss / s) + 1e-12 * loss).all()


@given(st.data(), st.floats(0.05, 4.0))
def test_softplus_takes_log_k_off_and_then_turns_into_a_power_of_k(data, s):
    base, point, loss = base_and_points(data, near=True)
    law = laws.Softplus(loss=base, s=s)
    small = np.exp(np.maximum(loss - 20 * s, 0))  # k far below 1/p
    off = value(law, {**point, "samples": small}) - (loss - np.log(small))
    assert (np.abs(off) <= s * np.exp(-(loss - np.log(small)) / s) + 1e-12 * loss).all()
    large = np.exp(loss + 25 * s)
    ratio = value(law, {**point, "samples": large}) / value(law, {**point, "samples": 2 * large})
    assert ratio == pytest.approx(np.full_like(ratio, 2 ** (1 / s)), rel=1e-9)


@given(st.data(), st.floats(0.05, 4.0))
def test_softplus_is_convex_in_the_logs(data, s):
    law = laws.Softplus(loss=written("additive", data.draw(coefficients("additive"))), s=s)
    seed = data.draw(st.integers(0, 99))
    one, two = points(seed=seed), points(seed=seed + 100)
    middle = {name: np.sqrt(one[name] * two[name]) for name in one}
    chord = (value(law, one) + value(law, two)) / 2
    assert (value(law, middle) <= chord * (1 + 1e-12)).all()


@given(st.data(), st.floats(0.01, 3.0), st.floats(0.02, 1.0))
def test_product_at_one_sample_is_the_loss_itself(data, c, gamma):
    base, point, loss = base_and_points(data)
    law = laws.Product(loss=base, c=c, gamma=gamma)
    assert value(law, {**point, "samples": 1.0}) == pytest.approx(loss, rel=1e-15)


@given(st.data(), st.floats(-0.5, 3), st.floats(-0.8, 0.8).filter(lambda g: abs(g) > 1e-3))
def test_box_cox_form_is_the_published_formula(data, G, gamma):
    c = data.draw(coefficients("additive"))
    point = points(seed=3)
    G = math.copysign(abs(G) + 0.1, gamma)  # the slope S = G gamma is never negative
    law = laws.T2Loss.from_paper(**{**c, "E": c["E"] + 3}, G=G, gamma=gamma)
    exact = additive(c, point["params"], point["tokens"]) + 3 + G * point["samples"] ** -gamma
    assert value(law, point) == pytest.approx(exact, rel=1e-10, abs=1e-10)
    assert (law.E, law.G) == pytest.approx((c["E"] + 3, G), rel=1e-9)


@jax.jit
def around_zero(gamma):
    """T2Loss at k = e^14 over E1, and its two derivatives by gamma."""
    law = laws.T2Loss(E1=5.0, A=0.0, B=0.0, S=0.3, alpha=0.3, beta=0.3, gamma=0.0)

    def at_gamma(g):
        return law.replace(gamma=g)(params=1e8, tokens=1e10, samples=jnp.exp(14.0)) - 5.0

    return [f(gamma) for f in (at_gamma, jax.grad(at_gamma), jax.hessian(at_gamma))]


@pytest.mark.parametrize("gamma", [-1e-3, -1e-9, 0.0, 1e-300, 1e-12, 6.9e-5, 7.3e-5, 1e-3, 0.1])
def test_box_cox_form_passes_smoothly_through_gamma_zero(gamma):
    x = 14.0  # log k; the series takes over at |gamma| x = 1e-3
    with jax.enable_x64(True):
        found = around_zero(gamma)
    with mpmath.workdps(25):
        exact: Any = [  # integral of -x t^n e^(-gamma x t) over t in [0, 1] gives every derivative
            mpmath.quad(lambda t, n=n: -x * (-x * t) ** n * mpmath.exp(-gamma * x * t), [0, 1])
            for n in range(3)
        ]
        exact = [float(mpmath.re(0.3 * y)) for y in exact]
    assert [float(y) for y in found] == pytest.approx(exact, rel=1e-6)
    assert float(found[0]) == pytest.approx(exact[0], rel=1e-12)


@given(st.data())
def test_one_sample_succeeds_with_the_mean_of_the_spread(data):
    base, point, loss = base_and_points(data, near=True)
    point = {**point, "samples": 1.0}
    c = data.draw(coefficients("t2_accuracy"))
    own = {name: c[name] for name in ("th0", "th1", "th2", "th3", "th4")}
    mean = c["th2"] / (1 + np.exp(c["th1"] * (loss - c["th0"])))
    found = value(laws.T2Accuracy(loss=base, **own), point)
    assert found == pytest.approx(mean, rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("form", ["t2_accuracy", "beta_monotone"])
def test_mean_loss_of_the_spread_is_a_digamma_difference(form):
    law = written(form, draws_of(form, 1)[0])
    place: dict[str, Any] = {"params": 1e9, "tokens": 1e11}
    with jax.enable_x64(True):
        a, b = (float(x) for x in law.spread(**place))  # pyright: ignore
        ours = float(law.neg_log_pass(**place))  # pyright: ignore
    exact = mpmath.psi(0, a + b) - mpmath.psi(0, a)
    assert ours == pytest.approx(float(mpmath.re(exact)), rel=1e-8)


def test_published_accuracy_law_may_prefer_the_worse_loss():
    # th4 > 0: a worse loss concentrates the spread, which helps at large k more than the lower
    # mean hurts. `beta_monotone` has no such coefficients (the suite above).
    base = Additive(E=1.0, A=1e3, B=1e3, alpha=0.3, beta=0.3)
    law = laws.T2Accuracy(loss=base, th0=2.0, th1=0.2, th2=0.5, th3=-4.0, th4=1.0)
    small, large = ({"params": N, "tokens": 1e10, "samples": 1e3} for N in (1e7, 1e9))
    assert value(base, small) > value(base, large)
    assert value(law, small) > value(law, large) + 0.1


# Names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("sofplus", "softplus"), ("chinchila(additve)", None), ("product(couple)", "coupled")],
)
def test_an_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(InputError, match="unknown law") as caught:
        laws.template(name)
    assert "\n" not in str(caught.value)
    assert nearest is None or f"did you mean '{nearest}'?" in str(caught.value)


def test_an_inner_loss_belongs_to_a_law_that_takes_one():
    with pytest.raises(InputError, match="takes no inner loss"):
        laws.template("additive(tied)")
    with pytest.raises(InputError, match="no coefficient 'kapa'; it has E, A, B"):
        laws.template("coupled").replace(kapa=0.7)


@pytest.mark.parametrize("inner", ["softplus", "product", "t2_loss", "beta_monotone"])
def test_an_inner_loss_knows_neither_samples_nor_accuracy(inner):
    with pytest.raises(InputError, match=f"'{inner}'.*additive"):
        laws.template(f"softplus({inner})")


def test_a_law_of_another_version_says_so():
    told = laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283).to_dict()
    del told["beta"]
    with pytest.raises(InputError, match=r"other coefficients than this version's \(beta, slope\)"):
        laws.from_dict(told | {"slope": 2.0})
