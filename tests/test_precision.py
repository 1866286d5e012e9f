"""64-bit is a scope: exact inside, untouched outside, whatever the mode of the process."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2jax._precision import double, to_numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = 1e-12  # lost when added to 1 in float32, kept in float64


@double
def add(x: Any, y: Any = 0.0) -> Any:
    return jnp.asarray(x) + jnp.asarray(y)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    left: object
    right: object


def default_dtype() -> np.dtype:
    """What a Python float becomes outside the scope, in this process."""
    return jnp.asarray(0.5).dtype


def test_inside_the_scope_numbers_have_64_bits():
    answer = add(1.0, TINY)
    assert isinstance(answer, np.ndarray)
    assert answer.dtype == np.float64
    assert answer == 1.0 + TINY


@given(st.floats(-1e300, 1e300, allow_subnormal=False), st.floats(-1e300, 1e300))
def test_the_scope_adds_as_python_does(x: float, y: float):
    assert add(np.asarray([x]), np.asarray([y])).tolist() == [x + y]


def test_integers_beyond_32_bits_survive():
    tokens = 8_000_000_000_001
    assert int(add(np.asarray(tokens), 0)) == tokens


def test_outside_the_scope_nothing_has_changed():
    setting, dtype = jax.config.read("jax_enable_x64"), default_dtype()
    add(1.0)
    assert jax.config.read("jax_enable_x64") == setting
    assert default_dtype() == dtype == (np.float64 if setting else np.float32)


def test_an_error_inside_leaves_the_setting_as_it_was():
    dtype = default_dtype()

    @double
    def fails():
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fails()
    assert default_dtype() == dtype


def test_the_scope_is_closed_to_other_threads():
    dtype = default_dtype()
    seen = []

    @double
    def look_elsewhere():
        other = threading.Thread(target=lambda: seen.append(default_dtype()))
        other.start()
        other.join()
        return default_dtype()

    assert look_elsewhere() == np.float64
    assert seen == [dtype]


def test_a_scope_inside_a_scope_stays_64_bit():
    @double
    def outer():
        add(1.0)
        return jnp.asarray(1.0) + TINY

    assert outer() == 1.0 + TINY


def test_one_jitted_function_serves_both_modes():
    # Data comes as arguments: a function that closed over an array would keep the first dtype.
    scale = jax.jit(lambda weight, x: weight * jnp.sum(x))
    x = np.asarray([1.0, TINY])
    outside = scale(1.0, jnp.asarray(x))
    inside = double(lambda x: scale(1.0, jnp.asarray(x)))(x)
    again = scale(1.0, jnp.asarray(x))
    assert outside.dtype == again.dtype == default_dtype()
    assert inside.dtype == np.float64
    assert inside == 1.0 + TINY


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.jit(f)(1.0),
        lambda f: jax.vmap(f)(jnp.ones(3)),
        lambda f: jax.grad(f)(1.0),
        lambda f: jax.jit(lambda x: f(1.0, y=x))(2.0),
        lambda f: jax.jit(lambda x: f(Pair(left=x, right=1.0)))(2.0),
    ],
    ids=["jit", "vmap", "grad", "keyword", "inside a pytree"],
)
def test_tracers_are_refused_with_advice(transform):
    with pytest.raises(TypeError, match=r"^add .*cannot be traced.*concrete numbers"):
        transform(add)


def test_only_jax_arrays_are_replaced_and_the_structure_stays():
    tree = {"pair": Pair(left=jnp.arange(3), right="text"), "none": None, "number": 2.5}
    out = to_numpy(tree)
    assert isinstance(out["pair"], Pair)
    assert isinstance(out["pair"].left, np.ndarray)
    assert out["pair"].left.tolist() == [0, 1, 2]
    assert (out["pair"].right, out["none"], out["number"]) == ("text", None, 2.5)


def test_the_name_and_docstring_of_the_driver_stay():
    @double
    def driver():
        """What it does."""

    assert driver.__name__ == "driver"
    assert driver.__doc__ == "What it does."


@pytest.mark.parametrize("mode", ["0", "1"])
def test_the_answer_is_the_same_in_a_process_of_either_mode(mode: str):
    code = (
        "import jax, jax.numpy as jnp\n"
        "from t2jax._precision import double\n"
        "before = jnp.asarray(0.5).dtype\n"
        "inside = double(lambda x: jnp.asarray(x) + 1e-12)(1.0)\n"
        "print(before, inside.dtype, inside.item().hex(), jnp.asarray(0.5).dtype)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "JAX_ENABLE_X64": mode},
        capture_output=True,
        text=True,
        check=True,
    )
    outside = "float64" if mode == "1" else "float32"
    assert done.stdout.split() == [outside, "float64", (1.0 + TINY).hex(), outside]
