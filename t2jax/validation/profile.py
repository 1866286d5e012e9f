"""Profile intervals: the values of a quantity at which the rows can still be fitted well enough."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import _text
from t2jax._arguments import check_level
from t2jax._precision import double
from t2jax._result import SavedResult
from t2jax._typing import Floats, Scalar
from t2jax.errors import InputError
from t2jax.fitting import FitResult
from t2jax.fitting.problem import Problem
from t2jax.laws import on_host
from t2jax.observations import Observations
from t2jax.planning import Budget
from t2jax.uncertainty.discrepancy import TAKEN_AS_TRUE, applies
from t2jax.uncertainty.ensemble import fitted_table
from t2jax.uncertainty.question_choice import SAME_QUESTIONS
from t2jax.validation.covariance import METHODS, student_quantile
from t2jax.validation.held_fit import COEFFICIENT, Aim, Case, Settled, Setup, settle
from t2jax.validation.laplace_check import laplace_k
from t2jax.validation.pareto import RELIABLE
from t2jax.validation.quantities import Quantity, aims_of, budget_plan, chosen, quantities_of
from t2jax.validation.variances import known_quantities

__all__ = ["Interval", "Profile", "profile"]

_TRIES = 16  # constrained fits on the way to one end
_FAR = 1e-6  # violation of the held quantity that counts as no fit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """An interval of one quantity.

    Attributes:
      name: the quantity.
      estimate: at the least-squares minimum.
      low: lower end; 0 or -inf where nothing below is ruled out.
      high: upper end; inf where nothing above is ruled out.
      level: of the interval.
      dof: degrees of freedom of the noise.
      standard_error: in the coordinate of the quantity, a log for positive ones.
    """

    name: str
    estimate: float
    low: float
    high: float
    level: float
    dof: float
    standard_error: float

    @property
    def bounded(self) -> bool:
        """Whether both ends were found."""
        return math.isfinite(self.high) and math.isfinite(self.low) and self.low != 0.0

    @property
    def undefined(self) -> bool:
        """Whether an end is no number at all."""
        return math.isnan(self.low) or math.isnan(self.high)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Profile(SavedResult):
    """Intervals of several quantities, by one method.

    Attributes:
      intervals: by name; along spent budgets N, D, k and D/N follow from one another.
      law_name: name of the law.
      method: "profile" or "laplace".
      covariance: "pooled" or "robust": how the noise of a unit was measured.
      unit: what shares noise.
      units: how many of them.
      level: of the intervals.
      notes: what must be said beside them.
      source: file the data came from.
      k_hat: of "laplace": Pareto k-hat of draws from it; above 0.7 it has not the target's shape.
    """

    intervals: dict[str, Interval]
    law_name: str
    method: str
    covariance: str
    unit: str
    units: int
    level: float
    notes: tuple[str, ...] = ()
    source: str = ""
    k_hat: float | None = None

    def __getitem__(self, name: str) -> Interval:
        """The interval of a quantity."""
        if name not in self.intervals:
            known = ", ".join(self.intervals)
            raise InputError(f"no interval of '{name}'", remedy=f"one of {known}")
        return self.intervals[name]

    def sentence(self) -> str:
        """One sentence that says which interval this is."""
        share = {"pooled": "noise pooled over", "robust": "cluster-robust over"}[self.covariance]
        how = "profile likelihood" if self.method == "profile" else "Laplace (t) approximation"
        return (
            f"{self.level:.0%} intervals by {how}, {share} {self.units} units of '{self.unit}', "
            "Student/F thresholds at the degrees of freedom that are left"
        )

    def records(self) -> list[dict[str, Any]]:
        """One record per interval."""
        return [dataclasses.asdict(interval) for interval in self.intervals.values()]

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Intervals of law '{self.law_name}'" + (f" on {self.source}" if self.source else "")

    def summary(self) -> str:
        """The intervals as fixed-width text."""
        head = ["quantity", "estimate", f"{self.level:.0%} interval", "dof"]
        rows = []
        for i in self.intervals.values():
            show = _text.count if i.name in ("params", "tokens", "samples") else _text.number
            band = _text.interval(i.low, i.high, show)
            rows.append([i.name, show(i.estimate), band, _text.number(i.dof, 3)])
        lines = [_text.underline(self.title), _text.table(head, rows), self.sentence() + "."]
        if self.k_hat is not None:
            lines.append(f"Pareto k-hat of draws from it: {_text.number(self.k_hat, 2)}")
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `from_dict` reads it back."""
        out = dataclasses.asdict(self)
        out["notes"] = list(self.notes)
        return {"format": "t2jax.profile/1", "law": out.pop("law_name"), **out}

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote."""
        values = {name: value for name, value in description.items() if name != "format"}
        intervals = {name: Interval(**own) for name, own in values.pop("intervals").items()}
        notes = tuple(values.pop("notes"))
        return cls(law_name=values.pop("law"), intervals=intervals, notes=notes, **values)


class Ends(NamedTuple):
    """What one search returned: ends in the coordinate, and where no fit held the quantity.

    Attributes:
      low: lower ends [quantities].
      high: upper ends [quantities].
      lost: whether the fit with the quantity held did not settle where the search stopped.
    """

    low: Floats
    high: Floats
    lost: Floats


def check_method(method: str) -> None:
    """Stop at a method that there is none of.

    Raises:
      InputError: there is none.
    """
    if method not in ("profile", "laplace"):
        raise InputError(f"no method '{method}'", remedy="use profile or laplace")


@double
def profile(
    fit: FitResult,
    quantities: Sequence[str] | str | None = None,
    *,
    budget: Budget | None = None,
    level: float = 0.9,
    unit: str | None = None,
    covariance: str | None = None,
    method: str = "profile",
    runs: Observations | None = None,
) -> Profile:
    """Intervals by profile likelihood with small-sample thresholds.

    A value psi belongs to the interval of a quantity when
    `(Q(psi) - Q) v' (J'J)^-1 v / V <= F(1, dof)`: Q the sum of squared residuals of the log loss
    over rows, Q(psi) the least one with the quantity held at psi, v the gradient of the quantity,
    V its variance when noise is shared by the rows of a unit, dof the degrees of freedom of V.
    With one row a unit this is the F interval of nonlinear regression, dof = units - coefficients.
    Where a coefficient may meet its bound, the smaller scale of two counts: it free, and it fixed.
    N* is held by the first-order condition of the budget, so that no optimum is solved on the way.

    Args:
      fit: the fit; its law must be one of loss. The interval is centred on the least-squares
        minimum next to it, whatever objective it was fitted with.
      quantities: coefficients by name, `"params"` (N*), `"tokens"`, `"samples"`,
        `"tokens_per_param"`, `"loss"`; all of them unless given.
      budget: 6ND and 2Nk apart; without it only coefficients have intervals.
      level: of the intervals.
      unit: what shares noise: "run", "trunk" or "row"; runs unless the table names trunks.
      covariance: "pooled" (every unit has the same noise; the default where units have the same
        k) or "robust" (each its own; the default elsewhere).
      method: "profile", or "laplace" for the quadratic approximation.
      runs: the table, where the fit was read from a file.

    Returns:
      The intervals. An end that the rows do not rule out is infinite (or 0).

    Raises:
      InputError: an accuracy law, an unknown quantity or method, another table.
      Refusal: no more units than coefficients, or a budget whose optimum is a bound.

    Source: Bates and Watts 1988, ch. 6; scaled for shared noise as in Chandler and Bate 2007,
    doi:10.1093/biomet/asm015; covariance of few units as in Pan 2001.

    >>> import t2jax as t2
    >>> table = t2.datasets.load_ladder(measure="loss")
    >>> found = t2.profile(t2.fit(table, objective="huber"), "alpha")
    >>> found["alpha"].low < found["alpha"].estimate < found["alpha"].high
    True
    """
    check_level(level)
    check_method(method)
    table = fitted_table(fit, runs, "the profile")
    names = [quantities] if isinstance(quantities, str) else quantities
    how = {"objective": fit.objective, "samples": fit.samples, "unit": unit}
    begun = Setup.of(fit.law, table, box=None, plan=None, **how)
    covariance = covariance or begun.covariance
    if covariance not in METHODS or (covariance == "pooled" and not begun.pooled):
        raise InputError(
            f"covariance '{covariance}' does not go with these units",
            remedy="pooled needs units of one checkpoint with the same k; use robust",
        )
    base = settled_at(begun)
    law = on_host(begun.problem.law(base.free, begun.case.data))
    best, box, plan = budget_plan(law, budget, fit.hull)
    setup = begun if best is None else Setup.of(fit.law, table, box=box, plan=plan, **how)
    asked = chosen(quantities_of(law, best), list(names) if names is not None else None)
    aims = aims_of(asked, law)
    known = known_quantities(
        setup.problem, covariance, base, setup.case, aims, jnp.asarray(setup.places),
        setup.questions,
    )  # fmt: skip
    aims, error = known.aims, jnp.sqrt(known.variance)
    dof = known.dof if method == "laplace" else known.worth_dof
    reach = student_quantile(level, dof)
    if method == "laplace":
        wide = reach * error
        ends = Ends(aims.value - wide, aims.value + wide, jnp.zeros(len(wide), bool))
    else:
        ends = _ends(setup.problem, base, setup.case, aims, known.worth, reach, error)
    intervals = {}
    for i, quantity in enumerate(asked):
        low, high = (_natural(quantity, law, float(end[i])) for end in ends[:2])
        intervals[quantity.name] = Interval(
            name=quantity.name, estimate=quantity.estimate, low=low, high=high, level=level,
            dof=float(dof[i]), standard_error=float(error[i]),
        )  # fmt: skip
    if budget is not None and "params" in intervals:
        intervals |= _follow(intervals["params"], budget)
    notes = _notes(setup, base, fit, law, intervals, np.asarray(known.shared))
    notes += _lost(intervals, [q.name for q, lost in zip(asked, ends.lost, strict=True) if lost])
    if covariance == "robust":
        notes += _unequal(setup)
    k_hat = laplace_k(setup, base, covariance) if method == "laplace" else None
    if k_hat is not None and k_hat > RELIABLE:
        notes.append(
            f"k-hat {_text.number(k_hat, 2)} is above {RELIABLE}: the sum of squares is far from "
            "quadratic where these intervals reach; use method='profile' or t2jax.bootstrap"
        )
    return Profile(
        intervals=intervals, law_name=law.name, method=method, covariance=covariance,
        unit=setup.unit, units=setup.units, level=level, source=table.source, notes=tuple(notes),
        k_hat=k_hat,
    )  # fmt: skip


def settled_at(setup: Setup) -> Settled:
    """The least-squares minimum next to a fit."""
    return _settled(setup.problem, setup.start, setup.case)


@functools.partial(jax.jit, static_argnums=0)
def _settled(problem: Problem, start: Floats, case: Case) -> Settled:
    return settle(problem, start, case)


def statistic(
    problem: Problem, base: Settled, case: Case, aim: Aim, worth: Scalar, start: Floats
) -> tuple[Scalar, Floats]:
    """The root of the scaled rise of the sum of squares with an aim held, and the vector there.

    NaN where no fit holds the quantity there.
    """
    found = settle(problem, start, case, aim)
    rise = jnp.maximum(found.square - base.square, 0.0) * worth
    sound = (found.missed < _FAR) & found.done & jnp.isfinite(rise)
    return jnp.where(sound, jnp.sqrt(rise), jnp.nan), found.free


@functools.partial(jax.jit, static_argnums=0)
def _ends(
    problem: Problem, base: Settled, case: Case, aims: Aim, worth: Floats, reach: Floats,
    error: Floats,
) -> Ends:  # fmt: skip
    """Both ends of every interval [quantities]; infinite where the search ran out of tries."""

    def one(aim, worth, reach, error, side):
        centre = aim.value

        def go(state):
            return (state.tries < _TRIES) & ~(jnp.abs(state.outer - state.inner) < 1e-6 * error)

        def step(state):
            inner, inner_z, outer, outer_z, free, tries, stuck = state
            # The root of the rise is nearly linear: aim along the chord, never past thrice as far.
            ratio = jnp.where(inner > 0, inner_z / jnp.maximum(inner, 1e-300), 1.0 / error)
            beyond = jnp.clip(1.02 * reach / ratio, inner + 0.05 * reach * error,
                              3.0 * inner + reach * error)  # fmt: skip
            chord = inner + (reach - inner_z) / (outer_z - inner_z) * (outer - inner)
            width = outer - inner
            inside = jnp.clip(chord, inner + 0.01 * width, outer - 0.01 * width)
            inside = jnp.where(stuck, inner + 0.5 * width, inside)
            trial = jnp.where(jnp.isfinite(outer), inside, beyond)
            trial = jnp.where(stuck & ~jnp.isfinite(outer), inner + 0.3 * reach * error, trial)
            held = aim._replace(value=centre + side * trial)
            z, moved = statistic(problem, base, case, held, worth, free)
            failed = jnp.isnan(z)
            within = ~failed & (z <= reach)
            past = ~failed & (z > reach)
            return _Bracket(
                jnp.where(within, trial, inner), jnp.where(within, z, inner_z),
                jnp.where(past, trial, outer), jnp.where(past, z, outer_z),
                jnp.where(within, moved, free), tries + 1, failed,
            )  # fmt: skip

        zero = jnp.zeros(())
        begin = _Bracket(
            zero, zero, zero + jnp.inf, zero + jnp.inf, base.free, jnp.asarray(0), zero > 0
        )
        at = jax.lax.while_loop(go, step, begin)
        chord = (reach - at.inner_z) / (at.outer_z - at.inner_z) * (at.outer - at.inner)
        bounded = jnp.isfinite(at.outer)
        end = jnp.where(bounded, at.inner + chord, jnp.inf)
        return centre + side * end, at.stuck & ~bounded

    def both(aim, worth, reach, error):
        sides = jnp.array([-1.0, 1.0])
        return jax.vmap(lambda side: one(aim, worth, reach, error, side))(sides)

    ends, lost = jax.vmap(both)(aims, worth, reach, error)
    return Ends(ends[:, 0], ends[:, 1], jnp.any(lost, axis=1))


class _Bracket(NamedTuple):
    """An end of an interval on its way: distances from the estimate, and what was found there.

    Attributes:
      inner: the farthest distance that lies within the interval.
      inner_z: root of the rise of the squares there.
      outer: the nearest distance past it, infinite until one is found.
      outer_z: root of the rise there.
      free: the fit at `inner`, from which the next one starts.
      tries: fits so far.
      stuck: whether the last fit did not settle.
    """

    inner: Scalar
    inner_z: Scalar
    outer: Scalar
    outer_z: Scalar
    free: Floats
    tries: Scalar
    stuck: Scalar


def _natural(quantity: Quantity, law: Any, coordinate: float) -> float:
    """A value from its coordinate, clipped to what the coefficient can be."""
    if quantity.kind == COEFFICIENT:
        card = law.cards()[quantity.index]
        if card.closed:
            coordinate = max(coordinate, 0.0)
    return quantity.natural(law, coordinate)


def _follow(size: Interval, budget: Budget) -> dict[str, Interval]:
    """D, k and D/N along the spent budgets, from N: ends change places where they fall with N."""
    box = budget.box(samples=True)
    out = {}

    def at(params: float, name: str) -> float:
        if math.isnan(params):
            return math.nan  # an end that is not known for N is not known for what follows it
        if not 0 < params < math.inf:
            return 0.0 if params > 1 else math.inf
        n = jnp.log(jnp.asarray(params))
        # The law only says when sampling stops, which it does not under these budgets.
        d, x = box.split(None, n, 0.0)  # pyright: ignore[reportArgumentType] -- see above
        found = {"tokens": d, "samples": x, "tokens_per_param": d - n}[name]
        return float(jnp.exp(found))

    for name in ("tokens", "samples", "tokens_per_param"):
        if name == "samples" and budget.inference_flops is None:
            continue
        low, high = at(size.high, name), at(size.low, name)
        out[name] = dataclasses.replace(
            size, name=name, estimate=at(size.estimate, name), low=low, high=high,
            standard_error=size.standard_error * (2.0 if name == "tokens_per_param" else 1.0),
        )  # fmt: skip
    return out


def _notes(
    setup: Setup, base: Settled, fit: FitResult, law: Any, intervals: dict[str, Interval],
    shared: np.ndarray,
) -> list[str]:  # fmt: skip
    notes = [] if fit.success else [f"NOT CERTIFIED: {fit.message}"]
    if not bool(base.done):
        notes.append("THE LEAST-SQUARES FIT DID NOT COME TO REST: do not use these intervals")
    names = [c.name for c in setup.problem.cards]
    stuck = [name for name, pin in zip(names, np.asarray(base.pinned), strict=True) if pin]
    if stuck:
        notes.append(f"{', '.join(stuck)} at a bound: not identified by these rows")
    ours, theirs = law.coefficients(), fit.law.coefficients()
    far = []
    for name, interval in intervals.items():
        if name in theirs and interval.standard_error > 0:
            card = law.cards()[names.index(name)]
            gap = card.to_free(jnp.asarray(theirs[name])) - card.to_free(jnp.asarray(ours[name]))
            if abs(float(gap)) > interval.standard_error:
                far.append(name)
    if far:
        notes.append(
            f"least squares and objective '{fit.objective}' disagree on {', '.join(far)} by more "
            "than a standard error: outliers or too few rows; look at the residuals"
        )
    if np.any(shared > 0):
        notes.append("the choice of questions is part of the intervals")
    elif setup.scores is None:
        notes.append(SAME_QUESTIONS)
    if applies(fit):
        notes.append(TAKEN_AS_TRUE)
    open_ends = [i.name for i in intervals.values() if not (i.bounded or i.undefined)]
    if open_ends:
        notes.append(f"the rows do not bound {', '.join(open_ends)}")
    return notes


def _lost(intervals: dict[str, Interval], lost: list[str]) -> list[str]:
    """Which ends are open for want of a fit, and which are no number."""
    notes = []
    if lost:
        notes.append(
            f"the fit with {', '.join(lost)} held did not settle on the way out: an open end there "
            "is one that was not found"
        )
    undefined = [i.name for i in intervals.values() if i.undefined]
    if undefined:
        notes.append(
            f"NO ENDS FOR {', '.join(undefined)}: the noise, or the slope of the law in it, is no "
            "number; look at the residuals and at what is at a bound"
        )
    return notes


_UNEQUAL = 0.4  # effective share of units below which simulated coverage was seen to fall


def _unequal(setup: Setup) -> list[str]:
    """A warning where few units hold most of the rows."""
    rows = np.sum(setup.places >= 0, axis=1)
    effective = float(rows.sum() ** 2 / np.sum(rows**2))
    if effective > _UNEQUAL * len(rows):
        return []
    return [
        f"rows are so unequally shared that {len(rows)} units of '{setup.unit}' count as "
        f"{effective:.1f}: measure the coverage with t2jax.calibrate before you bet on this"
    ]
