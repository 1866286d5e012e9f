"""Planning: budgets, the optimum under them with its certificate, the frontier."""

from t2jax.planning.budget import Budget as Budget
from t2jax.planning.demand import Demand as Demand
from t2jax.planning.driver import frontier as frontier
from t2jax.planning.driver import optimum as optimum
from t2jax.planning.frontier import Frontier as Frontier
from t2jax.planning.result import Optimum as Optimum
from t2jax.planning.rivals.rival import Rival as Rival
from t2jax.planning.sensitivity import Sensitivity as Sensitivity
from t2jax.planning.sensitivity import sensitivity as sensitivity
