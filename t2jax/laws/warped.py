"""A loss law times a smooth surface: what a table asks for beyond the law's own form."""

import dataclasses
from typing import Any, Self

import jax.numpy as jnp

from t2jax._precision import host_array
from t2jax._typing import ArrayLike
from t2jax.laws._law import Law, final_law

__all__ = ["Warped"]


@final_law
class Warped(Law):
    """A loss law times a smooth surface in log N and log D.

    `L(N, D) exp(g)`, `g = sum_m c_m cos(f_m) + s_m sin(f_m)`,
    `f_m = u_m log max(N, N_0) + v_m log D`

    With frequencies drawn from a Gaussian the sum is a draw of a Gaussian process with a
    squared-exponential covariance. The coefficients are those of the law inside.

    Args:
      loss: the law inside.
      by_params: frequency of each wave per nat of N, u [..., waves].
      by_tokens: per nat of D, v [..., waves].
      cosine: amplitudes of the cosines [..., waves].
      sine: amplitudes of the sines [..., waves].
      least: N_0, below which the surface does not change with N: far below the smallest model
        measured a law must not be mended by what nobody has seen.

    Source: misfit as a process, Kennedy and O'Hagan 2001, doi:10.1111/1467-9868.00294; waves,
    Rahimi and Recht 2007.

    >>> import numpy as np
    >>> from t2jax.laws import Additive
    >>> inner = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> law = Warped(loss=inner, by_params=np.zeros(1), by_tokens=np.zeros(1),
    ...              cosine=np.full(1, 0.01), sine=np.zeros(1), least=1e6)
    >>> round(float(law(params=70e9, tokens=1.4e12) / inner(params=70e9, tokens=1.4e12)), 4)
    1.0101
    """

    name = "warped"
    own_cards = ()

    loss: Law
    by_params: ArrayLike
    by_tokens: ArrayLike
    cosine: ArrayLike
    sine: ArrayLike
    least: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """The law inside times `exp(g)`."""
        size = jnp.log(jnp.maximum(params, self.least))[..., None]
        phase = jnp.asarray(self.by_params) * size
        phase = phase + jnp.asarray(self.by_tokens) * jnp.log(tokens)[..., None]
        waves = self.cosine * jnp.cos(phase) + self.sine * jnp.sin(phase)
        surface = jnp.exp(jnp.sum(waves, axis=-1))
        return self.loss.formula(params, tokens, samples, unique_tokens) * surface

    @property
    def title(self) -> str:
        """That of the law inside: the surface is part of its interval."""
        return self.loss.title

    @property
    def form(self) -> str:
        """That of the law inside."""
        return self.loss.form

    def rivals(self):
        """Those of the law inside."""
        return self.loss.rivals()

    @property
    def uses_tokens(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] -- its own
        """Whether the law inside does."""
        return self.loss.uses_tokens

    def cards(self):
        """Cards of the law inside."""
        return self.loss.cards()

    def coefficients(self) -> dict[str, Any]:
        """Coefficients of the law inside by name."""
        return self.loss.coefficients()

    def replace(self, **values: Any) -> Self:
        """The same surface on other coefficients."""
        return dataclasses.replace(self, loss=self.loss.replace(**values))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `laws.from_dict` reads it back exactly."""
        arrays = {name: host_array(getattr(self, name)).tolist() for name in _ARRAYS}
        return {"law": self.name, "loss": self.loss.to_dict()} | arrays


_ARRAYS = ("by_params", "by_tokens", "cosine", "sine", "least")
