"""How questions lie round a checkpoint's mean loss, one family per file."""

from t2jax.laws.spread._spread import SPREADS as SPREADS
from t2jax.laws.spread._spread import Spread as Spread
from t2jax.laws.spread._spread import from_dict as from_dict
from t2jax.laws.spread.quantile import Quantile as Quantile
