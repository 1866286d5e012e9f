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
        return (state.count <= _ROOT_STEPS) & ~state.done

    def step(state):
        # The slope is taken up a turn later, from the loop's own memory: XLA may compute it anew
        # for each of its uses and round it otherwise, and near the root a bracket whose lines
        # disagree about a sign is lost.
        bracket, t, done = _taken_up(state)
        x = bracket.a + t * (bracket.b - bracket.a)
        x = jnp.where(state.count == 0, low, jnp.where(state.count == 1, high, x))
        fx, extra = rise(x)
        return bracket._replace(count=state.count + 1, done=done, x=x, fx=fx, ex=extra)

    low, high = (jnp.asarray(end, float) for end in (low, high))
    shapes = jax.eval_shape(lambda x: rise(x)[1], low)
    blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    zero = jnp.zeros_like(low)
    start = _Bracket(jnp.array(0), jnp.array(False), low, zero, blank, low, high, low,
                     zero, zero, zero, blank, blank)  # fmt: skip
    end = jax.lax.while_loop(go, step, start)
    # Without a sign change the bracket is the two ends, the right one first.
    crosses = jnp.sign(end.fa) != jnp.sign(end.fb)
    first = jnp.where(crosses, jnp.abs(end.fa) < jnp.abs(end.fb), end.fa <= 0)
    chosen = jax.tree.map(lambda a, b: jnp.where(first, a, b), (end.a, end.ea), (end.b, end.eb))
    return chosen


class _Bracket(NamedTuple):
    """The state of `falling_root`: what is to be taken up, two ends, the point before them."""

    count: Any
    done: Any
    x: Any
    fx: Any
    ex: Any
    a: Any
    b: Any
    c: Any
    fa: Any
    fb: Any
    fc: Any
    ea: Any
    eb: Any


def _taken_up(state: _Bracket) -> tuple[_Bracket, Scalar, Scalar]:
    """The bracket with the newest point for an end, the next step in it, whether it is done."""
    none, first, second = state.count == 0, state.count == 1, state.count == 2
    same = none | first | (~second & (jnp.sign(state.fx) == jnp.sign(state.fa)))

    def keep(a, b):
        return jax.tree.map(lambda a, b: jnp.where(same, a, b), a, b)

    # The newest point becomes a; c is the one that it pushes out.
    b, fb, eb = keep((state.b, state.fb, state.eb), (state.a, state.fa, state.ea))
    c, fc = jnp.where(same, state.a, state.b), jnp.where(same, state.fa, state.fb)
    a, fa, ea = state.x, state.fx, state.ex
    nearest = jnp.where(jnp.abs(fa) < jnp.abs(fb), a, b)
    least = (4e-16 * jnp.abs(nearest) + 1e-300) / jnp.abs(b - a)
    done = (least > 0.5) | (jnp.minimum(jnp.abs(fa), jnp.abs(fb)) == 0) | (a == b)
    # Low was first, so that after two evaluations a is the right end and b the left.
    done = done | (second & ~((fb < 0) & (fa > 0)))
    xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    smooth = (state.count > 2) & (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
    inverse = fa / (fb - fa) * fc / (fb - fc)
    inverse = inverse + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
    t = jnp.clip(jnp.where(smooth, inverse, 0.5), least, 1 - least)
    bracket = state._replace(a=a, b=b, c=c, fa=fa, fb=fb, fc=fc, ea=ea, eb=eb)
    return bracket, t, done & ~none & ~first
