"""Farseer's loss law: data helps larger models more, and size has a bend of its own."""

import jax.numpy as jnp

from t2jax._precision import log_parts
from t2jax._typing import ArrayLike
from t2jax.laws._law import Coefficient, Law, Role, final_law, log_of
from t2jax.laws._prior import Prior
from t2jax.laws.additive import EXPONENT_GRID

__all__ = ["Farseer"]


def _slope_of_size(known, centre):
    """`alpha` at the centroid is `alpha - 2 bend n`."""
    return 2.0 * known["bend"] * centre.params


def _size(known, centre):
    """Log of the size term at the centroid is `log A - alpha n + bend n^2`."""
    return (known["alpha"] - known["bend"] * centre.params) * centre.params


def _slope_of_data(known, centre):
    """Log of the exponent of data at the centroid is `log beta + drift n`."""
    return -known["drift"] * centre.params


def _fall(known, centre):
    """What tokens beyond D0 have taken off the log of the data term at the centroid."""
    exponent = known["beta"] * jnp.exp(known["drift"] * centre.params)
    return exponent * (centre.tokens - jnp.log(known["D0"]))


def _mixed(known, centre):
    """The slope of the log of the data term in n at the centroid is `-rho - drift fall`."""
    return -known["drift"] * _fall(known, centre)


def _data(known, centre):
    """Log of the data term at the centroid is `log B - rho n - fall`."""
    return known["rho"] * centre.params + _fall(known, centre)


def _level(name: str, meaning: str, shift) -> Coefficient:
    return Coefficient(
        name=name, symbol=name, meaning=meaning, role=Role.AMPLITUDE, lower=0.0, centre=shift
    )


def _bent(name: str, symbol: str, meaning: str, sd: float, shift=None) -> Coefficient:
    """A coefficient that is zero where the law is a sum of two powers."""
    return Coefficient(
        name=name, symbol=symbol, meaning=meaning, role=Role.EXPONENT, grid=(0.0,), centre=shift,
        prior=Prior(family="normal", first=0.0, second=sd), penalised=True,
    )  # fmt: skip


@final_law
class Farseer(Law):
    """A size term with a bend, and a data term whose exponent goes with size; no floor.

    `L(N, D) = A N^-alpha e^(bend n^2) + B N^-rho (D/D0)^-(beta N^drift)`, `n = log N`

    Args:
      bend: curvature of the log of the size term in n.
      alpha: exponent of parameters at N = 1.
      A: amplitude of the size term, nats at N = 1.
      drift: how the log of the exponent of data goes with n.
      beta: exponent of training tokens at N = 1.
      D0: training tokens at which the data term is a power of size alone; a prior holds it near
        the middle of the table.
      rho: exponent of parameters of the data term.
      B: amplitude of the data term, nats at N = 1 and D = D0.

    Source: after arXiv:2506.10972, whose powers of N are a quadratic and two straight lines here.

    >>> law = Farseer(bend=0.0, alpha=0.1, A=10.0, drift=0.0, beta=0.3, rho=0.0, D0=1.0,
    ...               B=400.0)
    >>> round(float(law(params=1e9, tokens=2e10)), 3)
    1.584
    """

    name = "farseer"
    # In the order in which each needs those before it.
    own_cards = (
        _bent("bend", "a₂", "bend of the size term", 0.03),
        Coefficient(
            name="alpha", symbol="α", meaning="exponent of parameters at N = 1", role=Role.EXPONENT,
            centre=_slope_of_size, grid=(0.02, *EXPONENT_GRID[:6]),
        ),
        _level("A", "amplitude of the size term", _size),
        _bent("drift", "c₁", "how the exponent of data goes with log N", 0.1),
        Coefficient(
            name="beta", symbol="β", meaning="exponent of training tokens at N = 1",
            role=Role.EXPONENT, lower=0.0, centre=_slope_of_data, grid=EXPONENT_GRID,
        ),
        Coefficient(
            name="D0", symbol="D₀", meaning="tokens where the data term is a power of size alone",
            role=Role.ONSET, lower=0.0, centre=(None, "tokens", 1), grid=(0.0,),
            prior=Prior(family="normal", first=0.0, second=1.0), penalised=True,
        ),
        _bent("rho", "ρ", "exponent of parameters of the data term", 0.3, _mixed),
        _level("B", "amplitude of the data term", _data),
    )  # fmt: skip
    linear = ("A", "B")

    bend: ArrayLike
    alpha: ArrayLike
    A: ArrayLike
    drift: ArrayLike
    beta: ArrayLike
    D0: ArrayLike
    rho: ArrayLike
    B: ArrayLike

    def _terms(self, params, tokens):
        """Logs of the two terms, without their amplitudes."""
        n = jnp.log(params)
        beyond = jnp.log(tokens) - log_of(self.D0)
        data = -self.rho * n - self.beta * jnp.exp(self.drift * n) * beyond
        return (self.bend * n - self.alpha) * n, data

    def formula(self, params, tokens, samples, unique_tokens):
        """`A N^-alpha e^(bend n^2) + B N^-rho (D/D0)^-(beta N^drift)`."""
        size, data = self._terms(params, tokens)
        (log_a, one), (log_b, other) = log_parts(self.A), log_parts(self.B)
        return one * jnp.exp(log_a + size) + other * jnp.exp(log_b + data)

    def start_problem(self, *, value, params, tokens, samples):
        """Linear in A and B."""
        columns = [jnp.exp(term) for term in self._terms(params, tokens)]
        return jnp.stack(columns, axis=-1), value, jnp.ones_like(value)
