"""Seeds trained side by side are the runs that they would be alone."""

import jax
import numpy as np
import pytest

from t2jax.errors import InputError
from t2jax.trainer import schedule
from t2jax.trainer.config import ModelConfig, TrainConfig
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.fleet import Fleet, member
from t2jax.trainer.train import Trainer

RUN = TrainConfig(model=ModelConfig(d_model=8, seq_len=64), tokens=10_000, batch_rows=3, chunk=4)
SEEDS = (3, 0)


@pytest.fixture(scope="module")
def trained():
    fleet = Fleet(RUN, Corpus("tiny"), SEEDS).compile()
    return fleet, *fleet.run(fleet.init(), 12, schedule.branch(2, 4, 12))


@pytest.mark.parametrize("place", [0, 1])
def test_a_member_is_the_run_of_its_seed_alone(trained, place):
    _, state, metrics = trained
    seed = SEEDS[place]
    config = TrainConfig(**{**vars(RUN), "seed": seed})
    alone = Trainer(config, Corpus("tiny", seed=seed))
    end, seen = alone.run(alone.init(), 12, schedule.branch(2, 4, 12))
    assert np.array_equal(metrics.tokens[place], seen.tokens)
    np.testing.assert_allclose(metrics.loss[place], seen.loss, rtol=2e-5)
    for ours, theirs in zip(
        jax.tree.leaves(member(state.params, place)), jax.tree.leaves(end.params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_a_run_in_two_pieces_is_the_run_in_one_to_the_last_bit(trained):
    fleet, whole, metrics = trained
    plan = schedule.branch(2, 4, 12)
    state, first = fleet.run(fleet.init(), 8, plan)
    state, second = fleet.run(state, 12, plan)
    assert np.array_equal(np.concatenate([first.loss, second.loss], 1), metrics.loss)
    for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(state), strict=True):
        assert np.array_equal(one, two)


def test_half_a_chunk_is_refused(trained):
    fleet = trained[0]
    with pytest.raises(InputError, match="6 steps are no whole number of chunks of 4"):
        fleet.run(fleet.init(), 6, schedule.trunk(2))


def test_a_fleet_needs_seeds_and_rows_of_its_length():
    with pytest.raises(InputError, match="without seeds"):
        Fleet(RUN, Corpus("tiny"), ())
    with pytest.raises(InputError, match="rows of 128 tokens, the model of 64"):
        Fleet(RUN, Corpus("tiny", seq_len=128), (0,))
