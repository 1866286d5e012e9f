"""Names for runs that a table does not name, or names alike (floor 1, private)."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from t2jax import _text
from t2jax.observations._cells import show
from t2jax.observations._checks import Rows
from t2jax.observations._table import Labels, Table

__all__ = ["SEEDS", "identifying", "name_runs", "same_numbers", "tell_seeds_apart"]

SEEDS = ("seed", "replicate", "rep", "random_seed", "run_seed", "model_seed")
"""Columns whose value tells repetitions of one training run apart."""

_MOST = 12  # columns that may make a name
_MOST_FREE = 64  # columns that are looked at


def identifying(table: Table, used: Mapping[str, str], wide: tuple[str, ...]) -> list[str]:
    """Columns of text that are nobody's, which together tell one run from another."""
    taken = {*used.values(), *wide}
    free = (name for name, places in table.places.items() if len(places) == 1 and name not in taken)
    return list(itertools.islice(free, _MOST_FREE))


def name_runs(rows: Rows, free: list[str], notes: list[str]) -> Rows:
    """Name the runs of a table that does not, by what tells its rows apart.

    Every (texts, N, D) is a run of its own: whether a model's token counts are one trajectory is
    nothing that numbers can tell, so that a trunk is suggested and none is made up.
    """
    told: dict[str, Labels] = {}
    for name, labels in rows.table.names(free):
        words = sum(not _is_number(text) for text in labels.names.tolist())
        if 2 * words > len(labels.names) > 1 and len(told) < _MOST:
            told[name] = Labels(labels.codes[rows.index], labels.names)
    told = {name: labels for name, labels in told.items() if len(set(labels.codes.tolist())) > 1}
    params, tokens = rows.numbers["params"], rows.numbers["tokens"]
    parts = [np.append(names, "none")[codes] for codes, names in told.values()]
    parts += [_counts(params), _counts(tokens)]
    keys = ["-".join(words) for words in zip(*(part.tolist() for part in parts), strict=True)]
    names, codes = np.unique(np.array(keys, dtype=str), return_inverse=True)
    by = ", ".join([*(show(name) for name in told), "params", "tokens"])
    notes.append(f"named the runs by {by}, as no column names them")
    models = len(set(zip(*(part.tolist() for part in parts[:-1]), strict=True)))
    if "trunk" not in rows.labels and models < len(names):
        notes.append(
            f"{len(names)} runs share {models} models: if a model's token counts are checkpoints "
            f"of one training run, pass --columns trunk={rows.theirs['params']}"
        )
    return dataclasses.replace(rows, labels={**rows.labels, "run": Labels(codes, names)})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _counts(values: np.ndarray) -> np.ndarray:
    """Numbers as short words, longer where two would read alike."""
    distinct, place = np.unique(values, return_inverse=True)
    words = [_text.count(value) if np.isfinite(value) else "none" for value in distinct.tolist()]
    if len(set(words)) < len(words):
        words = [f"{value:.12g}" for value in distinct.tolist()]
    return np.array(words, dtype=str)[place]


def tell_seeds_apart(rows: Rows, keys: np.ndarray, notes: list[str]) -> Rows:
    """Where rows repeat a key, make runs of the repetitions that a column of seeds tells apart.

    Args:
      rows: the rows.
      keys: one integer per row: the run, its tokens and whatever else must be unique.
      notes: a sentence is added where runs were renamed.
    """
    if len(np.unique(keys)) == len(keys):
        return rows
    column = next((name for name in rows.table.header if name.lower() in SEEDS), None)
    if column is None or column in rows.theirs.values():
        return rows
    seeds = dict(rows.table.names([column])).get(column)
    if seeds is None:
        return rows
    codes, names = rows.labels["run"]
    seed = np.append(seeds.names, "none")[seeds.codes[rows.index]]
    joined = [f"{names[run]}-{word}" for run, word in zip(codes, seed.tolist(), strict=True)]
    found, place = np.unique(np.array(joined, dtype=str), return_inverse=True)
    notes.append(f"runs of one name are told apart by column {show(column)}")
    return dataclasses.replace(rows, labels={**rows.labels, "run": Labels(place, found)})


def same_numbers(rows: Rows, values: list[np.ndarray], notes: list[str]) -> None:
    """Say where rows of differently named runs agree in every number, as copies do."""
    table = np.stack([rows.numbers["params"], rows.numbers["tokens"], *values], axis=1)
    _, place, count = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    again = np.flatnonzero(count[place.ravel()] > 1)
    if not len(again):
        return
    first = int(again[0])
    second = int(again[place.ravel()[again] == place.ravel()[first]][1])
    word, lines = (
        rows.table.row_word,
        [rows.table.row(int(rows.index[at])) for at in (first, second)],
    )
    notes.append(
        f"{len(again)} rows agree with another run's in params, tokens and every measured number, "
        f"as copies do ({word}s {lines[0]} and {lines[1]} are the first)"
    )
