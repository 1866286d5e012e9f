"""What a fit returns: the law, and everything needed to judge and repeat it."""

import dataclasses
import json
import os
import pathlib
from typing import Any, Self

import numpy as np

from t2jax import _text, laws
from t2jax._bounds import UNREADABLE, read_whole
from t2jax._result import SavedResult
from t2jax._seal import check_seal
from t2jax._typing import ArrayLike
from t2jax.errors import InputError
from t2jax.hull import Hull
from t2jax.laws import Law, predict
from t2jax.observations import Observations

__all__ = [
    "LEAST_TREND", "Certificate", "FitResult", "goodness", "relative_errors", "trend_of",
]  # fmt: skip


LEAST_TREND = 0.5
"""Share of the variance, corrected for coefficients, below which no plan is made: in a third of
the tables simulated there the size planned is off by more than a factor of ten
(experiments/12_loss_forms)."""

_NOTHING = 1e-3  # of the mean: a loss below it counts as that in relative errors


def goodness(observed: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """How near a law comes to what it was fitted to; nothing where that is counts."""
    if not len(observed):
        return {}
    spread = np.sum((observed - observed.mean()) ** 2)
    return {
        "R2": float(1.0 - np.sum((observed - predicted) ** 2) / max(spread, 1e-300)),
        "mean relative error": float(np.mean(relative_errors(predicted, observed))),
    }


def relative_errors(predicted, observed):
    """`|predicted / observed - 1|`, of values next to nothing in units of a share of the mean.

    Plain arithmetic on NumPy or JAX arrays: many samples take some losses so near zero that a
    ratio to them says nothing, and one such row would be the whole of a mean.
    """
    return abs(predicted - observed) / observed.clip(_NOTHING * observed.mean())


def trend_of(law: Law, samples: np.ndarray, observed: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the variance at the least k that a law explains, corrected for its coefficients.

    There a trend in N and D is all that there is to see; by the correlation of measured and
    predicted, since a law that is off throughout may follow a trend.
    """
    least = samples == samples.min()
    observed, predicted = observed[least], predicted[least]
    free = len(observed) - len(law.base.cards())
    spread = np.ptp(predicted) > 0 and np.ptp(observed) > 0
    follows = np.corrcoef(observed, predicted)[0, 1] ** 2 if spread else 0.0
    return float(1.0 - (1.0 - follows) * (len(observed) - 1) / max(free, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    """Why the fit may be trusted as a minimum.

    Attributes:
      gradient_norm: largest gradient component in free coordinates, bounds left out.
      expected_fall: what one more Newton step promises to take off the objective.
      positive_definite: whether the Hessian is, bounds left out.
      condition: condition number of the Hessian scaled to unit diagonal.
      agreement: share of starts that end at the same objective.
      at_bound: coefficients that ran to a bound.
    """

    gradient_norm: float
    expected_fall: float
    positive_definite: bool
    condition: float
    agreement: float
    at_bound: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FitResult(SavedResult):
    """A fitted law with its certificate.

    Attributes:
      law: the law, float64 coefficients.
      success: whether the minimum is certified.
      message: the verdict in a sentence, with the remedy where there is one.
      objective: name of the objective.
      objective_options: what the objective was set to, such as the bend of `huber`.
      objective_value: its value at the minimum.
      n_obs: rows fitted.
      n_free: free coefficients, nuisance included.
      nuisance: coefficients of the objective itself.
      certificate: why the minimum may be trusted.
      starts: per start: objective at the start and at the end, steps, whether it agrees with the
        best, and the coefficients of the law that ended at a bound.
      samples: the k grid of a table of questions, else None.
      hull: ranges of the data.
      observed: observed values [rows].
      predicted: the law at the rows [rows].
      criteria: goodness of fit by name.
      description: the data in a paragraph.
      params_definition: what N counts in the table.
      source: file the table came from.
      data_hash: hash of the table.
      versions: versions of the software.
      trend: share of the variance at the least k that the law explains, corrected for its
        coefficients; None where no losses were fitted.
      recipe: "paper" where the published recipe was followed, else None.
      observations: the table itself; not saved with the result.
    """

    law: Law
    success: bool
    message: str
    objective: str
    objective_options: dict[str, float]
    objective_value: float
    n_obs: int
    n_free: int
    nuisance: dict[str, float]
    certificate: Certificate
    starts: tuple[dict[str, Any], ...]
    samples: tuple[float, ...] | None
    hull: Hull
    observed: np.ndarray
    predicted: np.ndarray
    criteria: dict[str, float]
    description: str
    params_definition: str
    source: str
    data_hash: str
    versions: dict[str, str]
    trend: float | None = None
    recipe: str | None = None
    observations: Observations | None = None

    @property
    def uncertified(self) -> str:
        """Why the minimum is not certified; empty where it is."""
        return "" if self.success else self.message

    @property
    def trendless(self) -> str:
        """Why the fit is no ground for a plan; empty where it is one."""
        if self.law.kind != "loss" or self.trend is None or self.trend >= LEAST_TREND:
            return ""
        return (
            f"{self.source} has next to no trend: law '{self.law.name}' explains "
            f"{max(self.trend, 0.0):.0%} of how its losses differ"
        )

    @property
    def residuals(self) -> np.ndarray:
        """Observed minus predicted [rows]."""
        return self.observed - self.predicted

    def predict(
        self, *, params: ArrayLike, tokens: ArrayLike, samples: ArrayLike = 1.0
    ) -> np.ndarray:
        """The fitted law in double precision, broadcasting.

        Args:
          params: parameters.
          tokens: training tokens.
          samples: samples per question.
        """
        return predict(self.law, params, tokens, samples)

    def records(self) -> list[dict[str, Any]]:
        """One record per coefficient."""
        values = self.law.coefficients()
        return [
            {"coefficient": card.name, "value": values[card.name], "meaning": card.meaning,
             "at_bound": card.name in self.certificate.at_bound}
            for card in self.law.cards()
        ]  # fmt: skip

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Fit of law '{self.law.name}' to {self.source}"

    def summary(self) -> str:
        """The fit as fixed-width text: coefficients, goodness of fit, certificate."""
        certificate = self.certificate
        found = self.records()
        width = max(len(row["meaning"]) for row in found)
        rows = [
            [row["coefficient"], _text.number(row["value"], 6), row["meaning"].ljust(width),
             "AT ITS BOUND" if row["at_bound"] else ""]
            for row in found
        ]  # fmt: skip
        body = _text.table(["coefficient", "value", "meaning".ljust(width), ""], rows)
        named = [(n, _text.number(v, 4)) for n, v in self.criteria.items()]
        named += [(n, _text.number(v, 4)) for n, v in self.nuisance.items()]
        fit = "   ".join(f"{name} {value}" for name, value in named)
        k_range = "" if self.samples is None else f", k = {_k_list(self.samples)}"
        lines = [
            _text.underline(self.title),
            f"{self.n_obs} rows, {self.n_free} free coefficients, objective {self.objective} = "
            f"{self.objective_value:.10g}{k_range}",
            "",
            body,
            "",
            fit,
            f"certificate: gradient {certificate.gradient_norm:.1e}, Hessian "
            f"{'positive definite' if certificate.positive_definite else 'NOT POSITIVE DEFINITE'}"
            f" (condition {certificate.condition:.1e}), {certificate.agreement:.0%} of "
            f"{len(self.starts)} starts agree",
            ("" if self.success else "NOT CERTIFIED: ") + self.message,
        ]
        if self.trendless:
            lines.append(f"NO PLAN CAN BE MADE OF IT: {self.trendless}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `FitResult.from_dict` reads it back exactly."""
        out: dict[str, Any] = {"format": "t2jax.fit/1"}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "observations":
                continue
            if isinstance(value, Law):
                value = value.to_dict()
            elif dataclasses.is_dataclass(value) and not isinstance(value, type):
                value = dataclasses.asdict(value)
            elif isinstance(value, np.ndarray):
                value = value.tolist()
            out[field.name] = value
        return out

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """Read back what `to_dict` wrote."""
        values = dict(description)
        if values.pop("format", None) != "t2jax.fit/1":
            raise InputError("not a fit written by t2jax", remedy="make one with t2jax.fit")
        values["law"] = laws.from_dict(values["law"])
        bounds = values["certificate"]
        values["certificate"] = Certificate(**{**bounds, "at_bound": tuple(bounds["at_bound"])})
        values["hull"] = Hull(**{name: tuple(pair) for name, pair in values["hull"].items()})
        for name in ("observed", "predicted"):
            values[name] = np.asarray(values[name], float)
        values["starts"] = tuple(values["starts"])
        values["samples"] = None if values["samples"] is None else tuple(values["samples"])
        return cls(**values)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read a result that `save` wrote.

        Raises:
          InputError: the file is missing or is no fit.
        """
        try:
            text = read_whole(pathlib.Path(path)).decode("utf-8")
            return cls.from_dict(check_seal(json.loads(text)))
        except InputError as error:
            raise InputError(error.problem, source=str(path), remedy=error.remedy) from error
        except UNREADABLE as error:
            raise InputError(
                f"cannot be read as a fit ({type(error).__name__})",
                source=str(path),
                remedy="make one with t2jax.fit",
            ) from error


def _k_list(samples: tuple[float, ...]) -> str:
    return ", ".join(_text.number(k) for k in samples)
