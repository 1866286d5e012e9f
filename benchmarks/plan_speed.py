"""Seconds of `t2jax plan` on the built-in ladder, cold and warm, beside another version.

`python -m benchmarks.plan_speed --before TREE` runs the command of this tree and of another one (a
`git worktree` of an older commit) in turn, each with a cache of its own for programs, and for the
draws of the table: first empty, then filled by the first run. It records what the run answered, and
whether it succeeded.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib import metadata

HERE = pathlib.Path(__file__).resolve().parent
COMMAND = ("plan", "--train-flops", "1.28e12", "--inference-flops", "7.01e5", "--json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the command.

    Attributes:
      version: whose.
      cache: "empty" or "filled".
      wall: elapsed seconds.
      cpu: processor seconds of the process and its threads.
      success: it ended well, and all its parts were found.
      params: the planned size.
      low: lower end of its 90% interval.
      high: upper end.
    """

    version: str
    cache: str
    wall: float
    cpu: float
    success: bool
    params: float
    low: float
    high: float


def timed(version: str, tree: pathlib.Path, cache: str, kept: str) -> Run:
    """The command of one tree, in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(tree), "XDG_CACHE_HOME": kept}
    for name in ("JAX_COMPILATION_CACHE_DIR", "T2JAX_CACHE"):
        env.pop(name, None)
    with tempfile.TemporaryDirectory() as out:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        words = [sys.executable, "-m", "t2jax", *COMMAND, "--out", f"{out}/report"]
        done = subprocess.run(words, cwd=out, env=env, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        written = (pathlib.Path(out) / "report" / "index.html").is_file()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        return Run(version=version, cache=cache, wall=wall, cpu=cpu, success=False,
                   params=float("nan"), low=float("nan"), high=float("nan"))  # fmt: skip
    told = json.loads(done.stdout)
    size, (low, high) = told["optimum"]["params"], told["optimum"]["intervals"]["params"]
    whole = written and told["regret"] is not None and told["design"] is not None
    return Run(version=version, cache=cache, wall=wall, cpu=cpu, success=whole,
               params=size, low=low, high=high)  # fmt: skip


def table(runs: list[Run]) -> str:
    """The runs as text, and the machine they ran on."""
    head = f"{'version':10} {'cache':8} {'wall s':>8} {'CPU s':>8}  {'success':8} N* (90% interval)"
    lines = [f"t2jax {' '.join(COMMAND)}", "", head]
    for one in runs:
        plan = f"{one.params:.4g} [{one.low:.4g}, {one.high:.4g}]"
        lines.append(f"{one.version:10} {one.cache:8} {one.wall:8.1f} {one.cpu:8.1f}  "
                     f"{one.success!s:8} {plan}")  # fmt: skip
    load = os.getloadavg()
    about = f"{os.cpu_count()} cores, {platform.machine()}, jax {metadata.version('jax')}, "
    return "\n".join([*lines, "", about + f"load {load[0]:.1f} at the end"]) + "\n"


def main() -> None:
    """Run each version with an empty and with a filled cache, and write the table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--before", type=pathlib.Path, help="tree of another version")
    asked.add_argument("--warm", type=int, default=2, help="runs with a filled cache")
    asked.add_argument("--out", type=pathlib.Path, default=HERE / "results" / "plan.txt")
    given = asked.parse_args()
    trees = {"now": HERE.parent} | ({"before": given.before.resolve()} if given.before else {})
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as kept:
        caches = {version: f"{kept}/{version}" for version in trees}
        for cache in ["empty", *["filled"] * given.warm]:
            for version, tree in trees.items():
                runs.append(timed(version, tree, cache, caches[version]))
    given.out.write_text(table(sorted(runs, key=lambda one: (one.cache, one.version))))
    print(table(runs))


if __name__ == "__main__":
    main()
