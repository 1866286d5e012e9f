"""Compiled programs are kept between runs, and nowhere that the user did not allow."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from t2jax.cli import _cache

SHOW = "from t2jax.cli import _cache; _cache.keep_programs(); import os; " \
       "print(os.environ.get('JAX_COMPILATION_CACHE_DIR', ''))"  # fmt: skip


def kept(home, **environment):
    """Where a fresh process would keep its programs."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("JAX_", "T2JAX_"))}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, check=True,
        env=clean | {"XDG_CACHE_HOME": str(home)} | environment,
    )  # fmt: skip
    return done.stdout.strip()


def test_programs_are_kept_in_the_users_cache_by_version_and_processor(tmp_path):
    place = pathlib.Path(kept(tmp_path))
    assert place.is_dir()
    assert place.parent == tmp_path / "t2jax"
    assert place.name.startswith("jaxlib-")


def test_off_another_place_and_no_home_are_respected(tmp_path):
    assert kept(tmp_path, T2JAX_CACHE="off") == ""
    assert not (tmp_path / "t2jax").exists()
    assert kept(tmp_path, JAX_COMPILATION_CACHE_DIR="elsewhere") == "elsewhere"
    (tmp_path / "file").write_text("")
    assert kept(tmp_path / "file") == ""


@pytest.mark.skipif(os.name != "posix", reason="who may write is told there otherwise")
def test_a_folder_that_others_may_write_is_not_used(tmp_path):
    place = pathlib.Path(kept(tmp_path))
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o770)
    assert kept(tmp_path) == ""
    place.chmod(0o700)
    place.parent.chmod(0o777)
    assert kept(tmp_path) == ""
    place.parent.chmod(0o700)
    assert kept(tmp_path) == str(place)


def test_another_processor_has_a_folder_of_its_own(tmp_path, monkeypatch):
    own = tmp_path / "cpuinfo"
    own.write_text("flags : avx2\n")
    monkeypatch.setattr("t2jax._cache._CPU", own)
    first = _cache.programs()
    own.write_text("flags : avx2 avx512\n")
    assert _cache.programs() != first


@pytest.mark.slow
def test_a_second_plan_compiles_nothing(tmp_path):
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("JAX_", "T2JAX_"))}
    command = [sys.executable, "-m", "t2jax", "plan", "--draws", "20", "--out", str(tmp_path / "r")]
    environment = clean | {"XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    (place,) = (tmp_path / "t2jax").glob("jaxlib-*")
    before = {path.name for path in place.iterdir() if path.name.endswith("-cache")}
    assert before
    shutil.rmtree(tmp_path / "t2jax" / "draws")  # so that all is made again, by the same programs
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert {path.name for path in place.iterdir() if path.name.endswith("-cache")} == before
