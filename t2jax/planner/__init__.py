"""The planner: the main job, from a table to a plan and what stands beside it."""

from t2jax.planner.backtested import Backtest as Backtest
from t2jax.planner.companion import Companion as Companion
from t2jax.planner.driver import plan as plan
from t2jax.planner.equal_budgets import Measured as Measured
from t2jax.planner.equal_budgets import measured as measured
from t2jax.planner.judging import backtest as backtest
from t2jax.planner.result import Plan as Plan
from t2jax.planner.saved import load as load
from t2jax.planner.verdict import Verdict as Verdict
