"""Every Eval Ever: instance records, for correctness only (floor 1)."""

from typing import Any, Unpack

from t2jax.importers._records import Paths, find_files, json_lines
from t2jax.importers._samples import Options, Samples
from t2jax.observations import Observations

__all__ = ["every_eval_ever"]


def every_eval_ever(paths: Paths, runs: Any = None, **options: Unpack[Options]) -> Observations:
    """Instance records of Every Eval Ever as a table of one trial a question.

    The records keep neither log-probabilities nor repeats: what the tool behind them logged says
    more, and is read by its own importer.

    Args:
      paths: `*_samples.jsonl` files, or folders of them.
      runs: which model is which checkpoint: a table with `run`, `params`, `tokens` and perhaps
        `trunk`, or a mapping from names to `(params, tokens)`.
      options: see `Options`.

    Returns:
      A table of counts; its notes say what was left out and why.

    Raises:
      InputError: a line that is no record, or an unknown model.
      Refusal: likelihoods were asked for, which such records do not have.

    Source: evaleval/every_eval_ever, schema 0.2.
    """
    files = find_files(paths, ["*_samples.jsonl", "*.jsonl"], "*_samples.jsonl files")
    samples = Samples(runs, options)
    samples.note(
        "these records keep no log-probabilities and no repeats: only one right or wrong a question"
    )
    for record in json_lines(files, progress=samples.progress, on_bad=samples.broken):
        task = record.name("evaluation_name")
        samples.no_nll(task, "these records keep no log-probabilities")
        if not samples.wants(task):
            continue
        if record.has("error"):
            samples.unscored(record, "the sample ended in an error")
            continue
        told = record.record("evaluation")
        right = told.values.get("is_correct")
        if not isinstance(right, bool):
            score = told.number("score") if told.has("score") else None
            if score not in (0, 1):
                samples.unscored(record, "neither right nor wrong")
                continue
            right = score == 1
        model = samples.model([record.name("model_id")])
        samples.add(model, task, record.name("sample_id"), record, successes=float(right))
    return samples.table(
        str(files[0]) if len(files) == 1 else f"{len(files)} logs of Every Eval Ever"
    )
