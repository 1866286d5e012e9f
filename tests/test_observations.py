"""The table object: what it holds, derives, selects, joins and writes."""

import dataclasses
import functools
import math
import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed import FORMS, valid_frame

from t2jax.datasets import load_ladder
from t2jax.errors import InputError, Refusal
from t2jax.observations import Observations, read

PYTHIA = (
    "run=ckpt,params=n_params,tokens=d_tokens,question=problem_idx,"
    "successes=n_correct,trials=n_samples"
)
# Names that reading leaves as they are: without outer spaces, and composed.
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6).map(
    functools.partial(unicodedata.normalize, "NFC")
)
POSITIVE = st.floats(1e-3, 1e3)


def table_of(form: str) -> Observations:
    return read(valid_frame(form), params_definition="total")


@st.composite
def tables(draw):
    """Sound tables of any kind with awkward names and numbers."""
    kind = draw(st.sampled_from(["loss", "nll", "counts"]))
    n_rows, n_questions = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    runs = draw(st.lists(NAMES, min_size=n_rows, max_size=n_rows, unique=True))
    fields = {
        "kind": kind,
        "run": runs,
        "params": draw(st.lists(st.floats(1e6, 1e9), min_size=n_rows, max_size=n_rows)),
        "tokens": draw(st.lists(st.floats(1e7, 1e11), min_size=n_rows, max_size=n_rows)),
        "params_definition": draw(st.sampled_from(["unstated", "total", "no, 'embedding'"])),
    }
    if draw(st.booleans()):
        fields["trunk"] = draw(st.lists(NAMES, min_size=n_rows, max_size=n_rows))
    if kind == "loss":
        fields["loss"] = draw(st.lists(POSITIVE, min_size=n_rows, max_size=n_rows))
        if draw(st.booleans()):
            fields["samples"] = draw(st.lists(st.floats(1, 1e6), min_size=n_rows, max_size=n_rows))
        return Observations(**fields)
    keys = st.tuples(st.sampled_from(["x", "y z"]), NAMES)
    cells = draw(st.lists(keys, min_size=n_questions, max_size=n_questions, unique=True))
    fields["task"], fields["question"] = zip(*cells, strict=True)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if kind == "nll":
        fields["nll"] = rng.exponential(5, (n_rows, n_questions))
    else:
        fields["trials"] = rng.integers(1, 3_000_000, (n_rows, n_questions))
        fields["successes"] = rng.integers(0, fields["trials"], endpoint=True)
    return Observations(**fields)


@settings(max_examples=60)
@given(table=tables())
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_what_is_written_is_read_back_exactly(table, suffix, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"round_trip{suffix}"
    table.write(path)
    again = read(path)
    assert again.data_hash() == table.data_hash()
    assert again.params_definition == table.params_definition
    for name, values in table.columns():
        np.testing.assert_array_equal(getattr(again, name), values)


@pytest.mark.parametrize("suffix", [".xlsx", ""])
def test_other_formats_are_not_written(suffix, tmp_path):
    with pytest.raises(InputError, match="end the name in"):
        table_of("loss").write(tmp_path / f"table{suffix}")
    with pytest.raises(InputError, match="cannot be written"):
        table_of("loss").write(tmp_path / "no" / "table.csv")


@pytest.mark.parametrize("form", FORMS)
def test_arrays_cannot_be_written_and_follow_no_one(form):
    table = table_of(form)
    for name, values in table.columns():
        assert not values.flags.writeable, name
        with pytest.raises(ValueError, match="read-only"):
            values[...] = values
    params = np.array([1e6, 2e6])
    fields = {"run": ["a", "b"], "tokens": [1e7, 1e8], "loss": [2.0, 1.0]}
    table = Observations(kind="loss", params=params, **fields)
    params[0] = 5
    assert table.params.tolist() == [1e6, 2e6]
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.kind = "nll"  # pyright: ignore[reportAttributeAccessIssue]


@settings(max_examples=40)
@given(
    runs=st.integers(1, 4),
    steps=st.integers(1, 3),
    questions=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    gaps=st.integers(0, 3),
)
def test_wide_and_long_tables_are_one_table(runs, steps, questions, seed, gaps):
    """Also where cells are missing and incomplete checkpoints are dropped."""
    rng = np.random.default_rng(seed)
    wide = valid_frame("wide", n_runs=runs, n_tokens=steps, n_questions=questions)
    names = [f"q{i}" for i in range(questions)]
    wide[names] = rng.exponential(4, (len(wide), questions))
    for _ in range(gaps):
        wide.loc[rng.integers(len(wide)), names[rng.integers(questions)]] = np.nan
    long = wide.melt(["run", "params", "tokens"], names, "question", "nll", ignore_index=False)
    long = long.sort_index(kind="stable")
    answers = []
    for frame in (wide, long):
        try:
            answers.append(read(frame, drop_incomplete=True))
        except InputError as error:
            answers.append(error.problem)
    if isinstance(answers[0], str):
        assert answers[1] == answers[0]
        return
    assert answers[0].data_hash() == answers[1].data_hash()
    np.testing.assert_array_equal(answers[0].nll, answers[1].nll)


def test_rows_in_any_order_give_the_same_checkpoints():
    frame = valid_frame("counts")
    table = read(frame)
    shuffled = read(frame.sample(frac=1, random_state=0))
    keys = list(zip(shuffled.run, shuffled.tokens, strict=True))
    place = [keys.index(key) for key in zip(table.run, table.tokens, strict=True)]
    assert table.question is not None
    assert shuffled.question is not None
    order = [shuffled.question.tolist().index(name) for name in table.question]
    again = shuffled.select(place).select_questions(order)
    assert again.data_hash() == table.data_hash()


def test_ragged_tables_keep_the_questions_most_checkpoints_have():
    frame = valid_frame("counts", n_runs=4)
    ragged = frame.drop(index=list(frame.index[-2:]))
    extra = frame.iloc[[0]].assign(question=99)
    with pytest.raises(InputError, match="1 of 8 checkpoints lack a question, 1 rows"):
        read(pd.concat([ragged, extra]))
    table = read(pd.concat([ragged, extra]), drop_incomplete=True)
    assert (table.n_rows, table.n_questions) == (7, 3)
    assert table.notes == (
        "left out 1 of 8 checkpoints that lack some of the 3 questions (1 row)",
        "left out 1 questions that most checkpoints lack (1 row)",
    )


def test_a_question_on_half_of_the_checkpoints_is_not_on_most():
    frame = valid_frame("nll", n_runs=2, n_tokens=1)
    with pytest.raises(InputError, match="'2' is asked of 1 of 2 checkpoints"):
        read(frame.iloc[:-1])


def test_one_question_name_in_two_tasks_is_two_questions():
    frame = valid_frame("nll")
    both = pd.concat([frame, frame.assign(task="u", nll=1.0)])
    table = read(both)
    assert table.n_questions == 6
    assert table.select_task("t").data_hash() == read(frame).data_hash()
    assert read(both, task="t").data_hash() == read(frame).data_hash()
    assert table.select_task("t", "u").n_questions == 6
    with pytest.raises(InputError, match="the tasks are t, u"):
        table.select_task("v")


def test_a_table_without_tasks_has_one():
    frame = valid_frame("nll").drop(columns="task")
    tasks = [read(frame).task, read(frame, task="quiz").task]
    assert [set(task.tolist()) for task in tasks if task is not None] == [{"all"}, {"quiz"}]


def test_derived_columns():
    table = table_of("loss")
    np.testing.assert_array_equal(table.tokens_per_param, table.tokens / table.params)
    np.testing.assert_array_equal(table.train_flops, 6 * table.params * table.tokens)
    assert table.n_questions == 0


def test_clusters_are_runs_trunks_or_rows():
    table = table_of("loss")
    assert table.cluster("row").tolist() == list(range(6))
    assert table.cluster("run").tolist() == [0, 0, 1, 1, 2, 2]
    assert table.cluster("trunk").tolist() == [0, 0, 0, 0, 1, 1]
    with pytest.raises(InputError, match="add a column 'trunk'"):
        table_of("nll").cluster("trunk")
    with pytest.raises(InputError, match="one of run, trunk, row"):
        table.cluster("question")


@given(mask=st.lists(st.booleans(), min_size=6, max_size=6).filter(any))
def test_a_selection_and_its_complement_join_to_the_whole(mask):
    keep = np.array(mask)
    table = table_of("nll")
    part = table.select(rows=keep)
    np.testing.assert_array_equal(part.params, table.params[keep])
    if keep.all():
        assert part.data_hash() == table.data_hash()
        return
    whole = part.join(table.select(~keep))
    back = np.argsort(np.concatenate([np.flatnonzero(keep), np.flatnonzero(~keep)]))
    assert whole.select(back).data_hash() == table.data_hash()


def test_selections_that_cannot_be_are_refused():
    table = table_of("nll")
    for rows in (np.zeros(6, bool), np.ones(5, bool), [0, 0], [9]):
        with pytest.raises(InputError):
            table.select(rows)
    with pytest.raises(InputError, match="loss table"):
        table_of("loss").select_questions([0])


def test_joins_align_questions_and_refuse_what_does_not_match():
    table = table_of("nll")
    one, other = table.select([0, 1, 2]), table.select([3, 4, 5])
    joined = one.join(other.select_questions([2, 0, 1]))
    assert joined.data_hash() == table.data_hash()
    for wrong, said in (
        (table_of("loss"), "kind is"),
        (one, "share a checkpoint"),
        (other.select_questions([0, 1]), "different questions"),
        (dataclasses.replace(other, params_definition="non-embedding"), "params_definition is"),
        (dataclasses.replace(other, run=["run-0"] * 3, tokens=[3e7, 4e7, 5e7]), "two numbers"),
    ):
        with pytest.raises(InputError, match=said):
            one.join(wrong)
    with pytest.raises(InputError, match="share a checkpoint"):
        table_of("loss").join(table_of("loss"))


def test_a_run_without_a_stated_trunk_is_its_own():
    table = dataclasses.replace(table_of("nll"), trunk=["t"] * 6)
    joined = table.select([0, 1]).join(dataclasses.replace(table.select([2, 3]), trunk=None))
    assert joined.trunk is not None
    assert joined.trunk.tolist() == ["t", "t", "run-1", "run-1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "other"}, "kind is 'other'"),
        ({"loss": None}, "needs loss"),
        ({"nll": [[1.0]] * 6}, "no use for nll"),
        ({"loss": [1.0]}, "shape"),
        ({"params": [-1.0] * 6}, "params holds -1"),
        ({"loss": [math.nan] * 6}, "loss holds nan"),
        ({"samples": [0.0] * 6}, "samples holds 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        dataclasses.replace(table_of("loss"), **change)


@given(
    nll=st.lists(st.floats(1e-3, 40), min_size=1, max_size=4),
    k=st.sampled_from([1, 2, 3.5, 64, 1e6]),
)
def test_losses_at_k_samples_are_means_over_questions(nll, k):
    n = len(nll)
    fields: dict[str, Any] = {"run": ["a"], "params": [1e6], "tokens": [1e7], "task": ["t"] * n}
    fields |= {"nll": [nll], "question": [str(i) for i in range(n)]}
    table = Observations(kind="nll", **fields)
    fail = [math.log1p(-math.exp(-x)) if x > 0.7 else math.log(-math.expm1(-x)) for x in nll]
    passed = [-math.expm1(k * x) for x in fail]
    np.testing.assert_allclose(table.pass_at_k(k)[0, 0], np.mean(passed), rtol=1e-12)
    loss = np.mean([-math.log(p) if p < 0.5 else -math.log1p(p - 1) for p in passed])
    np.testing.assert_allclose(table.neg_log_pass([k])[0, 0], loss, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(table.neg_log_pass(1)[:, 0], table.mean_nll(), rtol=1e-12)


def test_more_samples_only_help():
    grid = np.geomspace(1, 100, 20)
    table = table_of("nll")
    assert (np.diff(table.neg_log_pass(grid), axis=1) < 0).all()
    assert (np.diff(table.pass_at_k(grid), axis=1) >= 0).all()
    assert (table.neg_log_pass(grid) >= -np.log(table.pass_at_k(grid)) - 1e-12).all()  # Jensen


def test_pass_at_k_from_counts_is_the_share_of_subsets_with_a_success():
    table = table_of("counts")
    assert table.successes is not None
    for k in (1, 3, 8):
        exact = [
            [1 - math.comb(8 - int(c), k) / math.comb(8, k) for c in row] for row in table.successes
        ]
        np.testing.assert_allclose(table.pass_at_k(k)[:, 0], np.mean(exact, axis=1), rtol=1e-12)


def test_k_beyond_the_trials_of_any_question_has_no_estimate():
    table = table_of("counts")
    assert table.trials is not None
    trials = np.array(table.trials)
    trials[0, 0] = 20
    estimate = dataclasses.replace(table, trials=trials).pass_at_k([8, 9])
    assert np.isfinite(estimate[:, 0]).all()
    assert np.isnan(estimate[:, 1]).all()


def test_counts_and_loss_tables_refuse_what_they_do_not_hold():
    with pytest.raises(Refusal, match="beta_monotone"):
        table_of("counts").neg_log_pass(1)
    with pytest.raises(Refusal, match="give a question table"):
        table_of("loss").neg_log_pass(1)
    with pytest.raises(Refusal, match="give a question table"):
        table_of("loss").pass_at_k(1)
    with pytest.raises(Refusal, match="no NLL"):
        table_of("counts").mean_nll()
    for k in map(np.array, (0, 0.5, math.nan, [], [[1]])):
        with pytest.raises(InputError, match="at least 1"):
            table_of("nll").neg_log_pass(k)


def test_designs_that_identify_nothing_are_refused():
    table = table_of("loss")
    table.check_identifies()
    for rows, said in (([0, 1], "one model size"), ([0, 2, 4], "one token count")):
        with pytest.raises(Refusal, match=said):
            table.select(rows).check_identifies()
    for tokens in (20 * table.params, table.params**1.5):
        with pytest.raises(Refusal, match="cannot be told apart"):
            dataclasses.replace(table, tokens=tokens).check_identifies()


def test_descriptions_tell_what_matters():
    said = table_of("nll").describe()
    for piece in ("6 checkpoints of 3 runs", "1M to 4M parameters", "total", "3 questions (t 3)"):
        assert piece in said
    assert "Ignored columns 'x'." in read(valid_frame("loss").assign(x=1)).describe()


def test_hashes_tell_tables_apart():
    table = table_of("nll")
    assert table.nll is not None
    moved = np.array(table.nll)
    moved[0, 0] = np.nextafter(moved[0, 0], 9)
    others = [
        dataclasses.replace(table, nll=moved),
        dataclasses.replace(table, run=["x", *table.run[1:]]),
        table.select([1, 0, 2, 3, 4, 5]),
        table_of("loss"),
    ]
    hashes = {table.data_hash(), *(other.data_hash() for other in others)}
    assert len(hashes) == 5
    noted = dataclasses.replace(table, source="elsewhere", notes=("x",))
    assert noted.data_hash() == table.data_hash()


def test_definitions_of_n_must_agree():
    frame = valid_frame("loss").assign(params_definition="total")
    assert read(frame).params_definition == "total"
    with pytest.raises(InputError, match="correct one of them"):
        read(frame, params_definition="non-embedding")
    frame.loc[3, "params_definition"] = "non-embedding"
    with pytest.raises(InputError, match="row 3, column 'params_definition'"):
        read(frame)


def test_gemstones_wide_equals_long(shared_data, tmp_path):
    path = shared_data / "gemstones" / "per_question_nll_openbookqa.csv"
    columns = "run=model,params=n_params,tokens=d_tokens"
    wide = read(path, columns=columns)
    assert (wide.n_rows, wide.n_questions, wide.kind) == (264, 500, "nll")
    long = pd.read_csv(path).melt(["model", "n_params", "d_tokens"], None, "question", "nll")
    long.to_csv(tmp_path / "long.csv", index=False)
    again = read(tmp_path / "long.csv", columns=columns)
    assert again.data_hash() == wide.data_hash()


def test_pythia_counts_reproduce_the_published_means(shared_data):
    """Reference: mean pass@k over problems in the data set's own README, k = 1, 10, 100."""
    path = shared_data / "passk_pythia_gsm8k" / "counts.csv"
    with pytest.raises(InputError, match=r"1 of 81 checkpoints lack .* --drop-incomplete"):
        read(path, columns=PYTHIA)
    table = read(path, columns=PYTHIA, drop_incomplete=True)
    assert (table.n_rows, table.n_questions) == (80, 128)
    kept = table.n_rows * table.n_questions
    assert kept + 30 + 3 == 10273
    estimate = dict(zip(table.run, table.pass_at_k([1, 10, 100]), strict=True))
    np.testing.assert_allclose(estimate["Pythia_12B_300B"], [0.0109, 0.0997, 0.508], rtol=5e-3)
    np.testing.assert_allclose(estimate["Pythia_14M_300B"], [0.000218, 0.00213, 0.0172], rtol=5e-3)


def test_other_public_tables_are_read(shared_data):
    columns = "run=row,params=n_params,tokens=d_tokens"
    epoch = read(shared_data / "chinchilla_epoch" / "points.csv", columns=columns)
    assert (epoch.kind, epoch.n_rows) == ("loss", 245)
    contests = read(
        shared_data / "passk_codecontests" / "counts.csv", columns=PYTHIA.replace("ckpt", "model")
    )
    gemma = contests.pass_at_k([1, 10, 100, 1000, 10000])[contests.run == "Gemma 2B"][0]
    np.testing.assert_allclose(gemma, [0.000199, 0.001891, 0.012699, 0.036211, 0.071429], rtol=3e-3)


def test_a_table_is_shown_in_a_line_and_in_a_notebook():
    ladder = load_ladder()
    assert len(repr(ladder)) < 200
    assert "285 checkpoints" in repr(ladder)
    shown = ladder._repr_html_()
    assert shown.startswith("<table>")
    assert len(shown) < 3000
    assert "tasks" in shown
