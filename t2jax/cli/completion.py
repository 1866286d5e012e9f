"""`t2jax completion`: a script that completes commands, flags and file names in your shell."""

import contextlib
import dataclasses
import importlib
import io
from typing import Annotated

import tyro

from t2jax.cli import _terminal
from t2jax.cli._flags import nearest
from t2jax.cli._options import positional
from t2jax.errors import InputError

__all__ = ["Command"]

# tyro's scripts offer flags only: where none fits, the shell shall offer files.
_FILES_TOO = {
    "bash": ("complete -F ", "complete -o default -F "),
    "zsh": ("_describe 't2jax completions' completion_array",
            "_describe 't2jax completions' completion_array || _files"),
    "fish": ("complete --no-files ", "complete "),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Print what makes a shell complete t2jax's commands, flags and file names.

    Example: t2jax completion bash > ~/.local/share/bash-completion/completions/t2jax

    zsh: t2jax completion zsh > ~/.zfunc/_t2jax, with fpath+=~/.zfunc before compinit in ~/.zshrc

    fish: t2jax completion fish > ~/.config/fish/completions/t2jax.fish
    """

    shell: Annotated[tyro.conf.Positional[str], positional("bash, zsh or fish", "SHELL")]

    def run(self) -> None:
        """Ask tyro for the script of all commands, and print it."""
        from t2jax.cli import COMMANDS

        if self.shell not in _FILES_TOO:
            known = ", ".join(_FILES_TOO)
            raise InputError(
                f"no completion for the shell '{self.shell}'",
                remedy=f"{nearest(self.shell, _FILES_TOO)}the shells are {known}",
            )
        commands = {name: importlib.import_module(f"t2jax.cli.{name}").Command for name in COMMANDS}
        script = io.StringIO()
        with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
            tyro.extras.subcommand_cli_from_dict(
                commands,
                prog="t2jax",
                args=["--tyro-print-completion", self.shell],
                config=(tyro.conf.FlagCreatePairsOff,),
            )
        _terminal.say(script.getvalue().replace(*_FILES_TOO[self.shell]).rstrip())
