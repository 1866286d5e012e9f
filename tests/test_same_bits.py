"""A seed gives the same bits again, on one device and on several."""

import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("bits.py")


def bits(devices: int, *words: str) -> dict[str, str]:
    """Hashes by name, from a process of its own: XLA fixes the number of devices as it starts."""
    flags = os.environ.get("XLA_FLAGS", "")
    flags += f" --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), *words],
        env=environment, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())


def test_optima_are_the_same_bits_on_two_devices():
    assert bits(1) == bits(2)


@pytest.mark.slow
def test_all_that_is_drawn_by_a_seed_is_the_same_bits_again_and_on_eight_devices():
    first = bits(1, "all")
    assert len(first) == 6
    for devices in (1, 2, 8):
        assert bits(devices, "all") == first, devices
