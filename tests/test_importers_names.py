"""A model's name is its own: other scripts, other revisions, files that are one file."""

import json
import unicodedata

import made_logs as made
import pytest
from made_logs import refused

from t2jax import importers

ROWS = [{"run": "", "task": "t", "question": q, "correct": q} for q in range(2)]


def rows(path, *runs):
    return made.lines(path, [{**row, "run": run} for run in runs for row in ROWS])


# Names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["другая-1", "模型-1", "की-1", "😀-1", "mödel-1"])
def test_a_name_in_another_script_is_no_other_model(other, tmp_path):
    known = {"модель-1": (1e6, 2e7), "का-1": (2e6, 4e7), "model-1": (3e6, 4e7), "🙂-1": (4e6, 5e7)}
    path = rows(tmp_path / "s.jsonl", other)
    assert "params and tokens are not known of" in refused(importers.plain_samples, path, known)


def test_a_name_is_known_whatever_its_case_owner_and_composition(tmp_path):
    decomposed = unicodedata.normalize("NFD", "É/Модель_Й-1")
    path = rows(tmp_path / "s.jsonl", decomposed)
    table = importers.plain_samples(path, {"модель-й-1": (1e6, 2e7)})
    assert table.run.tolist() == ["модель-й-1"]


def test_a_name_of_punctuation_is_no_other_model(tmp_path):
    path = rows(tmp_path / "s.jsonl", "---")
    assert "not known of '---'" in refused(importers.plain_samples, path, {"***": (1e6, 2e7)})


def test_two_names_that_are_read_as_one_run_are_told(tmp_path):
    path = rows(tmp_path / "s.jsonl", "org/m-1", "me/M_1", "m-2")
    table = importers.plain_samples(path, {"m-1": (1e6, 2e7), "m-2": (4e6, 8e7)})
    assert "'org/m-1', 'me/M_1' are read as one run, 'm-1'" in table.notes
    alone = importers.plain_samples(rows(tmp_path / "a.jsonl", "m-1", "m-2"), made.RUNS)
    assert "one run" not in " ".join(alone.notes)


# Revisions ----------------------------------------------------------------------------------


def lm_eval_at(folder, args, config=None):
    path = made.lm_eval_file(folder, "EleutherAI/pythia-70m", [made.choice(0, 0, [-1.0, -2.0])])
    results = path.with_name(f"results_{made.STAMP}.json")
    told = json.loads(results.read_text())
    told["config"] = {"model_args": args, **(config or {})}
    results.write_text(json.dumps(told))
    return path


@pytest.mark.parametrize(
    ("args", "config"),
    [
        ("pretrained=EleutherAI/pythia-70m,revision=step1000", {}),
        ("pretrained=EleutherAI/pythia-70m", {"model_revision": "step1000"}),
        ({"pretrained": "EleutherAI/pythia-70m", "revision": 1000}, {}),
        ("revision=step1000", {}),
    ],
)
def test_a_folder_named_like_the_final_model_says_nothing_of_a_revision(args, config, tmp_path):
    lm_eval_at(tmp_path / "pythia-70m", args, config)
    final = {"pythia-70m": (7e7, 300e9), "EleutherAI__pythia-70m": (7e7, 300e9)}
    assert "1000'" in refused(importers.lm_eval, tmp_path, final)


def test_a_folder_that_carries_the_revision_names_it_and_main_is_the_model(tmp_path):
    args = "pretrained=x,revision=step100"
    lm_eval_at(tmp_path / "pythia-70m-step1000", args)
    refused(importers.lm_eval, tmp_path, {"pythia-70m-step1000": (7e7, 2e9)})
    lm_eval_at(tmp_path / "pythia-70m-step1000", f"{args}0")
    table = importers.lm_eval(tmp_path, {"pythia-70m-step1000": (7e7, 2e9)})
    assert table.tokens.tolist() == [2e9]
    lm_eval_at(tmp_path / "pythia-70m-step1000", "pretrained=x,revision=main")
    assert importers.lm_eval(tmp_path, {"x": (7e7, 3e9)}).tokens.tolist() == [3e9]


def test_other_tools_keep_revisions_apart_too(tmp_path):
    log = made.inspect_log("org/m-1", [["C", "I"]])
    log["eval"]["model_args"] = {"revision": "main"}
    (tmp_path / "a.json").write_text(json.dumps(log))
    assert importers.inspect(tmp_path / "a.json", made.RUNS).run.tolist() == ["org/m-1"]
    log["eval"]["model_args"] = {"revision": "step5"}
    (tmp_path / "a.json").write_text(json.dumps(log))
    assert "@step5'" in refused(importers.inspect, tmp_path / "a.json", made.RUNS)

    made.olmes(tmp_path / "olmes")
    for metrics in (tmp_path / "olmes").rglob("*metrics.json"):
        metrics.write_text(json.dumps({"model_config": {"revision": "step5"}}))
    assert "'m-1@step5'" in refused(importers.olmes, tmp_path / "olmes", made.RUNS)

    made.lighteval(tmp_path / "light")
    for model in made.MODELS:
        told = tmp_path / "light" / "results" / model / f"results_{made.STAMP}.json"
        told.parent.mkdir(parents=True)
        config = {"model_config": {"model_name": model, "revision": "step5"}}
        told.write_text(json.dumps({"config_general": config}))
    assert "'org/m-1@step5'" in refused(importers.lighteval, tmp_path / "light", made.RUNS)
    at = {f"{model}@step5": known for model, known in made.RUNS.items()}
    assert importers.lighteval(tmp_path / "light", at).run.tolist() == list(at)
