"""The choice of questions: how every mean over them would move if others were drawn.

One draw of questions moves all checkpoints together, and a fit follows it, so that residuals do
not show it. How far each question departs from the mean of its task does.
"""

import jax.numpy as jnp
import numpy as np

from t2jax import passk
from t2jax.observations import Observations

__all__ = ["SAME_QUESTIONS", "question_scores", "question_weight", "shared_moves"]

SAME_QUESTIONS = "intervals hold for these questions: a table of losses says nothing of others"
"""What intervals say whose table does not hold its questions."""


def question_scores(
    runs: Observations, samples: tuple[float, ...] | None, value: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """How each question's own -log pass@k departs from the mean of its task.

    Args:
      runs: a table; only per-question likelihoods know of their questions.
      samples: k of the rows of each checkpoint, None where rows are no means over questions.
      value: the means, for departures on the scale of their logs [rows].

    Returns:
      Departures [rows, questions] and tasks as codes [questions]; None for other tables.
    """
    if runs.kind != "nll" or samples is None:
        return None, None
    assert runs.task is not None
    strata = np.unique(runs.task, return_inverse=True)[1]
    columns = [np.array(passk.neg_log_pass_at_k(jnp.asarray(runs.nll), k)) for k in samples]
    each = np.stack(columns, axis=1).reshape(-1, runs.n_questions)
    for task in range(strata.max() + 1):
        mine = strata == task
        each[:, mine] -= each[:, mine].mean(axis=1, keepdims=True)
    if value is not None:
        each /= np.asarray(value)[:, None]
    return each, strata


def question_weight(strata: np.ndarray) -> np.ndarray:
    """How much the square of a question's deviation adds to the variance of a mean [questions].

    >>> import numpy as np
    >>> question_weight(np.array([0, 0, 1, 1])).tolist()  # of two, each stands for one of n - 1
    [0.125, 0.125, 0.125, 0.125]
    """
    sizes = np.bincount(strata)[strata]
    # A mean over questions within fixed tasks: each deviation stands for one of n - 1.
    return sizes / np.maximum(sizes - 1, 1) / len(strata) ** 2


def shared_moves(
    scores: np.ndarray, influence: np.ndarray, slopes: np.ndarray, unit: np.ndarray,
    root: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """How other questions move coordinates, beyond what units taken as independent already say.

    What a unit's questions do to it alone is part of its noise, and was counted there: that part
    is taken off the covariance of the moves, in coordinates where noise has the unit matrix, and
    no direction may come out less certain for it.

    Args:
      scores: departures of questions, weighed by the roots of their weights [rows, questions].
      influence: how rows move coordinates [coordinates, rows].
      slopes: how coordinates move rows [rows, coordinates].
      unit: what the likelihood takes as independent, a code for each row [rows].
      root: square root of the covariance of the coordinates, by noise [coordinates, coordinates].

    Returns:
      Moves, a column for each of as many standard normals [coordinates, coordinates].
    """
    left = scores - slopes @ (influence @ scores)
    # Residuals are smaller than the noise they come from, on average by what the law follows: the
    # squares of I - H with H = slopes @ influence, which may be too large to write down.
    followed = 2.0 * np.sum(slopes.T * influence)
    followed -= np.sum((influence @ influence.T) * (slopes.T @ slopes))
    correction = len(scores) / (len(scores) - followed)
    white = np.linalg.solve(root, influence)
    whole = white @ scores
    net = whole @ whole.T
    for code in range(unit.max() + 1):
        own = white[:, unit == code] @ left[unit == code]
        net = net - correction * own @ own.T
    values, vectors = np.linalg.eigh(net)
    return root @ (vectors * np.sqrt(np.maximum(values, 0.0)))
