"""What a law may be called with, in either precision, and what its cards say."""

import math
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from law_cases import CASES, coefficients, draws_of, points, value, written

from t2jax import laws
from t2jax.errors import InputError
from t2jax.laws import Role

every_law = pytest.mark.parametrize("form", CASES)
WORD = {"params": 1e7, "tokens": 1e9, "samples": 1.0}


# What a caller may hand to a law ---------------------------------------------------------------

SEVENTY_BILLION = 70_000_000_000  # past 2^31, where an integer would not survive 32-bit mode


@every_law
@settings(max_examples=6)
@given(data=st.data())
def test_a_bare_call_in_single_precision_is_finite_where_the_value_is(form, data):
    law = laws.template(form)
    values = data.draw(coefficients(form))
    exponents = st.floats(0.02, 1.5)
    for card in law.cards():
        if card.role is Role.EXPONENT and card.name != "kappa":
            values[card.name] = data.draw(exponents)
    for card in law.cards():
        if (
            card.role is Role.AMPLITUDE
            and isinstance(card.centre, tuple)
            and card.centre[1] != "samples"
        ):
            values[card.name] = 10 ** data.draw(st.floats(-4, 44))
    law = law.replace(**values)
    point = points(30, seed=data.draw(st.integers(0, 99)))
    exact = value(law, point)
    loss = value(law.base, {"params": point["params"], "tokens": point["tokens"]})
    sound = np.isfinite(exact) & (np.abs(exact) < 1e30) & (loss < 1e30)
    with jax.enable_x64(False):
        single = np.asarray(law(**point))
    assert single.dtype == np.float32
    # A rounding of 1e-7 in the log of a term is multiplied by that log, and by s in a softplus.
    assert np.isfinite(single[sound]).all()
    assert single[sound] == pytest.approx(exact[sound], rel=2e-3, abs=1e-4)


def test_a_fitted_amplitude_past_single_precision_still_gives_a_loss():
    law = laws.Coupled(E=1.2, A=3e20, B=6e43, alpha=1.1, beta=1.9, kappa=0.25)
    draws = jax.tree.map(lambda x: np.array([x, x]), law)
    with jax.enable_x64(False):
        single = float(law(params=1e9, tokens=2e10))
        both = np.asarray(draws(params=1e9, tokens=2e10))
    assert single == pytest.approx(float(value(law, {"params": 1e9, "tokens": 2e10})), rel=1e-4)
    assert both == pytest.approx([single, single], rel=1e-6)


@every_law
def test_whatever_holds_numbers_is_an_argument(form):
    law = written(form, draws_of(form, 1)[0])
    for x64 in (False, True):
        with jax.enable_x64(x64):
            one = float(law(params=7e10, tokens=2e12, samples=3.0))
            assert float(law(params=SEVENTY_BILLION, tokens=2 * 10**12, samples=3)) == one
            kinds: list[Any] = [list, tuple, np.array, pd.Series]
            for kind in kinds:
                many = law(params=kind([SEVENTY_BILLION] * 2), tokens=kind([2 * 10**12] * 2),
                           samples=kind([3, 3]))  # fmt: skip
                assert np.asarray(many) == pytest.approx([one, one], rel=1e-6)


@every_law
@pytest.mark.parametrize(
    ("point", "word"),
    [
        ({"params": "1e9"}, "params = '1e9' is neither a number"),
        ({"tokens": None}, "tokens = None"),
        ({"tokens": [1e9, "x"]}, "tokens = "),
        ({"samples": {}}, "samples = "),
        ({"params": [[1e9], [1e9, 2e9]]}, "params = "),
        ({"params": [1e9] * 3, "tokens": [1e9] * 2}, r"params \[3\], tokens \[2\] do not go"),
    ],
)
def test_what_holds_no_numbers_is_refused_in_a_line(form, point, word):
    law = written(form, draws_of(form, 1)[0])
    with pytest.raises(InputError, match=word) as caught:
        law(**{**WORD, **point})
    assert "\n" not in str(caught.value)


# Cards ---------------------------------------------------------------------------------------


@every_law
def test_every_card_says_what_a_coefficient_is_for(form):
    for card in laws.template(form).cards():
        assert isinstance(card.role, Role)
        # Without one the posterior leans on the fit, and says so.
        assert card.prior is not None or "ageing" in form or "farseer" in form
        assert (card.role is Role.FLOOR) <= card.closed


def test_two_classes_never_share_a_name():
    with pytest.raises(InputError, match="both called 'tied'; give yours another name"):

        @laws.final_law
        class Mine(laws.Law):
            name = "tied"
            own_cards = ()


@pytest.mark.parametrize("form", ["additive", "tied", "softplus(coupled)", "t2_loss"])
def test_power_terms_are_read_from_the_cards(form):
    law = written(form, draws_of(form, 1)[0])
    c = law.coefficients()
    with jax.enable_x64(True):
        size, data = law.power_term("params"), law.power_term("tokens")
        assert size is not None
        assert data is not None
        assert float(size[0]) == pytest.approx(math.log(c["A"]), rel=1e-12)
        assert float(data[0]) == pytest.approx(math.log(c["B"]), rel=1e-12)
    assert (size[1], data[1]) == (c["alpha"], c.get("beta", c["alpha"]))
    assert law.power_term("loss") is None
