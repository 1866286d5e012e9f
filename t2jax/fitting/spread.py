"""How questions lie round a checkpoint's mean loss, measured in closed form."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._precision import to_numpy
from t2jax._threads import side_by_side
from t2jax._typing import Floats
from t2jax.errors import Refusal
from t2jax.laws.spread import Quantile
from t2jax.laws.spread.quantile import EDGES
from t2jax.observations import Observations

__all__ = ["Questions", "measured_spread", "quantiles_of", "questions_of", "spreads"]

_EASIEST = 1e-9  # nats: a group of questions that is all but solved, whose log is still a number
_BEND_PAYS = 0.75  # error at held-out losses, in units of the straight one's, from which to bend
_FEWEST = 8  # checkpoints from which a quarter can be held out
_K = (4.0, 64.0, 1024.0)  # samples at which bent and straight curves are judged
_CHUNK = 50  # draws per compiled call


class Questions(NamedTuple):
    """A table of likelihoods, each checkpoint's questions from the easiest to the hardest.

    Attributes:
      nll: nats [checkpoints, questions].
      order: which question stands at each place [checkpoints, questions].
    """

    nll: Floats
    order: Floats


def questions_of(runs: Observations) -> Questions:
    """The questions of a table in order of difficulty.

    Raises:
      Refusal: the table holds no likelihoods of questions.
    """
    if runs.kind != "nll":
        held = "losses" if runs.kind == "loss" else "counts"
        raise Refusal(
            f"law 'linked' measures how questions lie round their mean nll, and {runs.source} "
            f"holds {held}",
            remedy="bring per-question nll, or name another law",
        )
    nll = np.asarray(runs.nll)
    order = np.argsort(nll, axis=1, kind="stable")
    return Questions(jnp.asarray(np.take_along_axis(nll, order, 1)), jnp.asarray(order))


def quantiles_of(questions: Questions, weight: Floats) -> tuple[Floats, Floats]:
    """Mean losses of the groups of a spread, and of all questions.

    Args:
      questions: from `questions_of`.
      weight: how often each question counts [questions].

    Returns:
      Nats [checkpoints, nodes] and [checkpoints].
    """
    edges = jnp.asarray(EDGES)

    def one(nll, order):
        share = jnp.cumsum(weight[order])
        share = jnp.append(0.0, share / share[-1])
        total = jnp.append(0.0, jnp.cumsum(nll * jnp.diff(share)))
        # The integral of the quantile function, straight within a question.
        return jnp.diff(jnp.interp(edges, share, total)) / jnp.diff(edges), total[-1]

    return jax.vmap(one)(*questions)


def _regressed(quantiles: Floats, mean: Floats, weight: Floats, bent: bool) -> Quantile:
    """Curves of the groups against the mean loss, by weighted least squares in logs."""
    y, log = jnp.log(jnp.maximum(quantiles, _EASIEST)), jnp.log(mean)
    share = weight / jnp.sum(weight)
    centre = share @ log
    x = log - centre
    there = weight > 0
    low = jnp.min(jnp.where(there, log, jnp.inf))
    high = jnp.max(jnp.where(there, log, -jnp.inf))
    if not bent:
        slope = (share * x) @ y / jnp.maximum(share @ x**2, 1e-300)
        # A harder table never has easier questions.
        return Quantile(
            level=share @ y, slope=jnp.maximum(slope, 0.0), centre=centre, low=low, high=high
        )
    design = jnp.stack([jnp.ones_like(x), x, x**2], axis=1)
    gram = design.T @ (share[:, None] * design)
    level, slope, bend = jnp.linalg.solve(gram, design.T @ (share[:, None] * y))
    return Quantile(level=level, slope=slope, centre=centre, low=low, high=high, bend=bend)


@functools.partial(jax.jit, static_argnames="bent")
def _measure(questions: Questions, question_weight, weight, *, bent: bool) -> Quantile:
    return _regressed(*quantiles_of(questions, question_weight), weight, bent)


def measured_spread(runs: Observations) -> Quantile:
    """The quantile spread of a table, its curves bent where held-out losses ask for it.

    Curves are straight in logs unless, fitted without the quarter of the checkpoints with the
    least loss, bent ones are a quarter better there.

    Args:
      runs: a table of per-question likelihoods.

    Raises:
      Refusal: the table holds no likelihoods.
    """
    questions = questions_of(runs)
    every = jnp.ones(runs.n_questions)
    ones = jnp.ones(runs.n_rows)
    straight = _measure(questions, every, ones, bent=False)
    if len(np.unique(np.stack([runs.params, runs.tokens]), axis=1).T) < _FEWEST:
        return straight
    loss = np.asarray(runs.nll).mean(axis=1)
    out = loss <= np.quantile(loss, 0.25)
    kept = jnp.asarray(~out, float)
    truth = runs.neg_log_pass(_K)[out]
    error = {}
    for bent in (False, True):
        found = _measure(questions, every, kept, bent=bent)
        told = found.neg_log_pass(jnp.asarray(loss[out])[:, None], jnp.asarray(_K))
        error[bent] = float(np.mean(np.abs(np.asarray(told) / truth - 1.0)))
    if error[True] < _BEND_PAYS * error[False]:
        return _measure(questions, every, ones, bent=True)
    return straight


def spreads(
    runs: Observations, weight: np.ndarray, question_weight: np.ndarray, *, bent: bool
) -> Quantile:
    """The spreads of many resamples of one table.

    Args:
      runs: the table.
      weight: how often each checkpoint counts [draws, checkpoints].
      question_weight: how often each question does [draws, questions].
      bent: whether the curves are.

    Returns:
      The spread with a leading axis of draws, as NumPy arrays.
    """
    questions = questions_of(runs)

    def chunk(start):
        at = np.minimum(np.arange(start, start + _CHUNK), len(weight) - 1)
        given = jnp.asarray(question_weight[at]), jnp.asarray(weight[at])
        return to_numpy(_many(questions, *given, bent))

    parts = side_by_side(chunk, range(0, len(weight), _CHUNK))
    return jax.tree.map(lambda *x: np.concatenate(x)[: len(weight)], *parts)


@functools.partial(jax.jit, static_argnames="bent")
def _many(questions: Questions, question_weight: Floats, weight: Floats, bent: bool) -> Quantile:
    return jax.lax.map(
        lambda pair: _regressed(*quantiles_of(questions, pair[0]), pair[1], bent),
        (question_weight, weight),
    )
