"""The house's root finder: where a slope passes from negative to positive."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from t2jax._typing import Scalar

__all__ = ["falling_root"]

_ROOT_STEPS = 80


def falling_root(rise: Callable[[Scalar], Any], low: Scalar, high: Scalar) -> tuple[Scalar, Any]:
    """Where a slope passes from negative to positive, by Chandrupatla's method.

    The loop evaluates the ends too, so that the function is compiled once.

    Args:
      rise: a function that returns a slope and anything else; the root is where the slope
        becomes positive.
      low: left end.
      high: right end.

    Returns:
      The root and what else the function returned there. The right end where the slope is
      negative at both, the left where it is positive.

    Source: Chandrupatla 1997, doi:10.1016/S0965-9978(96)00051-8.
    """

    def go(state):
        return (state.count < 2) | ((state.count < _ROOT_STEPS) & jnp.isfinite(state.t))

    def step(state):
        first, second = state.count == 0, state.count == 1
        t = jnp.where(jnp.isfinite(state.t), state.t, 0.5)
        x = jnp.where(first, low, jnp.where(second, high, state.a + t * (state.b - state.a)))
        fx, extra = rise(x)
        same = first | (~second & (jnp.sign(fx) == jnp.sign(state.fa)))
        # XLA may compute a slope anew for each of its uses, and round otherwise: near the root its
        # sign here need not be that of a line above. The bracket must keep what was said once.
        told = jnp.abs(fx) * jnp.where(same, jnp.sign(state.fa), -jnp.sign(state.fa))
        fx = jnp.where(state.count < 2, fx, told)

        def keep(a, b):
            return jax.tree.map(lambda a, b: jnp.where(same, a, b), a, b)

        # The newest point becomes a; c is the one that it pushes out.
        b, fb, eb = keep((state.b, state.fb, state.eb), (state.a, state.fa, state.ea))
        c, fc = jnp.where(same, state.a, state.b), jnp.where(same, state.fa, state.fb)
        a, fa = x, fx
        nearest = jnp.where(jnp.abs(fa) < jnp.abs(fb), a, b)
        least = (4e-16 * jnp.abs(nearest) + 1e-300) / jnp.abs(b - a)
        done = (least > 0.5) | (jnp.minimum(jnp.abs(fa), jnp.abs(fb)) == 0) | (a == b)
        # Low was first, so that after two evaluations a is the right end and b the left.
        done = done | (second & ~((fb < 0) & (fa > 0)))
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        smooth = (state.count > 1) & (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        inverse = fa / (fb - fa) * fc / (fb - fc)
        inverse = inverse + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = jnp.clip(jnp.where(smooth, inverse, 0.5), least, 1 - least)
        t = jnp.where(done & ~first, jnp.nan, t)
        return _Bracket(state.count + 1, t, a, b, c, fa, fb, fc, extra, eb)

    low, high = (jnp.asarray(end, float) for end in (low, high))
    shapes = jax.eval_shape(lambda x: rise(x)[1], low)
    blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    zero = jnp.zeros_like(low)
    start = _Bracket(jnp.array(0), zero, low, high, low, zero, zero, zero, blank, blank)
    end = jax.lax.while_loop(go, step, start)
    # Without a sign change the bracket is the two ends, the right one first.
    crosses = jnp.sign(end.fa) != jnp.sign(end.fb)
    first = jnp.where(crosses, jnp.abs(end.fa) < jnp.abs(end.fb), end.fa <= 0)
    chosen = jax.tree.map(lambda a, b: jnp.where(first, a, b), (end.a, end.ea), (end.b, end.eb))
    return chosen


class _Bracket(NamedTuple):
    """The state of `falling_root`: two ends, the point before them, and what came with each."""

    count: Any
    t: Any
    a: Any
    b: Any
    c: Any
    fa: Any
    fb: Any
    fc: Any
    ea: Any
    eb: Any
