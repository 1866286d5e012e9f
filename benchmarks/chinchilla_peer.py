"""Runs `chinchilla` 0.2.0 in a process of its own: it forks a pool, which JAX does not survive.

    python -m benchmarks.chinchilla_peer points.npz settings.json answer.json

It is given a random sample of its grid of starts, and its drawing of figures is switched off;
everything else is as its users run it, on every core and in extended precision.
"""

import json
import multiprocessing
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time
import types
from typing import Any

import numpy as np

from benchmarks.record import Timing

ROOT = pathlib.Path(__file__).resolve().parents[1]

README_GRID = dict(E=(1.0, 2.0), a=(1.0, 10.0), b=(1.0, 10.0), alpha=(0.1, 0.7), beta=(0.1, 0.7))
"""The grid of its README, five values on each axis: 3,125 starts."""

STARTS = 5**5


def _cpu() -> float:
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    use = [resource.getrusage(x) for x in who]
    return sum(u.ru_utime + u.ru_stime for u in use)


def run(points: str, settings: str, answer: str) -> None:
    """Fit in this process, and write coefficients and seconds."""
    import itertools

    from chinchilla import Chinchilla, _metrics, core

    given = json.loads(pathlib.Path(settings).read_text())
    losses = {
        "asymmetric_mae": _metrics.asymmetric_mae,
        "log_huber": lambda y, f: given["factor"] * _metrics.log_huber(y, f, delta=1e-3),
    }

    def sampled_product(*axes):
        return random.Random(6).sample(list(itertools.product(*axes)), given["starts"])

    core.itertools = types.SimpleNamespace(product=sampled_product)
    grid: dict[str, Any] = {name: np.linspace(*ends, 5) for name, ends in README_GRID.items()}
    table = np.load(points)
    with tempfile.TemporaryDirectory() as folder:
        model = Chinchilla(
            project_dir=folder, param_grid=grid, loss_fn=losses[given["loss"]], log_level=50
        )
        model.visualizer.optim = lambda *args, **kwargs: None
        columns = {name: table[name] for name in ("C", "N", "D", "loss")}
        model.database.df = model.database.df.iloc[:0].reindex(range(len(table["N"])))
        model.database.df = model.database.df.assign(**columns)
        wall, cpu = time.perf_counter(), _cpu()
        model.fit()
        wall = time.perf_counter() - wall
        multiprocessing.active_children()  # reaps the pool, so that its seconds are counted
        found = {"wall": wall, "cpu": _cpu() - cpu, **model.params}
    pathlib.Path(answer).write_text(json.dumps(found))


def fit(
    params, tokens, loss, *, starts: int, loss_name: str, factor: float = 1.0
) -> tuple[Timing, np.ndarray]:
    """Fit in a child process.

    Args:
      params: N [points].
      tokens: D [points].
      loss: losses [points].
      starts: how many of its 3,125 starts to sample.
      loss_name: "asymmetric_mae", its default, or "log_huber" with delta 1e-3.
      factor: what the loss is multiplied by.

    Returns:
      The timing of those starts, and log A, log B, log E, alpha, beta.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = [str(pathlib.Path(folder) / x) for x in ("points.npz", "settings.json", "out.json")]
        np.savez(names[0], C=6.0 * params * tokens, N=params, D=tokens, loss=loss)
        settings = {"starts": starts, "loss": loss_name, "factor": factor}
        pathlib.Path(names[1]).write_text(json.dumps(settings))
        quiet = {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.chinchilla_peer", *names],
            check=True,
            cwd=ROOT,
            env=os.environ | quiet,
            capture_output=True,
        )
        found = json.loads(pathlib.Path(names[2]).read_text())
    logs = [np.log(max(found[name], 1e-300)) for name in ("A", "B", "E")]
    timing = Timing(wall=found["wall"], cpu=found["cpu"])
    return timing, np.array([*logs, found["alpha"], found["beta"]])


if __name__ == "__main__":
    run(*sys.argv[1:])
