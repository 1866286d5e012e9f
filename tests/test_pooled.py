"""A table that pools experiments is questioned before its plan is believed."""

import numpy as np
import pandas as pd
import pytest

import t2jax as t2
from t2jax.observations import POOLED


def table(apart: float, *, column: str = "recipe") -> pd.DataFrame:
    """Every N and D trained by two recipes, whose losses differ by a factor."""
    params = np.repeat(np.geomspace(1e7, 1e9, 4), 4)
    tokens = params * np.tile(np.geomspace(5, 500, 4), 4)
    loss = 1.7 + 400 * params**-0.34 + 400 * tokens**-0.28
    noise = np.random.default_rng(0).normal(0, 0.004, (2, 16))
    halves = [
        pd.DataFrame({"run": [f"{name}{i}" for i in range(16)], "params": params, "tokens": tokens,
                      "loss": loss * factor * np.exp(e), column: name, "host": f"h{name}"})
        for name, factor, e in zip("ab", (1.0, 1.0 + apart), noise, strict=True)
    ]  # fmt: skip
    return pd.concat(halves)


def asked(frame: pd.DataFrame, **options) -> list[str]:
    runs = t2.read(frame, **options)
    return [note for note in runs.notes if note.startswith(POOLED)]


def test_losses_far_apart_at_one_size_and_tokens_are_questioned_with_the_filter_that_helps():
    (said,) = asked(table(0.2))
    assert "32 of 32 rows share N and D" in said
    assert "--where \"recipe == 'a'\"" in said
    assert asked(table(0.2), where="recipe == 'a'") == []


def test_a_column_whose_name_is_none_in_a_condition_stands_in_backticks():
    (said,) = asked(table(0.2, column="lr schedule"))
    condition = said.split('--where "')[1].split('"')[0]
    assert asked(table(0.2, column="lr schedule"), where=condition) == []


@pytest.mark.parametrize("apart", [0.0, 0.02])
def test_seeds_are_not_questioned(apart):
    assert asked(table(apart)) == []


def test_the_question_is_on_the_first_screen_before_the_numbers():
    runs = t2.read(table(0.2))
    plan = t2.plan(runs, t2.Budget(train_flops=1e19), law="additive", n_draws=20, progress=False)
    told = plan.summary()
    assert plan.warnings[0].startswith(POOLED)
    assert told.index(POOLED) < told.index("parameters N")
    assert "recipe == 'a'" in " ".join(told.split())
    assert len(told.splitlines()) <= 24
