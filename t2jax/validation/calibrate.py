"""Calibration: does an interval cover as often as it says, on this design and at this noise?

Tables are simulated from one law on the rows that the user has, and every method is asked for its
intervals on each. What covers is decided at the true value itself: a profile interval holds it
when the statistic there is within its threshold, a percentile interval when the share of draws
below it is, so that no interval's ends need be searched for.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._arguments import check_seed, check_whole
from t2jax._precision import double
from t2jax._progress import track
from t2jax._typing import Floats
from t2jax.errors import InputError
from t2jax.fitting import FitResult, fit
from t2jax.fitting.problem import Problem
from t2jax.fitting.rows import sample_grid
from t2jax.laws import Law, on_host, template
from t2jax.observations import Observations
from t2jax.planning import Budget
from t2jax.planning.solvers.root import falling_root
from t2jax.planning.solvers.scan import path_cost
from t2jax.uncertainty.ensemble import fitted_table
from t2jax.uncertainty.resampling import question_weights
from t2jax.validation.covariance import Questions, in_units, meat, question_blocks, student_quantile
from t2jax.validation.coverage import LEVELS, METHODS, Calibration, judged
from t2jax.validation.held_fit import SIZE, Aim, Case, Setup, held, settle
from t2jax.validation.identify import identify
from t2jax.validation.profile import settled_at, statistic
from t2jax.validation.quantities import PLAN, aims_of, budget_plan, quantities_of
from t2jax.validation.variances import known_quantities

__all__ = ["calibrate"]

_BATCH = 25  # tables per compiled call: a batch waits for its slowest table
_REACH = 8.0  # log distance from the true N* within which a refit's N* is looked for
_REFIT_STEPS = 15


@double
def calibrate(
    runs: Observations | FitResult,
    law: str | Law | None = None,
    *,
    budget: Budget | None = None,
    tables: int = 400,
    seed: int = 0,
    unit: str | None = None,
    methods: Sequence[str] = METHODS,
    n_draws: int = 199,
    run_noise: float | None = None,
    row_noise: float | None = None,
    progress: bool = True,
) -> Calibration:
    """Simulate tables on this design, refit them, and count how often intervals cover.

    Log losses are those of the law plus Gaussian noise: shared by the rows of a unit, and each
    row's own, with the covariance over k that the residuals show where every unit is one
    checkpoint with the same k. Where the table holds questions, their choice is drawn as well,
    once per table and alike for every checkpoint. Refits start at the true coefficients. A profile
    whose fit with the true value held does not settle counts as a miss.

    Args:
      runs: rows, or a fit of them.
      law: name of the law to fit first, or a law with its coefficients, which is then the truth.
      budget: 6ND and 2Nk apart; without it only coefficients are judged.
      tables: number of simulated tables.
      seed: of the simulation.
      unit: what shares noise: "run", "trunk" or "row"; runs unless the table names trunks.
      methods: of "profile", "laplace", "bootstrap" (percentile, by unit and crossed with
        questions, as `t2jax.bootstrap` does) and "row bootstrap" (percentile, every row for
        itself: the naive one).
      n_draws: refits of each bootstrap.
      run_noise: standard deviation of the log loss shared by a unit, instead of the residuals'.
      row_noise: that of each row, instead of the residuals'.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      Coverage of 90% and 95% intervals by method and quantity, and the method to trust.

    Raises:
      InputError: an accuracy law, an unknown method, one noise without the other.
      Refusal: a design that cannot identify the law, no more units than coefficients, or a
        budget whose optimum is a bound.

    Source: the parametric bootstrap of a coverage probability, Loh 1987,
    doi:10.1080/01621459.1987.10478405.

    >>> import t2jax as t2
    >>> runs = t2.datasets.load_ladder(measure="loss")
    >>> found = t2.calibrate(t2.fit(runs), tables=4, methods=["laplace"])
    >>> 0.0 <= found.coverage["laplace"]["alpha"][1] <= 1.0
    True
    """
    _check(tables, n_draws, methods, run_noise, row_noise)
    check_seed(seed)
    runs, truth, objective, samples = _begin(runs, law)
    how = {"objective": objective, "samples": samples, "unit": unit}
    setup = Setup.of(truth, runs, box=None, plan=None, **how)
    if not isinstance(law, Law):
        # The noise is that of least squares, and so must be the truth.
        rest = settled_at(setup)
        truth = on_host(setup.problem.law(rest.free, setup.case.data))
    best, box, plan = budget_plan(truth, budget)
    setup = Setup.of(truth, runs, box=box, plan=plan, **how)
    asked = quantities_of(truth, best)
    aims = aims_of(asked, truth)
    rng = np.random.default_rng(seed)
    noise, levels = _noise(rng, setup, tables, run_noise, row_noise)
    questions = setup.questions
    if questions is not None:
        spread = np.sqrt(questions.weight)
        noise = (
            noise + rng.normal(0, spread, (tables, len(spread))) @ np.asarray(questions.scores).T
        )
    simulated = _values(setup, noise)

    covered, sound = _judge(setup, aims, simulated, rng, methods, n_draws, progress)
    names = [q.name for q in asked]
    coverage = {}
    for method, hits in covered.items():
        own = dict(zip(names, map(tuple, hits.mean(0).tolist()), strict=True))
        if "params" in own:
            # Along spent budgets D, k and D/N are monotone in N: one interval, one coverage.
            own |= {n: own["params"] for n in PLAN if n != "samples" or truth.uses_samples}
        coverage[method] = own
    values = truth.coefficients()
    stuck = [card.name for card in truth.cards() if card.closed and values[card.name] <= card.lower]
    recommended, notes = judged(coverage, tables, stuck)
    if sound < 1:
        notes.append(f"{1 - sound:.1%} of refits did not come to rest and count as misses")
    return Calibration(
        coverage=coverage, recommended=recommended, law=truth, tables=tables,
        units=setup.units, unit=setup.unit, rows=int(setup.case.data.rows.value.size),
        noise=levels, seed=seed, source=runs.source, notes=tuple(notes),
    )  # fmt: skip


def _check(tables: int, n_draws: int, methods: Sequence[str], *noise: float | None) -> None:
    check_whole("tables", tables, usual=400)
    check_whole("n_draws", n_draws, least=39, usual=199)  # fewer cannot show a 95% interval
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise InputError(
            f"no method '{''.join(unknown[:1])}'", remedy=f"one of {', '.join(METHODS)}"
        )
    if (noise[0] is None) != (noise[1] is None):
        raise InputError(
            "one of run_noise and row_noise says too little", remedy="give both, or neither"
        )


def _begin(
    table: Observations | FitResult, law: str | Law | None
) -> tuple[Observations, Law, str, tuple[float, ...] | None]:
    """The rows, the law to simulate from, and how it was fitted."""
    if isinstance(table, FitResult):
        if law is not None:
            raise InputError("a fit has its law", remedy="pass the table, or leave law= out")
        return fitted_table(table, None, "calibrate"), table.law, table.objective, table.samples
    if isinstance(law, Law):
        identify(table, law)
        grid = sample_grid(table, law, None) if law.uses_samples else None
        return table, law, "huber", grid
    if isinstance(law, str) and template(law).kind == "loss":
        identify(table, law)
    found = fit(table, law=law, objective="huber") if law else fit(table, objective="huber")
    return table, found.law, found.objective, found.samples


def _noise(
    rng: np.random.Generator, setup: Setup, tables: int, run: float | None, row: float | None
) -> tuple[np.ndarray, dict[str, float]]:
    """Noise of every row of every table [tables, rows], and its standard deviations."""
    places = setup.places
    there = places >= 0
    size = int(there.sum())
    if run is None or row is None:
        units = in_units(settled_at(setup), jnp.asarray(places), setup.covariance)
        blocks = np.zeros((*places.shape, places.shape[1]))
        if setup.questions is not None:
            # The questions are drawn apart: what they leave in the residuals is not drawn twice.
            shared = setup.questions.covariance()
            blocks = np.asarray(question_blocks(units, jnp.asarray(places), shared))
        if setup.pooled:
            pooled, scale = np.asarray(meat(units)), np.asarray(units.root)
            weights, vectors = np.linalg.eigh(pooled - scale @ blocks.sum(0) @ scale)
            weights = np.maximum(weights, 0.0)
            pooled = (vectors * weights) @ vectors.T
            drawn = rng.normal(size=(tables, *places.shape)) @ (vectors * np.sqrt(weights)).T
            total, members = np.trace(pooled) / len(pooled), len(pooled)
            common = (pooled.sum() - np.trace(pooled)) / max(members * (members - 1), 1)
            run = float(np.sqrt(max(common, 0.0))) if members > 1 else float(np.sqrt(total))
            row = float(np.sqrt(max(total - run**2, 0.0)))
            return _by_row(drawn, places, size), {"run": run, "row": row}
        residual = np.asarray(units.residual)
        products = residual[:, :, None] * residual[:, None, :] - blocks
        run, row = _components(products, there.sum(1), len(setup.problem.cards))
    drawn = rng.normal(0, run, (tables, len(places), 1)) + rng.normal(
        0, row, (tables, *places.shape)
    )
    return _by_row(drawn, places, size), {"run": float(run), "row": float(row)}


def _components(products: np.ndarray, sizes: np.ndarray, free: int) -> tuple[float, float]:
    """Standard deviations between units and within them, from mean squares.

    Args:
      products: of the residuals of each unit, zero where it has fewer [units, members, members].
      sizes: rows of each unit [units].
      free: coefficients that were fitted.
    """
    square = products.sum((1, 2)) / sizes**2  # of each unit's mean
    inside = np.sum(np.trace(products, axis1=1, axis2=2) - sizes * square)
    # Coefficients take degrees of freedom from units and rows alike, in proportion.
    keep = 1 - free / max(sizes.sum(), free + 1)
    within = max(inside, 0.0) / max((sizes.sum() - len(sizes)) * keep, 1.0)
    units = max(len(sizes) - free, 1)
    between = np.sum(square) / units - within * np.mean(1 / sizes)
    return float(np.sqrt(max(between, 0.0))), float(np.sqrt(within))


def _by_row(drawn: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    there = places >= 0
    out = np.zeros((len(drawn), size))
    out[:, places[there]] = drawn[:, there]
    return out


def _values(setup: Setup, noise: np.ndarray) -> np.ndarray:
    """Losses of simulated tables [tables, rows]."""
    clean = np.asarray(setup.case.data.rows.predict(setup.law))
    if setup.problem.objective.log_scale:
        return clean * np.exp(noise)
    return np.maximum(clean + noise, 1e-12)


def _judge(
    setup: Setup, aims: Aim, values: np.ndarray, rng: np.random.Generator,
    methods: Sequence[str], n_draws: int, progress: bool,
) -> tuple[dict[str, np.ndarray], float]:  # fmt: skip
    """Whether each interval holds the truth, by method [tables, quantities, levels]."""
    tables = len(values)
    covariance = setup.covariance
    questions = setup.questions
    share = dict.fromkeys(m for m in methods if m in ("bootstrap", "row bootstrap"))
    parts: list[Any] = []
    beyond: dict[str, list[np.ndarray]] = {name: [] for name in share}
    size = min(_BATCH, tables)
    batches = [np.arange(i, min(i + size, tables)) for i in range(0, tables, size)]
    for batch in track(batches, "tables", show=progress):
        picked = jnp.asarray(values[np.resize(batch, size)])
        places = jnp.asarray(setup.places)
        seen = _look(
            setup.problem, covariance, "profile" in methods, setup.case, setup.start, aims, picked,
            places, questions,
        )  # fmt: skip
        count = len(batch)
        parts.append(jax.tree.map(lambda x, n=count: np.asarray(x)[:n], seen))
        for name in share:
            weight = _weights(rng, setup.places, values.shape[1], name, (size, n_draws))
            shift = _shifts(rng, setup, name, weight.shape)
            outside = _beyond(
                setup.problem, setup.case, seen.free, aims, picked, jnp.asarray(weight),
                jnp.asarray(shift),
            )  # fmt: skip
            beyond[name].append(np.asarray(outside)[:count])
    seen = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    level = np.asarray(LEVELS)
    reach, worth_reach = (
        student_quantile(level, np.asarray(dof)[..., None]) for dof in (seen.dof, seen.worth_dof)
    )
    covered = {}
    for name in methods:
        if name in share:
            rank = np.concatenate(beyond[name])[..., None]
            # Whole where the count of draws was chosen for it, which rounding must not undo.
            edge = np.round((1 - level) / 2 * (n_draws + 1), 9)
            covered[name] = (rank >= edge) & (rank < n_draws + 1 - edge)
        else:
            profiled = name == "profile"
            found = (seen.root if profiled else seen.wald)[..., None]
            within = found <= (worth_reach if profiled else reach)
            covered[name] = within & seen.done[:, None, None]
    return covered, float(seen.done.mean())


class _Seen(NamedTuple):
    """What one simulated table says of the truth.

    Attributes:
      free: the refit [coordinates].
      root: signed root of the profile statistic at the truth [quantities].
      wald: distance of the estimate from it in standard errors [quantities].
      dof: degrees of freedom of the standard error [quantities].
      worth_dof: those of the profile statistic [quantities].
      done: whether the refit came to rest.
    """

    free: Floats
    root: Floats
    wald: Floats
    dof: Floats
    worth_dof: Floats
    done: Floats


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _look(
    problem: Problem, covariance: str, profiled: bool, case: Case, truth: Floats, aims: Aim,
    values: Floats, places: Floats, questions: Questions | None,
) -> _Seen:  # fmt: skip
    """Refit every table of a batch and compare it with the truth."""

    def one(value):
        own = _with_rows(case, value=value)
        base = settle(problem, truth, own)

        def estimated(aim):
            plain = aim.value + held(problem, base.free, own, aim)
            if own.box is None:
                return plain
            return jnp.where(aim.kind == SIZE, _size(problem, base.free, own, aim.value), plain)

        here = aims._replace(value=jax.vmap(estimated)(aims))
        known = known_quantities(problem, covariance, base, own, here, places, questions)
        wald = jnp.abs(known.aims.value - aims.value) / jnp.sqrt(known.variance)
        root = wald
        if profiled:
            at_truth = aims._replace(unit=known.aims.unit)
            root = jax.vmap(lambda a, w: statistic(problem, base, own, a, w, base.free)[0])(
                at_truth, known.worth
            )
        return _Seen(base.free, root, wald, known.dof, known.worth_dof, base.done)

    return jax.vmap(one)(values)


def _with_rows(case: Case, **columns: Floats) -> Case:
    rows = dataclasses.replace(case.data.rows, **columns)
    return dataclasses.replace(case, data=dataclasses.replace(case.data, rows=rows))


def _size(problem: Problem, free: Floats, case: Case, near: Floats) -> Floats:
    """Log N* under the budget, where the loss stops falling."""
    assert case.box is not None
    along = path_cost(problem.law(free, case.data), case.box)

    def slope(n):
        return jax.jvp(lambda n: along(n, jnp.zeros(())), (n,), (jnp.ones(()),))[1], ()

    return falling_root(slope, near - _REACH, near + _REACH)[0]


@functools.partial(jax.jit, static_argnums=0)
def _beyond(
    problem: Problem, case: Case, starts: Floats, aims: Aim, values: Floats, weights: Floats,
    shifts: Floats,
) -> Floats:  # fmt: skip
    """How many bootstrap draws of a quantity lie on one side of the truth [tables, quantities].

    An interval cuts both tails alike, so which side it is does not matter.
    """

    def one(start, value, weight, shift):
        moved = value * jnp.exp(shift) if problem.objective.log_scale else value + shift
        own = _with_rows(case, value=jnp.maximum(moved, 1e-12), weight=weight)
        free = settle(problem, start, own, max_steps=_REFIT_STEPS).free
        return jax.vmap(lambda aim: held(problem, free, own, aim))(aims) > 0

    def table(start, value, *own):
        return jnp.sum(jax.vmap(lambda *draw: one(start, value, *draw))(*own), axis=0)

    return jax.lax.map(lambda args: table(*args), (starts, values, weights, shifts))


def _shifts(
    rng: np.random.Generator, setup: Setup, method: str, shape: tuple[int, ...]
) -> np.ndarray:
    """How other questions move the losses in each bootstrap draw [tables, draws, rows].

    On the residual's scale, to first order. The naive bootstrap keeps its questions.
    """
    if setup.scores is None or setup.strata is None or method == "row bootstrap":
        return np.zeros(shape)
    counts = question_weights(rng, "pairs", setup.strata, shape[0] * shape[1])
    return ((counts - 1) / counts.shape[1] @ setup.scores.T).reshape(shape)


def _weights(
    rng: np.random.Generator, places: np.ndarray, rows: int, method: str, shape: tuple[int, int]
) -> np.ndarray:
    """Multinomial weights of rows, by unit or each for itself [tables, draws, rows]."""
    if method == "row bootstrap":
        return rng.multinomial(rows, np.full(rows, 1 / rows), size=shape).astype(float)
    units = len(places)
    counts = rng.multinomial(units, np.full(units, 1 / units), size=shape)
    out = np.zeros((*shape, rows))
    there = places >= 0
    out[..., places[there]] = np.repeat(counts, there.sum(1), axis=-1)
    return out
