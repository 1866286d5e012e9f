"""Counter hashing: same bits in both backends, uniform, independent; a shuffle without table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t2jax.trainer.hashing import Stream, Zipf, fold, permute, thresholds

N = 200_000


def stream(xp=np, key=5, count=N, **kwargs):
    return Stream(xp, key, xp.arange(count, dtype=xp.uint32), **kwargs)


def test_words_are_uniform_and_those_of_neighbours_are_independent():
    words = stream().words().astype(np.float64) / 2**32
    assert abs(words.mean() - 0.5) < 4 / np.sqrt(12 * N)
    # 256 equal cells: chi-squared has mean 255, sd 22.6
    cells = np.bincount((words * 256).astype(int), minlength=256)
    assert abs(((cells - N / 256) ** 2 / (N / 256)).sum() - 255) < 4 * 22.6
    assert abs(np.corrcoef(words[1:], words[:-1])[0, 1]) < 4 / np.sqrt(N)


def test_draws_keys_and_counters_are_independent():
    one = stream()
    first, second = one.words(), one.words()
    other_key = stream(key=6).words()
    row = np.arange(N, dtype=np.uint32)
    other_word = Stream(np, 5, 1, row).words()
    for words in (second, other_key, other_word):
        correlation = np.corrcoef(first.astype(float), words.astype(float))[0, 1]
        assert abs(correlation) < 4 / np.sqrt(N)
        # of N pairs of 32-bit words about N / 2^32 agree by chance
        assert (first == words).sum() <= 1


def test_counters_in_another_order_or_as_integers():
    low = np.arange(8, dtype=np.uint32)
    assert (Stream(np, 1, 7, low).words() == Stream(np, 1, low * 0 + 7, low).words()).all()
    low = low + np.uint32(10)
    assert (Stream(np, 1, 7, low).words() != Stream(np, 1, low, 7).words()).all()


def test_the_stream_leaves_its_counters_alone():
    low = np.arange(8, dtype=np.uint32)
    Stream(np, 1, low).words()
    assert low.tolist() == list(range(8))


def test_numpy_and_jax_give_the_same_bits():
    bounds = np.asarray([1, 3, 65_536, 65_537, 1_000_000, 2**31 - 1] * 100, np.int32)
    zipf = Zipf(1_000_000)

    def draw(xp, counters):
        source = Stream(xp, 9, counters, 3)
        return (
            source.words(),
            source.below(10),
            source.below(100_003),
            source.below(xp.asarray(bounds)),
            source.choice(thresholds([0.5, 0.3, 0.2])),
            zipf.draw(source),
        )

    counters = np.arange(600, dtype=np.uint32) * np.uint32(7_158_278)
    for ours, theirs in zip(draw(np, counters), jax.jit(lambda c: draw(jnp, c))(counters),
                            strict=True):  # fmt: skip
        assert ours.dtype == theirs.dtype
        assert (ours == np.asarray(theirs)).all()


@pytest.mark.parametrize("bound", [1, 2, 10, 65_536, 65_537, 10**6, 2**31 - 1])
def test_below_is_the_exact_floor(bound):
    words = stream(count=5000).words().astype(object)
    expected = [int(word) * bound >> 32 for word in words]
    assert stream(count=5000).below(bound).tolist() == expected
    assert stream(count=5000).below(np.full(5000, bound)).tolist() == expected


def test_choice_has_the_stated_probabilities():
    weights = np.asarray([0.5, 0.2, 0.2, 0.1])
    share = np.bincount(stream().choice(thresholds(weights))) / N
    assert np.abs(share - weights).max() < 4 * np.sqrt(0.25 / N)


@pytest.mark.parametrize("only", [0, 1, 2])
def test_a_weight_of_zero_is_never_chosen(only):
    weights = np.zeros(3)
    weights[only] = 1
    limits = thresholds(weights)
    assert limits.tolist() == [2**31 * (only == 0), 2**31 * (only <= 1)]
    assert (stream().choice(limits) == only).all()


def test_zipf_is_near_its_law_and_stays_in_its_range():
    for start, stop, exponent in ((0, 1000, 1.3), (1000, 10**6, 1), (0, 5, 1), (7, 8, 1)):
        zipf = Zipf(stop, start=start, exponent=exponent)
        drawn = zipf.draw(stream())
        assert start <= drawn.min()
        assert drawn.max() < stop
        law = np.arange(start + 1.0, stop + 1.0) ** -exponent
        ratio = zipf.probabilities / (law / law.sum())
        assert np.abs(np.log(ratio)).max() < 0.12
        share = np.bincount(drawn - start, minlength=stop - start) / N
        spread = np.sqrt(zipf.probabilities / N)
        # 40 commonest values, each within 5 standard errors
        assert (np.abs(share - zipf.probabilities) < 5 * spread + 1e-9)[:40].all()


@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 1000, 4097])
def test_permute_is_a_bijection_that_the_key_changes(size):
    index = np.arange(size)
    shuffles = [permute(key, index, size) for key in (1, 2)]
    for shuffle in shuffles:
        assert sorted(shuffle.tolist()) == list(range(size))
    if size >= 16:
        assert (shuffles[0] != shuffles[1]).any()
        assert (shuffles[0] != index).any()


def test_permute_works_beyond_32_bits():
    size = 2**40 + 3
    index = np.asarray([0, 1, 2**33, size - 1])
    places = permute(4, index, size)
    assert len(set(places.tolist())) == 4
    assert (places < size).all()
    assert (places >= 0).all()


def test_folding_tells_numbers_apart_and_takes_large_ones():
    keys = {fold(a, b) for a in range(50) for b in range(50)}
    assert len(keys) == 2500
    assert fold(1 << 40) != fold(1 << 41)
    with pytest.raises(ValueError, match="integers from 0"):
        fold(-1)
