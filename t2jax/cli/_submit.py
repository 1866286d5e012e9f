"""Shards of a ladder as jobs of a scheduler, through `submitit`."""

import pathlib
from collections.abc import Sequence
from typing import Any

from t2jax.cli import _terminal
from t2jax.errors import InputError

__all__ = ["ShardJob", "submit"]

_CLUSTERS = ("slurm", "local")


class ShardJob:
    """One shard as a job: a callable that a scheduler may end and start again.

    Args:
      words: of the command line behind `t2jax`.
    """

    def __init__(self, words: Sequence[str]):
        self.words = list(words)

    def __call__(self) -> None:
        """Train the share; a job whose command fails, fails."""
        from t2jax.cli import main

        code = main(self.words)
        if code:
            raise RuntimeError(f"t2jax {' '.join(self.words)} ended with code {code}")

    def checkpoint(self) -> Any:
        """What to start when the time of the job is up: the same, since the folder is the state."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(words: Sequence[str], cluster: str, shards: int, options: str, out: str) -> None:
    """Submit an array of jobs, one for each shard, and say which.

    Args:
      words: the command, without its `--shard`.
      cluster: `slurm`, or `local` for processes of this machine, which go on without this one.
      shards: how many jobs.
      options: of `submitit.AutoExecutor.update_parameters`, as `name=value,...`.
      out: folder of the ladder; the logs of the jobs go into `jobs/` there.

    Raises:
      InputError: submitit is missing, or an option or the cluster is unknown.
    """
    if cluster not in _CLUSTERS:
        raise InputError(f"--submit is '{cluster}'", remedy=f"use {' or '.join(_CLUSTERS)}")
    if shards < 1:
        raise InputError(f"--shards is {shards}", remedy="give at least 1")
    try:
        import submitit
    except ImportError:
        raise InputError(
            "--submit needs the package submitit", remedy="pip install 't2jax[cluster]'"
        ) from None
    folder = pathlib.Path(out).absolute() / "jobs"
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**{"name": "t2jax-ladder", "timeout_min": 60, **_read(options)})
    except (TypeError, ValueError, NameError, RuntimeError) as error:
        raise InputError(
            f"submitit takes no {cluster} jobs with '{options}' ({' '.join(str(error).split())})",
            remedy="see submitit's AutoExecutor.update_parameters",
        ) from error
    jobs = executor.submit_array(
        [ShardJob([*words, "--shard", f"{index}/{shards}"]) for index in range(shards)]
    )
    _terminal.say(f"submitted {', '.join(job.job_id for job in jobs)}; logs are in {folder}")


def _read(options: str) -> dict[str, Any]:
    """`name=value,...`, whole numbers as such."""
    found: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        name, equals, value = option.partition("=")
        if not equals:
            raise InputError(f"--job has '{option}'", remedy="write name=value,name=value")
        found[name.strip()] = int(value) if value.strip().isdecimal() else value.strip()
    return found
