"""The built-in ladders are what its PROVENANCE.md says, and as large as it must be."""

import hashlib
import importlib.resources
import re

import numpy as np
import pytest

from t2jax import datasets
from t2jax.observations import Observations

FOLDER = importlib.resources.files("t2jax.datasets") / "ladder"
SETS = {
    "standard": ["causal", "knowledge", "spatial"],
    "apart": ["arithmetic", "pairs"],
    "long": ["long-arithmetic", "long-causal", "long-knowledge", "long-pairs", "long-spatial"],
}
ROUNDED = 2**-13  # likelihoods are stored with twelve bits behind the first
FILES = sorted(entry.name for entry in FOLDER.iterdir() if entry.name.endswith((".csv", "parquet")))


def tasks_of(table: Observations) -> list[str]:
    assert table.task is not None
    return table.task.tolist()


def keys_of(table: Observations) -> list[tuple[str, str]]:
    """Task and name of every question."""
    assert table.question is not None
    return list(zip(tasks_of(table), table.question.tolist(), strict=True))


@pytest.fixture(scope="module")
def ladder():
    return datasets.load_ladder()


def test_the_ladder_is_large_enough(ladder):
    flops = ladder.train_flops
    assert ladder.kind == "nll"
    assert ladder.params_definition == "matrices+head"
    assert ladder.n_rows == 285
    assert flops.max() / flops.min() >= 512 * 0.99  # whole chunks move D by up to a percent
    assert (ladder.tokens_per_param > 200).sum() >= 120
    assert sorted(set(tasks_of(ladder))) == SETS["standard"]
    ladder.check_identifies()


def test_five_seeds_of_every_size_and_three_of_the_largest_two():
    runs = datasets.load_runs()
    base = runs[runs.variant == "base"]
    assert base.steps.min() >= 1000
    seeds = base.groupby("params").seed.nunique()
    assert seeds.tolist() == [5] * 9 + [3] * 2
    assert set(base.d_model[base.n_layers == 4]) == {32}


@pytest.mark.parametrize("variant", ["base", "ft", "sft"])
@pytest.mark.parametrize("questions", list(SETS))
def test_every_variant_answers_the_same_questions(ladder, variant, questions):
    other = datasets.load_ladder(variant=variant, questions=questions)
    assert other.n_rows == ladder.n_rows
    for name in ("params", "tokens", "trunk"):
        np.testing.assert_array_equal(getattr(other, name), getattr(ladder, name))
    assert sorted(set(tasks_of(other))) == SETS[questions]
    known = datasets.load_questions()
    mine = known[known.task.isin(tasks_of(other))]
    assert set(zip(mine.task, mine.question, strict=True)) == set(keys_of(other))


def test_the_tables_of_runs_and_questions_agree(ladder):
    runs = datasets.load_runs()
    base = runs[runs.variant == "base"].set_index("run").loc[ladder.run]
    np.testing.assert_array_equal(base.params, ladder.params)
    np.testing.assert_array_equal(base.tokens, ladder.tokens)
    np.testing.assert_array_equal(base.train_flops, 6 * base.params * base.tokens)
    for questions, families in SETS.items():
        table = datasets.load_ladder(questions=questions)
        for family in families:
            mean = table.select_task(family).mean_nll()
            np.testing.assert_allclose(base[f"nll_{family}"], mean, rtol=ROUNDED)


@pytest.mark.parametrize("questions", list(SETS))
def test_counts_are_of_the_chances_that_the_likelihoods_say(questions):
    counts = datasets.load_ladder(measure="counts", questions=questions)
    exact = datasets.load_ladder(questions=questions)
    assert counts.kind == "counts"
    assert keys_of(counts) == keys_of(exact)
    place = {run: i for i, run in enumerate(exact.run.tolist())}
    rows = [place[run] for run in counts.run.tolist()]
    np.testing.assert_array_equal(counts.tokens, exact.tokens[rows])
    assert counts.n_rows >= 40
    assert (counts.trials == 64).all()
    assert exact.nll is not None
    assert counts.successes is not None
    chance = np.exp(-exact.nll[rows])
    spread = np.sqrt(64 * chance * (1 - chance))
    # Of chances near 0 or 1 a count is no normal number: there the sum is what must agree.
    z = ((counts.successes - 64 * chance) / spread)[(chance > 0.05) & (chance < 0.95)]
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert z.var() == pytest.approx(1, abs=6 / np.sqrt(len(z)))
    total = (counts.successes - 64 * chance).sum() / np.sqrt((spread**2).sum())
    assert abs(total) < 4


def test_a_model_that_predicts_the_corpus_better_answers_better(ladder):
    losses = datasets.load_ladder(measure="loss")
    assert losses.kind == "loss"
    assert losses.loss is not None
    np.testing.assert_array_equal(losses.run, ladder.run)
    assert np.corrcoef(losses.loss, ladder.mean_nll())[0, 1] > 0.98


def test_there_is_no_other_table():
    wrongs = {"measure": "accuracy"}, {"variant": "rl"}, {"questions": "hard"}, {"name": "tpu"}
    more = {"name": "gpu", "variant": "ft"}, {"name": "gpu", "measure": "counts"}
    for wrong in (*wrongs, *more, {"measure": "counts", "variant": "ft"}):
        with pytest.raises(ValueError, match="use one of"):
            datasets.load_ladder(**wrong)


@pytest.mark.parametrize("folder", ["ladder", "ladder_gpu"])
def test_checksums_are_those_on_record(folder):
    place = importlib.resources.files("t2jax.datasets") / folder
    record = (place / "PROVENANCE.md").read_text("utf-8")
    files = [entry for entry in place.iterdir() if entry.name.endswith((".csv", "parquet"))]
    assert files
    for entry in files:
        found = hashlib.sha256(entry.read_bytes()).hexdigest()
        assert re.search(rf"`{entry.name}` \| {found} ", record), entry.name


def test_the_larger_ladder_was_asked_the_same_questions(ladder):
    large = datasets.load_ladder("gpu")
    assert set(keys_of(ladder)) == set(keys_of(large))
    assert large.params.max() > 4 * ladder.params.max()
    assert large.train_flops.min() > ladder.train_flops.max()
    assert set(datasets.load_runs("gpu").groupby("params").seed.nunique()) == {3}
    both = ladder.join(large)
    assert both.train_flops.max() / both.train_flops.min() > 10**4.6


def test_the_larger_ladder_knows_the_text_better_than_the_smaller_one():
    small, large = (datasets.load_ladder(name, measure="loss").loss for name in ("cpu", "gpu"))
    assert small is not None
    assert large is not None
    assert large.max() < small.min()


def test_the_tables_are_small():
    assert sum(len((FOLDER / name).read_bytes()) for name in FILES) < 5_000_000
