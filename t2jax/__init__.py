"""t2jax: Train-to-Test scaling laws in JAX.

How large a model, how long to train it, how often to sample it: fit a law to a table of
runs, resample it, and find the optimum under a training and an inference budget.

    import t2jax as t2

    runs = t2.datasets.load_ladder()
    fit = t2.fit(runs, law="softplus")
    draws = t2.bootstrap(fit, draws=1000)
    best = t2.optimum(draws, t2.Budget(train_flops=1e12, inference_flops=1e6))
    print(best.summary())

Names are loaded on first use, so that `t2jax --help` need not wait for JAX.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from t2jax import datasets as datasets
    from t2jax import laws as laws
    from t2jax.calibration import Calibration as Calibration
    from t2jax.calibration import Identification as Identification
    from t2jax.calibration import Profile as Profile
    from t2jax.calibration import calibrate as calibrate
    from t2jax.calibration import identify as identify
    from t2jax.calibration import profile as profile
    from t2jax.cost import Cost as Cost
    from t2jax.errors import InputError as InputError
    from t2jax.errors import Refusal as Refusal
    from t2jax.errors import Status as Status
    from t2jax.fit import FitResult as FitResult
    from t2jax.fit import fit as fit
    from t2jax.observations import Observations as Observations
    from t2jax.observations import read as read
    from t2jax.optimum import Budget as Budget
    from t2jax.optimum import Decision as Decision
    from t2jax.optimum import Demand as Demand
    from t2jax.optimum import Design as Design
    from t2jax.optimum import Frontier as Frontier
    from t2jax.optimum import Optimum as Optimum
    from t2jax.optimum import Purchase as Purchase
    from t2jax.optimum import design as design
    from t2jax.optimum import frontier as frontier
    from t2jax.optimum import optimum as optimum
    from t2jax.optimum import regret as regret
    from t2jax.optimum import sensitivity as sensitivity
    from t2jax.passk import pass_at_k as pass_at_k
    from t2jax.report import report as report
    from t2jax.uncertainty import Comparison as Comparison
    from t2jax.uncertainty import Ensemble as Ensemble
    from t2jax.uncertainty import Extrapolation as Extrapolation
    from t2jax.uncertainty import Prior as Prior
    from t2jax.uncertainty import bootstrap as bootstrap
    from t2jax.uncertainty import compare as compare
    from t2jax.uncertainty import extrapolate as extrapolate
    from t2jax.uncertainty import posterior as posterior

# Each public name and the room that it comes from; rooms that are public themselves name "".
_ROOMS = {
    "Budget": "optimum",
    "Calibration": "calibration",
    "Comparison": "uncertainty",
    "Cost": "cost",
    "Decision": "optimum",
    "Demand": "optimum",
    "Design": "optimum",
    "Ensemble": "uncertainty",
    "Extrapolation": "uncertainty",
    "FitResult": "fit",
    "Frontier": "optimum",
    "Identification": "calibration",
    "InputError": "errors",
    "Observations": "observations",
    "Optimum": "optimum",
    "Prior": "uncertainty",
    "Profile": "calibration",
    "Purchase": "optimum",
    "Refusal": "errors",
    "Status": "errors",
    "bootstrap": "uncertainty",
    "calibrate": "calibration",
    "compare": "uncertainty",
    "datasets": "",
    "design": "optimum",
    "extrapolate": "uncertainty",
    "fit": "fit",
    "frontier": "optimum",
    "identify": "calibration",
    "laws": "",
    "optimum": "optimum",
    "pass_at_k": "passk",
    "posterior": "uncertainty",
    "profile": "calibration",
    "read": "observations",
    "regret": "optimum",
    "report": "report",
    "sensitivity": "optimum",
}

__all__ = sorted(_ROOMS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Load a public name from its room the first time that it is asked for."""
    if name not in _ROOMS:
        raise AttributeError(f"module 't2jax' has no attribute '{name}'")
    room = importlib.import_module(f"t2jax.{_ROOMS[name] or name}")
    value = getattr(room, name) if _ROOMS[name] else room
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)


class _FrontDoor(types.ModuleType):
    """The module's type: a room called like its function stays behind the function.

    Importing `t2jax.fit` makes Python set the attribute `fit` of the package to that module;
    users mean the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType) and _ROOMS.get(name):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
