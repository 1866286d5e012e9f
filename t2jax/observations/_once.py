"""What may be in a table or an object once: of two, the last would win in silence (floor 1)."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from t2jax.errors import InputError

__all__ = ["RepeatedKey", "check_once", "decode_json"]


class RepeatedKey(ValueError):
    """A JSON object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RepeatedKey("a key appears twice")
    return found


decode_json = json.JSONDecoder(object_pairs_hook=_object).decode
"""The value of a JSON text; `json.loads` would make a decoder anew for every line."""


def check_once(header: Sequence[str], used: Iterable[str], source: str) -> None:
    """Refuse a table of which a column that is read has a namesake.

    Raises:
      InputError: names it.
    """
    times = Counter(header)
    for name in used:
        if times[name] > 1:
            raise InputError(
                f"the column appears {times[name]} times in the header",
                source=source,
                column=name,
                remedy="rename or delete all but one",
            )
