"""Tables that nobody would measure: a finite and honest fit, or a refusal that says why."""

from typing import Any

import numpy as np
import pytest

import t2jax as t2
from t2jax.errors import InputError, Refusal, T2Error

ROWS = 30
PARAMS = 10 ** np.repeat(np.linspace(6, 9, 6), 5)
TOKENS = PARAMS * np.tile(np.geomspace(5, 500, 5), 6)
DELTA = 1e-3


def losses(rng: np.random.Generator, noise: float = 0.01) -> np.ndarray:
    """Losses by an additive law of extreme exponents, whose terms are some nats at the centre."""
    slopes = 10 ** rng.uniform(np.log10(0.02), np.log10(1.5), 2)
    size, data = 10 ** rng.uniform(-2, 1, 2)
    floor = rng.choice([0.0, 10 ** rng.uniform(-6, 1)])
    clean = floor + size * (PARAMS / 1e8) ** -slopes[0] + data * (TOKENS / 1e10) ** -slopes[1]
    return clean * np.exp(noise * rng.standard_normal(ROWS))


def odd_losses(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One loss table of every kind that is odd."""
    outlier, good, half = np.ones(ROWS), losses(rng), np.arange(ROWS // 2).repeat(2)
    outlier[rng.integers(ROWS)] = 10.0
    return {
        "plain": good,
        "in units of 1e12": good * 1e12,
        "in units of 1e-3": good * 1e-3,
        "exact": losses(rng, noise=0.0),
        "all noise": losses(rng, noise=2.0),
        "an outlier at 10x": good * outlier,
        "an outlier at a tenth": good / outlier,
        "rising": np.sort(good)[np.argsort(np.argsort(TOKENS * PARAMS))],
        "in pairs": good[half],
    }


def of_losses(loss: np.ndarray, runs: int = 1) -> t2.Observations:
    """A table of those losses, every run of which is there so many times."""
    return t2.Observations(
        kind="loss", run=np.arange(ROWS * runs), params=np.tile(PARAMS, runs),
        tokens=np.tile(TOKENS, runs), loss=np.tile(loss, runs),
    )  # fmt: skip


def misfit(law: Any, loss: np.ndarray) -> float:
    """The sum of Huber losses of log residuals, once more in NumPy."""
    terms = ((law.A, law.alpha, PARAMS), (law.B, law.beta, TOKENS))
    told = law.E + sum(np.exp(np.log(a) - slope * np.log(x)) for a, slope, x in terms)
    with np.errstate(divide="ignore"):
        size = np.abs(np.log(loss / told))
    inside = np.minimum(size, DELTA)
    return float(np.sum(inside * (size - 0.5 * inside)))


def searched(law: Any) -> Any:
    """The law with terms no less at the centre of the table than a fit looks for.

    Slopes of pure noise rise without end, and take a term's size at the centre down with them: it
    is held there, and `at_bound` names it.
    """
    with np.errstate(over="ignore"):  # as bad as can be
        least = {
            "A": np.exp(law.alpha * np.log(PARAMS).mean() - 18.5),
            "B": np.exp(law.beta * np.log(TOKENS).mean() - 18.5),
        }
    return law.replace(**{name: max(getattr(law, name), least[name]) for name in least})


def check_fit(loss: np.ndarray, rng: np.random.Generator) -> bool:
    """The fit is finite and falls in size and tokens; where it is certified, nothing is better."""
    found = t2.fit(of_losses(loss), "additive", objective="huber", delta=DELTA)
    law, best = found.law, found.objective_value
    known = np.array([float(x) for x in law.coefficients().values()])
    assert np.isfinite(known).all()
    assert (known >= 0).all()
    assert np.isfinite([*found.criteria.values(), *found.predicted]).all()
    if not found.success:
        assert found.message
        return False
    assert best == pytest.approx(misfit(law, loss), rel=1e-6, abs=1e-12)
    for step in (1e-4, 1e-2, 1.0):
        for _ in range(40):
            near = known * np.exp(step * rng.standard_normal(len(known)))
            aside = law.replace(**dict(zip(law.coefficients(), near, strict=True)))
            assert misfit(searched(aside), loss) >= best * (1 - 1e-9) - 1e-12
    return True


def campaign(tables: int, seed: int) -> dict[str, int]:
    """Fits of that many of each kind; how many of each were certified."""
    rng = np.random.default_rng(seed)
    seen: dict[str, int] = {}
    for _ in range(tables):
        for kind, loss in odd_losses(rng).items():
            seen[kind] = seen.get(kind, 0) + check_fit(loss, rng)
    return seen


def test_fits_of_odd_losses_are_finite_and_honest():
    assert campaign(2, seed=0)["plain"]


@pytest.mark.slow
def test_fits_of_very_many_odd_losses_are_finite_and_honest():
    assert campaign(100, seed=1)["plain"] > 50


def test_runs_that_are_there_twice_change_no_coefficient():
    loss = losses(np.random.default_rng(0))
    one, two = (t2.fit(of_losses(loss, runs), "additive", objective="huber") for runs in (1, 2))
    assert two.objective_value == pytest.approx(2 * one.objective_value, rel=1e-9)
    for name, known in one.law.coefficients().items():
        assert two.law.coefficients()[name] == pytest.approx(float(known), rel=1e-5), name


@pytest.mark.parametrize("unit", [1e-7, 1e-12])
def test_losses_that_are_no_nats_are_asked_for_their_unit(unit):
    table = of_losses(losses(np.random.default_rng(0)) * unit)
    with pytest.raises(InputError, match=r"no model comes that near to zero nats.* --units loss="):
        t2.fit(table, "additive")


@pytest.mark.parametrize("loss", [3.0, 3e-12])
def test_losses_that_are_all_alike_are_refused(loss):
    with pytest.raises(Refusal, match="says nothing of size and tokens"):
        t2.fit(of_losses(np.full(ROWS, loss)))


# Questions -------------------------------------------------------------------------------------

CHECKPOINTS, QUESTIONS, TRIALS = 16, 40, 64
SIZES = 10 ** np.repeat(np.linspace(6, 9, 4), 4)
LENGTHS = SIZES * np.tile(np.geomspace(5, 500, 4), 4)


def likelihoods() -> np.ndarray:
    """Nats of each question at each checkpoint."""
    rng = np.random.default_rng(0)
    mean = 0.4 + 300 / SIZES**0.35 + 400 / LENGTHS**0.3
    hardness = np.exp(0.8 * rng.standard_normal(QUESTIONS))
    noise = np.exp(0.1 * rng.standard_normal((CHECKPOINTS, QUESTIONS)))
    return mean[:, None] * hardness * noise


def of_questions(**cells: Any) -> t2.Observations:
    """A table of those likelihoods, or of those counts."""
    return t2.Observations(
        kind="nll" if "nll" in cells else "counts", run=np.arange(CHECKPOINTS), params=SIZES,
        tokens=LENGTHS, question=np.arange(QUESTIONS).astype(str),
        task=np.full(QUESTIONS, "task"), **cells,
    )  # fmt: skip


def odd_likelihoods() -> dict[str, np.ndarray]:
    """One table of every kind that is odd."""
    nll, row, column = likelihoods(), np.arange(CHECKPOINTS)[:, None], np.arange(QUESTIONS)
    return {
        "plain": nll,
        "a checkpoint at 10x": np.where(row == 5, 10 * nll, nll),
        "a cell at 10,000 nats": np.where((row == 5) & (column == 3), 1e4, nll),
        "questions in pairs": np.repeat(nll[:, : QUESTIONS // 2], 2, axis=1),
        "one question, 40 times": np.repeat(nll[:, :1], QUESTIONS, axis=1),
        "half of them certain": np.where(column < QUESTIONS // 2, 0.0, nll),
        "in units of a million": nll * 1e6,
    }


def odd_counts() -> dict[str, np.ndarray]:
    """Shares solved, one table of every kind that is odd."""
    share = np.exp(-likelihoods())
    return {
        "plain": np.round(share * TRIALS),
        "all or none": np.where(share > 0.3, TRIALS, 0),
        "hardly any": np.where(share >= np.quantile(share, 0.99), 1, 0),
    }


def check_law(found: t2.FitResult) -> None:
    """Finite coefficients, and a law that more size, tokens and samples never make worse."""
    assert np.isfinite([float(x) for x in found.law.base.coefficients().values()]).all()
    assert found.success or found.message
    steps = {"params": np.geomspace(1e2, 1e15, 14), "tokens": np.geomspace(1e4, 1e17, 14),
             "samples": np.geomspace(1, 1e12, 13)}  # fmt: skip
    sign = 1 if found.law.kind == "loss" else -1
    for name, values in steps.items():
        told = sign * np.asarray(found.law(**{"params": 1e8, "tokens": 1e10} | {name: values}))
        assert np.isfinite(told).all(), name
        assert (np.diff(told) <= 1e-6 * np.abs(told[1:])).all(), (name, told)


@pytest.mark.parametrize("kind", odd_likelihoods())
def test_fits_of_odd_likelihoods_are_finite_and_monotone(kind):
    check_law(t2.fit(of_questions(nll=odd_likelihoods()[kind])))


@pytest.mark.parametrize("kind", odd_counts())
def test_fits_of_odd_counts_are_finite_and_monotone(kind):
    trials = np.full((CHECKPOINTS, QUESTIONS), TRIALS)
    check_law(t2.fit(of_questions(successes=odd_counts()[kind], trials=trials)))


@pytest.mark.parametrize("share", [0, 1])
def test_all_success_and_no_success_are_refused(share):
    trials = np.full((CHECKPOINTS, QUESTIONS), TRIALS)
    with pytest.raises(Refusal, match=f"share of solved attempts in the table is {share}"):
        t2.fit(of_questions(successes=share * trials, trials=trials))
    with pytest.raises(Refusal, match="every loss in the table is 0"):
        t2.fit(of_questions(nll=np.zeros(trials.shape)))


def test_a_checkpoint_that_is_certain_of_everything_is_named():
    nll = likelihoods()
    nll[15] = 0.0
    with pytest.raises(Refusal, match="every question is solved for certain") as refused:
        t2.fit(of_questions(nll=nll))
    assert "1e+09 parameters on 5e+11 tokens at k = 1 is zero" in refused.value.problem


@pytest.mark.slow
@pytest.mark.parametrize("checkpoints", [10, 100_000])
def test_ten_checkpoints_and_a_hundred_thousand(checkpoints):
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform([[6], [8]], [[9], [11]], (2, checkpoints))
    loss = (1.7 + 400 / params**0.34 + 400 / tokens**0.28) * np.exp(
        0.01 * rng.standard_normal(checkpoints)
    )
    table = t2.Observations(
        kind="loss", run=np.arange(checkpoints), params=params, tokens=tokens, loss=loss
    )
    try:
        draws = t2.bootstrap(t2.fit(table, "additive"), n_draws=20, progress=False)
    except T2Error:
        assert checkpoints == 10
        return
    assert np.isfinite([np.asarray(x) for x in draws.law.coefficients().values()]).all()
    if checkpoints > 10:
        assert float(draws.point.coefficients()["alpha"]) == pytest.approx(0.34, abs=0.01)
