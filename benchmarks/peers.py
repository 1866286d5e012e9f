"""The peers: what people run today, and the best we could make of the same libraries.

Every function takes logs of the data and hands back plain NumPy. Coefficients travel as
`log A, log B, log E, alpha, beta` (and `log G, gamma`), as in arXiv:2203.15556.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from scipy import optimize, special

DELTA = 1e-3
RESTARTS = 500
"""Random restarts of Approach 1 in arXiv:2604.01411."""

TIGHT = {"maxiter": 5000, "maxfun": 50000, "ftol": 1e-15, "gtol": 1e-10}
"""SciPy's default `ftol` is absolute below 1: at an objective of 1e-3 it stops 2e-6 too early."""


# The additive law under the sum of Huber losses of log residuals -------------------------------


def additive_log(theta, size, data):
    """Log of the law, and its Jacobian in theta [rows, 5]."""
    a, b, e, alpha, beta = theta
    by_size, by_data = np.exp(a - alpha * size), np.exp(b - beta * data)
    total = by_size + by_data + np.exp(e)
    columns = [by_size, by_data, np.full_like(size, np.exp(e)), -by_size * size, -by_data * data]
    return np.log(total), np.stack(columns, axis=1) / total[:, None]


def huber_value(theta, size, data, log_loss, weight=1.0):
    """The objective alone, for gradients by differences."""
    a, b, e, alpha, beta = theta
    total = np.exp(a - alpha * size) + np.exp(b - beta * data) + np.exp(e)
    gap = np.abs(np.log(total) - log_loss)
    inside = np.minimum(gap, DELTA)
    return float(np.sum(weight * inside * (gap - 0.5 * inside)))


def huber_and_gradient(theta, size, data, log_loss, weight=1.0):
    """The objective and its exact gradient."""
    log_law, jacobian = additive_log(theta, size, data)
    gap = log_law - log_loss
    inside = np.minimum(np.abs(gap), DELTA)
    value = np.sum(weight * inside * (np.abs(gap) - 0.5 * inside))
    return float(value), jacobian.T @ (weight * np.clip(gap, -DELTA, DELTA))


def hoffmann_grid() -> np.ndarray:
    """The 4,500 starts of arXiv:2203.15556 [4500, 5]."""
    exponent = np.arange(0.0, 2.01, 0.5)
    amplitude = np.arange(0.0, 25.1, 5.0)
    axes = (amplitude, amplitude, np.arange(-1.0, 1.01, 0.5), exponent, exponent)
    return np.asarray(list(itertools.product(*axes)))


def lbfgsb(starts, function, args, *, gradient: bool, options=None):
    """SciPy L-BFGS-B from every start.

    Returns:
      Coefficients [starts, coordinates] and objectives [starts].
    """
    ends, values = [], []
    with np.errstate(all="ignore"):
        for start in starts:
            found = optimize.minimize(
                function, start, args=args, jac=gradient, method="L-BFGS-B", options=options
            )
            ends.append(found.x)
            values.append(found.fun)
    return np.asarray(ends), np.asarray(values, float)


def random_starts(size, data, loss, count: int) -> np.ndarray:
    """Sensible starts in centred coordinates [count, 5]."""
    rng = np.random.default_rng(4)
    amplitude = np.log(np.ptp(loss) * rng.uniform(0.05, 1.0, (count, 2)))
    floor = np.log(loss.min() * rng.uniform(0.2, 0.95, (count, 1)))
    return np.concatenate([amplitude, floor, rng.uniform(0.1, 0.9, (count, 2))], axis=1)


def least_squares_huber(starts, size, data, log_loss):
    """SciPy's trust-region least squares with its own Huber loss and an exact Jacobian."""
    values = []
    with np.errstate(all="ignore"):
        for start in starts:
            found = optimize.least_squares(
                lambda theta: additive_log(theta, size, data)[0] - log_loss,
                start,
                jac=lambda theta: additive_log(theta, size, data)[1],
                loss="huber",
                f_scale=DELTA,
                x_scale="jac",
                ftol=1e-15,
                xtol=1e-15,
                gtol=1e-15,
                max_nfev=500,
            )
            values.append(huber_value(found.x, size, data, log_loss))
    return np.asarray(values)


def _signed_root(theta, args):
    """Residuals whose squares sum to twice the Huber objective."""
    size, data, log_loss = args
    a, b, e, alpha, beta = theta
    total = jnp.exp(a - alpha * size) + jnp.exp(b - beta * data) + jnp.exp(e)
    gap = jnp.log(total) - log_loss
    far = jnp.abs(gap) > DELTA
    # The root is never taken where it would be of a negative number, nor differentiated there.
    outer = jnp.sqrt(jnp.where(far, 2 * DELTA * jnp.abs(gap) - DELTA**2, 1.0))
    return jnp.where(far, jnp.sign(gap) * outer, gap)


@jax.jit
def _levenberg_marquardt(starts, args):
    solver = optimistix.LevenbergMarquardt(rtol=1e-10, atol=1e-12)

    def one(start):
        found = optimistix.least_squares(
            _signed_root, solver, start, args, max_steps=1000, throw=False
        )
        return 0.5 * jnp.sum(_signed_root(found.value, args) ** 2)

    return jax.lax.map(one, starts)


def levenberg_marquardt(starts, size, data, log_loss) -> np.ndarray:
    """Optimistix Levenberg-Marquardt on the signed root of twice the Huber loss, in float64."""
    with jax.enable_x64(True):
        args = tuple(jnp.asarray(x) for x in (size, data, log_loss))
        return np.asarray(_levenberg_marquardt(jnp.asarray(starts), args))


# The paper's Approach 1 under the sum of squared errors ----------------------------------------


def paper_starts(count: int) -> np.ndarray:
    """Random restarts of Approach 1 [count, 7], in ranges that hold every published fit."""
    rng = np.random.default_rng(5)
    low = np.array([0.0, 0.0, -2.0, 0.05, 0.05, -2.0, 0.05])
    high = np.array([15.0, 15.0, 1.0, 1.0, 1.0, 2.0, 1.0])
    return rng.uniform(low, high, (count, 7))


def paper_value(theta, size, data, repeat, loss):
    """The sum of squared errors of the published form."""
    a, b, e, alpha, beta, g, gamma = theta
    law = np.exp(a - alpha * size) + np.exp(b - beta * data)
    gap = law + np.exp(g - gamma * repeat) + np.exp(e) - loss
    return float(gap @ gap)


def paper_terms(theta, size, data, repeat):
    """The published form and its Jacobian [rows, 7]."""
    a, b, e, alpha, beta, g, gamma = theta
    t_n, t_d, t_k = np.exp(a - alpha * size), np.exp(b - beta * data), np.exp(g - gamma * repeat)
    floor = np.full_like(t_n, np.exp(e))
    jacobian = [t_n, t_d, floor, -t_n * size, -t_d * data, t_k, -t_k * repeat]
    return t_n + t_d + t_k + floor, np.stack(jacobian, axis=1)


def paper_least_squares(starts, size, data, repeat, loss) -> np.ndarray:
    """SciPy's trust-region least squares with an exact Jacobian: the best of that library."""
    values = []
    with np.errstate(all="ignore"):
        for start in starts:
            try:
                found = optimize.least_squares(
                    lambda theta: paper_terms(theta, size, data, repeat)[0] - loss,
                    start,
                    jac=lambda theta: paper_terms(theta, size, data, repeat)[1],
                    x_scale="jac",
                    ftol=1e-12,
                    xtol=1e-12,
                    gtol=1e-12,
                    max_nfev=1000,
                )
            except (ValueError, np.linalg.LinAlgError):  # overflow on the way: a failed restart
                values.append(np.inf)
                continue
            values.append(paper_value(found.x, size, data, repeat, loss))
    return np.asarray(values)


# The optimum over log N, both budgets spent ----------------------------------------------------


def path(train_flops: float, inference_flops: float):
    """Log D and log k as functions of log N, and the largest log N."""
    train, inference = np.log(train_flops / 6.0), np.log(inference_flops / 2.0)
    return lambda n: (train - n, inference - n), min(train, inference)


def loss_on_path(c: dict[str, float], train_flops: float, inference_flops: float):
    """The published loss along the path, and the largest log N."""
    left, top = path(train_flops, inference_flops)

    def cost(n):
        d, x = left(n)
        powers = c["A"] * np.exp(-c["alpha"] * n) + c["B"] * np.exp(-c["beta"] * d)
        return c["E1"] + powers + c["S"] * np.expm1(-c["gamma"] * x) / c["gamma"]

    return cost, top


def failure_on_path(c: dict[str, float], train_flops: float, inference_flops: float):
    """One minus pass@k of Approach 2 along the path, by SciPy's `betaln`."""
    left, top = path(train_flops, inference_flops)

    def cost(n):
        d, x = left(n)
        loss = c["E"] + c["A"] * np.exp(-c["alpha"] * n) + c["B"] * np.exp(-c["beta"] * d)
        hit = c["th2"] * special.expit(-c["th1"] * (loss - c["th0"]))
        spread = np.exp(c["th3"] + c["th4"] * loss)
        a, b = hit * spread, (1.0 - hit) * spread
        return np.exp(special.betaln(a, b + np.exp(x)) - special.betaln(a, b))

    return cost, top


def lifetime_on_path(c: dict[str, float], total: float, served: float, caps: dict[str, float]):
    """The published loss at log N when 6ND + served k N is spent best, and the largest log N.

    The inner problem, how much of the money goes into training, is another `minimize_scalar`.
    """
    top = np.log(min(caps["max_params"], total / (served * (1 + 1e-9))))

    def cost(n):
        size = np.exp(n)
        most = min(1 - served * size / total, 6 * size * caps["max_tokens"] / total)
        if most <= 0:
            return np.inf

        def at(logit):
            share = most * special.expit(logit)
            d, k = share * total / (6 * size), (1 - share) * total / (served * size)
            powers = c["A"] * size ** -c["alpha"] + c["B"] * d ** -c["beta"]
            return c["E1"] + powers + c["S"] * np.expm1(-c["gamma"] * np.log(k)) / c["gamma"]

        found = optimize.minimize_scalar(
            at, bounds=(-30.0, 30.0), method="bounded", options={"xatol": 1e-9}
        )
        return float(found.fun)

    return cost, float(top)


def bounded(cost, top: float, *, scan: int = 0) -> tuple[float, float]:
    """SciPy `minimize_scalar` over log N in [0, top], after a grid where asked for.

    Returns:
      log N and the cost there.
    """
    low, high = 0.0, top
    with np.errstate(all="ignore"):
        if scan:
            grid = np.linspace(0.0, top, scan)
            best = int(np.nanargmin(cost(grid)))
            low, high = grid[max(best - 1, 0)], grid[min(best + 1, scan - 1)]
        found = optimize.minimize_scalar(
            cost, bounds=(low, high), method="bounded", options={"xatol": 1e-9}
        )
    return float(found.x), float(found.fun)
