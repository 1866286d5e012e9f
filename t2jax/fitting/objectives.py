"""What a fit minimises: one small frozen class per objective, summed over rows, never averaged.

A mean instead of a sum shrinks the gradient with the table and makes optimisers stop early.
"""

import dataclasses
import difflib
from typing import ClassVar

import jax.numpy as jnp
from jax.scipy.special import digamma
from jax.scipy.stats import t as student_t

from t2jax._typing import Floats, Scalar
from t2jax.errors import InputError
from t2jax.fitting.count_likelihood import log_likelihood
from t2jax.fitting.rows import Rows
from t2jax.laws import Coefficient, Law, Prior, Role, log_normal

__all__ = ["SSE", "BetaBinomial", "Huber", "Objective", "StudentT", "objective_by_name"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """Base: a sum over rows of the misfit between a law and the observations."""

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    log_scale: ClassVar[bool] = False
    counts: ClassVar[bool] = False
    likelihood: ClassVar[bool] = False
    nuisance: ClassVar[tuple[Coefficient, ...]] = ()

    def __call__(self, law: Law, nuisance: tuple[Scalar, ...], rows: Rows) -> Scalar:
        """The weighted sum over rows."""
        return jnp.sum(rows.weight * self.per_row(rows.predict(law), nuisance, rows))

    def per_row(self, predicted: Floats, nuisance: tuple[Scalar, ...], rows: Rows) -> Floats:
        """The misfit of each row [rows]."""
        raise TypeError(f"{type(self).__name__} does not say how a row misfits")

    def start_nuisance(self, predicted: Floats, rows: Rows) -> tuple[Scalar, ...]:
        """Nuisance coefficients to start from, given a first prediction."""
        return ()


def _log_residual(predicted: Floats, rows: Rows) -> Floats:
    # A law may dip below zero on its way; the floor keeps the objective finite there.
    return jnp.log(rows.value) - jnp.log(jnp.maximum(predicted, 1e-12))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSE(Objective):
    """Sum of squared errors (the paper's objective)."""

    name = "sse"

    def per_row(self, predicted, nuisance, rows):
        """Squared error."""
        return (predicted - rows.value) ** 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Huber(Objective):
    """Sum of Huber losses of the residual of log loss (arXiv:2203.15556).

    Args:
      delta: residual at which squares turn into absolute values.
    """

    name = "huber"
    log_scale = True
    delta: float = 1e-3

    def per_row(self, predicted, nuisance, rows):
        """Huber's function of the log residual."""
        size = jnp.abs(_log_residual(predicted, rows))
        inside = jnp.minimum(size, self.delta)
        return inside * (size - 0.5 * inside)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudentT(Objective):
    """Negative log likelihood of Student-t noise on log loss, scale and tails fitted too.

    Without their priors the likelihood of a few rows has no end: a law that passes through them
    takes the scale to zero. Beside some thirty rows the priors weigh nothing.
    """

    name = "student_t"
    log_scale = True
    likelihood = True
    nuisance = (
        Coefficient(
            name="sigma", symbol="σ", meaning="scale of the log residual", role=Role.NOISE,
            lower=0.0, prior=log_normal(0.01, 0.75), penalised=True,
        ),
        Coefficient(
            name="nu", symbol="ν", meaning="degrees of freedom", role=Role.NOISE,
            lower=1.0, upper=200.0, prior=Prior(family="gamma", first=2.0, second=0.1),
            penalised=True,
        ),
    )  # fmt: skip

    def per_row(self, predicted, nuisance, rows):
        """Minus the log density of the observed log loss."""
        sigma, nu = nuisance
        return -student_t.logpdf(_log_residual(predicted, rows), nu, scale=sigma)

    def start_nuisance(self, predicted, rows):
        """Scale from the median absolute log residual, and moderate tails."""
        size = jnp.abs(_log_residual(predicted, rows))
        spread = jnp.nanmedian(jnp.where(rows.place < 0, jnp.nan, size))
        return jnp.maximum(1.2 * spread, 1e-8), jnp.asarray(5.0, spread.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BetaBinomial(Objective):
    """Negative log likelihood of success counts under a law's Beta spread of questions.

    Counts say nothing of the zero and the unit of the inner loss L: shifting or stretching L
    can be undone in the law's own coefficients. A convention fixes both and costs the
    likelihood nothing: E = 0, and L agrees on average over checkpoints, in logs, with the
    mean of -log p under the spread, `psi(a + b) - psi(a)`.

    Args:
      anchor: weight of the convention, which vanishes at the minimum.
    """

    name = "beta_binomial"
    kinds = ("accuracy",)
    counts = True
    likelihood = True
    anchor: float = 1.0

    def __call__(self, law, nuisance, rows):
        """Minus the log likelihood, and the squared distance from the convention."""
        assert rows.tally is not None
        each = log_likelihood(*rows.spread(law), rows.tally)
        return self.convention(law, rows) - jnp.sum(rows.weight * each)

    def convention(self, law: Law, rows: Rows) -> Scalar:
        """How far zero and unit of the inner loss are from the convention, squared and weighed."""
        (a, b), loss = rows.spread(law), rows.predict(law.base)
        stretch = jnp.mean(jnp.log(digamma(a + b) - digamma(a)) - jnp.log(loss))
        floors = law.base.having(Role.FLOOR).values()
        return self.anchor * (stretch**2 + sum(floor**2 for floor in floors))


_OBJECTIVES = {o.name: o for o in (SSE, Huber, StudentT, BetaBinomial)}


_ALIASES = {"mse": "sse"}  # the same minimum, whose size does not shrink with the table


def objective_by_name(name: str | Objective, *, delta: float | None = None) -> Objective:
    """The objective of that name.

    Raises:
      InputError: unknown name, or a `delta` for an objective that has none.
    """
    if isinstance(name, Objective):
        return name
    name = _ALIASES.get(name, name)
    if name not in _OBJECTIVES:
        close = difflib.get_close_matches(str(name), {**_OBJECTIVES, **_ALIASES}, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise InputError(
            f"unknown objective '{name}'",
            remedy=f"{hint}the objectives are {', '.join(_OBJECTIVES)}",
        )
    if delta is None:
        return _OBJECTIVES[name]()
    if name != "huber" or not delta > 0:
        raise InputError(
            f"delta={delta!r} does not go with objective '{name}'",
            remedy="delta > 0 is the bend of objective='huber'",
        )
    return Huber(delta=float(delta))
