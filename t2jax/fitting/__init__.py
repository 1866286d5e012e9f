"""Fitting: objectives, starts, minimisers, and the result with its certificate."""

from t2jax.fitting.driver import fit as fit
from t2jax.fitting.objectives import SSE as SSE
from t2jax.fitting.objectives import BetaBinomial as BetaBinomial
from t2jax.fitting.objectives import Huber as Huber
from t2jax.fitting.objectives import Objective as Objective
from t2jax.fitting.objectives import StudentT as StudentT
from t2jax.fitting.result import Certificate as Certificate
from t2jax.fitting.result import FitResult as FitResult
