"""Fits and draws of a table, kept for the next plan on it: no budget changes them.

They are found again by a hash of all that they follow from, the source of this package among it,
so that kept ones are bit for bit those that would be made. What was cut short or altered is made
anew.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np

from t2jax import laws
from t2jax._cache import bound
from t2jax._precision import is_double
from t2jax._programs import is_ours, maker
from t2jax.errors import InputError
from t2jax.fitting import FitResult
from t2jax.laws import Law
from t2jax.observations import Observations
from t2jax.uncertainty import Ensemble

__all__ = ["Kept"]

_OWN = "t2jax-draws"
_MOST = 1 << 28  # bytes of draws, a hundred tables or so


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """A fit and its draws in a folder, under the name of all that they follow from.

    Attributes:
      name: where they are, without a suffix; None where they cannot be kept.
      table: that was fitted.
    """

    name: pathlib.Path | None
    table: Observations

    @classmethod
    def of(
        cls, folder: str | os.PathLike | None, table: Observations,
        law: str | type[Law] | Law, **recipe: Any,
    ) -> "Kept":  # fmt: skip
        """Where the fit and the draws of a table are kept.

        Args:
          folder: None keeps nothing. Nor is anything kept of a law of the user's own, whose source
            is not at hand, or of one that is not called by its name.
          table: to be fitted.
          law: as for `fit`.
          recipe: whatever else is asked of `fit` and `bootstrap`.
        """
        if folder is None or not isinstance(law, str) or not _is_ours(law):
            return cls(name=None, table=table)
        told = [table.data_hash(), table.source, table.params_definition, table.notes]
        follows = {"table": told, "law": law, **recipe, "double": is_double(), "made by": maker()}
        key = hashlib.sha256(
            json.dumps(follows, sort_keys=True, default=_told).encode()
        ).hexdigest()
        # A folder of its own in the one that was named: what is not ours must not be deleted.
        return cls(name=pathlib.Path(folder) / _OWN / key[:32], table=table)

    def read(self) -> tuple[FitResult, Ensemble] | None:
        """The fit and the draws, where they are there and whole."""
        if self.name is None:
            return None
        paths = [self.name.with_suffix(suffix) for suffix in (".json", ".npz")]
        try:
            fit, draws = FitResult.load(paths[0]), Ensemble.load(paths[1])
            for path in paths:
                os.utime(path)  # what was used last is deleted last
        except (InputError, OSError):
            return None
        if {fit.data_hash, draws.data_hash} != {self.table.data_hash()}:
            return None
        return dataclasses.replace(fit, observations=self.table), draws

    def write(self, fit: FitResult, draws: Ensemble) -> None:
        """Keep a fit and its draws, as far as there is room."""
        if self.name is None:
            return
        try:
            self.name.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fit.save(self.name.with_suffix(".json"))
            draws.save(self.name.with_suffix(".npz"))
        except OSError:
            return  # a full disk, or none: they are made again
        bound(self.name.parent, _MOST)


def _is_ours(law: str) -> bool:
    """Whether the source of a law is hashed with the rest."""
    if law in ("auto", "stack"):
        return True
    return is_ours(jax.tree.structure(laws.template(law)))


def _told(value: Any) -> Any:
    """All of an array, which `repr` rounds and cuts short."""
    return np.asarray(value).tolist() if np.ndim(value) else repr(value)
