"""Spend a plan: find what is missing, have it done, write the tables.

The folder is the whole state. A point is written under another name and renamed when it is
complete, so that whatever ends a run, the next one does what is missing and nothing else.
"""

import dataclasses
import glob
import importlib.util
import json
import math
import os
import pathlib
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable

from t2jax._arguments import local_folder
from t2jax.errors import InputError, Refusal
from t2jax.trainer.ladder import claims, crew, table, worker
from t2jax.trainer.ladder.plan import LadderPlan, Shard, tuning_seconds

__all__ = ["LadderResult", "chosen_workers", "merge", "run_ladder"]

_OURS = re.compile(r"points|trunks|(runs|questions)[a-z-]*\.(csv|parquet)")  # names in its folder
_PARTIAL = re.compile(r"\.[0-9a-f]{12}\..+|\..+\.[0-9a-f]{12}")  # and of what is being written


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderResult:
    """What a run of a ladder left behind."""

    folder: pathlib.Path
    plan: LadderPlan
    done: int  # points present, all variants
    total: int  # points planned, or of the shard; all variants of the stages that were asked for
    tables: tuple[pathlib.Path, ...]  # what was written

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.done == self.total


def chosen_workers(asked: int | None = None) -> int:
    """How many workers: as asked, or one for each accelerator, or one for each core.

    Args:
      asked: by the user; None leaves it to the machine. More would only share an accelerator.

    Raises:
      InputError: fewer than one.
    """
    if asked is not None:
        if asked < 1:
            raise InputError(f"--workers is {asked}", remedy="give at least 1")
        return asked
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")
    if os.environ.get("JAX_PLATFORMS", "") != "cpu" and any(map(_installed, plugins)):
        return max(1, len(worker.visible_devices()))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def run_ladder(
    plan: LadderPlan,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    resume: bool = False,
    finetune: bool = False,
    stop_after: float | None = None,
    shard: Shard | None = None,
    progress: Callable[[crew.Progress], None] | None = None,
) -> LadderResult:
    """Train, evaluate and tabulate what is missing of a plan.

    On a CPU every worker computes with one thread, so that the numbers do not depend on how many
    there are.

    Args:
      plan: from `plan_ladder`.
      out: folder of the ladder, made if it is not there.
      workers: processes; chosen by the machine unless given.
      resume: go on with a folder that holds points already.
      finetune: afterwards finetune every point, on whole sequences and on answers only.
      stop_after: wall-clock seconds after which the workers are stopped; what was finished
        stays, and the tables are written from it.
      shard: train this share only, beside processes that train the others in the same folder; it
        goes on with what is there. Whoever finds that nothing is missing writes the tables.
      progress: called when something was done.

    Returns:
      Where the tables are and whether the ladder, or its share, is complete.

    Raises:
      InputError: the folder holds another ladder, or this one and `resume` was not asked for, or
        another process is training some of its trunks.
      Refusal: trunks failed, whose names it says; all others were done.
      KeyboardInterrupt: Ctrl-C or SIGTERM; no worker is left, and the tables hold all points that
        were finished.
    """
    folder = local_folder(out)
    workers = chosen_workers(workers)
    _begin(folder, plan, resume or shard is not None)
    part = plan if shard is None else shard.of(plan)
    deadline = None if stop_after is None else time.monotonic() + stop_after
    failures: dict[str, str] = {}
    tables: tuple[pathlib.Path, ...] = ()
    missing = [job for stage in _stages(finetune) for job in _jobs(folder, part, stage, math.inf)]
    lost, here = threading.Event(), threading.current_thread() is threading.main_thread()

    def stop() -> None:
        lost.set()
        if here:  # where a signal ends the wait for the workers
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    names = sorted({job.trunk.name for job in missing})
    with crew.ended_as_interrupted(), claims.claimed(folder, names, stop):
        _tidy(folder, None if shard is None else [p.run for _, p in part.points])
        try:
            for stage, level in _waves(part, workers, finetune):
                jobs = _jobs(folder, part, stage, level)
                if not jobs:
                    continue
                outcome = crew.spend(
                    folder,
                    plan,
                    jobs,
                    workers=workers,
                    total=len(_up_to(part, level)) * len(worker.STAGES[stage]),
                    deadline=deadline,
                    report=progress,
                    journal="timing.jsonl" if shard is None else f"timing-{shard.number}.jsonl",
                )
                failures |= outcome.failures
                if not outcome.in_time:
                    break
        except KeyboardInterrupt:
            if lost.is_set():
                raise Refusal(
                    "this process stood still for so long that another has taken its trunks over",
                    remedy="leave them to it",
                ) from None
            raise
        finally:
            # Shards do not wait for each other: the last one finds that nothing is missing.
            if shard is None or all(_present(folder, plan, finetune)):
                tables = table.write_tables(folder, plan)
    if failures:
        names = list(failures)
        raise Refusal(
            f"failed: {', '.join(names)}; {names[0]}: {failures[names[0]]}",
            remedy="the tables hold all other points, and --resume tries again",
        )
    there = _present(folder, part, finetune)
    return LadderResult(folder=folder, plan=part, done=sum(there), total=len(there), tables=tables)


def merge(plan: LadderPlan, out: str | os.PathLike[str], *, finetune: bool = False) -> LadderResult:
    """Write the tables of what the shards of a ladder have finished.

    Args:
      plan: the whole plan.
      out: folder of the ladder.
      finetune: whether finetuned points are expected too.

    Returns:
      Where the tables are and whether the ladder is complete.

    Raises:
      InputError: the folder holds no ladder, or another one.
    """
    folder = local_folder(out)
    if not (folder / "ladder.json").exists():
        raise InputError("holds no ladder", source=str(folder), remedy="name the --out of a shard")
    _begin(folder, plan, resume=True)
    there = _present(folder, plan, finetune)
    tables = table.write_tables(folder, plan)
    return LadderResult(folder=folder, plan=plan, done=sum(there), total=len(there), tables=tables)


def _present(folder: pathlib.Path, plan: LadderPlan, finetune: bool) -> list[bool]:
    """Whether each point of a plan is there, of all variants that are wanted."""
    variants = worker.VARIANTS if finetune else worker.VARIANTS[:1]
    return [worker.has(folder, point.run, v) for v in variants for _, point in plan.points]


def _begin(folder: pathlib.Path, plan: LadderPlan, resume: bool) -> None:
    """Make the folder this ladder's, or refuse."""
    card = folder / "ladder.json"
    facts = {"preset": plan.preset.name, "fingerprint": plan.fingerprint()}
    if card.exists():
        try:
            found = json.loads(card.read_text("utf-8"))
            begun_as = found["preset"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "is damaged", source=str(card), remedy="name another --out, or remove this one"
            ) from None
        if found != facts:
            raise InputError(
                f"holds a ladder of preset '{begun_as}' with other settings",
                source=str(folder),
                remedy="name another --out, or give the --preset, --seeds, --time-budget and, "
                "with that, --workers that it was begun with",
            )
        if not resume:
            raise InputError(
                "holds this ladder already",
                source=str(folder),
                remedy="give --resume to go on with it, or name another --out",
            )
        return
    lost = [p.name for p in folder.iterdir() if _OURS.fullmatch(p.name)] if folder.is_dir() else []
    if "points" in lost and not os.listdir(folder / "points"):
        lost.remove("points")  # of a process that was killed before it wrote the card
    if lost:
        raise InputError(
            f"holds {', '.join(sorted(lost))}, which would be overwritten, and no ladder",
            source=str(folder),
            remedy="name another --out",
        )
    try:
        (folder / "points").mkdir(parents=True, exist_ok=True)
        worker.write_text(card, json.dumps(facts, indent=1) + "\n")
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", source=str(folder), remedy="choose another"
        ) from None


def _tidy(folder: pathlib.Path, runs: list[str] | None) -> None:
    """Remove what was being written when a run was ended; of some runs only, if they are named."""
    if runs is None:
        # The folder may be somebody's home: of hidden files only those that a ladder names so.
        hidden = [*folder.glob(".*"), *folder.glob("points/.*")]
        partial = [place for place in hidden if _PARTIAL.fullmatch(place.name)]
    else:
        partial = [p for run in runs for p in folder.glob(f"points/.{glob.escape(run)}[.-]*")]
    for place in partial:
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)


def _stages(finetune: bool) -> tuple[str, ...]:
    return ("base", "tuned") if finetune else ("base",)


def _waves(plan: LadderPlan, workers: int, finetune: bool) -> list[tuple[str, float]]:
    """What is done one after another: stages, and levels up to which they are done.

    A worker alone goes level by level, so that whenever it is stopped what there is is a whole
    ladder. Several take the longest trunks first, which ends soonest.
    """
    levels = sorted({point.flops for _, point in plan.points}) if workers == 1 else [math.inf]
    return [(stage, level) for stage in _stages(finetune) for level in levels]


def _up_to(plan: LadderPlan, level: float) -> list[str]:
    """Points of the plan up to a level."""
    return [point.run for _, point in plan.points if point.flops <= level]


def _jobs(folder: pathlib.Path, plan: LadderPlan, stage: str, level: float) -> list[worker.Job]:
    """What is missing of a stage up to a level, the longest first."""
    jobs = []
    for trunk in plan.trunks:
        runs = [point.run for point in trunk.points if point.flops <= level]
        if stage != "base":
            runs = [run for run in runs if worker.has(folder, run, "base")]
        makes = worker.STAGES[stage]
        missing = [(run, v) for run in runs for v in makes if not worker.has(folder, run, v)]
        whole = trunk.seconds if stage == "base" else tuning_seconds(trunk)
        if missing:
            jobs.append(
                worker.Job(
                    stage=stage,
                    trunk=trunk,
                    runs=tuple(dict.fromkeys(run for run, _ in missing)),
                    points=len(missing),
                    # the trunk may be far already, which the estimate leaves out
                    seconds=whole * len(missing) / (len(trunk.points) * len(makes)),
                )
            )
    return sorted(jobs, key=lambda job: -job.seconds)
