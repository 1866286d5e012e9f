"""Small logs of every tool, made by hand after the files that the tools write."""

import dataclasses
import gzip
import json
import pathlib
import zipfile
from typing import Any

import pytest

from t2jax.errors import InputError, T2Error

RUNS = {"org/m-1": (1e6, 2e7), "org/m-2": (4e6, 8e7)}
"""Name of a model -> its params and tokens."""

MODELS = tuple(RUNS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
    """A log in a folder.

    Args:
      tool: the function of `t2jax.importers`.
      main: the file that fuzzing breaks.
      samples: records that the folder holds.
      options: for the importer.
    """

    tool: str
    main: pathlib.Path
    samples: int
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def lines(path: pathlib.Path, records: list[Any]) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def given(values: Any) -> Any:
    """An array that a table has, because of its kind."""
    assert values is not None
    return values


def refused(call, *words, kind: type[T2Error] = InputError, **options) -> str:
    """The one line with which an importer says no."""
    with pytest.raises(kind) as caught:
        call(*words, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


STAMP = "2025-06-01T10-00-00.123456"


def choice(doc: int, gold: Any, lls: list[float], **more: Any) -> dict[str, Any]:
    """A sample of multiple choice as lm-evaluation-harness writes it."""
    best = lls.index(max(lls))
    return {
        "doc_id": doc,
        "doc": {"question": f"naïve {doc}?"},
        "target": str(gold),
        "arguments": {
            f"gen_args_{i}": {"arg_0": f"Q {doc}", "arg_1": f" answer {i}"} for i in range(len(lls))
        },
        "resps": [[[str(ll), "False"]] for ll in lls],
        "filtered_resps": [[str(ll), "False"] for ll in lls],
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": f"hash {doc}",
        "acc": float(best == gold) if isinstance(gold, int) else 1.0,
        "acc_norm": 0.0,
        **more,
    }


def generated(doc: int, answers: list[str], right: float, **more: Any) -> dict[str, Any]:
    """A sample of generation as lm-evaluation-harness writes it."""
    return {
        "doc_id": doc,
        "doc": {"question": f"{doc}?"},
        "target": "4",
        "arguments": {"gen_args_0": {"arg_0": "2 + 2 =", "arg_1": {"until": ["\n"]}}},
        "resps": [answers],
        "filtered_resps": [answers[0]],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": f"hash {doc}",
        "exact_match": right,
        **more,
    }


def lm_eval_file(
    folder: pathlib.Path, model: str, records: list[Any], task: str = "arc_easy", **config: Any
) -> pathlib.Path:
    """The samples of one model and task, with the results beside them."""
    place = folder / model.replace("/", "__")
    told = {
        "results": {},
        "config": {"model_args": f"pretrained={model},dtype=float", "model_num_parameters": 1000},
        "configs": {task: config},
        "model_name": model,
    }
    path = lines(place / f"samples_{task}_{STAMP}.jsonl", records)
    (place / f"results_{STAMP}.json").write_text(json.dumps(told))
    return path


def lm_eval(folder: pathlib.Path) -> Made:
    lls = {0: [-1.5, -2.5], 1: [-4.0, -0.5], 2: [-3.0, -2.0]}
    for shift, model in enumerate(MODELS):
        records = [choice(doc, doc % 2, [ll - shift for ll in two]) for doc, two in lls.items()]
        main = lm_eval_file(folder, model, records)
    return Made(tool="lm_eval", main=main, samples=6)


def inspect_log(model: str, right: list[list[Any]]) -> dict[str, Any]:
    """A log of Inspect: scores by sample and epoch."""
    samples = [
        {
            "id": f"q{i}",
            "epoch": epoch + 1,
            "input": "2 + 2 = ?",
            "target": "4",
            "scores": {"match": {"value": value, "answer": "4"}},
        }
        for i, epochs in enumerate(right)
        for epoch, value in enumerate(epochs)
    ]
    return {
        "version": 2,
        "status": "success",
        "eval": {"task": "sums", "model": f"hf/{model}", "model_args": {}, "config": {"epochs": 2}},
        "samples": samples,
    }


def inspect_json(folder: pathlib.Path) -> Made:
    for model in MODELS:
        main = folder / f"{model.replace('/', '-')}.json"
        main.write_text(json.dumps(inspect_log(model, [["C", "I"], ["N", 1], [True, "C"]])))
    return Made(tool="inspect", main=main, samples=12)


def inspect_zip(path: pathlib.Path, log: dict[str, Any], compression: int = zipfile.ZIP_DEFLATED):
    """The same as a zip file, as Inspect wrote before it took to zstd."""
    head = {name: value for name, value in log.items() if name != "samples"}
    with zipfile.ZipFile(path, "w", compression) as file:
        for sample in log["samples"]:
            name = f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
            file.writestr(name, json.dumps(sample))
        file.writestr("header.json", json.dumps(head))


def inspect_eval(folder: pathlib.Path) -> Made:
    for model in MODELS:
        main = folder / f"{model.replace('/', '-')}.eval"
        inspect_zip(main, inspect_log(model, [["C", "I"], ["N", 1]]))
    return Made(tool="inspect", main=main, samples=8)


def human_eval(folder: pathlib.Path) -> Made:
    for model in MODELS:
        records = [
            {"task_id": f"HumanEval/{i}", "completion": "  return 1\n", "result": "passed" * ok,
             "passed": ok} for i in range(2) for ok in (True, False, i > 0)
        ]  # fmt: skip
        main = lines(folder / model / "samples.jsonl_results.jsonl", records)
    return Made(tool="human_eval", main=main, samples=12)


def evalplus(folder: pathlib.Path) -> Made:
    for model in MODELS:
        each = {
            f"HumanEval/{i}": [
                {"task_id": f"HumanEval/{i}", "solution": "x", "base_status": "pass",
                 "plus_status": status} for status in ("pass", "fail", "timeout")
            ] for i in range(2)
        }  # fmt: skip
        main = folder / model / "humaneval_eval_results.json"
        main.parent.mkdir(parents=True, exist_ok=True)
        main.write_text(json.dumps({"date": "2025", "hash": "x", "eval": each}))
    return Made(tool="evalplus", main=main, samples=12)


def olmes(folder: pathlib.Path) -> Made:
    for shift, model in enumerate(MODELS):
        outputs = [{"sum_logits": -1.5 - shift, "num_tokens": 3}, {"sum_logits": -2.5}]
        records = [
            {"doc_id": i, "native_id": f"Mercury_{i}", "model_output": outputs,
             "metrics": {"correct_choice": i % 2, "acc_raw": 1 - i % 2, "acc_per_char": 1,
                         "sum_logits_corr": outputs[i % 2]["sum_logits"]}} for i in range(3)
        ]  # fmt: skip
        place = folder / model
        main = lines(place / "task-000-arc_easy-predictions.jsonl", records)
        told = {"task_name": "arc_easy:rc", "model_config": {"model": model, "revision": None}}
        (place / "task-000-arc_easy-metrics.json").write_text(json.dumps(told))
    return Made(tool="olmes", main=main, samples=6)


def helm(folder: pathlib.Path) -> Made:
    for model in MODELS:
        name = {"name": "exact_match", "split": "test"}
        stats = [{"name": {"name": "num_tokens"}, "count": 1, "sum": 3}]
        records = [
            {"instance_id": f"id{i}", "train_trial_index": 0,
             "stats": [*stats, {"name": name, "count": 1, "sum": float(i % 2)}]} for i in range(2)
        ]  # fmt: skip
        records.append({**records[0], "perturbation": {"name": "typos"}})
        place = folder / f"mmlu:subject=anatomy,model={model.replace('/', '_')}"
        place.mkdir(parents=True, exist_ok=True)
        main = place / "per_instance_stats.json"
        main.write_text(json.dumps(records))
        told = {"name": place.name, "adapter_spec": {"model": model}}
        (place / "run_spec.json").write_text(json.dumps(told))
    return Made(tool="helm", main=main, samples=6)


def every_eval_ever(folder: pathlib.Path) -> Made:
    records = [
        {"schema_version": "0.2.1", "model_id": model, "evaluation_name": "mmlu",
         "sample_id": f"id{i}", "evaluation": {"score": float(i), "is_correct": bool(i)},
         "error": None} for model in MODELS for i in range(2)
    ]  # fmt: skip
    main = lines(folder / "x_samples.jsonl", records)
    return Made(tool="every_eval_ever", main=main, samples=4)


def lighteval(folder: pathlib.Path) -> Made:
    import pyarrow as pa
    import pyarrow.parquet

    for shift, model in enumerate(MODELS):
        place = folder / "details" / model / STAMP
        place.mkdir(parents=True, exist_ok=True)
        main = place / f"details_arc:easy|0_{STAMP}.parquet"
        rows = [
            {"doc": {"id": str(i), "choices": ["a", "b"], "gold_index": i % 2},
             "model_response": {"logprobs": [-1.5 - shift, -2.5], "text": []},
             "metric": {"acc": float(1 - i % 2), "acc_norm": 1.0}} for i in range(3)
        ]  # fmt: skip
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), main)
    return Made(tool="lighteval", main=main, samples=6)


def plain_jsonl(folder: pathlib.Path) -> Made:
    records = [
        {"run": model, "task": "t", "question": q, "correct": ok, "params": n, "tokens": d}
        for model, (n, d) in RUNS.items() for q in range(2) for ok in (True, 0, "passed")
    ]  # fmt: skip
    return Made(tool="plain_samples", main=lines(folder / "s.jsonl", records), samples=12)


def plain_csv(folder: pathlib.Path) -> Made:
    rows = [f"{m},t,{q},{ok}" for m in MODELS for q in range(2) for ok in (1, "true", "fail")]
    main = folder / "s.csv"
    main.parent.mkdir(parents=True, exist_ok=True)
    main.write_text("\n".join(["run,task,question,correct", *rows]) + "\n")
    return Made(tool="plain_samples", main=main, samples=12)


LOGS = {
    made.__name__: made
    for made in (
        lm_eval, inspect_json, inspect_eval, human_eval, evalplus, olmes, helm, every_eval_ever,
        lighteval, plain_jsonl, plain_csv,
    )
}  # fmt: skip
"""Every kind of log of samples; each makes two models in a folder."""
