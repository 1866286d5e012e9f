"""Variances of a fit's coefficients against the textbook: means, and matrices written out."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t2jax.validation.covariance import in_units, meat, question_blocks, variance_of

UNITS = 12


@pytest.mark.parametrize("method", ["pooled", "robust"])
def test_the_mean_of_n_units_has_the_variance_of_a_mean_and_n_less_one_degrees(method):
    residual = np.random.default_rng(0).normal(size=UNITS)
    residual -= residual.mean()
    with jax.enable_x64(True):
        settled = SimpleNamespace(
            residual=jnp.asarray(residual), jacobian=jnp.ones((UNITS, 1)), square=0.0
        )
        units = in_units(settled, jnp.arange(UNITS)[:, None], method)
        found = variance_of(units, jnp.ones(1), method)
        assert float(found.variance) == pytest.approx(residual.var(ddof=1) / UNITS, rel=1e-9)
        assert float(found.naive) == pytest.approx(1 / UNITS, rel=1e-9)
        if method == "robust":  # white rows give the rule its degrees: n - 1 of a mean
            assert float(found.dof) == pytest.approx(UNITS - 1, rel=1e-9)
        else:
            assert float(meat(units)[0, 0]) == pytest.approx(residual.var(ddof=1), rel=1e-9)


def test_what_questions_leave_in_residuals_is_what_the_fit_does_not_follow():
    # Six units of two rows, three coefficients, one row missing.
    rng = np.random.default_rng(1)
    rows = 2 * 6 - 1
    slope, root = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 4))
    covariance = root @ root.T
    left = np.eye(rows) - slope @ np.linalg.inv(slope.T @ slope) @ slope.T
    expected = left @ covariance @ left
    places = np.append(np.arange(rows), -1).reshape(6, 2)
    with jax.enable_x64(True):
        settled = SimpleNamespace(residual=jnp.zeros(rows), jacobian=jnp.asarray(slope))
        units = in_units(settled, jnp.asarray(places), "robust")
        blocks = np.asarray(question_blocks(units, places, jnp.asarray(covariance)))
    for block, own in zip(blocks, places, strict=True):
        at = own[own >= 0]
        assert block[: len(at), : len(at)] == pytest.approx(expected[np.ix_(at, at)], rel=1e-8)
    assert np.all(blocks[-1][1] == 0)
    assert np.all(blocks[-1][:, 1] == 0)
