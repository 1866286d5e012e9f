"""Observations: a frozen table of checkpoints, and `read`, its front door (floor 1)."""

from t2jax.observations._observations import Observations as Observations
from t2jax.observations._observations import read as read
