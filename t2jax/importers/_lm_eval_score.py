"""The harness's own filters and exact match, for repeats that it drew and did not score (floor 1).

A filter that is not here scores nothing: the caller refuses the log.
"""

import string
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["exact_match"]

_UNDERSTOOD = {
    "metric", "aggregation", "higher_is_better", "ignore_case", "ignore_punctuation",
    "ignore_numbers", "regexes_to_ignore",
}  # fmt: skip


def exact_match(config: Mapping[str, Any], filter: str, metric: str) -> dict[str, Any] | None:
    """The rule of a task's configuration, for `Matcher`; None where it is not understood."""
    if metric != "exact_match" or not config:
        return None
    try:
        steps = _steps(config, filter)
        listed = config.get("metric_list") or [{"metric": metric}]
        told = next(one for one in listed if one["metric"] == metric)
        ignored = list(told.get("regexes_to_ignore") or ())
        if not set(told) <= _UNDERSTOOD or steps is None or not _texts(*ignored):
            return None
    except (TypeError, KeyError, StopIteration, AttributeError):
        return None
    dropped = string.punctuation if told.get("ignore_punctuation") else ""
    return {
        "steps": steps,
        "ignored": ignored,
        "fold": bool(told.get("ignore_case")),
        "dropped": dropped + (string.digits if told.get("ignore_numbers") else ""),
    }


def _texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _steps(config: Mapping[str, Any], filter: str) -> list[list[Any]] | None:
    """What the filter of a name does to a response before one of them is taken."""
    listed = config.get("filter_list")
    if not listed:
        return [] if filter == "none" else None
    chain = next(one for one in listed if one["name"] == filter)["filter"]
    steps: list[list[Any]] = []
    for part in chain:
        name = part["function"]
        options = {word: value for word, value in part.items() if word != "function"}
        options |= options.pop("kwargs", None) or {}
        if name == "take_first":
            return steps
        if name not in _MAKERS:
            return None
        steps.append([name, *_MAKERS[name](**options)])
    return None


def _regex(
    regex_pattern: str = r"#### (\-?[0-9\.\,]+)", group_select: int = 0, fallback: str = "[invalid]"
) -> list[Any]:
    if not _texts(regex_pattern, fallback) or not isinstance(group_select, int):
        raise TypeError("not as the harness has them")
    return [regex_pattern, group_select, fallback]


_MAKERS: dict[str, Callable[..., list[Any]]] = {
    "regex": _regex,
    "remove_whitespace": list,
    "lowercase": list,
    "uppercase": list,
}
