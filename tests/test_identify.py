"""Designs that cannot answer are refused, with rows that would repair them."""

import re

import numpy as np
import pytest

import t2jax as t2
from t2jax.errors import InputError, Refusal

PARAMS = np.repeat(np.geomspace(1e7, 2e9, 4), 4)
RATIO = np.tile(np.geomspace(5, 500, 4), 4)
SAMPLES = np.array([1.0, 4.0, 16.0, 64.0, 256.0, 1024.0])


def design(params, tokens, samples=None) -> t2.Observations:
    """Rows with a loss that nobody looks at."""
    params, tokens = np.broadcast_arrays(np.asarray(params, float), np.asarray(tokens, float))
    return t2.Observations(
        kind="loss", run=np.arange(params.size).astype(str), params=params, tokens=tokens,
        samples=samples, loss=np.linspace(3.0, 2.0, params.size),
    )  # fmt: skip


def over(samples):
    """The healthy grid at several k."""
    count = len(samples)
    return (
        np.repeat(PARAMS, count), np.repeat(PARAMS * RATIO, count), np.tile(samples, PARAMS.size)
    )  # fmt: skip


REFUSED = {
    "D = 20N": (PARAMS, 20 * PARAMS, None, "additive", "tokens per parameter throughout"),
    "one size": (1e8, 1e8 * RATIO, None, "additive", "one model size only"),
    "one token count": (PARAMS, 1e10, None, "additive", "one token count only"),
    "two sizes": (np.repeat([1e7, 2e9], 8), np.repeat([1e7, 2e9], 8) * np.tile(
        np.geomspace(5, 500, 8), 2), None, "additive", "2 model sizes"),
    "one k": (*over([16.0]), "softplus", "k = 16 only"),
    "two k": (*over([1.0, 4.0]), "t2_loss", "k = 1, 4 only"),
    "a narrow grid": (1e8 * (PARAMS / 1e7) ** 0.2, 2e9 * (PARAMS / 1e7 * RATIO) ** 0.2, None,
                      "additive", "cannot tell the 5 coefficients"),
}  # fmt: skip


def parsed(message: str) -> list[tuple[float, ...]]:
    """The rows that a remedy names."""
    power = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    found = re.findall(r"\(N ([\d.]+)([kMBT]?), D ([\d.]+)([kMBT]?)(?:, k ([\d.]+))?\)", message)
    return [(float(n) * power[a], float(d) * power[b], float(k or 1.0)) for n, a, d, b, k in found]


@pytest.mark.parametrize("name", REFUSED)
def test_a_design_that_cannot_answer_is_refused_and_its_remedy_repairs_it(name):
    params, tokens, samples, law, words = REFUSED[name]
    table = design(params, tokens, samples)
    old = np.ones(table.n_rows) if samples is None else samples
    with pytest.raises(Refusal, match=words) as caught:
        t2.identify(table, law)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    rows = parsed(caught.value.remedy)
    assert rows, caught.value.remedy

    def grown(more):
        n, d, k = np.array(more).T
        ks = None if samples is None else np.concatenate([old, k])
        bigger = design(np.concatenate([table.params, n]), np.concatenate([table.tokens, d]), ks)
        return t2.identify(bigger, law)

    assert grown(rows).rank == grown(rows).coefficients
    # None of the rows is to spare.
    for i in range(len(rows)):
        fewer = rows[:i] + rows[i + 1 :]
        with pytest.raises(Refusal):
            grown(fewer) if fewer else t2.identify(table, law)


@pytest.mark.parametrize("law", ["additive", "tied", "softplus", "t2_loss", "product"])
def test_a_full_grid_identifies(law):
    found = t2.identify(design(*over(SAMPLES)), law)
    assert found.rank == found.coefficients
    assert found.condition < 100
    assert "refused from 400" in found.summary()
    assert all(abs(share) <= 1 for share in found.correlation.values())
    assert all(wide >= 1 for wide in found.inflation.values())


def test_another_k_at_an_old_checkpoint_costs_no_training():
    with pytest.raises(Refusal, match=r"repair it \(0 FLOPs"):
        t2.identify(design(*over([16.0])), "softplus")


def test_numbers_are_those_of_a_plain_regression():
    # With exponents known, `tied` in logs would be linear; the slopes here are by hand instead:
    # E + a (N/N0)^-x + b (D/D0)^-y at E = 1, a = b = .5 and x = y = .3, N0 and D0 the centroid.
    table = design(PARAMS, PARAMS * RATIO)
    n = np.log(PARAMS) - np.mean(np.log(PARAMS))
    d = np.log(PARAMS * RATIO) - np.mean(np.log(PARAMS * RATIO))
    a, b = 0.5 * np.exp(-0.3 * n), 0.5 * np.exp(-0.3 * d)
    total = 1 + a + b
    slopes = np.stack([1 + 0 * n, a, b, -0.3 * n * a, -0.3 * d * b], axis=1) / total[:, None]
    slopes /= np.linalg.norm(slopes, axis=0)
    found = t2.identify(table)
    assert found.condition == pytest.approx(np.linalg.cond(slopes), rel=1e-9)
    inverse = np.linalg.inv(slopes.T @ slopes)
    assert found.inflation["alpha"] == pytest.approx(np.sqrt(inverse[3, 3]), rel=1e-9)
    share = inverse[0, 4] / np.sqrt(inverse[0, 0] * inverse[4, 4])
    assert found.correlation["beta"] == pytest.approx(share, rel=1e-9)


def test_an_accuracy_law_is_sent_to_its_loss():
    with pytest.raises(InputError, match="identify its loss first: law='additive'"):
        t2.identify(t2.datasets.load_ladder(), "t2_accuracy")
