"""Sampling with cached keys and values against the model run again, and against probability."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t2jax.errors import InputError
from t2jax.trainer import model, sample
from t2jax.trainer.config import ModelConfig

CONFIG = ModelConfig(d_model=8, n_layers=2, head_dim=4, vocab_size=12, seq_len=12)
STOP = 2
apply = jax.jit(model.apply, static_argnums=1)
PROMPTS = np.array([[1, 5, 3, 0], [1, 9, 8, 3], [1, 3, 7, 7]])
LENGTHS = np.array([3, 4, 2])


@pytest.fixture(scope="module")
def params() -> model.Params:
    """A model with opinions: its logits spread far more than an untrained one's."""
    params = model.initialise(CONFIG, jax.random.key(0))
    return {**params, "head": 4 * params["head"]}


# Shapes are the same wherever a test does not need others, so that the tests share programs.
def drawn(params, *, config=CONFIG, prompts=PROMPTS, lengths=LENGTHS, seed=1, **options):
    options = {"samples": 64, "max_new": 6, "stop": STOP, **options}
    return sample.sample(params, config, prompts, lengths, key=jax.random.key(seed), **options)


def teacher_forced(params, config, answers, prompts=PROMPTS, lengths=LENGTHS):
    """Log-probability of every token of answers `[questions, samples, places]`, from one pass."""
    questions, samples, places = answers.shape
    rows = np.zeros((questions, samples, prompts.shape[1] + places), np.int32)
    for q, length in enumerate(lengths):
        rows[q, :, :length] = prompts[q, :length]
        rows[q, :, length : length + places] = answers[q]
    logits = apply(params, config, jnp.asarray(rows.reshape(-1, rows.shape[-1])))
    table = np.asarray(jax.nn.log_softmax(logits)).reshape(*rows.shape, -1)
    out = np.zeros(answers.shape)
    for q, s, a in itertools.product(*map(range, answers.shape)):
        out[q, s, a] = table[q, s, lengths[q] + a - 1, answers[q, s, a]]
    return out


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (CONFIG, {}),
        (CONFIG, {"temperature": 0.6, "top_p": 0.7}),
        (CONFIG, {"temperature": 0.0}),
        (dataclasses.replace(CONFIG, n_layers=5), {}),
    ],
    ids=["plain", "truncated", "greedy", "five layers"],
)
def test_cached_and_uncached_log_probabilities_agree(params, config, options):
    if config != CONFIG:
        params = model.initialise(config, jax.random.key(0))
    found = drawn(params, config=config, **options)
    counted = np.arange(6) < found.lengths[..., None]
    exact = np.where(counted, teacher_forced(params, config, found.tokens), 0.0).sum(-1)
    np.testing.assert_allclose(found.log_probs, exact, atol=1e-4)


def test_many_long_answers_at_once_agree_too():
    # Above 32,768 attention scores of one place in the cache, where a CPU's compiler has erred.
    config = ModelConfig(d_model=32, n_layers=1)
    params = model.initialise(config, jax.random.key(0))
    prompts, lengths = np.full((16, 3), 7), np.full(16, 3)
    found = drawn(params, config=config, prompts=prompts, lengths=lengths, max_new=20, stop=-1)
    exact = teacher_forced(params, config, found.tokens, prompts, lengths).sum(-1)
    np.testing.assert_allclose(found.log_probs, exact, atol=1e-4)


def test_an_answer_ends_with_its_stop_token_and_zeros_follow(params):
    found = drawn(params, samples=192)
    assert {*np.unique(found.lengths)} == set(range(1, 7))
    for tokens, length in zip(found.tokens.reshape(-1, 6), found.lengths.ravel(), strict=True):
        assert (tokens[: length - 1] != STOP).all()
        assert tokens[length - 1] == STOP or length == 6
        assert (tokens[length:] == 0).all()


def test_frequencies_are_the_probabilities(params):
    found = drawn(params, samples=6400)
    pairs = np.array(list(itertools.product(range(CONFIG.vocab_size), repeat=2)))
    answers = np.broadcast_to(pairs, (len(PROMPTS), *pairs.shape))
    exact = np.exp(teacher_forced(params, CONFIG, answers).sum(-1))
    exact = np.where(pairs[:, 0] == STOP, 0.0, exact)  # such an answer ends after one token
    code = found.tokens[..., 0] * CONFIG.vocab_size + found.tokens[..., 1]
    code = np.where(found.lengths == 1, len(pairs), code)
    for q in range(len(PROMPTS)):
        chance = np.append(exact[q], 1 - exact[q].sum())
        seen = np.bincount(code[q], minlength=len(chance))
        expected = chance * code.shape[1]
        common = expected >= 5
        z = (seen - expected)[common] / np.sqrt(expected * (1 - chance))[common]
        assert common.sum() > 10
        assert np.abs(z).max() < 4
        assert 0.5 < np.mean(z**2) < 1.6


def test_temperature_zero_takes_the_most_likely_token(params):
    found = drawn(params, temperature=0.0)
    assert (found.tokens == found.tokens[:, :1]).all()
    for q, length in enumerate(LENGTHS):
        row = list(PROMPTS[q, :length])
        for token in found.tokens[q, 0, : found.lengths[q, 0]]:
            padded = jnp.asarray([row + [0] * (12 - len(row))])
            assert token == jnp.argmax(apply(params, CONFIG, padded)[0, len(row) - 1])
            row.append(token)


def test_low_temperature_sharpens_and_high_flattens(params):
    found = [drawn(params, samples=256, temperature=heat) for heat in (0.25, 1.0, 4.0)]
    means = [np.mean(each.log_probs / each.lengths) for each in found]
    assert means[0] > means[1] + 0.1 > means[2] + 0.2


@pytest.mark.parametrize("top_p", [0.3, 0.8, 1e-6])
def test_top_p_draws_the_smallest_set_that_holds_p_and_all_of_it(params, top_p):
    found = drawn(params, samples=2048, top_p=top_p)
    for q, length in enumerate(LENGTHS):
        logits = apply(params, CONFIG, jnp.asarray(PROMPTS[q : q + 1]))[0, length - 1]
        chances = np.asarray(jax.nn.softmax(logits), np.float64)
        order = np.argsort(-chances)
        size = 1 + int(np.searchsorted(np.cumsum(chances[order]), top_p))
        kept = chances[order[:size]] / chances[order[:size]].sum()
        seen = np.array([(found.tokens[q, :, 0] == token).sum() for token in order])
        assert seen[size:].sum() == 0
        assert (np.abs(seen[:size] - 2048 * kept) <= 5 * np.sqrt(2048 * kept)).all()


def test_answers_depend_on_the_key_but_not_on_the_other_questions(params, monkeypatch):
    alone = drawn(params, prompts=PROMPTS[:1], lengths=LENGTHS[:1])
    together = drawn(params)
    assert (together.tokens[:1] == alone.tokens).all()
    # However the questions are shared out among calls, and whatever stands behind a prompt.
    monkeypatch.setattr(sample, "ROWS_PER_CALL", 64)
    other = np.where(np.arange(4) < LENGTHS[:, None], PROMPTS, 6)
    assert (drawn(params, prompts=other).tokens == together.tokens).all()
    assert (drawn(params, seed=2).tokens != together.tokens).any()


def test_more_samples_than_one_call_holds_are_all_different_draws(params):
    found = drawn(params, samples=130)
    assert found.tokens.shape == (3, 130, 6)
    assert found.log_probs.shape == found.lengths.shape == (3, 130)
    # Three calls of 44, of which the last gives 42.
    calls = found.tokens[:, :44], found.tokens[:, 44:88], found.tokens[:, 86:]
    for first, second in itertools.combinations(calls, 2):
        assert (first != second).any()


def test_the_inverse_of_the_cumulated_weights_is_exact():
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 5, (300, 21)).astype(np.float32)
    weights[:, -1] = 0  # no weight in the last place, which rounding must not reach
    weights[:, 3] += 1
    levels = (rng.random(300) * weights.sum(1)).astype(np.float32)
    levels[:10] = weights[:10].sum(1)
    found = np.asarray(sample._invert(jnp.asarray(weights), jnp.asarray(levels)))
    cumulated = weights.cumsum(axis=1)
    exact = (cumulated <= levels[:, None]).sum(axis=1)
    assert (found[10:] == exact[10:]).all()
    assert (weights[np.arange(300), found] > 0).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"samples": 0}, "samples is 0; give a whole number"),
        ({"max_new": 0}, "max_new is 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"lengths": np.array([3, 5, 2])}, "2 to 5 tokens; give lengths from 1 to 4"),
        ({"prompts": PROMPTS[:0], "lengths": LENGTHS[:0]}, "there is no question"),
    ],
)
def test_numbers_out_of_range_are_refused(params, options, sentence):
    with pytest.raises(InputError, match=sentence):
        drawn(params, **options)
