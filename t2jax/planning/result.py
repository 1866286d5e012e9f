"""`Optimum`: what to train and how often to sample it, with intervals and prices."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Self

import jax
import numpy as np

from t2jax import _text, cost
from t2jax._arguments import check_level
from t2jax._result import SavedResult
from t2jax.errors import InputError, Status
from t2jax.hull import Hull
from t2jax.planning.rivals.rival import Rival
from t2jax.planning.solvers.certify import Certified
from t2jax.uncertainty.ensemble import central_interval

__all__ = [
    "FORMAT", "NUMBERS", "QUANTITIES", "Optimum", "hull_flags", "price_words", "width_flag",
    "words",
]  # fmt: skip

FORMAT = "t2jax.optimum/1"
"""The first entry of a saved optimum."""

QUANTITIES = ("params", "tokens", "samples", "tokens_per_param", "value")
"""What every table of optima shows."""

NUMBERS = ("params", "tokens", "samples", "value", "spent", "train_price", "inference_price",
            "total_price", "kkt_residual")  # fmt: skip
"""What is solved for, or follows from the solution."""

_WITH_INTERVALS = (*QUANTITIES, "spent", "train_flops", "inference_flops", "train_price",
                   "inference_price", "total_price")  # fmt: skip
_BESIDE = ("chinchilla", "runner_up", "plain")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Optimum(SavedResult):
    """The best (N, D, k) under a budget; numbers, or arrays over a sweep or over draws.

    Attributes:
      params: parameters N.
      tokens: training tokens D.
      samples: samples per question k.
      value: the law there: loss in nats, or pass@k.
      spent: cost of training and serving in `unit`; NaN for separate budgets.
      train_price: what one e-fold of training FLOPs takes off the loss (adds to pass@k); NaN
        where one budget serves for everything.
      inference_price: the same for inference FLOPs.
      total_price: the same for that one budget; NaN for separate ones.
      kkt_residual: violation of the first-order conditions, relative to the largest slope.
      code: flags of `Status`, as integers.
      kind: "loss" or "accuracy".
      law_name: name of the law.
      uses_samples: whether the law knows k, so that its loss is that of the best of k samples.
      goal: which budget was given, such as "train_flops".
      unit: of costs, "FLOPs" or "dollars".
      draws: the optimum of every draw, a leading draws axis; None without draws.
      chinchilla: the single-sample optimum at the same training budget, judged by the same
        law with the samples that the inference budget leaves it; None where not asked for.
      runner_up: the next valley of a scan, NaN where there is none; None for a closed form.
      plain: the optimum under 6ND and 2Nk at the same prices, where the cost is another.
      comparisons: the plan against others, for one budget.
    """

    params: np.ndarray
    tokens: np.ndarray
    samples: np.ndarray
    value: np.ndarray
    spent: np.ndarray
    train_price: np.ndarray
    inference_price: np.ndarray
    total_price: np.ndarray
    kkt_residual: np.ndarray
    code: np.ndarray
    kind: str = dataclasses.field(metadata={"static": True})
    law_name: str = dataclasses.field(metadata={"static": True})
    uses_samples: bool = dataclasses.field(default=False, metadata={"static": True})
    goal: str = dataclasses.field(default="train_flops", metadata={"static": True})
    unit: str = dataclasses.field(default="FLOPs", metadata={"static": True})
    draws: "Optimum | None" = None
    chinchilla: "Optimum | None" = None
    runner_up: "Optimum | None" = None
    plain: "Optimum | None" = None
    comparisons: tuple[Rival, ...] = dataclasses.field(default=(), metadata={"static": True})

    @classmethod
    def of(cls, certified: Certified, **names: Any) -> "Optimum":
        """An optimum from the numbers of `certify`."""
        numbers = certified._asdict()
        return cls(code=numbers.pop("status"), **names, **numbers)

    @property
    def tokens_per_param(self) -> np.ndarray:
        """D/N."""
        return self.tokens / self.params

    @property
    def train_flops(self) -> np.ndarray:
        """Training compute spent, FLOPs."""
        return np.asarray(cost.train_flops(self.params, self.tokens))

    @property
    def inference_flops(self) -> np.ndarray:
        """Inference compute spent per token of a question, FLOPs."""
        return np.asarray(cost.inference_flops(self.params, self.samples))

    @property
    def status(self) -> tuple[str, ...]:
        """What must be said beside the point estimate, in sentences; empty when nothing."""
        codes = np.bitwise_or.reduce(np.asarray(self.code, int), axis=None)
        return tuple(Status(int(codes)).sentences())

    def interval(self, name: str, level: float = 0.9) -> tuple[float, float]:
        """Central interval of a quantity of one optimum over its draws; NaN without draws.

        Raises:
          InputError: a quantity that an optimum does not have, or a level that is no share.
        """
        if name not in _WITH_INTERVALS:
            raise InputError(f"an optimum has no interval of '{name}'",
                             remedy=f"one of {', '.join(_WITH_INTERVALS)}")  # fmt: skip
        check_level(level)
        if self.draws is None:
            return math.nan, math.nan
        return central_interval(np.asarray(getattr(self.draws, name)), level)

    @property
    def rival(self) -> "Optimum | None":
        """Chinchilla's choice where that is another problem than the one that was solved."""
        same = self.goal == "train_flops" and not np.any(np.asarray(self.inference_price) > 0)
        return None if same else self.chinchilla

    def gain(self) -> np.ndarray:
        """How much better than Chinchilla's choice, as a positive number where it is better."""
        assert self.chinchilla is not None
        sign = 1.0 if self.kind == "loss" else -1.0
        return sign * (np.asarray(self.chinchilla.value) - np.asarray(self.value))

    def gain_interval(self, level: float = 0.9) -> tuple[float, float]:
        """Interval of the gain, both plans judged by the same draw."""
        if self.draws is None or self.draws.chinchilla is None:
            return math.nan, math.nan
        return central_interval(np.asarray(self.draws.gain()), level)

    def records(self, level: float = 0.9) -> list[dict[str, Any]]:
        """One record per quantity of one optimum: its interval, and Chinchilla's choice."""
        out = []
        spent = () if self.goal == "train_flops" else ("spent",)
        for name in (*QUANTITIES, *spent):
            row: dict[str, Any] = {"quantity": name, "optimum": float(getattr(self, name))}
            if self.draws is not None:
                row |= dict(zip(("low", "high"), self.interval(name, level), strict=True))
            if self.chinchilla is not None:
                row["chinchilla"] = float(getattr(self.chinchilla, name))
            out.append(row)
        return out

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Optimum of law '{self.law_name}'"

    def summary(self, level: float = 0.9) -> str:
        """One optimum as fixed-width text: the plan, its intervals, prices and warnings."""
        shown: dict[str, tuple[str, Callable[[float], str]]] = {
            "params": ("parameters N", _text.count),
            "tokens": ("training tokens D", _text.count),
            "samples": ("samples per question k", _text.count),
            "tokens_per_param": ("tokens per parameter", _text.count),
            "value": (_value_label(self), _text.number),
            "spent": (f"cost, {self.unit}", lambda x: _text.number(x, 3)),
        }
        head = ["", "optimum"]
        head += [f"{level:.0%} interval"] if self.draws is not None else []
        head += ["Chinchilla"] if self.chinchilla is not None else []
        rows = []
        for record in self.records(level):
            title, show = shown[record["quantity"]]
            row = [title, show(record["optimum"])]
            row += [_text.interval(record["low"], record["high"], show)] if "low" in record else []
            row += [show(record["chinchilla"])] if "chinchilla" in record else []
            rows.append(row)
        lines = [_text.underline(self.title), _text.table(head, rows), "", *words(self, level)]
        return "\n".join(lines)

    def _repr_html_(self) -> str | None:
        """One optimum as a notebook shows it; an array of them has no table."""
        return None if np.ndim(self.params) else super()._repr_html_()

    def to_dict(self, level: float = 0.9) -> dict[str, Any]:
        """A JSON-ready description, intervals included."""
        out: dict[str, Any] = {"format": FORMAT, "law": self.law_name, "kind": self.kind,
                               "goal": self.goal, "unit": self.unit,
                               "uses_samples": self.uses_samples}  # fmt: skip
        names = (*NUMBERS, "tokens_per_param", "code")
        out |= {name: np.asarray(getattr(self, name)).tolist() for name in names}
        out["status"] = list(self.status)
        if self.draws is not None:
            bands = {name: list(self.interval(name, level)) for name in QUANTITIES}
            out |= {"level": level, "intervals": bands}
        if self.chinchilla is not None:
            out["chinchilla"] = self.chinchilla.to_dict(level)
            out["gain"] = np.asarray(self.gain()).tolist()
            if self.draws is not None:
                out["gain_interval"] = list(self.gain_interval(level))
        for name in ("runner_up", "plain"):
            other = getattr(self, name)
            if other is not None:
                out[name] = other.to_dict(level)
        if self.comparisons:
            out["comparisons"] = [rival.to_dict() for rival in self.comparisons]
        return out

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote; draws are not written, and so there are none.

        Raises:
          InputError: it is no optimum.
        """
        values = dict(description)
        if values.get("format") != FORMAT:
            raise InputError(
                "not an optimum written by t2jax", remedy="make one with t2jax.optimum"
            )
        # JSON that was made for other programs holds null where there is no number.
        numbers = {name: np.asarray(values[name], float) for name in NUMBERS}
        beside = {name: cls.from_dict(values[name]) for name in _BESIDE if name in values}
        rivals = tuple(Rival.from_dict(rival) for rival in values.get("comparisons", ()))
        return cls(
            **numbers, **beside, code=np.asarray(values["code"], int), comparisons=rivals,
            law_name=values["law"], uses_samples=values["uses_samples"],
            **{name: values[name] for name in ("kind", "goal", "unit")},
        )  # fmt: skip


def _value_label(optimum: Optimum) -> str:
    if optimum.kind == "accuracy":
        return "mean pass@k"
    return "mean -log pass@k, nats" if optimum.uses_samples else "loss, nats"


def words(optimum: Optimum, level: float = 0.9) -> list[str]:
    """Prices, the comparisons and the warnings of one optimum, a sentence each."""
    lines = price_words(optimum)
    unit = "nats" if optimum.kind == "loss" else "of pass@k"
    if optimum.chinchilla is not None and not optimum.goal.startswith("target"):
        gain = float(optimum.gain())
        better = "better" if gain >= 0 else "WORSE"
        line = f"{_text.number(abs(gain), 3)} {unit} {better} than "
        line += "Chinchilla's size and tokens at the same budgets"
        if optimum.draws is not None:
            band = _text.interval(*optimum.gain_interval(level), lambda x: _text.number(x, 3))
            line += f", {level:.0%} interval {band}"
        lines.append(line)
    if optimum.chinchilla is not None:
        lines += [f"Chinchilla's choice: {note}" for note in optimum.chinchilla.status]
    lines += [_comparison_words(rival, unit, optimum) for rival in optimum.comparisons]
    lines += _moved(optimum)
    other = optimum.runner_up
    if other is not None and np.isfinite(np.asarray(other.params)):
        lines.append(
            f"runner-up: N {_text.count(float(other.params))}, D "
            f"{_text.count(float(other.tokens))}, k {_text.count(float(other.samples))}, "
            f"value {_text.number(float(other.value))}"
        )
    lines.append(f"KKT residual {float(optimum.kkt_residual):.1e}")
    return lines + [f"note: {sentence}" for sentence in optimum.status]


def price_words(optimum: Optimum) -> list[str]:
    """What twice the budget would buy, or what a little more quality would cost."""
    loss = optimum.kind == "loss"
    verb, unit = ("takes", " nats off the loss") if loss else ("adds", " to pass@k")
    if optimum.goal.startswith("target"):
        price = float(optimum.total_price)
        if not price > 0:
            return []
        step = 0.01
        factor = math.expm1(step / price)
        what = f"{step:g} nats less" if loss else f"{step:g} more pass@k"
        return [f"{what} would cost about {factor:.1%} more"]
    prices = [("training", optimum.train_price)]
    if optimum.rival is not None:
        prices.append(("inference", optimum.inference_price))
    if optimum.goal != "train_flops":
        prices = [("whole", optimum.total_price)]
    return [
        f"doubling the {name} budget {verb} {_text.number(float(price) * math.log(2), 3)}{unit}"
        for name, price in prices
    ]


def _comparison_words(rival: Rival, unit: str, optimum: Optimum) -> str:
    """One rival in a sentence."""
    plan = f"{_text.count(rival.params)} on {_text.count(rival.tokens)} tokens"
    plan += f", k {_text.count(rival.samples)}"
    money = "money" if optimum.unit == "dollars" else "compute"
    if optimum.goal.startswith("target"):
        if not math.isfinite(rival.spent):
            return f"against {rival.name} ({plan}): it does not reach the target"
        how = "less" if rival.saving >= 0 else "MORE"
        line = f"the plan costs {abs(rival.saving):.1%} {how} {money}"
    else:
        better = "better" if rival.gain >= 0 else "WORSE"
        line = f"the plan is {_text.number(abs(rival.gain), 3)} {unit} {better}"
        if rival.saving > 0:
            line += f", and matches it with {rival.saving:.1%} less {money}"
        elif rival.saving < 0:
            line += f", and needs {-rival.saving:.1%} more {money} to match it"
    notes = "".join(f"; {note}" for note in rival.status)
    return f"against {rival.name} ({plan}): {line}{notes}"


def _moved(optimum: Optimum) -> list[str]:
    """How far the cost model moved the answer from 6ND and 2Nk."""
    plain = optimum.plain
    if plain is None:
        return []
    parts = []
    for name, letter in (("params", "N"), ("tokens", "D"), ("samples", "k")):
        was, now = float(getattr(plain, name)), float(getattr(optimum, name))
        parts.append(f"{letter} {_text.count(was)} -> {_text.count(now)} (x {now / was:.3g})")
    return [f"against 6ND and 2Nk alone the answer moved: {', '.join(parts)}"]


def width_flag(draws: Optimum, hull: Hull | None) -> np.ndarray:
    """The flag of sizes that draws spread further than the table does, of an optimum's shape."""
    low, high = hull.params if hull is not None else (1.0, 1.0)
    if not high > low:
        return np.zeros(np.shape(draws.params)[1:], int)
    sizes = np.log(np.asarray(draws.params))
    wide = np.subtract(*np.nanquantile(sizes, [0.95, 0.05], axis=0)) > np.log(high / low)
    return np.where(wide, int(Status.UNTOLD_PARAMS), 0)


def hull_flags(optimum: Optimum, hull: Hull | None) -> np.ndarray:
    """Flags for what lies outside the data, of the optimum's shape."""
    shape = np.shape(optimum.params)
    if hull is None:
        return np.zeros(shape, int)
    flags = np.zeros(shape, int)
    for name, flag in (
        ("params", Status.OUTSIDE_PARAMS),
        ("tokens", Status.OUTSIDE_TOKENS),
        ("samples", Status.OUTSIDE_SAMPLES),
        ("tokens_per_param", Status.OUTSIDE_RATIO),
        ("train_flops", Status.OUTSIDE_FLOPS),
    ):
        low, high = getattr(hull, name)
        value = np.asarray(getattr(optimum, name))
        # A hair of slack: a budget taken from the table itself is inside it.
        flags |= np.where((value < low * (1 - 1e-6)) | (value > high * (1 + 1e-6)), int(flag), 0)
    return flags
