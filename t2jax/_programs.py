"""Traced programs, kept so that another process need not trace them (floor 0).

JAX's own cache saves the compilation; to trace a large program in Python takes as long as to read
a hundred compiled ones.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import pickle
import platform
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax import export
from jax.core import Tracer

from t2jax._bounds import UNREADABLE
from t2jax._cache import kept_programs, processor, version
from t2jax._files import write_whole
from t2jax._precision import is_double
from t2jax._threads import cores

__all__ = ["is_ours", "kept_text", "maker", "program"]

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = pathlib.Path(__file__).parent
_ASIDE = ("cli", "datasets", "importers", "trainer")
_PACKAGES = ("t2jax", "jax", "jaxlib", "numpy", "optax", "scipy")
_SEAL = 32  # bytes of SHA-256 before the rest


def program(function: F, *, static_argnames: tuple[str, ...] = ()) -> F:
    """`jax.jit`, whose traced programs are kept for other processes where a command says so.

    Args:
      function: pure, of positional arrays and pytrees, and of keywords that are all static.
      static_argnames: those keywords.

    Returns:
      The function, compiled.
    """
    jitted = jax.jit(function, static_argnames=static_argnames)
    made: dict[Any, _Traced | None] = {}

    @functools.wraps(function)
    def call(*args: Any, **static: Any) -> Any:
        folder = kept_programs()
        if folder is None:
            return jitted(*args, **static)
        leaves, form = jax.tree.flatten(args)
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return jitted(*args, **static)
        kinds = [_kind(leaf) for leaf in leaves]
        name = f"{function.__module__}.{function.__qualname__}"
        key = (form, name, str(kinds), str(sorted(static.items())), is_double())
        if key not in made:
            made[key] = _found(folder, functools.partial(function, **static), key, leaves)
        traced = made[key]
        return jitted(*args, **static) if traced is None else traced(leaves)

    return call  # pyright: ignore[reportReturnType] -- it is called as the function is


class _Traced:
    """A traced function of leaves, and the structure of what it returns."""

    def __init__(self, exported: export.Exported, form: Any):
        self.exported, self.form = exported, form
        self._call = jax.jit(exported.call)

    def __call__(self, leaves: list[Any]) -> Any:
        return jax.tree.unflatten(self.form, self._call(*leaves))

    @classmethod
    def of(cls, function: Callable[..., Any], form: Any, leaves: list[Any]) -> "_Traced":
        returned = []

        # Of leaves to leaves, since JAX writes down no classes of others.
        def of_leaves(*leaves: Any) -> list[Any]:
            out, tree = jax.tree.flatten(function(*jax.tree.unflatten(form, leaves)))
            returned.append(tree)
            return out

        return cls(export.export(jax.jit(of_leaves))(*leaves), returned[0])


def _found(
    folder: pathlib.Path, function: Callable[..., Any], key: tuple[Any, ...], leaves: list[Any]
) -> _Traced | None:
    """A traced program from the folder, or made and put there; None where it cannot be kept."""
    form, *told = key
    path = None if jax.device_count() > 1 else _place(folder, form, told)
    if path is None:
        return None
    with contextlib.suppress(*UNREADABLE):
        fields, returned = _read(path)
        return _Traced(export.Exported(**fields), returned)
    try:
        found = _Traced.of(function, form, leaves)
        # JAX's own form needs one more package; this is read by the same version of JAX alone.
        names = [field.name for field in dataclasses.fields(export.Exported)]
        fields = {name: getattr(found.exported, name) for name in names}
    except UNREADABLE:
        return None  # it holds what JAX does not write down
    with contextlib.suppress(*UNREADABLE):  # there may be no room
        _write(path, (fields | {"_get_vjp": None}, found.form))
    return found


def kept_text(name: str, tree: Any, make: Callable[[], str]) -> str:
    """A text that follows from the classes and shapes of a pytree alone, kept as programs are.

    Args:
      name: of what it says of them.
      tree: a law, for one.
      make: makes it.
    """
    folder = kept_programs()
    leaves, form = jax.tree.flatten(tree)
    told = [name, str([np.shape(leaf) for leaf in leaves])]
    path = None if folder is None else _place(folder, form, told)
    if path is None:
        return make()
    with contextlib.suppress(*UNREADABLE):
        return str(_read(path))
    found = make()
    with contextlib.suppress(*UNREADABLE):
        _write(path, found)
    return found


def _place(folder: pathlib.Path, form: Any, told: list[Any]) -> pathlib.Path | None:
    """A file under the hash of all that its content follows from; None where that is not known."""
    if not is_ours(form):
        return None
    try:
        form = pickle.dumps(form).hex()
    except UNREADABLE:
        return None  # a static field, such as a function, that cannot be written down
    follows = json.dumps([*told, form, maker()])
    return folder / f"{hashlib.sha256(follows.encode()).hexdigest()[:32]}.traced"


def _write(path: pathlib.Path, content: Any) -> None:
    data = pickle.dumps(content)
    whole = hashlib.sha256(data).digest() + data
    write_whole(path, lambda part: part.write_bytes(whole))


def _read(path: pathlib.Path) -> Any:
    """What was written, if it is there and whole.

    Raises:
      OSError: it is not there.
      ValueError: it was cut short or altered.
    """
    data = path.read_bytes()
    if hashlib.sha256(data[_SEAL:]).digest() != data[:_SEAL]:
        raise ValueError(f"{path} is not what was written")
    os.utime(path)  # what was used last is deleted last
    return pickle.loads(data[_SEAL:])


def _kind(leaf: Any) -> tuple[Any, ...]:
    """What a program knows of an argument before it is given one."""
    seen = jax.typeof(leaf)
    return seen.shape, str(seen.dtype), seen.weak_type


def is_ours(form: Any) -> bool:
    """Whether the source of every class in an argument is hashed with the rest."""
    return all(kind.__module__.split(".")[0] in ("t2jax", "builtins") for kind in _kinds(form))


def _kinds(form: Any) -> Iterator[type]:
    node = form.node_data()
    if node is not None:
        yield node[0]
    for child in form.children():
        yield from _kinds(child)


@functools.cache  # all of it is settled when JAX has found its devices
def maker() -> dict[str, Any]:
    """All that could make the same work come out otherwise, in the last bit too."""
    device = jax.devices()[0]
    return {
        "source": _source(),
        "versions": [platform.python_version(), *(version(name) for name in _PACKAGES)],
        "device": [device.platform, device.device_kind, jax.device_count(), processor(), cores()],
        "flags": {name: value for name, value in sorted(os.environ.items())
                  if name.startswith(("JAX_", "XLA_")) and "CACHE" not in name},
    }  # fmt: skip


@functools.cache
def _source() -> str:
    """Hash of the source of the analysis, so that an edited checkout finds nothing stale."""
    digest = hashlib.sha256()
    for path in sorted(_ROOT.rglob("*.py")):
        place = path.relative_to(_ROOT)
        if place.parts[0] not in _ASIDE:
            digest.update(f"{place.as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
