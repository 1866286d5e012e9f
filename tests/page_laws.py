"""Laws that a user might write and no registry knows, for the page to write out."""

from typing import Any

import jax.numpy as jnp
from law_cases import Ageing

from t2jax import laws
from t2jax.laws import Coefficient, Law, final_law
from t2jax.laws.additive import E_CARD

__all__ = ["OWN", "Matrix", "Nodes", "Sorted", "template"]

SPREAD = Coefficient(name="v", symbol="v", meaning="spread of log losses", lower=0.0)


@final_law
class Nodes(Law):
    """pass@k of questions of four tokens whose log losses are normal, by a sum over 64."""

    name = "nodes"
    kind = "accuracy"
    uses_samples = True
    own_cards = (SPREAD,)

    loss: Law
    v: Any

    def __call__(self, *, params, tokens, samples=1.0, unique_tokens=jnp.inf):
        """The mean of `1 - (1 - e^-l)^k` over losses l of the questions."""
        at = jnp.linspace(-4.0, 4.0, 64)
        weights = jnp.exp(-0.5 * at**2)
        inner = self.loss(params=params, tokens=tokens)
        each = 4.0 * inner[..., None] * jnp.exp(self.v * at)
        solved = -jnp.expm1(jnp.asarray(samples)[..., None] * jnp.log1p(-jnp.exp(-each)))
        return jnp.sum(solved * (weights / jnp.sum(weights)), axis=-1)


@final_law
class Matrix(Law):
    """A loss through what arrays can be put through: stacked, multiplied, reordered, summed."""

    name = "matrix"
    own_cards = (SPREAD,)

    loss: Law
    v: Any

    def __call__(self, *, params, tokens, samples=1.0, unique_tokens=jnp.inf):
        """Some numbers that move with everything."""
        loss = self.loss(params=params, tokens=tokens)
        rows = jnp.stack([loss, loss**2, self.v * loss], axis=-1)
        table = jnp.arange(1.0, 13.0).reshape(3, 4) / 10.0
        mixed = rows @ table
        outer = jnp.log1p(mixed[..., :, None] * jnp.tanh(rows[..., None, :]))
        total = jnp.sum(outer, axis=-1)[..., ::-1] * (jnp.arange(4.0) + self.v)
        least = jnp.max(jnp.concatenate([total, rows[..., 1:]], axis=-1), axis=-1)
        return jnp.sum(total, axis=-1) + 0.1 * least + jnp.where(total[..., 0] > 1.0, 0.5, loss)


@final_law
class Sorted(Law):
    """A law with a step that JavaScript has no counterpart of."""

    name = "sorted"
    own_cards = (E_CARD,)

    E: Any

    def __call__(self, *, params, tokens, samples=1.0, unique_tokens=jnp.inf):
        """The lesser of two terms."""
        return self.E + jnp.sort(jnp.stack([1e8 / params, 1e9 / tokens]), axis=0)[0]


OWN: dict[str, Any] = {"ageing": Ageing, "nodes": Nodes, "matrix": Matrix,
       "softplus(ageing)": laws.Softplus.template(loss=Ageing)}  # fmt: skip


def template(form: str) -> Law:
    """The law of a form, one of the registry's or one of these."""
    return laws.template(OWN.get(form, form))
