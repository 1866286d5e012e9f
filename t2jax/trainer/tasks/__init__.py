"""The families of questions; a new one is one file here and one line below."""

from t2jax.trainer.tasks._task import Ids as Ids
from t2jax.trainer.tasks._task import Slots as Slots
from t2jax.trainer.tasks._task import Task as Task
from t2jax.trainer.tasks.arithmetic import Arithmetic as Arithmetic
from t2jax.trainer.tasks.causal import Causal as Causal
from t2jax.trainer.tasks.knowledge import Knowledge as Knowledge
from t2jax.trainer.tasks.pairs import Pairs as Pairs
from t2jax.trainer.tasks.spatial import Spatial as Spatial

__all__ = ["TASKS", "Arithmetic", "Causal", "Ids", "Knowledge", "Pairs", "Slots", "Spatial", "Task"]

# by name, in the order of a corpus: the place of a task is part of its random keys, so append
TASKS: dict[str, type[Task]] = {
    task.name: task for task in (Knowledge, Arithmetic, Causal, Spatial, Pairs)
}
