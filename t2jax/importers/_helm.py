"""HELM: `per_instance_stats.json` with `run_spec.json` beside it (floor 1)."""

from pathlib import Path
from typing import Any, Unpack

from t2jax.errors import InputError
from t2jax.importers._records import Paths, Record, find_files, json_document, show
from t2jax.importers._samples import Options, Samples
from t2jax.observations import Observations

__all__ = ["helm"]

_RIGHT = ("exact_match", "quasi_exact_match", "final_number_exact_match", "math_equiv",
          "math_equiv_chain_of_thought", "code_eval_acc", "pass", "prefix_exact_match")  # fmt: skip


def helm(
    paths: Paths, runs: Any = None, *, metric: str = "", **options: Unpack[Options]
) -> Observations:
    """Statistics per instance of HELM as a question table of successes and trials.

    Instances that were perturbed, and those that calibrate, are left out and told: they are the
    same questions asked otherwise.

    Args:
      paths: `per_instance_stats.json` files, or folders of runs.
      runs: which model is which checkpoint: a table with `run`, `params`, `tokens` and perhaps
        `trunk`, or a mapping from names to `(params, tokens)`.
      metric: which is success; by default the first of exact_match, quasi_exact_match, ...
      options: see `Options`.

    Returns:
      A table of counts; its notes say what was left out and why.

    Raises:
      InputError: a damaged file or an unknown model.
      Refusal: likelihoods were asked for, which such files do not have.

    Source: Liang et al. 2022, arXiv:2211.09110.
    """
    files = find_files(paths, ["per_instance_stats.json"], "per_instance_stats.json files")
    samples = Samples(runs, options)
    for path in files:
        task, names = _spec(path)
        model = samples.model(names)
        samples.no_nll(task, "its log-probabilities are those of what was generated, not of the "
                       "right answer")  # fmt: skip
        found = json_document(path)
        if not isinstance(found, list):
            raise InputError("is no list of instances", source=str(path), remedy="leave it out")
        for record in Record({"instances": found}, str(path)).records("instances"):
            _read(record, samples, model, task, metric)
    return samples.table(str(files[0]) if len(files) == 1 else f"{len(files)} logs of HELM")


def _spec(path: Path) -> tuple[str, list[str]]:
    """The task of a run, and what its model may be called."""
    beside = path.with_name("run_spec.json")
    told = json_document(beside) if beside.is_file() else {}
    told = told if isinstance(told, dict) else {}
    adapter = told.get("adapter_spec")
    adapter = adapter if isinstance(adapter, dict) else {}
    name = told.get("name")
    name = name if isinstance(name, str) and name else path.absolute().parent.name
    # A run is called scenario:key=value,...,model=owner_name; what is not the model is the task.
    scenario, _, rest = name.partition(":")
    parts = [part for part in rest.split(",") if part]
    models = [part.partition("=")[2] for part in parts if part.startswith("model=")]
    kept = [part for part in parts if not part.startswith(("model=", "model_deployment="))]
    task = ":".join(filter(None, (scenario, ",".join(kept))))
    given = [adapter.get("model"), adapter.get("model_deployment"), *models]
    names = [one for one in given if isinstance(one, str) and one]
    return task, list(dict.fromkeys(names)) or [path.absolute().parent.name]


def _read(record: Record, samples: Samples, model: int, task: str, metric: str) -> None:
    """One instance, or one trial of it."""
    if not samples.wants(task):
        return
    question = record.name("instance_id")
    if record.has("perturbation"):
        samples.leave_out("perturbed instances")
        return
    if "calibration" in str(record.values.get("request_mode", "")):
        samples.leave_out("calibration instances")
        return
    values: dict[str, Record] = {}
    for stat in record.records("stats"):
        name = stat.record("name")
        if not name.has("perturbation"):
            values.setdefault(name.name("name"), stat)
    chosen = metric or next((name for name in _RIGHT if name in values), "")
    if chosen not in values:
        known = ", ".join(show(name) for name in list(values)[:12])
        samples.unscored(
            record, f"has no statistic {show(chosen or 'exact_match')}; it has {known}"
        )
        return
    stat = values[chosen]
    trials = stat.whole("count") if stat.has("count") else 1
    right = stat.number("sum") if stat.has("sum") else stat.number("mean") * trials
    if trials < 1 or not 0 <= right <= trials or not float(right).is_integer():
        samples.unscored(record, f"{chosen} is {right:g} of {trials}, neither right nor wrong")
        return
    trial = record.whole("train_trial_index") if record.has("train_trial_index") else 0
    samples.add(model, task, question, record, successes=right, trials=trials, trial=trial)
