"""Tables made in memory, as importers make them, checked as those that are read (floor 1)."""

from collections.abc import Mapping, Sequence
from typing import Any

from t2jax.observations import _reading
from t2jax.observations._observations import Observations

__all__ = ["from_columns"]


def from_columns(
    columns: Mapping[str, Any], *, source: str, notes: Sequence[str] = (), **options: Any
) -> Observations:
    """A table that was made in memory, checked as one that was read.

    Args:
      columns: our column names -> columns of one length.
      source: what messages call the table.
      notes: what was done to it before.
      options: as for `read`.

    Raises:
      InputError: as `read` does.
    """
    fields = _reading.read_fields(_reading.framed(columns, source), **options)
    return Observations(**{**fields, "notes": (*notes, *fields["notes"])})
