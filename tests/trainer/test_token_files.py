"""Token arrays of another width, strays and files that are no text: named, not trained on."""

import gc
import warnings

import numpy as np
import pytest

from t2jax.errors import InputError
from t2jax.trainer import token_files
from t2jax.trainer.text import open_text

TOKENS = np.random.default_rng(0).integers(0, 50_000, 20_000)


@pytest.mark.parametrize("wide", ["uint32", "int32", "int64"])
@pytest.mark.parametrize("largest", [7, 300, 50_000, 200_000])
def test_a_wider_array_is_not_read_as_a_narrow_one(tmp_path, wide, largest):
    path = tmp_path / "tokens.bin"
    (TOKENS % largest + (largest > 60_000) * 100_000).astype(wide).tofile(path)
    with pytest.raises(InputError, match="are the zeros of a wider type"):
        open_text(path, seq_len=16, dtype="uint16")
    source = open_text(path, seq_len=16, dtype=wide)
    assert source.rows_per_epoch == len(TOKENS) // 16


def test_int64_is_not_read_as_int32(tmp_path):
    path = tmp_path / "tokens.bin"
    TOKENS.tofile(path)
    for narrow in ("uint32", "int32"):
        with pytest.raises(InputError, match="perhaps int64"):
            open_text(path, seq_len=16, dtype=narrow)


@pytest.mark.parametrize("largest", [2, 20, 300, 60_000])
def test_narrow_arrays_are_read_as_they_are(tmp_path, largest):
    path = tmp_path / "tokens.bin"
    (TOKENS % largest).astype(np.uint16).tofile(path)
    source = open_text(path, seq_len=16)
    assert source.vocab_size == (TOKENS % largest).max() + 1


def test_a_narrow_array_read_as_a_wide_one_has_tokens_of_no_vocabulary(tmp_path):
    path = tmp_path / "tokens.bin"
    TOKENS.astype(np.uint16).tofile(path)
    for wide in ("uint32", "int32", "int64"):
        with pytest.raises(InputError, match=r"token -?\d+ at place 0 is not in any vocabulary"):
            open_text(path, seq_len=16, dtype=wide)


@pytest.mark.parametrize(("magic", "dtype"), [(20240520, "uint16"), (20240801, "uint32")])
def test_a_header_says_the_width(tmp_path, magic, dtype):
    path, head = tmp_path / "tokens.bin", np.zeros(256, np.int32)
    head[:3] = magic, 1, len(TOKENS)
    path.write_bytes(head.tobytes() + TOKENS.astype(dtype).tobytes())
    source = open_text(path, seq_len=len(TOKENS))
    np.testing.assert_array_equal(source.rows(0, 1).tokens[0], TOKENS)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=f"the header says {len(TOKENS)} tokens"):
        open_text(path, seq_len=16)


def test_a_stray_token_is_named(tmp_path):
    path, strayed = tmp_path / "tokens.npy", TOKENS.astype(np.int64)
    strayed[1234] = 2**31 - 1
    np.save(path, strayed)
    with pytest.raises(InputError, match="token 2147483647 at place 1234 is not in any"):
        open_text(path, seq_len=16)


@pytest.mark.parametrize("name", ["a.json", "a.npz", "a.parquet", "a.jsonl.gz", "a.PT"])
def test_other_files_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_text('["some text", "more"]')
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(InputError, match="is neither text nor tokens"):
            open_text(path, seq_len=16)


def test_text_with_zero_bytes_is_no_text(tmp_path):
    path = tmp_path / "wide.txt"
    path.write_bytes("first line\nsecond".encode("utf-16-le"))
    with pytest.raises(InputError, match=r"line 1: there is a zero byte"):
        open_text(path, seq_len=16)


def test_an_array_under_another_name_is_told(tmp_path):
    path = tmp_path / "tokens.bin"
    with path.open("wb") as file:
        np.save(file, TOKENS)
    with pytest.raises(InputError, match=r"name it \.npy"):
        open_text(path, seq_len=16)


def test_an_archive_under_the_name_of_an_array_is_refused_and_closed(tmp_path):
    path = tmp_path / "tokens.npy"
    with path.open("wb") as file:
        np.savez(file, tokens=np.arange(9))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(InputError, match="this is not a NumPy array"):
            token_files.read(path, "uint16")
        gc.collect()
