"""Exact optima of the power laws: one concave, decreasing function of log N, by Newton."""

import jax
import jax.numpy as jnp

from t2jax._typing import ArrayLike, Scalar
from t2jax.laws import Additive, Coupled, Law, Softplus, T2Loss, T2LossPaper, Tied
from t2jax.optimum.budget import Box

__all__ = ["applies", "power_optimum"]


def applies(law: Law) -> bool:
    """Whether the law's optimum under separate budgets has the form solved here."""
    if isinstance(law, Softplus):
        return isinstance(law.loss, Additive | Tied)
    return isinstance(law, Additive | Tied | Coupled | T2Loss | T2LossPaper)


def _log_slopes(law: Law) -> tuple[ArrayLike, ...]:
    """log(alpha A), alpha, log(beta B), beta, log of the slope in log k at k = 1, gamma."""
    base = law.base
    alpha = base.alpha  # pyright: ignore[reportAttributeAccessIssue]
    beta = base.alpha if isinstance(base, Tied) else base.beta  # pyright: ignore
    size, data = jnp.log(alpha * base.A), jnp.log(beta * base.B)  # pyright: ignore
    if isinstance(law, T2LossPaper):
        law = law.boxcox()
    if isinstance(law, T2Loss):
        return size, alpha, data, beta, jnp.log(law.S), law.gamma
    # Inside a softplus every e-fold of k takes one nat off; elsewhere k does not enter.
    slope = 0.0 if isinstance(law, Softplus) else -jnp.inf
    return size, alpha, data, beta, jnp.full_like(size, slope), jnp.zeros_like(size)


def power_optimum(law: Law, box: Box) -> Scalar:
    """The log of N at the optimum of a law for which `applies` holds; NaN where gamma < 0.

    Stationarity in log N is `alpha t_N = beta t_D + gamma t_K`: with both budgets spent,
    `log(alpha t_N) - logaddexp(log beta t_D, log gamma t_K)` is concave and decreasing in
    log N, so Newton from the right of its root converges monotonically. Caps follow from
    convexity: past the data wall the data term drops out, and a box clips.

    Args:
      law: one law.
      box: one budget in logs.

    Source: the first-order conditions of arXiv:2604.01411, Approach 1; arXiv:2203.15556.
    """
    size, alpha, data, beta, repeat, gamma = _log_slopes(law)
    budgeted = jnp.isfinite(box.inference)
    inference = jnp.where(budgeted, box.inference, 0.0)
    repeat = jnp.where(budgeted, repeat, -jnp.inf)

    def gap(n, with_data):
        fall = size - alpha * n
        from_data = jnp.where(with_data, data - beta * (box.train - n), -jnp.inf)
        from_samples = repeat - gamma * (inference - n)
        return fall - jnp.logaddexp(from_data, from_samples)

    def root(with_data):
        # The root for each rival term alone bounds the common root from the right.
        data_alone = (size - data + beta * box.train) / (alpha + beta)
        samples_alone = (size - repeat + gamma * inference) / (alpha + gamma)
        start = jnp.minimum(jnp.where(with_data, data_alone, jnp.inf), samples_alone)

        def step(_, n):
            slope = jax.grad(gap)(n, with_data)
            return n - gap(n, with_data) / slope

        return jax.lax.fori_loop(0, 12, step, start)

    free = root(True)
    kink = box.train - box.max_tokens
    # Left of the kink D stays at the wall and only samples compete with size.
    walled = jnp.where(jnp.isneginf(repeat), kink, jnp.minimum(root(False), kink))
    n = jnp.where(free < kink, walled, free)
    n = jnp.where((gamma < 0) & budgeted, jnp.nan, n)
    return jnp.clip(n, box.lower(), box.upper())
