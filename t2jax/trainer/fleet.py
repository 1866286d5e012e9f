"""Several seeds of one model, trained side by side as one program.

A small model alone leaves an accelerator waiting for launches; under `jax.vmap` its seeds share
every one of them. Two programs of fixed shape take turns: one makes the rows of a chunk, the
other takes a chunk of steps. Rows made inside the step would double its kernels, and a number
of steps that is known when compiling spares the device a question to the host after each.

On a CPU processes are the better way to train several seeds (`ladder --workers`).
"""

import collections
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax.errors import InputError, Refusal
from t2jax.trainer import model, optimiser, schedule
from t2jax.trainer.batches import Batch
from t2jax.trainer.config import TrainConfig
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.schedule import Plan
from t2jax.trainer.step import Metrics, TrainState, one_step

__all__ = ["Fleet", "member"]

_AHEAD = 4  # chunks that are sent before the metrics of the first are waited for


def member(tree: Any, index: int) -> Any:
    """The arrays of one member, from a tree with a leading axis of members."""
    return jax.tree.map(lambda x: x[index], tree)


class Fleet:
    """Trains one model from several seeds, each on rows of its own, in one program.

    Member i is the run that `Trainer` makes of seed `seeds[i]` on `Corpus(seed=seeds[i])`, but for
    rounding.

    Args:
      config: the run; its seed is not used.
      corpus: whose rows are trained on; its seed is not used.
      seeds: of the members.

    Attributes:
      config: the run with its rules worked out.
      tokens_per_row: mean loss tokens of a row.

    Raises:
      InputError: no seed, or a corpus that does not fit the model.

    >>> from t2jax.trainer.config import ModelConfig
    >>> run = TrainConfig(model=ModelConfig(d_model=8), tokens=8000, chunk=4)
    >>> fleet = Fleet(run, Corpus("small"), seeds=(0, 1))
    >>> state, metrics = fleet.run(fleet.init(), 4, schedule.trunk(2))
    >>> metrics.loss.shape
    (2, 4)
    """

    def __init__(self, config: TrainConfig, corpus: Corpus, seeds: Sequence[int]):
        shape = config.model
        if not seeds:
            raise InputError("a fleet without seeds", remedy="give at least one")
        if corpus.vocab_size > shape.vocab_size or corpus.seq_len != shape.seq_len:
            raise InputError(
                f"the corpus has rows of {corpus.seq_len} tokens, the model of {shape.seq_len}",
                remedy="set seq_len of the corpus to that of the model",
            )
        self.tokens_per_row = corpus.tokens_per_row
        self.config = config.filled(self.tokens_per_row)
        self.seeds = tuple(seeds)
        keys = [Corpus(corpus.preset, seed=s, seq_len=corpus.seq_len).keys for s in self.seeds]
        self._keys = jnp.asarray(np.asarray(keys, np.uint32))
        self._draw = jax.jit(jax.vmap(self._begin))
        self._rows: Any = jax.jit(self._make(corpus))
        # Sums in one order, so that a resumed run repeats the bits of an uninterrupted one.
        exact = {"xla_gpu_deterministic_ops": True} if jax.default_backend() == "gpu" else None
        self._steps: Any = jax.jit(self._advance(), donate_argnums=0, compiler_options=exact)

    def _begin(self, seed: Any) -> TrainState:
        params = model.initialise(self.config.model, jax.random.key(seed))
        return TrainState(params, optimiser.begin(self.config, params), jnp.int32(0))

    def _make(self, corpus: Corpus) -> Any:
        """The program that makes a chunk of rows, `[chunk, members, rows, seq_len]`."""
        chunk, rows = self.config.chunk, self.config.batch_rows
        assert rows is not None
        members, length = len(self.seeds), corpus.seq_len

        def make(keys: Any, first: Any) -> Batch:
            def one(key: Any) -> Batch:
                return corpus.rows_by(key, first, chunk * rows, xp=jnp)

            batch = jax.vmap(one)(keys)
            return jax.tree.map(
                lambda x: jnp.moveaxis(x.reshape(members, chunk, rows, length), 0, 1), batch
            )

        return make

    def _advance(self) -> Any:
        """The program of a chunk of steps."""
        step = jax.vmap(one_step(self.config), in_axes=(0, 0, None, None))

        def advance(state: TrainState, batches: Batch, peak: Any, plan: Plan) -> Any:
            return jax.lax.scan(lambda s, batch: step(s, batch, peak, plan), state, batches)

        return advance

    def compile(self) -> "Fleet":
        """Compile both programs now, for instance several fleets in as many threads."""
        shapes = jax.eval_shape(self._draw, self._seed_array())
        first = jax.ShapeDtypeStruct((), jnp.uint32)
        rows = self._rows.lower(self._keys, first)
        batches = jax.eval_shape(self._rows, self._keys, first)
        number = jax.ShapeDtypeStruct((), jnp.int32)
        peak = jax.ShapeDtypeStruct((), jnp.float32)
        steps = self._steps.lower(shapes, batches, peak, Plan(number, number, number))
        self._rows, self._steps = rows.compile(), steps.compile()
        return self

    def _seed_array(self) -> jax.Array:
        return jnp.asarray(self.seeds, jnp.int32)

    def init(self) -> TrainState:
        """The state of every member before the first step, `[members, ...]`."""
        return self._draw(self._seed_array())

    def run(self, state: TrainState, stop_step: int, plan: Plan) -> tuple[TrainState, Metrics]:
        """Train all members until `stop_step` steps have been done.

        Args:
          state: where to go on from; used up by the call.
          stop_step: steps done at the end, a whole number of chunks away.
          plan: course of the learning rate.

        Returns:
          The state, and the metrics of every step, `[members, steps]`.

        Raises:
          InputError: the steps are no whole number of chunks, or rows run past 2^32.
          Refusal: the loss of a member is no longer finite.
        """
        start, size, rows = int(state.step[0]), self.config.chunk, self.config.batch_rows
        assert rows is not None
        if (stop_step - start) % size or stop_step < start:
            raise InputError(
                f"{stop_step - start} steps are no whole number of chunks of {size}",
                remedy=f"stop a multiple of {size} steps behind step {start}",
            )
        if stop_step * rows > 2**32:
            raise InputError(
                f"step {stop_step} lies beyond row 2^32", remedy="use a larger batch or less data"
            )
        peak = jnp.float32(self.config.learning_rate)
        course = Plan(*(jnp.int32(min(int(n), schedule.FOREVER)) for n in plan))
        waiting: collections.deque[Metrics] = collections.deque()
        seen: list[Metrics] = []

        def collect() -> None:
            metrics = Metrics(*(np.asarray(x) for x in waiting.popleft()))
            good = np.isfinite(metrics.loss) & np.isfinite(metrics.grad_norm)
            if not good.all():
                step = start + size * len(seen) + int(np.argmin(good.all(1)))
                raise Refusal(
                    f"the loss of a seed is not finite at step {step} "
                    f"(learning rate {self.config.learning_rate:g})",
                    remedy="lower learning_rate or lengthen warmup_tokens",
                )
            seen.append(metrics)

        for step in range(start, stop_step, size):
            batches = self._rows(self._keys, jnp.uint32(step * rows))
            state, metrics = self._steps(state, batches, peak, course)
            waiting.append(metrics)
            if len(waiting) > _AHEAD:
                collect()
        while waiting:
            collect()
        blank = Metrics(*(np.zeros((0, len(self.seeds)), t) for t in ("f4", "i4", "f4", "f4")))
        columns = zip(blank, *seen, strict=True)
        return state, Metrics(*(np.concatenate(column).T for column in columns))
