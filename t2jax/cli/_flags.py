"""From words to a command's configuration: tyro, with its errors said in one line."""

import contextlib
import copy
import dataclasses
import difflib
import io
import math
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from t2jax._numeral import numeral, plain
from t2jax.errors import InputError

__all__ = ["in_flags", "nearest", "numbers", "pair", "parse", "typed", "with_typed"]

T = TypeVar("T")
_HINTS, _TYPED = "__annotations__", "_typed"


def parse(command: type[T], name: str, words: Sequence[str]) -> T | None:
    """A command's configuration from its words; None when help was asked for and printed.

    Raises:
      InputError: a flag that does not exist, or a value that does not fit.
    """
    _check_flags(command, name, words)
    errors, help_text = io.StringIO(), io.StringIO()
    # tyro paints its help on a terminal whatever NO_COLOR says, and never in a buffer.
    unpainted = contextlib.redirect_stdout(help_text) if os.environ.get("NO_COLOR") else None
    asked = {"-h", "--help"} & set(words)
    try:
        with contextlib.redirect_stderr(errors), unpainted or contextlib.nullcontext():
            found = tyro.cli(
                _grouped(command) if asked else command,
                prog=f"t2jax {name}",
                args=list(words),
                config=(tyro.conf.FlagCreatePairsOff,),
                registry=_WRITTEN,
            )
            return with_typed(found, _names(command, words))
    except SystemExit as stop:
        if not stop.code:
            sys.stdout.write(help_text.getvalue())
            return None
    raise InputError(_plain(errors.getvalue()), remedy=f"see `t2jax {name} --help`")


def with_typed(command: T, names: frozenset[str]) -> T:
    """The command, and beside its fields what was typed: at its default it is no field's value."""
    object.__setattr__(command, _TYPED, names)
    return command


def typed(command: Any) -> frozenset[str]:
    """The options that were typed, whether at their defaults or not; a table among them."""
    known = {field.name: field.default for field in dataclasses.fields(command)}
    apart = {name for name, default in known.items() if getattr(command, name) != default}
    return getattr(command, _TYPED, frozenset()) | apart


def _names(command: type, words: Sequence[str]) -> frozenset[str]:
    """Names of the fields whose flags stand among the words; the word `ladder` is a table."""
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    found = {flag.removeprefix("--").replace("-", "_") for flag in flags}
    names = {field.name for field in dataclasses.fields(command)}
    return frozenset(names & (found | ({"table"} if "ladder" in words else set())))


_WRITTEN = tyro.constructors.ConstructorRegistry()
"""Reads and shows numbers as people write them: 300B, 1e12."""


@_WRITTEN.primitive_rule
def _number_rule(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> "tyro.constructors.PrimitiveConstructorSpec | None":
    if info.type not in (int, float):
        return None
    kind = info.type

    def read(words: list[str]) -> int | float:
        found = numeral(words[0])
        if found is None or (kind is int and not found.is_integer()):
            raise ValueError(f"from ['{words[0]}']")
        return kind(found)

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NUMBER",
        instance_from_str=read,
        is_instance=lambda value: type(value) is kind,
        str_from_instance=lambda value: [plain(value)],
    )


def _grouped(command: type[T]) -> type[T]:
    """A command for its help alone: each class of options that it inherits is a group of flags."""
    groups: dict[type, list[tuple[str, Any, dataclasses.Field]]] = {}
    hints = get_type_hints(command, include_extras=True)
    for field in dataclasses.fields(command):  # pyright: ignore[reportArgumentType] -- a dataclass
        owner = next(c for c in reversed(command.__mro__) if field.name in vars(c).get(_HINTS, {}))
        # A positional word stands in front, and what only one command has, last.
        word = "Positional" in str(hints[field.name])
        alone = word or not vars(owner).get("TITLE")
        copied = copy.copy(field)
        groups.setdefault(command if alone else owner, []).append(
            (field.name, hints[field.name], copied)
        )
    made: list[Any] = list(groups.pop(command, []))
    for owner, fields in sorted(groups.items(), key=lambda group: command.__mro__.index(group[0])):
        inner = dataclasses.make_dataclass(owner.__name__, fields, kw_only=True)
        inner.__doc__ = (owner.__doc__ or "").partition("\n")[0]
        title = vars(owner)["TITLE"]
        named = tyro.conf.arg(name=title)
        kept: Any = Annotated[inner, tyro.conf.OmitArgPrefixes, named]
        made.append((f"{title}_", kept, dataclasses.field(default_factory=inner)))
    whole = dataclasses.make_dataclass(command.__name__, made, kw_only=True)
    whole.__doc__ = command.__doc__
    return whole


def _check_flags(command: type, name: str, words: Sequence[str]) -> None:
    """Refuse an unknown flag, with the nearest one that exists."""
    kinds = {f"--{f.name.replace('_', '-')}": f for f in dataclasses.fields(command)}
    known = [*kinds, "--help"]
    for word in words:
        if word == "--":
            return
        flag, equals, _ = word.partition("=")
        if not flag.startswith("--"):
            continue
        if flag not in known:
            raise InputError(
                f"`t2jax {name}` has no flag {flag}",
                remedy=f"{nearest(flag, known, 0.7)}see `t2jax {name} --help`",
            )
        if equals and flag in kinds and isinstance(kinds[flag].default, bool):
            raise InputError(f"{flag} takes no value", remedy=f"give {flag} alone")


def _plain(text: str) -> str:
    """The message inside the box that tyro draws."""
    not_a_number = re.search(r"parsing (--\S+):.*?from\s+.*?\['(.*?)'\]", text, re.DOTALL)
    if not_a_number:
        kind = "a number" if numeral(not_a_number[2]) is None else "a whole number"
        return f"{not_a_number[1]} '{not_a_number[2]}' is not {kind}"
    blocks = re.split(r"^[ │]*[─-]+[ │]*$", text, flags=re.MULTILINE)
    # On a console that has no letters for a box the title is a block of its own.
    message = blocks[0] if text.startswith("╭") else "".join(blocks[1:2])
    lines = [line.strip(" │") for line in message.splitlines()]
    found = " ".join(line for line in lines if line and line[0] not in "╭╰")
    return found.rstrip(".") or "the arguments do not fit"


def in_flags(text: str, command: type, commands: Iterable[str]) -> str:
    """What a Python function said, in the flags of a command and the names of others.

    >>> from t2jax.cli.plan import Command
    >>> in_flags("pass law='tied' or extrapolate=True, or see t2jax.fit", Command, ["fit"])
    'pass --law tied or --extrapolate, or see `t2jax fit`'
    """
    known = {field.name for field in dataclasses.fields(command)}

    def flag(found: re.Match[str]) -> str:
        name, value = found.groups()
        # n_draws is --draws here, and where several laws are compared law is --laws.
        other = "laws" if name == "law" else name.removeprefix("n_")
        name = name if name in known else other
        if name not in known:
            return found[0]
        value = value if re.search(r"[()]", value) else value.strip("'")
        return f"--{name.replace('_', '-')}{'' if value == 'True' else f' {value}'}"

    text = re.sub(r"^(\w+) = (\S+)(?= is )", flag, text)
    text = re.sub(r"\b(\w+)=('[^']*'|[\w.]+)", flag, text)
    return re.sub(rf"\bt2jax\.({'|'.join(commands)})\b", r"`t2jax \1`", text)


def nearest(word: str, known: Iterable[str], least: float = 0.6) -> str:
    """A suggestion in front of a remedy, or nothing where none is alike.

    >>> nearest("pln", ["plan", "fit"])
    "did you mean 'plan'? "
    """
    named = {name.lstrip("-"): name for name in known}
    close = difflib.get_close_matches(word.lstrip("-"), list(named), n=1, cutoff=least)
    return f"did you mean '{named[close[0]]}'? " if close else ""


def pair(text: str) -> tuple[float, float] | None:
    """The size and tokens of N:D; None where it is not of that form.

    >>> pair("7B:2T")
    (7000000000.0, 2000000000000.0)
    """
    found = [numeral(word) for word in text.split(":")]
    if len(found) != 2 or found[0] is None or found[1] is None:
        return None
    return found[0], found[1]


def numbers(text: str, flag: str, example: str) -> list[float] | None:
    """Numbers between commas; None where nothing was given.

    Raises:
      InputError: something between the commas is no number.

    >>> numbers("1/2,0.2,10%", "--shares", "1/2,1/3")
    [0.5, 0.2, 0.1]
    """
    if not text.strip():
        return None
    found = [_quotient(word) for word in text.split(",")]
    known = [number for number in found if number is not None]
    if len(known) < len(found):
        raise InputError(
            f"{flag} '{text}' is not a list of numbers", remedy=f"e.g. {flag} {example}"
        )
    return known


def _quotient(text: str) -> float | None:
    """A number, or one over another."""
    over, slash, under = text.partition("/")
    value, whole = numeral(over), numeral(under) if slash else None
    if not slash or value is None or not whole or not math.isfinite(whole):
        return None if slash else value
    return value / whole
