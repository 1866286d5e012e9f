"""The only file that knows that 64-bit floats exist (floor 0).

64-bit is a scope round the host-level drivers, never a setting: importing or using
t2jax leaves `jax_enable_x64` as it was, so that a trainer in the same process keeps
its 32-bit arrays.
"""

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from t2jax._devices import few_programs
from t2jax._typing import ArrayLike, Floats
from t2jax.errors import InputError

__all__ = [
    "double", "floats", "host_array", "in_mode", "is_double", "log_parts", "to_numpy",
]  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")


def is_double() -> bool:
    """Whether this thread is in 64-bit mode."""
    return bool(jax.config.read("jax_enable_x64"))


def in_mode(double: bool) -> AbstractContextManager:
    """64-bit mode or the other, for a thread that works for another."""
    return jax.enable_x64(double)


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
        few_programs()
        with jax.enable_x64(True):
            return to_numpy(driver(*args, **kwargs))

    return run


def floats(value: Any, name: str) -> Floats:
    """A number, list, NumPy or JAX array as a JAX array of floats in the precision at hand.

    Whole numbers of any size become floats on the host: as integers, those past 2^31 would not
    survive 32-bit mode.

    Args:
      value: what was given.
      name: what to call it in an error.

    Raises:
      InputError: it is not numeric.

    >>> floats([1, 70_000_000_000], "params").dtype.kind
    'f'
    """
    if isinstance(value, jax.Array):
        return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(float)
    if isinstance(value, int | float):
        return jnp.asarray(float(value))
    try:
        array = np.asarray(value)
        array = array if array.dtype.kind == "f" else array.astype(np.float64, casting="safe")
    except (TypeError, ValueError, jax.errors.TracerArrayConversionError) as error:
        raise InputError(
            f"{name} = {value!r} is neither a number nor an array of numbers",
            remedy=f"give {name} as a number, a list of numbers or an array",
        ) from error
    return jnp.asarray(array)


def log_parts(value: ArrayLike) -> tuple[Floats, Floats]:
    """`log` and `factor` with `factor exp(log) = value`, factor 1 where the value is positive.

    A number of the host is taken apart in double precision: a coefficient of 6e43 is infinite in
    single precision, and its log is 101. At zero the factor is the value, with its slope.

    >>> [round(float(x), 3) for x in log_parts(6e43)]
    [100.803, 1.0]
    """
    if isinstance(value, jax.Array):
        positive = value > 0
        one = jnp.ones_like(value)
        return jnp.log(jnp.where(positive, value, one)), jnp.where(positive, one, value)
    host = np.asarray(value, np.float64)
    positive = host > 0
    log, factor = np.log(np.where(positive, host, 1.0)), np.where(positive, 1.0, host)
    if host.ndim:
        return jnp.asarray(log), jnp.asarray(factor)
    return jnp.asarray(float(log)), jnp.asarray(float(factor))


def host_array(values: Any) -> np.ndarray:
    """Numbers as a float64 array of the host, whatever the mode."""
    return np.asarray(values, float)
