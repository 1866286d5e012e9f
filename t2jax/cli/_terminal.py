"""What the commands say, and where: results on standard output, the rest on standard error."""

import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from t2jax import _text
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.uncertainty import Ensemble

__all__ = ["announce", "complain", "deliver", "say", "say_draws", "say_json", "tell", "write"]


class _Result(Protocol):
    def summary(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...


def say(text: str) -> None:
    """Print a result."""
    print(text)


def say_json(told: Any) -> None:
    """Print a result for other programs."""
    say(json.dumps(_text.json_ready(told)))


def tell(found: _Result, *, as_json: bool) -> None:
    """Print a result, for people or for other programs."""
    say_json(found.to_dict()) if as_json else say(found.summary())


def deliver(told: Any, summary: str, *, out: str, as_json: bool) -> None:
    """Write a result as JSON where asked to, and print it where that is not what was written."""
    text = json.dumps(_text.json_ready(told))
    if out:
        write(out, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    if out != "-":
        say(text if as_json else summary)


def say_draws(draws: "Ensemble", *, as_json: bool) -> None:
    """Print draws of a law: intervals of its coefficients, and the diagnostics."""
    if not as_json:
        say(draws.summary())
        return
    bands = {name: draws.interval(name) for name in draws.point.coefficients()}
    told = {"law": draws.point.to_dict(), "intervals": bands, "diagnostics": {**draws.diagnostics}}
    say_json(told)


def announce(text: str, *, quiet: bool = False) -> None:
    """Name a long step before it begins, for somebody who is watching."""
    if not quiet and sys.stderr.isatty():
        print(f"{text} ...", file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Print an error in one line."""
    print(f"t2jax: error: {text}", file=sys.stderr)


def _pour(content: bytes) -> None:
    """Bytes on standard output, behind what has been printed."""
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(content.decode("utf-8"))
        return
    binary.write(content)
    binary.flush()


def write(out: str, save: Callable[[pathlib.Path], object]) -> None:
    """Write a file whole or not at all, `-` being standard output.

    Raises:
      InputError: it cannot be written.
    """
    if out == "-":
        # Opening /dev/stdout anew would truncate what the shell appends to.
        with tempfile.TemporaryDirectory() as folder:
            made = pathlib.Path(folder) / "out"
            save(made)
            _pour(made.read_bytes())
        return
    path = pathlib.Path(out)
    partial = path.with_name(f".partial.{os.getpid()}.{path.name}")  # what it ends with counts
    try:
        save(partial)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})",
            source=out,
            remedy="name a file in a folder that exists and in which you may write",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
