"""A hash in what is saved, by which a file that was altered or cut short is known (floor 0)."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from t2jax.errors import InputError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["check_seal", "sealed"]

_SEAL = "sha256"


def _digest(described: Any, arrays: "Mapping[str, np.ndarray] | None") -> str:
    """Hash of a JSON-ready description, however it is spaced and ordered, and of arrays."""
    found = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, array in sorted((arrays or {}).items()):
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def sealed(
    described: Mapping[str, Any], arrays: "Mapping[str, np.ndarray] | None" = None
) -> dict[str, Any]:
    """A description with its hash.

    >>> check_seal(sealed({"format": "t2jax.fit/1", "E": 1.7}))["E"]
    1.7
    """
    read = json.loads(json.dumps(described))  # as it will be: numbers as keys become text
    return {**read, _SEAL: _digest(read, arrays)}


def check_seal(described: Any, arrays: "Mapping[str, np.ndarray] | None" = None) -> Any:
    """A description without its hash, which is what it was when it was written.

    One that was written down by hand has none.

    Raises:
      InputError: it is not.
    """
    if not isinstance(described, dict) or _SEAL not in described:
        return described
    rest = {name: value for name, value in described.items() if name != _SEAL}
    if _digest(rest, arrays) != described[_SEAL]:
        raise InputError(
            "was altered after it was written: its hash is another",
            remedy=f"write it again, or take its '{_SEAL}' out where the change was meant",
        )
    return rest
