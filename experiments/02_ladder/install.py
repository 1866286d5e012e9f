"""Puts a finished ladder into the package: its tables, compressed, with their checksums.

    t2jax ladder --preset full --finetune --out FOLDER
    .venv/bin/python experiments/02_ladder/sample.py FOLDER
    .venv/bin/python experiments/02_ladder/install.py FOLDER

Prints the lines of PROVENANCE.md that name the files.
"""

import hashlib
import pathlib
import sys

import numpy as np
import pandas as pd

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "t2jax" / "datasets" / "ladder"
VARIANTS = {"base": "", "ft": "-ft", "sft": "-sft"}
DROPPED = ["seed", "variant", "params_definition"]  # the tables of runs and the loader know them
BITS = 12  # of the significand of an NLL: to 1.3e-4 of it, less than a hundredth of what seeds do


def rounded(nll: np.ndarray) -> np.ndarray:
    """Single precision with fewer bits set, which compresses to half the size."""
    unused = np.finfo(np.float32).nmant - BITS
    bits = nll.astype(np.float32).view(np.uint32) + np.uint32(1 << (unused - 1))
    return (bits >> np.uint32(unused) << np.uint32(unused)).view(np.float32)


def write(table: pd.DataFrame, name: str) -> None:
    """One table as small as it gets."""
    table = table.drop(columns=[column for column in DROPPED if column in table])
    words = [name for name in ("run", "trunk", "task", "question") if name in table]
    split = {"nll": "BYTE_STREAM_SPLIT"} if "nll" in table else None
    table.astype(dict.fromkeys(words, "category")).to_parquet(
        PACKAGE / name, compression="zstd", compression_level=19, index=False,
        use_dictionary=words, column_encoding=split,
    )  # fmt: skip


def main(folder: pathlib.Path) -> None:
    """Copy, compress, sum."""
    PACKAGE.mkdir(exist_ok=True)
    (PACKAGE / "questions.csv").write_bytes((folder / "questions.csv").read_bytes())
    for variant, suffix in VARIANTS.items():
        if not (folder / f"runs{suffix}.csv").exists():
            continue
        runs = f"runs-{variant}.csv"
        (PACKAGE / runs).write_bytes((folder / f"runs{suffix}.csv").read_bytes())
        parts = [folder / f"questions{apart}{suffix}.parquet" for apart in ("", "-apart")]
        table = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
        write(table.assign(nll=rounded(table.nll.to_numpy())), f"questions-{variant}.parquet")
    if (folder / "counts.parquet").exists():
        write(pd.read_parquet(folder / "counts.parquet"), "counts-base.parquet")
    for target in sorted(PACKAGE.iterdir()):
        if target.suffix in (".csv", ".parquet"):
            digest = hashlib.sha256(target.read_bytes()).hexdigest()
            sys.stdout.write(f"| `{target.name}` | {digest} | {target.stat().st_size:,} |\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
