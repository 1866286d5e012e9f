"""The optimum: budgets, solvers, certificates and the frontier."""

from t2jax.optimum.budget import Budget as Budget
from t2jax.optimum.compare import Comparison as Comparison
from t2jax.optimum.demand import Demand as Demand
from t2jax.optimum.design import Design as Design
from t2jax.optimum.design import design as design
from t2jax.optimum.driver import frontier as frontier
from t2jax.optimum.driver import optimum as optimum
from t2jax.optimum.frontier import Frontier as Frontier
from t2jax.optimum.implicit import Sensitivity as Sensitivity
from t2jax.optimum.implicit import sensitivity as sensitivity
from t2jax.optimum.observed import Measured as Measured
from t2jax.optimum.observed import measured as measured
from t2jax.optimum.purchase import Purchase as Purchase
from t2jax.optimum.regret import Decision as Decision
from t2jax.optimum.regret import regret as regret
from t2jax.optimum.result import Optimum as Optimum
