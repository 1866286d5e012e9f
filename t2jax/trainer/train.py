"""Training: compiled chunks of steps, and the run built on them.

The state is a tree of arrays, the data of step s are rows `s * batch_rows` and the following,
and the plan of the learning rate is an argument. So any step can be reached from any checkpoint,
and one program serves a trunk and all its branches.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from t2jax._arguments import local_folder
from t2jax.errors import InputError, Refusal
from t2jax.trainer import checkpoint, devices, memory, model, schedule
from t2jax.trainer.batches import Batch, Source, loss_mask
from t2jax.trainer.config import TrainConfig
from t2jax.trainer.journal import Journal, Progress, stop_signals
from t2jax.trainer.schedule import Plan
from t2jax.trainer.step import Metrics, TrainState, compile_steps, copy_state

__all__ = [
    "Metrics",
    "Progress",
    "TrainResult",
    "TrainState",
    "Trainer",
    "copy_state",
    "train",
]

log = logging.getLogger(__name__)

_COUNTED_ROWS = 256  # rows from which the loss tokens of a row are estimated, where not stated


class Trainer:
    """Trains one model on one source.

    Trainers whose configs differ in seed, length, learning rate or warm-up only share their
    compiled program.

    Args:
      config: the run.
      source: where rows come from.
      mesh: devices to use; made from the config unless given.
      rows_on_device: whether a compiled program makes the rows, or NumPy does, in a second
        thread; by default accelerators do where the source can be traced, and CPUs do not.

    Attributes:
      config: the run with its rules worked out.
      tokens_per_row: mean loss tokens of a row.

    Raises:
      InputError: the source does not fit the model.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        mesh: Mesh | None = None,
        *,
        rows_on_device: bool | None = None,
    ):
        shape = config.model
        if source.vocab_size > shape.vocab_size or source.seq_len != shape.seq_len:
            raise InputError(
                f"the data have {source.vocab_size} tokens in rows of {source.seq_len}, the model "
                f"{shape.vocab_size} in rows of {shape.seq_len}",
                remedy="set vocab_size and seq_len of the model to those of the data",
            )
        self.source = source
        self.mesh = devices.make_mesh(config.data, config.fsdp) if mesh is None else mesh
        self.tokens_per_row = _tokens_per_row(source, config.answers_only)
        self.config = config.filled(self.tokens_per_row)
        memory.check(self.config, self.mesh)
        if rows_on_device is None:
            rows_on_device = source.traceable and self.mesh.devices.flat[0].platform != "cpu"
        traced = source if rows_on_device else None
        self._programs = compile_steps(self.config, self.mesh, traced)
        self._ships_rows = not rows_on_device

    def init(self, params: model.Params | None = None) -> TrainState:
        """The state before the first step.

        Args:
          params: where to start, such as those of a checkpoint; drawn from the seed unless given.
        """
        return self._programs.init(self.config.seed, params)

    def plan(self) -> Plan:
        """The learning rate of the whole run that the config describes."""
        return schedule.plan(self.config, self.tokens_per_row)

    def abstract_state(self) -> TrainState:
        """Shapes, types and places of a state, without the state; what a restore needs."""
        return self._programs.abstract

    @devices.beside_others()
    def run(
        self,
        state: TrainState,
        stop_step: int,
        plan: Plan,
        *,
        watch: Callable[[int, Metrics], Any] | None = None,
    ) -> tuple[TrainState, Metrics]:
        """Train until `stop_step` steps have been done.

        Args:
          state: where to go on from; used up by the call.
          stop_step: steps done at the end.
          plan: course of the learning rate.
          watch: called with the steps done and the metrics of each chunk, one chunk late, so that
            nobody waits for the device; training ends early once it returns something true.

        Returns:
          The state, and the metrics of every step.

        Raises:
          Refusal: the loss is no longer finite.
          InputError: another process of the run died.
        """
        first = int(state.step)
        size, rows = self.config.chunk, self.config.batch_rows
        assert rows is not None
        if not self._ships_rows and stop_step * rows > 2**32:
            raise InputError(
                f"step {stop_step} lies beyond row 2^32", remedy="use a larger batch or less data"
            )
        starts = range(first, stop_step, size)
        peak = np.float32(self.config.learning_rate)
        numbers: list[Any] = [np.int32(min(int(n), schedule.FOREVER)) for n in plan]
        waiting: collections.deque[tuple[int, int, Any]] = collections.deque()
        seen: list[Metrics] = []

        def collect() -> bool:
            start, count, metrics = waiting.popleft()
            metrics = Metrics(*(np.asarray(x)[:count] for x in metrics))
            _check_finite(metrics, start, self.config)
            seen.append(metrics)
            return bool(watch and watch(start + count, metrics))

        with concurrent.futures.ThreadPoolExecutor(1, "rows") as pool:
            made = self._rows_ahead(pool, starts, stop_step)
            for start in starts:
                count = min(size, stop_step - start)
                batches = made(start)
                state, metrics = self._programs.run(
                    state, batches, np.int32(count), peak, Plan(*numbers)
                )
                waiting.append((start, count, metrics))
                if len(waiting) > 1 and collect():
                    break
            while waiting:
                collect()
        return state, _joined(seen)

    def _rows_ahead(self, pool: Any, starts: range, stop: int) -> Callable[[int], Batch]:
        """A function that hands out the rows of a chunk and has the next one made meanwhile."""
        make = self._programs.rows
        if make is not None:
            return lambda start: make(np.uint32(start))
        if not starts:
            return lambda start: self._rows(start, 0)  # which nobody asks for
        size = self.config.chunk
        future = pool.submit(self._rows, starts[0], min(size, stop - starts[0]))

        def hand_out(start: int) -> Batch:
            nonlocal future
            batches = future.result()
            following = start + size
            if following < stop:
                future = pool.submit(self._rows, following, min(size, stop - following))
            return batches

        return hand_out

    def _rows(self, start: int, count: int) -> Batch:
        """Rows of some steps, on their devices; a short chunk is filled up with padding."""
        rows, sharding = self.config.batch_rows, devices.batch_sharding(self.mesh)
        assert rows is not None
        low, high = devices.own_rows(sharding, rows)
        if (low, high) == (0, rows):
            parts = [self.source.rows(start * rows, count * rows)]
        else:
            steps = range(start, start + count)
            parts = [self.source.rows(step * rows + low, high - low) for step in steps]

        def ship(*arrays: Any) -> Any:
            stack = np.concatenate(arrays).reshape(count, high - low, -1)
            if count < self.config.chunk:
                stack = np.pad(stack, ((0, self.config.chunk - count), (0, 0), (0, 0)))
            whole = (self.config.chunk, rows, stack.shape[-1])
            if whole == stack.shape and self.mesh.size == 1:
                return jax.device_put(stack, sharding)

            def piece(index: Any) -> np.ndarray:
                begin, end, _ = index[1].indices(rows)
                return stack[:, begin - low : end - low]

            return jax.make_array_from_callback(whole, sharding, piece)

        return Batch(*map(ship, *parts))


def _check_finite(metrics: Metrics, start: int, config: TrainConfig) -> None:
    good = np.isfinite(metrics.loss) & np.isfinite(metrics.grad_norm)
    if not good.all():
        raise Refusal(
            f"the loss is not finite at step {start + int(np.argmin(good))} "
            f"(loss {metrics.loss[np.argmin(good)]}, learning rate {config.learning_rate:g})",
            remedy="lower learning_rate or lengthen warmup_tokens",
        )


def _tokens_per_row(source: Source, answers_only: bool) -> float:
    if not answers_only:
        return float(source.tokens_per_row)
    counted = loss_mask(source.rows(0, _COUNTED_ROWS), answers_only=True).sum()
    if not counted:
        raise InputError("the data have no answers to train on", remedy="leave answers_only out")
    return float(counted) / _COUNTED_ROWS


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A run that has ended.

    Attributes:
      config: the run with its rules worked out.
      state: parameters, optimiser and step.
      tokens: loss tokens seen, those before a resumed checkpoint included: D.
      history: metrics of the steps that this call made.
      loss: mean cross-entropy over the last twentieth of the steps, nats; on the first process.
      finished: False where a signal stopped it early; the checkpoint goes on from there.
    """

    config: TrainConfig
    state: TrainState
    tokens: int
    history: Metrics
    loss: float | None
    finished: bool

    @property
    def params(self) -> model.Params:
        """The parameters."""
        return self.state.params

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.state.step)


def train(
    config: TrainConfig,
    source: Source,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = True,
    checkpoint_every: int | None = None,
    report: Callable[[Progress], None] | None = None,
    mesh: Mesh | None = None,
) -> TrainResult:
    """Train from the first step, or from the last checkpoint, to the last step.

    Resuming gives the numbers that an uninterrupted run would have given, to the last bit on the
    same devices. SIGTERM and SIGINT end the run behind the present chunk, with a checkpoint.

    Args:
      config: the run.
      source: where rows come from.
      out: folder for `checkpoints/`, `metrics.jsonl` (one line a chunk) and, at the end, the
        parameters; shared by all processes. Nothing is written unless given.
      resume: go on from the last checkpoint in `out`, if there is one.
      checkpoint_every: steps between checkpoints, rounded to whole chunks; a tenth of the run
        unless given.
      report: called about twice a second, on the first process only.
      mesh: devices to use; made from the config unless given.

    Returns:
      The state, D and the metrics.

    Raises:
      InputError: `out` holds another run.
      Refusal: the loss is no longer finite.

    >>> from t2jax.trainer.config import ModelConfig
    >>> from t2jax.trainer.corpus import Corpus
    >>> run = TrainConfig(model=ModelConfig(d_model=8), tokens=8000, chunk=4)
    >>> result = train(run, Corpus("small"))
    >>> bool(result.history.loss[-1] < result.history.loss[0])
    True
    """
    folder = None if out is None else local_folder(out)
    if folder is not None:
        checkpoint.check_place(folder)
    saved = None if folder is None else checkpoint.latest(folder / "checkpoints")
    if saved is not None and not resume:
        raise InputError(
            f"holds a run of {saved} steps", source=str(out), remedy="resume it or name another"
        )
    if folder is not None and saved is not None and config.batch_rows is None:
        # On other devices the rule might round to another batch, and so to another run.
        begun = checkpoint.read_card(folder / "checkpoints")
        config = dataclasses.replace(config, batch_rows=begun["config"]["batch_rows"])
    trainer = Trainer(config, source, mesh)
    size, plan = trainer.config.chunk, trainer.plan()
    steps = int(plan.stop)
    every = max(1, round((checkpoint_every or steps / 10) / size)) * size
    card = checkpoint.make_card(trainer.config, source)
    if folder is not None and saved is not None:
        begun = checkpoint.read_card(folder / "checkpoints")
        checkpoint.check(begun, card, folder)
        state, begun = checkpoint.restore(folder / "checkpoints", trainer.abstract_state())
        tokens = int(begun["tokens"])
        log.info("resumed %s at step %d of %d", folder, saved, steps)
    else:
        state, tokens = trainer.init(), 0
    saver = None if folder is None else checkpoint.Saver(folder / "checkpoints")
    done, pieces, stopped = saved or 0, [], False
    journal = Journal(folder, trainer.config, steps=steps, step=done, tokens=tokens, report=report)
    with contextlib.closing(journal), stop_signals() as asked:

        def watch(step: int, metrics: Metrics) -> bool:
            nonlocal stopped
            journal.add(step, metrics)
            stopped = asked() or stopped
            return stopped

        while done < steps and not stopped:
            with memory.named(trainer.config):
                state, metrics = trainer.run(state, min(steps, done + every), plan, watch=watch)
            done += len(metrics.loss)
            pieces.append(metrics)
            if saver is not None:
                journal.flush()
                saver.save(done, state, {**card, "tokens": journal.tokens})
        if saver is not None:
            saver.wait()
    if folder is not None and done >= steps:
        facts = {"tokens": journal.tokens, "step": done}
        checkpoint.save_params(folder, state.params, {**card, **facts})
    return TrainResult(
        config=trainer.config,
        state=state,
        tokens=journal.tokens,
        history=_joined(pieces),
        loss=journal.last_loss(),
        finished=done >= steps,
    )


def _joined(pieces: list[Metrics]) -> Metrics:
    empty = Metrics(*(np.zeros(0, t) for t in ("f4", "i4", "f4", "f4")))
    return Metrics(*(np.concatenate(column) for column in zip(empty, *pieces, strict=True)))
