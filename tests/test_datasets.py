"""The built-in ladder is what its PROVENANCE.md says."""

import hashlib
import importlib.resources
import re

import numpy as np
import pandas as pd
import pytest

from t2jax import datasets

FOLDER = importlib.resources.files("t2jax.datasets") / "lab_ladder"


def test_the_ladder_is_as_described():
    ladder = datasets.load_ladder()
    assert ladder.kind == "nll"
    assert ladder.params_definition == "matrices+head"
    assert (ladder.n_rows, ladder.n_questions) == (72, 600)
    assert ladder.trunk is not None
    assert len(set(ladder.trunk)) == 16
    assert ladder.task is not None
    tasks, counts = np.unique(ladder.task, return_counts=True)
    assert dict(zip(tasks.tolist(), counts.tolist(), strict=True)) == dict.fromkeys(
        ["arithmetic", "causal", "knowledge", "spatial"], 150
    )
    assert (ladder.params.min(), ladder.params.max()) == (2560, 233472)
    ladder.check_identifies()


def test_the_losses_belong_to_the_same_checkpoints():
    ladder, losses = datasets.load_ladder(), datasets.load_ladder(measure="loss")
    assert losses.kind == "loss"
    for name in ("run", "trunk", "params", "tokens"):
        np.testing.assert_array_equal(getattr(losses, name), getattr(ladder, name))
    assert losses.loss is not None
    # A model that predicts the corpus better answers better.
    assert np.corrcoef(losses.loss, ladder.mean_nll())[0, 1] > 0.5
    with pytest.raises(ValueError, match="use 'nll' or 'loss'"):
        datasets.load_ladder(measure="accuracy")


def test_checksums_are_those_on_record():
    record = (FOLDER / "PROVENANCE.md").read_text()
    for name in ("questions.parquet", "runs.csv"):
        found = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
        assert re.search(rf"`{name}` \| {found} ", record), name


def test_the_package_holds_the_measurement_unchanged(shared_data):
    source = shared_data / "lab_ladder" / "questions.parquet"
    with importlib.resources.as_file(FOLDER / "questions.parquet") as path:
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(source))
