"""lighteval: `details_*.parquet` (floor 1)."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

from t2jax._bounds import check_kind, check_rows
from t2jax._progress import Meter
from t2jax.errors import InputError
from t2jax.importers._manifest import at_revision
from t2jax.importers._records import Paths, Record, find_files, json_document, show
from t2jax.importers._samples import CONTINUATION, JUDGED, Options, Samples
from t2jax.observations import Observations, check_once

__all__ = ["lighteval"]

_RIGHT = ("acc", "exact_match", "extractive_match", "em", "qem", "pem", "loglikelihood_acc",
          "acc_norm", "loglikelihood_acc_norm")  # fmt: skip
_PASS = re.compile(r"(?:\w*_)?pass@(?:k:)?(?:k=)?1(?:[:&]n=(\d+))?(?:[:&].*)?")


def lighteval(
    paths: Paths, runs: Any = None, *, metric: str = "", **options: Unpack[Options]
) -> Observations:
    """Details of lighteval as a question table.

    `nll` is minus the summed log-probability of the right choice, before any normalisation.

    Args:
      paths: `details_*.parquet` files, or folders of them.
      runs: which model is which checkpoint: a table with `run`, `params`, `tokens` and perhaps
        `trunk`, or a mapping from names to `(params, tokens)`.
      metric: which is success; by default the first of acc, exact_match, ..., or pass@1 of n.
      options: see `Options`.

    Returns:
      A question table; its notes say what was left out and why.

    Raises:
      InputError: a damaged file or an unknown model.
      Refusal: the log does not have what was asked for.

    Source: Habib et al., github.com/huggingface/lighteval, versions 0.10 to 0.13.
    """
    files = find_files(paths, ["details_*.parquet"], "details_*.parquet files")
    samples = Samples(runs, options)
    for path in files:
        stem = path.stem.removeprefix("details_")
        match = re.fullmatch(r"(.+?)_(\d{4}-\d\d-\d\dT.+)", stem)
        task = match[1] if match else stem
        folder = path.absolute().parent
        stamped = re.match(r"\d{4}-\d\d-\d\dT", folder.name)
        # details/OWNER/MODEL/TIME/details_TASK_TIME.parquet
        model = folder.parent if stamped else folder
        names = [f"{model.parent.name}/{model.name}", model.name]
        names = at_revision(names, _revision(model, folder.name) if stamped else None)
        for row, record in enumerate(_rows(path, samples.progress)):
            _read(record, samples, samples.model(names), task, str(row), metric)
    return samples.table(str(files[0]) if len(files) == 1 else f"{len(files)} logs of lighteval")


def _revision(model: Path, stamp: str) -> Any:
    """The revision of a model, which only the results beside the details tell."""
    # results/OWNER/MODEL/results_TIME.json
    root = model.parent.parent.parent
    told = root / "results" / model.parent.name / model.name / f"results_{stamp}.json"
    found = json_document(told) if told.is_file() else {}
    for field in ("config_general", "model_config", "revision"):
        found = found.get(field) if isinstance(found, dict) else None
    return found


def _rows(path: Path, progress: bool) -> Iterator[Record]:
    """The rows of a Parquet file, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        check_kind(path)
        file = pyarrow.parquet.ParquetFile(path)
        check_rows(file.metadata.num_rows, path)
        wanted = {"doc", "metric", "metrics", "model_response"}
        columns = [name for name in file.schema_arrow.names if name in wanted]
        check_once(columns, columns, str(path))
        if not {"metric", "metrics"} & set(columns):
            raise InputError(
                "has no column 'metric'",
                source=str(path),
                remedy="name the details_*.parquet of lighteval 0.10 or later",
            )
        meter, done = Meter(file.metadata.num_rows, "reading", show=progress), 0
        for batch in file.iter_batches(batch_size=256, columns=columns):
            for values in batch.to_pylist():
                done += 1
                yield Record(values, str(path), done)
            meter.to(done)
        meter.close()
    except InputError:
        raise  # a ValueError too
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        problem = f"is not a readable Parquet file ({error})"
        raise InputError(problem, source=str(path), remedy="copy the file again") from None


def _read(record: Record, samples: Samples, model: int, task: str, place: str, metric: str) -> None:
    """One question."""
    if not samples.wants(task):
        return
    told = record.record("metric" if record.has("metric") else "metrics")
    doc = record.record("doc") if record.has("doc") else Record({}, record.source, record.row)
    question = doc.name("id") if doc.values.get("id") not in (None, "") else place
    nll = _nll(record, doc, samples, task)
    right, trials = _right(told, record, metric)
    if nll is None and right is None:
        samples.unscored(record, "no likelihood of a right choice and no 0-or-1 metric")
        return
    samples.add(model, task, question, record, nll=nll, successes=right, trials=trials)


def _nll(record: Record, doc: Record, samples: Samples, task: str) -> float | None:
    """NLL of the right choice, or None where it was not asked for."""
    response = record.record("model_response") if record.has("model_response") else None
    choices = doc.values.get("choices")
    if response is None or not isinstance(response.values.get("logprobs"), list) or (
        not isinstance(choices, list) or len(choices) != len(response.values["logprobs"])
    ):  # fmt: skip
        samples.no_nll(task, JUDGED)
        return None
    gold = doc.values.get("gold_index")
    listed = gold if isinstance(gold, list) else [gold]
    lls = response.items("logprobs")
    wanted = [one for one in listed if isinstance(one, int) and 0 <= one < len(lls)]
    if not wanted or len(wanted) < len(listed):
        samples.no_nll(task, "the gold answer is none of the choices")
        return None
    chosen = [lls[one] for one in sorted(set(wanted))]
    if not all(isinstance(one, int | float) and not math.isnan(one) for one in chosen):
        raise response.error(f"{show(chosen)} are no numbers", "logprobs", remedy="leave it out")
    samples.note(CONTINUATION, "nll")
    top = max(chosen)
    if top == -math.inf:
        return math.inf
    return -min(0.0, top + math.log(sum(math.exp(one - top) for one in chosen)))


def _right(told: Record, record: Record, metric: str) -> tuple[float | None, float]:
    """Right samples and samples, or None where no metric says right or wrong."""
    if metric and not told.has(metric):
        raise told.error(
            f"has no metric {show(metric)}",
            remedy=f"its metrics are {', '.join(map(str, told.values)) or 'none'}",
        )
    passes = next((name for name in told.values if _PASS.fullmatch(name) and told.has(name)), "")
    name = metric or next((name for name in _RIGHT if told.has(name)), passes)
    if not name:
        return None, 1
    value = told.number(name)
    match = _PASS.fullmatch(name)
    if match:
        response = record.values.get("model_response")
        drawn = response.get("text") if isinstance(response, dict) else None
        n = int(match[1]) if match[1] else len(drawn) if isinstance(drawn, list) else 1
        if abs(value * n - round(value * n)) < 1e-6 * n:
            return float(round(value * n)), n  # the unbiased estimate at k = 1 is c/n
        return None, 1
    if value not in (0, 1):
        if metric:
            raise told.error(f"{name} is {value:g}, neither right nor wrong", name,
                             remedy="name a 0-or-1 metric with --metric")  # fmt: skip
        return None, 1
    return value, 1
