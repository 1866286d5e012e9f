"""A log of lm-evaluation-harness read line by line, beside `pandas.read_json(lines=True)`.

The peer only parses; t2jax parses, checks every sample and makes the table. Memory is that of a
process of its own, since the peer would leave its own behind.
"""

import json
import pathlib
import resource
import subprocess
import sys

import pandas as pd
import pytest

import t2jax as t2

SAMPLES = 20_000
RUNS = {"org__m": (1e6, 2e7)}


def write(path: pathlib.Path, samples: int) -> pathlib.Path:
    """A log with samples of two kilobytes, as a task with a few examples in its prompt has them."""
    text = "The quick brown fox jumps over the lazy dog. " * 10
    with path.open("w") as file:
        for doc in range(samples):
            lls = [-1.0 - doc % 7, -2.5, -3.0 - doc % 3, -4.0]
            best = max(range(4), key=lls.__getitem__)
            sample = {
                "doc_id": doc,
                "doc": {"question": text, "choices": ["a", "b", "c", "d"], "gold": doc % 4},
                "target": str(doc % 4),
                "arguments": {
                    f"gen_args_{i}": {"arg_0": text[:250], "arg_1": f" {i}"} for i in range(4)
                },
                "resps": [[[str(ll), "False"]] for ll in lls],
                "filtered_resps": [[str(ll), "False"] for ll in lls],
                "filter": "none",
                "metrics": ["acc"],
                "doc_hash": f"{doc:064x}",
                "acc": float(best == doc % 4),
            }
            file.write(json.dumps(sample) + "\n")
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log") / "org__m"
    folder.mkdir()
    return write(folder / "samples_t.jsonl", SAMPLES)


def test_lm_eval(benchmark, log):
    table = benchmark.pedantic(t2.importers.lm_eval, (log, RUNS), rounds=3)
    benchmark.extra_info["MB_per_s"] = log.stat().st_size / 1e6 / benchmark.stats["min"]
    benchmark.extra_info["success"] = table.n_questions == SAMPLES


def test_pandas(benchmark, log):
    frame = benchmark.pedantic(pd.read_json, (log,), {"lines": True}, rounds=3)
    benchmark.extra_info["MB_per_s"] = log.stat().st_size / 1e6 / benchmark.stats["min"]
    benchmark.extra_info["success"] = len(frame) == SAMPLES


def main(path: str, gigabytes: str = "1") -> None:
    """Write a log of so many gigabytes unless it is there, read it, print memory and rate."""
    import time

    place = pathlib.Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        one = write(place, 100).stat().st_size / 100
        write(place, int(float(gigabytes) * 1e9 / one))
        # What writing took is not what reading takes.
        subprocess.run([sys.executable, __file__, path], check=True)
        return
    begun = time.perf_counter()
    table = t2.importers.lm_eval(place, {place.parent.name: (1e6, 2e7)})
    spent = time.perf_counter() - begun
    size = place.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"{size:.0f} MB, {table.n_questions} samples, {size / spent:.0f} MB/s, peak {peak:.0f} MB"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
