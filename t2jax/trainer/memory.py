"""What a run must hold at once, and what there is: said before it starts rather than by a kill."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import Mesh

from t2jax._bounds import free_memory
from t2jax.errors import InputError
from t2jax.trainer.config import TrainConfig
from t2jax.trainer.model import FUSED_FROM

__all__ = ["available", "check", "least", "named"]

_STATE = 16  # bytes of a parameter: itself, its gradient and the two moments of AdamW, float32
_KEPT = 8  # widths of activations that the gradient of a block needs, at the very least
_GIB = 2.0**30


def least(config: TrainConfig) -> tuple[float, float]:
    """Bytes on each device that no run of a config goes below: of the state, and of a step.

    `16 P / fsdp` and `rows T (8 V + 4 h T + 8 b L d)`, with P counting the embedding too, `rows`
    those of one part of the batch on one device, h heads, and b the bytes of an activation. The
    logits and their gradient are there at once, and of one block what each head attends to, where
    rows are too short for attention that keeps no scores.

    >>> from t2jax.trainer.config import ModelConfig
    >>> config = TrainConfig(model=ModelConfig(d_model=8), tokens=1e6, batch_rows=4)
    >>> least(config)
    (57344.0, 458752.0)
    """
    shape = config.model
    params = shape.params + shape.d_model * shape.vocab_size
    rows = math.ceil((config.batch_rows or 1) / (config.devices * config.accumulate))
    size = 2 if shape.compute_dtype == "bfloat16" else 4
    kept = 1 if config.remat else _KEPT
    place = 8 * shape.vocab_size + size * shape.n_layers * kept * shape.d_model
    if shape.seq_len < FUSED_FROM:
        place += 4 * shape.n_heads * shape.seq_len
    return _STATE * params / config.fsdp, float(rows * shape.seq_len * place)


def available(device: Any) -> float:
    """Bytes that a device can give to one run; infinite where nobody says.

    Of a CPU, whose simulated devices share it, the part of one.
    """
    if device.platform != "cpu":
        return float((device.memory_stats() or {}).get("bytes_limit", math.inf))
    return free_memory() / len(jax.local_devices())


def check(config: TrainConfig, mesh: Mesh) -> None:
    """Refuse a run that cannot fit, before anything of it is made.

    Args:
      config: the run, filled.
      mesh: its devices.

    Raises:
      InputError: says what it needs and what there is.
    """
    state, step = least(config)
    there = available(jax.local_devices()[0] if mesh is None else mesh.local_devices[0])
    if state + step <= there:
        return
    shape = config.model
    raise InputError(
        f"a model of {shape.params:.3g} parameters takes at least {state / _GIB:.3g} GiB on each "
        f"device, a step of {config.batch_rows} rows {step / _GIB:.3g} GiB more, and there are "
        f"{there / _GIB:.3g} GiB",
        remedy="use a smaller model, or more devices by fsdp"
        if state > there
        else "use fewer batch_rows or tokens of a row, accumulate, remat or more devices",
    )


@contextlib.contextmanager
def named(config: TrainConfig) -> Iterator[None]:
    """Within it, a device that runs out of memory is said in one line.

    Raises:
      InputError: it did.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise InputError(
            f"a step of {config.batch_rows} rows of a model of {config.model.params:.3g} "
            "parameters does not fit into the memory of a device",
            remedy="use fewer batch_rows, accumulate, remat, a smaller model or more devices",
        ) from error
