"""`Optimum`: what to train and how often to sample it, with intervals and prices."""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

import jax
import numpy as np

from t2jax import _text, cost
from t2jax.errors import Status
from t2jax.hull import Hull
from t2jax.optimum.certify import Certified
from t2jax.uncertainty.ensemble import central_interval

__all__ = ["QUANTITIES", "Optimum", "hull_flags", "words"]

QUANTITIES = ("params", "tokens", "samples", "tokens_per_param", "value")
"""What every table of optima shows."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """The best (N, D, k) under a budget; numbers, or arrays over a sweep or over draws.

    Attributes:
      params: parameters N.
      tokens: training tokens D.
      samples: samples per question k.
      value: the law there: loss in nats, or pass@k.
      train_price: what one e-fold of training FLOPs takes off the loss (adds to pass@k).
      inference_price: the same for inference FLOPs.
      kkt_residual: violation of the first-order conditions, relative to the largest slope.
      code: flags of `Status`, as integers.
      kind: "loss" or "accuracy".
      law: name of the law.
      draws: the optimum of every draw, a leading draws axis; None without draws.
      chinchilla: the single-sample optimum at the same training budget, judged by the same
        law with the samples that the inference budget leaves it; None where not asked for.
    """

    params: np.ndarray
    tokens: np.ndarray
    samples: np.ndarray
    value: np.ndarray
    train_price: np.ndarray
    inference_price: np.ndarray
    kkt_residual: np.ndarray
    code: np.ndarray
    kind: str = dataclasses.field(metadata={"static": True})
    law: str = dataclasses.field(metadata={"static": True})
    draws: "Optimum | None" = None
    chinchilla: "Optimum | None" = None

    @classmethod
    def of(cls, certified: Certified, *, kind: str, law: str) -> "Optimum":
        """An optimum from the numbers of `certify`."""
        numbers = certified._asdict()
        return cls(code=numbers.pop("status"), kind=kind, law=law, **numbers)

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
        """Central interval of a quantity of one optimum over its draws; NaN without draws."""
        if self.draws is None:
            return math.nan, math.nan
        return central_interval(np.asarray(getattr(self.draws, name)), level)

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

    def summary(self, level: float = 0.9) -> str:
        """One optimum as fixed-width text: the plan, its intervals, prices and warnings."""
        label = _value_label(self)
        shown = {
            "params": ("parameters N", _text.count),
            "tokens": ("training tokens D", _text.count),
            "samples": ("samples per question k", _text.count),
            "tokens_per_param": ("tokens per parameter", _text.count),
            "value": (label, _text.number),
        }
        head = ["", "optimum"]
        head += [f"{level:.0%} interval"] if self.draws is not None else []
        head += ["Chinchilla"] if self.chinchilla is not None else []
        rows = []
        for name, (title, show) in shown.items():
            row = [title, show(float(getattr(self, name)))]
            if self.draws is not None:
                row.append(_text.interval(*self.interval(name, level), show))
            if self.chinchilla is not None:
                row.append(show(float(getattr(self.chinchilla, name))))
            rows.append(row)
        title = f"Optimum of law '{self.law}'"
        lines = [_text.underline(title), _text.table(head, rows), "", *words(self, level)]
        return "\n".join(lines)

    def to_dict(self, level: float = 0.9) -> dict[str, Any]:
        """A JSON-ready description, intervals included."""
        names = (*QUANTITIES, "train_price", "inference_price", "kkt_residual")
        out: dict[str, Any] = {"format": "t2jax.optimum/1", "law": self.law, "kind": self.kind}
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
        return out

    def save(self, path: str | os.PathLike) -> None:
        """Write the optimum as JSON."""
        text = json.dumps(self.to_dict(), indent=1)
        pathlib.Path(path).write_text(text + "\n", encoding="utf-8")


def _value_label(optimum: Optimum) -> str:
    return "mean -log pass@k, nats" if optimum.kind == "loss" else "mean pass@k"


def words(optimum: Optimum, level: float = 0.9) -> list[str]:
    """Prices, the comparison and the warnings of one optimum, a sentence each."""
    loss = optimum.kind == "loss"
    verb, unit = ("takes", " nats off") if loss else ("adds", " to pass@k")
    lines = [
        f"doubling the {name} budget {verb} {_text.number(float(price) * math.log(2), 3)}{unit}"
        for name, price in (
            ("training", optimum.train_price),
            ("inference", optimum.inference_price),
        )
    ]
    if optimum.chinchilla is not None:
        gain = float(optimum.gain())
        better = "better" if gain >= 0 else "WORSE"
        line = f"{_text.number(abs(gain), 3)} {'nats' if loss else 'of pass@k'} {better} than "
        line += "Chinchilla's size and tokens at the same budgets"
        if optimum.draws is not None:
            band = _text.interval(*optimum.gain_interval(level), lambda x: _text.number(x, 3))
            line += f", {level:.0%} interval {band}"
        lines.append(line)
        lines += [f"Chinchilla's choice: {note}" for note in optimum.chinchilla.status]
    lines.append(f"KKT residual {float(optimum.kkt_residual):.1e}")
    return lines + [f"note: {sentence}" for sentence in optimum.status]


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
