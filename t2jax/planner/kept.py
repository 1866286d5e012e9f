"""Fits and draws of a table, kept for the next plan on it: no budget changes them.

They are found again by a hash of all that they follow from, the source of this package among it,
so that kept ones are bit for bit those that would be made. What was cut short or altered is made
anew.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from importlib import metadata
from typing import Any

import jax

from t2jax import laws
from t2jax._cache import bound, processor
from t2jax._threads import cores
from t2jax.errors import InputError
from t2jax.fitting import FitResult
from t2jax.fitting.driver import versions
from t2jax.laws import Law
from t2jax.observations import Observations
from t2jax.uncertainty import Ensemble

__all__ = ["Kept"]

_ROOMS = ("*.py", "fitting/**/*.py", "laws/**/*.py", "observations/**/*.py", "uncertainty/**/*.py")
"""Whatever a fit and its draws are computed by, which imports nothing else of this package."""
_ROOT = pathlib.Path(laws.__file__).parent.parent
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
        follows = {"table": told, "law": law, **recipe, "made by": _maker()}
        key = hashlib.sha256(json.dumps(follows, sort_keys=True, default=repr).encode()).hexdigest()
        return cls(name=pathlib.Path(folder) / key[:32], table=table)

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
    form = laws.template(law)
    return all(type(part).__module__.startswith("t2jax.") for part in (form, form.base))


def _maker() -> dict[str, Any]:
    """All that could make the same request come out otherwise, in the last bit too."""
    device = jax.devices()[0]
    return {
        "source": _source(),
        "versions": versions() | {"scipy": metadata.version("scipy")},
        "device": [device.platform, device.device_kind, processor(), cores()],
        "settings": [jax.config.read("jax_enable_x64"), os.environ.get("XLA_FLAGS")],
    }


@functools.cache
def _source() -> str:
    """Hash of the source of the analysis, so that an edited checkout finds nothing stale."""
    digest = hashlib.sha256()
    for path in sorted(path for room in _ROOMS for path in _ROOT.glob(room)):
        digest.update(f"{path.relative_to(_ROOT).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
