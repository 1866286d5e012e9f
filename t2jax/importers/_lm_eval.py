"""lm-evaluation-harness: `samples_*.jsonl`, with `results_*.json` beside them (floor 1).

What the format hides: the default filter hands on the first of several repeats only; every filter
writes every document once more; numbers are written as texts; files are appended to; the gold
answer is an index, a list of them, or a text; `acc_norm` divides by characters and `acc_bytes` by
bytes, and neither is a probability; `acc_mutual_info` doubles the requests.
"""

import ast
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from t2jax.errors import InputError
from t2jax.importers._lm_eval_match import Matcher, Unmatched
from t2jax.importers._lm_eval_score import exact_match
from t2jax.importers._manifest import at_revision
from t2jax.importers._records import (
    Paths,
    Record,
    as_number,
    find_files,
    json_document,
    json_lines,
    show,
)
from t2jax.importers._samples import CONTINUATION, JUDGED, Options, Samples
from t2jax.observations import Observations

__all__ = ["lm_eval"]

_STAMP = r"\d{4}-\d\d-\d\dT[\d:.-]+"
_ROLLING = {"word_perplexity", "byte_perplexity", "bits_per_byte"}
# Metrics that are 1 where a sample is right and 0 where it is wrong, the likeliest first.
_RIGHT = ("exact_match", "acc", "pass@1", "pass_at_1", "em", "acc_norm", "prompt_level_strict_acc")


def lm_eval(
    paths: Paths,
    runs: Any = None,
    *,
    filter: str = "",
    metric: str = "",
    first_repeat: bool = False,
    **options: Unpack[Options],
) -> Observations:
    """Samples of lm-evaluation-harness 0.4 as a question table.

    `nll = -sum_t log p(token_t)` of the gold answer, as the harness sums it; of several gold
    answers the NLL of any of them. Successes are what a 0-or-1 metric says, with one trial for
    each repeat: repeats that the harness did not score are scored again by the filter and the
    metric of `results_*.json`, or the log is refused.

    Args:
      paths: `samples_*.jsonl` files, or folders of them.
      runs: which model is which checkpoint: a table with `run`, `tokens` and perhaps `params`,
        `trunk`, or a mapping from names to `(params, tokens)`.
      filter: whose scores are read, where a task has several.
      metric: which is success; by default the first of exact_match, acc, pass@1, ...
      first_repeat: count the first of several repeats only.
      options: see `Options`.

    Returns:
      A question table; its notes say what was left out and why.

    Raises:
      InputError: a line that is no sample, an unknown model, samples that contradict each other.
      Refusal: the log does not have what was asked for.

    Source: Gao et al., doi:10.5281/zenodo.10256836; files as written by versions 0.4.0 to 0.4.13.
    """
    files = find_files(paths, ["samples_*.jsonl", "samples_*.jsonl.gz"], "samples_*.jsonl files")
    samples = Samples(runs, options)
    with Matcher() as matcher:
        reader = _Reader(samples, matcher, filter, metric, first_repeat)
        for record in json_lines(files, progress=samples.progress, on_bad=samples.broken):
            reader.read(record)
    reader.check_filters()
    return samples.table(str(files[0]) if len(files) == 1 else f"{len(files)} logs of lm-eval")


@dataclasses.dataclass(frozen=True)
class _File:
    """What is known of a file of samples before its first line."""

    source: str
    task: str
    names: tuple[str, ...]
    params: float | None
    config: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "_File":
        stem = path.name.removesuffix(".gz").removesuffix(".jsonl").removeprefix("samples_")
        match = re.fullmatch(rf"(.+?)_({_STAMP})", stem)
        task, stamp = (match[1], match[2]) if match else (stem, "")
        results = path.with_name(f"results_{stamp}.json" if stamp else "results.json")
        told: Any = json_document(results) if results.is_file() else {}
        told = told if isinstance(told, dict) else {}
        config, configs = told.get("config"), told.get("configs")
        config = config if isinstance(config, dict) else {}
        configs = configs if isinstance(configs, dict) else {}
        params = as_number(config.get("model_num_parameters"))
        return cls(
            source=str(path),
            task=task,
            names=_names(told, config, path.absolute()),
            params=params if params is not None and 0 < params < math.inf else None,
            config=configs[task] if isinstance(configs.get(task), dict) else {},
        )


def _names(told: Mapping[str, Any], config: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """What the model may be called in a table of runs, the fullest name first."""
    told_args = config.get("model_args")
    given: dict[str, Any] = told_args if isinstance(told_args, dict) else {}
    if isinstance(told_args, str):
        parts = [part.partition("=") for part in told_args.split(",") if "=" in part]
        given = {name: value for name, _, value in parts}
    model = given.get("pretrained") or given.get("model") or told.get("model_name")
    revision = given.get("revision") or config.get("model_revision")
    folders = [path.parent.parent.name]
    if not isinstance(model, str) or not model:
        model, folders = path.parent.name, [path.parent.name, *folders]
    return tuple(filter(None, at_revision([model], revision, folders)))


class _Reader:
    """The samples of several files, one after the other."""

    def __init__(
        self, samples: Samples, matcher: Matcher, filter: str, metric: str, first_repeat: bool
    ):
        self.samples, self.filter, self.metric = samples, filter, metric
        self.matcher = matcher
        self.first_repeat = first_repeat
        self.filters: dict[str, set[str]] = {}
        self.rules: dict[tuple[str, str, str], dict[str, Any] | None] = {}
        self.file = _File("", "", (), None, {})

    def read(self, record: Record) -> None:
        """One line."""
        if record.source != self.file.source:
            self.file = _File.open(Path(record.source))
        task = self.file.task
        told = record.name("filter") if record.has("filter") else "none"
        if not self.samples.wants(task):
            return
        self.filters.setdefault(task, set()).add(told)
        # "none" is what the harness calls the filter of tasks that have no others.
        if self.filter and told not in (self.filter, "none"):
            self.samples.leave_out("samples of other filters")
            return
        question = record.name("doc_id")
        if record.has("doc_hash"):
            if not self.samples.same_document(task, question, record.name("doc_hash")):
                raise record.error(
                    f"doc_id {show(question)} of {show(task)} is another document than before",
                    "doc_hash",
                    remedy="convert logs of one version of the task's documents together",
                )
        requests = record.items("resps")
        if not requests or not all(isinstance(one, list) and one for one in requests):
            raise record.error("a request has no response", "resps", remedy="leave this file out")
        successes, trials = self._successes(record, requests, told)
        nll = self._nll(record, requests, task)
        if nll is None and successes is None:
            self.samples.unscored(record, "no likelihood of a right answer and no 0-or-1 metric")
            return
        model = self.samples.model(self.file.names, self.file.params)
        self.samples.add(model, task, question, record, nll=nll, successes=successes, trials=trials)

    def check_filters(self) -> None:
        """Refuse tasks that were scored by several filters, of which none was named."""
        every = sorted(set().union(*self.filters.values()))
        if self.filter and every and self.filter not in every:
            raise InputError(
                f"no task has a filter {show(self.filter)}",
                remedy=f"the filters are {', '.join(map(show, every))}",
            )
        for task, known in self.filters.items():
            if len(known) > 1 and self.filter not in known:
                raise InputError(
                    f"task {show(task)} was scored by {len(known)} filters",
                    remedy=f"name one with --filter: {', '.join(map(show, sorted(known)))}",
                )

    # Likelihoods ----------------------------------------------------------------------------

    def _nll(self, record: Record, requests: list[Any], task: str) -> float | None:
        """NLL of the right answer, or None where the sample has none."""
        if not isinstance(requests[0][0], list):
            rolling = _ROLLING & set(_metrics(record))
            reason = "it scores whole documents, which are no answers" if rolling else (
                JUDGED
            )  # fmt: skip
            self.samples.no_nll(task, reason)
            return None
        # Repeats of a likelihood are the same number again.
        lls = [_log_likelihood(record, request[0]) for request in requests]
        if len(lls) == 1:
            return -lls[0]
        if "acc_mutual_info" in _metrics(record) and len(lls) % 2 == 0:
            lls = lls[: len(lls) // 2]  # behind the choices come the same without the question
        answers = _answers(record, len(lls))
        if answers is not None and len(set(answers)) == 1:
            self.samples.no_nll(task, "its choices stand in the prompt and share one ending")
            return None
        scored = as_number(record.values.get("acc"))
        if scored is not None and scored not in (0, 1):
            self.samples.no_nll(task, "several answers are right and its own rule weighs them")
            return None
        gold = _gold(record, len(lls), answers)
        if gold is None:
            self.samples.no_nll(task, "the gold answer is none of the choices")
            return None
        best = max(range(len(lls)), key=lls.__getitem__)
        if scored is not None and (best in gold) != bool(scored):
            raise record.error(
                f"the likeliest choice is {best}, gold is {gold}, and acc is {scored:g}",
                "target",
                remedy="this is no multiple choice as the harness scores it: use --measure counts",
            )
        self.samples.note(CONTINUATION, "nll")
        return -_log_sum([lls[index] for index in gold])

    # Successes ------------------------------------------------------------------------------

    def _successes(
        self, record: Record, requests: list[Any], filter: str
    ) -> tuple[float | None, float]:
        """Right samples and samples, or None where no metric says right or wrong."""
        known = _metrics(record)
        name = self.metric or next((name for name in _RIGHT if name in known), "")
        if self.metric and self.metric not in known:
            raise record.error(
                f"has no metric '{self.metric}'",
                remedy=f"its metrics are {', '.join(known) or 'none'}",
            )
        if not name:
            return None, 1
        self.samples.note(f"a success of {self.file.task} is {name}", "counts")
        value = record.number(name)
        repeats = 1 if isinstance(requests[0][0], list) else len(requests[0])
        if repeats == 1 or self.first_repeat:
            if value not in (0, 1):
                if self.metric:
                    problem = f"{name} is {value:g}, which is neither right nor wrong"
                    raise record.error(problem, name, remedy="name a 0-or-1 metric with --metric")
                return None, 1
            return value, 1
        if name.startswith("pass"):
            # pass@1 of n samples is c/n exactly, whatever the tool says of larger k.
            right = value * repeats
            if abs(right - round(right)) < 1e-6 * repeats and name in ("pass@1", "pass_at_1"):
                return float(round(right)), repeats
        return self._again(record, requests[0], filter, name, value), repeats

    def _again(
        self, record: Record, responses: list[Any], filter: str, name: str, value: float
    ) -> float:
        """Score every repeat as the harness scored the first."""
        key = (self.file.source, filter, name)
        if key not in self.rules:
            self.rules[key] = exact_match(self.file.config, filter, name)
        rule, scores, why = self.rules[key], None, "cannot be scored again"
        remedy = "keep results_*.json beside the samples, or pass --first-repeat"
        if rule is not None and all(isinstance(answer, str) for answer in responses):
            try:
                scores = self.matcher.scores(rule, responses, record.text("target"))
                why = "score otherwise here"
            except Unmatched as error:
                why = f"cannot be scored again by its patterns: {error}"
                remedy = "pass --first-repeat, or name another filter with --filter"
        if scores is None or scores[0] != value:
            raise record.error(
                f"{len(responses)} repeats, of which the harness scored the first; they {why}",
                name,
                remedy=remedy,
            )
        self.samples.note("repeats that it did not score were scored by its own rule", "counts")
        return sum(scores)


def _metrics(record: Record) -> list[str]:
    """Names of a sample's metrics; versions before 0.4.5 do not list them."""
    told = record.values.get("metrics")
    if isinstance(told, list):
        return [name for name in told if isinstance(name, str)]
    return [name for name in (*_RIGHT, *_ROLLING, "acc_mutual_info") if name in record.values]


def _log_likelihood(record: Record, response: Any) -> float:
    value = as_number(response[0]) if isinstance(response, list) and response else None
    if value is None or not value <= 1e-4:
        above = "" if value is None or math.isnan(value) else ", as it is above 0"
        problem = f"{show(response)} is no log-likelihood{above}"
        raise record.error(problem, "resps", remedy="leave this file out")
    return value


def _answers(record: Record, count: int) -> list[str] | None:
    """The continuations of the choices, where the log has them."""
    arguments = record.values.get("arguments")
    if isinstance(arguments, dict):
        pairs = [arguments.get(f"gen_args_{place}") for place in range(count)]
        found = [pair.get("arg_1") if isinstance(pair, dict) else None for pair in pairs]
    elif isinstance(arguments, list):  # as versions before 0.4.3 wrote them
        found = [one[1] if isinstance(one, list) and len(one) > 1 else None for one in arguments]
    else:
        return None
    texts = [text for text in found[:count] if isinstance(text, str)]
    return texts if len(texts) == count else None


def _gold(record: Record, count: int, answers: list[str] | None) -> list[int] | None:
    """Indices of the right choices; None where the target is none of them."""
    target: Any = record.values.get("target")
    if isinstance(target, str) and re.fullmatch(r"\s*(-?\d+|\[[-\d,\s]*\])\s*", target):
        try:
            target = ast.literal_eval(target.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):  # "[----...1]" nests
            return None
    if isinstance(target, str):
        ends = [] if answers is None else [answer.strip() for answer in answers]
        return [ends.index(target.strip())] if ends.count(target.strip()) == 1 else None
    wanted = target if isinstance(target, list) else [target]
    fine = [one for one in wanted if isinstance(one, int) and not isinstance(one, bool)]
    if not wanted or len(fine) < len(wanted) or not all(0 <= one < count for one in fine):
        return None
    return sorted(set(fine))


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    if top == -math.inf:
        return top
    return min(0.0, top + math.log(sum(math.exp(value - top) for value in values)))
