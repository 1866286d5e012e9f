"""`Budget`: what may be spent, or what must be reached, and within which caps."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import jax.numpy as jnp
import numpy as np

from t2jax._numeral import numerals
from t2jax._precision import double
from t2jax._typing import ArrayLike
from t2jax.cost import Cost
from t2jax.errors import InputError
from t2jax.planning.demand import Demand
from t2jax.planning.solvers.box import Box

__all__ = ["GOALS", "Budget"]

Number = ArrayLike | Sequence[float] | str

GOALS = ("train_flops", "total_flops", "dollars", "target_loss", "target_pass_at_k")
"""A budget has exactly one of these."""

_NUMBERS = (*GOALS, "inference_flops", "questions", "questions_factor", "inference_tokens",
            "tokens_per_sample", "min_params", "max_params", "max_tokens",
            "unique_tokens")  # fmt: skip


_LEAST_CAP = 100  # the smallest of toys has more parameters and tokens: billions were meant


def _questioned(name: str, value: float) -> InputError:
    """The error for a cap that nobody can mean, with what was probably meant."""
    what = name.partition("_")[2]
    meant = f"{value:g}T or {value:g}B" if what == "tokens" and value <= 100 else f"{value:g}B"
    return InputError(
        f"{name} = {value:g} would be {value:g} {what} in all; did you mean {meant}",
        remedy=f"write {name}={meant.split()[-1]}",
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Budget:
    """What may be spent on training and on answering, or the quality to be had for least.

    - separate: `train cost <= train_flops`, `answer cost / token <= inference_flops`
    - lifetime: `train cost + questions x answer cost <= total_flops`, or `<= dollars`
    - least cost: the smallest such sum that reaches `target_loss` or `target_pass_at_k`

    always with `k >= 1`. With the default cost they read `6 N D`, `2 N k` and
    `6 N D + 2 Q T N k`. Fields may be numbers, text such as "300B", or arrays
    that broadcast, for a sweep.

    Args:
      train_flops: training compute, FLOPs.
      inference_flops: inference compute per generated token of one question, FLOPs; None
        for a single sample at no cost, which is Chinchilla's problem.
      total_flops: training and serving together, FLOPs.
      dollars: training and serving together, dollars; needs a cost in dollars.
      target_loss: the loss to reach at least cost, nats.
      target_pass_at_k: the mean pass@k to reach at least cost.
      questions: questions answered over the model's life; a `Demand` when uncertain.
      questions_factor: the number lies within this factor of `questions` nine times in ten.
      tokens_per_sample: generated tokens of one sample; the cost's `answer_tokens` by default.
      inference_tokens: instead of questions: tokens served over the model's life at k = 1.
      min_params: smallest size considered; one parameter by default.
      max_params: cap on parameters, or None.
      max_tokens: cap on training tokens (the data wall), or None.
      unique_tokens: distinct training tokens at hand: past them tokens repeat, and count for
        less and less (the `data_constrained` law).
      integer_samples: k is a whole number.
      cost: what training and samples cost.

    Raises:
      InputError: budgets that contradict each other, lack something, or afford nothing; the
        nearest that does is named.

    >>> Budget(train_flops=1e18, inference_flops=2e9).shape
    ()
    >>> Budget(total_flops=1e23, questions=1e8, tokens_per_sample=500).mode
    'total'
    """

    train_flops: Number | None = None
    inference_flops: Number | None = None
    total_flops: Number | None = None
    dollars: Number | None = None
    target_loss: Number | None = None
    target_pass_at_k: Number | None = None
    questions: Number | Demand | None = None
    questions_factor: float | None = None
    tokens_per_sample: Number | None = None
    inference_tokens: Number | None = None
    min_params: Number | None = None
    max_params: Number | None = None
    max_tokens: Number | None = None
    unique_tokens: Number | None = None
    integer_samples: bool = False
    cost: Cost = dataclasses.field(default_factory=Cost)

    def __post_init__(self):
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is None or isinstance(value, Demand):
                continue
            try:
                array = np.asarray(numerals(value), float)
            except (TypeError, ValueError, OverflowError):
                array = np.asarray(np.nan)
            if not (array.size and np.all(np.isfinite(array) & (array > 0))):
                raise InputError(f"{name} = {value!r} is not a positive number", remedy="e.g. 1e18")
            object.__setattr__(self, name, array)
        if not isinstance(self.cost, Cost):
            raise InputError(f"cost = {self.cost!r} is no Cost", remedy="e.g. t2jax.Cost()")
        self._check_fields()
        if self.tokens_per_sample is not None:
            priced = dataclasses.replace(self.cost, answer_tokens=self.tokens_per_sample)
            object.__setattr__(self, "cost", priced)
        try:
            object.__setattr__(self, "_shape", np.broadcast_shapes(*(a.shape for a in self._set())))
        except ValueError:
            raise InputError(
                "the budget's arrays do not broadcast", remedy="give one length or single numbers"
            ) from None
        self._check_reach()

    # What was asked ---------------------------------------------------------------------------

    def _given(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]

    @property
    def goal(self) -> str:
        """Which of `GOALS` this budget has."""
        return self._given(*GOALS)[0]

    @property
    def mode(self) -> str:
        """`"separate"`, `"total"` or `"target"`."""
        if self.goal == "train_flops":
            return "separate"
        return "target" if self.goal.startswith("target") else "total"

    @property
    def demand(self) -> Demand | None:
        """The distribution of questions, where they are uncertain."""
        if isinstance(self.questions, Demand):
            return self.questions
        if self.questions_factor is None or self.questions is None:
            return None
        return Demand.around(float(np.asarray(self.questions)), float(self.questions_factor))

    def mean_questions(self) -> np.ndarray:
        """Expected number of questions; `inference_tokens / answer_tokens` where given so."""
        demand = self.demand
        if demand is not None:
            return np.asarray(demand.mean)
        if self.inference_tokens is not None:
            return np.asarray(self.inference_tokens) / np.asarray(self.cost.answer_tokens)
        return np.asarray(1.0 if self.questions is None else self.questions)

    def least_samples(self) -> float:
        """Least k at mean demand: one sample at the largest demand; at a target, at the mean."""
        demand = self.demand
        if demand is None or self.mode == "target":
            return 1.0
        return float(np.max(demand.values)) / demand.mean

    def _set(self) -> list[np.ndarray]:
        values = [getattr(self, name) for name in _NUMBERS]
        values += [getattr(self.cost, name) for name in self.cost.numbers()]
        return [np.asarray(v) for v in values if v is not None and not isinstance(v, Demand)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the sweep, () for one budget."""
        # Set once, when the budget is made: no field, for nobody gives it.
        return self._shape  # pyright: ignore[reportAttributeAccessIssue] -- see above

    # What cannot be ---------------------------------------------------------------------------

    def _check_fields(self) -> None:
        """Refuse fields that contradict each other, or that something is missing beside."""
        goals = self._given(*GOALS)
        if len(goals) != 1:
            problem = "no budget" if not goals else f"{' and '.join(goals)} contradict each other"
            raise InputError(problem, remedy=f"give exactly one of {', '.join(GOALS)}")
        serving = self._given("questions", "inference_tokens")
        if self.mode == "separate":
            extra = [*serving, *self._given("questions_factor")]
            if extra:
                raise InputError(
                    f"train_flops has no use for {extra[0]}",
                    remedy="give inference_flops per question beside it, or total_flops instead",
                )
        elif self.inference_flops is not None:
            raise InputError(f"{goals[0]} and inference_flops contradict each other",
                             remedy="inference_flops belongs to train_flops; here questions and "
                             "tokens_per_sample say what is served")  # fmt: skip
        elif len(serving) != 1:
            problem = "does not say what is served" if not serving else (
                f"is given both {serving[0]} and {serving[1]}")  # fmt: skip
            remedy = "give questions and tokens_per_sample, or inference_tokens"
            raise InputError(f"{goals[0]} {problem}", remedy=remedy)
        dollars = self.cost.unit == "dollars"
        if goals[0] == "dollars" and not dollars:
            remedy = "give a cost with dollars_per_hour=2.5, see t2jax.Cost.on"
            raise InputError("a budget in dollars needs prices", remedy=remedy)
        if goals[0] in ("train_flops", "total_flops") and dollars:
            raise InputError(f"{goals[0]} and a cost in dollars contradict each other",
                             remedy="give dollars, or a cost in FLOPs")  # fmt: skip
        if self.questions_factor is not None and (
            isinstance(self.questions, Demand) or np.ndim(np.asarray(self.questions)) > 0
            or self.questions is None
        ):  # fmt: skip
            raise InputError("questions_factor needs one number of questions",
                             remedy="give questions as a number, or a Demand alone")  # fmt: skip
        if self.target_pass_at_k is not None and np.any(np.asarray(self.target_pass_at_k) >= 1):
            problem = f"target_pass_at_k = {np.max(self.target_pass_at_k):g} is out of reach"
            raise InputError(problem, remedy="give a share below 1, e.g. 0.9")
        if self.cost.stop_at_success and (self.integer_samples or self.demand is not None):
            raise InputError("stop_at_success does not go with integer_samples or uncertain demand",
                             remedy="leave one of them out")  # fmt: skip

    def _check_reach(self) -> None:
        """Refuse a budget that affords nothing, with the least that does."""
        least = np.asarray(1.0 if self.min_params is None else self.min_params)
        if self.max_params is not None and np.any(np.asarray(self.max_params) < least):
            raise InputError(
                f"max_params = {np.min(self.max_params):g} lies below the smallest model, "
                f"{np.max(least):g} parameters",
                remedy=f"raise it to {np.max(least):g}, or lower min_params",
            )
        for name in ("max_params", "max_tokens", "unique_tokens"):
            value = getattr(self, name)
            if value is not None and np.min(value) < _LEAST_CAP:
                raise _questioned(name, float(np.min(value)))
        tiny = self.cost.train(least, 1.0)
        if self.mode == "separate":
            hint = "give FLOPs, not petaflop/s-days (1 PF/s-day is 8.64e19 FLOPs); "
            self._afford("train_flops", np.maximum(tiny, 1e6), "no training run", hint)
            if self.inference_flops is not None:
                per_token = self.cost.answer(least, 1.0) / np.asarray(self.cost.answer_tokens)
                self._afford("inference_flops", per_token, "no sample of the smallest model",
                             "2e9 is one sample of 1B parameters; ")  # fmt: skip
        elif self.mode == "total":
            served = self.mean_questions() * self.cost.answer(least, self.least_samples())
            many = float(np.max(self.mean_questions() * self.least_samples()))
            self._afford(self.goal, np.asarray(self.cost.fixed) + served + tiny,
                         f"less than one sample for each of {many:.3g} questions", "")  # fmt: skip

    def _afford(self, name: str, least: np.ndarray, what: str, hint: str) -> None:
        have, need = np.broadcast_arrays(np.asarray(getattr(self, name)), least)
        short = have < need
        if np.any(short):
            worst = int(np.argmax(np.where(short, need / have, 0.0)))
            raise InputError(
                f"{name} = {have.flat[worst]:g} affords {what}",
                remedy=f"{hint}the least that does is {need.flat[worst]:.3g}",
            )

    # What solvers see -------------------------------------------------------------------------

    @double
    def box(self, *, samples: bool = True) -> Box:
        """The budget in logs, every field of the sweep's shape.

        Args:
          samples: whether k is free; a law without k is served one sample.
        """

        def spread(value) -> jnp.ndarray:
            array = np.asarray(value, float)
            return jnp.asarray(np.broadcast_to(array, self.shape))

        def log(value, missing=math.inf):
            return spread(missing if value is None else np.log(np.asarray(value, float)))

        inference = self.inference_flops
        if inference is not None:
            inference = np.asarray(inference) * np.asarray(self.cost.answer_tokens)
        total = self.total_flops if self.dollars is None else self.dollars
        if total is not None:
            total = np.asarray(total) - np.asarray(self.cost.fixed)
        target = self.target_loss if self.target_pass_at_k is None else self.target_pass_at_k
        # At a target every question is answered equally well: only the mean demand counts.
        demand = self.demand if self.mode == "total" else None
        offsets = np.zeros(1) if demand is None else np.log(np.asarray(demand.values) / demand.mean)
        weights = np.ones(1) if demand is None else np.asarray(demand.weights)
        scenarios = (*self.shape, len(offsets))
        prices = {name: spread(getattr(self.cost, name)) for name in self.cost.numbers()}
        return Box(
            train=log(self.train_flops, math.nan),
            inference=log(inference),
            total=log(total, math.nan),
            questions=log(self.mean_questions()),
            target=spread(math.nan if target is None else target),
            min_params=log(self.min_params, 0.0),
            max_params=log(self.max_params),
            max_tokens=log(self.max_tokens),
            floor=log(self.least_samples()),
            unique=log(self.unique_tokens),
            offsets=jnp.asarray(np.broadcast_to(offsets, scenarios)),
            weights=jnp.asarray(np.broadcast_to(weights, scenarios)),
            cost=dataclasses.replace(self.cost, **prices),
            mode=self.mode,
            pinned=not samples or (self.mode == "separate" and inference is None),
            repeats=self.unique_tokens is not None,
            monomial=self.cost.monomial,
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `from_dict` reads it back."""
        out: dict[str, Any] = {}
        for name in _NUMBERS:
            value = getattr(self, name)
            if isinstance(value, Demand):
                out[name] = value.to_dict()
            elif value is not None:
                out[name] = np.asarray(value).tolist()
        return out | {"integer_samples": self.integer_samples, "cost": self.cost.to_dict()}

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """A budget from plain values, as a TOML or JSON file holds them.

        Raises:
          InputError: an unknown name, or a budget that cannot be.

        >>> Budget.from_dict({"total_flops": 1e23, "inference_tokens": 1e12}).goal
        'total_flops'
        """
        values = dict(description)
        known = {field.name for field in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise InputError(f"a budget has no '{name}'", remedy=f"it has {', '.join(known)}")
        if isinstance(values.get("questions"), dict):
            values["questions"] = Demand(**values["questions"])
        if isinstance(values.get("cost"), dict):
            values["cost"] = Cost.from_dict(values["cost"])
        return cls(**values)
