"""Laws at numbers rather than arrays of a program: always in double precision."""

import math
from typing import Any

import jax.numpy as jnp

from t2jax._precision import double
from t2jax._typing import ArrayLike
from t2jax.laws._law import Law

__all__ = ["predict"]


@double
def predict(
    law: Law,
    params: ArrayLike,
    tokens: ArrayLike,
    samples: ArrayLike = 1.0,
    unique_tokens: ArrayLike = math.inf,
) -> Any:
    """A law's value in double precision, whatever the precision outside."""
    point = [jnp.asarray(x, float) for x in (params, tokens, samples, unique_tokens)]
    return law(params=point[0], tokens=point[1], samples=point[2], unique_tokens=point[3])
