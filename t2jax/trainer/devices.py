"""Where arrays live: meshes of devices, shards of the state, processes of one run.

XLA moves the data; nothing here communicates by itself.
"""

import atexit
import contextlib
import logging
import os
import pathlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from t2jax.errors import InputError

__all__ = [
    "ROWS",
    "batch_sharding",
    "by_slice",
    "cache_compilation",
    "initialise_processes",
    "is_first",
    "longest_axis",
    "make_mesh",
    "own_rows",
    "peak_flops",
    "replicated",
    "shard_params",
    "slurm_devices",
]

ROWS = PartitionSpec(None, ("data", "fsdp"))
"""How a stack of batches `[steps, rows, ...]` is divided: by rows, over all devices."""

log = logging.getLogger(__name__)

_PATIENCE = 10.0  # seconds of waiting for other processes after which it is said
_JOINING = (
    "start all with the same --coordinator and --num-processes, each with its own --process-id, "
    "and see that the port is open"
)

# Dense bfloat16 FLOPs per second and chip, by the makers' data sheets; the first name that fits.
_PEAKS = {
    "GB200": 2500e12,
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6": 918e12,
    "TPU7x": 2307e12,
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
    shape, names, kinds = (data, fsdp), ("data", "fsdp"), (AxisType.Auto,) * 2
    if len({getattr(device, "slice_index", 0) for device in found[:wanted]}) > 1:
        grid = np.array(by_slice(found[:wanted], fsdp), object).reshape(shape)
        return Mesh(grid, names, axis_types=kinds)
    return jax.make_mesh(shape, names, axis_types=kinds, devices=found[:wanted])


def by_slice(devices: Sequence[Any], fsdp: int) -> list[Any]:
    """Devices of several slices, in an order that keeps a group of `fsdp` within one slice.

    Inside a slice links are fast, so there the state is gathered every step; between slices goes
    one sum of gradients a step.

    Args:
      devices: with a `slice_index`, as TPU slices have it.
      fsdp: devices that share one state.

    Raises:
      InputError: a slice does not divide into such groups.
    """
    slices: dict[int, list[Any]] = {}
    for device in devices:
        slices.setdefault(device.slice_index, []).append(device)
    for number, members in sorted(slices.items()):
        if len(members) % fsdp:
            raise InputError(
                f"slice {number} has {len(members)} devices, which fsdp={fsdp} does not divide",
                remedy="use an fsdp that divides the devices of a slice, and data for the rest",
            )
    return [device for _, members in sorted(slices.items()) for device in members]


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


def peak_flops(devices: int, compute_dtype: str = "bfloat16") -> float | None:
    """Peak FLOPs per second of the devices of a run; None where it is not known.

    Args:
      devices: that the run uses, of those there are.
      compute_dtype: type of the matrix products; only bfloat16 has a peak that makers state
        alike.
    """
    if compute_dtype != "bfloat16":
        return None
    kind = jax.devices()[0].device_kind
    peak = next((value for name, value in _PEAKS.items() if name in kind), None)
    return None if peak is None else peak * devices


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
      InputError: the environment or the arguments do not describe a run, the coordinator's port
        is taken, or nobody answers there. Where others do not come in time, JAX itself ends the
        process; before that, this says what to check.
    """
    joined = _leave_last_words()
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
        if coordinator is not None:
            _check_numbers(num_processes, process_id)
            _check_coordinator(coordinator, first=process_id == 0, timeout=timeout)
        jax.distributed.initialize(
            coordinator_address=coordinator,
            num_processes=num_processes,
            process_id=process_id,
            local_device_ids=slurm_devices(os.environ) if coordinator is None else None,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=heartbeat,
            # One that failed waits this long for the others, which wait for it: no longer.
            shutdown_timeout_seconds=2 * heartbeat,
        )
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"this process did not join the run at {coordinator or 'the address of the cluster'} "
            f"({str(error).splitlines()[0]})",
            remedy=_JOINING,
        ) from error
    finally:
        advice.cancel()
    joined()
    if num_processes not in (None, jax.process_count()):
        raise InputError(
            f"--num-processes {num_processes} here, and process 0 began a run of "
            f"{jax.process_count()}",
            remedy=_JOINING,
        )
    log.info(
        "process %d of %d, %d devices", jax.process_index(), jax.process_count(), jax.device_count()
    )


def _check_numbers(num_processes: int | None, process_id: int | None) -> None:
    if num_processes is None or process_id is None or 0 <= process_id < num_processes:
        return
    raise InputError(
        f"there is no process {process_id} of {num_processes}",
        remedy=f"number them from 0 to {num_processes - 1}",
    )


def _check_coordinator(coordinator: str, *, first: bool, timeout: float) -> None:
    """See that process 0 can listen at an address, or that somebody does, before JAX tries.

    JAX ends a process by a fault of C++ where the port is taken, and where nobody answers.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(
            f"--coordinator {coordinator} is no host:port", remedy="write it as node0:8476"
        )
    if first:
        both = socket.has_dualstack_ipv6()  # as JAX will listen
        kind = socket.AF_INET6 if both else socket.AF_INET
        try:
            with socket.create_server(("", int(port)), family=kind, dualstack_ipv6=both):
                return
        except OSError as error:
            raise InputError(
                f"process 0 cannot listen at port {port} ({os.strerror(error.errno or 0)})",
                source=coordinator,
                remedy="end the run that has it, or give all processes another port",
            ) from error
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise InputError(
                    f"nobody answers after {timeout:g} s ({error.strerror or error})",
                    source=coordinator,
                    remedy=f"start process 0, whose address it is; {_JOINING}",
                ) from error
            time.sleep(0.5)


def slurm_devices(environ: Mapping[str, str]) -> list[int] | None:
    """GPUs of this process among those that it sees, under SLURM; None elsewhere.

    Unless it is told, JAX gives each process of a SLURM job one GPU, also where one process is to
    drive all GPUs of its node.

    Args:
      environ: of the process.

    >>> slurm_devices({"SLURM_GPUS_ON_NODE": "8", "SLURM_LOCALID": "1",
    ...                "SLURM_STEP_TASKS_PER_NODE": "2(x4)"})
    [4, 5, 6, 7]
    """
    place, on_node = environ.get("SLURM_LOCALID"), environ.get("SLURM_GPUS_ON_NODE", "")
    if place is None or not on_node.isdecimal() or not int(on_node):
        return None
    seen = int(on_node)
    named = environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        seen = len([name for name in named.split(",") if name.strip()])
    if seen < int(on_node):  # SLURM has bound this process to its own
        return list(range(seen))
    spread = environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_TASKS_PER_NODE", "1")
    first = re.match(r"\d+", spread)
    each = max(1, seen // int(first.group() if first else 1))
    start = int(place) * each
    return list(range(start, min(start + each, seen)))


_DIED = "as a rule because another one died"
_GOES_ON = "the same command on all hosts goes on from the last checkpoint"
_LOST = ("gloo", "nccl", "peer", "heartbeat", "barrier", "unavailable", "deadline_exceeded")
_LAST_WORDS = (
    "read joined || { echo 't2jax: not all processes of the run came: "
    + _JOINING
    + "' >&2; exit; }; read done || echo 't2jax: this process of the run was ended from outside, "
    f"{_DIED}: {_GOES_ON}' >&2"
)


def _leave_last_words() -> Callable[[], None]:
    """Have one sentence said where JAX ends this process because of another one.

    It does so by an abort that Python does not see, with a stack of C++ on the console. A shell
    that waits for a word from here outlives that.

    Returns:
      What is to be called once all processes have come.
    """
    if os.name != "posix":
        return lambda: None
    shell = subprocess.Popen(
        ["/bin/sh", "-c", _LAST_WORDS], stdin=subprocess.PIPE, start_new_session=True
    )
    assert shell.stdin is not None
    voice = shell.stdin

    def say(word: bytes) -> None:
        with contextlib.suppress(OSError):
            voice.write(word)
            voice.flush()

    def done() -> None:
        say(b"joined\ndone\n")
        with contextlib.suppress(OSError):
            voice.close()
        shell.wait()

    # Before JAX registers its own, so that it comes after: leaving the others may fail too.
    atexit.register(done)
    return lambda: say(b"joined\n")


@contextlib.contextmanager
def beside_others() -> Iterator[None]:
    """Have it said in one line where a run ends because another one of its processes died.

    JAX notices and aborts too: whichever comes first.

    Raises:
      InputError: what was waited for will not come.
    """
    try:
        yield
    except (TimeoutError, jax.errors.JaxRuntimeError) as error:
        told = " ".join(str(error).split())
        lost = isinstance(error, TimeoutError) or any(word in told.lower() for word in _LOST)
        if jax.process_count() == 1 or not lost:
            raise
        raise InputError(
            f"this process of the run lost the others, {_DIED} ({told[:200]})", remedy=_GOES_ON
        ) from error


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
