"""Traced programs that are kept: the same numbers, from one made before or one made now."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import t2jax as t2
from t2jax import _cache, _programs
from t2jax._precision import double
from t2jax._programs import maker, program
from t2jax.laws import Tied

LAW = Tied(E=1.8, A=400.0, B=800.0, alpha=0.33)
POINTS = np.geomspace(1e6, 1e9, 5)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Turned:
    """A problem with a static field."""

    amplitude: Any
    turn: Any = dataclasses.field(metadata={"static": True})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where this test's programs are kept."""
    monkeypatch.setattr(_cache._Programs, "folder", tmp_path)
    return tmp_path


def fresh(**static):
    """A function that no test has called, and how often it was traced."""
    traced = []

    def losses(law, params, tokens, *, times=1):
        traced.append(times)
        return {"loss": times * law.formula(params, tokens, jnp.ones(()), jnp.inf), "none": None}

    return program(losses, static_argnames=("times",)), traced


def test_a_kept_program_gives_the_same_bits_and_is_not_traced_again(folder):
    first, traced = fresh()
    found = first(LAW, POINTS, 20 * POINTS, times=3)
    assert traced == [3]
    second, again = fresh()
    same = second(LAW, POINTS, 20 * POINTS, times=3)
    assert again == []
    assert np.array_equal(found["loss"], same["loss"])
    assert same["none"] is None
    plain = jax.jit(lambda law, n, d: 3 * law.formula(n, d, jnp.ones(()), jnp.inf))
    np.testing.assert_allclose(plain(LAW, POINTS, 20 * POINTS), same["loss"], rtol=1e-6)
    assert len([*folder.iterdir()]) == 1


def test_shapes_statics_precision_and_laws_have_programs_of_their_own(folder):
    call, traced = fresh()
    for count in (2, 3):
        for times in (1, 2):
            wanted = times * np.asarray(LAW(params=POINTS[:count], tokens=20 * POINTS[:count]))
            found = call(LAW, POINTS[:count], 20 * POINTS[:count], times=times)["loss"]
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert double(call)(LAW, POINTS, 20 * POINTS)["loss"].dtype == np.float64
    other = t2.laws.Additive(E=1.7, A=400.0, B=800.0, alpha=0.33, beta=0.3)
    call(other, POINTS, 20 * POINTS)
    assert len(traced) == len([*folder.iterdir()]) == 6


def test_inside_another_program_it_is_traced_as_ever(folder):
    call, _ = fresh()
    slope = jax.grad(lambda n: call(LAW, n, 1e10)["loss"])(1e8)
    assert slope < 0
    assert not [*folder.iterdir()]


@pytest.mark.parametrize("spoil", [b"", b"no program", None])
def test_a_spoiled_file_is_made_anew(folder, spoil):
    call, _ = fresh()
    found = call(LAW, POINTS, POINTS)["loss"]
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if spoil is None else spoil)
    again, traced = fresh()
    assert np.array_equal(again(LAW, POINTS, POINTS)["loss"], found)
    assert traced
    assert path.read_bytes() != spoil


def test_an_edited_source_or_another_jax_finds_nothing(folder, monkeypatch):
    fresh()[0](LAW, POINTS, POINTS)
    monkeypatch.setattr(_programs, "maker", lambda: "another")
    call, traced = fresh()
    call(LAW, POINTS, POINTS)
    assert traced


def test_a_text_of_a_law_is_made_once_for_its_form(folder):
    made = []

    def make():
        made.append(1)
        return f"text {len(made)}"

    other = Tied(E=1.9, A=4.0, B=8.0, alpha=0.3)
    assert [_programs.kept_text("page", law, make) for law in (LAW, other)] == ["text 1"] * 2
    (path,) = folder.iterdir()
    path.write_bytes(b"altered")
    assert _programs.kept_text("page", LAW, make) == "text 2"
    assert _programs.kept_text("other", LAW, make) == "text 3"


def test_the_source_of_all_but_the_wings_is_hashed(tmp_path, monkeypatch):
    def at(root):
        monkeypatch.setattr(_programs, "_ROOT", root)
        _programs._source.cache_clear()
        return _programs._source()

    for name in ("_precision.py", "fitting/refit.py", "trainer/model.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x = 1")
    known = at(tmp_path)
    (tmp_path / "trainer" / "model.py").write_text("x = 2")
    assert at(tmp_path) == known
    (tmp_path / "fitting" / "refit.py").write_text("x = 2")
    assert at(tmp_path) != known
    monkeypatch.undo()
    _programs._source.cache_clear()
    before = maker()
    assert maker() is before  # it is asked for every program
    monkeypatch.setenv("XLA_FLAGS", "--another")
    assert maker.__wrapped__() != before


def test_nothing_is_kept_of_a_class_of_ones_own_or_where_nothing_can_be(folder, monkeypatch):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Pair:
        pass

    assert not _programs.is_ours(jax.tree.structure((LAW, {"a": Pair()})))
    assert _programs.is_ours(jax.tree.structure((LAW, {"a": [1.0, None]})))
    monkeypatch.setattr(_cache._Programs, "folder", folder / "none" / "there")
    assert fresh()[0](LAW, POINTS, POINTS)["loss"].shape == (5,)


def test_a_static_field_that_cannot_be_written_down_is_traced_and_not_kept(folder, monkeypatch):
    monkeypatch.setattr(_programs, "is_ours", lambda form: True)

    def turned():
        return program(
            lambda problem: (
                getattr(jnp, problem.turn)(problem.amplitude)
                if isinstance(problem.turn, str)
                else problem.turn(problem.amplitude)
            )
        )

    assert turned()(Turned(0.5, "negative")) == -0.5
    assert len([*folder.iterdir()]) == 1  # a word can be
    call = turned()
    twice, thrice = (Turned(0.5, lambda x, by=by: by * x) for by in (2.0, 3.0))
    for _ in range(2):
        assert [float(call(twice)), float(call(thrice)), float(turned()(twice))] == [1.0, 1.5, 1.0]
    made = [_programs.kept_text("page", twice, lambda text=text: text) for text in "ab"]
    assert made == ["a", "b"]
    assert len([*folder.iterdir()]) == 1
