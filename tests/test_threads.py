"""Calls on every core: in order, in the precision of the caller, and stopped by an error."""

import threading

import jax.numpy as jnp
import pytest

from t2jax import _threads
from t2jax._precision import double, is_double


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    """Four cores, whatever this machine has."""
    monkeypatch.setattr(_threads, "cores", lambda: 4)


def test_results_come_in_the_order_of_the_items_though_calls_end_in_another():
    done = [threading.Event() for _ in range(4)]

    def call(item):
        if 0 < item < 3:  # each waits for the one after it
            assert done[item + 1].wait(10)
        done[item].set()
        return item

    assert list(_threads.side_by_side(call, range(4))) == [0, 1, 2, 3]


@pytest.mark.parametrize("asked", [False, True])
def test_every_call_has_the_precision_of_the_one_who_asked(asked):
    def all_of():
        return list(_threads.side_by_side(lambda _: (is_double(), jnp.ones(()).dtype), range(4)))

    found = double(all_of)() if asked else all_of()
    assert len(set(found)) == 1
    assert found[0][0] == (asked or is_double())


def test_an_error_ends_the_calls_and_is_the_caller_s():
    def call(item):
        if item == 2:
            raise KeyError(item)
        return item

    found = _threads.side_by_side(call, range(100))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(KeyError):
        next(found)
