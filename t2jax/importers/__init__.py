"""Importers: the logs that evaluation tools write become tables, one function a tool (floor 1).

    t2.importers.lm_eval("results/", runs="runs.csv")

Logs name models and say nothing of tokens: `runs` says which model is which checkpoint, as a file
or frame with the columns `run, params, tokens` and perhaps `trunk`, or as a mapping; or `catalogue`
names a public ladder that does.
"""

from t2jax.importers import catalogue as catalogue
from t2jax.importers._code import evalplus as evalplus
from t2jax.importers._code import human_eval as human_eval
from t2jax.importers._every_eval_ever import every_eval_ever as every_eval_ever
from t2jax.importers._helm import helm as helm
from t2jax.importers._inspect import inspect as inspect
from t2jax.importers._lighteval import lighteval as lighteval
from t2jax.importers._lm_eval import lm_eval as lm_eval
from t2jax.importers._losses import LossOptions as LossOptions
from t2jax.importers._olmes import olmes as olmes
from t2jax.importers._plain import plain_samples as plain_samples
from t2jax.importers._samples import Options as Options
from t2jax.importers._tensorboard import tensorboard as tensorboard
from t2jax.importers._trainers import levanter as levanter
from t2jax.importers._trainers import maxtext as maxtext
from t2jax.importers._wandb import wandb as wandb
