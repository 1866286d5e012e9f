"""Reads what a command is given: a fit or draws."""

from t2jax.errors import InputError

__all__ = ["load_model"]


def load_model(path: str):
    """A fit (.json) or draws (.npz) from a file.

    Raises:
      InputError: the file is neither.
    """
    import t2jax as t2

    if path.endswith(".npz"):
        return t2.Ensemble.load(path)
    if path.endswith(".json"):
        return t2.FitResult.load(path)
    raise InputError(
        "is neither a fit (.json) nor draws (.npz)",
        source=path,
        remedy="make one with `t2jax fit -o fit.json` or `t2jax bootstrap -o draws.npz`",
    )
