"""What a run says while it goes on, and how it is told to stop."""

import json
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

import jax
import numpy as np
from jax.experimental import multihost_utils

from t2jax.errors import InputError
from t2jax.trainer import count, devices
from t2jax.trainer.config import TrainConfig
from t2jax.trainer.step import Metrics

__all__ = ["Journal", "Progress", "stop_signals"]

_REPORT_SECONDS = 0.5


class Progress(NamedTuple):
    """How far a run is, for whoever watches it.

    Attributes:
      step: steps done.
      steps: steps of the whole run.
      tokens: loss tokens seen.
      loss: mean cross-entropy since the last report, nats.
      tokens_per_second: loss tokens, since the last report.
      flops_per_second: useful ones: the hidden half of attention does not count.
      utilisation: those over the peak of the devices; None where the peak is not known.
      seconds_left: at the speed since this process began.
    """

    step: int
    steps: int
    tokens: int
    loss: float
    tokens_per_second: float
    flops_per_second: float
    utilisation: float | None
    seconds_left: float


class Journal:
    """Counts the tokens of a run, writes `metrics.jsonl` and reports progress.

    The file holds one line a chunk and no times, so a run that was interrupted leaves the same
    file as one that was not.

    Args:
      folder: where the file goes; None writes nothing.
      config: the run, filled.
      steps: steps of the whole run.
      step: steps done so far.
      tokens: loss tokens seen so far.
      report: called now and then, on the first process.

    Attributes:
      tokens: loss tokens seen.
    """

    def __init__(
        self,
        folder: pathlib.Path | None,
        config: TrainConfig,
        *,
        steps: int,
        step: int = 0,
        tokens: int = 0,
        report: Callable[[Progress], None] | None = None,
    ):
        first = devices.is_first()
        self.tokens, self._steps, self._begun = tokens, steps, step
        self._report = report if first else None
        self._lines: list[dict[str, float]] = []
        self._file = None
        if folder is not None and first:
            self._lines, self._file = _reopened(folder, step)
        assert config.batch_rows is not None
        places = config.batch_rows * config.model.seq_len
        self._step_flops = places * count.train_flops(config.model, causal=True)
        self._peak = devices.peak_flops(config.devices, config.model.compute_dtype)
        self._start = self._marked = time.monotonic()
        self._mark = (step, tokens, 0.0)  # steps, tokens and summed loss at the last report
        self._summed = 0.0

    def add(self, step: int, metrics: Metrics) -> None:
        """Take in a chunk that ended at a step."""
        weights = metrics.tokens.astype(np.float64)
        seen = int(metrics.tokens.sum(dtype=np.int64))
        summed = float(weights @ metrics.loss)
        self.tokens += seen
        self._summed += summed
        line = {
            "step": step,
            "tokens": self.tokens,
            "loss": summed / max(seen, 1),
            "grad_norm": float(metrics.grad_norm.mean()),
            "learning_rate": float(metrics.learning_rate[-1]),
        }
        self._lines.append(line)
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")
        now = time.monotonic()
        if self._report and (now - self._marked > _REPORT_SECONDS or step >= self._steps):
            self._report(self._progress(step, now))
            self._marked, self._mark = now, (step, self.tokens, self._summed)

    def last_loss(self) -> float | None:
        """Mean loss per token over the last twentieth of the steps done, in whole chunks.

        Of the run, not of this process: interruptions leave it as it is.
        """
        if not self._lines:
            return None
        start = 0.95 * self._lines[-1]["step"]
        ended = [line["step"] for line in self._lines]
        first = next(place for place, step in enumerate(ended) if step > start)
        before = self._lines[first - 1]["tokens"] if first else 0
        tokens = np.diff([before, *(line["tokens"] for line in self._lines[first:])])
        losses = np.array([line["loss"] for line in self._lines[first:]])
        return float(losses @ tokens / max(tokens.sum(), 1))

    def flush(self) -> None:
        """Bring the file up to date, before a checkpoint counts on it."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _progress(self, step: int, now: float) -> Progress:
        old_step, old_tokens, old_summed = self._mark
        seconds = max(now - self._marked, 1e-9)
        tokens = self.tokens - old_tokens
        flops = (step - old_step) * self._step_flops / seconds
        pace = (now - self._start) / max(step - self._begun, 1)
        return Progress(
            step=step,
            steps=self._steps,
            tokens=self.tokens,
            loss=(self._summed - old_summed) / max(tokens, 1),
            tokens_per_second=tokens / seconds,
            flops_per_second=flops,
            utilisation=None if self._peak is None else flops / self._peak,
            seconds_left=pace * (self._steps - step),
        )


def _reopened(folder: pathlib.Path, step: int) -> tuple[list[dict[str, float]], TextIO]:
    """The lines of `metrics.jsonl` up to a step, and the file, ready for those that follow."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.jsonl"
    kept = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.exists() else (), 1):
        # Behind the last end of a line may stand half of one, of a process that was killed.
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line.decode("utf-8") + "\n")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(
                "is no line of the metrics of a run",
                source=f"{path}, line {number}",
                remedy="name another folder, or move this file",
            ) from error
    partial = folder / f".metrics.{os.getpid()}"
    partial.write_text("".join(kept), encoding="utf-8")
    os.replace(partial, path)
    return [json.loads(line) for line in kept], path.open("a", encoding="utf-8")


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Within it, the first SIGTERM or SIGINT asks instead of ending the process.

    Yields:
      A function that says whether to stop now. All processes of a run call it equally often, and
      it answers all of them alike, even if one alone has had the signal.
    """
    if jax.process_count() > 1:
        calls = iter(range(2**62))
        # JAX has its own handler of SIGTERM then, and agrees on a step between the processes.
        yield lambda: multihost_utils.reached_preemption_sync_point(next(calls))
        return
    asked: list[float] = []

    def hear(number: int, frame: Any) -> None:
        # `timeout` sends its one SIGTERM twice, to a process and to its group.
        if asked and time.monotonic() > asked[0] + (number == signal.SIGTERM):
            raise KeyboardInterrupt
        asked.append(time.monotonic())

    here = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGTERM, signal.SIGINT) if here else ()
    before = {number: signal.signal(number, hear) for number in signals}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
