"""Whatever is saved is read back by one function, which says in one line what it cannot read."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from test_html import LAW, fitted

import t2jax as t2
from t2jax.errors import InputError

BUDGET = t2.Budget(total_flops=1e21, inference_tokens=1e11, cost=t2.Cost(prompt_tokens=100.0))
MANY = jax.tree.map(lambda x: x * np.linspace(0.98, 1.02, 24), LAW)
DRAWS = t2.Ensemble(law=MANY, point=LAW, kind="bootstrap", unit="run", uncertified="went astray")
SAVED: dict[str, Any] = {
    "fit.json": fitted(),
    "draws.npz": DRAWS,
    "optimum.json": t2.optimum(DRAWS, BUDGET, rivals={"ours": (7e9, 2e12)}),
    "frontier.json": t2.frontier(LAW, t2.Budget(train_flops=np.geomspace(1e18, 1e20, 3))),
    "profile.json": t2.Profile(
        intervals={"E": t2.Interval(name="E", estimate=1.7, low=0.0, high=np.inf, level=0.9,
                                    dof=7.0, standard_error=0.1)},
        law_name="additive", method="laplace", covariance="pooled", unit="run", units=12,
        level=0.9, notes=("one",), source="runs.csv", k_hat=0.4),
    "calibration.json": t2.Calibration(
        coverage={"profile": {"alpha": (0.89, 0.95)}}, recommended="profile", law=LAW, tables=200,
        units=12, unit="run", rows=12, noise={"run": 0.01}, seed=0, source="runs.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_what_was_saved_is_read_back(name, tmp_path):
    one = SAVED[name]
    one.save(tmp_path / name)
    again: Any = t2.load(tmp_path / name)
    assert type(again) is type(one)
    again.save(tmp_path / f"again-{name}")
    if name.endswith(".json"):
        text, more = (json.loads((tmp_path / n).read_text()) for n in (name, f"again-{name}"))
        # An optimum's draws are not written, and their intervals not read.
        assert without(more) == without(text)
    told = dataclasses.replace(one, draws=None) if isinstance(one, t2.Optimum) else one
    if isinstance(told, t2.Optimum) and told.chinchilla is not None:
        alone = dataclasses.replace(told.chinchilla, draws=None)
        told = dataclasses.replace(told, chinchilla=alone)
    assert again.summary() == told.summary()


def without(value):
    """The description without intervals over draws, NaN as a word, so that it can be compared."""
    if isinstance(value, dict):
        gone = ("intervals", "gain_interval", "level") if "goal" in value else ()
        gone = (*gone, "sha256")  # of what is compared here
        return {name: without(item) for name, item in value.items() if name not in gone}
    if isinstance(value, list):
        return [without(item) for item in value]
    return "NaN" if value != value else value


def test_null_is_read_as_no_number(tmp_path):
    # What the command line writes for other programs holds null where JSON has no number.
    told = t2.optimum(LAW, t2.Budget(train_flops=1e21)).to_dict()
    told = {name: None if value != value else value for name, value in told.items()}
    assert told["spent"] is None
    (tmp_path / "optimum.json").write_text(json.dumps(told))
    again = t2.load(tmp_path / "optimum.json")
    assert isinstance(again, t2.Optimum)
    assert np.isnan(again.spent)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"PK but no archive", "cannot be read as draws"),
        (b"[1, 2]", "no format line"),
        (b'{"a": 1}', "no format line"),
        (b'{"format": "t2jax.fit/7"}', "format 't2jax.fit/7'"),
        (b'{"format": ["t2jax.fit/1"]}', "cannot be read|format"),
        (b'{"format": "t2jax.fit/1"}', "cannot be read"),
        (b'{"format": "t2jax.optimum/1", "law": 3}', "cannot be read"),
        (b'{"format": "t2jax.profile/1", "intervals": 3}', "cannot be read"),
        (b'{"format": "t2jax.calibration/1", "law": "x", "levels": 1}', "cannot be read"),
        (b"params,tokens\n1,2\n", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(content, problem, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        t2.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            t2.load(path)
