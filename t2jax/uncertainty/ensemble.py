"""`Ensemble`: many draws of one law, as that law class with a leading axis."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Self

import jax
import numpy as np

from t2jax import _text, laws
from t2jax._arguments import check_level
from t2jax._bounds import UNREADABLE, open_npz
from t2jax._files import write_whole
from t2jax._result import Result
from t2jax._seal import check_seal, sealed
from t2jax.errors import InputError, Status
from t2jax.fitting import FitResult
from t2jax.hull import Hull
from t2jax.laws import Law, Linked, leaves_by_name, predict, with_leaves
from t2jax.observations import Observations

__all__ = ["Ensemble", "Model", "as_ensemble", "central_interval", "fitted_table"]

_PLAIN = ("kind", "unit", "seed", "source", "data_hash", "chains", "uncertified", "trendless")
_OF_THE_FIT = ("hull", "source", "data_hash", "uncertified", "trendless")
_PER_DRAW = ("log_density", "diverging")
_NUISANCE, _STATISTIC, _LEAF = "nuisance.", "statistic.", "leaf."


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Ensemble(Result):
    """Draws of a law beside its point estimate.

    Attributes:
      law: the law with coefficients of shape [draws].
      point: the law at the point estimate.
      kind: how the draws were made: "bootstrap", "posterior", or "point" where there are none.
      unit: what was resampled.
      seed: seed of the draws.
      hull: ranges of the data, None where the law was written down without data.
      diagnostics: by name, for judging the draws.
      source: file the data came from.
      data_hash: hash of the table.
      uncertified: why the fit behind the draws is no certified minimum; empty where it is one.
      trendless: why the fit behind the draws is no ground for a plan; empty where it is one.
      nuisance: draws of coefficients that are not the law's, by name [draws]: of a posterior
        those of its likelihood, of a bootstrap of counts the spread of checkpoints.
      chains: how many chains the draws come from, chain after chain.
      log_density: of a posterior, minus its potential, before other questions moved them [draws].
      diverging: of a posterior, whether the sampler diverged at a draw [draws].
    """

    law: Law
    point: Law
    kind: str
    unit: str = ""
    seed: int = 0
    hull: Hull | None = None
    diagnostics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    source: str = ""
    data_hash: str = ""
    uncertified: str = ""
    trendless: str = ""
    nuisance: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    chains: int = 1
    log_density: np.ndarray | None = None
    diverging: np.ndarray | None = None

    @property
    def n_draws(self) -> int:
        """Number of draws, 0 for a point estimate alone."""
        return len(jax.tree.leaves(self.law)[0])

    @property
    def code(self) -> Status:
        """What the fit behind the draws puts beside every answer that is made of them."""
        return Status.UNCERTIFIED if self.uncertified else Status.OK

    def alone(self) -> "Ensemble":
        """The point estimate without its draws: what is known of the table and the fit stays."""
        kept = {name: getattr(self, name) for name in _OF_THE_FIT}
        return dataclasses.replace(as_ensemble(self.point), **kept)

    def thinned(self, most: int) -> "Ensemble":
        """No more than so many of the draws, evenly spaced, for what a few tell well enough."""
        if self.n_draws <= most:
            return self
        kept = np.linspace(0, self.n_draws - 1, most).round().astype(int)

        def few(parts: Any) -> Any:
            return jax.tree.map(lambda x: np.asarray(x)[kept], parts)

        each = {name: few(getattr(self, name)) for name in ("law", "nuisance", *_PER_DRAW)}
        return dataclasses.replace(self, chains=1, **each)

    def accuracy(self) -> "Ensemble":
        """The same draws of a linked law, answering with mean pass@k.

        Raises:
          InputError: another law, which has one unit only.
        """
        if not isinstance(self.law, Linked) or not isinstance(self.point, Linked):
            raise InputError(
                f"law '{self.point.title}' answers in one unit", remedy="fit law='linked'"
            )
        return dataclasses.replace(self, law=self.law.accuracy(), point=self.point.accuracy())

    def interval(self, name: str, level: float = 0.9) -> tuple[float, float]:
        """Central interval of a coefficient.

        Raises:
          InputError: a name that the law does not have, or a level that is no share.
        """
        known = self.law.coefficients()
        if name not in known:
            raise InputError(
                f"law '{self.point.title}' has no coefficient '{name}'",
                remedy=f"it has {', '.join(known)}",
            )
        return central_interval(np.asarray(known[name]), level)

    def predict(self, *, params: float, tokens: float, samples: float = 1.0) -> np.ndarray:
        """The law's value at one point in every draw [draws], double precision.

        Where a share of the questions is impossible, pass@k counts them in.
        """
        possible = 1.0 - np.asarray(self.nuisance.get("impossible", 0.0))
        return predict(self.law, params, tokens, samples) * possible

    def records(self, level: float = 0.9) -> list[dict[str, Any]]:
        """One record per coefficient: the estimate, and the draws round it."""
        out = []
        for name, value in self.point.coefficients().items():
            column = np.asarray(self.law.coefficients()[name])
            low, high = central_interval(column, level)
            sd = float(np.std(column)) if len(column) else math.nan
            out.append({"coefficient": name, "estimate": value, "low": low, "high": high, "sd": sd})
        return out

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"{self.n_draws} {self.kind} draws of law '{self.point.title}' by {self.unit}"

    def summary(self, level: float = 0.9) -> str:
        """Coefficients with intervals, and the diagnostics, as fixed-width text."""
        head = ["coefficient", "estimate", f"{level:.0%} interval", "sd"]
        rows = []
        for row in self.records(level):
            shown = [_text.interval(row["low"], row["high"]), _text.number(row["sd"], 3)]
            shown = shown if self.n_draws else ["", ""]
            rows.append([row["coefficient"], _text.number(row["estimate"]), *shown])
        notes = [f"NOT CERTIFIED: {self.uncertified}"] if self.uncertified else []
        notes += [str(note) for note in self.diagnostics.get("notes", ())]
        return "\n".join([_text.underline(self.title), _text.table(head, rows), *notes])

    def save(self, path: str | os.PathLike) -> None:
        """Write draws and point as one NPZ file with a JSON part."""
        meta = {
            "format": "t2jax.ensemble/1",
            "point": self.point.to_dict(),
            "hull": dataclasses.asdict(self.hull) if self.hull else None,
            "diagnostics": dict(self.diagnostics),
            **{n: getattr(self, n) for n in _PLAIN},
        }
        arrays = self._arrays()
        # As a reader will see it: tuples are lists in JSON.
        told = sealed(meta, arrays)
        arrays["meta"] = np.array(json.dumps(told))

        def save(part: pathlib.Path) -> None:
            with part.open("wb") as file:
                # The stub takes any keyword for the option `allow_pickle`.
                np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType] -- above

        write_whole(path, save)

    def _arrays(self) -> dict[str, np.ndarray]:
        """Everything that there is one of for each draw, under the names of the file."""
        arrays = {name: np.asarray(v) for name, v in self.law.coefficients().items()}
        known = self.law.coefficients().values()
        more = {n: x for n, x in leaves_by_name(self.law).items() if not any(x is k for k in known)}
        arrays |= {_LEAF + name: np.asarray(x) for name, x in more.items()}
        arrays |= {_NUISANCE + name: np.asarray(v) for name, v in self.nuisance.items()}
        for name in _PER_DRAW:
            if getattr(self, name) is not None:
                arrays[_STATISTIC + name] = np.asarray(getattr(self, name))
        return arrays

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read draws that `save` wrote.

        Raises:
          InputError: the file is missing or holds no draws.
        """
        try:
            with open_npz(path) as file:
                held = {name: file[name] for name in file.files if name != "meta"}
                meta = check_seal(json.loads(str(file["meta"])), held)
                point = laws.from_dict(meta.pop("point"))
                draws = {name: held[name] for name in point.coefficients()}
                meta["nuisance"] = _under(held, _NUISANCE)
                meta |= _under(held, _STATISTIC)
                more = _under(held, _LEAF)
            meta.pop("format")
            law = with_leaves(point.replace(**draws), more)
            hull = meta.pop("hull")
            if hull is not None:
                hull = Hull(**{name: tuple(pair) for name, pair in hull.items()})
            return cls(law=law, point=point, hull=hull, **meta)
        except InputError as error:
            raise InputError(error.problem, source=str(path), remedy=error.remedy) from error
        except UNREADABLE as error:
            raise InputError(
                f"cannot be read as draws ({type(error).__name__})",
                source=str(path),
                remedy="make them with t2jax.bootstrap or t2jax.posterior",
            ) from error

    def to_arviz_dict(self) -> dict[str, dict[str, np.ndarray]]:
        """The draws as ArviZ takes them: groups of variables of shape [chain, draw].

        `arviz.from_dict(**draws.to_arviz_dict())` before ArviZ 1.0, and
        `arviz.from_dict(draws.to_arviz_dict())` from then on.

        Raises:
          InputError: the draws are not those of a posterior.
        """
        if self.kind != "posterior":
            raise InputError(
                f"these are {self.kind} draws, which come in no chains",
                remedy="make draws with t2jax.posterior",
            )

        def split(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
            shape = (self.chains, -1)
            return {name: np.asarray(x).reshape(shape) for name, x in columns.items()}

        statistics = {"lp": self.log_density, "diverging": self.diverging}
        return {
            "posterior": split({**self.law.coefficients(), **self.nuisance}),
            "sample_stats": split({n: x for n, x in statistics.items() if x is not None}),
        }


def _under(held: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with a prefix, without it."""
    return {name[len(prefix) :]: x for name, x in held.items() if name.startswith(prefix)}


def fitted_table(fit: FitResult, runs: Observations | None, what: str) -> Observations:
    """The table that a fit was made of, which a fit read from a file does not carry.

    Raises:
      InputError: there is none, or another one was given.
    """
    table = runs if runs is not None else fit.observations
    if table is None:
        raise InputError(
            f"{what} needs the table, which a fit read from a file does not carry",
            remedy="pass runs=t2jax.read(...)",
        )
    if table.data_hash() != fit.data_hash:
        raise InputError(
            f"{table.source} is not the table that was fitted ({fit.source})",
            remedy="pass the same table, or fit again",
        )
    return table


def central_interval(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Quantiles that leave equal tails; NaN draws are counted out, no draw gives NaN.

    Raises:
      InputError: a level that is no share of one.
    """
    check_level(level)
    sound = draws[np.isfinite(draws)]
    if not len(sound):
        return float("nan"), float("nan")
    low, high = np.quantile(sound, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


Model = Law | FitResult | Ensemble
"""What can be asked for an optimum."""


def as_ensemble(model: Model) -> Ensemble:
    """Any model as an ensemble: a law or a fit becomes one without draws.

    Raises:
      InputError: something else was given, or the bare draws of an ensemble.
    """
    if isinstance(model, Ensemble):
        return model
    if isinstance(model, FitResult):
        kept = {name: getattr(model, name) for name in _OF_THE_FIT}
        return dataclasses.replace(as_ensemble(model.law), **kept)
    if isinstance(model, Law):
        batch = np.broadcast_shapes(*(np.shape(value) for value in model.coefficients().values()))
        if batch:
            raise InputError(
                f"law '{model.name}' holds {math.prod(batch)} draws and one law is needed",
                remedy="give the ensemble that they are from, or "
                "t2jax.Ensemble(law=..., point=..., kind=...)",
            )
        empty = jax.tree.map(lambda leaf: np.zeros((0, *np.shape(leaf))), model)
        return Ensemble(law=empty, point=model, kind="point")
    raise InputError(
        f"a law, a fit or an ensemble is needed and {type(model).__name__} was given",
        remedy="make one with t2jax.fit or t2jax.bootstrap",
    )
