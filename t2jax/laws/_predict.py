"""Laws at numbers rather than arrays of a program: always in double precision."""

import math
from typing import Any

import jax.numpy as jnp

from t2jax._precision import double, floats
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
    given = {"params": params, "tokens": tokens, "samples": samples}
    given["unique_tokens"] = unique_tokens
    return law(**{name: jnp.asarray(floats(x, name), float) for name, x in given.items()})
