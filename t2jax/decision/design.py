"""Which run to buy next: the one whose result will most lower the regret of the plan, per FLOP."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from t2jax import _text
from t2jax._arguments import check_seed, check_whole
from t2jax._precision import double
from t2jax._programs import program
from t2jax._result import SavedResult
from t2jax._typing import Floats
from t2jax.decision.purchase import Purchase, evaluations, runs_to_buy, training_run
from t2jax.decision.regret import Lattice, lattice
from t2jax.errors import InputError, Refusal
from t2jax.laws import Law
from t2jax.observations import Observations
from t2jax.planning.budget import Budget
from t2jax.planning.driver import answerable, box_of
from t2jax.planning.solvers.box import Box
from t2jax.planning.solvers.objective import cost_of
from t2jax.uncertainty.ensemble import Ensemble

__all__ = ["Design", "Pick", "design"]

_TRUTHS = 250  # draws that take a turn as the truth when a purchase is simulated
_OUTLIER = 5.0  # robust deviations from the median past which a draw's optimum is drawn in
_CHECKED = 6
_SURE = 2.0  # standard errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pick:
    """One purchase of the plan of purchases.

    Attributes:
      purchase: what to buy.
      fall: by how much it lowers the expected regret, given those bought before it.
      left: expected regret after it.
    """

    purchase: Purchase
    fall: float
    left: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Design(SavedResult):
    """What to buy next, and what everything else would have brought.

    Attributes:
      candidates: all that was considered.
      fall: fall of the expected regret that each would bring as the first purchase [candidates].
      regret: expected regret before any purchase, to the same second order.
      picks: the purchases in order.
      simulated: for the most promising candidates, by index: the fall when every draw takes a
        turn as the truth, and its standard error.
      kind: "loss" or "accuracy".
      status: what must be said beside it, in sentences.
    """

    candidates: tuple[Purchase, ...]
    fall: np.ndarray
    regret: float
    picks: tuple[Pick, ...]
    simulated: dict[int, tuple[float, float]]
    kind: str
    status: tuple[str, ...] = ()

    @property
    def flops(self) -> np.ndarray:
        """Price of every candidate [candidates]."""
        return np.asarray([purchase.flops for purchase in self.candidates])

    @property
    def beyond_noise(self) -> bool:
        """Whether what the first purchase brings is more than chance, by simulation."""
        first = self.picks[0]
        return first.fall > 0 and self._sure(self.candidates.index(first.purchase))

    def _sure(self, candidate: int) -> bool:
        mean, error = self.simulated.get(candidate, (0.0, 0.0))
        return mean > _SURE * error

    def records(self) -> list[dict[str, Any]]:
        """One record per purchase, in order."""
        return [{**p.purchase.to_dict(), "fall": p.fall, "left": p.left} for p in self.picks]

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return "Next purchases"

    def summary(self) -> str:
        """The purchases in order, and the check by simulation, as text."""
        unit = "nats" if self.kind == "loss" else "of pass@k"
        head = ["", "buy", "FLOPs", f"regret falls, {unit}", "left"]
        rows = [
            [str(i), pick.purchase.words().rpartition(" (")[0], f"{pick.purchase.flops:.3g}",
             _text.number(pick.fall, 3), _text.number(pick.left, 3)]
            for i, pick in enumerate(self.picks, start=1)
        ]  # fmt: skip
        first = self.picks[0].purchase
        at = self.candidates.index(first)
        lines = [_text.underline(self.title)]
        if at in self.simulated and not self.beyond_noise:
            lines += ["By simulation the first purchase brings no more than chance.", ""]
        lines += [_text.table(head, rows), ""]
        lines.append(f"expected regret now: {_text.number(self.regret, 3)} {unit} "
                     f"(second order); {len(self.candidates)} candidates")  # fmt: skip
        if at in self.simulated:
            mean, error = self.simulated[at]
            lines.append(f"simulated, every draw in turn as the truth: the first purchase lowers "
                         f"it by {_text.number(mean, 3)} +- {_text.number(error, 2)}")  # fmt: skip
            better = [i for i, (other, off) in self.simulated.items()
                      if i != at and (other - off) / self.candidates[i].flops
                      > (mean + error) / first.flops]  # fmt: skip
            sure = [i for i in better if self._sure(i)]
            if sure:
                lines.append(f"note: by simulation {self.candidates[sure[0]].words()} brings "
                             "more per FLOP")  # fmt: skip
        lines += [f"note: {sentence}" for sentence in self.status]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        return {
            "format": "t2jax.design/1", "kind": self.kind, "regret": self.regret,
            "status": list(self.status),
            "picks": self.records(),
            "candidates": [{**c.to_dict(), "fall": float(f)}
                           for c, f in zip(self.candidates, self.fall, strict=True)],
            "simulated": {str(i): list(pair) for i, pair in self.simulated.items()},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote."""
        picks = [Pick(purchase=Purchase.from_dict(p), fall=p["fall"], left=p["left"])
                 for p in description["picks"]]  # fmt: skip
        wanted = description["candidates"]
        simulated = {int(i): (pair[0], pair[1]) for i, pair in description["simulated"].items()}
        return cls(candidates=tuple(map(Purchase.from_dict, wanted)), picks=tuple(picks),
                   fall=np.asarray([c["fall"] for c in wanted], float), simulated=simulated,
                   status=tuple(description["status"]),
                   **{name: description[name] for name in ("regret", "kind")})  # fmt: skip


@double
def design(
    draws: Ensemble,
    budget: Budget,
    *,
    candidates: Sequence[Purchase | tuple[float, float]] | None = None,
    evaluate: Observations | None = None,
    answer_tokens: float = 1.0,
    noise: float | tuple[float, float] | None = None,
    purchases: int = 3,
    most: float | None = None,
    worth: float = 0.5,
    simulate: bool = True,
    seed: int = 0,
    table: Lattice | None = None,
) -> Design:
    """Rank runs and evaluations by how far they lower the expected regret per FLOP.

    Near the best plan z the regret is `1/2 (z - z*)' H (z - z*)`, so that its expectation is
    `1/2 tr(H C)` with C the covariance of the draws' optima z*. A purchase that shows y with
    noise S lowers it by `1/2 tr(H C_zy (C_yy + S)^-1 C_yz)`; covariances over the draws, no
    derivative is taken. Batches are greedy, by updates of the joint covariance of optima and
    candidates. The first choice is checked without that approximation: every draw takes a turn as
    the truth, the others are weighted by the likelihood of what the purchase would show.

    Args:
      draws: draws of a law.
      budget: the plan's budget.
      candidates: purchases, or pairs (params, tokens) of training runs; by default a grid over
        the table's range.
      evaluate: a table of questions whose checkpoints may be asked more questions, or sampled
        more often, beside the runs.
      answer_tokens: generated tokens of one sample there, for the price.
      noise: of a run: standard deviation of log loss (of pass@k for an accuracy law) between
        runs alike, or that and the deviation of each k apart; by default what the draws say of
        the residuals of their fit.
      purchases: how many to pick.
      most: FLOPs of the dearest run of the default grid.
      worth: purchases that bring less than this share of the largest fall are passed over, so
        that the best rate is not had by buying next to nothing.
      simulate: whether to check by simulation.
      seed: of the simulation.
      table: every draw's cost of every plan, where that is at hand.

    Returns:
      Candidates with what each would bring, and the picks.

    Raises:
      InputError: no draws, no noise, or a candidate that is none.
      Refusal: a budget without regret, see `t2jax.regret`.

    Source: preposterior analysis, Raiffa and Schlaifer 1961, Applied Statistical Decision Theory.
    """
    check_whole("purchases", purchases, usual=3)
    check_seed(seed)
    if not 0 <= worth < 1:
        raise InputError(f"worth = {worth!r} is no share below 1", remedy="e.g. 0.5")
    budget = answerable(budget, draws)
    table = table or lattice(draws, budget)
    wanted = _candidates(draws, candidates, noise, most)
    if evaluate is not None:
        wanted += evaluations(evaluate, draws.point, noise=_noise(draws, noise),
                              answer_tokens=answer_tokens)  # fmt: skip
    shown = [_shown(draws, purchase) for purchase in wanted]
    fine = table.fine & np.all([np.all(np.isfinite(y), 1) for y in shown], axis=0)
    if fine.sum() < 20:
        raise Refusal(f"{fine.sum()} draws have an optimum and a value at every candidate",
                      remedy="bring candidates nearer to the table")  # fmt: skip
    curvature, optima = _second_order(draws, budget, table, fine)
    shown = [y[fine] for y in shown]
    joint = np.cov(np.concatenate([optima, *shown], axis=1), rowvar=False)
    joint = np.atleast_2d(joint)
    ends = np.cumsum([optima.shape[1], *(len(p.samples) for p in wanted)])
    spans = [slice(a, b) for a, b in itertools.pairwise(ends)]
    goal = slice(0, optima.shape[1])
    regret = 0.5 * float(np.trace(curvature @ joint[goal, goal]))
    prices = np.asarray([purchase.flops for purchase in wanted])
    first, picks, left = None, [], regret
    for _ in range(purchases):
        fall = np.asarray([_fall(joint, curvature, goal, s, p.covariance())
                           for s, p in zip(spans, wanted, strict=True)])  # fmt: skip
        first = fall if first is None else first
        rate = np.where(fall >= worth * np.max(fall), fall, 0.0) / prices
        at = int(np.argmax(rate))
        left = left - float(fall[at])
        picks.append(Pick(purchase=wanted[at], fall=float(fall[at]), left=max(left, 0.0)))
        gain = joint[:, spans[at]]
        seen = joint[spans[at], spans[at]] + wanted[at].covariance()
        joint = joint - gain @ np.linalg.solve(seen, gain.T)
    assert first is not None
    simulated = {}
    if simulate:
        order = np.argsort(-np.where(first >= worth * np.max(first), first, 0.0) / prices)
        for at in order[:_CHECKED]:
            simulated[int(at)] = _simulated(table, fine, shown[at], wanted[at], seed)
    return Design(candidates=tuple(wanted), fall=first, regret=regret, picks=tuple(picks),
                  simulated=simulated, kind=draws.point.kind,
                  status=tuple(draws.code.sentences()))  # fmt: skip


def _noise(draws: Ensemble, noise: float | tuple[float, float] | None) -> tuple[float, float]:
    found = draws.diagnostics.get("noise") if noise is None else noise
    if found is None:
        raise InputError(
            "these draws do not say how noisy a run is",
            remedy="give noise=0.01, the deviation of log loss between runs alike",
        )
    run, row = (found, 0.0) if isinstance(found, int | float) else tuple(found)
    return float(run), float(row)


def _candidates(
    draws: Ensemble,
    given: Sequence[Purchase | tuple[float, float]] | None,
    noise: float | tuple[float, float] | None,
    most: float | None,
) -> list[Purchase]:
    law, hull = draws.point, draws.hull
    if given is None:
        return runs_to_buy(law, hull, noise=_noise(draws, noise), most=most)
    samples = (1.0,)
    if law.searched.uses_samples and hull is not None and hull.samples[1] > 1:
        samples = tuple(np.geomspace(*hull.samples, 4))
    out = []
    for item in given:
        if isinstance(item, Purchase):
            out.append(item)
            continue
        pair = np.asarray(item, float)
        if pair.shape != (2,):
            raise InputError(f"candidate {item!r} is no purchase and no pair (params, tokens)",
                             remedy="e.g. (1e8, 2e9)")  # fmt: skip
        out.append(training_run(*pair, noise=_noise(draws, noise), samples=samples))
    if not out:
        raise InputError("no candidates", remedy="leave candidates out for a grid of runs")
    return out


def _shown(draws: Ensemble, purchase: Purchase) -> np.ndarray:
    """What a purchase would show under each draw, without its noise [draws, k]."""
    columns = [draws.predict(params=purchase.params, tokens=purchase.tokens, samples=k)
               for k in purchase.samples]  # fmt: skip
    value = np.stack(columns, axis=1)
    if draws.point.kind == "accuracy":
        return value
    return np.log(np.where(value > 0, value, np.nan))


def _second_order(
    draws: Ensemble, budget: Budget, table: Lattice, fine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Curvature of the mean cost at the best plan, and each draw's optimum, in free coordinates."""
    law, box = jax.tree.map(
        lambda x: jnp.asarray(x, float), (draws.point, box_of(draws.point, budget))
    )
    at = int(np.argmin(np.mean(table.cost[fine], axis=0)))
    stars = _coordinates(box, np.log(table.stars.params), np.log(table.stars.tokens))[fine]
    start = _coordinates(box, table.n[at], table.d[at])
    # The others are not left out but counted zero times: shapes, and so the program, stay the same.
    sound = np.where(fine, np.arange(len(fine)), np.argmax(fine))
    many = jax.tree.map(lambda x: np.asarray(x, float)[sound], draws.law)
    share = jnp.asarray(fine / fine.sum())
    hessian = np.asarray(_mean_curvature(law, box, many, share, jnp.asarray(start)))
    values, axes = np.linalg.eigh(np.atleast_2d(hessian))
    curvature = axes @ np.diag(np.maximum(values, 0.0)) @ axes.T
    # A draw without a sound optimum must not decide the covariance of all.
    middle = np.median(stars, axis=0)
    reach = _OUTLIER * 1.4826 * np.median(np.abs(stars - middle), axis=0)
    return curvature, np.clip(stars, middle - reach, middle + reach)


@program
def _mean_curvature(law: Law, box: Box, many: Law, share: Floats, start: Floats) -> Floats:
    """Hessian in free coordinates of the cost, averaged over draws with their shares."""

    def mean_cost(z):
        u = z[1] if len(z) > 1 else jnp.zeros(())
        plan = (z[0], *box.split(law, z[0], u))
        return share @ jax.vmap(lambda own: cost_of(own, box)(*plan))(many)

    return jax.hessian(mean_cost)(start)


def _coordinates(box: Box, n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Log N, and for a total the logit of the training share [..., coordinates]."""
    n, d = np.asarray(n, float), np.asarray(d, float)
    if box.separate or box.pinned:
        return n[..., None]
    spent = n + np.log(np.asarray(box.cost.train_rate(jnp.asarray(n)))) + d - float(box.total)
    share = np.clip(np.exp(spent), 1e-12, 1 - 1e-12)
    return np.stack([n, np.log(share / (1 - share))], axis=-1)


def _fall(joint: np.ndarray, curvature: np.ndarray, goal: slice, span: slice, noise) -> float:
    across = joint[goal, span]
    seen = joint[span, span] + noise
    return 0.5 * float(np.trace(curvature @ across @ np.linalg.solve(seen, across.T)))


def _simulated(
    table: Lattice, fine: np.ndarray, shown: np.ndarray, purchase: Purchase, seed: int
) -> tuple[float, float]:
    """Mean fall of the regret, and its standard error, every draw in turn being the truth."""
    rng = np.random.default_rng(seed)
    cost, least = table.cost[fine], table.least[fine]
    truths = rng.permutation(len(least))[:_TRUTHS]
    precision = np.linalg.inv(purchase.covariance())
    root = np.linalg.cholesky(purchase.covariance())
    seen = shown[truths] + rng.standard_normal((len(truths), shown.shape[1])) @ root.T
    gaps = seen[:, None, :] - shown[None, :, :]
    score = -0.5 * np.einsum("ijk,kl,ijl->ij", gaps, precision, gaps)
    score[np.arange(len(truths)), truths] = -np.inf  # the truth is not among the guesses
    weight = np.exp(score - score.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    sound = np.all(np.isfinite(cost), axis=0)
    cost = cost[:, sound]
    informed = np.argmin(weight @ cost, axis=1)
    before = int(np.argmin(cost.mean(0)))
    falls = cost[truths, before] - cost[truths, informed]
    return float(falls.mean()), float(falls.std(ddof=1) / math.sqrt(len(falls)))
