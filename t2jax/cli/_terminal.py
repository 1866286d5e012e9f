"""What the commands say, and where: results on standard output, the rest on standard error."""

import contextlib
import dataclasses
import io
import json
import math
import os
import pathlib
import signal
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, get_type_hints

from t2jax import _text
from t2jax._files import check_file, check_folder, same_file, write_whole
from t2jax._progress import plain_line
from t2jax._seal import sealed
from t2jax.errors import InputError, Stopped

if TYPE_CHECKING:
    from t2jax.uncertainty import Ensemble

__all__ = [
    "abandon_stdout",
    "announce",
    "check_out",
    "complain",
    "deliver",
    "encodable",
    "end_at_second_interrupt",
    "open_streams",
    "say",
    "say_draws",
    "say_json",
    "tell",
    "write",
]


_PICTURES = (".png", ".svg", ".pdf")
_unheard = False  # whether standard output was closed when the process began


class _Result(Protocol):
    def summary(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...


def say(text: str) -> None:
    """Print a result; what a name would do to a terminal is shown as an escape."""
    print("".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text))


def say_json(told: Any) -> None:
    """Print a result for other programs."""
    say(json.dumps(_text.json_ready(told)))


def tell(found: _Result, *, as_json: bool) -> None:
    """Print a result, for people or for other programs."""
    say_json(found.to_dict()) if as_json else say(found.summary())


def deliver(told: Any, summary: str, *, out: str, as_json: bool) -> None:
    """Write a result as JSON where asked to, and print it where that is not what was written."""
    text = json.dumps(sealed(_text.json_ready(told)))
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
    if quiet:
        return
    if sys.stderr.isatty():
        print(f"{text} ...", file=sys.stderr, flush=True)
    else:
        plain_line(f"{text} ...")


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


def check_out(config: Any) -> None:
    """Refuse a command whose results could not be written, before it begins its work.

    Raises:
      InputError: the place named by its `--out` takes no file, or no folder, or that of its
        `--figure` no picture; or either is a file that the command reads.
    """
    figure = getattr(config, "figure", "")
    if figure and not figure.lower().endswith(_PICTURES):
        raise InputError(f"--figure '{figure}' is no picture",
                         remedy=f"end the name in {' or '.join(_PICTURES)}")  # fmt: skip
    if figure:
        check_file(figure)
    out = getattr(config, "out", "")
    if out == "-" and _unheard:
        raise InputError("standard output is closed", remedy="name a file with --out")
    if out and out != "-" and "://" not in out and not getattr(config, "dry_run", False):
        (check_folder if _makes_folder(type(config)) else check_file)(out)
    _check_kept(config, [path for path in (out, figure) if path])


def _check_kept(config: Any, written: Iterable[str]) -> None:
    """Refuse to write over a file that is read: what was measured would be gone."""
    given = [getattr(config, field.name) for field in dataclasses.fields(config)
             if field.name not in ("out", "figure")]  # fmt: skip
    read = [name for value in given for name in (value if isinstance(value, tuple) else (value,))]
    for path in written:
        if any(isinstance(name, str) and same_file(name, path) for name in read):
            raise InputError("is read by this command, and would be overwritten",
                             source=path, remedy="name another file")  # fmt: skip


def _makes_folder(command: type) -> bool:
    """Whether the `--out` of a command is shown as a folder."""
    shown = get_type_hints(command, include_extras=True)["out"].__metadata__
    return any(getattr(about, "metavar", "") == "FOLDER" for about in shown)


def open_streams() -> None:
    """Have the streams that somebody closed lead nowhere.

    A file that is opened otherwise gets their number, and what is printed.
    """
    global _unheard
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the least number that is free, which is this one
    _unheard = sys.stdout is None
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


def encodable() -> None:
    """Have consoles that cannot encode a letter show another in its place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def _stop(number: int, frame: Any) -> None:
    # Once: `timeout` sends it twice, and what is half done is being taken back by then.
    signal.signal(number, lambda *_: None)
    raise Stopped


def abandon_stdout() -> None:
    """Have nobody told once more, at the end, that standard output takes nothing."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def written(folder: str, paths: Iterable[str]) -> str:
    """Which files a folder got, in few lines, so that the answer above them stays in sight."""
    names = ", ".join(pathlib.Path(path).name for path in paths)
    listed = textwrap.fill(names, 100, initial_indent="  ", subsequent_indent="  ")
    return f"written to {folder}:\n{listed}"


def leave(code: int) -> NoReturn:
    """End the process at once, while compiled code may still run in threads of its own.

    What Python takes down at its end would be taken from under them, with "double free" for last
    words.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def end_at_second_interrupt() -> None:
    """Have SIGTERM end a command as Ctrl-C does, and a second one of either end it at once.

    That is so even inside compiled code, where Python hears of none: the operating system's
    handler writes the number of each signal that Python handles into a pipe at once; a thread
    reads it, whatever the main thread is held up by.
    """
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)

    def listen() -> None:
        first = math.inf
        while numbers := os.read(heard, 1):
            if numbers[0] not in (signal.SIGINT, signal.SIGTERM):
                continue
            # `timeout` sends its one SIGTERM twice, to a process and to its group.
            if time.monotonic() > first + (numbers[0] == signal.SIGTERM):
                os._exit(128 + numbers[0])
            first = min(first, time.monotonic())

    threading.Thread(target=listen, name="interrupts", daemon=True).start()


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
    try:
        write_whole(out, save)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})",
            source=out,
            remedy="name a file in a folder that exists and in which you may write",
        ) from error
