"""What a benchmark records: time, objective and success of each engine, and the table of them."""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax
import numpy as np

__all__ = ["Case", "Timing", "machine", "measure", "table_json", "table_text"]

REACHED = 1e-6
"""An engine reached the optimum when it is within this share of the best objective known."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "XLA_FLAGS")
PACKAGES = ("t2jax", "jax", "jaxlib", "optax", "numpy", "scipy", "optimistix", "chinchilla")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one call: medians over rounds, compilation apart.

    Attributes:
      wall: elapsed seconds of a later call.
      cpu: processor seconds of a later call, all threads and children.
      first_wall: elapsed seconds of the first call, compilation included; None where nothing
        is compiled.
      rounds: how many later calls the medians are over.
    """

    wall: float
    cpu: float
    first_wall: float | None = None
    rounds: int = 1

    def times(self, factor: float) -> "Timing":
        """The time of `factor` times the work."""
        return dataclasses.replace(self, wall=self.wall * factor, cpu=self.cpu * factor)


class Stopwatch:
    """Wraps a call so that every use of it leaves its wall and CPU seconds behind."""

    def __init__(self, call: Callable[[], Any]):
        self.call = call
        self.walls: list[float] = []
        self.cpus: list[float] = []

    def __call__(self) -> Any:
        """Call, and note the seconds."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = self.call()
        self.walls.append(time.perf_counter() - wall)
        self.cpus.append(time.process_time() - cpu)
        return result

    def timing(self, *, first: bool) -> Timing:
        """Medians over the calls, the first one apart where it compiled."""
        later = slice(1, None) if first else slice(None)
        return Timing(
            wall=statistics.median(self.walls[later]),
            cpu=statistics.median(self.cpus[later]),
            first_wall=self.walls[0] if first else None,
            rounds=len(self.walls[later]),
        )


def measure(
    call: Callable[[], Any], *, rounds: int = 1, compiles: bool = False
) -> tuple[Timing, Any]:
    """Time a call that is no subject of pytest-benchmark itself.

    Args:
      call: what is timed; it must hand back finished arrays.
      rounds: how often, after the first call where that one compiles.
      compiles: whether the first call compiles and is to be kept apart.

    Returns:
      The timing and the last result.
    """
    watch = Stopwatch(call)
    if compiles:
        jax.clear_caches()
    result = None
    for _ in range(rounds + compiles):
        result = watch()
    return watch.timing(first=compiles), result


@dataclasses.dataclass(kw_only=True)
class Case:
    """One problem and every engine that was put to it.

    Attributes:
      benchmark: the row of the plan that it belongs to.
      name: which data.
      independent: the objectives of an engine belong to separate problems (draws, budgets), so
        that each must be solved; else they are restarts at one problem, and the least counts.
      target: what t2jax is asked to do here, in words; None where there is no target.
      met: whether it did; None where there is no target.
    """

    benchmark: str
    name: str
    independent: bool = False
    target: str | None = None
    met: bool | None = None
    engines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(
        self,
        engine: str,
        timing: Timing,
        objectives: Any,
        *,
        scale: float = 1.0,
        wider: bool = False,
        note: str = "",
    ) -> None:
        """Record an engine.

        Args:
          engine: who.
          timing: of what was measured.
          objectives: final objective of every restart, or of every separate problem.
          scale: how many times the measured work the whole recipe is; 1 where all of it was
            measured.
          wider: the engine fits a law that contains the one the others fit, so that it may go
            below their best, and its excess is then negative.
          note: what a reader must know.
        """
        values = np.atleast_1d(np.asarray(objectives, float))
        values = np.where(np.isfinite(values), values, np.inf)
        self.engines.append(
            {"engine": engine, "timing": timing.times(scale), "values": values, "scale": scale,
             "wider": wider, "note": note}
        )  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """One flat record per engine, judged against the best objective that any engine found."""
        if self.independent:
            best = np.min([e["values"] for e in self.engines], axis=0)
        else:
            best = min(float(e["values"].min()) for e in self.engines if not e["wider"])
        ours = self.engines[0]["timing"]
        out = []
        for entry in self.engines:
            timing, values = entry["timing"], entry["values"]
            hit = values - best <= REACHED * np.abs(best)
            reached = bool(hit.all()) if self.independent else bool(hit.any())
            objective = float(values.mean() if self.independent else values.min())
            reference = float(np.mean(best))
            out.append({
                "benchmark": self.benchmark,
                "case": self.name,
                "engine": entry["engine"],
                "reached": reached,
                "share_reached": float(hit.mean()) if len(values) > 1 else None,
                "objective": objective,
                "excess": objective / reference - 1.0,
                "first_wall_s": timing.first_wall,
                "wall_s": timing.wall,
                "cpu_s": timing.cpu,
                "rounds": timing.rounds,
                "wall_ratio": timing.wall / ours.wall,
                "cpu_ratio": timing.cpu / ours.cpu,
                "scale": entry["scale"],
                "note": entry["note"],
            })  # fmt: skip
        return out

    def ratio(self, engine: int, clock: str) -> float:
        """How many times longer one engine took than the first, by "wall" or "cpu"."""
        first, other = self.engines[0]["timing"], self.engines[engine]["timing"]
        return getattr(other, clock) / getattr(first, clock)

    def check(self) -> None:
        """The engine under test reached the optimum, whatever its time."""
        ours = self.rows()[0]
        assert ours["reached"], (
            f"{ours['engine']} on {self.name} stopped {ours['excess']:.2e} above the best objective"
        )


def machine() -> dict[str, Any]:
    """Where and with what the numbers were made."""
    model = "unknown"
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    if jax.default_backend() != "cpu":
        model = f"{jax.devices()[0].device_kind}, beside {model}"
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        versions[package] = metadata.version(package)
    return {
        "device": f"{jax.default_backend()}: {model}",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "threads": {name: os.environ.get(name) for name in THREADS},
        "date": datetime.date.today().isoformat(),
        "versions": versions,
    }


def table_json(cases: list[Case], about: dict[str, Any]) -> str:
    """Everything recorded, for machines."""
    body = [
        {"benchmark": c.benchmark, "case": c.name, "target": c.target,
         "met": c.met, "notes": c.notes,
         "rows": c.rows()}
        for c in cases
    ]  # fmt: skip
    return json.dumps({"format": "t2jax.benchmarks/1", **about, "cases": body}, indent=1) + "\n"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def table_text(cases: list[Case], about: dict[str, Any]) -> str:
    """The table for readers."""
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items())
    lines = [
        f"{about['command']}",
        f"{about['device']}, {about['cores']} cores, {about['system']}, {about['date']}; load "
        f"average {about['load_average'][0]} at the start",
        versions,
        "threads: " + ", ".join(f"{n}={v or 'unset'}" for n, v in about["threads"].items()),
        "Seconds are medians of later calls; 'first' includes compilation. Ratios are to the first "
        "line of each block.",
        f"'reached' is an objective within {REACHED:g} of the best that any line found; 'share' is "
        "how many restarts, or separate problems, reached it.",
        "'x' marks times scaled up from a sample; the note says which.",
    ]
    for case in cases:
        lines += ["", f"{case.benchmark}: {case.name}"]
        if case.target:
            lines.append(f"  target: {case.target}: {'met' if case.met else 'MISSED'}")
        head = f"  {'':46} {'first':>7} {'wall s':>8} {'CPU s':>8} {'wall':>8} {'CPU':>8}"
        lines.append(f"{head} {'reached':>7} {'share':>6} {'excess':>8}")
        for row in case.rows():
            share = "" if row["share_reached"] is None else f"{row['share_reached']:.0%}"
            scaled = "x" if row["scale"] != 1 else " "
            lines.append(
                f"  {row['engine']:46} {_seconds(row['first_wall_s']):>7} "
                f"{_seconds(row['wall_s']):>8} {_seconds(row['cpu_s']):>8} "
                f"{row['wall_ratio']:>7.3g}{scaled} {row['cpu_ratio']:>7.3g}{scaled} "
                f"{'yes' if row['reached'] else 'NO':>6} {share:>6} {row['excess']:>8.1e}"
            )
            if row["note"]:
                lines.append(f"      {row['note']}")
        lines += [f"  {note}" for note in case.notes]
    return "\n".join(lines) + "\n"
