"""The planner: what stands beside an optimum when somebody asks for a plan."""

from t2jax.planner.companion import Companion as Companion
from t2jax.planner.equal_budgets import Measured as Measured
from t2jax.planner.equal_budgets import measured as measured
from t2jax.planner.saved import load as load
