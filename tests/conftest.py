"""What every test may ask for."""

import pathlib

import hypothesis
import pytest

# Compilation makes the first example slow, so no deadline; derandomised, so that a red run is
# red again on the next machine.
hypothesis.settings.register_profile("t2jax", deadline=None, derandomize=True)
hypothesis.settings.load_profile("t2jax")

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of public tables beside the project, or a skip that says what is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the public tables in ../shared/data, which are not beside this checkout")
    return SHARED_DATA
