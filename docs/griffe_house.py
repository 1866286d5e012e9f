"""What the site's reader of docstrings, Griffe, must be told of this package."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"(?:^>>> .*(?:\n(?!\s*$).*)*\n?)+", re.MULTILINE)


class House(griffe.Extension):
    """Examples are code, and a public name is what its room imports."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Put every example between fences: Markdown takes a line of >>> for a quote."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(_fenced, obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Point public names at functions where a file of the room has the function's name.

        Griffe then takes `t2jax.planning.frontier` for the file, Python for the function that
        the room imports.
        """
        for name, member in list(pkg.members.items()):
            if isinstance(member, griffe.Alias):
                room, _, last = member.target_path.partition(".")[2].rpartition(".")
                found = pkg[room].imports.get(last) if room else None
                if found:
                    pkg.set_member(name, griffe.Alias(name, found, parent=pkg))
        data = pkg["datasets"]
        data["PublicModel"].resolve_target()  # through the file that the next line hides
        function = data["public_models.public_models"]
        data.set_member("public_models", griffe.Alias("public_models", function, parent=data))


def _fenced(example: re.Match) -> str:
    return f"```pycon\n{example[0].rstrip()}\n```\n"
