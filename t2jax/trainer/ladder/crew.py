"""The workers of a ladder: processes that get one job at a time and are gone when it ends.

A job that fails, and even a worker that is killed, costs its own trunk only.
"""

import collections
import contextlib
import dataclasses
import json
import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from t2jax.errors import Stopped
from t2jax.trainer.ladder import worker
from t2jax.trainer.ladder.plan import LadderPlan

__all__ = ["Outcome", "Progress", "ended_as_interrupted", "spend"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a ladder is, for somebody who is watching."""

    done: int  # points that exist
    total: int  # points of this stage
    share: float  # of the work of this run that is done, 0 to 1
    seconds_left: float  # at the pace so far; infinite before there is one
    name: str = ""  # point that was finished just now


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the jobs."""

    failures: dict[str, str]  # why, by the name of the trunk
    in_time: bool  # whether all were tried before the time was up


def spend(
    folder: pathlib.Path,
    plan: LadderPlan,
    jobs: Sequence[worker.Job],
    *,
    workers: int,
    total: int,
    deadline: float | None = None,
    report: Callable[[Progress], None] | None = None,
    journal: str = "timing.jsonl",
) -> Outcome:
    """Have the jobs done, in their order, by some processes.

    Args:
      folder: of the ladder.
      plan: the whole plan.
      jobs: of one stage.
      workers: processes at the most.
      total: points of the stage, of which the jobs make the missing ones.
      deadline: on the clock of `time.monotonic`; no worker is left after it.
      report: called when something was done.
      journal: file of the folder in which times are noted.

    Returns:
      What failed, and whether there was time for everything.
    """
    watch = _Watch(total=total, jobs=jobs, report=report)
    queue = collections.deque(jobs)
    crew: dict[Any, Any] = {}  # a process by its connection
    places: dict[Any, int] = {}
    busy: dict[Any, worker.Job] = {}
    failures: dict[str, str] = {}

    def give(connection: Any) -> None:
        if queue:
            busy[connection] = queue.popleft()
            connection.send(busy[connection])

    def hire(place: int) -> None:
        connection, process = _start(folder, plan, place)
        crew[connection], places[connection] = process, place
        give(connection)

    try:
        for place in range(min(workers, len(jobs))):
            hire(place)
        while busy:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = multiprocessing.connection.wait(list(busy), wait)
            if not ready:
                return Outcome(failures=failures, in_time=False)
            for connection in ready:
                job = busy[connection]
                message = _receive(connection, crew[connection])
                if isinstance(message, worker.Advance):
                    watch.advance(job, message)
                    if message.run:
                        _note_time(folder / journal, message)
                    continue
                if message.error:
                    _log.error("%s: %s", job.trunk.name, message.error)
                    failures[job.trunk.name] = message.error
                del busy[connection]
                if crew[connection].is_alive():
                    give(connection)
                else:
                    del crew[connection]
                    if queue:
                        hire(places[connection])
        return Outcome(failures=failures, in_time=True)
    finally:
        for connection, process in crew.items():
            connection.close()
            process.terminate()
        for process in crew.values():
            process.join()


def _start(folder: pathlib.Path, plan: LadderPlan, place: int) -> tuple[Any, Any]:
    """A worker that waits for jobs: our end of its connection, and the process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(
        target=worker.serve, args=(there, str(folder), plan, place), daemon=True
    )
    with _interrupts_held():
        process.start()
    there.close()
    return here, process


def _receive(connection: Any, process: Any) -> Any:
    """The next message; where the worker is gone, the one that it could not send."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        process.join()
        connection.close()
        killed = ", perhaps for want of memory" if process.exitcode == -9 else ""
        return worker.Finished(error=f"its worker ended with code {process.exitcode}{killed}")


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C; a process that is started meanwhile never gets one.

    A terminal sends it to everybody, and a worker would show where it was just then.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # started with the first worker otherwise, and lets interrupts through
    multiprocessing.resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def ended_as_interrupted() -> Iterator[None]:
    """Within it, SIGTERM ends what is going on as Ctrl-C does, workers included."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _note_time(path: pathlib.Path, message: worker.Advance) -> None:
    """Wall-clock facts have a file of their own: the tables hold nothing that may vary."""
    facts = {
        "run": message.run,
        "seconds": round(message.seconds, 3),
        "evaluation_seconds": round(message.evaluation_seconds, 3),
        "cpu_seconds": round(message.cpu_seconds, 3),
        "tokens": message.tokens,
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


class _Watch:
    """The remaining time, from the shares of the jobs that are done."""

    def __init__(
        self,
        *,
        total: int,
        jobs: Sequence[worker.Job],
        report: Callable[[Progress], None] | None,
    ):
        self.total, self.report = total, report
        self.done = total - sum(job.points for job in jobs)
        self.weights = {job.trunk.name: job.seconds for job in jobs}
        self.shares = dict.fromkeys(self.weights, 0.0)
        self.begun = time.monotonic()

    def advance(self, job: worker.Job, message: worker.Advance) -> None:
        """Take in how far a job is."""
        self.shares[job.trunk.name] = message.share
        self.done += bool(message.run)
        if message.run:
            _log.info("%s (%d of %d)", message.run, self.done, self.total)
        if self.report is None:
            return
        share = sum(self.weights[name] * part for name, part in self.shares.items())
        share /= sum(self.weights.values()) or 1.0
        spent = time.monotonic() - self.begun
        self.report(
            Progress(
                done=self.done,
                total=self.total,
                share=share,
                seconds_left=spent / share * (1 - share) if share else float("inf"),
                name=message.run,
            )
        )
