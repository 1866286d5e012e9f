"""Rows that only fill the columns: few lengths to compile for, and nothing else changes."""

from typing import Any, cast

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import t2jax as t2
from t2jax._precision import double
from t2jax.fitting.minimise import minimise_all
from t2jax.fitting.objectives import objective_by_name
from t2jax.fitting.problem import Data, Problem
from t2jax.fitting.rows import Rows, value_rows
from t2jax.fitting.starts import grid_starts
from t2jax.laws import Softplus


def table(count: int, seed: int = 0) -> t2.Observations:
    """Losses of that many checkpoints at three k, the last of them unlike the others."""
    rng = np.random.default_rng(seed)
    params, tokens = np.repeat(10 ** rng.uniform([[6], [8]], [[9], [11]], (2, count)), 3, axis=1)
    samples = np.tile([1.0, 8.0, 64.0], count)
    loss = (1.7 + 400 / params**0.34 + 400 / tokens**0.28) * samples**-0.2
    loss = loss * np.exp(0.01 * rng.standard_normal(3 * count))
    loss[-1] *= 3
    return t2.Observations(
        kind="loss", run=np.repeat(np.arange(count), 3), params=params, tokens=tokens,
        samples=samples, loss=loss,
    )  # fmt: skip


@double
def told(objective: str, rows: Rows) -> list[np.ndarray]:
    """Starts, and the objective with its slope and curvature at them."""
    problem = Problem.of(Softplus.template(), objective_by_name(objective))
    data = Data(rows=rows, centre=value_rows(table(7), Softplus.template(), None).centre())
    starts = grid_starts(problem, data, 4)
    ways = problem.value, jax.grad(problem.value), jax.hessian(problem.value)
    return [np.asarray(x) for x in (starts, *(jax.vmap(way, (0, None))(starts, data)
                                              for way in ways))]  # fmt: skip


@pytest.mark.parametrize("objective", ["student_t", pytest.param("huber", marks=pytest.mark.slow)])
def test_what_only_fills_the_columns_changes_neither_starts_nor_objective(objective):
    rows = double(value_rows)(table(7), Softplus.template(), None)
    filled = double(Rows.filled)(rows)
    assert len(filled.value) > len(rows.value)
    for with_them, without in zip(told(objective, filled), told(objective, rows), strict=True):
        scale = np.abs(without).max()
        np.testing.assert_allclose(with_them, without, rtol=1e-9, atol=1e-11 * scale)


def bare(count: int) -> Rows:
    """Rows of nothing in particular."""
    one: Any = np.ones(count)
    place: Any = np.arange(count)
    return Rows(
        params=one, tokens=one, samples=one, unique_tokens=one, value=one, weight=one,
        place=place,
    )  # fmt: skip


@given(st.integers(1, 5_000))
def test_filling_takes_no_more_than_an_eighth(count):
    filled = bare(count).filled()
    more = len(filled.value) - count
    assert 0 <= more < max(8, count / 8 + 1)
    assert np.sum(np.asarray(filled.weight)) == count
    assert np.sum(np.asarray(filled.place) < 0) == more


def test_few_lengths_are_compiled_for():
    lengths = {len(bare(count).filled().value) for count in range(8, 2008, 7)}
    assert len(lengths) <= 48
    compiled = cast(Any, minimise_all)._cache_size
    before = compiled()
    runs = table(40).select(slice(None, None, 3))
    for count in (33, 36, 40):
        assert t2.fit(runs.select(np.arange(count)), "additive").success
    assert compiled() <= before + 1
