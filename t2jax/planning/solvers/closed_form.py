"""Exact optima of the power laws: KKT conditions with explicit active sets.

In logs of N, D and k the power laws and their costs are convex, so that the point that meets the
conditions is the optimum, and the only one.
"""

import jax
import jax.numpy as jnp

from t2jax._typing import ArrayLike, Floats, Scalar
from t2jax.laws import Additive, Ceiling, Coupled, Law, Softplus, T2Loss, T2LossPaper, Tied
from t2jax.planning.solvers.box import Box

__all__ = ["applies", "exact", "power_optimum", "share_root"]

_NEWTON = 12


def applies(law: Law, box: Box | None = None) -> bool:
    """Whether the law's optimum has the form solved here, under that budget if one is given."""
    powers = isinstance(law, T2Loss | T2LossPaper)
    if box is not None:
        uncertain = box.offsets.shape[-1] > 1 and law.uses_samples and not powers
        if box.repeats or not box.monomial or uncertain:
            return False
    if isinstance(law, Softplus):
        return isinstance(law.loss, Additive | Tied)
    return powers or isinstance(law, Additive | Tied | Coupled | Ceiling)


def exact(law: Law, box: Box) -> tuple[Scalar, Scalar, Scalar]:
    """Logs of N, D and k at the optimum of a law for which `applies` holds.

    Args:
      law: one law.
      box: one budget; separate or a total.

    Returns:
      Logs of N, D and k; NaN where gamma < 0.
    """
    if box.separate:
        n = power_optimum(law, box)
        d, x = box.split(law, n, 0.0)
        return n, d, x
    return _total_optimum(law, box)


def _log_slopes(law: Law, box: Box) -> tuple[ArrayLike, ...]:
    """log(alpha A), alpha, log(beta B), beta, log of the slope in log k at k = 1, gamma."""
    of_size, of_data = law.base.power_term("params"), law.base.power_term("tokens")
    assert of_size is not None
    assert of_data is not None
    (size, alpha), (data, beta) = of_size, of_data
    size, data = size + jnp.log(alpha), data + jnp.log(beta)
    if isinstance(law, T2LossPaper):
        law = law.boxcox()
    if isinstance(law, T2Loss):
        # Demand above the mean leaves fewer samples: E[(q/mean)^gamma] times the slope.
        spread = jax.nn.logsumexp(law.gamma * box.offsets, b=box.weights)
        return size, alpha, data, beta, jnp.log(law.S) + spread, law.gamma
    # Inside a softplus every e-fold of k takes one nat off; elsewhere k does not enter.
    slope = 0.0 if isinstance(law, Softplus) else -jnp.inf
    return size, alpha, data, beta, jnp.full_like(size, slope), jnp.zeros_like(size)


def power_optimum(law: Law, box: Box) -> Scalar:
    """The log of N under separate budgets; NaN where gamma < 0.

    Stationarity in log N is `alpha t_N = beta t_D + gamma t_K`: with both budgets spent,
    `log(alpha t_N) - logaddexp(log beta t_D, log gamma t_K)` is concave and decreasing in
    log N, so Newton from the right of its root converges monotonically. Caps follow from
    convexity: past the data wall the data term drops out, and a box clips.

    Args:
      law: one law.
      box: one budget in logs.

    Source: the first-order conditions of arXiv:2604.01411, Approach 1; arXiv:2203.15556.
    """
    size, alpha, data, beta, repeat, gamma = _log_slopes(law, box)
    train = box.train - jnp.log(box.cost.train_rate(jnp.zeros(())))
    budgeted = jnp.isfinite(box.inference) & (not box.pinned)
    inference = jnp.where(
        budgeted, box.inference - jnp.log(box.cost.sample_rate(jnp.zeros(()))), 0.0
    )
    repeat = jnp.where(budgeted, repeat, -jnp.inf)

    def gap(n, with_data):
        fall = size - alpha * n
        from_data = jnp.where(with_data, data - beta * (train - n), -jnp.inf)
        from_samples = repeat - gamma * (inference - n)
        return fall - jnp.logaddexp(from_data, from_samples)

    def root(with_data):
        # The root for each rival term alone bounds the common root from the right.
        data_alone = (size - data + beta * train) / (alpha + beta)
        samples_alone = (size - repeat + gamma * inference) / (alpha + gamma)
        start = jnp.minimum(jnp.where(with_data, data_alone, jnp.inf), samples_alone)

        def step(_, n):
            slope = jax.grad(gap)(n, with_data)
            return n - gap(n, with_data) / slope

        return jax.lax.fori_loop(0, _NEWTON, step, start)

    free = root(True)
    kink = train - box.max_tokens
    # Left of the kink D stays at the wall and only samples compete with size.
    walled = jnp.where(jnp.isneginf(repeat), kink, jnp.minimum(root(False), kink))
    n = jnp.where(free < kink, walled, free)
    n = jnp.where((gamma < 0) & budgeted, jnp.nan, n)
    return jnp.clip(n, box.lower(), box.upper())


def share_root(constant: ArrayLike, left: ArrayLike, right: ArrayLike) -> Floats:
    """The logit u of a share with `constant + left log(1+e^-u) - right log(1+e^u) = 0`.

    The function decreases and its slope moves monotonically from -left to -right, so that it is
    convex or concave and Newton converges from anywhere.

    Args:
      constant: any number.
      left: positive.
      right: positive.
    """

    def step(_, u):
        value = constant + left * jax.nn.softplus(-u) - right * jax.nn.softplus(u)
        return u + value / (left * jax.nn.sigmoid(-u) + right * jax.nn.sigmoid(u))

    start = jnp.where(constant > 0, constant / right, constant / left)
    return jax.lax.fori_loop(0, _NEWTON, step, start)


def _total_optimum(law: Law, box: Box) -> tuple[Scalar, Scalar, Scalar]:
    """One budget for training and serving: `alpha t_N = lam`, `beta t_D = lam s`, ...

    `gamma t_K = lam (1 - s)` with s the training share. Each set of active bounds (data wall,
    least k) leaves one equation in logit s, solved by `share_root`; of the four candidates the
    one that violates the conditions least is the optimum. Bounds of N follow from convexity:
    outside them N is the bound, and one more equation gives the share.
    """
    size, alpha, data, beta, repeat, gamma = _log_slopes(law, box)
    # With the training share s: n + d = train + log s, n + x = serve + log(1 - s).
    train = box.total - jnp.log(box.cost.train_rate(jnp.zeros(())))
    serve = box.total - box.questions - jnp.log(box.cost.sample_rate(jnp.zeros(())))
    wall, floor = box.max_tokens, box.floor
    samples = jnp.isfinite(repeat) & (not box.pinned)
    repeat = jnp.where(samples, repeat, 0.0)  # those candidates are struck out below
    top = jnp.where(jnp.isfinite(wall), wall, 0.0)

    # One equation each: nothing binds; D at the wall; k at its least, the shares exchanged.
    first = 1.0 / (1.0 / alpha + 1.0 / beta)
    second = 1.0 / (gamma / alpha + 1.0)
    lead_train = first * (size / alpha + data / beta - train)
    lead_serve = second * (gamma * size / alpha + repeat - gamma * serve)
    least = serve - floor  # n = least + log(1 - s) where k is at its least
    constants = (
        lead_train - lead_serve,
        size - alpha * (train - top) - repeat + gamma * (serve - train + top),
        size - data + beta * train - (alpha + beta) * least,
    )
    lefts = (first * (1.0 + 1.0 / beta), alpha + gamma, alpha + beta)
    rights = (second * (1.0 + gamma), 1.0 + gamma, 1.0 + beta)
    u = share_root(*(jnp.stack(jnp.broadcast_arrays(*c)) for c in (constants, lefts, rights)))
    u = u * jnp.array([1.0, 1.0, -1.0])
    part, rest = jax.nn.log_sigmoid(u), jax.nn.log_sigmoid(-u)
    at_least = -jnp.logaddexp(top - train, floor - serve)  # log N with both bounds active
    n = jnp.stack([(size - lead_train + lefts[0] * part[0]) / alpha, train - top + part[1],
                   least + rest[2], at_least])  # fmt: skip
    part = jnp.append(part, n[3] + top - train)
    rest = jnp.append(rest, n[3] + floor - serve)
    walled = jnp.array([False, True, False, True])
    sparse = jnp.array([False, False, True, True])
    d = jnp.where(walled, top, train + part - n)
    x = jnp.where(sparse, floor, serve + rest - n)

    # The largest violation of each, in logs: of a bound, or of the sign of its price.
    t_n, t_d, t_k = size - alpha * n, data - beta * d, repeat - gamma * x
    fault = jnp.maximum(d - wall, jnp.where(samples, floor - x, 0.0))
    fault = jnp.maximum(fault, jnp.where(walled, t_n + part - t_d, -jnp.inf))
    fault = jnp.maximum(fault, jnp.where(sparse & samples, t_k - t_n - rest, -jnp.inf))
    fault = jnp.where((walled & ~jnp.isfinite(wall)) | (~sparse & ~samples), jnp.inf, fault)
    fault = jnp.where(jnp.isnan(fault), jnp.inf, fault)
    chosen = jnp.argmin(jnp.maximum(fault, 1e-13))
    n, d, x = n[chosen], d[chosen], x[chosen]

    # N at a bound: the training share is whatever is best there, up to the wall and the least k.
    bound = jnp.clip(n, box.min_params, box.max_params)
    u = share_root(data - beta * (train - bound) - repeat + gamma * (serve - bound),
                   1.0 + beta, 1.0 + gamma)  # fmt: skip
    most = jnp.log(-jnp.expm1(jnp.minimum(bound + floor - serve, -1e-18)))
    part = jnp.minimum(jnp.where(samples, jax.nn.log_sigmoid(u), most), most)
    part = jnp.minimum(part, wall + bound - train)
    sparse = part >= most
    left = jnp.log(-jnp.expm1(jnp.minimum(part, -1e-18)))
    x_bound = jnp.where(sparse | ~samples, floor, serve + left - bound)
    d_bound = jnp.minimum(train + part - bound, wall)
    moved = (bound != n) | jnp.isnan(n)
    n = jnp.where(moved, bound, n)
    d, x = jnp.where(moved, d_bound, d), jnp.where(moved, x_bound, x)
    return jnp.where((gamma < 0) & samples, jnp.nan, n), d, x
