"""A run on many devices or in many processes is the run on one.

The runs are separate processes, because XLA fixes the number of devices when it starts.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counted_rows import CountedRows, small_config
from jax.sharding import PartitionSpec

from t2jax.errors import InputError
from t2jax.trainer import checkpoint, devices
from t2jax.trainer.train import Trainer

SCRIPT = pathlib.Path(__file__).with_name("spread_run.py")


def start(folder: pathlib.Path, meshes: str, *, count: int, processes: Sequence[str] = ()):
    """A process of a spread run, with `count` simulated devices."""
    folder.mkdir(exist_ok=True)
    log = (folder / f"log{processes[2] if len(processes) > 2 else ''}").open("w", encoding="utf-8")
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
    }
    with log:
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(SCRIPT), str(folder), meshes, *processes],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def last_words(log: pathlib.Path, last: str) -> str:
    """What a process said until these words, which a shell may say when it is gone."""
    deadline = time.monotonic() + 20
    while last not in (said := log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    return said


def logs(folder: pathlib.Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("log*")))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def alone() -> dict[str, np.ndarray]:
    """Parameters and losses of the run on one device."""
    trainer = Trainer(small_config(), CountedRows())
    state, metrics = trainer.run(trainer.init(), 24, trainer.plan())
    flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(state.params)])
    return {"params": flat, "losses": metrics.loss}


def assert_same(folder: pathlib.Path, mesh: str, alone: dict[str, np.ndarray]) -> None:
    found = np.load(folder / f"{mesh}.npz")
    for name in ("params", "resumed"):
        np.testing.assert_allclose(found[name], alone["params"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-5)
    np.testing.assert_allclose(found["again"], alone["losses"][12:], rtol=1e-5)
    # The state is divided among the devices of a group; a few small arrays are not.
    assert found["share"] == pytest.approx(1 / int(mesh.split("x")[1]), abs=0.01)


@pytest.mark.parametrize(
    "meshes", ["2x4,1x1", pytest.param("1x8,8x1,2x2,1x1", marks=pytest.mark.slow)]
)
def test_eight_devices_are_one_and_a_checkpoint_moves_between_them(tmp_path, alone, meshes):
    process = start(tmp_path, meshes, count=8)
    assert process.wait(timeout=300) == 0, logs(tmp_path)
    for mesh in meshes.split(","):
        assert_same(tmp_path, mesh, alone)
    first = np.load(tmp_path / f"{meshes.split(',')[0]}.npz")
    # On the devices it was saved from, a checkpoint goes on to the last bit.
    assert (first["resumed"] == first["params"]).all()


@contextlib.contextmanager
def ended(processes: list[subprocess.Popen]) -> Iterator[None]:
    """Whatever happens within it, the processes end with it."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_two_processes_of_two_devices_are_one(tmp_path, alone):
    address = f"localhost:{free_port()}"
    pair = [start(tmp_path, "2x2,1x4", count=2, processes=(address, "2", str(i))) for i in range(2)]
    with ended(pair):
        codes = [process.wait(timeout=500) for process in pair]
    assert codes == [0, 0], logs(tmp_path)
    for mesh in ("2x2", "1x4"):
        assert_same(tmp_path, mesh, alone)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_ends_the_other_within_a_minute(tmp_path, victim):
    address = f"localhost:{free_port()}"
    endless = str(10**8)
    pair = [
        start(tmp_path, "2x2", count=2, processes=(address, "2", str(i), endless)) for i in range(2)
    ]
    with ended(pair):
        deadline = time.monotonic() + 300
        while not (tmp_path / "saved" / "12" / "card.json").is_file():
            assert time.monotonic() < deadline, logs(tmp_path)
            assert [p.poll() for p in pair] == [None, None], logs(tmp_path)
            time.sleep(0.2)
        pair[victim].send_signal(signal.SIGKILL)
        assert pair[1 - victim].wait(timeout=60) != 0
    # Whichever of JAX and the run notices first says so.
    assert last_words(tmp_path / f"log{1 - victim}", "because another one died")


def test_a_run_that_cannot_be_joined_is_one_line(run):
    words = ("train", "corpus:tiny", "--num-processes", 2, "--init-timeout", 1)
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, told = run(*words, "--process-id", 0, "--coordinator", f"localhost:{port}")
    assert (code, told.count("\n")) == (2, 1)
    assert f"process 0 cannot listen at port {port} (Address already in use)" in told
    absent = f"localhost:{free_port()}"
    for number, address, problem in (
        (1, absent, f"{absent}: nobody answers after 1 s (Connection refused)"),
        (2, absent, "there is no process 2 of 2"),
        (0, "localhost", "--coordinator localhost is no host:port"),
        (0, "localhost:99999", "--coordinator localhost:99999 is no host:port"),
    ):
        code, _, told = run(*words, "--process-id", number, "--coordinator", address)
        assert (code, told.count("\n")) == (2, 1), told
        assert problem in told


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [("2 0", "3 1"), ("2 0", "2 0"), ("3 0", "3 1")])
def test_a_wrong_count_or_number_is_said(tmp_path, numbers):
    address = f"localhost:{free_port()}"
    code = (
        "import sys\nfrom t2jax.trainer import devices\n"
        "devices.initialise_processes(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), timeout=15)"
    )
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", code, address, *words.split()], stderr=subprocess.PIPE, text=True
        )
        for words in numbers
    ]
    with ended(pair):
        said = [process.communicate(timeout=120)[1] for process in pair]
    # Process 0 is content where the others were told of more, until they end.
    failed = [words for process, words in zip(pair, said, strict=True) if process.returncode]
    assert failed
    assert all("--num-processes" in words or "cannot listen at port" in words for words in failed)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_in_a_checkpoint_leaves_the_one_before(tmp_path, victim):
    address = f"localhost:{free_port()}"
    endless = str(10**8)
    pair = [
        start(tmp_path, "2x2", count=2,
              processes=(address, "2", str(i), endless, "dies" if i == victim else "lives"))
        for i in range(2)
    ]  # fmt: skip
    with ended(pair):
        assert pair[victim].wait(timeout=300) == -signal.SIGKILL, logs(tmp_path)
        assert pair[1 - victim].wait(timeout=60) != 0
    assert last_words(tmp_path / f"log{1 - victim}", "because another one died")
    assert (tmp_path / "saved" / "13").is_dir()
    trainer = Trainer(small_config(), CountedRows())
    state, card = checkpoint.restore(tmp_path / "saved", trainer.abstract_state())
    assert card["step"] == int(state.step) == 12


@pytest.mark.slow
def test_a_process_that_nobody_joins_says_what_to_check_and_ends():
    code = (
        "from t2jax.trainer import devices\n"
        f"devices.initialise_processes('localhost:{free_port()}', 2, 0, timeout=4)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "still waiting at localhost" in done.stderr
    assert "--num-processes" in done.stderr


def test_a_run_that_nothing_describes_is_refused():
    code = (
        "from t2jax.trainer import devices\n"
        "devices.initialise_processes(None, None, None, timeout=4)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert "InputError: this process did not join the run" in done.stderr


def test_too_many_devices_are_refused_with_the_way_to_simulate_them():
    with pytest.raises(InputError, match="xla_force_host_platform_device_count=64"):
        devices.make_mesh(8, 8)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((8, 12), 1), ((12, 8), 0), ((8, 6), 0), ((2, 6), None), ((4,), 0), ((3,), None), ((), None)],
)
def test_arrays_are_cut_along_their_longest_axis_that_divides(shape, axis):
    assert devices.longest_axis(shape, 4) == axis


def test_one_device_holds_the_whole_and_makes_all_rows():
    mesh = devices.make_mesh()
    places = devices.shard_params({"a": jnp.zeros((8, 4))}, mesh)
    assert places["a"].spec == PartitionSpec()
    assert devices.own_rows(devices.batch_sharding(mesh), 12) == (0, 12)


def test_nobody_knows_the_peak_of_a_cpu():
    assert devices.peak_flops(1, "bfloat16") is None


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA GB200", 2500e12),
        ("NVIDIA B200", 2250e12),
        ("TPU v6 lite", 918e12),
        ("TPU7x", 2307e12),
    ],
)
def test_the_peak_is_that_of_the_devices_in_use(kind, peak, monkeypatch):
    there = [types.SimpleNamespace(device_kind=kind)] * 8
    monkeypatch.setattr(jax, "devices", lambda: there)
    assert devices.peak_flops(1) == peak
    assert devices.peak_flops(4) == 4 * peak
    assert devices.peak_flops(4, "float32") is None


def slurm(nodes: int, tasks: int, gpus: int, **more: str) -> list[dict[str, str]]:
    """Environments of all processes of a job."""
    common = {"SLURM_GPUS_ON_NODE": str(gpus), "SLURM_STEP_TASKS_PER_NODE": f"{tasks}(x{nodes})"}
    return [
        common | {"SLURM_NODEID": str(node), "SLURM_LOCALID": str(task)} | more
        for node in range(nodes)
        for task in range(tasks)
    ]


@pytest.mark.parametrize("tasks", [1, 2, 4, 8])
def test_the_processes_of_a_node_share_its_gpus(tasks):
    taken: dict[str, list[int]] = {}
    for environ in slurm(4, tasks, 8):
        ids = devices.slurm_devices(environ)
        assert ids is not None
        assert len(ids) == 8 // tasks
        taken.setdefault(environ["SLURM_NODEID"], []).extend(ids)
    assert list(taken.values()) == [list(range(8))] * 4


def test_gpus_that_slurm_has_bound_are_taken_as_they_are():
    for environ in slurm(2, 4, 8, CUDA_VISIBLE_DEVICES="2,3"):
        assert devices.slurm_devices(environ) == [0, 1]
    (whole,) = slurm(1, 1, 8, CUDA_VISIBLE_DEVICES="0,1,2,3,4,5,6,7")
    assert devices.slurm_devices(whole) == list(range(8))
    assert devices.slurm_devices({}) is None
    assert devices.slurm_devices({"SLURM_LOCALID": "0"}) is None  # a job without GPUs


def test_slurm_is_asked_for_the_devices_only_where_it_is_asked_for_the_rest(monkeypatch):
    asked = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **words: asked.append(words))
    monkeypatch.setattr(devices, "_leave_last_words", lambda: lambda: None)
    monkeypatch.setattr(devices, "_check_coordinator", lambda *_, **__: None)
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    for name, value in slurm(4, 1, 8)[2].items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices.initialise_processes(None, None, None)
    devices.initialise_processes("host:1", 4, 2)
    assert [words["local_device_ids"] for words in asked] == [list(range(8)), None]


def slices(*sizes: int) -> list[types.SimpleNamespace]:
    """Devices of several slices, in no order."""
    found = [
        types.SimpleNamespace(slice_index=number, id=(number, place))
        for place in range(max(sizes))
        for number, size in enumerate(sizes)
        if place < size
    ]
    return found


def test_a_group_of_devices_lies_within_one_slice():
    placed = devices.by_slice(slices(8, 8), 4)
    groups = [{device.slice_index for device in placed[i : i + 4]} for i in range(0, 16, 4)]
    assert groups == [{0}, {0}, {1}, {1}]
    assert len({device.id for device in placed}) == 16
    with pytest.raises(InputError, match="slice 1 has 6 devices, which fsdp=4 does not divide"):
        devices.by_slice(slices(8, 6), 4)


@pytest.mark.slow
def test_a_mesh_of_slices_trains_as_any_other(tmp_path, alone):
    process = start(tmp_path, "2x4", count=8, processes=("slices",))
    assert process.wait(timeout=300) == 0, logs(tmp_path)
    assert_same(tmp_path, "2x4", alone)


def test_a_failure_beside_others_is_one_line_and_alone_what_it_was(monkeypatch):
    def fails():
        with devices.beside_others():
            raise jax.errors.JaxRuntimeError("UNKNOWN: Gloo: Connection closed\nby peer")

    with pytest.raises(jax.errors.JaxRuntimeError):
        fails()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InputError, match=r"because another one died \(.*closed by peer"):
        fails()
    with pytest.raises(jax.errors.JaxRuntimeError), devices.beside_others():
        raise jax.errors.JaxRuntimeError("INTERNAL: a kernel failed")  # again and again
