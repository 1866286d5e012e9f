"""Who trains which trunk, where several processes share a folder and nothing else.

A claim is a file that only one process can make. Its holder touches it every few seconds; one that
nobody touches any more was left by a process that died. Claims of a trunk are numbered: to take
one over is to make the next number, which again only one can. No clock is compared with another.
"""

import contextlib
import json
import logging
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from t2jax.errors import InputError

__all__ = ["claimed"]

BEAT = 5.0
"""Seconds between two touches."""
PATIENCE = 60.0
"""Seconds without a touch after which a holder counts as dead."""

_log = logging.getLogger(__name__)


class _Claim(NamedTuple):
    """A claim that was found."""

    path: pathlib.Path
    number: int
    host: str
    process: int
    token: str  # no two claims have the same
    touched: int  # nanoseconds, on whatever clock the folder has


@contextlib.contextmanager
def claimed(
    folder: pathlib.Path, names: Sequence[str], lost: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the claims of some trunks, all or none.

    Args:
      folder: of the ladder.
      names: of the trunks.
      lost: called from a second thread when another process has taken a claim over, which happens
        when this one stood still for longer than `PATIENCE`.

    Raises:
      InputError: another process holds one of them.
    """
    place = folder / "claims"
    place.mkdir(parents=True, exist_ok=True)
    dead = _tokens_of_the_dead(place, names)
    held: list[pathlib.Path] = []
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(held, over, lost), daemon=True)
    try:
        for name in sorted(names):
            held.append(_take(place, name, dead))
        beating.start()
        yield
    finally:
        over.set()
        if beating.ident is not None:
            beating.join()
        for path in held:
            path.unlink(missing_ok=True)


def _tokens_of_the_dead(place: pathlib.Path, names: Sequence[str]) -> set[str]:
    """Claims that nobody holds; refuses as soon as the holder of one shows that it lives."""
    before = {name: found for name in names if (found := _latest(place, name)) is not None}
    doubtful = {name: found for name, found in before.items() if not _known_dead(found)}
    end = time.monotonic() + PATIENCE
    while doubtful and time.monotonic() < end:
        time.sleep(min(0.5, BEAT / 4))
        for name, found in list(doubtful.items()):
            now = _latest(place, name)
            if now is None:
                del doubtful[name]
            elif (now.token, now.touched) != (found.token, found.touched):
                raise _held(name, now)
    return {found.token for found in before.values()}


def _take(place: pathlib.Path, name: str, dead: set[str]) -> pathlib.Path:
    """Make the next claim of a trunk, unless somebody else has by now."""
    last = _latest(place, name)
    if last is not None and last.token not in dead:
        raise _held(name, last)
    number = 1 if last is None else last.number + 1
    path = place / f"{name}.{number}"
    facts = {"host": socket.gethostname(), "process": os.getpid(), "token": uuid.uuid4().hex}
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
    except FileExistsError:
        raise _held(name, _latest(place, name)) from None
    if last is not None:
        last.path.unlink(missing_ok=True)
    return path


def _latest(place: pathlib.Path, name: str) -> _Claim | None:
    """The claim of a trunk with the highest number."""
    numbers = [int(p.suffix[1:]) for p in place.glob(f"{name}.*") if p.suffix[1:].isdecimal()]
    if not numbers:
        return None
    path = place / f"{name}.{max(numbers)}"
    try:
        # Opened first: only that makes a client of NFS ask its server what is new.
        text = path.read_text("utf-8")
        touched = path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    try:
        facts = json.loads(text)
        host, token = str(facts["host"]), str(facts["token"])
        return _Claim(path, max(numbers), host, int(facts["process"]), token, touched)
    except (
        ValueError,
        KeyError,
        TypeError,
    ):  # whoever made it has not written it yet, or never will
        return _Claim(path, max(numbers), "", 0, "", touched)


def _known_dead(claim: _Claim) -> bool:
    """Whether the holder was a process of this host that is no more."""
    if claim.host != socket.gethostname():
        return False
    try:
        os.kill(claim.process, 0)
    except (ProcessLookupError, OverflowError):  # no process has such a number
        return True
    except PermissionError:
        return False
    return False


def _held(name: str, claim: _Claim | None) -> InputError:
    who = "another process" if claim is None else f"process {claim.process} on {claim.host}"
    return InputError(
        f"{who} is training {name} of this ladder already",
        remedy=f"wait for it, or stop it; one that died is noticed after {PATIENCE:.0f} seconds",
    )


def _beat(held: list[pathlib.Path], over: threading.Event, lost: Callable[[], None]) -> None:
    """Touch the claims until they are given back."""
    while not over.wait(BEAT):
        for path in held:
            try:
                os.utime(path)
            except FileNotFoundError:
                # whoever takes a claim over removes it
                _log.error("%s was taken over by another process", path.stem)
                lost()
                return
            except OSError as error:  # a file server that is away for a while
                _log.warning("%s could not be touched (%s)", path, error.strerror)
