"""Examples of docstrings as code on the site, since Markdown takes a line of >>> for a quote."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"(?:^>>> .*(?:\n(?!\s*$).*)*\n?)+", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts every example between fences."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(_fenced, obj.docstring.value)


def _fenced(example: re.Match) -> str:
    return f"```pycon\n{example[0].rstrip()}\n```\n"
