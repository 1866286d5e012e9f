"""OLMES (oe-eval): `task-*-predictions.jsonl` with `task-*-metrics.json` beside them (floor 1)."""

import math
import re
from pathlib import Path
from typing import Any, Unpack

from t2jax.importers._manifest import at_revision
from t2jax.importers._records import Paths, Record, find_files, json_document, json_lines, show
from t2jax.importers._samples import CONTINUATION, JUDGED, Options, Samples
from t2jax.observations import Observations

__all__ = ["olmes"]

_RIGHT = ("exact_match", "pass_at_1", "acc_raw", "acc_per_char", "acc_per_token", "acc_uncond")


def olmes(
    paths: Paths, runs: Any = None, *, metric: str = "", **options: Unpack[Options]
) -> Observations:
    """Predictions of OLMES as a question table.

    `nll = -sum_logits` of the right choice. Where a record has only a mean per token or per
    character, it is multiplied by the length beside it; a mean per byte has none, and is refused.

    Args:
      paths: `task-*-predictions.jsonl` files, or folders of them.
      runs: which model is which checkpoint: a table with `run`, `params`, `tokens` and perhaps
        `trunk`, or a mapping from names to `(params, tokens)`.
      metric: which is success; by default the first of exact_match, pass_at_1, acc_raw, ...
      options: see `Options`.

    Returns:
      A question table; its notes say what was left out and why.

    Raises:
      InputError: a line that is no prediction, or an unknown model.
      Refusal: the log does not have what was asked for.

    Source: Gu et al. 2024, arXiv:2406.08446; OUTPUT_FORMATS.md of allenai/olmes.
    """
    files = find_files(paths, ["*predictions.jsonl", "*predictions.jsonl.gz"], "predictions.jsonl")
    samples = Samples(runs, options)
    source, task, names = "", "", [""]
    for record in json_lines(files, progress=samples.progress, on_bad=samples.broken):
        if record.source != source:
            source = record.source
            task, names = _beside(Path(source))
        if not samples.wants(task):
            continue
        question = record.name("native_id" if record.has("native_id") else "doc_id")
        told = record.record("metrics")
        nll = _nll(record, told, samples, task)
        right, trials = _right(record, told, metric)
        if nll is None and right is None:
            samples.unscored(record, "no likelihood of a right choice and no 0-or-1 metric")
            continue
        model = samples.model(names)
        samples.add(model, task, question, record, nll=nll, successes=right, trials=trials)
    return samples.table(str(files[0]) if len(files) == 1 else f"{len(files)} logs of OLMES")


def _beside(path: Path) -> tuple[str, list[str]]:
    """The task of a file of predictions, and what its model may be called."""
    name = path.name.removesuffix(".gz").removesuffix("predictions.jsonl")
    beside = path.with_name(f"{name}metrics.json")
    told = json_document(beside) if beside.is_file() else {}
    told = told if isinstance(told, dict) else {}
    config = told.get("model_config")
    config = config if isinstance(config, dict) else {}
    task = told.get("task_name")
    if not isinstance(task, str) or not task:
        task = re.sub(r"^task-\d+-", "", name).rstrip("-_") or path.parent.name
    model = config.get("model_path") or config.get("model")
    revision = config.get("revision")
    folder = path.absolute().parent.name
    model = model if isinstance(model, str) and model else folder
    return task, at_revision([model], revision, [folder])


def _nll(record: Record, told: Record, samples: Samples, task: str) -> float | None:
    """NLL of the right choice, or None where the task has none."""
    if not told.has("correct_choice"):
        samples.no_nll(task, JUDGED)
        return None
    outputs, gold = record.records("model_output"), told.whole("correct_choice")
    if gold >= len(outputs):
        raise told.error(
            f"choice {gold} of {len(outputs)}", "correct_choice", remedy="leave this file out"
        )
    chosen = outputs[gold]
    samples.note(CONTINUATION, "nll")
    if chosen.has("sum_logits"):
        total = chosen.number("sum_logits")
        if told.has("sum_logits_corr"):
            other = told.number("sum_logits_corr")
            if not math.isclose(total, other, rel_tol=1e-4, abs_tol=1e-4):
                raise told.error(
                    f"{other:.6g} is not the {total:.6g} of choice {gold}",
                    "sum_logits_corr",
                    remedy="leave this file out",
                )
        return -total
    for mean, length in (("logits_per_token", "num_tokens"), ("logits_per_char", "num_chars")):
        if chosen.has(mean) and chosen.has(length):
            text = f"{mean} was multiplied by {length}: only their product is a probability"
            samples.note(text, "nll")
            return -chosen.number(mean) * chosen.number(length)
    samples.no_nll(task, "it has means without lengths, of which exp is no probability")
    return None


def _right(record: Record, told: Record, metric: str) -> tuple[float | None, float]:
    """Right samples and samples, or None where no metric says right or wrong."""
    if metric and not told.has(metric):
        raise told.error(
            f"has no metric {show(metric)}",
            remedy=f"its metrics are {', '.join(map(str, told.values)) or 'none'}",
        )
    name = metric or next((name for name in _RIGHT if told.has(name)), "")
    if not name:
        return None, 1
    value = told.number(name)
    outputs = record.values.get("model_output")
    drawn = len(outputs) if isinstance(outputs, list) and not told.has("correct_choice") else 1
    if name == "pass_at_1" and drawn > 1:
        right = value * drawn  # the unbiased estimate at k = 1 is c/n
        if abs(right - round(right)) < 1e-6 * drawn:
            return float(round(right)), drawn
    if drawn > 1:
        raise told.error(
            f"{drawn} samples were drawn, and {name} is one number for all of them",
            name,
            remedy="name --metric pass_at_1, or evaluate with one sample a question",
        )
    if value not in (0, 1):
        if metric:
            raise told.error(f"{name} is {value:g}, neither right nor wrong", name,
                             remedy="name a 0-or-1 metric with --metric")  # fmt: skip
        return None, 1
    return value, 1
