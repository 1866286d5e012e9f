"""What the choice of questions adds to an interval: against refits on other questions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import t2jax as t2
from t2jax.uncertainty.question_choice import question_weight
from t2jax.validation.covariance import Questions, Units, Variance, with_questions

PARAMS = np.repeat(np.geomspace(1e7, 2e9, 5), 4)
TOKENS = PARAMS * np.tile(np.geomspace(5, 500, 4), 5)
LOSS = 1.7 + 0.6 * (2e8 / PARAMS) ** 0.34 + 0.5 * (6e9 / TOKENS) ** 0.3
QUESTIONS = 300
NAMES = ("alpha", "beta")


def table(factor: np.ndarray) -> t2.Observations:
    """Losses of every checkpoint and question, as multiples of the law."""
    return t2.Observations(
        kind="nll", run=np.arange(20).astype(str), params=PARAMS, tokens=TOKENS,
        nll=LOSS[:, None] * factor, question=np.arange(QUESTIONS).astype(str),
        task=np.full(QUESTIONS, "task"),
    )  # fmt: skip


def fitted(runs: t2.Observations) -> t2.FitResult:
    return t2.fit(runs, "additive", objective="huber", n_starts=1)


def errors(runs: t2.Observations) -> np.ndarray:
    """Standard errors of the two exponents, in their logs."""
    found = t2.profile(fitted(runs), NAMES, level=0.95, method="laplace")
    return np.array([found[name].standard_error for name in NAMES])


def scatter(runs: t2.Observations, rng: np.random.Generator) -> np.ndarray:
    """Deviations of the logs of both exponents over refits on questions drawn anew."""
    draws = []
    for _ in range(100):
        picked = rng.integers(QUESTIONS, size=QUESTIONS)
        law = fitted(table(np.asarray(runs.nll)[:, picked] / LOSS[:, None])).law
        draws.append([np.log(float(getattr(law, name))) for name in NAMES])
    return np.std(draws, axis=0)


def common(rng: np.random.Generator) -> np.ndarray:
    """A question is hard, or hard for small models, alike for every checkpoint."""
    level, tilt = rng.uniform(-0.2, 0.2, (2, QUESTIONS))
    place = np.log(PARAMS / 1.4e8)[:, None] / 6
    return 1 + level + tilt * place


def own(rng: np.random.Generator) -> np.ndarray:
    """A question is hard for one checkpoint and not for the next."""
    return rng.uniform(0.96, 1.04, (20, QUESTIONS))


@pytest.mark.parametrize("part", [common, own])
def test_the_error_is_that_of_refits_on_other_questions(part):
    rng = np.random.default_rng(0)
    runs = table(part(rng))
    # A deviation from 100 refits is known to 7%; what is own leaves residuals, with their error.
    assert errors(runs) == pytest.approx(scatter(runs, rng), rel=0.22)


def test_questions_that_move_all_losses_alike_do_not_move_exponents():
    rng = np.random.default_rng(1)
    noise = np.exp(0.01 * rng.standard_normal((20, 1)))
    runs = table(noise * rng.uniform(0.2, 1.8, QUESTIONS))
    means = t2.Observations(
        kind="loss", run=np.arange(20).astype(str), params=PARAMS, tokens=TOKENS,
        loss=np.asarray(runs.nll).mean(axis=1),
    )  # fmt: skip
    assert errors(runs) == pytest.approx(errors(means), rel=1e-4)


def test_noise_of_runs_and_of_questions_add_up():
    rng = np.random.default_rng(2)
    noise = np.exp(0.01 * rng.standard_normal((20, 1)))
    alone, level = errors(table(common(rng))), common(rng)
    both = errors(table(noise * level))
    runs_only = errors(table(noise * np.ones(QUESTIONS)))
    assert both == pytest.approx(np.hypot(alone, runs_only), rel=0.15)


def test_a_mean_over_questions_has_the_unbiased_variance_of_each_task():
    strata = np.repeat([0, 1], [5, 12])
    deviation = np.random.default_rng(3).normal(size=17)
    by_task = [deviation[strata == task] for task in (0, 1)]
    deviation = np.concatenate([x - x.mean() for x in by_task])
    # The mean is (5 m_0 + 12 m_1)/17, and a task's mean has the variance s^2/n, s^2 over n - 1.
    expected = sum((len(x) / 17) ** 2 * x.var(ddof=1) / len(x) for x in by_task)
    assert np.sum(question_weight(strata) * deviation**2) == pytest.approx(expected, rel=1e-12)


def test_degrees_of_freedom_are_those_of_what_the_variance_is_made_of():
    # Forty questions move one mean: s^2 has the variance (m_4 - s^4)/n, and a multiple of a
    # chi-square has 2 s^4/dof. A quantity that the runs alone decide keeps their degrees.
    count = 40
    normal = stats.norm.ppf((np.arange(count) + 0.5) / count)
    kurtosis = stats.kurtosis(normal, fisher=False)
    one = np.ones((1, 1, 1))

    def dof(size, variance):
        with jax.enable_x64(True):
            units = Units(*map(jnp.asarray, (np.zeros((1, 1)), one, one[0], one[0])))
            questions = Questions(
                jnp.asarray(size * normal[None]), jnp.asarray(question_weight(np.zeros(count, int)))
            )
            found = Variance(*map(jnp.asarray, (variance, 1.0, 300.0)))
            none = jnp.zeros((1, 1, 1))
            both, _ = with_questions(
                units, np.zeros((1, 1), int), jnp.ones(1), "pooled", found, questions, none
            )
            return float(both.dof)

    assert dof(1.0, 1e-12) == pytest.approx(2 * count / (kurtosis - 1), rel=1e-6)
    assert dof(1e-9, 1.0) == pytest.approx(300.0, rel=1e-6)
