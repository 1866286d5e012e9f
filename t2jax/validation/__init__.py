"""Validation: whether a law, an interval or a design may be believed."""

from t2jax.validation.calibrate import calibrate as calibrate
from t2jax.validation.compare import Comparison as Comparison
from t2jax.validation.compare import compare as compare
from t2jax.validation.coverage import Calibration as Calibration
from t2jax.validation.extrapolate import Extrapolation as Extrapolation
from t2jax.validation.extrapolate import extrapolate as extrapolate
from t2jax.validation.identify import Identification as Identification
from t2jax.validation.identify import identify as identify
from t2jax.validation.profile import Interval as Interval
from t2jax.validation.profile import Profile as Profile
from t2jax.validation.profile import profile as profile
