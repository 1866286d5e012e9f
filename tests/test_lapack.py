"""No compiled program holds a batch of LAPACK calls, which jaxlib 0.10 may wait for without end.

It shares a batch out among its threads, and each batch waits for threads: as many batches at once
as there are threads wait for each other. On two cores two are enough.
"""

import pathlib
import re

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import t2jax
from t2jax.fitting import minimise
from t2jax.uncertainty import discrepancy

CALL = re.compile(r"@lapack_\w+\(.*\) -> .*")
BATCH = re.compile(r"tensor<\d+x\d+x\d+x")


ALONE = {  # why no two of its batches can be under way at once
    "fitting/minimise.py": "systems too large to write out are of one fit, with an effect a row",
    "fitting/spread.py": "one set of questions after another, a matrix each",
    "fitting/starts.py": "one call, before anything else runs",
    "planning/sensitivity.py": "each call needs what the one before it gave",
    "uncertainty/discrepancy.py": "one draw after another, a matrix each",
    "uncertainty/prepare.py": "one matrix",
    "validation/covariance.py": "each call needs what the one before it gave",
    "validation/laplace_check.py": "one call",
}


def batches(program: str) -> list[str]:
    """The calls of LAPACK in a lowered program that are given more than one matrix."""
    return [call for call in CALL.findall(program) if BATCH.search(call)]


def test_a_batch_is_seen_where_there_is_one():
    many, one = jnp.ones((5, 3, 3)), jnp.ones((3, 3))
    solve = jax.jit(jnp.linalg.cholesky)
    if "lapack" not in solve.lower(one).as_text():
        pytest.skip("this backend has no LAPACK")
    assert batches(solve.lower(many).as_text())
    assert not batches(solve.lower(one).as_text())


def test_surfaces_of_many_draws_are_solved_one_after_the_other():
    place, run = jnp.ones((6, 2)), jnp.zeros(6, int)
    nodes = (np.linspace(0, 1, 8), np.linspace(0, 1, 12))
    given = (place, run, 1, nodes, jnp.ones((7, 6)), jnp.ones((7, 5)))
    assert not batches(discrepancy._solved.lower(*given).as_text())


def test_steps_of_many_refits_have_no_lapack():
    step = jax.jit(jax.vmap(minimise._newton_step, (0, 0, 0, None)))
    given = (jnp.ones((7, 6)), jnp.ones((7, 6, 6)), jnp.zeros((7, 6), bool), 0.0)
    assert "lapack" not in step.lower(*given).as_text()


def test_whoever_calls_it_is_known():
    root = pathlib.Path(t2jax.__file__).parent
    asks = re.compile(r"(jnp|jax\.scipy|lax)\.linalg|from jax\.(numpy|scipy) import .*linalg")
    found = {
        str(file.relative_to(root)) for file in root.rglob("*.py") if asks.search(file.read_text())
    }
    assert found == set(ALONE)


@hypothesis.given(
    size=st.sampled_from([1, 2, 5, 9, 40]),
    seed=st.integers(0, 2**31),
    least=st.sampled_from([1e-6, 1e-2, 1.0]),
)
def test_a_small_system_is_solved_as_numpy_solves_it(size, seed, least):
    draw = np.random.default_rng(seed)
    root = np.linalg.qr(draw.normal(size=(size, size)))[0]
    matrix = (root * np.geomspace(least, 1.0, size)) @ root.T
    rhs = draw.normal(size=size)
    found = minimise._solved(jnp.asarray(matrix, float), jnp.asarray(rhs, float))
    error = 40 * np.finfo(found.dtype).eps / least
    known = np.linalg.solve(matrix, rhs)
    np.testing.assert_allclose(found, known, atol=error * np.linalg.norm(known))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_system_that_is_not_positive_definite_has_no_solution(at):
    matrix = jnp.diag(jnp.ones(3).at[at].set(-1.0))
    assert np.isnan(minimise._solved(matrix, jnp.ones(3))).all()
