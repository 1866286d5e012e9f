"""Where arrays live: meshes of devices, shards of the state, processes of one run.

XLA moves the data; nothing here communicates by itself.
"""

import logging
import pathlib
import threading
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from t2jax.errors import InputError

__all__ = [
    "ROWS",
    "batch_sharding",
    "cache_compilation",
    "initialise_processes",
    "is_first",
    "longest_axis",
    "make_mesh",
    "own_rows",
    "peak_flops",
    "replicated",
    "shard_params",
]

ROWS = PartitionSpec(None, ("data", "fsdp"))
"""How a stack of batches `[steps, rows, ...]` is divided: by rows, over all devices."""

log = logging.getLogger(__name__)

_PATIENCE = 10.0  # seconds of waiting for other processes after which it is said
_JOINING = (
    "start all with the same --coordinator and --num-processes, each with its own --process-id, "
    "and see that the port is open"
)

# Dense bfloat16 FLOPs per second and chip, by the makers' data sheets.
_PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6": 918e12,
}


def make_mesh(data: int = 1, fsdp: int = 1, *, devices: Any = None) -> Mesh:
    """A mesh of `data * fsdp` devices: the first ones there are.

    Args:
      data: groups of devices that each hold the whole state.
      fsdp: devices of a group, among which its state is divided.
      devices: those to use, in order; all of the run unless given.

    Raises:
      InputError: there are fewer devices, or some process would have none.
    """
    found = list(jax.devices() if devices is None else devices)
    wanted = data * fsdp
    if wanted > len(found):
        raise InputError(
            f"data={data} times fsdp={fsdp} needs {wanted} devices and there are {len(found)}",
            remedy="use fewer, start more processes, or simulate devices on a CPU with "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={wanted}",
        )
    if devices is None and jax.process_count() > 1 and wanted < len(found):
        raise InputError(
            f"data={data} times fsdp={fsdp} uses {wanted} of the {len(found)} devices of "
            f"{jax.process_count()} processes",
            remedy="use all of them",
        )
    shape, names = (data, fsdp), ("data", "fsdp")
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * 2, devices=found[:wanted])


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Every device holds its own rows of every step."""
    return NamedSharding(mesh, ROWS)


def shard_params(tree: Any, mesh: Mesh) -> Any:
    """Where each array of a tree belongs: cut along its largest axis that `fsdp` divides.

    Args:
      tree: arrays, or anything with a shape: parameters, moments, a whole training state.
      mesh: from `make_mesh`.

    Returns:
      The same tree with a sharding in place of each array.
    """
    parts = mesh.shape["fsdp"]

    def place(leaf: Any) -> NamedSharding:
        axis = longest_axis(leaf.shape, parts) if parts > 1 else None
        if axis is None:
            return replicated(mesh)
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "fsdp"))

    return jax.tree.map(place, tree)


def longest_axis(shape: tuple[int, ...], parts: int) -> int | None:
    """The longest axis of an array that divides into parts; None where none does.

    >>> longest_axis((2, 8, 24), parts=8)
    2
    """
    axes = [axis for axis, size in enumerate(shape) if size and size % parts == 0]
    return max(axes, key=lambda axis: shape[axis], default=None)


def peak_flops(compute_dtype: str = "bfloat16") -> float | None:
    """Peak FLOPs per second of all devices of the run; None where it is not known.

    Args:
      compute_dtype: type of the matrix products; only bfloat16 has a peak that makers state
        alike.
    """
    if compute_dtype != "bfloat16":
        return None
    kind = jax.devices()[0].device_kind
    peak = next((value for name, value in _PEAKS.items() if name in kind), None)
    return None if peak is None else peak * jax.device_count()


def cache_compilation(folder: str | pathlib.Path) -> None:
    """Keep compiled programs in a folder, so that the next process starts at once.

    Args:
      folder: made where it is missing; may be shared between processes.
    """
    jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(folder).absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def initialise_processes(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    *,
    timeout: int = 300,
    heartbeat: int = 20,
) -> None:
    """Join the processes of a run; call it before anything else touches JAX.

    Args:
      coordinator: host:port of process 0, the same for all; None finds it on SLURM and TPU pods.
      num_processes: how many processes there are; None where the environment says it.
      process_id: number of this one; None where the environment says it.
      timeout: seconds to wait for the others.
      heartbeat: seconds of silence after which a process counts as dead and the others end.

    Raises:
      InputError: the environment or the arguments do not describe a run. Where the others do not
        come in time, JAX itself ends the process; before that, this says what to check.
    """
    # Past the timeout JAX ends the process without raising, so the advice comes before that.
    advice = threading.Timer(
        min(_PATIENCE, timeout / 2),
        log.warning,
        (
            "still waiting at %s for the other processes, %d s in all: %s",
            coordinator or "the address of the cluster",
            timeout,
            _JOINING,
        ),
    )
    advice.daemon = True
    advice.start()
    try:
        jax.distributed.initialize(
            coordinator_address=coordinator,
            num_processes=num_processes,
            process_id=process_id,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=heartbeat,
            # One that failed waits this long for the others, which wait for it: no longer.
            shutdown_timeout_seconds=2 * heartbeat,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"this process did not join the run at {coordinator or 'the address of the cluster'} "
            f"({str(error).splitlines()[0]})",
            remedy=_JOINING,
        ) from error
    finally:
        advice.cancel()
    log.info(
        "process %d of %d, %d devices", jax.process_index(), jax.process_count(), jax.device_count()
    )


def is_first() -> bool:
    """Whether this process writes tables and logs."""
    return jax.process_index() == 0


def own_rows(sharding: NamedSharding, rows: int) -> tuple[int, int]:
    """First row of a batch that this process makes, and the row behind its last.

    Args:
      sharding: from `batch_sharding`.
      rows: rows of a batch.
    """
    places = sharding.addressable_devices_indices_map((1, rows)).values()
    spans = [index[1].indices(rows)[:2] for index in places if index is not None]
    return int(np.min([a for a, _ in spans])), int(np.max([b for _, b in spans]))
