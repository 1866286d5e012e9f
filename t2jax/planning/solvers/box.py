"""`Box`: one budget in logs, and the plans that spend it."""

import dataclasses

import jax
import jax.numpy as jnp

from t2jax._typing import Floats, Scalar
from t2jax.cost import INFERENCE_FLOPS, TRAIN_FLOPS, Cost
from t2jax.laws import Law, sampling_law
from t2jax.planning.solvers.repeated_data import seen

__all__ = ["ALL_TRAINING", "Box"]

ALL_TRAINING = 40.0
"""Logit of the training share from which on every question gets the least k."""

_NEWTON = 24
_STOP_STEPS = 60
_MOST_SAMPLES = 50.0  # log of k at which sampling until success is as good as endless


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Box:
    """One budget in logs.

    Separate budgets: `train cost(n, d) <= train`, `answer cost(n, x) <= inference`; one
    coordinate n = log N is left once both are spent. A total (lifetime, dollars, or the cost of
    a target): `train cost + questions x answer cost <= total`; two coordinates are left, n and
    the logit of the share of the disposable rest that goes into training.

    Attributes:
      train: log of the training budget.
      inference: log of the inference budget of one question, inf where none is given.
      total: log of one budget for everything.
      questions: log of the number of questions.
      target: the value to reach.
      min_params: log of the smallest N considered.
      max_params: log of the largest.
      max_tokens: log of the data wall.
      floor: log of the least k.
      unique: log of the unique tokens.
      offsets: log of demand over its mean [scenarios].
      weights: probabilities of the scenarios [scenarios].
      cost: the cost model.
      mode: "separate", "total" or "target".
      pinned: k is the floor itself.
      repeats: tokens past the unique ones are repeated.
      monomial: costs are proportional to N D and N k.
    """

    train: Scalar
    inference: Scalar
    total: Scalar
    questions: Scalar
    target: Scalar
    min_params: Scalar
    max_params: Scalar
    max_tokens: Scalar
    floor: Scalar
    unique: Scalar
    offsets: Floats
    weights: Floats
    cost: Cost
    mode: str = dataclasses.field(metadata={"static": True})
    pinned: bool = dataclasses.field(metadata={"static": True})
    repeats: bool = dataclasses.field(metadata={"static": True})
    monomial: bool = dataclasses.field(metadata={"static": True})

    @property
    def separate(self) -> bool:
        """Whether training and inference have budgets of their own."""
        return self.mode == "separate"

    @property
    def repeating(self) -> Scalar | None:
        """Log of the unique tokens where tokens past them repeat, else None."""
        return self.unique if self.repeats else None

    # Costs ------------------------------------------------------------------------------------

    def log_train(self, n, d):
        """Log of the cost of training."""
        return n + jnp.log(self.cost.train_rate(n)) + d

    def log_answer(self, n, x):
        """Log of the cost of one question with `e^x` samples drawn."""
        return n + jnp.log(self.cost.shared_rate(n) + jnp.exp(x) * self.cost.sample_rate(n))

    def log_serve(self, law: Law, n, d, x):
        """Log of the cost of one question, stopping at the first success where asked to."""
        if self.cost.stop_at_success:
            x = jnp.log(self.expected_samples(law, n, d, x))
        return self.log_answer(n, x)

    def log_spent(self, law: Law, n, d, x):
        """Log of the cost of training and of every question."""
        serving = self.questions + self.log_serve(law, n, d, x)
        return jnp.logaddexp(self.log_train(n, d), serving)

    # Plans that spend the budget --------------------------------------------------------------

    def split(self, law: Law, n, u):
        """Logs of D and k at log N, with everything spent.

        Args:
          law: whose success probabilities decide when sampling stops.
          n: log N.
          u: logit of the training share; separate budgets ignore it.
        """
        if self.separate:
            d = jnp.minimum(self.train - n - jnp.log(self.cost.train_rate(n)), self.max_tokens)
            if self.pinned:
                return d, jnp.broadcast_to(self.floor, jnp.shape(n))
            rest = jnp.exp(self.inference - n) - self.cost.shared_rate(n)
            drawn = _log(rest) - jnp.log(self.cost.sample_rate(n))
            return d, self.limit(law, n, d, drawn)
        rest = self._log_disposable(n)
        u = jnp.minimum(u, self.most_training(n))
        d = jax.nn.log_sigmoid(u) + rest - n - jnp.log(self.cost.train_rate(n))
        if self.pinned:
            return d, jnp.broadcast_to(self.floor, jnp.shape(d))
        extra = jax.nn.log_sigmoid(-u) + rest - self.questions - n
        extra = extra - jnp.log(self.cost.sample_rate(n))
        drawn = jnp.where(u >= ALL_TRAINING, self.floor, jnp.logaddexp(self.floor, extra))
        return d, self.limit(law, n, d, drawn)

    def expected_samples(self, law: Law, n, d, x):
        """`E[min(T, k)]`: samples drawn on average when the first success ends the sampling."""
        told = sampling_law(law, "tell when sampling stops")
        return told.tries_of_loss(told.base(**seen(law, self.repeating, n, d)), jnp.exp(x))

    def limit(self, law: Law, n, d, drawn):
        """Log of k at which `e^drawn` samples are drawn on average; it may be very large."""
        if not self.cost.stop_at_success:
            return drawn

        def excess(x):
            return jnp.log(self.expected_samples(law, n, d, x)) - drawn

        def halve(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            above = excess(middle) > 0
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        # Halving, not `falling_root`: for many N at once, and a fixed loop that `grad` can reverse.
        low = jnp.maximum(jax.lax.stop_gradient(drawn), 0.0)
        ends = jax.lax.fori_loop(0, _STOP_STEPS, halve, (low, jnp.full_like(low, _MOST_SAMPLES)))
        x = jax.lax.stop_gradient(0.5 * (ends[0] + ends[1]))
        # One Newton step carries the derivatives of the implicit function.
        slope = jax.lax.stop_gradient(jax.jvp(excess, (x,), (jnp.ones_like(x),))[1])
        moves = (x < _MOST_SAMPLES - 1.0) & (slope > 0)
        return x - jnp.where(moves, excess(x) / jnp.where(moves, slope, 1.0), 0.0)

    def _log_disposable(self, n):
        """Log of what is left of the total after the least k for every question."""
        least = jnp.exp(self.questions + self.log_answer(n, self.floor) - self.total)
        return self.total + _log(1.0 - least)

    def most_training(self, n):
        """The largest useful logit of the training share at log N: up to the data wall."""
        wall = self.max_tokens + n + jnp.log(self.cost.train_rate(n)) - self._log_disposable(n)
        inside = jnp.minimum(wall, -1e-18)
        logit = inside - jnp.log(-jnp.expm1(inside))
        walled = jnp.where(wall < 0, logit, ALL_TRAINING)
        return jnp.minimum(walled, ALL_TRAINING)

    # Bounds of log N --------------------------------------------------------------------------

    def upper(self):
        """Largest log N: one token, the least k, and the cap."""
        if not self.separate:
            least = self.cost.train_price * TRAIN_FLOPS + jnp.exp(self.questions + self.floor) * (
                self.cost.decode_price * INFERENCE_FLOPS * self.cost.answer_tokens
            )

            def total(n):
                served = self.questions + self.log_answer(n, self.floor)
                return jnp.logaddexp(self.log_train(n, 0.0), served) - self.total

            return jnp.minimum(self.max_params, self._largest(total, self.total - jnp.log(least)))
        least = self.cost.train_price * TRAIN_FLOPS
        train = self._largest(
            lambda n: self.log_train(n, 0.0) - self.train, self.train - jnp.log(least)
        )
        # Where samples are not budgeted the bound is infinite and must not enter the arithmetic.
        budgeted = jnp.isfinite(self.inference)
        inference = jnp.where(budgeted, self.inference, 0.0)
        least = self.cost.decode_price * INFERENCE_FLOPS * self.cost.answer_tokens
        served = self._largest(lambda n: self.log_answer(n, self.floor) - inference,
                               inference - self.floor - jnp.log(least))  # fmt: skip
        served = jnp.where(budgeted, served, jnp.inf)
        return jnp.minimum(jnp.minimum(self.max_params, served), train)

    def _largest(self, excess, start):
        """The root of a convex, increasing function, by Newton from its right.

        `start` counts what grows with N alone: for monomial costs it is the root.
        """
        if self.monomial:
            return start

        def step(_, n):
            value, slope = jax.jvp(excess, (n,), (jnp.ones_like(n),))
            return n - value / slope

        # The last step is differentiable, so that the bound moves with budgets and prices.
        return step(0, jax.lax.stop_gradient(jax.lax.fori_loop(0, _NEWTON, step, start)))

    def lower(self):
        """Smallest log N that is searched."""
        return jnp.minimum(self.min_params, self.upper())


def _log(x):
    """Log, and a very negative number where there is nothing to take it of."""
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), -1e3)
