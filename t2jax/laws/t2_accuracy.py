"""T2's Approach 2: pass@k from a Beta spread of success probabilities."""

import jax
import jax.numpy as jnp

from t2jax._typing import ArrayLike
from t2jax.laws._law import Coefficient, Law, Role, final_law
from t2jax.laws._on_loss import BetaSpread, bounded_exp
from t2jax.laws._prior import Prior, log_normal

__all__ = ["T2Accuracy"]


@final_law
class T2Accuracy(BetaSpread):
    """T2's Approach 2: success probabilities are Beta(a, b), a and b follow the loss.

    `mu = th2/(1 + exp(th1 (L - th0)))`, `nu = exp(th3 + th4 L)`, `a = mu nu`,
    `b = (1 - mu) nu`, `pass@k = 1 - B(a, b + k)/B(a, b)`

    As published it may predict a higher pass@k for a worse loss (th4 > 0); the law
    `beta_monotone` cannot.

    Args:
      loss: a law of N and D for the mean loss L; the additive law unless another is given.
      th0: loss at the middle of the sigmoid, nats.
      th1: steepness of the sigmoid, per nat.
      th2: largest mean success probability.
      th3: log concentration at L = 0.
      th4: slope of the log concentration, per nat.

    Source: Roberts et al. 2026, arXiv:2604.01411, Approach 2.

    >>> from t2jax.laws import Additive
    >>> inner = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> law = T2Accuracy(loss=inner, th0=2.0, th1=2.0, th2=0.9, th3=1.0, th4=-0.5)
    >>> round(float(law(params=1e9, tokens=2e10, samples=1.0)), 4)
    0.2168
    """

    name = "t2_accuracy"
    own_cards = (
        Coefficient(
            name="th0", symbol="θ₀", meaning="loss at the middle of the sigmoid, nats",
            role=Role.SPREAD, centre=(None, "loss", 1), grid=(-4.0, -1.5, 0.0, 1.5),
            prior=Prior(family="normal", first=0.0, second=3.0),
        ),
        Coefficient(
            name="th1", symbol="θ₁", meaning="steepness of the sigmoid, per nat", role=Role.SPREAD,
            lower=0.0, grid=(0.3, 0.8, 2.0), prior=log_normal(1.0, 1.0),
        ),
        Coefficient(
            name="th2", symbol="θ₂", meaning="largest mean success probability", role=Role.SPREAD,
            lower=0.0, upper=1.0, grid=(0.3, 0.7, 0.95), prior=Prior(family="flat"),
        ),
        Coefficient(
            name="th3", symbol="θ₃", meaning="log concentration at L = 0", role=Role.SPREAD,
            centre=("th4", "loss", -1), grid=(-1.0, 0.5, 2.0, 4.0),
            prior=Prior(family="normal", first=1.0, second=3.0),
        ),
        Coefficient(
            name="th4", symbol="θ₄", meaning="slope of the log concentration, per nat",
            role=Role.SPREAD, grid=(-0.5, 0.0, 0.5),
            prior=Prior(family="normal", first=0.0, second=1.0),
        ),
    )  # fmt: skip

    loss: Law
    th0: ArrayLike
    th1: ArrayLike
    th2: ArrayLike
    th3: ArrayLike
    th4: ArrayLike

    def beta_of(self, loss):
        """The Beta parameters (a, b) of the success probability over questions."""
        log_hit = jnp.log(self.th2) + jax.nn.log_sigmoid(-self.th1 * (loss - self.th0))
        hit = bounded_exp(log_hit)
        # Held further from zero than the mean: where a and b both vanish, their ratio must not.
        concentration = bounded_exp(self.th3 + self.th4 * loss, 0.2)
        return hit * concentration, (1.0 - hit) * concentration
