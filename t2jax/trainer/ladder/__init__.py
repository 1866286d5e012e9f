"""Ladders: many sizes, many token budgets, one table.

`plan_ladder` says what will be trained and what it costs, `run_ladder` does it.
"""

from t2jax.trainer.ladder.crew import Progress as Progress
from t2jax.trainer.ladder.material import BuiltIn as BuiltIn
from t2jax.trainer.ladder.material import OwnText as OwnText
from t2jax.trainer.ladder.material import headline as headline
from t2jax.trainer.ladder.material import shape as shape
from t2jax.trainer.ladder.plan import LadderPlan as LadderPlan
from t2jax.trainer.ladder.plan import Point as Point
from t2jax.trainer.ladder.plan import Shard as Shard
from t2jax.trainer.ladder.plan import Trunk as Trunk
from t2jax.trainer.ladder.plan import plan_ladder as plan_ladder
from t2jax.trainer.ladder.presets import PRESETS as PRESETS
from t2jax.trainer.ladder.presets import Preset as Preset
from t2jax.trainer.ladder.presets import Size as Size
from t2jax.trainer.ladder.presets import preset as preset
from t2jax.trainer.ladder.run import LadderResult as LadderResult
from t2jax.trainer.ladder.run import chosen_workers as chosen_workers
from t2jax.trainer.ladder.run import merge as merge
from t2jax.trainer.ladder.run import run_ladder as run_ladder
from t2jax.trainer.ladder.table import write_tables as write_tables

__all__ = [
    "PRESETS",
    "BuiltIn",
    "LadderPlan",
    "LadderResult",
    "OwnText",
    "Point",
    "Preset",
    "Progress",
    "Shard",
    "Size",
    "Trunk",
    "chosen_workers",
    "headline",
    "merge",
    "plan_ladder",
    "preset",
    "run_ladder",
    "shape",
    "write_tables",
]
