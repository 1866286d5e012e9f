"""The quick start's cells run in order, and its kept outputs are what they give."""

import json
import pathlib
import re

import pytest

import t2jax as t2
from t2jax.reporting import FILES

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATH = ROOT / "experiments" / "00_quickstart" / "quickstart.ipynb"


def code() -> list[dict]:
    """The code cells."""
    cells = json.loads(PATH.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_is_small_and_kept_with_its_outputs():
    assert PATH.stat().st_size < 200_000
    cells = code()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell["outputs"] for cell in cells)
    text = PATH.read_text("utf-8")
    assert not re.search(r"/(home|work|tmp|Users|root)/", text)
    names = set(re.findall(r"\bt2\.(\w+)", "".join("".join(cell["source"]) for cell in cells)))
    assert names <= set(t2.__all__)
    assert {"fit", "bootstrap", "optimum", "frontier", "Plan"} <= names


@pytest.mark.slow
def test_the_cells_run_in_order_and_the_kept_plan_is_the_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space: dict = {}
    for cell in code():
        exec(compile("".join(cell["source"]), str(PATH), "exec"), space)
    assert {path.name for path in (tmp_path / "report").iterdir()} == set(FILES)
    (kept,) = [cell for cell in code() if "t2.optimum(" in "".join(cell["source"])]
    told = kept["outputs"][0]["data"]["text/plain"]
    # Counts are kept to three digits; the last may round otherwise on another machine.
    shown = re.search(r"parameters N +([0-9.]+)k", "".join(told))
    assert shown
    assert float(shown[1]) * 1e3 == pytest.approx(float(space["best"].params), rel=0.01)
