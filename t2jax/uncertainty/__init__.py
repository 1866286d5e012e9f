"""Uncertainty: draws of a fitted law."""

from t2jax.laws import Prior as Prior
from t2jax.uncertainty.bootstrap import bootstrap as bootstrap
from t2jax.uncertainty.ensemble import Ensemble as Ensemble
from t2jax.uncertainty.ensemble import as_ensemble as as_ensemble
from t2jax.uncertainty.ensemble import central_interval as central_interval
from t2jax.uncertainty.posterior import posterior as posterior
from t2jax.uncertainty.predict import predict as predict
