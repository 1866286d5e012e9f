"""What a command is given to plan with: a fit or draws, certified unless told otherwise."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

from t2jax.cli._options import arg
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.fitting import FitResult
    from t2jax.uncertainty import Ensemble

__all__ = ["CertifiedOptions"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CertifiedOptions:
    """Whether to go on with a fit whose minimum is not certified."""

    uncertified: Annotated[
        bool, arg("go on with a fit whose minimum is not certified, and say so")
    ] = False

    def certified(self, model: "FitResult | Ensemble") -> None:
        """Stop at a fit, or at draws of one, that is no certified minimum.

        Raises:
          Refusal: it is none, and nobody asked to go on all the same.
        """
        from t2jax.planner.driver import check_certified

        if not self.uncertified:
            check_certified(model)

    def load_fit(self, path: str) -> "FitResult":
        """A fit from a file, certified unless told otherwise.

        Raises:
          InputError: the file is no fit.
          Refusal: the fit is not certified.
        """
        import t2jax as t2

        fit = t2.FitResult.load(path)
        self.certified(fit)
        return fit

    def load_model(self, path: str) -> "FitResult | Ensemble":
        """A fit or draws from a file, certified unless told otherwise.

        Raises:
          InputError: the file is neither.
          Refusal: the fit behind it is not certified.
        """
        import t2jax as t2

        remedy = "make one with `t2jax fit -o fit.json` or `t2jax bootstrap -o draws.npz`"
        try:
            model = t2.load(path)
        except InputError as error:
            why = f"is neither a fit (.json) nor draws (.npz): {error.problem}"
            raise InputError(why, source=path or "''", remedy=remedy) from error
        if not isinstance(model, t2.FitResult | t2.Ensemble):
            raise InputError("is neither a fit nor draws", source=path, remedy=remedy)
        self.certified(model)
        return model
