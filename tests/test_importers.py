"""What the logs of evaluation tools hide, tool by tool."""

import copy
import json
import math
import re
import zipfile

import made_logs as made
import numpy as np
import pytest
from made_logs import given, refused

import t2jax as t2
from t2jax import importers
from t2jax.cli import main
from t2jax.errors import Refusal


def lm_eval(tmp_path, records, model="org/m-1", runs=None, **options):
    """Samples of one model, read."""
    config = options.pop("config", {})
    made.lm_eval_file(tmp_path, model, records, **config)
    return importers.lm_eval(tmp_path, made.RUNS if runs is None else runs, **options)


@pytest.mark.parametrize("log", made.LOGS)
def test_every_log_becomes_a_table_of_two_checkpoints(log, tmp_path):
    found = made.LOGS[log](tmp_path)
    table = getattr(importers, found.tool)(tmp_path, made.RUNS, **found.options)
    assert table.run.tolist() == list(made.MODELS)
    assert table.params.tolist() == [1e6, 4e6]
    again = tmp_path / "again.parquet"
    table.write(again)
    assert t2.read(again).data_hash() == table.data_hash()


# lm-evaluation-harness ----------------------------------------------------------------------


def test_the_nll_is_that_of_the_gold_choice(tmp_path):
    made.lm_eval(tmp_path)
    table = importers.lm_eval(tmp_path, made.RUNS)
    assert given(table.nll).tolist() == [[1.5, 0.5, 3.0], [2.5, 1.5, 4.0]]
    counts = importers.lm_eval(tmp_path, made.RUNS, measure="counts")
    assert given(counts.successes).tolist() == [[1, 1, 0]] * 2
    assert any("--measure nll reads the other" in note for note in counts.notes)
    assert any("continuation" in note for note in table.notes)


def test_gold_answers_may_be_texts_lists_or_nothing(tmp_path):
    lls = [-1.0, -2.0, -3.0]
    records = [
        made.choice(0, "answer 1", lls, acc=0.0),
        made.choice(1, [0, 2], lls, acc=1.0),
        made.choice(2, 0, lls),
    ]
    table = lm_eval(tmp_path, records)
    both = -math.log(math.exp(-1) + math.exp(-3))
    np.testing.assert_allclose(given(table.nll), [[2.0, both, 1.0]])
    deep = made.choice(0, "[" + "-" * 200_000 + "1]", lls, acc=0.0)
    message = refused(lm_eval, tmp_path / "d", [deep], measure="nll", kind=Refusal)
    assert "none of the choices" in message
    records.append(made.choice(3, -100, lls, acc=0.0))
    message = refused(lm_eval, tmp_path / "b", records, measure="nll")
    assert "line 4: the sample has no likelihood of a right answer" in message
    table = lm_eval(tmp_path / "c", records, drop_incomplete=True, measure="nll")
    assert table.n_questions == 3
    assert "(1 row)" in " ".join(table.notes)


def test_mutual_information_doubles_the_requests(tmp_path):
    record = made.choice(0, 1, [-1.0, -2.0, -9.0, -0.1], acc=0.0)
    record["metrics"].append("acc_mutual_info")
    assert given(lm_eval(tmp_path, [record]).nll).tolist() == [[2.0]]


def test_a_gold_index_that_the_score_contradicts_is_refused(tmp_path):
    message = refused(lm_eval, tmp_path, [made.choice(0, 1, [-1.0, -2.0], acc=1.0)])
    assert "line 1, column 'target'" in message
    assert "likeliest choice is 0" in message


def test_choices_in_the_prompt_and_partial_scores_have_no_probability(tmp_path):
    record = made.choice(0, 0, [-1.0, -2.0])
    for place, pair in enumerate(record["arguments"].values()):
        pair |= {"arg_0": f"context {place}", "arg_1": " the same end"}
    counts = lm_eval(tmp_path, [record])
    assert counts.kind == "counts"
    message = refused(lm_eval, tmp_path, [record], measure="nll", kind=Refusal)
    assert "choices stand in the prompt" in message
    half = made.choice(0, 0, [-1.0, -2.0], acc=0.4)
    message = refused(
        lm_eval, tmp_path / "b", [half], measure="nll", metric="acc_norm", kind=Refusal
    )
    assert "its own rule weighs them" in message


def test_whole_documents_are_no_answers(tmp_path):
    record = made.generated(0, ["-1234.5"], 1.0, metrics=["word_perplexity"])
    del record["exact_match"]
    assert "no likelihood of a right answer" in refused(lm_eval, tmp_path, [record])


SUM_RULE = {
    "filter_list": [
        {"name": "strict", "filter": [{"function": "regex", "regex_pattern": "#### (\\d+)"},
                                      {"function": "take_first"}]},
        {"name": "last", "filter": [{"function": "regex", "group_select": -1,
                                     "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)"},
                                    {"function": "take_first"}]},
    ],
    "metric_list": [{"metric": "exact_match", "ignore_case": True, "regexes_to_ignore": [","]}],
}  # fmt: skip


def test_repeats_are_scored_again_and_never_counted_as_one(tmp_path):
    answers = ["#### 4", "#### 5", "so 4", "#### 4"]
    records = [made.generated(0, answers, 1.0, filter="strict")]
    table = lm_eval(tmp_path, records, config=SUM_RULE)
    assert (given(table.successes).tolist(), given(table.trials).tolist()) == ([[2]], [[4]])
    last = [made.generated(0, answers, 1.0, filter="last")]
    table = lm_eval(tmp_path / "b", last, config=SUM_RULE)
    assert given(table.successes).tolist() == [[3]]
    first = lm_eval(tmp_path / "c", records, first_repeat=True)
    assert (given(first.successes).tolist(), given(first.trials).tolist()) == ([[1]], [[1]])


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"filter_list": [{"name": "strict", "filter": [{"function": "majority_vote"}]}]},
        {**SUM_RULE, "metric_list": [{"metric": "exact_match", "by_hand": True}]},
    ],
)
def test_repeats_without_a_rule_are_refused(config, tmp_path):
    records = [made.generated(0, ["#### 4", "#### 5"], 1.0, filter="strict")]
    message = refused(lm_eval, tmp_path, records, config=config)
    assert "2 repeats, of which the harness scored the first" in message
    assert "--first-repeat" in message


def rule(pattern, **metric):
    """A task's configuration with a pattern of its own."""
    steps = [{"function": "regex", "regex_pattern": pattern}, {"function": "take_first"}]
    chain = [{"name": "own", "filter": steps}]
    return {"filter_list": chain, "metric_list": [{"metric": "exact_match", **metric}]}


ENDLESS, LONG = r"(a+)+$", "a" * 60 + "!"


@pytest.mark.parametrize(
    ("config", "answers", "target"),
    [
        (rule(ENDLESS), [LONG, "4"], "4"),
        (rule(r"\d+", regexes_to_ignore=[ENDLESS]), ["5", "4"], LONG),
    ],
)
def test_a_pattern_that_never_ends_is_stopped(config, answers, target, tmp_path, monkeypatch):
    monkeypatch.setattr("t2jax.importers._lm_eval_match.LIMIT", 0.5)
    records = [made.generated(0, answers, 0.0, filter="own", target=target)]
    message = refused(lm_eval, tmp_path, records, config=config)
    assert "line 1, column 'exact_match'" in message
    assert "it takes longer than 0.5 s" in message
    assert "pass --first-repeat" in message
    first = lm_eval(tmp_path, records, config=config, first_repeat=True)
    assert given(first.successes).tolist() == [[0]]


@pytest.mark.parametrize("pattern", ["(", "(" * 5000 + ")" * 5000, "x{9" + "9" * 99 + "}"])
def test_a_pattern_that_is_none_is_refused(pattern, tmp_path):
    records = [made.generated(0, ["4", "5"], 1.0, filter="own")]
    message = refused(lm_eval, tmp_path, records, config=rule(pattern))
    assert "cannot be scored again by its patterns: " in message


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        (r"(?<=answer is )(.*)(?=\.)", 2),  # the last stop, as the harness has it
        (r"(?:is|are) (\d)|^(\d)$", 4),
        (r"(?i)THE ANSWER IS (\d)", 3),
        (r"(\d)?", 1),
    ],
)
def test_patterns_of_any_task_score_as_they_do_in_the_harness(pattern, right, tmp_path):
    answers = ["4", "the answer is 4.", "The answer is 4.", "the answer is 4, is 5"]
    expected = [harness(pattern, answer) == "4" for answer in answers]
    assert sum(expected) == right
    records = [made.generated(0, answers, float(expected[0]), filter="own")]
    table = lm_eval(tmp_path, records, config=rule(pattern))
    assert (given(table.successes).tolist(), given(table.trials).tolist()) == ([[right]], [[4]])


def harness(pattern, answer):
    """The harness's own lines: what its filter takes out of an answer."""
    found = re.findall(pattern, answer)
    if not found:
        return "[invalid]"
    match = found[0]
    if isinstance(match, tuple):
        match = next((part for part in match if part), "[invalid]")
    return match.strip()


def test_a_rule_that_scores_the_first_repeat_otherwise_is_not_trusted(tmp_path):
    records = [made.generated(0, ["#### 5", "#### 4"], 1.0, filter="strict")]
    assert "score otherwise" in refused(lm_eval, tmp_path, records, config=SUM_RULE)


def test_pass_at_1_of_n_is_a_count_and_larger_k_are_not_taken_over(tmp_path):
    record = made.generated(0, ["a"] * 8, 1.0)
    record |= {"metrics": ["pass@1", "pass@64"], "pass@1": 0.375, "pass@64": 1.0}
    table = lm_eval(tmp_path, [record])
    assert (given(table.successes).tolist(), given(table.trials).tolist()) == ([[3]], [[8]])
    assert "8 repeats" in refused(lm_eval, tmp_path / "b", [record], metric="pass@64")
    assert np.isnan(table.pass_at_k([64])).all()


def test_filters_are_asked_for(tmp_path):
    records = [
        made.generated(doc, ["#### 4"], right, filter=name)
        for doc in range(2) for name, right in (("strict", 0.0), ("last", 1.0))
    ]  # fmt: skip
    assert "name one with --filter: 'last', 'strict'" in refused(lm_eval, tmp_path, records)
    assert given(lm_eval(tmp_path, records, filter="last").successes).tolist() == [[1, 1]]
    assert "no task has a filter" in refused(lm_eval, tmp_path, records, filter="other")


def test_what_was_appended_or_written_by_two_ranks_counts_once(tmp_path):
    records = [made.choice(doc, 0, [-1.0, -2.0]) for doc in range(3)]
    table = lm_eval(tmp_path, records * 2)
    assert given(table.nll).tolist() == [[1.0] * 3]
    assert "left out samples that repeat others exactly (3 rows)" in table.notes
    other = made.choice(1, 0, [-1.5, -2.0])
    message = refused(lm_eval, tmp_path / "b", [*records, other])
    assert "line 4" in message
    assert "line 2" in message
    changed = {**records[1], "doc_hash": "another document"}
    assert "is another document than before" in refused(
        lm_eval, tmp_path / "c", [*records, changed]
    )


def test_an_infinite_nll_of_an_impossible_answer_is_no_number(tmp_path):
    record = made.choice(0, 1, [-1.0, -math.inf])
    assert "has no likelihoods" in refused(lm_eval, tmp_path, [record], measure="nll", kind=Refusal)


def test_a_sample_above_probability_one_is_refused(tmp_path):
    assert "it is above 0" in refused(lm_eval, tmp_path, [made.choice(0, 0, [0.5, -2.0])])


def test_logs_of_the_first_versions_are_one_list_without_filter_names(tmp_path):
    records = [made.choice(doc, 0, [-1.0, -2.0]) for doc in range(2)]
    for record in records:
        for name in ("filter", "metrics", "doc_hash"):
            del record[name]
        record["arguments"] = [["Q", " a"], ["Q", " b"]]
    path = tmp_path / "m-1" / "samples_arc.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(records, indent=2))
    assert given(importers.lm_eval(path, {"m-1": (1e6, 2e7)}).nll).tolist() == [[1.0, 1.0]]


# Inspect ------------------------------------------------------------------------------------


def test_epochs_are_trials_in_both_containers(tmp_path):
    log = made.inspect_log("org/m-1", [["C", "I", "P"], ["N", 1, "C"]])
    (tmp_path / "a.json").write_text(json.dumps(log))
    made.inspect_zip(tmp_path / "b.eval", log)
    for name in ("a.json", "b.eval"):
        message = refused(importers.inspect, tmp_path / name, made.RUNS)
        assert "sample 'q0' scored 'P', which is neither right nor wrong" in message
        table = importers.inspect(tmp_path / name, made.RUNS, drop_incomplete=True)
        assert given(table.successes).tolist() == [[1, 2]]
        assert given(table.trials).tolist() == [[2, 3]]
        assert "(1 row)" in " ".join(table.notes)
    # The same log in two containers is one log.
    both = importers.inspect(tmp_path, made.RUNS, drop_incomplete=True)
    assert given(both.trials).tolist() == [[2, 3]]


def test_zstd_members_are_read(tmp_path):
    import pyarrow as pa

    log = made.inspect_log("org/m-1", [["C", "I"]])
    plain, packed = tmp_path / "plain.eval", tmp_path / "packed.eval"
    made.inspect_zip(plain, log, zipfile.ZIP_STORED)
    zstd = pa.Codec("zstd")
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            # Two frames one behind another, as long members are written.
            half = len(content) // 2
            frames = b"".join(
                bytes(zstd.compress(part)) for part in (content[:half], content[half:])
            )
            info = zipfile.ZipInfo(member.filename)
            new.writestr(info, frames)
            info.CRC, info.file_size, info.compress_type = member.CRC, len(content), 93
    table = importers.inspect(packed, made.RUNS)
    assert given(table.successes).tolist() == [[1]]


def test_errors_missing_scores_and_nan_are_named(tmp_path):
    log = made.inspect_log("org/m-1", [["C", "I"], ["C", "C"]])
    path = tmp_path / "a.json"
    for change, said in (
        ({"error": {"message": "no answer"}}, "sample 'q1' ended in an error"),
        ({"scores": None}, "sample 'q1' has no score"),
        ({"scores": {"match": {"value": math.nan}}}, "was not scored"),
        ({"scores": {"a": {"value": 1}, "b": {"value": 0}}}, "name one with --metric: a, b"),
        ({"scores": {"match": {"value": {"x": 1}}}}, "--metric match.x"),
    ):
        broken = copy.deepcopy(log)
        broken["samples"][2] |= change
        path.write_text(json.dumps(broken))  # a bare NaN, as the tool writes it
        assert said in refused(importers.inspect, path, made.RUNS)
    broken["samples"] = [{**one, "scores": {"m": {"value": {"x": 1}}}} for one in log["samples"]]
    path.write_text(json.dumps(broken))
    assert given(importers.inspect(path, made.RUNS, metric="m.x").successes).tolist() == [[2, 2]]


# The others ---------------------------------------------------------------------------------


def test_programs_are_counted_and_the_larger_k_stay_unknown(tmp_path):
    made.human_eval(tmp_path)
    table = importers.human_eval(tmp_path, made.RUNS)
    assert given(table.successes).tolist() == [[1, 2]] * 2
    assert np.isnan(table.pass_at_k([4])).all()
    made.lines(tmp_path / "m" / "x_results.jsonl", [{"task_id": "a", "completion": "b"}])
    assert "evaluate_functional_correctness" in refused(importers.human_eval, tmp_path, made.RUNS)


def test_evalplus_counts_plus_unless_base_is_asked_for(tmp_path):
    made.evalplus(tmp_path)
    assert given(importers.evalplus(tmp_path, made.RUNS).successes).tolist() == [[1, 1]] * 2
    base = importers.evalplus(tmp_path, made.RUNS, metric="base")
    assert given(base.successes).tolist() == [[3, 3]] * 2
    old = {"eval": {"HumanEval/0": {"nfiles": 2, "base": [["pass", []], ["pass", []]],
                                    "plus": [["pass", []], ["fail", []]]}}}  # fmt: skip
    path = tmp_path / "b" / "org" / "m-1" / "eval_results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(old))
    assert given(importers.evalplus(path, made.RUNS).successes).tolist() == [[1]]


def test_a_mean_is_no_probability_without_its_length(tmp_path):
    record = {"doc_id": 0, "metrics": {"correct_choice": 0, "acc_raw": 1},
              "model_output": [{"logits_per_token": -0.5, "num_tokens": 3}, {"x": 1}]}  # fmt: skip
    path = made.lines(tmp_path / "m-1" / "task-000-t-predictions.jsonl", [record])
    assert given(importers.olmes(path, made.RUNS).nll).tolist() == [[1.5]]
    record["model_output"][0] = {"logits_per_char": -0.25, "num_chars": 8}
    made.lines(path, [record])
    assert given(importers.olmes(path, made.RUNS).nll).tolist() == [[2.0]]
    for mean in ("logits_per_byte", "logits_per_token"):
        record["model_output"][0] = {mean: -0.25}
        made.lines(path, [record])
        message = refused(importers.olmes, path, made.RUNS, measure="nll", kind=Refusal)
        assert "means without lengths, of which exp is no probability" in message


def test_olmes_pass_at_1_is_a_count(tmp_path):
    outputs = [{"continuation": "x"}] * 4
    record = {
        "doc_id": 0,
        "model_output": outputs,
        "metrics": {"pass_at_1": 0.75, "pass_at_8": 1.0},
    }
    path = made.lines(tmp_path / "m-1" / "task-000-t-predictions.jsonl", [record])
    table = importers.olmes(path, made.RUNS)
    assert (given(table.successes).tolist(), given(table.trials).tolist()) == ([[3]], [[4]])
    record["metrics"] = {"exact_match": 1.0}
    made.lines(path, [record])
    assert "4 samples were drawn" in refused(importers.olmes, path, made.RUNS)


def test_helm_drops_perturbed_instances_and_says_so(tmp_path):
    made.helm(tmp_path)
    table = importers.helm(tmp_path, made.RUNS)
    assert given(table.task).tolist() == ["mmlu:subject=anatomy"] * 2
    assert "left out perturbed instances (2 rows)" in table.notes


def test_every_eval_ever_says_what_it_lost(tmp_path):
    made.every_eval_ever(tmp_path)
    assert "no log-probabilities and no repeats" in " ".join(
        importers.every_eval_ever(tmp_path, made.RUNS).notes
    )
    message = refused(importers.every_eval_ever, tmp_path, made.RUNS, measure="nll", kind=Refusal)
    assert "keep no log-probabilities" in message


def test_lighteval_counts_pass_at_1_and_sums_several_gold_answers(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet

    place = tmp_path / "org" / "m-1"
    place.mkdir(parents=True)
    row = {"doc": {"id": "0", "choices": ["a", "b"], "gold_index": [0, 1]},
           "model_response": {"logprobs": [-1.0, -2.0]}, "metric": {"acc": 1.0}}  # fmt: skip
    pyarrow.parquet.write_table(pa.Table.from_pylist([row]), place / "details_t.parquet")
    table = importers.lighteval(tmp_path, made.RUNS)
    np.testing.assert_allclose(given(table.nll), -math.log(math.exp(-1) + math.exp(-2)))
    row = {"doc": {"id": "0", "choices": ["4"], "gold_index": 0},
           "model_response": {"text": ["a"] * 8}, "metric": {"pass@k:k=1&n=8": 0.25}}  # fmt: skip
    pyarrow.parquet.write_table(pa.Table.from_pylist([row]), place / "details_t.parquet")
    table = importers.lighteval(tmp_path, made.RUNS)
    assert (given(table.successes).tolist(), given(table.trials).tolist()) == ([[2]], [[8]])


def test_rows_of_samples_are_counted_under_any_names(tmp_path):
    rows = [
        {"model": "a", "id": i, "ok": ok, "n": 1e6, "d": 2e7} for i in (0, 1) for ok in (1, 0, 1)
    ]
    path = made.lines(tmp_path / "s.jsonl", rows)
    assert "--columns run=" in refused(importers.plain_samples, path)
    names = "run=model,question=id,correct=ok,params=n,tokens=d"
    table = importers.plain_samples(path, columns=names)
    assert (given(table.successes).tolist(), given(table.trials).tolist()) == ([[2, 2]], [[3, 3]])
    assert (table.params[0], table.tokens[0]) == (1e6, 2e7)
    rows[-1]["n"] = 3e6
    made.lines(path, rows)
    assert "line 6" in refused(importers.plain_samples, path, columns=names)
    rows[-1] |= {"n": 1e6, "ok": 0.5}
    made.lines(path, rows)
    assert "neither right nor wrong" in refused(importers.plain_samples, path, columns=names)


def test_kinds_are_not_mixed_and_tasks_can_be_chosen(tmp_path):
    made.lm_eval_file(tmp_path, "org/m-1", [made.choice(0, 0, [-1.0, -2.0])])
    made.lm_eval_file(tmp_path, "org/m-1", [made.generated(0, ["4"], 1.0)], task="sums")
    assert importers.lm_eval(tmp_path, made.RUNS).kind == "counts"
    assert importers.lm_eval(tmp_path, made.RUNS, task="arc_easy").kind == "nll"
    message = refused(importers.lm_eval, tmp_path, made.RUNS, measure="nll", kind=Refusal)
    assert "task 'sums' has no likelihoods: its answers were generated and judged" in message
    assert "the tasks are 'arc_easy', 'sums'" in refused(
        importers.lm_eval, tmp_path, made.RUNS, task="other"
    )


def test_bad_options_and_paths_are_one_line(tmp_path):
    made.lm_eval(tmp_path)
    assert "use nll or counts" in refused(importers.lm_eval, tmp_path, made.RUNS, measure="loss")
    assert "no option 'metrc'" in refused(importers.lm_eval, tmp_path, made.RUNS, metrc="acc")
    assert "no such file" in refused(importers.lm_eval, tmp_path / "none", made.RUNS)
    assert "no log is named" in refused(importers.lm_eval, [], made.RUNS)
    assert "holds no *.eval or *.json" in refused(importers.inspect, _empty(tmp_path), made.RUNS)


def _empty(tmp_path):
    place = tmp_path / "empty"
    place.mkdir()
    return place


# The command --------------------------------------------------------------------------------


def test_the_command_converts_in_one_line(tmp_path, capsys):
    made.lm_eval(tmp_path / "logs")
    runs, out = tmp_path / "runs.csv", tmp_path / "table.csv"
    runs.write_text("run,params,tokens\nm-1,1e6,2e7\nm-2,4e6,8e7\n")
    words = ["convert", "lm-eval", str(tmp_path / "logs"), "--runs", str(runs), "-o", str(out)]
    assert main(words) == 0
    assert f"written: {out}" in capsys.readouterr().out
    assert given(t2.read(out).nll).tolist() == [[1.5, 0.5, 3.0], [2.5, 1.5, 4.0]]
    assert main([*words, "--step", "all"]) == 2
    assert "--step means nothing for lm-eval" in capsys.readouterr().err
    assert main(["convert", "lm-evl", "x"]) == 2
    assert "did you mean 'lm-eval'?" in capsys.readouterr().err
    assert main(["convert", "olmes", str(tmp_path)]) == 2
    assert main([*words, "--measure", "nll", "--task", "sums"]) == 2
