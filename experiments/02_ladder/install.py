"""Puts a finished ladder into the package: its tables, compressed, with their checksums.

    t2jax ladder --preset full --finetune --out FOLDER
    .venv/bin/python experiments/02_ladder/install.py FOLDER

Prints the lines of PROVENANCE.md that name the files.
"""

import hashlib
import pathlib
import sys

import numpy as np
import pandas as pd

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "t2jax" / "datasets" / "ladder"
NAMES = {  # file of the ladder: file of the package
    "runs.csv": "runs-base.csv",
    "runs-ft.csv": "runs-ft.csv",
    "runs-sft.csv": "runs-sft.csv",
    "questions.csv": "questions.csv",
    "questions.parquet": "questions-base.parquet",
    "questions-ft.parquet": "questions-ft.parquet",
    "questions-sft.parquet": "questions-sft.parquet",
}
DROPPED = ["seed", "variant"]  # of question tables: the tables of runs hold them


def main(folder: pathlib.Path) -> None:
    """Copy, compress, sum."""
    PACKAGE.mkdir(exist_ok=True)
    for here, there in NAMES.items():
        target = PACKAGE / there
        if here.endswith(".csv"):
            target.write_bytes((folder / here).read_bytes())
        else:
            table = pd.read_parquet(folder / here)
            table = table.drop(columns=[name for name in DROPPED if name in table])
            assert table.nll.dtype == np.float32
            for name in ("run", "trunk", "task", "question"):
                if name in table:
                    table[name] = table[name].astype("category")
            table.to_parquet(target, compression="zstd", compression_level=19, index=False)
        digest = hashlib.sha256(target.read_bytes()).hexdigest()
        sys.stdout.write(f"| `{there}` | {digest} | {target.stat().st_size:,} |\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
