"""Reporting: figures, tables and the folder they are written to; draws, never computes."""

from t2jax.reporting.folder import FILES as FILES
from t2jax.reporting.folder import check_report as check_report
from t2jax.reporting.folder import write_folder as write_folder
