"""What is written is what is read; half a checkpoint is none; another run is refused."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from counted_rows import CountedRows, small_config

from t2jax.cli import main
from t2jax.errors import InputError
from t2jax.trainer import checkpoint, model
from t2jax.trainer.config import ModelConfig
from t2jax.trainer.train import Trainer

SOURCE = CountedRows()


def equal(a, b) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all((np.asarray(x) == np.asarray(y)).all() for x, y in pairs)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(small_config(), SOURCE)


@pytest.fixture
def card(trainer: Trainer) -> dict:
    return checkpoint.make_card(trainer.config, SOURCE, tokens=5)


@pytest.fixture(params=["archive", "orbax"])
def kind(request, monkeypatch) -> str:
    """Both ways to store arrays: small trees in one file, others by Orbax."""
    if request.param == "orbax":
        monkeypatch.setattr(checkpoint, "SMALL", 0)
    return request.param


def test_a_restored_state_goes_on_to_the_last_bit(tmp_path, trainer, card, kind):
    plan = trainer.plan()
    state, _ = trainer.run(trainer.init(), 10, plan)
    checkpoint.save(tmp_path, 10, state, card)
    assert (tmp_path / "10" / ("arrays.npz" if kind == "archive" else "arrays")).exists()
    straight, _ = trainer.run(state, 24, plan)
    restored, read = checkpoint.restore(tmp_path, trainer.abstract_state())
    assert read == {**json.loads(json.dumps(card)), "step": 10}
    assert int(restored.step) == 10
    assert equal(trainer.run(restored, 24, plan)[0], straight)


def test_a_state_may_be_used_up_while_it_is_being_written(tmp_path, trainer, card, kind):
    state, _ = trainer.run(trainer.init(), 4, trainer.plan())
    kept = jax.tree.map(np.array, state)
    saver = checkpoint.Saver(tmp_path)
    saver.save(4, state, card)
    trainer.run(state, 12, trainer.plan())
    saver.wait()
    assert equal(checkpoint.restore(tmp_path, trainer.abstract_state())[0], kept)


def test_the_newest_checkpoints_stay(tmp_path, trainer, card, kind):
    saver = checkpoint.Saver(tmp_path, keep=2)
    for step in (3, 20, 100):
        saver.save(step, trainer.init(), card)
    saver.wait()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["100", "20"]
    assert checkpoint.latest(tmp_path) == 100


def test_a_checkpoint_without_its_card_is_none(tmp_path, trainer, card, kind):
    for step in (3, 20):
        checkpoint.save(tmp_path, step, trainer.init(), card)
    (tmp_path / "20" / "card.json").unlink()
    assert checkpoint.latest(tmp_path) == 3
    assert checkpoint.restore(tmp_path, trainer.abstract_state())[1]["step"] == 3
    checkpoint.save(tmp_path, 20, trainer.init(), card)
    assert checkpoint.latest(tmp_path) == 20


def test_there_is_nothing_in_an_empty_folder(tmp_path, trainer):
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "absent") is None
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint.restore(tmp_path, trainer.abstract_state())
    with pytest.raises(InputError, match=r"no card\.json"):
        checkpoint.load_params(tmp_path)


def test_a_failure_to_write_is_raised_and_leaves_no_checkpoint(tmp_path, trainer, card, kind):
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="run"):
        checkpoint.save(tmp_path / "run", 3, trainer.init(), card)
    assert checkpoint.latest(tmp_path / "run") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed 0 -> 1"),
        ({"cooldown": 0.5, "clip": 2.0}, "cooldown 0.2 -> 0.5, clip 1.0 -> 2.0"),
        ({"model": ModelConfig(d_model=16, n_layers=1)}, "d_model 8 -> 16, model.vocab_size 32"),
    ],
)
def test_another_run_is_refused_in_one_line_that_names_it(change, words, card):
    other = checkpoint.make_card(dataclasses.replace(small_config(), **change), SOURCE)
    with pytest.raises(InputError) as refusal:
        checkpoint.check(checkpoint.make_card(small_config(), SOURCE), other, "out")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_devices_and_chunks_may_change_between_sessions():
    other = small_config(data=2, fsdp=4, chunk=7)
    first, second = (checkpoint.make_card(c, SOURCE) for c in (small_config(), other))
    checkpoint.check(first, second, "out")


def test_parameters_alone_come_back_with_their_model(tmp_path, kind):
    config = ModelConfig(d_model=8, n_layers=1)
    params = model.initialise(config, jax.random.key(1))
    checkpoint.save_params(tmp_path / "point", params, {"model": config, "tokens": 7})
    found, loaded, card = checkpoint.load_params(tmp_path / "point")
    assert found == config
    assert equal(loaded, params)
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    assert card["tokens"] == 7


def test_parameters_are_replaced_whatever_their_storage(tmp_path, monkeypatch):
    config = ModelConfig(d_model=8, n_layers=1)
    first, second = (model.initialise(config, jax.random.key(i)) for i in range(2))
    for limit in (2**20, 0, 2**20):
        monkeypatch.setattr(checkpoint, "SMALL", limit)
        for params in (first, second):
            checkpoint.save_params(tmp_path, params, {"model": config})
            assert equal(checkpoint.load_params(tmp_path)[1], params)


def test_the_same_parameters_are_the_same_bytes(tmp_path):
    config = ModelConfig(d_model=8, n_layers=1)
    params = model.initialise(config, jax.random.key(1))
    for name in "ab":
        checkpoint.save_params(tmp_path / name, params, {"model": config})
    for file in ("arrays.npz", "card.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def without_hashes(place: pathlib.Path) -> None:
    """Leave the card as earlier versions wrote it."""
    written = json.loads((place / "card.json").read_text())
    bare = {name: written[name] for name in written.keys() - {"sha256", "files", "format"}}
    (place / "card.json").write_text(json.dumps(bare))


def test_arrays_of_another_model_are_refused(tmp_path, kind):
    small, large = ModelConfig(d_model=8, n_layers=1), ModelConfig(d_model=16, n_layers=1)
    for config in (small, large):
        params = model.initialise(config, jax.random.key(0))
        checkpoint.save_params(tmp_path / str(config.d_model), params, {"model": config})
    shutil.copy(tmp_path / "8" / "card.json", tmp_path / "16" / "card.json")
    with pytest.raises(InputError, match=r"arrays.*(was altered after it was written|is missing)"):
        checkpoint.load_params(tmp_path / "16")
    without_hashes(tmp_path / "16")
    with pytest.raises(InputError, match="holds a model of another shape"):
        checkpoint.load_params(tmp_path / "16")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": 3}', '{"model": {"width": 3}}'])
def test_a_damaged_card_is_named(tmp_path, text):
    config = ModelConfig(d_model=8, n_layers=1)
    checkpoint.save_params(tmp_path, model.initialise(config, jax.random.key(0)), {"model": config})
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(InputError, match=r"card\.json"):
        checkpoint.load_params(tmp_path)


def test_a_damaged_archive_is_named(tmp_path):
    config = ModelConfig(d_model=8, n_layers=1)
    checkpoint.save_params(tmp_path, model.initialise(config, jax.random.key(0)), {"model": config})
    file = tmp_path / "arrays.npz"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match=r"arrays\.npz: was altered"):
        checkpoint.load_params(tmp_path)
    without_hashes(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.load_params(tmp_path)


def flipped(path: pathlib.Path, at: int) -> bytes:
    """The bytes of a file with one bit turned."""
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    return bytes(data)


def test_every_file_that_was_altered_cut_short_or_lost_is_named(tmp_path, trainer, card, kind):
    checkpoint.save(tmp_path, 20, trainer.init(), card)
    place = tmp_path / "20"
    named = json.loads((place / "card.json").read_text())["files"]
    stored = {p for p in place.rglob("*") if p.is_file() and p.name != "card.json"}
    assert {place / name for name in named} == stored
    for path in stored:
        whole = path.read_bytes()
        if not whole:
            continue
        for damaged in (flipped(path, 1000), flipped(path, len(whole) // 2), whole[:-1]):
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=r"train again from the checkpoint before it"):
                checkpoint.restore(tmp_path, trainer.abstract_state())
        path.write_bytes(whole)
    path = max(stored, key=lambda path: path.stat().st_size)
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError):
        checkpoint.restore(tmp_path, trainer.abstract_state())
    (tmp_path / "elsewhere").rename(path)
    checkpoint.restore(tmp_path, trainer.abstract_state())


def test_arrays_of_another_step_are_named(tmp_path, trainer, card, kind):
    state, _ = trainer.run(trainer.init(), 4, trainer.plan())
    checkpoint.save(tmp_path, 0, trainer.init(), card)
    checkpoint.save(tmp_path, 4, state, card)
    shutil.copytree(tmp_path / "0", tmp_path / "4", dirs_exist_ok=True,
                    ignore=lambda *_: {"card.json"})  # fmt: skip
    with pytest.raises(InputError, match=r"was altered after it was written|is missing"):
        checkpoint.restore(tmp_path, trainer.abstract_state())


def test_a_number_of_a_card_that_was_altered_is_named(tmp_path, trainer, card):
    checkpoint.save(tmp_path, 3, trainer.init(), card)
    path = tmp_path / "3" / "card.json"
    path.write_text(path.read_text().replace('"tokens": 5', '"tokens": 6'))
    with pytest.raises(InputError, match=r"card\.json: was altered after it was written"):
        checkpoint.restore(tmp_path, trainer.abstract_state())


@pytest.mark.parametrize("name", ["../other/arrays.npz", "arrays/../../x", "/dev/zero", "x"])
def test_a_card_names_nothing_outside_its_folder(name, tmp_path):
    config = ModelConfig(d_model=8, n_layers=1)
    checkpoint.save_params(tmp_path, model.initialise(config, jax.random.key(0)), {"model": config})
    written = json.loads((tmp_path / "card.json").read_text())
    del written["sha256"]
    (tmp_path / "card.json").write_text(json.dumps(written | {"files": {name: "0"}}))
    with pytest.raises(InputError, match="names files outside its folder"):
        checkpoint.load_params(tmp_path)


def test_a_checkpoint_of_an_earlier_version_has_no_hashes(tmp_path):
    config = ModelConfig(d_model=8, n_layers=1)
    checkpoint.save_params(tmp_path, model.initialise(config, jax.random.key(0)), {"model": config})
    without_hashes(tmp_path)
    assert checkpoint.load_params(tmp_path)[0] == config


@pytest.mark.parametrize("command", ["train", "ladder --preset smoke", "finetune run"])
def test_a_bucket_is_no_folder(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="mount the bucket"):
        checkpoint.Saver("gs://bucket/run")
    assert main([*command.split(), "--out", "gs://bucket/run"]) == 2
    assert "gs://bucket/run: is an address" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_named_after_no_number_is_no_checkpoint(tmp_path):
    for name in ("\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}", "7x", "-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text("{}")
    assert checkpoint.latest(tmp_path) is None


TRAIN = ["train", "corpus:tiny", "--d-model", "16", "--tokens", "20000", "--out"]


@pytest.mark.parametrize("name", ["card.json", "arrays.npz", "arrays/data.txt", "metrics.jsonl",
                                  "checkpoints/1/notes.txt"])  # fmt: skip
def test_files_of_somebody_else_are_neither_replaced_nor_removed(tmp_path, capsys, name):
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_text("precious\n")
    assert main([*TRAIN, str(tmp_path / "run")]) == 2
    assert path.read_text() == "precious\n"
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name.split("/")[-1] in error or "holds arrays, which would be overwritten" in error


def test_parameters_do_not_take_the_place_of_anything_else(tmp_path, trainer, card):
    params = trainer.init().params
    checkpoint.save_params(tmp_path / "ours", params, card)
    checkpoint.save_params(tmp_path / "ours", params, card)
    (tmp_path / "ours/card.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match=r"holds card\.json, arrays\.npz, which would be"):
        checkpoint.save_params(tmp_path / "ours", params, card)


def test_a_line_that_is_no_metric_is_named(tmp_path, capsys):
    assert main([*TRAIN, str(tmp_path)]) == 0
    metrics = tmp_path / "metrics.jsonl"
    whole = metrics.read_bytes()
    place = f"metrics.jsonl, line {len(whole.splitlines()) + 1}"
    for line in (b"garbage}", b"caf\xe9", b'{"loss": 1.0}', b"[1]", b"[" * 9999):
        metrics.write_bytes(whole + line + b"\n")
        assert main([*TRAIN, str(tmp_path)]) == 2
        assert f"{place}: is no line of the metrics of a run" in capsys.readouterr().err
    metrics.write_bytes(whole + b'{"step": 9')  # half a line, of a process that was killed
    assert main([*TRAIN, str(tmp_path)]) == 0
    assert metrics.read_bytes() == whole
