"""Laws once more in plain NumPy and mpmath, a user's own law, and ways to draw coefficients."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from hypothesis import strategies as st

from t2jax import laws
from t2jax.laws import (
    A_CARD,
    B_CARD,
    E_CARD,
    Coefficient,
    Law,
    Role,
    exponent_card,
    final_law,
    power,
)  # fmt: skip


@final_law
class Ageing(Law):
    """`E + A N^-alpha + B log(1 + T/D)`, T in 1e9 tokens, as a user would write it."""

    name = "ageing"
    own_cards = (
        E_CARD,
        A_CARD,
        dataclasses.replace(B_CARD, centre=None),
        exponent_card("alpha", "α", "exponent of parameters"),
        Coefficient(
            name="T",
            symbol="T",
            meaning="1e9 tokens of one age",
            role=Role.ONSET,
            lower=0.0,
            grid=(1.0, 10.0),
        ),
    )
    linear = ("E", "A", "B")

    E: Any
    A: Any
    B: Any
    alpha: Any
    T: Any

    def formula(self, params, tokens, samples, unique_tokens):
        """The formula of the class."""
        size = power(self.A, self.alpha, params)
        return self.E + size + self.B * jnp.log1p(1e9 * self.T / tokens)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in E, A and B."""
        columns = [jnp.ones_like(value), params**-self.alpha, jnp.log1p(1e9 * self.T / tokens)]
        return jnp.stack(columns, axis=-1), value, jnp.ones_like(value)


# The formulas once more ----------------------------------------------------------------------


def additive(c, N, D, k=1.0):
    return c["E"] + c["A"] / N ** c["alpha"] + c["B"] / D ** c["beta"]


def tied(c, N, D, k=1.0):
    return additive({**c, "beta": c["alpha"]}, N, D)


def coupled(c, N, D, k=1.0):
    return c["E"] + (c["A"] / N ** c["alpha"] + c["B"] / D ** c["beta"]) ** c["kappa"]


def ceiling(c, N, D, k=1.0):
    return (coupled(c, N, D) ** -4.0 + c["L0"] ** -4.0) ** -0.25


def farseer(c, N, D, k=1.0):
    n = np.log(N)
    size = c["A"] * np.exp(-c["alpha"] * n + c["bend"] * n**2)
    exponent = c["beta"] * np.exp(c["drift"] * n)
    return size + c["B"] * N ** -c["rho"] * (D / c["D0"]) ** -exponent


def size(c, N, D, k=1.0):
    return c["E"] + c["A"] / N ** c["alpha"] + 0.0 * D


def data_constrained(c, N, D, k=1.0, U=np.inf):
    U_D = np.minimum(D, U)
    G = (c["alpha"] * c["A"] / (c["beta"] * c["B"])) ** (1 / (c["alpha"] + c["beta"]))
    U_N = np.minimum(N, (U_D * G) ** (c["beta"] / c["alpha"]) * G)
    R_D, R_N = D / U_D - 1, np.maximum(N / U_N - 1, 0)
    D_worth = U_D + U_D * c["R_D"] * (1 - np.exp(-R_D / c["R_D"]))
    N_worth = U_N + U_N * c["R_N"] * (1 - np.exp(-R_N / c["R_N"]))
    return additive(c, N_worth, D_worth)


def t2_loss(c, N, D, k=1.0):
    G = c["S"] / c["gamma"]
    return additive({**c, "E": c["E1"] - G}, N, D) + G / k ** c["gamma"]


def t2_loss_paper(c, N, D, k=1.0):
    return additive(c, N, D) + c["G"] / k ** c["gamma"]


def softplus(inner):
    return lambda c, N, D, k: c["s"] * np.logaddexp(0, (inner(c, N, D) - np.log(k)) / c["s"])


def product(inner):
    return lambda c, N, D, k: inner(c, N, D) * (1 + c["c"] * (k - 1)) ** -c["gamma"]


@np.vectorize
def beta_pass(a, b, k):
    with mpmath.workdps(100):
        a, b, k = mpmath.mpf(float(a)), mpmath.mpf(float(b)), mpmath.mpf(float(k))
        g = mpmath.loggamma
        return float(-mpmath.expm1(g(b + k) + g(a + b) - g(a + b + k) - g(b)))


def t2_accuracy(c, N, D, k):
    loss = additive(c, N, D)
    mean = c["th2"] / (1 + np.exp(c["th1"] * (loss - c["th0"])))
    weight = np.exp(c["th3"] + c["th4"] * loss)
    return beta_pass(mean * weight, (1 - mean) * weight, k)


def beta_monotone(inner):
    def value(c, N, D, k):
        loss = inner(c, N, D)
        return beta_pass(np.exp(c["a0"] - c["a1"] * loss), np.exp(c["b0"] + c["b1"] * loss), k)

    return value


def ageing(c, N, D, k=1.0):
    return c["E"] + c["A"] / N ** c["alpha"] + c["B"] * np.log1p(1e9 * c["T"] / D)


SIZE, DATA = 1e8, 1e10  # where amplitudes are drawn: a term of some nats there, whatever its slope
EXPONENT, TERM = (0.1, 0.7), (0.1, 3.0)
RANGES = {
    "E": (0.2, 3.0), "E1": (2.0, 6.0), "A": TERM, "B": TERM, "alpha": EXPONENT, "beta": EXPONENT,
    "kappa": (0.4, 1.2), "R_D": (2.0, 20.0), "R_N": (2.0, 20.0), "S": (0.05, 0.8), "G": (0.1, 3.0),
    "gamma": (0.02, 0.8), "s": (0.2, 4.0), "s1": (0.2, 4.0), "v": (0.0, 0.6), "c": (0.01, 3.0),
    "th0": (0.5, 4.0), "th1": (0.2, 2.0), "th2": (0.2, 0.99), "th3": (-1.0, 3.0),
    "th4": (-0.6, 0.0), "a0": (-1.0, 1.0), "a1": (0.0, 0.8), "b0": (-1.0, 1.0), "b1": (0.0, 0.8),
    "T": (0.1, 100.0), "L0": (2.0, 12.0), "bend": (-3e-3, 5e-4), "drift": (0.0, 0.03),
    "rho": (0.0, 0.2), "D0": (0.1, 10.0),
}  # fmt: skip


CASES: dict[str, Callable] = {
    "additive": additive,
    "tied": tied,
    "coupled": coupled,
    "ceiling": ceiling,
    "farseer": farseer,
    "size": size,
    "data_constrained": data_constrained,
    "t2_loss": t2_loss,
    "t2_loss_paper": t2_loss_paper,
    "softplus": softplus(additive),
    "softplus(coupled)": softplus(coupled),
    "softplus(data_constrained)": softplus(data_constrained),
    "product": product(additive),
    "product(tied)": product(tied),
    "t2_accuracy": t2_accuracy,
    "beta_monotone": beta_monotone(additive),
    "beta_monotone(coupled)": beta_monotone(coupled),
    "ageing": ageing,
    "softplus(ageing)": softplus(ageing),
}


@st.composite
def coefficients(draw, form, ranges=RANGES, **fixed):
    """Coefficients of a law within ranges; amplitudes follow from the size of their term."""
    drawn = {c.name: draw(st.floats(*ranges[c.name])) for c in laws.template(form).cards()}
    slopes = {"A": ("alpha", SIZE), "B": ("beta" if "beta" in drawn else "alpha", DATA)}
    for name, (slope, at) in slopes.items():
        if name in drawn and not (name == "B" and "T" in drawn):
            drawn[name] *= at ** drawn[slope]
    return {**drawn, **fixed}


def draws_of(form, count, seed=0):
    """The same by a seed, where a fact does not need to be hunted for."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for card in laws.template(form).cards():
        drawn[card.name] = rng.uniform(*RANGES[card.name], count)
    slopes = {"A": ("alpha", SIZE), "B": ("beta" if "beta" in drawn else "alpha", DATA)}
    for name, (slope, at) in slopes.items():
        if name in drawn and not (name == "B" and "T" in drawn):
            drawn[name] = drawn[name] * at ** drawn[slope]
    return [{name: float(x[i]) for name, x in drawn.items()} for i in range(count)]


def written(form, values) -> Law:
    """The law of that form at those coefficients."""
    return laws.template(form).replace(**values)


def points(count=12, seed=0, *, near=False):
    """Points over every size and budget in use: N 1e2..1e13, D 1e4..1e16, k 1..1e8.

    With `near`, only where the loss stays below some fifty nats, so that pass@k is a number.
    """
    rng = np.random.default_rng(seed)
    axes = {"params": (7 if near else 2, 13), "tokens": (9 if near else 4, 16), "samples": (0, 8)}
    return {name: 10 ** rng.uniform(*decades, count) for name, decades in axes.items()}


@jax.jit
def at(law, point):
    return law(**point)


def value(law, point):
    with jax.enable_x64(True):
        return np.asarray(at(law, {name: np.asarray(x) for name, x in point.items()}))
