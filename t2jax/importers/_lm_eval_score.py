"""The harness's own filters and exact match, for repeats that it drew and did not score (floor 1).

A filter that is not here scores nothing: the caller refuses the log.
"""

import dataclasses
import re
import string
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Scorer"]

_Step = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Exact match behind a chain of filters.

    Args:
      steps: what the filters do to one response.
      ignored: patterns that are taken out of answer and target.
      fold: case is ignored.
      dropped: characters that are taken out of answer and target.
    """

    steps: tuple[_Step, ...]
    ignored: tuple[re.Pattern, ...]
    fold: bool
    dropped: str

    @classmethod
    def of(cls, config: Mapping[str, Any], filter: str, metric: str) -> "Scorer | None":
        """The scorer of a task's configuration; None where it is not understood."""
        if metric != "exact_match" or not config:
            return None
        try:
            steps = _steps(config, filter)
            listed = config.get("metric_list") or [{"metric": metric}]
            told = next(one for one in listed if one["metric"] == metric)
            if not set(told) <= _UNDERSTOOD or steps is None:
                return None
            dropped = string.punctuation if told.get("ignore_punctuation") else ""
            return cls(
                steps=steps,
                ignored=tuple(re.compile(one) for one in told.get("regexes_to_ignore") or ()),
                fold=bool(told.get("ignore_case")),
                dropped=dropped + (string.digits if told.get("ignore_numbers") else ""),
            )
        except (TypeError, KeyError, StopIteration, AttributeError, re.error, ValueError):
            return None

    def score(self, answer: Any, target: str) -> float | None:
        """1 where the answer matches, 0 where it does not, None where it is no text."""
        if not isinstance(answer, str):
            return None
        for step in self.steps:
            answer = step(answer)
        return float(self._bare(answer) == self._bare(target))

    def _bare(self, text: str) -> str:
        for pattern in self.ignored:
            text = pattern.sub("", text)
        text = text.lower() if self.fold else text
        return text.translate(str.maketrans("", "", self.dropped))


_UNDERSTOOD = {
    "metric", "aggregation", "higher_is_better", "ignore_case", "ignore_punctuation",
    "ignore_numbers", "regexes_to_ignore",
}  # fmt: skip


def _steps(config: Mapping[str, Any], filter: str) -> tuple[_Step, ...] | None:
    """What the filter of a name does to a response before one of them is taken."""
    listed = config.get("filter_list")
    if not listed:
        return () if filter == "none" else None
    chain = next(one for one in listed if one["name"] == filter)["filter"]
    steps: list[_Step] = []
    for part in chain:
        options = {name: value for name, value in part.items() if name != "function"}
        options |= options.pop("kwargs", None) or {}
        if part["function"] == "take_first":
            return tuple(steps)
        made = _MAKERS[part["function"]](**options) if part["function"] in _MAKERS else None
        if made is None:
            return None
        steps.append(made)
    return None


def _regex(
    regex_pattern: str = r"#### (\-?[0-9\.\,]+)", group_select: int = 0, fallback: str = "[invalid]"
) -> _Step:
    pattern = re.compile(regex_pattern)

    def extract(text: str) -> str:
        found = pattern.findall(text)
        if not found or not -len(found) <= group_select < len(found):
            return fallback
        match = found[group_select]
        if isinstance(match, tuple):
            match = next((part for part in match if part), fallback)
        return match.strip()

    return extract


_MAKERS: dict[str, Callable[..., _Step]] = {
    "regex": _regex,
    "remove_whitespace": lambda: str.strip,
    "lowercase": lambda: str.lower,
    "uppercase": lambda: str.upper,
}
