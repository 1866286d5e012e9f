"""Designs that cannot answer are refused, with rows that would repair them."""

import json
import pathlib
import re

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax.errors import InputError, Refusal
from t2jax.fitting.result import Certificate
from t2jax.hull import Hull
from t2jax.validation.identify import _slopes

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
    found = t2.identify(table, "additive")
    assert found.condition == pytest.approx(np.linalg.cond(slopes), rel=1e-9)
    inverse = np.linalg.inv(slopes.T @ slopes)
    assert found.inflation["alpha"] == pytest.approx(np.sqrt(inverse[3, 3]), rel=1e-9)
    share = inverse[0, 4] / np.sqrt(inverse[0, 0] * inverse[4, 4])
    assert found.correlation["beta"] == pytest.approx(share, rel=1e-9)


def test_an_accuracy_law_is_sent_to_its_loss():
    with pytest.raises(InputError, match="identify its loss first: law='additive'"):
        t2.identify(t2.datasets.load_ladder(), "t2_accuracy")


# On the command line --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["D = 20N", "two sizes", "one k"])
@pytest.mark.parametrize("command", ["identify", "fit", "plan", "bootstrap"])
def test_every_command_refuses_with_the_rows(command, name, run):
    params, tokens, samples, law, words = REFUSED[name]
    design(params, tokens, samples).write("runs.csv")
    more = ["--law", law]
    if command == "bootstrap":
        some = t2.laws.template(law)
        numbers = jax.tree.map(lambda _: 0.5, some)
        result = t2.FitResult(
            law=numbers, success=True, message="", objective="huber", objective_options={},
            objective_value=0.0, n_obs=1, n_free=1, nuisance={}, starts=(), samples=None,
            certificate=Certificate(
                gradient_norm=0.0, expected_fall=0.0, positive_definite=True, condition=1.0,
                agreement=1.0, at_bound=(),
            ),
            hull=Hull(
                params=(1e7, 1e9), tokens=(1e8, 1e10), samples=(1.0, 1.0),
                tokens_per_param=(10.0, 10.0), train_flops=(6e15, 6e19),
            ),
            observed=np.zeros(1), predicted=np.zeros(1), criteria={}, description="",
            params_definition="", source="", data_hash="", versions={},
        )  # fmt: skip
        result.save("fit.json")
        more = ["fit.json"]
    code, text, error = run(command, "runs.csv", *more)
    assert (code, text) == (3, "")
    assert words in error
    assert parsed(error), error
    assert not list(pathlib.Path().glob("report*"))


def test_counts_at_one_ratio_are_refused_with_the_rows(run):
    shape = (16, 2)
    t2.Observations(
        kind="counts", run=np.arange(16).astype(str), params=PARAMS, tokens=20 * PARAMS,
        successes=np.ones(shape), trials=np.full(shape, 64.0), question=np.array(["a", "b"]),
        task=np.array(["task", "task"]),
    ).write("runs.csv")  # fmt: skip
    code, text, error = run("fit", "runs.csv")
    assert (code, text) == (3, "")
    assert "20 tokens per parameter throughout" in error
    assert parsed(error), error


@pytest.mark.slow
def test_a_design_that_answers_is_described(run):
    """Additive losses with a floor of .5 nats: simulation."""
    rng = np.random.default_rng(0)
    value = 0.5 + 0.5 * (PARAMS / 2e8) ** -0.3 + 0.5 * (PARAMS * RATIO / 6e9) ** -0.3
    runs = t2.Observations(
        kind="loss", run=np.arange(16).astype(str), params=PARAMS, tokens=PARAMS * RATIO,
        loss=value * np.exp(rng.normal(0, 0.01, 16)),
    )  # fmt: skip
    runs.write("runs.csv")
    words = ("identify", "runs.csv", "--law", "additive", "--objective", "huber", "--draws", "64")
    code, text, error = run(*words)
    assert (code, error) == (0, "")
    for part in ("rank 5 of 5, condition", "95% profile", "correlation of E over", "starts at a"):
        assert part in text
    code, printed, _ = run(*words, "--json")
    assert code == 0
    told = json.loads(printed, parse_constant=pytest.fail)
    found = t2.fit(runs, "additive", objective="huber")
    known = t2.profile(found, "alpha", level=0.95)["alpha"]
    ends = told["exponents"]["alpha"]
    assert (ends["low"], ends["high"]) == pytest.approx((known.low, known.high))
    draws = t2.bootstrap(found, n_draws=64, progress=False)
    many = draws.law.coefficients()
    share = np.corrcoef(many["E"], many["beta"])[0, 1]
    assert told["correlation"]["beta"] == pytest.approx(share)
    assert told["replicates"] == draws.diagnostics["at_bound"]
    assert told["n_starts"] == len(found.starts) == 8
    pinned = [name for start in found.starts for name in start["at_bound"]]
    assert told["starts"] == {name: pinned.count(name) / 8 for name in set(pinned)}


def test_unique_tokens_are_part_of_a_design():
    # Repeated data is what R_D is seen by: without a row that repeats, its slope is zero.
    tokens = PARAMS * RATIO
    fresh = design(PARAMS, tokens)
    with pytest.raises(Refusal, match="cannot tell the 7 coefficients"):
        t2.identify(fresh, "data_constrained")
    slopes = {}
    for name, unique in (
        ("fresh", np.full(16, np.inf)),
        ("repeated", tokens / np.tile([1, 4, 9, 30], 4)),
    ):
        rows = np.stack([PARAMS, tokens, np.ones(16), unique], axis=1)
        centre = t2.laws.Centre(params=18.0, tokens=22.0, samples=0.0, loss=1.5)
        with jax.enable_x64(True):
            slopes[name] = _slopes(t2.laws.template("data_constrained"), rows, centre)[:, 5]
    assert np.all(slopes["fresh"] == 0)
    assert np.all(np.abs(slopes["repeated"][1:4]) > 1e-6)
