"""What cannot fit or cannot be meant is refused before it starts, with the numbers."""

import json
import math
import os
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t2jax.errors import InputError
from t2jax.trainer import devices, memory, schedule
from t2jax.trainer.batches import Batch
from t2jax.trainer.config import ModelConfig, TrainConfig
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.journal import stop_signals
from t2jax.trainer.step import compile_steps, one_step
from t2jax.trainer.train import Plan, Trainer


def config(width=32, layers=2, vocab=128, seq_len=64, dtype="float32", **more) -> TrainConfig:
    shape = ModelConfig(d_model=width, n_layers=layers, vocab_size=vocab, seq_len=seq_len,
                        compute_dtype=dtype)  # fmt: skip
    return TrainConfig(model=shape, tokens=1e6, **more).filled(float(seq_len))


@pytest.mark.parametrize(
    "run",
    [
        config(batch_rows=8),
        pytest.param(config(128, vocab=64, batch_rows=2), marks=pytest.mark.slow),
        pytest.param(config(vocab=8192, batch_rows=8), marks=pytest.mark.slow),
        pytest.param(
            config(64, layers=4, seq_len=256, batch_rows=8, remat=True), marks=pytest.mark.slow
        ),
        pytest.param(
            config(64, batch_rows=16, accumulate=4, dtype="bfloat16"), marks=pytest.mark.slow
        ),
    ],
)
def test_no_step_takes_less_than_the_least(run):
    mesh, rows = devices.make_mesh(), run.batch_rows
    types = (np.int32, np.int32, np.bool_)
    parts: list[Any] = [jax.ShapeDtypeStruct((rows, run.model.seq_len), t) for t in types]
    batch = Batch(*parts)
    plan = Plan(*(jnp.int32(n) for n in schedule.plan(run, float(run.model.seq_len))))
    state = compile_steps(run, mesh, None).abstract
    step = jax.jit(one_step(run), donate_argnums=0).lower(state, batch, np.float32(1), plan)
    taken = step.compile().memory_analysis()
    assert taken is not None
    used = taken.argument_size_in_bytes + taken.temp_size_in_bytes
    assert 0.05 * used < sum(memory.least(run)) < used


@pytest.mark.parametrize(
    ("run", "remedy"),
    [
        (config(width=2**18), "a smaller model"),
        (config(batch_rows=2**34), "fewer batch_rows"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_numbers(run, remedy):
    with pytest.raises(InputError, match=r"at least .* GiB .* there are .* GiB") as caught:
        memory.check(run, devices.make_mesh())
    assert remedy in str(caught.value)


def test_the_command_refuses_at_once(run, tmp_path):
    words = ["train", "corpus:tiny", "--d-model", 2**17, "--tokens", 1e6, "-o", tmp_path / "out"]
    code, out, error = run(*words)
    assert (code, out) == (2, "")
    assert "GiB" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_a_device_has_is_known():
    assert 2**20 < memory.available(jax.devices()[0]) < math.inf


def test_a_device_that_runs_out_is_said_in_one_line():
    with (
        pytest.raises(InputError, match="does not fit into the memory of a device"),
        memory.named(config()),
    ):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes")
    with pytest.raises(jax.errors.JaxRuntimeError), memory.named(config()):
        raise jax.errors.JaxRuntimeError("INTERNAL: other")


def test_a_rise_longer_than_the_run_is_refused():
    with pytest.raises(InputError, match="longer than the run of 10000"):
        TrainConfig(model=ModelConfig(d_model=8), tokens=1e4, warmup_tokens=2e4)


def test_a_second_signal_ends_what_does_not_stop():
    def ask() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with stop_signals() as asked:
        ask()
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            ask()


def test_one_signal_that_comes_twice_at_once_is_one():
    with stop_signals() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()


@pytest.mark.slow
def test_epochs_of_a_text_are_told(run, tmp_path):
    (tmp_path / "text.txt").write_text("a text that is too short. " * 20)
    words = ["train", "text.txt", "--d-model", 8, "--seq-len", 32, "--batch-rows", 4]
    code, out, _ = run(*words, "--tokens", 5000, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["epochs"] == pytest.approx(facts["tokens"] / facts["unique_tokens"])
    assert 8 < facts["epochs"] < 12


def test_a_trainer_that_cannot_fit_is_not_made():
    wide = TrainConfig(
        model=ModelConfig(d_model=2**18, seq_len=64), tokens=1e6, batch_rows=8, learning_rate=1.0
    )
    with pytest.raises(InputError, match="GiB"):
        Trainer(wide, Corpus("tiny", seq_len=64))
