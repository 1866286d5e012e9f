"""One process of a run on several devices; `test_devices.py` starts it and compares.

Usage: spread_run.py FOLDER DATAxFSDP,...
         [COORDINATOR PROCESSES PROCESS [STEPS [dies|lives]] | slices]

Every mesh trains from the start and writes parameters and losses; what the first mesh saved on its
way is restored on each and goes on to the same end. A process that `dies` is killed while it
writes the checkpoint behind that, which all of them begin.
"""

import os
import pathlib
import signal
import sys
import types

import jax
import numpy as np
from counted_rows import CountedRows, small_config
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh

from t2jax.trainer import checkpoint, devices
from t2jax.trainer.train import Trainer, copy_state


def gathered(tree):
    """Whole arrays on the host, whoever holds their parts."""
    return jax.tree.map(lambda x: multihost_utils.process_allgather(x, tiled=True), tree)


def share(state) -> float:
    """The part of a state that one device of this process holds."""
    own = jax.local_devices()[0]
    held = whole = 0
    for leaf in jax.tree.leaves(state):
        whole += leaf.nbytes
        held += sum(s.data.nbytes for s in leaf.addressable_shards if s.device == own)
    return held / whole


def mesh_of_slices(data: int, fsdp: int) -> Mesh:
    """Every second simulated device lies in another slice."""
    found = [
        types.SimpleNamespace(slice_index=place % 2, device=device)
        for place, device in enumerate(jax.devices())
    ]
    placed = [one.device for one in devices.by_slice(found, fsdp)]
    assert placed != jax.devices()
    grid = np.array(placed, object).reshape(data, fsdp)
    return Mesh(grid, ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)


def dying(write):
    """The same, and the process is killed once it has begun to write."""

    def begun(place, tree):
        write(place, tree)
        os.kill(os.getpid(), signal.SIGKILL)

    return begun


def main(folder: str, meshes: str, *processes: str) -> None:
    sliced = processes == ("slices",)
    if len(processes) > 1:
        coordinator, count, process = processes[:3]
        devices.initialise_processes(
            coordinator, int(count), int(process), timeout=60, heartbeat=10
        )
    steps = int(processes[3]) if len(processes) > 3 else 24
    checkpoint.SMALL = 0
    out = pathlib.Path(folder)
    for number, mesh in enumerate(meshes.split(",")):
        data, fsdp = map(int, mesh.split("x"))
        config = small_config(data=data, fsdp=fsdp, tokens=steps * 8 * 12)
        trainer = Trainer(config, CountedRows(), mesh_of_slices(data, fsdp) if sliced else None)
        state, seen = trainer.run(trainer.init(), 12, trainer.plan())
        if number == 0:
            card = checkpoint.make_card(trainer.config, CountedRows())
            checkpoint.save(out / "saved", 12, copy_state(state), card)
            if "dies" in processes:
                checkpoint._write_arrays = dying(checkpoint._write_arrays)
            if "dies" in processes or "lives" in processes:
                checkpoint.save(out / "saved", 13, copy_state(state), card)
        begun = share(state)
        state, rest = trainer.run(state, steps, trainer.plan())
        resumed, _ = checkpoint.restore(out / "saved", trainer.abstract_state())
        resumed, again = trainer.run(resumed, steps, trainer.plan())
        values = {
            "params": np.concatenate([x.ravel() for x in jax.tree.leaves(gathered(state.params))]),
            "resumed": np.concatenate(
                [x.ravel() for x in jax.tree.leaves(gathered(resumed.params))]
            ),
            "losses": np.concatenate([seen.loss, rest.loss]),
            "again": again.loss,
            "share": begun,
        }
        if devices.is_first():
            np.savez(out / f"{mesh}.npz", **values)


if __name__ == "__main__":
    main(*sys.argv[1:])
