"""Fitting: objectives, starts, minimisers, and the result with its certificate."""

from t2jax.fit.driver import fit as fit
from t2jax.fit.objectives import SSE as SSE
from t2jax.fit.objectives import BetaBinomial as BetaBinomial
from t2jax.fit.objectives import Huber as Huber
from t2jax.fit.objectives import Objective as Objective
from t2jax.fit.objectives import StudentT as StudentT
from t2jax.fit.result import Certificate as Certificate
from t2jax.fit.result import FitResult as FitResult
