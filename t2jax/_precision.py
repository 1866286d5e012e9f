"""The only file that knows that 64-bit floats exist (floor 0).

64-bit is a scope round the host-level drivers, never a setting: importing or using
t2jax leaves `jax_enable_x64` as it was, so that a trainer in the same process keeps
its 32-bit arrays.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.core import Tracer

from t2jax.errors import InputError

__all__ = ["double", "to_numpy"]

P = ParamSpec("P")
R = TypeVar("R")


def to_numpy(tree: Any) -> Any:
    """Replace every JAX array in a pytree by a NumPy array of the same dtype."""
    return jax.tree.map(lambda x: np.asarray(x) if isinstance(x, jax.Array) else x, tree)


def double(driver: Callable[P, R]) -> Callable[P, R]:
    """Run a host-level driver in 64-bit mode and hand NumPy arrays back.

    Args:
      driver: a function on concrete arrays; it converts its inputs inside.

    Returns:
      The same function, inside `jax.enable_x64(True)`.

    Raises:
      TypeError: when called on tracers, inside `jax.jit`, `jax.vmap` or `jax.grad`.
      InputError: when called with arguments that the driver does not have, or without one.

    >>> import jax.numpy as jnp
    >>> double(lambda x: jnp.sum(jnp.asarray(x)))([0.5, 0.25]).dtype
    dtype('float64')
    """
    signature = inspect.signature(driver)

    @functools.wraps(driver)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            known = ", ".join(signature.parameters)
            raise InputError(
                f"{driver.__name__}() {error}", remedy=f"its arguments are {known}"
            ) from None
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs))):
            name = getattr(driver, "__name__", "this function")
            raise TypeError(
                f"{name} drives its own compiled programs and cannot be traced by jit, vmap or "
                "grad: call it on concrete numbers, or transform the law itself, which is pure"
            )
        with jax.enable_x64(True):
            return to_numpy(driver(*args, **kwargs))

    return run
