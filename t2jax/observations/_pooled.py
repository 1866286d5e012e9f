"""Whether a table of losses holds several experiments in one (floor 1, private)."""

from collections.abc import Mapping, Sequence

import numpy as np

from t2jax.observations._cells import show
from t2jax.observations._checks import Rows
from t2jax.observations._runs import SEEDS, identifying

__all__ = ["POOLED", "one_experiment", "pooled"]

POOLED = "SEVERAL EXPERIMENTS IN ONE TABLE?"
"""Begins the note of a table whose losses differ where N and D do not."""

_FAR = 0.05  # standard deviation of log loss at one N and D that is worth a question
_SEEDS = 0.01  # what seeds differ by
_FEWEST = 3  # pairs of N and D that were measured more than once
_MOST_VALUES = 50  # of a column that may say which experiment a row is of
_MOST_COLUMNS = 6
_PAYS = 0.97  # share of the deviation that a column may leave, to be named


def pooled(rows: Rows, free: Sequence[str]) -> str:
    """What to say of a table whose losses differ far more than seeds do; empty where they do not.

    Args:
      rows: of losses, by checkpoint.
      free: columns that have no meaning to us, among them what tells the experiments apart.
    """
    same = [rows.numbers[name] for name in ("params", "tokens", "samples", "unique_tokens")
            if name in rows.numbers]  # fmt: skip
    loss = rows.numbers["loss"]
    if not np.all(loss > 0):
        return ""
    key = np.unique(np.stack(same), axis=1, return_inverse=True)[1].ravel()
    counts = np.bincount(key)
    log = np.log(loss)
    deviation = _within(key, log)
    if np.sum(counts > 1) < _FEWEST or deviation < _FAR:
        return ""
    told = _telling(rows, free, 4)
    chosen: list[str] = []
    best, left = key, deviation
    while left >= _SEEDS and len(chosen) < _MOST_COLUMNS and len(chosen) < len(told):
        split = {name: _finer(best, codes) for name, (codes, _) in told.items()}
        after = {name: _within(codes, log) for name, codes in split.items() if name not in chosen}
        name = min(after, key=after.__getitem__)
        if after[name] > _PAYS * left:
            break
        chosen.append(name)
        best, left = split[name], after[name]
    remedy = "keep one of them with --where (where= in Python)"
    if chosen:
        remedy = f"they differ in {', '.join(map(show, chosen))}; keep one of them, e.g. "
        remedy += f"{_flags(told, chosen)} (where= in Python)"
    return (
        f"{POOLED} {int(counts[counts > 1].sum())} of {len(loss)} rows share N and D with "
        f"another, and their losses differ by {deviation:.0%}, far more than seeds do: {remedy}"
    )


def one_experiment(rows: Rows, keys: np.ndarray) -> str:
    """What keeps one of the rows of each key, ready to paste where columns tell them apart.

    Args:
      rows: of which some share a key.
      keys: one integer per row.
    """
    told = _telling(rows, identifying(rows.table, rows.theirs, ()), 2)
    chosen: list[str] = []
    best = keys
    while len(np.unique(best)) < len(best) and len(chosen) < _MOST_COLUMNS:
        split = {name: _finer(best, told[name][0]) for name in told if name not in chosen}
        kinds = {name: len(np.unique(codes)) for name, codes in split.items()}
        name = max(kinds, key=kinds.__getitem__, default="")
        if not name or kinds[name] == len(np.unique(best)):
            return "keep one of them"
        chosen.append(name)
        best = split[name]
    return f"keep one of them, e.g. with {_flags(told, chosen)}"


def _flags(told: Mapping[str, tuple[np.ndarray, np.ndarray]], chosen: Sequence[str]) -> str:
    """The flags that keep the commonest combination of what some columns hold."""
    each = np.stack([told[name][0] for name in chosen])
    found, times = np.unique(each[:, np.all(each >= 0, axis=0)], axis=1, return_counts=True)
    values = {name: str(told[name][1][at])
              for name, at in zip(chosen, found[:, times.argmax()], strict=True)}  # fmt: skip
    task = values.pop("task", None)
    parts = [f"{_column(name)} == {_value(value)}" for name, value in values.items()]
    flags = [f"--task {task}"] if task else []
    return " ".join([*flags, *([f'--where "{" and ".join(parts)}"'] if parts else [])])


def _telling(
    rows: Rows, free: Sequence[str], each: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Columns of few values that are no seeds: the code of each row, and their names.

    A value has that many rows each, on average; two values always do.
    """
    told = {}
    for name, labels in rows.table.names([n for n in free if n.lower() not in SEEDS]):
        codes = labels.codes[rows.index]
        if 1 < len(np.unique(codes)) <= min(_MOST_VALUES, max(2, len(codes) // each)):
            told[name] = codes, labels.names
    return told


def _finer(key: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.unique(np.stack([key, codes]), axis=1, return_inverse=True)[1].ravel()


def _within(key: np.ndarray, value: np.ndarray) -> float:
    """Standard deviation of a value within groups; nothing where each group is one row."""
    counts = np.bincount(key)
    means = np.bincount(key, value) / np.maximum(counts, 1)
    spare = len(key) - np.count_nonzero(counts)
    return float(np.sqrt(np.sum((value - means[key]) ** 2) / spare)) if spare else 0.0


def _column(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"


def _value(text: str) -> str:
    """A value as a condition spells it."""
    try:
        float(text)
    except ValueError:
        return f"'{text}'"
    return text
