"""What is saved carries its format and a hash: an altered file is named, and nothing in it runs."""

import io
import json
import mmap
import pickle
import zipfile

import jax
import numpy as np
import pytest
from test_saved import SAVED

import t2jax as t2
from t2jax import _devices
from t2jax.errors import InputError


@pytest.mark.parametrize("name", [name for name in SAVED if name.endswith(".json")])
def test_an_altered_number_is_named(name, tmp_path):
    path = tmp_path / name
    SAVED[name].save(path)
    described = json.loads(path.read_text())
    assert described["format"].startswith("t2jax.")
    assert len(described["sha256"]) == 64
    path.write_text(json.dumps(described, sort_keys=True))  # in another order: the same
    t2.load(path)
    path.write_text(json.dumps(described | {"source": "another", "law": "tied"}))
    with pytest.raises(InputError, match=rf"{name}: was altered after it was written"):
        t2.load(path)


def test_altered_draws_are_named(tmp_path):
    path = tmp_path / "draws.npz"
    SAVED["draws.npz"].save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(path, **arrays)
    t2.load(path)
    arrays["E"] = arrays["E"] * 1.01
    np.savez_compressed(path, **arrays)
    with pytest.raises(InputError, match=r"draws\.npz: was altered"):
        t2.load(path)


@pytest.mark.parametrize("name", ["fit.json", "draws.npz"])
def test_a_file_cut_short_or_with_a_flipped_bit_is_named(name, tmp_path):
    path = tmp_path / name
    SAVED[name].save(path)
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    for place in draw.integers(1, len(whole) - 2, 60):
        path.write_bytes(whole[:place])
        with pytest.raises(InputError, match=name):
            t2.load(path)
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(flipped)
        try:
            again = t2.load(path)
        except InputError as error:
            assert name in str(error)  # noqa: PT017 -- or else it says the same
        else:
            assert again.summary() == SAVED[name].summary()


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_in_an_archive_runs(tmp_path):
    ran, path = tmp_path / "ran", tmp_path / "draws.npz"
    payload = io.BytesIO()
    np.save(payload, np.array([Touch(str(ran))], object), allow_pickle=True)
    for name in ("meta.npy", "E.npy"):
        SAVED["draws.npz"].save(path)
        with zipfile.ZipFile(path) as old:
            parts = {part: old.read(part) for part in old.namelist()}
        with zipfile.ZipFile(path, "w") as new:
            for part, data in (parts | {name: payload.getvalue()}).items():
                new.writestr(part, data)
        with pytest.raises(InputError, match="cannot be read as draws"):
            t2.load(path)
    path.write_bytes(pickle.dumps(Touch(str(ran))))
    with pytest.raises(InputError):
        t2.load(path)
    assert not ran.exists()


def test_programs_are_forgotten_before_the_limit_of_maps(monkeypatch, tmp_path):
    # A process with many tables dies inside the compiler otherwise.
    maps, forgotten = tmp_path / "maps", []
    monkeypatch.setattr(_devices, "_MAPS", maps)
    monkeypatch.setattr(_devices, "_SECONDS", 0.0)
    monkeypatch.setattr(jax, "clear_caches", lambda: forgotten.append(True))
    allowed = 65_530
    limit = tmp_path / "limit"
    limit.write_text(f"{allowed}\n")
    monkeypatch.setattr(_devices, "_LIMIT", limit)
    maps.write_text("a map\n" * 1000)
    t2.pass_at_k([1], [2], 1)
    _devices.few_programs()
    assert not forgotten
    maps.write_text("a map\n" * (allowed // 2))
    _devices.few_programs()
    assert len(forgotten) == 1
    # Nor may they fill the memory: two gigabytes more than when they were forgotten last.
    maps.write_text("a map\n")
    pages = tmp_path / "pages"
    monkeypatch.setattr(_devices, "_PAGES", pages)
    for grown, times in ((0.0, 1), (1.9, 1), (2.1, 2), (4.0, 2), (4.2, 3)):
        pages.write_text(f"0 {(10**8 + int(grown * 2**30)) // mmap.PAGESIZE} 0")
        if not grown:
            monkeypatch.setattr(_devices, "_least", 10**8)
        _devices.few_programs()
        assert len(forgotten) == times
    maps.unlink()  # where there is no /proc
    _devices.few_programs()
