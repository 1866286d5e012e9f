"""Checkpoints: the whole state of a run, or parameters alone, with a card that says what they are.

Small trees of one process go into one NumPy archive, which takes a millisecond; others go through
Orbax, which writes behind the back of training and restores onto any mesh. Either way the card is
written last, with the hash of every other file: a folder without a card is no checkpoint, and one
that was altered or cut short is named. Orbax itself reads a flipped bit as a parameter.
"""

import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import os
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from t2jax._arguments import local_folder
from t2jax._bounds import UNREADABLE, open_npz, read_whole
from t2jax._seal import check_seal, sealed
from t2jax.errors import InputError
from t2jax.trainer import devices, model
from t2jax.trainer.batches import Source
from t2jax.trainer.config import ModelConfig, TrainConfig
from t2jax.trainer.model import Params

__all__ = [
    "Saver",
    "check",
    "check_place",
    "latest",
    "load_params",
    "make_card",
    "restore",
    "save",
    "save_params",
]

SMALL = 16 * 2**20
"""Bytes up to which one process writes a NumPy archive."""

_CARD, _ARCHIVE, _SHARDS = "card.json", "arrays.npz", "arrays"
_GO_BACK = "remove this folder and train again from the checkpoint before it"
_FORMAT = "t2jax.checkpoint/1"
_FREE = ("chunk", "data", "fsdp", "remat")  # fields that leave the numbers as they are

PathLike = str | os.PathLike[str]


def make_card(config: TrainConfig, source: Source, **more: Any) -> dict[str, Any]:
    """What a checkpoint is a checkpoint of, ready for JSON.

    Args:
      config: the run, filled.
      source: its data.
      more: further entries, such as the loss tokens seen.
    """
    packages = ("t2jax", "jax", "flax", "optax", "numpy")
    return {
        "config": dataclasses.asdict(config),
        "model": dataclasses.asdict(config.model),
        "source": source.fingerprint(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        **more,
    }


def check(card: dict[str, Any], expected: dict[str, Any], folder: PathLike) -> None:
    """Refuse to go on with another run than the one that was begun.

    Raises:
      InputError: names the fields that differ.
    """
    was, now = (dict(c["config"]) for c in (card, expected))
    for side in (was, now):
        side.update({f"model.{name}": value for name, value in side.pop("model").items()})
    names = [name for name in now if name not in _FREE and was.get(name) != now[name]]
    words = [f"{name} {was.get(name)} -> {now[name]}" for name in names]
    if card["source"] != expected["source"]:
        words.append(f"data {card['source']} -> {expected['source']}")
    if words:
        raise InputError(
            f"begun with other settings: {', '.join(words)}",
            source=str(folder),
            remedy="repeat the first settings, or name another output folder",
        )


def check_place(folder: PathLike) -> None:
    """Refuse a folder whose files parameters would take the place of, unless they are parameters.

    Beside the metrics of a run they are its own, though a process was killed before their card.

    Raises:
      InputError: names what would be lost.
    """
    place = local_folder(folder)
    there = [name for name in (_CARD, _ARCHIVE, _SHARDS) if os.path.lexists(place / name)]
    if there and not (place / "metrics.jsonl").is_file() and not _is_card(place / _CARD):
        raise InputError(
            f"holds {', '.join(there)}, which would be overwritten, and no parameters",
            source=str(folder),
            remedy="remove them, or name another folder",
        )


def _is_card(path: pathlib.Path) -> bool:
    try:
        return "model" in json.loads(read_whole(path))
    except (InputError, OSError, ValueError, RecursionError, TypeError):
        return False


class Saver:
    """Writes checkpoints of a run, the last `keep` of which stay.

    Args:
      folder: holds one folder per checkpoint, named by its step.
      keep: checkpoints that stay.

    Raises:
      InputError: a folder named by a step holds what no checkpoint does, and would be removed.
    """

    def __init__(self, folder: PathLike, *, keep: int = 2):
        self.folder, self.keep = local_folder(folder), keep
        for place in _places(self.folder):
            for path in place.iterdir():
                if not path.name.lstrip(".").startswith((_CARD, _SHARDS)):
                    raise InputError(
                        "is no part of a checkpoint, and would be removed with this folder",
                        source=str(path),
                        remedy="move it, or name another folder",
                    )
        self._pending: tuple[Any, pathlib.Path, dict[str, Any]] | None = None

    def save(self, step: int, state: Any, card: dict[str, Any]) -> None:
        """Begin to write a state; it may be used up as soon as this returns.

        A large state is written in the background: it counts once `wait` has returned, which the
        next `save` calls first.
        """
        self.wait()
        place = self.folder / str(step)
        if devices.is_first():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        writing = _write_arrays(place, state)
        self._pending = (writing, place, {**card, "step": step})
        if writing is None:
            self.wait()

    def wait(self) -> None:
        """Return once the last checkpoint is whole; a failure to write it is raised here."""
        if self._pending is None:
            return
        writing, place, card = self._pending
        self._pending = None
        _finish(writing, place)
        if devices.is_first():
            _write_card(place, card)
            kept = _steps(self.folder)[-self.keep :]
            for old in _places(self.folder):
                # Folders without a card are what a process left that was killed.
                if int(old.name) < kept[-1] and int(old.name) not in kept:
                    shutil.rmtree(old, ignore_errors=True)


def save(folder: PathLike, step: int, state: Any, card: dict[str, Any], *, keep: int = 2) -> None:
    """Write the checkpoint of a step and return once it is whole.

    Args:
      folder: holds one folder per checkpoint.
      step: steps done.
      state: tree of arrays.
      card: what it is; see `make_card`.
      keep: checkpoints that stay, the newest.
    """
    saver = Saver(folder, keep=keep)
    saver.save(step, state, card)
    saver.wait()


def latest(folder: PathLike) -> int | None:
    """Step of the newest whole checkpoint of a folder, or None."""
    steps = _steps(local_folder(folder))
    return steps[-1] if steps else None


def read_card(folder: PathLike, step: int | None = None) -> dict[str, Any]:
    """The card of a checkpoint: of a step, the newest unless given.

    Raises:
      InputError: there is no checkpoint.
    """
    return _read_card(_place(folder, step))[0]


def restore(folder: PathLike, target: Any, *, step: int | None = None) -> tuple[Any, dict]:
    """A state, on the devices that the target names, and its card.

    Args:
      folder: holds one folder per checkpoint.
      target: tree of `jax.ShapeDtypeStruct` with shardings, `Trainer.abstract_state()`; the mesh
        may be another than the one the checkpoint was written from.
      step: which checkpoint; the newest unless given.

    Raises:
      InputError: there is no checkpoint, or it holds another tree.
    """
    place = _place(folder, step)
    card, files = _read_card(place)
    return _read_arrays(place, target, files), card


def save_params(folder: PathLike, params: Params, card: dict[str, Any]) -> None:
    """Write parameters alone and return once they are whole: about a millisecond when small.

    Args:
      folder: made where it is missing.
      params: the parameters.
      card: says what they are; `card["model"]` is the `ModelConfig`, as such or as a dictionary.
    """
    place = local_folder(folder)
    shape = card["model"]
    shape = dataclasses.asdict(shape) if isinstance(shape, ModelConfig) else shape
    card = {**card, "model": shape}
    _model_of(card, place)
    check_place(place)
    if devices.is_first():
        # The old card stays until the new one is there: arrays that are not its own are refused.
        (place / _ARCHIVE).unlink(missing_ok=True)
        shutil.rmtree(place / _SHARDS, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
    _finish(_write_arrays(place, params), place)
    if devices.is_first():
        _write_card(place, card)


def load_params(folder: PathLike) -> tuple[ModelConfig, Params, dict[str, Any]]:
    """Shape of the model, parameters and card, from a folder of `save_params` or `train`.

    Raises:
      InputError: the folder holds no parameters.
    """
    place = local_folder(folder)
    card, files = _read_card(place)
    shape = _model_of(card, place)
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
        jax.eval_shape(lambda key: model.initialise(shape, key), jax.random.key(0)),
    )
    return shape, _read_arrays(place, target, files), card


def _place(folder: PathLike, step: int | None) -> pathlib.Path:
    step = latest(folder) if step is None else step
    if step is None:
        raise InputError(
            "holds no checkpoint", source=str(folder), remedy="name a folder that training wrote"
        )
    return local_folder(folder) / str(step)


def _places(folder: pathlib.Path) -> list[pathlib.Path]:
    """Folders of checkpoints, whole or not."""
    found = folder.iterdir() if folder.is_dir() else ()
    # Of ASCII: '\N{SUPERSCRIPT TWO}' is a digit too, and no number.
    return [p for p in found if p.name.isascii() and p.name.isdecimal() and p.is_dir()]


def _steps(folder: pathlib.Path) -> list[int]:
    return sorted(int(p.name) for p in _places(folder) if (p / _CARD).is_file())


def _names(tree: Any) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)]


def _write_arrays(place: pathlib.Path, tree: Any) -> Any:
    """Write at once and return None, or begin to and return what must be waited for."""
    leaves = jax.tree.leaves(tree)
    if jax.process_count() == 1 and sum(leaf.nbytes for leaf in leaves) <= SMALL:
        values = dict(zip(_names(tree), map(np.asarray, jax.device_get(leaves)), strict=True))
        partial = place / f".{_ARCHIVE}.{os.getpid()}"
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **values)
        os.replace(partial, place / _ARCHIVE)
        return None
    return ocp.save_async(str(place / _SHARDS), tree)


def _finish(writing: Any, place: pathlib.Path) -> None:
    """Wait for arrays that are being written.

    Raises:
      OSError: there is no room for them, which Orbax says in an error of its own.
      InputError: another process of the run died meanwhile.
    """
    if writing is None:
        return
    try:
        with devices.beside_others():
            writing.result()
    except InputError:
        raise  # a ValueError too, and already says what is wrong
    except ValueError as error:
        if "No space left" not in str(error) and "quota" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place)) from error


def _read_arrays(place: pathlib.Path, target: Any, files: dict[str, str]) -> Any:
    leaves, structure = jax.tree.flatten(target)
    try:
        _check_files(place, files)
        if not (place / _ARCHIVE).is_file():
            # Asked first: a load that fails half-way leaves reads behind that nobody awaits.
            stored = jax.tree.leaves(ocp.metadata(str(place / _SHARDS)).metadata)
            _check_shapes(place, sorted(x.shape for x in stored), sorted(x.shape for x in leaves))
            return ocp.load(str(place / _SHARDS), target)
        with open_npz(place / _ARCHIVE) as file:
            values = [file[name] for name in _names(target)]
    except InputError:
        raise  # a ValueError too, and already says what is wrong
    except UNREADABLE as error:
        raise InputError(
            f"the arrays cannot be read ({' '.join(str(error).split())[:200]})",
            source=str(place),
            remedy=_GO_BACK,
        ) from error
    _check_shapes(place, [x.shape for x in values], [x.shape for x in leaves])
    put = [
        jax.make_array_from_callback(leaf.shape, leaf.sharding, value.__getitem__)
        for value, leaf in zip(values, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, put)


def _check_shapes(place: pathlib.Path, stored: list[Any], expected: list[Any]) -> None:
    if stored != expected:
        raise InputError(
            "holds a model of another shape", source=str(place), remedy="restore its own config"
        )


def _hash(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_files(place: pathlib.Path, files: dict[str, str]) -> None:
    """Refuse arrays that are not those that were written.

    Each process of a run checks its share: one that finds damage ends, and with it the others.
    """
    for name in sorted(files)[jax.process_index() :: jax.process_count()]:
        path = place / name
        if not path.is_file() or _hash(path) != files[name]:
            problem = "was altered after it was written" if path.is_file() else "is missing"
            raise InputError(problem, source=str(path), remedy=_GO_BACK)


def _write_card(place: pathlib.Path, card: dict[str, Any]) -> None:
    arrays = [place / _ARCHIVE, *(place / _SHARDS).rglob("*")]
    files = {p.relative_to(place).as_posix(): _hash(p) for p in arrays if p.is_file()}
    text = json.dumps(sealed({**card, "format": _FORMAT, "files": files}), indent=1, sort_keys=True)
    partial = place / f".{_CARD}.{os.getpid()}"
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, place / _CARD)


def _read_card(place: pathlib.Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What a card says, and the hashes of the files beside it."""
    try:
        card = check_seal(json.loads(read_whole(place / _CARD).decode("utf-8")))
        if not isinstance(card, dict):
            raise ValueError("not an object")
        if card.pop("format", _FORMAT) != _FORMAT:
            raise ValueError("of a format that this version does not know")
        files = card.pop("files", {})
        if not isinstance(files, dict) or any(
            ".." in pathlib.PurePath(name).parts or name.split("/")[0] not in (_ARCHIVE, _SHARDS)
            for name in files
        ):
            raise ValueError("it names files outside its folder")
        return card, files
    except InputError as error:
        raise InputError(error.problem, source=str(place / _CARD), remedy=error.remedy) from None
    except FileNotFoundError:
        raise InputError(
            f"holds no {_CARD}", source=str(place), remedy="name a folder that training wrote"
        ) from None
    except (ValueError, RecursionError) as error:
        raise _damaged(place, error) from error


def _damaged(place: pathlib.Path, error: Exception) -> InputError:
    return InputError(
        f"is damaged ({error})", source=str(place / _CARD), remedy="write this checkpoint again"
    )


def _model_of(card: dict[str, Any], place: pathlib.Path) -> ModelConfig:
    try:
        return ModelConfig(**card["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(place, error) from error
