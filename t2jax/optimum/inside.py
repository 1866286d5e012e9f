"""The best plan that stays inside the data: for when the optimum does not."""

import math

import numpy as np

from t2jax import cost
from t2jax.errors import InputError
from t2jax.fit import FitResult
from t2jax.fit.result import predict
from t2jax.optimum.budget import Budget
from t2jax.optimum.result import Optimum
from t2jax.uncertainty.ensemble import Ensemble, as_ensemble

__all__ = ["inside"]

_POINTS = 4097  # in log N: over four decades neighbours differ by 0.2%


def inside(model: FitResult | Ensemble, budget: Budget) -> Optimum | None:
    """The best plan whose N, D, k and D/N all lie within the ranges of the table.

    Both budgets are spent, so that N is the one coordinate and each range is an interval of N.

    Args:
      model: a fit or draws; the point estimate is used.
      budget: one budget.

    Returns:
      The plan without prices or draws; None where the ranges leave no plan, or none is known.

    Raises:
      InputError: the budget is a sweep.
    """
    ensemble = as_ensemble(model)
    hull, law = ensemble.hull, ensemble.point
    if budget.shape != ():
        raise InputError("a sweep has no single plan", remedy="give one number for each budget")
    if hull is None:
        return None
    dim = float(budget.train_flops) / cost.TRAIN_FLOPS  # N D
    low = [hull.params[0], dim / hull.tokens[1], math.sqrt(dim / hull.tokens_per_param[1])]
    high = [hull.params[1], dim / hull.tokens[0], math.sqrt(dim / hull.tokens_per_param[0])]
    if budget.max_params is not None:
        high.append(float(budget.max_params))
    if budget.max_tokens is not None:
        low.append(dim / float(budget.max_tokens))
    work = None  # N k
    if budget.inference_flops is not None:
        work = float(budget.inference_flops) / cost.INFERENCE_FLOPS
        low.append(work / hull.samples[1])
        high.append(work / hull.samples[0])
    least, most = max(low), min(high)
    if least > most * (1 + 1e-9):
        return None
    params = np.geomspace(min(least, most), most, _POINTS)
    tokens = dim / params
    samples = np.ones_like(params) if work is None else work / params
    value = np.asarray(predict(law, params, tokens, samples))
    at = int(np.argmax(value) if law.kind == "accuracy" else np.argmin(value))
    return Optimum(
        params=params[at],
        tokens=tokens[at],
        samples=samples[at],
        value=value[at],
        train_price=math.nan,
        inference_price=math.nan,
        kkt_residual=math.nan,
        code=0,
        kind=law.kind,
        law=law.name,
    )
