"""Numbers and tables as fixed-width text (floor 0): what every `summary()` is made of."""

import contextlib
import contextvars
import math
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = [
    "PLACE",
    "Part",
    "count",
    "interval",
    "json_ready",
    "number",
    "set_aside",
    "table",
    "underline",
]

PLACE = "\x00{}\x00"
"""Stands for a title or table that was set aside, by its number."""

Part = tuple[Sequence[str], Sequence[Sequence[str]]]
"""A header and rows; a title is a header of one cell without rows."""

_aside: contextvars.ContextVar[list[Part] | None] = contextvars.ContextVar("aside", default=None)

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def number(value: float, digits: int = 4) -> str:
    """A plain number with so many significant digits.

    >>> number(0.34731049), number(2143.417), number(1.2e22)
    ('0.3473', '2143', '1.2e+22')
    """
    value = float(value)
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-3 <= abs(value) < 1e6:
        text = f"{value:.0f}"
    return text


def count(value: float, digits: int = 3) -> str:
    """A count of parameters, tokens or samples with a thousands suffix.

    >>> count(434156624), count(20), count(2.56e12)
    ('434M', '20', '2.56T')
    """
    value = float(value)
    if not math.isfinite(value) or abs(value) >= 1e15:
        return number(value, digits)
    for unit, suffix in _UNITS:
        # 999.96k would round up to a four-digit 1000k
        if abs(value) >= unit * (1 - 0.5 * 10.0**-digits):
            return f"{number(value / unit, digits)}{suffix}"
    return number(value, digits)


def interval(low: float, high: float, show=number) -> str:
    """An interval as text.

    >>> interval(0.25, 0.5), interval(0.25, math.inf), interval(0.25, 0.25)
    ('[0.25, 0.5]', 'above 0.25', '0.25 at both ends')
    """
    if math.isnan(low) or math.isnan(high):
        return "n/a"
    if math.isinf(low) or math.isinf(high):
        ends = [("above", low)] * math.isfinite(low) + [("below", high)] * math.isfinite(high)
        return " ".join(f"{word} {show(end)}" for word, end in ends) or "open at both ends"
    one, other = show(low), show(high)
    return f"{one} at both ends" if one == other else f"[{one}, {other}]"


def json_ready(value: Any) -> Any:
    """The value with null in place of what JSON has no number for.

    >>> json_ready({"a": (1.0, float("inf"))})
    {'a': [1.0, None]}
    """
    if isinstance(value, dict):
        return {name: json_ready(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def set_aside() -> Iterator[list[Part]]:
    """Collect the titles and tables that are made inside; `PLACE` is left where they stood."""
    parts: list[Part] = []
    token = _aside.set(parts)
    try:
        yield parts
    finally:
        _aside.reset(token)


def _kept(part: Part) -> str | None:
    """The place of a part where parts are set aside."""
    parts = _aside.get()
    if parts is None:
        return None
    parts.append(part)
    return PLACE.format(len(parts) - 1)


def underline(title: str, rule: str = "=") -> str:
    """A title over a rule of its own length."""
    if place := _kept(([title], [])):
        return place
    return f"{title}\n{rule * len(title)}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0) -> str:
    """A fixed-width table: first column left, the others right.

    >>> print(table(["name", "value"], [["alpha", "0.35"], ["E", "1.8"]]))
    name   value
    alpha   0.35
    E        1.8
    """
    if rows and (place := _kept((header, rows))):
        return place
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        (
            " " * indent
            + "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
        ).rstrip()
        for line in lines
    )
