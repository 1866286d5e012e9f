"""Misfit inside the interval: each draw of a law times a smooth surface that the table allows.

`log L = log law(N, D) + g(log N, log D) + run + checkpoint`: g is a Gaussian process, run and
checkpoint are normal noise. Far from the table g returns to its prior, and intervals widen.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._precision import to_numpy
from t2jax._typing import Floats, Scalar
from t2jax.fitting import FitResult
from t2jax.fitting.problem import Data, Problem
from t2jax.fitting.stages import Stage
from t2jax.laws import Law, Warped
from t2jax.laws.warped import bumps

__all__ = ["TAKEN_AS_TRUE", "Misfit", "Surfaces", "applies"]

TAKEN_AS_TRUE = "the misfit of the law is no part of these intervals: t2jax.bootstrap carries it"
"""What must be said beside intervals that have no surfaces where they could."""

_WAVES = 24  # of a draw of the prior, each a cosine and a sine
# Of the grid of bumps, in lengths: a surface on it is that of the process to .1% of the loss.
# Lengths that would ask for a finer grid are drawn out to what it carries.
_SPACING = 0.5
_LINES = (8, 12)  # of the grid along N or D: two counts, so that few programs serve all
_STEP = 1e-4  # of the logs, between which slopes are compared
_JITTER = 1e-6  # on the diagonal of a correlation, which long lengths make singular
_WIDE = 2.0  # standard deviation of the law's free coordinates before the table is seen
_STRAY = 15.0  # times the median distance of rows from what their neighbours tell: no misfit
_SAME = 1e-4  # of log loss, below which no distance counts
_MOST_ROWS = 400  # of the marginal likelihood, whose cost is their cube
_CHUNK = 100  # draws per compiled call
_BLOCK = 64  # rows that are multiplied and summed at once
_PRIORS = {  # median and standard deviation of the log
    "run": (0.02, 1.0),
    "checkpoint": (0.02, 1.0),
    "amplitude": (0.05, 1.0),
    "length_params": (2.0, 0.5),
    "length_tokens": (2.0, 0.5),
}


class Misfit(NamedTuple):
    """Standard deviations of log loss round a law, and how far its misfit reaches.

    Attributes:
      run: shared by the checkpoints of a run.
      checkpoint: of each checkpoint.
      amplitude: of the surface.
      length_params: nats of N within which the surface is alike.
      length_tokens: the same of D.
    """

    run: float
    checkpoint: float
    amplitude: float
    length_params: float
    length_tokens: float


class _Rows(NamedTuple):
    """Checkpoints as the process sees them.

    Attributes:
      place: log N and log D [rows, 2].
      run: code of the run, or whatever is resampled, of each [rows].
      unique: unique training tokens, infinite where nothing is repeated [rows].
      log_loss: measured [rows].
      slopes: of the log law in its free coordinates [rows, coordinates].
      left: log loss that the fitted law leaves [rows].
    """

    place: np.ndarray
    run: np.ndarray
    unique: np.ndarray
    log_loss: np.ndarray
    slopes: np.ndarray
    left: np.ndarray


def applies(fit: FitResult) -> bool:
    """Whether a fit is one of losses at one sample, whose misfit is a surface in N and D."""
    law = fit.law.searched
    return law.kind == "loss" and not law.uses_samples and law.uses_tokens


def _rows(fit: FitResult, stage: Stage, clusters: np.ndarray) -> _Rows:
    data = stage.data(None)
    law = jax.tree.map(jnp.asarray, fit.law)
    nuisance = stage.problem.objective.start_nuisance(stage.rows.predict(law), stage.rows)
    free = stage.problem.free(law, data, nuisance)
    count = len(fit.law.cards())

    told, slopes = _log_law(stage.problem, free[:count], free[count:], data)
    log_loss = jnp.log(stage.rows.value)
    place = jnp.log(jnp.stack([stage.rows.params, stage.rows.tokens], axis=1))
    unit = clusters[np.asarray(stage.rows.place)]
    arrays = to_numpy((place, log_loss, slopes, log_loss - told))
    return _Rows(
        arrays[0],
        np.unique(unit, return_inverse=True)[1],
        np.asarray(stage.rows.unique_tokens),
        *arrays[1:],
    )


@functools.partial(jax.jit, static_argnums=0)
def _log_law(problem: Problem, head: Floats, tail: Floats, data: Data) -> tuple[Floats, Floats]:
    """Log of a law at every row [rows], and its slopes in the law's own coordinates."""

    def log_law(head):
        law = problem.law(jnp.concatenate([head, tail]), data)
        found = jnp.log(data.rows.predict(law))
        return found, found

    slopes, told = jax.jacfwd(log_law, has_aux=True)(head)
    return told, slopes


def _covariance(misfit: Floats, rows: _Rows) -> Floats:
    """Of surface and noise between rows [rows, rows]."""
    run, checkpoint, amplitude, *lengths = misfit
    apart = (rows.place[:, None] - rows.place[None]) / jnp.stack(lengths)
    surface = amplitude**2 * jnp.exp(-0.5 * jnp.sum(apart**2, axis=-1))
    same = rows.run[:, None] == rows.run[None]
    return (checkpoint**2 + 1e-10) * jnp.eye(len(rows.left)) + run**2 * same + surface


def _least_squares(rows: _Rows, misfit: Misfit) -> np.ndarray:
    """Steps of the law's free coordinates per log loss of each row [coordinates, rows].

    Least squares, drawn to no step by the prior of the coordinates as far as the misfit leaves
    them unsure: else a surface that hides the law's trend sends a coordinate to its bound.
    """
    plain = np.linalg.pinv(rows.slopes)
    unsure = plain @ np.asarray(_covariance(jnp.asarray(misfit), rows)) @ plain.T
    return _WIDE**2 * np.linalg.solve(unsure + _WIDE**2 * np.eye(len(plain)), plain)


def _with_law(misfit: Floats, rows: _Rows) -> Floats:
    """The same with the law's coordinates unknown."""
    slopes = jnp.asarray(rows.slopes)
    return _WIDE**2 * slopes @ slopes.T + _covariance(misfit, rows)


def _cost(logs: Floats, rows: _Rows) -> Scalar:
    """Minus the log of marginal likelihood and prior."""
    root = jnp.linalg.cholesky(_with_law(jnp.exp(logs), rows))
    white = jax.scipy.linalg.solve_triangular(root, rows.left, lower=True)
    centre, spread = (jnp.asarray(column) for column in zip(*_PRIORS.values(), strict=True))
    prior = jnp.sum(((logs - jnp.log(centre)) / spread) ** 2)
    return 0.5 * white @ white + jnp.sum(jnp.log(jnp.diagonal(root))) + 0.5 * prior


_slope = jax.jit(jax.value_and_grad(_cost))


def _searched(rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """Logs of the most likely standard deviations and lengths [5], and a root of their covariance.

    The covariance is the inverse Hessian there, no wider than the prior's.
    """
    from scipy import optimize  # a third of a second, which a plan from kept draws has no need of

    def cost(logs):
        value, grad = _slope(jnp.asarray(logs), rows)
        sound = np.isfinite(value)
        return (float(value), np.asarray(grad)) if sound else (1e10, np.zeros(len(logs)))

    centre, spread = (np.array(column) for column in zip(*_PRIORS.values(), strict=True))
    start = np.log(centre)
    bounds = [(x - 6.0, x + 6.0) for x in start]
    found = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds)
    values, vectors = np.linalg.eigh(_bend(cost, found.x))
    return found.x, vectors / np.sqrt(np.maximum(values, 1.0 / np.max(spread) ** 2))


def _bend(cost: Callable[[np.ndarray], tuple[float, np.ndarray]], at: np.ndarray) -> np.ndarray:
    """Hessian by differences of the slope."""
    steps = _STEP * np.eye(len(at))
    slopes = np.array([cost(at + step)[1] - cost(at - step)[1] for step in steps]) / (2 * _STEP)
    return (slopes + slopes.T) / 2


class Surfaces:
    """Surfaces of misfit for the draws of one fit: drawn before the law is fitted again, and after.

    A draw fits the law, with other runs and questions, to the table less the step that a surface
    of the prior makes the law take; the steps are those of the most likely misfit.
    What the law then leaves over moves that surface to one of the posterior, so that law and
    surface together agree with the table where it is, and stray as far as it allows elsewhere.

    Args:
      fit: of losses at one sample, or of a linked law.
      stage: its minimisation.
      clusters: of each row of the table, what shares a deviation and is resampled together [rows].
      n_draws: how many.
      seed: of the draws.

    Source: Kennedy and O'Hagan 2001, doi:10.1111/1467-9868.00294; draws by Matheron's rule,
    Wilson et al. 2020, arXiv:2002.09309.
    """

    def __init__(self, fit: FitResult, stage: Stage, clusters: np.ndarray, n_draws: int, seed: int):
        self.rows = _rows(fit, stage, clusters)
        self._sound = _without_strays(self.rows)
        self._few = _thinned(self._sound)
        logs, root = _searched(self._few)
        self._rng = np.random.default_rng([seed, 3])
        self._each = np.exp(logs + self._rng.normal(size=(n_draws, len(logs))) @ root.T)
        self._nodes = _lines(self.rows.place, np.exp(logs[3:]))
        finest = np.array([line[1] - line[0] for line in self._nodes]) / _SPACING
        self._each[:, 3:] = np.maximum(self._each[:, 3:], finest)
        lengths = np.maximum(np.exp(logs[3:]), finest)
        self.misfit = Misfit(*np.exp(logs[:3]).tolist(), *lengths.tolist())
        """At its most likely; each draw has its own."""
        self.strays = len(self.rows.left) - len(self._sound.left)
        """Rows that lie too far from their neighbours to tell of misfit."""
        waves = self._rng.normal(size=(n_draws, _WAVES, 2))
        self._frequency = waves / self._each[:, None, 3:]
        self._prior = self._rng.normal(size=(n_draws, 2 * _WAVES))
        self._prior *= self._each[:, 2:3] / np.sqrt(_WAVES)

    def before(self) -> np.ndarray:
        """What the prior's surface takes off each log loss before a refit [draws, rows].

        Of the surface only what moves the law: what bends as no law does would leave the fit
        where it is, and add to the work.
        """
        steps = self._surface(self._few.place) @ _least_squares(self._few, self.misfit).T
        return steps @ self.rows.slopes.T

    def _surface(self, place: np.ndarray) -> np.ndarray:
        """Log of the prior's surface of every draw [draws, places]."""
        out = np.empty((len(self._prior), len(place)))
        for i, frequency in enumerate(self._frequency):
            phase = place @ frequency.T
            waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
            out[i] = waves @ self._prior[i]
        return out

    def on_draws(self, law: Law) -> Law:
        """Refitted laws, each times its surface."""
        count = len(self._prior)
        rows = self._sound
        left = rows.log_loss - _log_losses(law, rows)
        runs = self._rng.normal(size=(count, rows.run.max() + 1)) * self._each[:, :1]
        noise = self._rng.normal(size=left.shape) * self._each[:, 1:2] + runs[:, rows.run]
        height = self._heights(left - self._surface(rows.place) - noise, self._each)
        return self._on(law, self._frequency, self._prior, self._each, height)

    def on_point(self, law: Law) -> Law:
        """The fitted law times the mean surface."""
        likely = np.array(self.misfit)[None]
        height = self._heights(self._sound.left[None], likely)
        none = np.zeros(2 * _WAVES)
        return self._on(law, none.reshape(_WAVES, 2), none, likely[0], height[0])

    def noise(self) -> dict[str, np.ndarray]:
        """What is no part of the law: standard deviations of log loss [draws]."""
        return {"run_sd": self._each[:, 0], "checkpoint_sd": self._each[:, 1]}

    def _on(
        self, law: Law, frequency: np.ndarray, waves: np.ndarray, each: np.ndarray,
        height: np.ndarray,
    ) -> Law:  # fmt: skip
        shape = waves.shape[:-1]
        nodes = [np.broadcast_to(line, (*shape, len(line))).copy() for line in self._nodes]
        warped = Warped(
            loss=law.base, by_params=frequency[..., 0], by_tokens=frequency[..., 1],
            cosine=waves[..., :_WAVES], sine=waves[..., _WAVES:], params_nodes=nodes[0],
            tokens_nodes=nodes[1], params_length=each[..., 3], tokens_length=each[..., 4],
            height=height, least=np.full(shape, np.exp(self.rows.place[:, 0].min())),
        )  # fmt: skip
        return law.with_searched(warped)

    def _heights(self, left: np.ndarray, each: np.ndarray) -> np.ndarray:
        """Heights of the bumps, given what is left to them at every row [draws, bumps]."""
        place, run = jnp.asarray(self._sound.place), jnp.asarray(self._sound.run)
        groups, parts = int(self._sound.run.max()) + 1, []
        for start in range(0, len(left), _CHUNK):
            # One shape, one compiled program: what is too many is solved twice and dropped.
            at = np.minimum(np.arange(start, start + _CHUNK), len(left) - 1)
            own = (jnp.asarray(x[at]) for x in (left, each))
            parts.append(np.asarray(_solved(place, run, groups, self._nodes, *own)))
        return np.concatenate(parts)[: len(left)]


def _without_strays(rows: _Rows) -> _Rows:
    """Rows but those that lie further from their neighbours than any noise of the others.

    Where they are more than a tenth of the table they are no strays, and all rows stay.
    """
    whole = rows
    while 10 * len(rows.left) >= 9 * len(whole.left):
        apart = np.empty(len(rows.left))
        parts = -(-len(apart) // _MOST_ROWS)
        for at in np.array_split(np.random.default_rng(0).permutation(len(apart)), parts):
            apart[at] = np.abs(_left_out(_Rows(*(column[at] for column in rows))))
        sound = apart <= _STRAY * (np.median(apart) + _SAME)
        if sound.all():
            return rows
        rows = _Rows(*(column[sound] for column in rows))
    return whole


def _left_out(rows: _Rows) -> np.ndarray:
    """How far each row's log loss lies from what the others tell of it [rows]."""
    likely = jnp.asarray([median for median, _ in _PRIORS.values()])
    inverse = np.linalg.inv(np.asarray(_with_law(likely, rows)))
    return inverse @ rows.left / np.diagonal(inverse)


def _thinned(rows: _Rows) -> _Rows:
    count = len(rows.left)
    if count <= _MOST_ROWS:
        return rows
    kept = np.random.default_rng(0).choice(count, _MOST_ROWS, replace=False)
    return _Rows(*(column[kept] for column in rows))


def _lines(place: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines of a grid over the table, as close together as a surface of these lengths asks."""
    low, high = place.min(axis=0), place.max(axis=0)
    few = high - low <= _SPACING * (_LINES[0] - 1) * lengths
    counts = np.where(few, *_LINES)
    # A table of one token count has a grid that is wide enough to tell its lines apart.
    middle, half = (low + high) / 2, np.maximum(high - low, _SPACING * lengths) / 2
    ends = zip(middle - half, middle + half, counts, strict=True)
    first, second = (np.linspace(*end) for end in ends)
    return first, second


def _log_losses(law: Law, rows: _Rows) -> np.ndarray:
    """Log of the loss that each draw predicts of each checkpoint [draws, rows]."""
    params, tokens = jnp.exp(jnp.asarray(rows.place)).T
    return np.log(
        np.asarray(
            _every(jax.tree.map(jnp.asarray, law.base), params, tokens, jnp.asarray(rows.unique))
        )
    )


@jax.jit
def _every(law: Law, params: Floats, tokens: Floats, unique: Floats) -> Floats:
    return jax.vmap(lambda one: one.formula(params, tokens, jnp.ones(()), unique))(law)


def _crossed(first: Floats, second: Floats) -> Floats:
    """`first.T @ second`, block after block of rows: else threads sum parts, by their number."""
    padded = [jnp.pad(x, ((0, -len(x) % _BLOCK), (0, 0))) for x in (first, second)]
    first, second = (x.reshape(-1, _BLOCK, x.shape[1]) for x in padded)
    # XLA would make one product of all blocks again.
    each = jax.lax.optimization_barrier(jnp.einsum("bki,bkj->bij", first, second))
    return jnp.sum(each, axis=0)


@functools.partial(jax.jit, static_argnums=2)
def _solved(place, run, groups, nodes, left, each):
    """Heights of the bumps [draws, bumps]: what the rows say against a draw of the prior.

    Matheron's rule in functions, with the grid's lines in place of the rows. (In the weights of
    the draw's few waves it would bend the surface where there are no rows.)

    One draw after the other: jaxlib 0.10 shares batches of LAPACK out among threads that wait for
    each other, and two such batches at a time wait for ever.
    """
    sizes = jnp.zeros(groups).at[run].add(1.0)

    def one(left, misfit):
        run_sd, checkpoint_sd, amplitude, *lengths = misfit
        shared = run_sd**2 / (checkpoint_sd**2 + sizes * run_sd**2)
        roots, axes = [], []
        for line, length, at in zip(nodes, lengths, place.T, strict=True):
            alike = bumps(line, line, length) + _JITTER * jnp.eye(len(line))
            roots.append(jnp.linalg.cholesky(alike))
            near = bumps(at, line, length)
            axes.append(jax.scipy.linalg.solve_triangular(roots[-1], near.T, lower=True).T)
        basis = amplitude * (axes[0][:, :, None] * axes[1][:, None, :]).reshape(len(place), -1)
        # The inverse of the noise's covariance: each run's checkpoints share one deviation.
        sums = jnp.zeros((groups, basis.shape[1])).at[run].add(basis)
        weighed = (basis - (shared[:, None] * sums)[run]) / checkpoint_sd**2
        system = _crossed(basis, weighed) + jnp.eye(basis.shape[1])
        white = amplitude * jnp.linalg.solve(system, _crossed(weighed, left[:, None])[:, 0])
        white = white.reshape(len(roots[0]), -1)
        back = jax.scipy.linalg.solve_triangular
        half = back(roots[0], white, lower=True, trans=1)
        return back(roots[1], half.T, lower=True, trans=1).T.ravel()

    return jax.lax.map(lambda both: one(*both), (left, each))
