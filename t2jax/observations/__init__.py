"""Observations: a frozen table of checkpoints, and `read`, its front door (floor 1)."""

from t2jax.observations._made import from_columns as from_columns
from t2jax.observations._observations import Observations as Observations
from t2jax.observations._observations import read as read
from t2jax.observations._once import RepeatedKey as RepeatedKey
from t2jax.observations._once import check_once as check_once
from t2jax.observations._once import decode_json as decode_json
from t2jax.observations._pooled import POOLED as POOLED
from t2jax.observations._reading import UNSTATED as UNSTATED
from t2jax.observations._reading import read_runs as read_runs
from t2jax.observations._write import check_suffix as check_suffix
