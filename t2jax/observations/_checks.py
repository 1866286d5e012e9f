"""The traps of a table of checkpoints, each caught at a row and a column (floor 1, private).

Every check looks at whole columns first and for the one bad row only after that has failed.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from t2jax.errors import InputError
from t2jax.observations._cells import show
from t2jax.observations._table import Labels, Table

__all__ = [
    "Rows",
    "check_cells",
    "check_constant",
    "check_ranges",
    "check_summaries",
    "check_unique",
    "check_units",
    "complete",
    "first",
    "n_rows",
    "no_row",
]

_SUMMARIES = frozenset({"mean", "average", "avg", "median", "total", "sum", "std", "overall"})
LARGEST = 1e17
FEWEST_PARAMS, FEWEST_TOKENS = 100, 1000
LEAST_RATIO, MOST_RATIO = -4, 7
"""Decimal logarithms of the fewest and the most tokens per parameter that make sense."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Columns under our names, with the way back to the row that each entry came from.

    Args:
      table: where the columns were read.
      theirs: our name -> the table's name.
      labels: columns of names.
      numbers: columns of float64 numbers.
      cells: `[rows, questions]` of a wide table, or None.
      index: position in the table of each row.
    """

    table: Table
    theirs: Mapping[str, str]
    labels: Mapping[str, Labels]
    numbers: Mapping[str, np.ndarray]
    cells: np.ndarray | None
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def keep(self, mask: Any) -> "Rows":
        """The rows where `mask` is true."""
        return dataclasses.replace(
            self,
            labels={
                name: Labels(codes[mask], names) for name, (codes, names) in self.labels.items()
            },
            numbers={name: values[mask] for name, values in self.numbers.items()},
            cells=None if self.cells is None else self.cells[mask],
            index=self.index[mask],
        )

    def error(self, problem: str, *, at: int, column: str | None, remedy: str) -> InputError:
        """An error at one of the rows, in the table's own words."""
        named = None if column is None else self.theirs.get(column, column)
        index = int(self.index[at])
        return self.table.error(problem, index=index, column=named, remedy=remedy)


def first(mask: Any) -> int | None:
    """Position of the first true entry, or None."""
    at = int(np.argmax(mask)) if len(mask) else 0
    return at if len(mask) and mask[at] else None


def complete(rows: Rows, drop: bool) -> tuple[Rows, list[str]]:
    """Rows with a name and a finite number in every column; refuses others or drops them."""
    bad = {name: codes < 0 for name, (codes, _) in rows.labels.items()}
    bad |= {name: ~np.isfinite(values) for name, values in rows.numbers.items()}
    places = {name: at for name, mask in bad.items() if (at := first(mask)) is not None}
    if not places:
        return rows, []
    anywhere = np.logical_or.reduce(list(bad.values()))
    count = int(anywhere.sum())
    if not drop:
        name = min(places, key=lambda name: places[name])
        at = places[name]
        infinite = name in rows.numbers and np.isinf(rows.numbers[name][at])
        raise rows.error(
            "the value is infinite" if infinite else "the value is missing",
            at=at,
            column=name,
            remedy=f"fill it in, or pass --drop-incomplete to leave out {count} "
            f"such {'row' if count == 1 else 'rows'} of {len(rows)}",
        )
    if count == len(rows):
        raise no_row(rows.table)
    note = f"left out rows with a missing or infinite value {n_rows(count)}"
    return rows.keep(~anywhere), [note]


def no_row(table: Table) -> InputError:
    """The error for a table of which nothing is left."""
    return table.error("has no complete row", remedy="fill in the missing values")


def n_rows(count: int) -> str:
    """How many rows of the input a note speaks of."""
    return f"({count} {'row' if count == 1 else 'rows'})"


def check_ranges(rows: Rows) -> None:
    """Refuse numbers that cannot be what their column says."""
    for name, values in rows.numbers.items():
        floor, strict = {"samples": (1, False), "nll": (0, False), "successes": (0, False)}.get(
            name, (0, True)
        )
        at = first(values <= floor if strict else values < floor)
        if at is not None:
            raise _below(rows, name, at, "above" if strict else "at least", floor)
        at = first(values > LARGEST) if name in {"params", "tokens"} else None
        if at is not None:
            raise rows.error(
                f"{values[at]:.6g} {name} is beyond any model",
                at=at,
                column=name,
                remedy="check the number and its unit",
            )
        if name in {"successes", "trials"}:
            at = first(values != np.floor(values))
            if at is not None:
                raise rows.error(
                    f"{values[at]:.10g} is not a whole number",
                    at=at,
                    column=name,
                    remedy="give counts, not rates",
                )
    if "trials" in rows.numbers:
        successes, trials = rows.numbers["successes"], rows.numbers["trials"]
        at = first(successes > trials)
        if at is not None:
            raise rows.error(
                f"{successes[at]:.10g} successes out of {trials[at]:.10g} trials",
                at=at,
                column="successes",
                remedy="correct the counts, or swap the two columns with --columns",
            )


def check_summaries(rows: Rows) -> None:
    """Refuse a last row that sums the table up instead of being a run."""
    codes, names = rows.labels["run"]
    last = str(names[codes[-1]]) if codes[-1] >= 0 else ""
    if last.lower().rstrip(":") in _SUMMARIES and (codes == codes[-1]).sum() == 1 < len(codes):
        raise rows.error(
            f"the last row, {show(last)}, sums the others up and is no run",
            at=len(codes) - 1,
            column="run",
            remedy=f"delete it, or pass --where \"{rows.theirs.get('run', 'run')} != '{last}'\"",
        )


def check_cells(rows: Rows, columns: tuple[str, ...], drop: bool) -> None:
    """Refuse cells of a wide table that are negative, or (unless `drop`) missing or infinite."""
    assert rows.cells is not None
    at = None if drop else first(~np.isfinite(rows.cells).all(axis=1))
    if at is not None:
        place = int(np.argmax(~np.isfinite(rows.cells[at])))
        missing = bool(np.isnan(rows.cells[at, place]))
        raise rows.error(
            "the value is missing" if missing else "the value is infinite",
            at=at,
            column=columns[place],
            remedy="fill it in, or pass --drop-incomplete to leave out such checkpoints",
        )
    at = first((rows.cells < 0).any(axis=1))
    if at is not None:
        place = int(np.argmax(rows.cells[at] < 0))
        one = dataclasses.replace(
            rows, numbers={"nll": rows.cells[:, place]}, theirs={"nll": columns[place]}
        )
        raise _below(one, "nll", at, "at least", 0)


def _below(rows: Rows, name: str, at: int, bound: str, floor: int) -> InputError:
    """The error for a number that is too small, with the likely cause."""
    values = rows.numbers[name]
    if name == "nll":
        flipped = bool((values <= 0).all())
        remedy = "this looks like a log-likelihood: change its sign" if flipped else ""
        remedy = remedy or "exp(-nll) must be a probability: correct or remove the row"
    elif name in {"params", "tokens"} and values[at] < 0:
        remedy = "if an integer overflowed when the table was written, write it again as a float"
    elif name == "tokens":
        column = rows.theirs.get(name, name)
        remedy = "remove the row: a model that has seen no token says nothing here"
        remedy += f', e.g. with --where "{column} > 0"' if column.isidentifier() else ""
    elif name == "trials":
        remedy = "remove the rows of questions that were not asked"
    else:
        remedy = "correct or remove the row"
    problem = f"{values[at]:.10g} where {name} must be {bound} {floor}"
    return rows.error(problem, at=at, column=name, remedy=remedy)


def check_units(rows: Rows, stated: Collection[str]) -> None:
    """Refuse numbers of parameters and tokens that look like millions or billions.

    Args:
      rows: rows whose numbers are positive.
      stated: columns whose unit the user gave, which settles a doubt about their size alone.
    """
    params, tokens = rows.numbers["params"], rows.numbers["tokens"]
    # In logarithms, where no ratio overflows.
    ratio = np.log10(tokens) - np.log10(params)
    for name, bad in (("tokens", ratio < LEAST_RATIO), ("params", ratio > MOST_RATIO)):
        at = first(bad)
        if at is not None:
            # The unit that brings the ratio nearest to a hundred tokens per parameter.
            power = min((3, 6, 9), key=lambda power: abs(abs(ratio[at] - 2) - power))
            problem = f"{10.0 ** min(ratio[at], 300):.3g} tokens per parameter"
            raise _unit(
                rows, name, at, f"{problem}, in {bad.sum()} of {len(rows)} rows", power, stated
            )
    for name, values, least in (
        ("params", params, FEWEST_PARAMS),
        ("tokens", tokens, FEWEST_TOKENS),
    ):
        at = None if name in stated else first(values < least)
        if at is not None:
            # Here both columns are probably in such a unit, so that their ratio tells nothing.
            power = 9 if name == "tokens" or (values < 1).any() else 6
            raise _unit(rows, name, at, f"{values[at]:.6g} {name}", power, stated)


def _unit(
    rows: Rows, name: str, at: int, problem: str, power: int, stated: Collection[str]
) -> InputError:
    """The error for a number in the wrong unit."""
    word = {3: "thousands", 6: "millions", 9: "billions"}[power]
    remedy = f"if {name} is in {word}, pass --units {name}=1e{power}"
    if name in stated:
        remedy = f"check the unit given for {name}"
    elif "per parameter" not in problem:
        remedy += f", or {name}=1 if the number is right"
    return rows.error(problem, at=at, column=name, remedy=remedy)


def check_unique(
    rows: Rows, keys: np.ndarray, names: str, remedy: Callable[[], str] = lambda: "keep one of them"
) -> None:
    """Refuse two rows with one key.

    Args:
      rows: the rows.
      keys: one integer per row, from 0.
      names: the columns that make the key, for the message.
      remedy: says what keeps one of them.
    """
    top = int(keys.max()) + 1
    if top <= 4 * len(keys) + 1024:
        unique = bool((np.bincount(keys, minlength=top) <= 1).all())
    else:
        unique = len(np.unique(keys)) == len(keys)
    if unique:
        return
    order = np.argsort(keys, kind="stable")
    again = order[1:][keys[order][1:] == keys[order][:-1]]
    at = int(again.min())
    earlier = int(np.argmax(keys == keys[at]))
    other = rows.table.row(int(rows.index[earlier]))
    word = rows.table.row_word
    raise rows.error(
        f"repeats the {names} of {word} {other} ({len(again)} such repeats in all)",
        at=at,
        column=None,
        remedy=remedy(),
    )


def _other_run(rows: Rows) -> str:
    """What to do where the column that was taken for the run is another."""
    column = rows.theirs.get("run", "run")
    if column == "run":
        return ""
    return f"leave run={column} out of --columns, to have the runs named for you, or "


def check_constant(rows: Rows, name: str) -> None:
    """Refuse a run that changes its number of parameters, or its trunk, on the way."""
    runs, names = rows.labels["run"]
    values = rows.labels[name].codes if name in rows.labels else rows.numbers[name]
    before = np.empty(len(names), dtype=values.dtype)
    before[runs[::-1]] = values[::-1]
    at = first(values != before[runs])
    if at is None:
        return
    told = rows.labels[name].names if name in rows.labels else None
    now, was = (
        f"{value:.10g}" if told is None else show(str(told[value]))
        for value in (values[at], before[runs[at]])
    )
    raise rows.error(
        f"run {show(str(names[runs[at]]))} has {name} {now} here and {was} before",
        at=at,
        column=name,
        remedy=f"{_other_run(rows)}give different models different run names",
    )
