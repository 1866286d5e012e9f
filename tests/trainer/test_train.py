"""Training steps against a plain loop of an independent optimiser, and runs that stop and go on."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from counted_rows import CountedRows, small_config

from t2jax.errors import InputError, Refusal
from t2jax.trainer import model, optimiser, schedule, train
from t2jax.trainer.batches import loss_mask
from t2jax.trainer.step import compile_steps
from t2jax.trainer.train import Trainer, copy_state

SOURCE = CountedRows()
update = jax.jit(optimiser.update, static_argnums=0)


def leaves(tree) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def equal(a, b) -> bool:
    return all((x == y).all() for x, y in zip(leaves(a), leaves(b), strict=True))


def distance(a, b) -> float:
    pairs = zip(leaves(a), leaves(b), strict=True)
    return max(float(np.abs(x - y).max()) for x, y in pairs)


@pytest.fixture(scope="module")
def whole():
    """The whole run of the small config: its trainer, end and metrics."""
    trainer = Trainer(small_config(), SOURCE)
    return trainer, *trainer.run(trainer.init(), 24, trainer.plan())


def test_the_compiled_chunk_equals_a_plain_loop_of_optax_adamw(whole):
    trainer, end, metrics = whole
    config, plan = trainer.config, trainer.plan()
    referee = optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(
            lambda step: config.learning_rate * schedule.rate(step, plan),
            b1=config.beta1,
            b2=config.beta2,
            weight_decay=config.weight_decay,
            mask=model.decay_mask,
        ),
    )
    params = model.initialise(config.model, jax.random.key(config.seed))
    state = referee.init(params)

    @jax.jit
    def advance(params, state, batch):
        objective = lambda p: model.loss(p, config.model, batch, z_loss=config.z_loss)  # noqa: E731
        (_, seen), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        updates, state = referee.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, seen["loss"]

    losses = []
    for step in range(24):
        params, state, loss = advance(params, state, SOURCE.rows(step * 8, 8))
        losses.append(float(loss))
    np.testing.assert_allclose(metrics.loss, losses, rtol=2e-5)
    assert distance(end.params, params) < 2e-5
    assert metrics.loss[-1] < 0.9 * metrics.loss[0]


def test_metrics_say_what_happened_at_each_step(whole):
    trainer, _, metrics = whole
    rates = [0.02 * float(schedule.rate(s, trainer.plan())) for s in range(24)]
    np.testing.assert_allclose(metrics.learning_rate, rates, rtol=1e-6)
    counted = [loss_mask(SOURCE.rows(8 * step, 8)).sum() for step in range(24)]
    assert metrics.tokens.tolist() == counted
    assert (metrics.grad_norm > 0).all()


def test_a_run_cut_anywhere_is_the_same_run_to_the_last_bit(whole):
    trainer, end, metrics = whole
    state, plan = trainer.init(), trainer.plan()
    pieces = []
    for stop in (1, 7, 8, 19, 24):
        state, seen = trainer.run(state, stop, plan)
        pieces.append(seen.loss)
    assert equal(state, end)
    assert (np.concatenate(pieces) == metrics.loss).all()


def test_rows_made_by_the_program_are_the_rows_made_by_numpy(whole):
    _, end, metrics = whole
    trainer = Trainer(small_config(), SOURCE, rows_on_device=True)
    state, seen = trainer.run(trainer.init(), 24, trainer.plan())
    assert seen.tokens.tolist() == metrics.tokens.tolist()
    assert distance(state, end) < 1e-5


def test_trunks_branches_seeds_and_rates_share_one_program(whole):
    trainer = whole[0]
    other = Trainer(small_config(seed=3, learning_rate=0.01, tokens=1e5), CountedRows(seed=4))
    programs = compile_steps(trainer.config, trainer.mesh, None)
    assert programs is compile_steps(other.config, other.mesh, None)
    state, _ = other.run(other.init(), 6, schedule.trunk(2))
    other.run(copy_state(state), 9, schedule.branch(2, 6, 9))
    other.run(state, 12, schedule.trunk(2))
    assert programs.run._cache_size() == 1  # pyright: ignore[reportFunctionMemberAccess]


def test_a_branch_leaves_its_trunk_as_it_was(whole):
    trainer = whole[0]
    trunk = schedule.trunk(2)
    state, _ = trainer.run(trainer.init(), 8, trunk)
    kept = leaves(copy_state(state))
    trainer.run(copy_state(state), 12, schedule.branch(2, 8, 12))
    assert all((a == b).all() for a, b in zip(kept, leaves(state), strict=True))
    trainer.run(state, 12, trunk)
    assert state.params["head"].is_deleted()


def test_parts_of_a_batch_add_up_to_the_batch(whole):
    _, end, metrics = whole
    parts = Trainer(small_config(accumulate=4), SOURCE)
    state, seen = parts.run(parts.init(), 24, parts.plan())
    np.testing.assert_allclose(seen.loss, metrics.loss, rtol=1e-5)
    np.testing.assert_allclose(seen.grad_norm, metrics.grad_norm, rtol=1e-4)
    assert seen.tokens.tolist() == metrics.tokens.tolist()
    assert distance(state.params, end.params) < 1e-5


class Uneven(CountedRows):
    """Rows with different numbers of loss tokens: a mean of means would be another loss."""

    def rows(self, first, count, *, xp=np):
        batch = super().rows(first, count, xp=xp)
        short = (xp.arange(count) % 8 < 4)[:, None] & (xp.arange(16) > 3)
        return batch._replace(segments=xp.where(short, 0, batch.segments))


def test_parts_weigh_as_many_tokens_as_they_hold():
    config = small_config(tokens=8 * 12)
    one, four = (Trainer(c, Uneven()) for c in (config, dataclasses.replace(config, accumulate=4)))
    ends = [t.run(t.init(), 1, t.plan())[1] for t in (one, four)]
    assert ends[0].loss[0] == pytest.approx(ends[1].loss[0], rel=1e-5)
    assert ends[0].grad_norm[0] == pytest.approx(ends[1].grad_norm[0], rel=1e-4)


def test_weight_decay_shrinks_matrices_and_head_alone():
    config = small_config(weight_decay=0.5)
    params = model.initialise(config.model, jax.random.key(0))
    still = jax.tree.map(jnp.zeros_like, params)
    rate = jnp.float32(0.1)
    after, _, norm = update(config, still, optimiser.begin(config, params), params, rate)
    assert float(norm) == 0
    ratio = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a / b))), after, params)
    assert ratio["head"] == pytest.approx(0.95)
    assert {n: round(v, 4) for n, v in ratio["blocks"].items()} == {
        name: 0.95 if name in model.MATRICES else 1.0 for name in params["blocks"]
    }
    assert ratio["embedding"] == ratio["final_norm"] == 1.0


def test_a_large_gradient_is_cut_to_its_direction():
    config = small_config(clip=1.0)
    params = model.initialise(config.model, jax.random.key(0))
    rate, start = jnp.float32(0.1), optimiser.begin(config, params)
    gradients = [jax.tree.map(lambda p, s=s: s * p, params) for s in (100.0, 1000.0)]
    moments = [update(config, g, start, params, rate)[1] for g in gradients]
    assert distance(*moments) < 1e-6


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_step():
    trainer = Trainer(small_config(learning_rate=1e30), SOURCE)
    with pytest.raises(Refusal, match=r"not finite at step [12] .*lower learning_rate"):
        trainer.run(trainer.init(), 24, trainer.plan())


def test_sft_counts_answers_and_learns_from_them_alone():
    full = Trainer(small_config(tokens=960), SOURCE)
    sft = Trainer(small_config(tokens=960, answers_only=True), SOURCE)
    assert sft.tokens_per_row == loss_mask(SOURCE.rows(0, 64), answers_only=True).sum() / 64
    (_, a), (_, b) = (t.run(t.init(), 1, t.plan()) for t in (full, sft))
    assert b.tokens[0] == loss_mask(SOURCE.rows(0, 8), answers_only=True).sum() < a.tokens[0]
    assert a.loss[0] != b.loss[0]


def test_data_that_do_not_fit_the_model_are_refused():
    class Long(CountedRows):
        seq_len = 32

    with pytest.raises(InputError, match="rows of 32, the model 32 in rows of 16"):
        Trainer(small_config(), Long())


def test_training_starts_from_given_parameters_and_leaves_them(whole):
    trainer, end, _ = whole
    given = jax.tree.map(np.asarray, end.params)
    state = trainer.init(end.params)
    assert int(state.step) == 0
    trainer.run(state, 4, trainer.plan())
    assert equal(end.params, given)


def test_a_watcher_may_end_a_run(whole):
    trainer = whole[0]
    calls = []

    def watch(step, metrics):
        calls.append((step, len(metrics.loss)))
        return step >= 8

    state, metrics = trainer.run(trainer.init(), 24, trainer.plan(), watch=watch)
    # One chunk was under way when the watcher saw step 8.
    assert int(state.step) == len(metrics.loss) == 12
    assert calls == [(4, 4), (8, 4), (12, 4)]


def test_a_stopped_run_goes_on_to_the_same_end(tmp_path, whole):
    _, end, metrics = whole
    config = small_config()
    straight = train.train(config, SOURCE, out=tmp_path / "straight", checkpoint_every=8)
    assert straight.finished
    assert equal(straight.state, end)

    before = signal.getsignal(signal.SIGTERM)
    journal = train.Journal

    class Interrupting(journal):
        def add(self, step, metrics):
            super().add(step, metrics)
            if step == 12:
                os.kill(os.getpid(), signal.SIGTERM)

    try:
        train.Journal = Interrupting
        first = train.train(config, SOURCE, out=tmp_path / "cut", checkpoint_every=8)
    finally:
        train.Journal = journal
    assert not first.finished
    assert first.step == 16
    assert signal.getsignal(signal.SIGTERM) == before
    second = train.train(config, SOURCE, out=tmp_path / "cut", checkpoint_every=8)
    assert second.finished
    assert equal(second.state, end)
    assert second.tokens == straight.tokens == metrics.tokens.sum()
    texts = [(tmp_path / n / "metrics.jsonl").read_text() for n in ("straight", "cut")]
    assert texts[0] == texts[1]
    lines = [json.loads(line) for line in texts[0].splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20, 24]
    assert lines[-1]["tokens"] == straight.tokens

    again = train.train(config, SOURCE, out=tmp_path / "cut")
    assert len(again.history.loss) == 0
    # the loss that is printed is that of the run, however often it was interrupted
    assert straight.loss == second.loss == again.loss
    assert straight.loss == pytest.approx(lines[-1]["loss"])
    assert equal(again.state, end)
    with pytest.raises(InputError, match=r"learning_rate 0\.02 -> 0\.03"):
        train.train(dataclasses.replace(config, learning_rate=0.03), SOURCE, out=tmp_path / "cut")
    with pytest.raises(InputError, match="counted-0 -> counted-9"):
        train.train(config, CountedRows(seed=9), out=tmp_path / "cut")
    with pytest.raises(InputError, match="a run of 24 steps"):
        train.train(config, SOURCE, out=tmp_path / "cut", resume=False)


def test_reports_count_up_to_the_end():
    reports = []
    result = train.train(small_config(), SOURCE, report=reports.append)
    last = reports[-1]
    assert (last.step, last.steps, last.tokens) == (24, 24, result.tokens)
    assert last.seconds_left == 0
    assert last.utilisation is None  # nobody states the peak of a CPU
    assert last.tokens_per_second > 0
