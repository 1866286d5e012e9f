"""`load`: whatever t2jax saved, by the format line in the file."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from t2jax.errors import InputError
from t2jax.fitting import FitResult
from t2jax.planning import Optimum
from t2jax.uncertainty import Ensemble
from t2jax.validation import Calibration, Profile

__all__ = ["Saved", "load"]

Saved = FitResult | Ensemble | Optimum | Profile | Calibration
"""What `load` may return."""

_READERS: dict[str, Callable[[dict[str, Any]], Saved]] = {
    "t2jax.fit/1": FitResult.from_dict,
    "t2jax.optimum/1": Optimum.from_dict,
    "t2jax.profile/1": Profile.from_dict,
    "t2jax.calibration/1": Calibration.from_dict,
}
_NPZ = b"PK"  # NPZ files are ZIP archives


def load(path: str | os.PathLike) -> Saved:
    """Read back an object that its `save` wrote, whatever kind it is.

    The first entry of the file, such as `"format": "t2jax.fit/1"`, says what it holds. An
    optimum comes back without its draws, which it does not write.

    Args:
      path: a file: JSON of a fit, optimum, profile or calibration, or NPZ of draws.

    Returns:
      The object.

    Raises:
      InputError: the file is missing, broken, or was not written by t2jax.

    >>> import pathlib, tempfile
    >>> import t2jax as t2
    >>> law = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> best = t2.optimum(law, t2.Budget(train_flops=1e21))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     best.save(pathlib.Path(folder) / "optimum.json")
    ...     again = t2.load(pathlib.Path(folder) / "optimum.json")
    >>> bool(again.params == best.params)
    True
    """
    path = pathlib.Path(path)
    remedy = f"name a file that t2jax saved: {', '.join(_READERS)}, or draws (.npz)"
    try:
        data = path.read_bytes()
        if data.startswith(_NPZ):
            return Ensemble.load(path)
        described = json.loads(data.decode("utf-8"))
        name = described.get("format") if isinstance(described, dict) else None
        if name not in _READERS:
            found = "no format line of t2jax" if name is None else f"format '{name}'"
            raise InputError(f"has {found}", source=str(path), remedy=remedy)
        return _READERS[name](described)
    except InputError as error:
        if error.source:
            raise
        raise InputError(error.problem, source=str(path), remedy=error.remedy) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"cannot be read ({type(error).__name__})", source=str(path), remedy=remedy
        ) from error
