"""Exact match behind filters, in a process of its own (floor 1, private).

The patterns stand in the log's own files, and a few letters such as `(a+)+$` can keep a pattern
busy for longer than anybody waits. Python cannot stop a match, but it can stop a process; which
patterns are slow cannot be read off them, and those that people write for their tasks must work.

This file is run as a script there, and imports nothing but the standard library.
"""

import collections
import itertools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

__all__ = ["Matcher", "Unmatched"]

LIMIT = 10.0
"""Seconds that all repeats of one sample may take; they take microseconds."""


class Unmatched(Exception):
    """The repeats of a sample were not scored; the text says why."""


class Matcher:
    """Scores repeats, each sample within `LIMIT`; its process starts with the first."""

    def __init__(self):
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Matcher":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def scores(self, rule: dict[str, Any], answers: Sequence[str], target: str) -> list[float]:
        """1 for each answer that matches, 0 for each that does not.

        Args:
          rule: the arguments of `_scores` besides these.
          answers: the repeats.
          target: the right answer.

        Raises:
          Unmatched: it took too long, or a pattern is none.
        """
        timer, reply = None, ""
        try:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            timer = threading.Timer(LIMIT, process.kill)
            timer.start()
            process.stdin.write(json.dumps({**rule, "answers": answers, "target": target}) + "\n")
            process.stdin.flush()
            reply = process.stdout.readline()
        except OSError as error:
            if timer is None:
                raise Unmatched(f"no process could be started: {error}") from None
        finally:
            if timer is not None:
                timer.cancel()
        if not reply.endswith("\n"):
            self._end()
            raise Unmatched(f"it takes longer than {LIMIT:g} s, or more memory than there is")
        found = json.loads(reply)
        if isinstance(found, str):
            raise Unmatched(found)
        return found

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
            )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


# In the process -----------------------------------------------------------------------------


def _scores(
    *,
    steps: list[list[Any]],
    ignored: list[str],
    fold: bool,
    dropped: str,
    answers: list[str],
    target: str,
) -> list[float]:
    """Exact match of answers, as the harness has it.

    Args:
      steps: what its filters do to one answer: a name of `_STEPS`, and arguments.
      ignored: patterns that are taken out of answer and target.
      fold: case is ignored.
      dropped: characters that are taken out of answer and target.
      answers: the repeats.
      target: the right answer.
    """
    patterns = [re.compile(one) for one in ignored]
    without = str.maketrans("", "", dropped)

    def bare(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub("", text)
        return (text.lower() if fold else text).translate(without)

    for name, *words in steps:
        answers = [_STEPS[name](answer, *words) for answer in answers]
    return [float(bare(answer) == bare(target)) for answer in answers]


def _extracted(text: str, pattern: str, place: int, fallback: str) -> str:
    """The match at a place, counted from the end where it is below 0."""
    found = re.finditer(pattern, text)
    if place < 0:
        last = collections.deque(found, maxlen=-place)
        match = last[0] if len(last) == -place else None
    else:
        match = next(itertools.islice(found, place, None), None)
    if match is None:
        return fallback
    if match.re.groups < 2:
        return (match[match.re.groups] or "").strip()
    return next((part for part in match.groups() if part), fallback).strip()


_STEPS = {
    "regex": _extracted,
    "remove_whitespace": str.strip,
    "lowercase": str.lower,
    "uppercase": str.upper,
}


def _serve() -> None:
    """Answer every line until there is none."""
    for line in sys.stdin:
        try:
            reply: Any = _scores(**json.loads(line))
        except (re.error, ValueError, OverflowError, RecursionError, MemoryError) as error:
            reply = f"a pattern cannot be used ({error})"
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
