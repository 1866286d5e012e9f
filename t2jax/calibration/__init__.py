"""Calibration: intervals of coefficients and plans that cover, and designs that can answer."""

from t2jax.calibration.calibrate import calibrate as calibrate
from t2jax.calibration.identify import Identification as Identification
from t2jax.calibration.identify import identify as identify
from t2jax.calibration.profile import Interval as Interval
from t2jax.calibration.profile import Profile as Profile
from t2jax.calibration.profile import profile as profile
from t2jax.calibration.verdict import Calibration as Calibration
