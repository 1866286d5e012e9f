"""What laws of samples share: a loss in N and D inside, and a way from that loss to k samples."""

import math
from typing import Any, ClassVar, Self

import jax.numpy as jnp

from t2jax import beta
from t2jax._typing import ArrayLike, Floats
from t2jax.errors import InputError, Refusal
from t2jax.laws._law import Coefficient, Law
from t2jax.laws.additive import Additive

__all__ = ["BetaSpread", "OnLoss", "bounded_exp", "sampling_law", "spread_law"]


class OnLoss(Law):
    """A law of N, D and k whose N and D act through a loss L(N, D) alone.

    A final law declares the field `loss` and says in `of_loss` what k samples make of a loss.
    """

    uses_samples = True
    usual: ClassVar[type[Law] | None] = None
    questions_vary: ClassVar[bool] = False
    loss: Law

    def of_loss(self, loss: Floats, samples: Floats) -> Floats:
        """The value after k samples at a mean loss, nats."""
        raise TypeError(f"{type(self).__name__} does not say what samples make of a loss")

    def tries_of_loss(self, loss: Floats, samples: Floats) -> Floats:
        """Mean samples drawn when sampling stops at the first success or after k."""
        raise TypeError(f"{type(self).__name__} does not say how questions spread")

    def formula(self, params, tokens, samples, unique_tokens):
        """`of_loss(L(N, D), k)`."""
        return self.of_loss(self.loss.formula(params, tokens, samples, unique_tokens), samples)

    @property
    def base(self) -> Law:
        """The loss inside."""
        return self.loss

    @classmethod
    def template(cls, *, loss: type[Law] | Law | None = None) -> Self:
        """A law of this form, on the additive law unless another is given."""
        inner = (cls.usual or Additive) if loss is None else loss
        if inner.uses_samples or inner.kind != "loss":
            raise InputError(
                f"'{inner.name}' cannot be the inner loss of '{cls.name}'",
                remedy="an inner loss is a law of N and D, such as additive or coupled",
            )
        own: dict[str, Any] = dict.fromkeys((card.name for card in cls.own_cards), math.nan)
        return cls(**own, **{"loss": inner if isinstance(inner, Law) else inner.template()})

    def on(self, loss: Law) -> Self:
        """The same law on another loss."""
        own = {card.name: getattr(self, card.name) for card in self.own_cards}
        return type(self)(**own, **{"loss": loss})

    def cards(self) -> tuple[Coefficient, ...]:
        """Cards of all coefficients, those of the loss first: the order of the leaves."""
        return self.loss.cards() + self.own_cards

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `laws.from_dict` reads it back exactly."""
        return {"law": self.name, "loss": self.loss.to_dict(), **super().to_dict()}


class BetaSpread(OnLoss):
    """A law of pass@k whose success probabilities are Beta(a, b) over questions."""

    kind = "accuracy"
    questions_vary = True

    def beta_of(self, loss: Floats) -> tuple[Floats, Floats]:
        """The Beta parameters (a, b) at a mean loss."""
        raise TypeError(f"{type(self).__name__} does not say how questions spread")

    def spread(
        self, *, params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike = math.inf
    ) -> tuple[Floats, Floats]:
        """The Beta parameters (a, b) of the success probability over questions."""
        return self.beta_of(self.loss(params=params, tokens=tokens, unique_tokens=unique_tokens))

    def of_loss(self, loss, samples):
        """`1 - B(a, b + k)/B(a, b)`."""
        return beta.pass_at_k(*self.beta_of(loss), samples)

    def tries_of_loss(self, loss, samples):
        """`E[min(T, k)]` under the Beta law."""
        return beta.expected_tries(*self.beta_of(loss), samples)

    def neg_log_pass(
        self,
        *,
        params: ArrayLike,
        tokens: ArrayLike,
        samples: ArrayLike = 1.0,
        unique_tokens: ArrayLike = math.inf,
    ) -> Floats:
        """The mean of -log pass@k over questions, nats."""
        a, b = self.spread(params=params, tokens=tokens, unique_tokens=unique_tokens)
        return beta.mean_neg_log_pass(a, b, samples)


def spread_law(law: Law, purpose: str) -> BetaSpread:
    """The law, if it says how success varies over questions.

    Args:
      law: any law.
      purpose: what needs to know, as the end of a sentence.

    Raises:
      Refusal: it does not say.
    """
    if not isinstance(law, BetaSpread):
        raise Refusal(
            f"law '{law.name}' does not say how success varies over questions, and so cannot "
            f"{purpose}",
            remedy="use law='beta_monotone' or 't2_accuracy'",
        )
    return law


def sampling_law(law: Law, purpose: str) -> OnLoss:
    """The law, if it says when sampling stops; whatever its spread; else a Refusal."""
    if isinstance(law, OnLoss) and law.questions_vary:
        return law
    raise Refusal(
        f"law '{law.name}' does not say how success varies over questions, and so cannot {purpose}",
        remedy="use law='linked', or 'beta_monotone' or 't2_accuracy'",
    )


def bounded_exp(exponent: ArrayLike, share: float = 0.45) -> Floats:
    """`exp`, held within a share of the decades that the precision at hand has.

    With less than half of them, products of two such numbers stay finite.
    """
    exponent = jnp.asarray(exponent)
    extent = share * math.log(jnp.finfo(exponent.dtype).max)
    return jnp.exp(jnp.clip(exponent, -extent, extent))
