"""What not knowing the law costs: the plan of least expected regret, and the plans near it."""

import dataclasses
import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import _text
from t2jax._arguments import check_level
from t2jax._precision import double, to_numpy
from t2jax._programs import program
from t2jax._result import SavedResult
from t2jax._typing import Floats
from t2jax.errors import InputError, Refusal
from t2jax.laws import Law
from t2jax.planning.budget import Budget
from t2jax.planning.driver import answerable, box_of, checked, optimum
from t2jax.planning.result import Optimum
from t2jax.planning.solvers.box import ALL_TRAINING, Box
from t2jax.planning.solvers.objective import cost_of
from t2jax.uncertainty.ensemble import Ensemble

__all__ = ["Decision", "Lattice", "judged", "lattice", "regret"]

_POINTS = 257  # sizes; over three decades neighbours differ by 2.7%
_SHARES = 65  # logits of the training share, at each size of a total
_WIDEN = 1.5  # e-folds of N beyond the draws' optima, either side
_TAIL = 0.005  # of the draws' optima, left out of that range on each side
_BATCH = 64  # draws per step
_FEW = 20  # draws
_PLAN = ("params", "tokens", "samples")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Lattice:
    """Every draw's cost of every plan on a lattice that spends the budget.

    Attributes:
      n: log N of the plans [plans].
      d: log D [plans].
      x: log k [plans].
      cost: what is minimised, by draw [draws, plans].
      least: each draw's own minimum, NaN where it has none [draws].
      stars: each draw's optimum.
      point: that of the estimate.
      sizes: number of distinct N; plans of one N stand next to each other.
    """

    n: np.ndarray
    d: np.ndarray
    x: np.ndarray
    cost: np.ndarray
    least: np.ndarray
    stars: Optimum
    point: Optimum
    sizes: int

    @property
    def fine(self) -> np.ndarray:
        """Which draws have an optimum [draws]."""
        return np.isfinite(self.least)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Decision(SavedResult):
    """Plans judged by all draws at once.

    The regret of a plan under one draw is how much worse it is than that draw's own optimum.

    Attributes:
      params: sizes N that were judged [sizes].
      tokens: tokens D of the best plan of each size [sizes].
      samples: its samples k [sizes].
      expected: mean regret over draws, nats or pass@k [sizes].
      high: 90th percentile of the regret over draws [sizes].
      best: the plan of least expected regret: params, tokens, samples, expected, high.
      plug_in: the optimum of the point estimate, judged alike.
      within: how much worse than `best`, in expectation, a plan may be.
      near: the smallest and the largest N within it.
      level: of the joint region.
      centre: means of log N*, log D*, log k* over draws [3].
      covariance: of the same [3, 3].
      kind: "loss" or "accuracy".
      open_ended: whether the region runs into an end of the sizes judged: (low, high).
      status: what must be said beside it, in sentences.
    """

    params: np.ndarray
    tokens: np.ndarray
    samples: np.ndarray
    expected: np.ndarray
    high: np.ndarray
    best: dict[str, float]
    plug_in: dict[str, float]
    within: float
    near: tuple[float, float]
    level: float
    centre: np.ndarray
    covariance: np.ndarray
    kind: str
    open_ended: tuple[bool, bool] = (False, False)
    status: tuple[str, ...] = ()

    def inside(self, *, params: float, tokens: float, samples: float) -> bool:
        """Whether a plan lies in the joint region of (N*, D*, k*), an ellipsoid in logs.

        Where the budget ties the three together the region is flat, and only a plan that spends
        it can be inside.
        """
        from scipy.special import gammaincinv  # a third of a second, which no plan has need of

        gap = np.log([params, tokens, samples]) - self.centre
        values, axes = np.linalg.eigh(self.covariance)
        along = axes.T @ gap
        scale = max(float(values[-1]), 1e-300)
        flat = values < 1e-8 * scale
        if np.any(np.abs(along[flat]) > 1e-3 * math.sqrt(scale) + 1e-6):
            return False
        distance = float(np.sum(along[~flat] ** 2 / values[~flat]))
        if np.all(flat):
            return True  # no direction is left in which a plan could be far
        # The quantile of chi-squared with as many degrees of freedom as there are directions.
        return distance <= 2.0 * float(gammaincinv(np.sum(~flat) / 2, self.level))

    def words(self) -> list[str]:
        """The decision in sentences."""
        unit = "nats" if self.kind == "loss" else "of pass@k"
        low, high = self.near
        ends = [_text.count(low), _text.count(high)]
        if self.open_ended[0]:
            ends[0] += " (the smallest judged) "
        if self.open_ended[1]:
            ends[1] += " (the largest judged)"
        lines = [
            f"any N between {ends[0].strip()} and {ends[1]} costs at most {self.within:g} {unit} "
            "more than the best, on average over the draws",
            f"not knowing the law costs {_text.number(self.best['expected'], 2)} {unit} on average "
            f"at N {_text.count(self.best['params'])}, the plan that costs least so, and "
            f"{_text.number(self.plug_in['expected'], 2)} at the optimum of the estimate, "
            f"N {_text.count(self.plug_in['params'])}",
        ]
        return lines + [f"note: {sentence}" for sentence in self.status]

    def records(self) -> list[dict[str, float]]:
        """One record per size that was judged: its best plan and what it is regretted by."""
        names = (*_PLAN, "expected", "high")
        columns = (getattr(self, name).tolist() for name in names)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return "Decision"

    def summary(self) -> str:
        """The two plans side by side, and what the draws say about them, as text."""
        names = {"params": "parameters N", "tokens": "training tokens D",
                 "samples": "samples per question k"}  # fmt: skip
        rows = [[title, _text.count(self.best[name]), _text.count(self.plug_in[name])]
                for name, title in names.items()]  # fmt: skip
        for name, title in (("expected", "expected regret"), ("high", "regret, 90th percentile")):
            rows.append([title, *(_text.number(plan[name], 3)
                                  for plan in (self.best, self.plug_in))])  # fmt: skip
        table = _text.table(["", "least regret", "estimate's optimum"], rows)
        return "\n".join([_text.underline(self.title), table, "", *self.words()])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        out = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"format": "t2jax.decision/1"} | {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in out.items()
        }

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote."""
        out = {name: value for name, value in description.items() if name != "format"}
        for name in ("params", "tokens", "samples", "expected", "high", "centre", "covariance"):
            out[name] = np.asarray(out[name], float)
        for name in ("near", "open_ended", "status"):
            out[name] = tuple(out[name])
        return cls(**out)


@double
def regret(
    draws: Ensemble, budget: Budget, *, within: float = 0.005, level: float = 0.9
) -> Decision:
    """Judge every plan that spends the budget by all draws, and find the one to regret least.

    `regret_j(plan) = cost_j(plan) - min cost_j`; the least of its mean over draws j is the Bayes
    plan, which need not be the optimum of the point estimate nor the mean of the draws' optima.

    Args:
      draws: draws of a law.
      budget: one budget with something to spend.
      within: width of the region of near-best sizes, nats or pass@k.
      level: of the joint region of (N*, D*, k*).

    Returns:
      The decision.

    Raises:
      InputError: no draws, a sweep, or a width that is not positive.
      Refusal: a target, whose regret is money and not quality; or draws of which too few have
        an optimum.

    >>> import numpy as np
    >>> from t2jax import Budget, Ensemble
    >>> from t2jax.laws import Additive
    >>> law = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> many = law.replace(alpha=np.linspace(0.326, 0.346, 41), A=np.full(41, 406.4),
    ...     B=np.full(41, 410.7), E=np.full(41, 1.69), beta=np.full(41, 0.283))
    >>> choice = regret(Ensemble(law=many, point=law, kind="simulation"), Budget(train_flops=1e21))
    >>> choice.near[0] < choice.best["params"] < choice.near[1]
    True
    """
    if not (math.isfinite(within) and within > 0):
        raise InputError(f"within = {within!r} is not a positive number", remedy="e.g. 0.005")
    check_level(level)
    return judged(draws, budget, lattice(draws, budget), within=within, level=level)


@double
def judged(
    draws: Ensemble, budget: Budget, table: Lattice, *, within: float = 0.005, level: float = 0.9
) -> Decision:
    """The decision of a lattice that is at hand; see `regret`."""
    fine = table.fine
    gaps = table.cost[fine] - table.least[fine, None]
    # Every draw counts alike; rounding may leave a gap a hair below zero.
    expected = np.maximum(np.mean(gaps, axis=0), 0.0)
    by_size = expected.reshape(table.sizes, -1)
    chosen = np.argmin(by_size, axis=1) + np.arange(table.sizes) * by_size.shape[1]
    n, curve = table.n[chosen], expected[chosen]
    at = chosen[np.argmin(curve)]
    best = _judged(draws, budget, table, *(float(getattr(table, q)[at]) for q in "ndx"))
    # The lattice takes samples as they come, whole or not.
    point = optimum(draws.point, budget) if budget.integer_samples else table.point
    plug_in = _judged(draws, budget, table, *(math.log(float(getattr(point, q))) for q in _PLAN))
    if plug_in["expected"] < best["expected"]:  # the lattice is coarser than the estimate
        best = plug_in
    promised = float(np.median(np.abs(table.least[fine])))
    if not best["expected"] <= promised:
        raise Refusal(
            "the draws disagree about every plan by more than the value that they promise",
            remedy="bring more runs, or fit a law with fewer coefficients",
        )
    limit = best["expected"] + within
    inner = np.flatnonzero(curve <= limit)
    if len(inner):
        low, high = (_crossing(n, curve, limit, inner[i], step) for i, step in ((0, -1), (-1, 1)))
    else:
        low = high = math.log(best["params"])
    logs = np.log(np.stack([getattr(table.stars, q) for q in _PLAN]))[:, fine]
    return Decision(
        params=np.exp(n),
        tokens=np.exp(table.d[chosen]),
        samples=np.exp(table.x[chosen]),
        expected=curve,
        high=np.quantile(gaps[:, chosen], 0.9, axis=0),
        best=best,
        plug_in=plug_in,
        within=within,
        near=(math.exp(low), math.exp(high)),
        level=level,
        centre=logs.mean(1),
        covariance=np.cov(logs),
        kind=draws.point.kind,
        open_ended=(bool(len(inner) and inner[0] == 0),
                    bool(len(inner) and inner[-1] == len(n) - 1)),
        status=tuple(draws.code.sentences()),
    )  # fmt: skip


@double
def lattice(draws: Ensemble, budget: Budget, best: Optimum | None = None) -> Lattice:
    """Every draw's cost of the plans on a lattice over sizes, and training shares of a total.

    Args:
      draws: draws of a law.
      budget: one budget with something to spend.
      best: its optimum, where that is at hand.

    Raises:
      InputError: no draws, or a sweep.
      Refusal: a target; sampling until success; or too few draws with an optimum.
    """
    ensemble = checked(draws, budget)
    budget = answerable(budget, ensemble)
    if ensemble.n_draws < 2:
        raise InputError("regret needs draws of a law", remedy="make them with t2jax.bootstrap")
    if budget.shape != ():
        raise InputError("a sweep has no single decision", remedy="give one number per budget")
    if budget.mode == "target":
        raise Refusal(
            "at a target the regret is money, not quality",
            remedy="give the budget that the plan spends: total_flops or dollars",
        )
    if budget.cost.stop_at_success:
        raise Refusal("what stop_at_success spends depends on the law, so that no plan is the same "
                      "plan under every draw", remedy="leave it out here")  # fmt: skip
    whole = budget.integer_samples
    budget = dataclasses.replace(budget, integer_samples=False)
    # With rivals that nobody reads here: it is the program that the plan has compiled.
    if best is None or best.draws is None or whole:
        best = optimum(ensemble, budget, progress=False)
    stars = best.draws
    assert stars is not None
    least = np.asarray(stars.value) * (1.0 if ensemble.point.kind == "loss" else -1.0)
    sizes = np.asarray(stars.params)
    least = np.where(np.isfinite(sizes), least, np.nan)
    if np.sum(np.isfinite(least)) < _FEW:
        raise Refusal(
            f"{np.sum(np.isfinite(least))} of {ensemble.n_draws} draws have an optimum",
            remedy="bring runs that identify the law, or a law with fewer coefficients",
        )
    law, box = jax.tree.map(
        lambda x: jnp.asarray(x, float), (ensemble.point, box_of(ensemble.point, budget))
    )
    low, high = np.log(np.nanquantile(sizes, [_TAIL, 1 - _TAIL]))
    low = max(low - _WIDEN, float(box.lower()))
    high = min(high + _WIDEN, float(box.upper()))
    n = jnp.linspace(low, max(high, low + 1e-6), _POINTS)
    n, d, x = _plans(law, box, n, stars)
    batched = _costs(jax.tree.map(lambda v: jnp.asarray(v, float), ensemble.law), box, n, d, x)
    n, d, x, cost = to_numpy((n, d, x, batched))
    cost = np.where(np.isnan(cost), np.inf, cost)
    return Lattice(n=n, d=d, x=x, cost=cost, least=least, stars=stars, point=best, sizes=_POINTS)


def _plans(law: Law, box: Box, n: Floats, stars: Optimum) -> tuple[Floats, Floats, Floats]:
    """Logs of N, D and k of the plans that spend the budget."""
    if box.separate or box.pinned:
        return n, *_all_spent(law, box, n)
    trained = box.cost.train_rate(jnp.log(stars.params)) * jnp.asarray(stars.params * stars.tokens)
    share = np.clip(np.asarray(trained / jnp.exp(box.total)), 1e-12, 1 - 1e-12)
    logits = np.log(share / (1 - share))
    logits = logits[np.isfinite(logits)]
    u = jnp.linspace(
        np.quantile(logits, _TAIL) - 3.0, np.quantile(logits, 1 - _TAIL) + 3.0, _SHARES
    )
    grid_n, grid_u = (v.ravel() for v in jnp.meshgrid(n, u, indexing="ij"))
    d, x = jax.vmap(lambda n, u: box.split(law, n, u))(grid_n, grid_u)
    return grid_n, d, x


@program
def _all_spent(law: Law, box: Box, n: Floats) -> tuple[Floats, Floats]:
    """Logs of D and k of sizes, where nothing is left to choose."""
    return jax.vmap(lambda n: box.split(law, n, 2 * ALL_TRAINING))(n)


@program
def _costs(law: Law, box: Box, n: Floats, d: Floats, x: Floats) -> Floats:
    def one(law):
        return jax.vmap(cost_of(law, box))(n, d, x)

    return jax.lax.map(one, law, batch_size=_BATCH)


def _judged(
    draws: Ensemble, budget: Budget, table: Lattice, n: float, d: float, x: float
) -> dict[str, float]:
    """One plan under every draw that has an optimum."""
    law, box = jax.tree.map(
        lambda v: jnp.asarray(v, float), (draws.law, box_of(draws.point, budget))
    )
    cost = np.asarray(_costs(law, box, *(jnp.asarray([v], float) for v in (n, d, x))))[:, 0]
    gaps = (cost - table.least)[table.fine]
    return {
        "params": math.exp(n), "tokens": math.exp(d), "samples": math.exp(x),
        "expected": max(float(np.mean(gaps)), 0.0), "high": float(np.quantile(gaps, 0.9)),
    }  # fmt: skip


def _crossing(n: np.ndarray, curve: np.ndarray, level: float, at: int, step: int) -> float:
    """Log N at which the curve passes the level beyond the last point below it."""
    other = at + step
    if not 0 <= other < len(n) or not np.isfinite(curve[other]):
        return float(n[at])
    share = (level - curve[at]) / (curve[other] - curve[at])
    return float(n[at] + share * (n[other] - n[at]))
