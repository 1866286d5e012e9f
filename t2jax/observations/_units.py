"""Units of the columns of a table: stated by the user, or guessed from their names (floor 1)."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from t2jax.observations import _naming
from t2jax.observations._cells import show
from t2jax.observations._checks import Rows

__all__ = ["apply_units"]


def apply_units(
    rows: Rows, factors: Mapping[str, float], naming: _naming.Naming, notes: list[str]
) -> Rows:
    """Multiply columns by the units that the user stated."""
    numbers, cells = dict(rows.numbers), rows.cells
    for name, factor in factors.items():
        if name == "nll" and cells is not None:
            cells = cells * factor
        elif name in numbers:
            with np.errstate(over="ignore"):
                numbers[name] = numbers[name] * factor
        else:
            raise rows.table.error(
                f"units names '{name}', but no such column was read", remedy="correct --units"
            )
        if factor != 1:
            notes.append(f"multiplied {name} by {factor:g}")
    for name in _naming.MEASURES:
        if name not in factors and _naming.in_bits(naming.theirs.get(name, "")):
            notes.append(
                f"column {show(naming.theirs[name])} seems to count bits, and is read as nats: "
                f"if it does, pass --units {name}=bits"
            )
    return dataclasses.replace(rows, numbers=numbers, cells=cells)
