"""Draws that are kept for the next plan: the same answer bit for bit, or made anew."""

import dataclasses
import json
import os
import shutil
import threading

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax._cache import bound
from t2jax._precision import double, is_double
from t2jax.planner import kept
from t2jax.planner.kept import Kept

LOSSES = t2.datasets.load_ladder(measure="loss")
RECIPE = {"objective": None, "samples": None, "n_draws": 20, "unit": None, "seed": 0,
          "discrepancy": True}  # fmt: skip


def planned(cache, flops=1e12, table=LOSSES, told=None, law="additive", **options):
    """A quick plan, with the steps that it announced; its law has optima in closed form."""
    said = [] if told is None else told
    return t2.plan(table, t2.Budget(train_flops=flops), law=law, n_draws=20, cache=cache,
                   progress=False, announce=said.append, **options)  # fmt: skip


def bits(plan):
    """All that a plan says, and every number of its draws."""
    leaves = jax.tree.leaves((plan.draws.law, plan.draws.point, plan.fit.law))
    leaves += [plan.draws.nuisance[name] for name in sorted(plan.draws.nuisance)]
    leaves += jax.tree.leaves(plan.optimum.draws)
    told = json.dumps([plan.to_dict(), plan.summary(full=True), plan.fit.to_dict()])
    return told, [np.asarray(leaf, float).tobytes() for leaf in leaves]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder that a plan was made with, and that plan."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, planned(folder)


@pytest.fixture
def copied(filled, tmp_path):
    """The same folder, to be spoiled."""
    own = tmp_path / "t2jax-draws"
    shutil.copytree(filled[0] / own.name, own)
    return own


def test_kept_draws_give_the_same_plan_bit_for_bit(filled):
    folder, first = filled
    told = []
    assert bits(planned(folder, told=told)) == bits(first)
    law = first.fit.law.name
    assert told[0] == f"draws of this table from an earlier run: 20 refits of law '{law}'"


@pytest.mark.slow
def test_so_they_do_at_another_budget(filled):
    assert bits(planned(filled[0], 3e11)) == bits(planned(None, 3e11))


@pytest.mark.slow
@pytest.mark.parametrize("law", [None, "softplus", "stack"])
def test_so_do_those_of_questions(tmp_path, law):
    table = t2.datasets.load_ladder()
    budget = t2.Budget(train_flops=1.28e12, inference_flops=7e5)
    plans = [
        t2.plan(table, budget, law=law, n_draws=40, cache=cache, progress=False)
        for cache in (None, tmp_path, tmp_path)
    ]
    assert bits(plans[0]) == bits(plans[1]) == bits(plans[2])
    judges = [plan.companion.draws for plan in plans if plan.companion is not None]
    told = [judge.predict(params=1e5, tokens=1e7) for judge in judges]
    assert len(told) in (0, 3)
    assert all(np.array_equal(told[0], other) for other in told)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
@pytest.mark.parametrize("spoil", ["cut", "altered", "empty", "gone", "folder"])
def test_what_was_spoiled_is_made_anew(copied, filled, suffix, spoil):
    (path,) = copied.glob(f"*{suffix}")
    whole = path.read_bytes()
    path.unlink()
    if spoil == "folder":
        path.mkdir()
    elif spoil != "gone":
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"cut": whole[:middle], "altered": flipped, "empty": b""}[spoil])
    where = Kept(name=path.with_suffix(""), table=LOSSES)
    assert where.read() is None
    where.write(filled[1].fit, filled[1].draws)
    assert spoil == "folder" or where.read() is not None


def test_draws_of_another_table_are_not_taken(copied):
    (path,) = copied.glob("*.json")
    other = LOSSES.select(slice(1, None))
    assert Kept(name=path.with_suffix(""), table=other).read() is None


def test_all_that_draws_follow_from_is_in_their_name(tmp_path, monkeypatch):
    def name(table: t2.Observations = LOSSES, law: str = "additive", **changed):
        return Kept.of(tmp_path, table, law, **RECIPE | changed).name

    names = [name(), name(law="tied"), name(LOSSES.select(slice(1, None)))]
    names += [Kept.of(tmp_path, LOSSES, "additive", **RECIPE | {what: 7}).name for what in RECIPE]
    monkeypatch.setattr(kept, "maker", lambda: "an edited checkout, or another JAX")
    names.append(name())
    monkeypatch.undo()
    told = ({"source": "other"}, {"params_definition": "total"}, {"notes": ("another",)})
    names += [name(dataclasses.replace(LOSSES, **one)) for one in told]
    fine = np.linspace(1, 2, 2000)
    names += [name(samples=samples) for samples in (fine, fine + 1e-9, fine + (fine == fine[999]))]
    names.append(double(name)())
    assert len(set(names)) == len(names) - is_double()
    assert name() == names[0]


def test_a_law_of_ones_own_is_not_kept(tmp_path):
    assert Kept.of(tmp_path, LOSSES, t2.laws.Additive, **RECIPE).name is None
    assert Kept.of(None, LOSSES, "additive", **RECIPE).read() is None


def test_a_place_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    assert planned(tmp_path / "file" / "cache").draws.n_draws == 20


def test_a_reader_beside_writers_sees_all_or_nothing(copied, filled):
    where = Kept(name=next(copied.glob("*.json")).with_suffix(""), table=LOSSES)
    done = threading.Event()

    def write():
        while not done.is_set():
            where.write(filled[1].fit, filled[1].draws)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [where.read() for _ in range(20)]
    finally:
        done.set()
        writer.join()
    assert None not in found


def test_what_is_not_ours_stays_in_a_folder_that_was_named(tmp_path, monkeypatch):
    other = tmp_path / "thesis" / "data.csv"
    other.parent.mkdir()
    other.write_bytes(b"1" * 10_000)
    os.utime(other, (1, 1))  # the oldest of all
    monkeypatch.setattr(kept, "_MOST", 0)
    planned(tmp_path)
    assert other.read_bytes() == b"1" * 10_000
    assert not [*tmp_path.rglob("*.npz")]


def test_a_folder_stays_small_and_keeps_what_was_used_last(tmp_path):
    for i, age in enumerate((50, 400, 300, 200)):
        path = tmp_path / f"in{i}" / "file"
        path.parent.mkdir()
        path.write_bytes(b"x" * 100)
        os.utime(path, (1e9 - age, 1e9 - age))
    bound(tmp_path, 400)
    assert len([*tmp_path.rglob("file")]) == 4
    bound(tmp_path, 250)
    assert {path.parent.name for path in tmp_path.rglob("file")} == {"in0", "in3"}
    bound(tmp_path / "none", 0)


@pytest.mark.slow
def test_the_command_says_so_and_off_keeps_none(run, tmp_path, monkeypatch):
    table = tmp_path / "runs.csv"
    LOSSES.write(table)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("t2jax._cache._Programs.folder", None)  # which commands set
    words = ("plan", table, "--train-flops", "1e12", "--draws", "20", "--json",
             "--law", "additive")  # fmt: skip
    monkeypatch.setenv("T2JAX_CACHE", "off")
    code, fresh, _ = run(*words)
    assert code == 0
    assert not (tmp_path / "home" / "t2jax").exists()
    monkeypatch.delenv("T2JAX_CACHE")
    said = [run(*words) for _ in range(2)]
    assert [out for _, out, _ in said] == [fresh, fresh]
    assert len([*(tmp_path / "home").rglob("*.npz")]) == 1
