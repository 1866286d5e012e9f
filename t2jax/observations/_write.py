"""`Observations` as a tidy file that `read` reads back exactly (floor 1, private)."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from t2jax._files import write_whole
from t2jax.errors import InputError
from t2jax.observations import _reading

__all__ = ["check_suffix", "tidy", "write"]

_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")


def tidy(columns: Mapping[str, np.ndarray], params_definition: str) -> dict[str, np.ndarray]:
    """Long columns: one line per row, or per checkpoint and question that was asked."""
    fields = dict(columns)
    cells = [name for name in ("nll", "successes", "trials") if name in fields]
    if cells:
        asked = fields["trials"] > 0 if "trials" in fields else np.isfinite(fields["nll"])
        rows, questions = np.nonzero(asked)
        for name, values in fields.items():
            if name in cells:
                fields[name] = values[rows, questions]
            else:
                fields[name] = values[questions if name in ("question", "task") else rows]
    if params_definition != _reading.UNSTATED:
        fields["params_definition"] = np.full(len(fields["run"]), params_definition)
    order = ("run", "trunk", "params", "tokens", "unique_tokens", "samples", "task", "question")
    first = {name: fields.pop(name) for name in order if name in fields}
    return {name: _whole(values) for name, values in (first | fields).items()}


def _whole(values: np.ndarray) -> np.ndarray:
    """Counts as integers, which everyone reads alike; other columns as they are."""
    if values.dtype.kind == "f" and (values == np.floor(values)).all() and values.max() < 2**53:
        return values.astype(np.int64)
    return values


def write(
    columns: Mapping[str, np.ndarray],
    params_definition: str,
    path: str | Path,
    beside: Mapping[str, float] | None = None,
) -> None:
    """Write a table; see `Observations.write`."""
    check_suffix(path)
    long = tidy(columns, params_definition)
    long |= {
        name: np.full(len(long["run"]), float(value)) for name, value in (beside or {}).items()
    }
    try:
        write_whole(path, lambda part: _write(long, part))
    except OSError as error:
        raise InputError(
            f"cannot be written ({error})", source=str(path), remedy="check the folder"
        ) from None


def check_suffix(path: str | Path) -> None:
    """Refuse a name that says no format, before the work that makes the table.

    Raises:
      InputError: names the formats.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"cannot write '{suffix}' files",
            source=str(path),
            remedy="end the name in .csv, .tsv, .parquet or .jsonl",
        )


def _write(long: dict[str, np.ndarray], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    suffix = target.suffix.lower()
    if suffix == ".jsonl":
        target.write_text("".join(_objects(long)), encoding="utf-8")
        return
    # One column at a time, since NumPy's text takes four bytes a letter.
    arrow = pa.table({name: pa.array(long.pop(name)) for name in list(long)})
    if suffix == ".parquet":
        pyarrow.parquet.write_table(arrow, target, compression="zstd", row_group_size=1 << 16)
    else:
        comma = "," if suffix == ".csv" else "\t"
        options = pyarrow.csv.WriteOptions(delimiter=comma)
        pyarrow.csv.write_csv(arrow, target, write_options=options)


def _objects(columns: dict[str, np.ndarray]) -> Iterator[str]:
    """One JSON object a line; Python prints the shortest digits that read back exactly."""
    for row in zip(*(values.tolist() for values in columns.values()), strict=True):
        yield json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n"
