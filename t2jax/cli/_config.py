"""A command's whole configuration as a TOML file: read for `--config`, written beside a report."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from t2jax.cli._budget import BudgetOptions, read_toml
from t2jax.cli._flags import typed, with_typed
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.planner import Plan

__all__ = ["again", "filled", "parted", "toml"]

T = TypeVar("T")

AGAIN = "plan.toml"  # beside a report: the configuration that makes it again
_OF_A_CALL = ("config", "budget", "out", "json", "full", "quiet")  # and not of a plan
_ALWAYS = ("table", "draws", "seed")


def parted(command: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the file of a command's `--config` says of its options, and of its budget."""
    told = read_toml(command.config) if command.config else {}
    options = _names(type(command)) - _names(BudgetOptions)
    own = {name: value for name, value in told.items() if name in options}
    return own, {name: value for name, value in told.items() if name not in options}


def filled(command: T, values: Mapping[str, Any]) -> T:
    """The command with the file's options where no flag was given.

    Args:
      command: a command as it was typed; a table is looked for in the folder of its `--config`.
      values: options of the file by name.

    Raises:
      InputError: an option that no file holds, or a value that does not fit.
    """
    fields = {field.name: field for field in dataclasses.fields(command)}  # pyright: ignore[reportArgumentType] -- commands are dataclasses
    path, taken = getattr(command, "config", ""), {}
    for name, value in values.items():
        if name in _OF_A_CALL:
            raise InputError(f"'{name}' is no option of a file", source=path,
                             remedy=f"give --{name.replace('_', '-')}")  # fmt: skip
        default = fields[name].default
        value = _fitting(value, default)
        if type(value) is not type(default):
            kind = {bool: "true or false", int: "a whole number"}.get(type(default), "text")
            raise InputError(f"'{name}' is {value!r}, not {kind}", source=path,
                             remedy=f"e.g. {name} = {_value(default)}")  # fmt: skip
        if name == "table" and value not in ("", "-", "ladder"):
            value = os.path.normpath(os.path.join(os.path.dirname(path), str(value)))
        if name not in typed(command):
            taken[name] = value
    made = dataclasses.replace(command, **taken)  # pyright: ignore[reportArgumentType] -- see above
    return with_typed(made, typed(command))


def _fitting(value: Any, default: Any) -> Any:
    """A list or a table of the file as the flag spells it."""
    if not isinstance(default, str) or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return ",".join(f"{name}={one}" for name, one in value.items())
    if isinstance(value, list):
        return ",".join(str(one) for one in value)
    return str(value)


def again(command: Any, made: "Plan") -> str:
    """The configuration that makes a plan of `t2jax plan` again."""
    from t2jax.cost import Cost

    told: dict[str, Any] = {}
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if field.name in {*_OF_A_CALL, *_names(BudgetOptions)}:
            continue
        if field.name in _ALWAYS or value != field.default:
            told[field.name] = value
    if command.table not in ("", "-", "ladder"):
        told["table"] = os.path.relpath(command.table, command.out)
    if not command.law:
        told["law"] = made.fit.law.title
    spent = made.budget.to_dict()
    if spent["cost"] == Cost().to_dict():
        del spent["cost"]
    about = (
        f"This plan again: t2jax plan --config {pathlib.Path(command.out) / AGAIN}\n"
        f"t2jax {metadata.version('t2jax')}; the table's data {made.fit.data_hash[:12]}"
    )
    return toml({**told, "budget": spent}, about)


def _names(options: type) -> set[str]:
    return {field.name for field in dataclasses.fields(options)}


def toml(values: Mapping[str, Any], about: str) -> str:
    """A TOML file of plain values; mappings become tables.

    Args:
      values: by name; None is left out.
      about: comment in the first lines.

    >>> print(toml({"seed": 0, "budget": {"train_flops": 1e12}}, "a plan"), end="")
    # a plan
    seed = 0
    <BLANKLINE>
    [budget]
    train_flops = 1000000000000.0
    """
    lines = [f"# {line}" for line in about.splitlines()]
    return "\n".join([*lines, *_table(values, "")]) + "\n"


def _table(values: Mapping[str, Any], prefix: str) -> list[str]:
    plain = {n: v for n, v in values.items() if v is not None and not isinstance(v, Mapping)}
    lines = [f"{name} = {_value(value)}" for name, value in plain.items()]
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{prefix}{name}]", *_table(value, f"{prefix}{name}.")]
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str | pathlib.Path):
        return json.dumps(str(value), ensure_ascii=False)
    return repr(value)
