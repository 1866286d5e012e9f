"""t2jax: Train-to-Test scaling laws in JAX.

How large a model, how long to train it, how often to sample it: fit a law to a table of
runs, resample it, and find the optimum under a training and an inference budget.

    import t2jax as t2

    plan = t2.plan("runs.csv", t2.Budget(train_flops=2.56e19, inference_flops=2e9))
    print(plan.summary())  # what `t2jax plan` prints
    plan.save("report/")

or step by step:

    fit = t2.fit(t2.read("runs.csv"))
    draws = t2.bootstrap(fit, n_draws=1000)
    best = t2.optimum(draws, t2.Budget(train_flops=2.56e19, inference_flops=2e9))

Names are loaded on first use, so that `t2jax --help` need not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from t2jax import datasets as datasets
    from t2jax import importers as importers
    from t2jax import laws as laws
    from t2jax.cost import Cost as Cost
    from t2jax.decision import Decision as Decision
    from t2jax.decision import Design as Design
    from t2jax.decision import Purchase as Purchase
    from t2jax.decision import design as design
    from t2jax.decision import regret as regret
    from t2jax.errors import InputError as InputError
    from t2jax.errors import Refusal as Refusal
    from t2jax.errors import Status as Status
    from t2jax.fitting import FitResult as FitResult
    from t2jax.fitting import Huber as Huber
    from t2jax.fitting import fit as fit
    from t2jax.observations import Observations as Observations
    from t2jax.observations import read as read
    from t2jax.passk import pass_at_k as pass_at_k
    from t2jax.planner import Backtest as Backtest
    from t2jax.planner import Plan as Plan
    from t2jax.planner import backtest as backtest
    from t2jax.planner import load as load
    from t2jax.planner import plan as plan
    from t2jax.planning import Budget as Budget
    from t2jax.planning import Demand as Demand
    from t2jax.planning import Frontier as Frontier
    from t2jax.planning import Optimum as Optimum
    from t2jax.planning import Rival as Rival
    from t2jax.planning import Sensitivity as Sensitivity
    from t2jax.planning import frontier as frontier
    from t2jax.planning import optimum as optimum
    from t2jax.planning import sensitivity as sensitivity
    from t2jax.uncertainty import Ensemble as Ensemble
    from t2jax.uncertainty import Prior as Prior
    from t2jax.uncertainty import bootstrap as bootstrap
    from t2jax.uncertainty import posterior as posterior
    from t2jax.uncertainty import predict as predict
    from t2jax.validation import Calibration as Calibration
    from t2jax.validation import Comparison as Comparison
    from t2jax.validation import Extrapolation as Extrapolation
    from t2jax.validation import Identification as Identification
    from t2jax.validation import Interval as Interval
    from t2jax.validation import Profile as Profile
    from t2jax.validation import calibrate as calibrate
    from t2jax.validation import compare as compare
    from t2jax.validation import extrapolate as extrapolate
    from t2jax.validation import identify as identify
    from t2jax.validation import profile as profile

    __version__: str

# Each public name and the room that it comes from; rooms that are public themselves name "".
_ROOMS = {
    "Backtest": "planner",
    "Budget": "planning",
    "Calibration": "validation",
    "Comparison": "validation",
    "Cost": "cost",
    "Decision": "decision",
    "Demand": "planning",
    "Design": "decision",
    "Ensemble": "uncertainty",
    "Extrapolation": "validation",
    "FitResult": "fitting",
    "Frontier": "planning",
    "Huber": "fitting",
    "Identification": "validation",
    "InputError": "errors",
    "Interval": "validation",
    "Observations": "observations",
    "Optimum": "planning",
    "Plan": "planner",
    "Prior": "uncertainty",
    "Profile": "validation",
    "Purchase": "decision",
    "Refusal": "errors",
    "Rival": "planning",
    "Sensitivity": "planning",
    "Status": "errors",
    "backtest": "planner",
    "bootstrap": "uncertainty",
    "predict": "uncertainty",
    "calibrate": "validation",
    "compare": "validation",
    "datasets": "",
    "design": "decision",
    "extrapolate": "validation",
    "fit": "fitting",
    "frontier": "planning",
    "identify": "validation",
    "importers": "",
    "laws": "",
    "load": "planner",
    "optimum": "planning",
    "pass_at_k": "passk",
    "plan": "planner",
    "posterior": "uncertainty",
    "profile": "validation",
    "read": "observations",
    "regret": "decision",
    "sensitivity": "planning",
}

__all__ = sorted(_ROOMS)  # pyright: ignore[reportUnsupportedDunderAll] -- the table is the list


def __getattr__(name: str) -> Any:
    """Load a public name from its room the first time that it is asked for."""
    if name == "__version__":
        from importlib import metadata

        value = metadata.version("t2jax")
    elif name in _ROOMS:
        room = importlib.import_module(f"t2jax.{_ROOMS[name] or name}")
        value = getattr(room, name) if _ROOMS[name] else room
    else:
        raise AttributeError(f"module 't2jax' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
