"""The report: figures, tables and the folder they are written to; draws, never fits (floor 5)."""

from t2jax.report.companion import Companion as Companion
from t2jax.report.folder import FILES as FILES
from t2jax.report.folder import check_folder as check_folder
from t2jax.report.folder import report as report
