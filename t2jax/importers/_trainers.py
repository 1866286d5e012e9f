"""MaxText's metrics files and Levanter's JSON logger (floor 1)."""

from pathlib import Path
from typing import Any, Unpack

from t2jax import _bounds
from t2jax.errors import InputError
from t2jax.importers._losses import History, LossOptions
from t2jax.importers._records import Paths, Record, as_number, find_files, json_lines, open_binary
from t2jax.observations import Observations, RepeatedKey, decode_json

__all__ = ["levanter", "maxtext"]


def maxtext(
    paths: Paths,
    runs: Any = None,
    *,
    metric: str = "learning/loss",
    **options: Unpack[LossOptions],
) -> Observations:
    """Losses of the file that MaxText writes as `metrics_file`, one object a step.

    Args:
      paths: metrics files, or folders of `*.jsonl` and `metrics*.txt`.
      runs: which `run_name` is which: a table with `run`, `params`, `tokens` and perhaps `trunk`,
        or a mapping from names to `(params, tokens)`.
      metric: "learning/loss", "eval/avg_loss", ...
      options: see `LossOptions`.

    Returns:
      A loss table.

    Raises:
      InputError: a line that is no object, or an unknown run.

    Source: AI-Hypercomputer/maxtext, metric_logger.
    """
    files = find_files(paths, ["*.jsonl", "metrics*.txt"], "metrics files")
    history = History(runs, options, metric)
    for record in json_lines(files, progress=history.progress):
        if metric not in record.values:
            continue  # training and evaluation write lines of their own
        run = record.name("run_name") if record.has("run_name") else Path(record.source).stem
        loss = _loss(record, metric)
        # Step s is logged after update s + 1.
        history.add([run], record.number("step") + 1, loss, None)
    return history.table(str(files[0]) if len(files) == 1 else f"{len(files)} metrics files")


def levanter(
    paths: Paths, runs: Any = None, *, metric: str = "train/loss", **options: Unpack[LossOptions]
) -> Observations:
    """Losses of Levanter's `json_logger` tracker, whose objects stand on lines of its log.

    Args:
      paths: log files, or folders of `*.jsonl` and `*.log`; a run is called after its file, or
        after its folder.
      runs: which run is which: a table with `run`, `params`, `tokens` and perhaps `trunk`, or a
        mapping from names to `(params, tokens)`.
      metric: "train/loss", "eval/loss", ...
      options: see `LossOptions`.

    Returns:
      A loss table; tokens are Levanter's own `throughput/total_tokens` where they are logged.

    Raises:
      InputError: a file without such lines, or an unknown run.

    Source: stanford-crfm/levanter, levanter.tracker.json_logger.
    """
    files = find_files(paths, ["*.jsonl", "*.log", "*.log.gz"], "logs of Levanter")
    history = History(runs, options, metric)
    for path in files:
        names = [path.name.removesuffix(".gz").rsplit(".", 1)[0], path.absolute().parent.name]
        seen = 0
        with open_binary(path) as stream:
            for row, line in _bounds.lines(stream, str(path)):
                event = _event(line, path, row)
                if event is None:
                    continue
                seen += 1
                record = Record(event, str(path), row)
                if event.get("event") != "log" or not record.has("step"):
                    continue
                told = Record(_flat(record.values.get("metrics")), str(path), row, "metrics.")
                if told.has(metric):
                    name = "throughput/total_tokens"
                    tokens = told.number(name) if told.has(name) else None
                    history.add(names, record.number("step"), _loss(told, metric), tokens)
        if not seen:
            raise InputError(
                "has no line of the json_logger tracker",
                source=str(path),
                remedy="set tracker.type to json_logger, or export the history from W&B",
            )
    return history.table(str(files[0]) if len(files) == 1 else f"{len(files)} logs of Levanter")


def _loss(record: Record, field: str) -> float:
    value = as_number(record.values[field])
    # One that is not finite is left out later, and told.
    return record.number(field) if value is None else value


def _event(line: bytes, path: Path, row: int) -> dict[str, Any] | None:
    """The tracker's object on a line of a log, behind what the logger puts in front."""
    start = line.find(b"{")
    if start < 0 or b'"json_logger"' not in line:
        return None
    try:
        found = decode_json(line[start:].decode("utf-8"))
    except RepeatedKey as error:
        raise InputError(f"{error}", source=str(path), row=row, remedy="correct the line") from None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("tracker") == "json_logger" else None


def _flat(metrics: Any, prefix: str = "") -> dict[str, Any]:
    """Nested metrics under names with slashes, as Levanter itself joins them."""
    found: dict[str, Any] = {}
    for name, value in metrics.items() if isinstance(metrics, dict) else ():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}/")
        else:
            found[f"{prefix}{name}"] = value
    return found
