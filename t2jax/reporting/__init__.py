"""Reporting: figures, tables and the folder they are written to; draws, never computes."""

from t2jax.reporting.folder import FILES as FILES
from t2jax.reporting.folder import check_folder as check_folder
from t2jax.reporting.folder import write_folder as write_folder
