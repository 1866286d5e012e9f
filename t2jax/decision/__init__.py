"""Decision: what not knowing the law costs, and which runs to buy next."""

from t2jax.decision.design import Design as Design
from t2jax.decision.design import design as design
from t2jax.decision.purchase import Purchase as Purchase
from t2jax.decision.regret import Decision as Decision
from t2jax.decision.regret import regret as regret
