"""The workshop: training against PyTorch, cached sampling, rows per second, saving."""

import functools
import importlib.util
import itertools
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import record
from t2jax.trainer import checkpoint, config, corpus, model, sample, schedule, train

CHUNK = 16


class Shelf:
    """Rows made beforehand, over and over, so that nobody is charged for making them."""

    vocab_size, seq_len, traceable = 128, 64, False

    def __init__(self, count: int):
        source = corpus.Corpus("small")
        self.batch, self.tokens_per_row = source.rows(0, count), source.tokens_per_row

    def rows(self, first, count, *, xp=np):
        chosen = (first + np.arange(count)) % len(self.batch.tokens)
        return type(self.batch)(*(x[chosen] for x in self.batch))

    def fingerprint(self):
        return "shelf"


# PyTorch's own warnings are not ours to turn into errors.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("width", "chunks"), [(16, 8), (32, 4), (128, 1)])
def test_training(case, clock, width, chunks):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch beside us: pip install torch")
    import torch

    from benchmarks.torch_peer import Peer

    shape = config.ModelConfig(d_model=width)
    rows, steps = round(config.default_batch_tokens(shape) / 64), CHUNK * chunks
    shelf = Shelf(rows * steps)
    places = rows * steps * shape.seq_len
    setting = config.TrainConfig(
        model=shape, tokens=1e9, batch_rows=rows, learning_rate=0.01, warmup_tokens=0, chunk=CHUNK
    )
    trainer = train.Trainer(setting, shelf)
    start = jax.tree.map(np.asarray, trainer.init().params)
    state = trainer.init()
    ours = []

    def run():
        nonlocal state
        state, metrics = trainer.run(state, int(state.step) + steps, schedule.trunk(1))
        ours.append(metrics.loss)

    timing, _ = clock(run, rounds=3)
    wanted = 1.5 if width < 64 else 1.0
    row = case(
        benchmark="training", name=f"d {width}, {rows} rows of 64 a step, {steps} steps, float32",
        independent=True,
        target=f"eager PyTorch takes at least {wanted:g} times our wall seconds",
    )  # fmt: skip
    row.add("t2jax.trainer.train.Trainer", timing, ours[0][:1])
    row.notes.append(f"ours: {places / timing.wall / 1e3:,.0f} thousand places per second")

    stacks = [
        torch.from_numpy(x.astype(np.int64).reshape(steps, rows, -1)) for x in shelf.batch[:2]
    ]
    # Both sides must follow the same course, to the rounding of float32.
    for compiled in (False, True):
        if compiled and shutil.which("g++") is None:
            row.notes.append("torch.compile was left out: it needs g++")
            continue
        tries = {}
        for threads in {1, os.cpu_count() or 1}:
            torch.set_num_threads(threads)
            peer = Peer(config=shape, params=start, learning_rate=0.01, compiled=compiled)
            theirs = []
            timing, _ = record.measure(
                lambda peer=peer, theirs=theirs: theirs.append(peer.steps(*stacks)),
                rounds=3, compiles=True,
            )  # fmt: skip
            assert np.abs(ours[0] - theirs[0])[:CHUNK].max() < 1e-3
            tries[threads] = timing
        threads = min(tries, key=lambda threads: tries[threads].wall)
        row.add(
            f"PyTorch {torch.__version__}{', torch.compile' if compiled else ', eager'}",
            tries[threads], theirs[0][:1],
            note=f"{threads} of {sorted(tries)} threads, the faster; "
            f"{places / tries[threads].wall / 1e3:,.0f} thousand places per second",
        )  # fmt: skip
    row.met = row.ratio(1, "wall") >= wanted


def test_sampling(case, clock):
    shape = config.ModelConfig(d_model=32)
    params = model.initialise(shape, jax.random.key(0))
    questions, samples, prompt, new = 16, 64, 16, 32
    prompts = np.random.default_rng(0).integers(3, 128, (questions, prompt))
    lengths = np.full(questions, prompt)
    key = jax.random.key(1)
    row = case(
        benchmark="sampling",
        name=f"d 32, {questions} questions x {samples} samples, {new} new tokens behind {prompt}",
        target="running the model anew takes at least 20 times the CPU seconds",
    )
    timing, found = clock(
        lambda: sample.sample(
            params, shape, prompts, lengths, samples=samples, max_new=new, key=key, stop=-1
        )
    )
    apply = jax.jit(functools.partial(model.apply, config=shape))
    behind = np.repeat(prompts[:, None], samples, axis=1)
    rows = np.concatenate([behind, found.tokens], axis=-1).reshape(-1, prompt + new)
    chances = jax.nn.log_softmax(apply(params, tokens=jnp.asarray(rows)))[:, prompt - 1 : -1]
    exact = np.take_along_axis(np.asarray(chances), rows[:, prompt:, None], axis=-1)
    gap = np.abs(exact.sum((1, 2)) - found.log_probs.ravel()).max()
    row.notes.append(f"largest difference from teacher forcing: {gap:.1e} nats")
    assert gap < 1e-4
    row.add("t2jax.trainer.sample.sample", timing, -found.log_probs.mean())
    row.notes.append(f"ours: {questions * samples / timing.cpu:,.0f} answers per CPU-second")

    @jax.jit
    def anew(params, rows, key):
        """Every token from the whole row, whose length must be fixed for one program to do."""

        def advance(rows, place):
            logits = model.apply(params, shape, rows)[:, place - 1]
            drawn = jax.random.categorical(jax.random.fold_in(key, place), logits)
            chance = jnp.take_along_axis(jax.nn.log_softmax(logits), drawn[:, None], axis=1)
            return rows.at[:, place].set(drawn), chance[:, 0]

        _, chances = jax.lax.scan(advance, rows, prompt + jnp.arange(new))
        return chances.sum(0)

    blank = np.pad(behind, ((0, 0), (0, 0), (0, new))).reshape(-1, prompt + new)
    timing, theirs = record.measure(
        lambda: np.asarray(anew(params, blank, key)), rounds=2, compiles=True
    )
    # Other draws: the two agree in the mean, and only ours is compared with its own logits.
    error = 5 * theirs.std() / len(theirs) ** 0.5 * 2**0.5
    assert abs(theirs.mean() - found.log_probs.mean()) < error
    row.add(
        "the model run anew for every token", timing, -found.log_probs.mean(),
        note="its answers are other draws; their mean agrees within sampling error",
    )  # fmt: skip
    row.met = row.ratio(1, "cpu") >= 20


@pytest.mark.parametrize("preset", ["small", "large"])
def test_corpus(case, clock, preset):
    source = corpus.Corpus(preset)
    count = 4096
    row = case(
        benchmark="corpus", name=f"preset {preset}, {count} rows of {source.seq_len}",
        target="at least 2 million loss tokens per CPU-second",
    )  # fmt: skip
    start = itertools.count(0, count)
    timing, _ = clock(lambda: source.rows(next(start), count))
    batch = source.rows(0, count)
    speed = count * source.tokens_per_row / timing.cpu
    row.add("corpus.rows, NumPy", timing, batch.tokens.sum())
    row.notes.append(f"NumPy: {speed / 1e6:.2f} million loss tokens per CPU-second")
    row.met = speed >= 2e6
    traced = jax.jit(lambda first: source.rows(first, count, xp=jnp))
    timing, other = record.measure(
        lambda: jax.block_until_ready(traced(np.uint32(0))), rounds=3, compiles=True
    )
    assert all((a == np.asarray(b)).all() for a, b in zip(batch, other, strict=True))
    row.add("the same rows, traced by JAX", timing, batch.tokens.sum())


@pytest.mark.parametrize("width", [32, 128])
def test_saving_a_state(case, clock, tmp_path, width):
    from orbax.checkpoint import v1 as ocp

    shape = config.ModelConfig(d_model=width)
    shelf = Shelf(1)
    setting = config.TrainConfig(model=shape, tokens=1e6)
    trainer = train.Trainer(setting, shelf)
    state = trainer.init()
    card = checkpoint.make_card(trainer.config, shelf)
    saver = checkpoint.Saver(tmp_path / "ours")
    row = case(
        benchmark="checkpoint", name=f"parameters and moments of d {width}",
        target="no more wall seconds than Orbax by itself",
    )  # fmt: skip
    step = 0

    def save():
        nonlocal step
        step += 1
        saver.save(step, state, card)

    timing, _ = clock(save, rounds=9)
    saver.wait()
    back, _ = checkpoint.restore(tmp_path / "ours", trainer.abstract_state())
    leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(state)]
    for ours, theirs in zip(leaves, jax.tree.leaves(back), strict=True):
        assert (ours == np.asarray(theirs)).all()
    size = sum(np.abs(x).sum() for x in leaves)
    row.add("checkpoint.Saver.save", timing, size)

    def by_orbax():
        nonlocal step
        step += 1
        path = pathlib.Path(tmp_path, "orbax", str(step))
        ocp.save(path, state._asdict())

    timing, _ = record.measure(by_orbax, rounds=5, compiles=True)
    row.add("orbax.checkpoint.v1.save", timing, size)
    row.met = row.ratio(1, "wall") >= 1
