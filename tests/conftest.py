"""What every test may ask for."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest

from t2jax.cli import main

# Run by the interpreter of the tools that they drive, which need not be installed here.
collect_ignore = ["referees"]

# Compilation makes the first example slow, so no deadline; derandomised, so that a red run is
# red again on the next machine.
hypothesis.settings.register_profile("t2jax", deadline=None, derandomize=True)
hypothesis.settings.load_profile("t2jax")

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
GOLDENS = ROOT / "tests" / "goldens"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Golden:
    """A certified number, list or dictionary of numbers, with what it may be missed by.

    Attributes:
      value: the number.
      tolerance: absolute, unless `relative`.
      source: where it comes from.
    """

    value: Any
    tolerance: float
    source: str
    relative: bool = False

    @property
    def approx(self) -> Any:
        """What a result is compared with."""
        if self.relative:
            return pytest.approx(self.value, rel=self.tolerance, abs=0)
        return pytest.approx(self.value, abs=self.tolerance, rel=0)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Golden]]:
    """Reads `tests/goldens/NAME.json`: certified numbers by name."""

    def read(name: str) -> dict[str, Golden]:
        entries = json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))
        return {key: Golden(**entry) for key, entry in entries.items()}

    return read


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of public tables beside the project, or a skip that says what is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the public tables in ../shared/data, which are not beside this checkout")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def _nothing_kept():
    """No draws of an earlier session: what is tested is made."""
    os.environ["T2JAX_CACHE"] = "off"


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder: its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call
