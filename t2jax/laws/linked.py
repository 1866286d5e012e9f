"""The linked law: one loss law, one spread of questions round it, and every k from the two."""

from typing import Any, Self

from t2jax.laws._law import Law, final_law
from t2jax.laws._on_loss import OnLoss
from t2jax.laws.coupled import Coupled
from t2jax.laws.spread import Spread

__all__ = ["Link", "Linked", "LinkedAccuracy"]


class Link(OnLoss):
    """A loss law and a spread; its coefficients are those of the loss law."""

    own_cards = ()
    questions_vary = True
    usual = Coupled
    loss: Law
    spread: Spread | None = None

    @property
    def questions(self) -> Spread:
        """The spread, which a law that was only named does not have yet."""
        if self.spread is None:
            raise TypeError(f"this {self.name} law has no spread of questions yet: fit it first")
        return self.spread

    @property
    def searched(self) -> Law:
        """The loss law: the spread is measured."""
        return self.loss

    def with_searched(self, law: Law) -> Self:
        """The same spread round another loss."""
        return self.on(law)

    def coefficients(self) -> dict[str, Any]:
        """Coefficients of the loss law by name."""
        return self.loss.coefficients()

    def replace(self, **values: Any) -> Self:
        """The same law with some coefficients of its loss changed."""
        return self.on(self.loss.replace(**values))

    def on(self, loss: Law) -> Self:
        """The same spread round another loss."""
        return type(self)(**{"loss": loss, "spread": self.spread})

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `laws.from_dict` reads it back exactly."""
        spread = None if self.spread is None else self.spread.to_dict()
        return {"law": self.name, "loss": self.loss.to_dict(), "spread": spread}

    def tries_of_loss(self, loss, samples):
        """`E[min(T, k)]` over the questions."""
        return self.questions.tries(loss, samples)


@final_law
class Linked(Link):
    """The mean of -log pass@k over questions, from their mean loss and their spread round it.

    `y(N, D, k) = mean_j w_j (-log(1 - (1 - e^-Q_j)^k))`, `Q = nodes(L(N, D))`; at k = 1 it is L.

    Once a checkpoint's mean loss is known, its loss at every k is known too, to a percent or so:
    what is left to fit is a law of N and D alone.

    Args:
      loss: a law of N and D for the mean loss; the coupled law unless another is given.
      spread: how questions lie round it.

    >>> import jax.numpy as jnp
    >>> from t2jax.laws import Additive
    >>> from t2jax.laws.spread import Quantile
    >>> alike = Quantile(level=jnp.zeros(32), slope=jnp.ones(32), centre=0.0, low=0.0, high=2.0)
    >>> inner = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> law = Linked(loss=inner, spread=alike)
    >>> [round(float(law(params=1e9, tokens=2e10, samples=k)), 3) for k in (1, 10)]
    [2.574, 0.602]

    Source: the quantity is that of Roberts et al. 2026, arXiv:2604.01411.
    """

    name = "linked"
    loss: Law
    spread: Spread | None = None

    def of_loss(self, loss, samples):
        """The mean of -log pass@k at a mean loss."""
        return self.questions.neg_log_pass(loss, samples)

    def accuracy(self) -> "LinkedAccuracy":
        """The same law, answering with mean pass@k."""
        return LinkedAccuracy(loss=self.loss, spread=self.spread)


@final_law
class LinkedAccuracy(Link):
    """Mean pass@k over questions, from their mean loss and their spread round it.

    `pass@k = mean_j w_j (1 - (1 - e^-Q_j)^k)`, `Q = nodes(L(N, D))`; see `Linked`.

    Args:
      loss: a law of N and D for the mean loss.
      spread: how questions lie round it.
    """

    name = "linked_accuracy"
    kind = "accuracy"
    loss: Law
    spread: Spread | None = None

    def of_loss(self, loss, samples):
        """Mean pass@k at a mean loss."""
        return self.questions.pass_at_k(loss, samples)
