"""What one cell of a table means: a number, a name, or nothing (floor 1, private)."""

import re
import unicodedata
from typing import Any

import numpy as np

from t2jax._numeral import numeral

__all__ = ["SPELLINGS", "composed", "is_clean", "label", "number", "number_remedy", "show"]

MISSING = frozenset(
    {"", "na", "n/a", "nan", "null", "none", "nil", "-", "?", "#n/a", "<na>", "nat"}
)
"""Spellings of a missing number, in lower case."""

SPELLINGS = sorted(
    {form(word) for word in MISSING for form in (str, str.upper, str.title)} | {"NaN"}
)
"""The same in the cases that people type, for a parser that wants them spelled out."""

_ONE_COMMA = re.compile(r"[+-]?\d{1,3},\d{3}")

# pandas' markers of a missing value, known by name so that pandas need not be loaded.
_MARKERS = frozenset({"NAType", "NaTType"})


def show(value: Any) -> str:
    """A value as it may stand in a one-line message: quoted, escaped, not too long."""
    text = ascii(value if isinstance(value, str) else str(value))
    return text if len(text) <= 60 else f"{text[:56]}...'"


def number(value: Any) -> float | None:
    """The number that a cell holds: NaN where it is empty, None where it is no number."""
    if isinstance(value, float):
        return value
    if value is None or type(value).__name__ in _MARKERS:
        return np.nan
    if isinstance(value, (bool, np.bool_, bytes, complex, np.complexfloating)):
        return None
    if isinstance(value, str):
        value = value.strip()
        if value.lower() in MISSING:
            return np.nan
        # "2,345" may be a decimal comma: a loss of 2345 nats would pass in silence.
        return None if _ONE_COMMA.fullmatch(value) else numeral(value)
    # NumPy's times count as whole numbers, and an array of one number would do for it.
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("b", "c", "m", "M") or getattr(value, "ndim", 0):
        return None
    try:
        return float(value)
    except OverflowError:
        return np.inf
    except (TypeError, ValueError):
        return None


def number_remedy(value: Any) -> str:
    """What to do about a cell that is no number."""
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(r"[+-]?\d+,\d+", text) and not re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", text):
        return "write decimals with a point"
    return "write a plain number such as 1234.5, 1e9 or 7B"


def label(value: Any) -> str | None:
    """The name that a cell holds; integers that a frame has turned into floats read as integers."""
    if isinstance(value, str):
        return value
    if value is None or type(value).__name__ in _MARKERS:
        return None
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return None
        return str(int(value)) if np.isfinite(value) and value == int(value) else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    return str(value)


def composed(name: str) -> str:
    """A name with its accents in its letters, as most keyboards write and no eye can tell."""
    return unicodedata.normalize("NFC", name)


def is_clean(name: str) -> bool:
    """Whether a name fits on one line and can be written as UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in name and f"{name}.".splitlines() == [f"{name}."]
