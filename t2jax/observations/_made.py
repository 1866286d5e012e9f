"""Tables made in memory, as importers make them, checked as those that are read (floor 1)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t2jax.observations import _reading
from t2jax.observations._observations import Observations
from t2jax.observations._table import Labels, Table

__all__ = ["from_columns"]


@dataclasses.dataclass(kw_only=True, eq=False)
class _Made(Table):
    """Columns at hand: numbers, or names with the codes that say which each row has."""

    columns: Mapping[str, np.ndarray | tuple[np.ndarray, Sequence[str]]]

    def load(
        self, labels: Sequence[str], numbers: Sequence[str]
    ) -> tuple[dict[str, Labels], dict[str, np.ndarray]]:
        """Columns by name."""
        names = {}
        for name in labels:
            column = self.columns[name]
            if not isinstance(column, tuple):
                raise self.not_names(name)
            names[name] = self.to_labels(column[0], column[1], name)
        return names, {name: np.asarray(self.columns[name], np.float64) for name in numbers}


def from_columns(
    columns: Mapping[str, np.ndarray | tuple[np.ndarray, Sequence[str]]],
    *,
    source: str,
    notes: Sequence[str] = (),
    **options: Any,
) -> Observations:
    """A table that was made in memory, checked as one that was read.

    Args:
      columns: our column names -> numbers of one length, or `(codes, names)` of texts.
      source: what messages call the table.
      notes: what was done to it before.
      options: as for `read`.

    Raises:
      InputError: as `read` does.
    """
    table = _Made(source=source, row_word="row", header=list(columns), columns=columns)
    fields = _reading.read_fields(table, **options)
    return Observations(**{**fields, "notes": (*notes, *fields["notes"])})
