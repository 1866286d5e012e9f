"""Which checkpoint a log's model is: tables of runs, mappings, the catalogue of public ladders."""

import json

import made_logs as made
import pandas as pd
from made_logs import given, refused

from t2jax import importers


def revision_log(tmp_path, model, revision):
    path = made.lm_eval_file(tmp_path, model, [made.choice(0, 0, [-1.0, -2.0])])
    results = path.with_name(f"results_{made.STAMP}.json")
    told = json.loads(results.read_text())
    told["config"]["model_args"] = {"pretrained": model, "revision": revision}
    results.write_text(json.dumps(told))


def test_the_catalogue_knows_public_ladders_by_name_and_revision(tmp_path):
    for step in (1000, 4000):
        revision_log(tmp_path / str(step), "EleutherAI/pythia-70m", f"step{step}")
    table = importers.lm_eval(tmp_path, catalogue="pythia")
    assert table.run.tolist() == ["pythia-70m@step1000", "pythia-70m@step4000"]
    assert table.tokens.tolist() == [1000 * 2**21, 4000 * 2**21]
    assert given(table.trunk).tolist() == ["pythia-70m"] * 2
    assert (table.params[0], table.params_definition) == (70_426_624, "total")
    other = importers.lm_eval(tmp_path, catalogue="pythia", params_definition="non-embedding")
    assert other.params[0] == 18_915_328


def test_a_revision_is_never_taken_for_another(tmp_path):
    revision_log(tmp_path, "org/m-1", "step5")
    assert "are not known of 'org/m-1@step5'" in refused(importers.lm_eval, tmp_path, made.RUNS)
    table = importers.lm_eval(tmp_path, {"m-1@step5": (1e6, 2e7)})
    assert table.run.tolist() == ["m-1@step5"]


def test_models_without_tokens_are_named_with_what_would_tell_them(tmp_path):
    made.lm_eval(tmp_path)
    message = refused(importers.lm_eval, tmp_path)
    assert "'org/m-1', 'org/m-2'" in message
    assert "--runs runs.csv" in message
    revision_log(tmp_path / "p", "EleutherAI/pythia-70m", "step1000")
    assert "--catalogue pythia" in refused(importers.lm_eval, tmp_path / "p")


def test_runs_are_a_file_a_frame_or_a_mapping(tmp_path):
    made.lm_eval(tmp_path / "logs")
    frame = pd.DataFrame({"run": ["m-1", "m-2"], "params": [1e6, 4e6], "tokens": [2e7, 8e7]})
    path = tmp_path / "runs.csv"
    frame.assign(trunk="t").to_csv(path, index=False)
    table = importers.lm_eval(tmp_path / "logs", path)
    assert given(table.trunk).tolist() == ["t", "t"]
    assert importers.lm_eval(tmp_path / "logs", frame).params.tolist() == [1e6, 4e6]
    # Without params, N is what the log counts.
    log = importers.lm_eval(tmp_path / "logs", frame.drop(columns="params"))
    assert (log.params.tolist(), log.params_definition) == ([1000, 1000], "total")
    untold = frame.drop(columns="tokens")
    assert "no column 'tokens'" in refused(importers.lm_eval, tmp_path / "logs", untold)
    assert "(params, tokens)" in refused(importers.lm_eval, tmp_path / "logs", {"m-1": 3})


def test_every_catalogue_is_cited_and_counts_exactly():
    for ladder in importers.catalogue.LADDERS.values():
        assert "arXiv:" in ladder.source
    find = importers.catalogue.find
    known = {
        ("pythia", "EleutherAI/pythia-12b", "total"): (11_846_072_320, 143000 * 2**21),
        ("pythia", "pythia-160m-deduped@step512", "non-embedding"): (85_056_000, 512 * 2**21),
        ("olmo2", "allenai/OLMo-2-0425-1B@stage1-step1907359-tokens4001B", "total"):
            (1_484_916_736, 1907359 * 2**21),
        ("olmo2", "allenai/OLMo-2-1124-13B@stage1-step596057-tokens5001B", "unstated"):
            (13_202_396_160, 596057 * 2**23),
        ("olmo-ladder", "allenai/OLMo-Ladder-760M-2xC", "unstated"):
            (758_220_288, 40 * 758_220_288),
        ("gemstones", "tomg-group-umd/Gemstone-256x23@step_00002385", "unstated"):
            (48_377_600, 2385 * 2**22),
    }  # fmt: skip
    for (ladder, name, definition), (params, tokens) in known.items():
        found = find(ladder, [name], definition)
        assert found is not None, name
        assert (found.params, found.tokens) == (params, tokens), name
    for ladder, name in [
        ("pythia", "pythia-70m@step0"), ("pythia", "pythia-70m@other"), ("pythia", "pythia-7m"),
        ("olmo2", "allenai/OLMo-2-1124-7B"), ("olmo2", "OLMo-2-1124-7B@stage1-step10-tokens900B"),
        ("gemstones", "Gemstone-256x23"), ("gemstones", "Gemstone-250x23@step_00000100"),
        ("olmo-ladder", "OLMo-Ladder-190M"),
    ]:  # fmt: skip
        assert find(ladder, [name]) is None, name
    assert "no catalogue" in refused(find, "porian", ["x"])
    assert "does not count N as" in refused(find, "pythia", ["x"], "mine")
