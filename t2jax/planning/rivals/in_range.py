"""The best plan that stays inside the data: for when the optimum does not."""

import dataclasses

import numpy as np

from t2jax import cost
from t2jax._precision import double, to_numpy
from t2jax.errors import InputError
from t2jax.laws import predict
from t2jax.planning.budget import Budget
from t2jax.planning.result import Optimum
from t2jax.uncertainty.ensemble import Model, as_ensemble

__all__ = ["inside"]

_POINTS = 4097  # in log N: over four decades neighbours differ by 0.2%


@double
def inside(model: Model, budget: Budget) -> Optimum | None:
    """The best plan whose N, D, k and D/N all lie within the ranges of the table.

    Both budgets are spent, so that N is the one coordinate and each range is an interval of N.

    Args:
      model: a fit or draws; the point estimate is used.
      budget: one budget.

    Returns:
      The plan without prices or draws; None where the ranges leave no plan, or none is known,
      or where the budget is not one of 6ND and 2Nk.

    Raises:
      InputError: the budget is a sweep.
    """
    ensemble = as_ensemble(model)
    hull, law = ensemble.hull, ensemble.point
    if budget.shape != ():
        raise InputError("a sweep has no single plan", remedy="give one number for each budget")
    if hull is None:
        return None
    if budget.mode != "separate" or not budget.cost.monomial:
        return None
    box = to_numpy(budget.box(samples=law.uses_samples))
    train = box.train - np.log(cost.TRAIN_FLOPS)
    serve = box.inference - np.log(cost.INFERENCE_FLOPS)
    logs = {name: np.log(pair) for name, pair in dataclasses.asdict(hull).items()}
    ratio = (train - logs["tokens_per_param"]) / 2  # N at a given D/N with the budget spent
    low = [logs["params"][0], train - logs["tokens"][1], ratio[1], train - box.max_tokens]
    high = [logs["params"][1], train - logs["tokens"][0], ratio[0], box.max_params]
    if budget.inference_flops is not None:
        low.append(serve - logs["samples"][1])
        high.append(serve - logs["samples"][0])
    least, most = max(low), min(high)
    if least > most + 1e-9:
        return None
    n = np.linspace(min(least, most), most, _POINTS)
    params, tokens = np.exp(n), np.exp(train - n)
    samples = np.exp(serve - n) if budget.inference_flops is not None else np.ones_like(n)
    value = np.asarray(predict(law, params, tokens, samples))
    at = int(np.argmax(value) if law.kind == "accuracy" else np.argmin(value))
    none = np.asarray(np.nan)
    return Optimum(
        params=params[at],
        tokens=tokens[at],
        samples=samples[at],
        value=value[at],
        spent=none,
        train_price=none,
        inference_price=none,
        total_price=none,
        kkt_residual=none,
        code=np.asarray(int(ensemble.code)),
        kind=law.kind,
        law_name=law.name,
        uses_samples=law.uses_samples,
    )
