"""A loss law times a smooth surface: what a table asks for beyond the law's own form."""

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp

from t2jax._precision import host_array
from t2jax._typing import ArrayLike, Floats
from t2jax.laws._law import Law, final_law

__all__ = ["Warped", "bumps", "flattened"]


@final_law
class Warped(Law):
    """A loss law times a smooth surface in log N and log D: waves, and bumps on a grid.

    `L(N, D) exp(g)`, `g = sum_m c_m cos(f_m) + s_m sin(f_m) + sum_ij h_ij b_i(n) b_j(d)`,
    `n = log max(N, N_0)`, `d = log D`, `f_m = u_m n + v_m d`,
    `b_i(n) = exp(-(n - n_i)^2 / 2 l^2)`

    With frequencies drawn from a Gaussian the waves are a draw of a Gaussian process with a
    squared-exponential covariance; the bumps, as wide as that covariance, are what a table says
    against it, and end where the table does. The coefficients are those of the law inside.

    Args:
      loss: the law inside.
      by_params: frequency of each wave per nat of N, u [..., waves].
      by_tokens: per nat of D, v [..., waves].
      cosine: amplitudes of the cosines [..., waves].
      sine: amplitudes of the sines [..., waves].
      params_nodes: log N of the grid's lines, n_i [..., lines].
      tokens_nodes: log D of its other lines, d_j [..., other lines].
      params_length: nats of N within which the surface is alike, l [...].
      tokens_length: the same of D [...].
      height: of each bump, those of one line of N after each other [..., lines x other lines].
      least: N_0, below which the surface does not change with N: far below the smallest model
        measured a law must not be mended by what nobody has seen.

    Source: misfit as a process, Kennedy and O'Hagan 2001, doi:10.1111/1467-9868.00294; waves,
    Rahimi and Recht 2007; waves and bumps, Wilson et al. 2020, arXiv:2002.09309.

    >>> import numpy as np
    >>> from t2jax.laws import Additive
    >>> inner = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> none, one = np.zeros(1), np.ones(1)
    >>> law = Warped(loss=inner, by_params=none, by_tokens=none, cosine=none, sine=none,
    ...              params_nodes=np.log(70e9) * one, tokens_nodes=np.log(1.4e12) * one,
    ...              params_length=2.0, tokens_length=2.0, height=0.01 * one, least=1e6)
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
    params_nodes: ArrayLike
    tokens_nodes: ArrayLike
    params_length: ArrayLike
    tokens_length: ArrayLike
    height: ArrayLike
    least: ArrayLike

    def formula(self, params, tokens, samples, unique_tokens):
        """The law inside times `exp(g)`."""
        size, seen = jnp.log(jnp.maximum(params, self.least)), jnp.log(tokens)
        phase = self.by_params * size[..., None] + self.by_tokens * seen[..., None]
        waves = self.cosine * jnp.cos(phase) + self.sine * jnp.sin(phase)
        rows = bumps(size, self.params_nodes, self.params_length)[..., None]
        columns = bumps(seen, self.tokens_nodes, self.tokens_length)[..., None, :]
        grid = rows * columns
        grid = grid.reshape(*grid.shape[:-2], -1) * self.height
        surface = jnp.exp(jnp.sum(waves, axis=-1) + jnp.sum(grid, axis=-1))
        return self.loss.formula(params, tokens, samples, unique_tokens) * surface

    def __repr__(self) -> str:
        """The law inside: the surface is hundreds of numbers."""
        return f"Warped({self.loss!r}, times a smooth surface)"

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


_ARRAYS = ("by_params", "by_tokens", "cosine", "sine", "params_nodes", "tokens_nodes",
           "params_length", "tokens_length", "height", "least")  # fmt: skip


def flattened(law: Law) -> Law:
    """A law with every surface in it flat: the law inside, in the structure of the warped one.

    So that the programs of the one serve the other.
    """

    def flat(part: Any) -> Any:
        if not isinstance(part, Warped):
            return part
        none = {
            name: 0.0 * host_array(getattr(part, name)) for name in ("cosine", "sine", "height")
        }
        return dataclasses.replace(part, **none)

    return jax.tree.map(flat, law, is_leaf=lambda part: isinstance(part, Warped))


def bumps(log_place: ArrayLike, nodes: ArrayLike, length: ArrayLike) -> Floats:
    """How near a place is to each line of a grid, `exp(-(x - x_i)^2 / 2 l^2)` [..., lines]."""
    apart = (jnp.asarray(log_place)[..., None] - nodes) / jnp.asarray(length)[..., None]
    return jnp.exp(-0.5 * apart**2)
