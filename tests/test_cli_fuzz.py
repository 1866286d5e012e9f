"""Whatever the file, the command line answers in one line with exit code 2 or 3."""

import contextlib
import io
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import malformed_files

import t2jax as t2
import t2jax.planner
from t2jax.cli import main
from t2jax.errors import Refusal


def refuse(runs, *_, **__):
    """Stands for the fit: a table that could be read is as good as refused."""
    assert runs.describe()
    raise Refusal("the table was read", remedy="none is needed")


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(file=malformed_files(), drop=st.booleans(), plan=st.booleans())
def test_a_malformed_file_is_one_line_and_no_traceback(file, drop, plan, tmp_path):
    folder = tmp_path / "case"
    folder.mkdir(exist_ok=True)
    path = tmp_path / f"table{file.suffix}"
    path.write_bytes(file.content)
    words = ["plan", str(path), "--out", str(folder / "report")]
    if not plan:
        words = ["fit", str(path), "--out", str(folder / "fit.json")]
    words += ["--drop-incomplete"] * drop
    printed, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for room in (t2, sys.modules["t2jax.planner.driver"]):
            patch.setattr(room, "fit", refuse)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            code = main(words)
    assert code in (2, 3)
    assert printed.getvalue() == ""
    (line,) = errors.getvalue().splitlines()
    assert line.startswith("t2jax: error: ")
    assert line.isprintable()
    assert list(folder.iterdir()) == []
