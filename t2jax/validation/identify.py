"""Identifiability: can these rows tell the coefficients of a law apart, and which rows would.

Judged by the design alone, before any fit: the slopes of the log loss in the free coordinates, at
half a nat for every term and one exponent for all of them. Equal exponents are the hard case: with
D = 20N throughout, terms in N and in D are then the same function.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import _text
from t2jax._precision import double
from t2jax._result import Result
from t2jax._typing import Floats
from t2jax.errors import InputError, Refusal
from t2jax.fitting.default import default_law
from t2jax.fitting.rows import DEFAULT_SAMPLES, sample_grid
from t2jax.laws import Centre, Coefficient, Law, Role, template
from t2jax.observations import Observations

__all__ = ["Identification", "identify"]

LIMIT = 400.0
"""Condition from which a design answers nothing: a full grid over two decades has 25 to 65, a
grid over a factor of three 460 to 4700, one that mixes terms up 1e15."""

_RATIOS = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
_SIZES = (0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 20.0)
_PAD = 512
_TERM = math.log(0.5)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Identification(Result):
    """What a design can tell.

    Attributes:
      law: name of the law.
      rank: directions of the coefficients that the rows see.
      coefficients: how many there are.
      condition: largest over smallest singular value, each coefficient's slope at length one.
      correlation: of the errors of E and each exponent, by exponent.
      inflation: by coefficient, how many times wider its error is than if the others were known.
      rows: number of rows.
    """

    law_name: str
    rank: int
    coefficients: int
    condition: float
    correlation: dict[str, float]
    inflation: dict[str, float]
    rows: int

    def records(self) -> list[dict[str, Any]]:
        """One record per coefficient: how much wider its error is, and what it goes with."""
        return [
            {"coefficient": name, "inflation": wide, "correlation": self.correlation.get(name)}
            for name, wide in self.inflation.items()
        ]

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"What {self.rows} rows tell of law '{self.law_name}'"

    def summary(self) -> str:
        """The numbers as fixed-width text."""
        rows = [
            [name, _text.number(wide, 3),
             _text.number(self.correlation[name], 2) if name in self.correlation else ""]
            for name, wide in self.inflation.items()
        ]  # fmt: skip
        head = ["coefficient", "error inflated", "correlation with E"]
        last = (
            f"rank {self.rank} of {self.coefficients}, condition {_text.number(self.condition, 3)} "
            f"(refused from {LIMIT:.0f})"
        )
        return "\n".join([_text.underline(self.title), _text.table(head, rows), last])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        out = dataclasses.asdict(self)
        return {"format": "t2jax.identification/1", "law": out.pop("law_name"), **out}


@double
def identify(
    runs: Observations, law: str | Law | None = None, *, samples: Sequence[float] | None = None
) -> Identification:
    """Whether the rows of a table can identify a law, before it is fitted.

    Args:
      runs: rows.
      law: name of a law of loss, or a law; unless given, the default of the table, or the loss
        inside it where that is a law of accuracy.
      samples: k grid of a table of questions, as in `t2jax.fit`.

    Returns:
      Rank and condition of the design, and which coefficients trade off.

    Raises:
      InputError: an accuracy law, or a k grid that does not go with the table.
      Refusal: the design cannot answer; the remedy names cheap rows (N, D and k, cost 6ND) that
        would, none of them to spare. Another k at a checkpoint that exists costs no training.

    Source: collinearity by condition, Belsley, Kuh and Welsch 1980, ch. 3; rows by the greedy
    choice of a basis of least cost, Edmonds 1971, which is exact but for the tolerance of rank.

    >>> import t2jax as t2
    >>> found = t2.identify(t2.datasets.load_ladder(), "softplus")
    >>> found.rank == found.coefficients
    True
    """
    form = template(default_law(runs) if law is None else law)
    form = form.base if law is None and form.kind != "loss" else form.searched
    if form.kind != "loss":
        raise InputError(
            f"law '{form.name}' predicts accuracy, and identify judges laws of loss",
            remedy=f"identify its loss first: law='{form.base.name}'",
        )
    rows = _rows(runs, form, samples)
    centre = Centre(
        params=float(np.mean(np.log(rows[:, 0]))), tokens=float(np.mean(np.log(rows[:, 1]))),
        samples=float(np.mean(np.log(rows[:, 2]))), loss=1.5,
    )  # fmt: skip
    slopes = _slopes(form, rows, centre)
    scaled = slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    count = slopes.shape[1]
    values = np.linalg.svd(scaled, compute_uv=False)
    rank = int(np.sum(values > values[0] / 1e8))
    condition = _condition(slopes)
    problem = _problem(runs, form, rows, rank, condition, count)
    if problem:
        raise Refusal(problem, remedy=_remedy(form, rows, centre))
    inverse = np.linalg.inv(scaled.T @ scaled)
    spread = np.sqrt(np.diagonal(inverse))
    cards = _cards(form)
    floor = next((i for i, card in enumerate(cards) if card.role is Role.FLOOR), None)
    correlation = {}
    if floor is not None:
        shares = inverse[floor] / spread[floor] / spread
        correlation = {
            card.name: float(shares[i])
            for i, card in enumerate(cards) if card.role is Role.EXPONENT
        }  # fmt: skip
    return Identification(
        law_name=form.name, rank=rank, coefficients=count, condition=condition,
        correlation=correlation, rows=len(rows),
        inflation=dict(zip([c.name for c in cards], map(float, spread), strict=True)),
    )  # fmt: skip


def _rows(runs: Observations, law: Law, samples: Sequence[float] | None) -> np.ndarray:
    """N, D, k and unique tokens of every row that a fit of the law would see [rows, 4]."""
    grid = sample_grid(runs, law, samples)
    unique = runs.unique_tokens
    unique = np.full(runs.n_rows, np.inf) if unique is None else np.asarray(unique)
    if runs.kind == "loss" or not law.uses_samples:
        k = np.ones(runs.n_rows) if runs.samples is None else np.asarray(runs.samples)
        rows = np.stack([runs.params, runs.tokens, k, unique], axis=1)
        return rows if law.uses_samples else rows[k == k.min()]
    assert grid is not None
    count = len(grid)
    columns = [np.repeat(x, count) for x in (runs.params, runs.tokens, unique)]
    return np.stack([*columns[:2], np.tile(grid, runs.n_rows), columns[2]], axis=1)


def _cards(law: Law) -> tuple[Coefficient, ...]:
    """What rows must tell: a coefficient that a prior holds in every fit need not be seen."""
    return tuple(card for card in law.cards() if not card.penalised)


def _slopes(law: Law, rows: np.ndarray, centre: Centre) -> np.ndarray:
    """Slopes of the log loss in the free coordinates at the nominal law [rows, coordinates].

    Of those coefficients that rows must tell.
    """
    free = []
    for card in law.cards():
        if card.grid and not isinstance(card.centre, tuple):
            value = card.grid[(len(card.grid) - 1) // 2]
            free.append(float(card.to_free(jnp.asarray(value))))
        else:
            free.append(1.0 if card.closed else 0.0 if math.isinf(card.lower) else _TERM)

    # Padded, so that designs of most lengths share a compiled program.
    padded = np.concatenate([rows, np.tile(rows[:1], (-len(rows) % _PAD, 1))])
    return np.asarray(
        _slopes_at(jax.tree.structure(law), jnp.asarray(free), jnp.asarray(padded), centre)
    )[: len(rows), [not card.penalised for card in law.cards()]]


@functools.partial(jax.jit, static_argnums=0)
def _slopes_at(structure: Any, free: Floats, rows: Floats, centre: Centre) -> Floats:
    def value(free):
        n, d, k, unique = rows.T
        law = jax.tree.unflatten(structure, [jnp.nan] * structure.num_leaves)
        law = law.from_free(free, centre)
        return jnp.log(law(params=n, tokens=d, samples=k, unique_tokens=unique))

    return jax.jacfwd(value)(free)


def _problem(
    runs: Observations, law: Law, rows: np.ndarray, rank: int, condition: float, count: int
) -> str:
    """Why the design cannot answer, or nothing."""
    try:
        if law.base.uses_tokens:
            runs.check_identifies()
    except Refusal as refusal:
        return refusal.problem
    sizes = len(np.unique(rows[:, 0]))
    if sizes < 3:
        held = "one model size, which gives" if sizes == 1 else f"{sizes} model sizes, which give"
        return (
            f"{runs.source} holds {held} a term in N and the floor E no curve to tell them apart by"
        )
    ks = np.unique(rows[:, 2])
    if law.uses_samples and len(ks) < 3:
        shown = ", ".join(f"{k:g}" for k in ks)
        return f"{runs.source} holds k = {shown} only, and law '{law.name}' needs three or more"
    if rank < count or condition >= LIMIT:
        return (
            f"{runs.source} cannot tell the {count} coefficients of law '{law.name}' apart "
            f"(rank {rank}, condition {condition:.3g} of its design; refused from {LIMIT:.0f})"
        )
    return ""


def _remedy(law: Law, rows: np.ndarray, centre: Centre) -> str:
    """Cheap rows after which the design answers, in words."""
    options, cost = _candidates(law, rows)
    everything = np.concatenate([rows, options])
    slopes = _slopes(law, everything, centre)
    scale = np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    old = list(range(len(rows)))
    for ratio in (200.0, 100.0, 50.0, 25.0, 12.0, 6.0, 3.0):
        # By rising cost, whatever shows a direction that was not seen: a basis of least cost.
        added: list[int] = []
        seen = _seen(slopes[old] / scale, ratio)
        for i in range(len(rows), len(everything)):
            now = _seen(slopes[[*old, *added, i]] / scale, ratio)
            if now > seen:
                added, seen = [*added, i], now
        for column in (0, 2) if law.uses_samples else (0,):
            for i in range(len(rows), len(everything)):
                values = set(everything[[*old, *added], column])
                if len(values) < 3 and everything[i, column] not in values:
                    added.append(i)
        if not _answers(law, everything, slopes, [*old, *added]):
            continue
        for i in reversed(added):
            fewer = [j for j in added if j != i]
            if _answers(law, everything, slopes, [*old, *fewer]):
                added = fewer
        flops = float(sum(cost[i - len(rows)] for i in added))
        shown = [_shown(law, everything[i]) for i in added]
        return f"cheap rows that repair it ({flops:.3g} FLOPs, 6ND): {', '.join(shown)}"
    return "spread sizes, tokens per parameter and k over a factor of 30 or more each"


def _candidates(law: Law, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that could be added, by rising cost, and their cost in training FLOPs."""
    sizes = np.unique(rows[:, 0])
    around = np.unique(np.outer([sizes[0], sizes[-1]], _SIZES).round())
    params = np.unique(np.concatenate([sizes[:: max(len(sizes) // 6, 1)], around]))
    n = np.repeat(params, len(_RATIOS))
    trained = np.stack([n, n * np.tile(_RATIOS, len(params)), np.ones_like(n)], axis=1)
    cost = 6 * trained[:, 0] * trained[:, 1]
    if law.uses_samples:
        # A checkpoint that exists costs no training at another k.
        there = np.unique(rows[:, :2], axis=0)
        there = there[:: max(len(there) // 6, 1)]
        count = len(DEFAULT_SAMPLES)
        judged = np.column_stack([np.repeat(there, count, axis=0),
                                  np.tile(DEFAULT_SAMPLES, len(there))])  # fmt: skip
        trained = np.concatenate([judged, trained])
        cost = np.concatenate([np.zeros(len(judged)), cost])
    trained = np.column_stack([trained, np.full(len(trained), np.inf)])
    order = np.argsort(cost, kind="stable")
    return trained[order], cost[order]


def _seen(slopes: np.ndarray, ratio: float) -> int:
    """Directions that rows see well: singular values within a ratio of the largest."""
    values = np.linalg.svd(slopes, compute_uv=False)
    return int(np.sum(values > values[0] / ratio))


def _answers(law: Law, rows: np.ndarray, slopes: np.ndarray, picked: list[int]) -> bool:
    """Whether a choice of rows would not be refused."""
    if len(np.unique(rows[picked, 0])) < 3:
        return False
    if law.uses_samples and len(np.unique(rows[picked, 2])) < 3:
        return False
    return _condition(slopes[picked]) < LIMIT


def _condition(slopes: np.ndarray) -> float:
    """Condition of slopes whose columns have length one; infinite past rounding error."""
    if len(slopes) < slopes.shape[1]:
        return math.inf
    scaled = slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    values = np.linalg.svd(scaled, compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > values[0] / 1e13 else math.inf


def _shown(law: Law, row: np.ndarray) -> str:
    shown = f"(N {_text.count(row[0])}, D {_text.count(row[1])}"
    return shown + (f", k {row[2]:g})" if law.uses_samples else ")")
