"""What the command line owes a shell: help, completion, colour and quiet pipes."""

import ast
import contextlib
import dataclasses
import importlib
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

import t2jax as t2
from t2jax import cli
from t2jax.cli import main
from t2jax.cli._flags import _plain, parse
from t2jax.uncertainty.ensemble import as_ensemble

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_is_printed_and_narrow(run, command):
    code, text, error = run(*command.split(), "--help")
    assert (code, error) == (0, "")
    assert text.startswith("usage: t2jax")
    assert max(map(len, text.splitlines())) <= 100
    for name in [command] if command else cli.COMMANDS:
        assert name in text


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_gives_an_example_that_the_command_takes(run, command):
    asked = importlib.import_module(f"t2jax.cli.{command}").Command
    example = re.findall(rf"Example: (t2jax {command} .*)", asked.__doc__ or "")[0]
    assert example in " ".join(run(command, "--help")[1].split())
    words = shlex.split(example.partition(" > ")[0])
    assert parse(asked, command, words[2:]) is not None


def test_bash_completes_commands_flags_and_leaves_files_to_the_shell(run, tmp_path):
    code, script, _ = run("completion", "bash")
    assert code == 0
    (tmp_path / "t2jax.bash").write_text(script)
    ask = (
        "source t2jax.bash\n"
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _tyro_t2jax; '
        'echo "${COMPREPLY[@]}"; }\n'
        "ask t2jax pla\nask t2jax plan --train-f\nask t2jax plan ru\ncomplete -p t2jax\n"
    )
    done = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True,
                          check=True)  # fmt: skip
    told = done.stdout.splitlines()
    assert told[:3] == ["plan", "--train-flops", ""]
    assert "-o default" in told[3]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_scripts_that_name_every_command(run, shell):
    code, script, _ = run("completion", shell)
    assert code == 0
    assert all(f"'{name}'" in script for name in cli.COMMANDS)
    assert ("|| _files" in script) == (shell == "zsh")
    assert "--no-files" not in script


def test_an_unknown_shell_is_refused_with_the_nearest(run):
    code, _, error = run("completion", "bsh")
    assert code == 2
    assert "did you mean 'bash'" in error


def test_no_color_is_honoured_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    painted, plain = Terminal(), Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    with contextlib.redirect_stdout(painted):
        assert main(["fit", "--help"]) == 0
    monkeypatch.setenv("NO_COLOR", "1")
    with contextlib.redirect_stdout(plain):
        assert main(["fit", "--help"]) == 0
    assert "\x1b" in painted.getvalue()
    assert "\x1b" not in plain.getvalue()
    assert "usage: t2jax fit" in plain.getvalue()


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom t2jax.cli import main\n"
        "for name in 'fit posterior compare optimum frontier'.split():\n    main([name, '-h'])\n"
        "heavy = {'jax', 'numpy', 'pandas', 'matplotlib', 'optax'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_is_no_error():
    command = [sys.executable, "-c", "import sys; from t2jax.cli import main; sys.exit(main())"]
    process = subprocess.Popen(
        [*command, "plan", "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert error == b""


def test_standard_output_is_appended_to_and_never_emptied(tmp_path):
    law = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    as_ensemble(law).save(tmp_path / "law.npz")
    (tmp_path / "log").write_text("kept\n")
    asked = "frontier law.npz --train-flops 1e18:1e20:3 -o -"
    code = "import sys; from t2jax.cli import main; sys.exit(main())"
    shell = f'"{sys.executable}" -c "{code}" {asked} >> log'
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environment, check=True)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "kept"
    assert lines[1].startswith("train_flops,params")
    assert len(lines) == 5


def test_a_console_without_lines_for_a_box_is_told_the_same():
    drawn = "╭─ Missing argument ─╮\n│ No value for '--a'. │\n│ ───── │\n│ For help │\n╰────╯\n"
    plain = " Missing argument \n ------ \n  No value for '--a'.  \n  -----\n  For help \n    \n"
    assert _plain(drawn) == _plain(plain) == "No value for '--a'"


def test_no_message_names_a_flag_that_does_not_exist():
    known = {"--help", "--version"}
    for command in cli.COMMANDS:
        asked = importlib.import_module(f"t2jax.cli.{command}").Command
        known |= {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(asked)}
    # Those of other programs: tyro's own, a shell's, pip's, XLA's and lm-eval's.
    foreign = {"--tyro-print-completion", "--no-files", "--no-deps", "--xla", "--log"}
    said = {}
    for path in (ROOT / "t2jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = re.findall(r"(?<![\w-])--[a-z][a-z0-9]*(?:-[a-z0-9]+)*", node.value)
                said |= dict.fromkeys(found, path.name)
    assert {flag: said[flag] for flag in {*said} - known - foreign} == {}


def test_a_hint_names_only_flags_of_the_command_that_gives_it(run, tmp_path):
    (tmp_path / "runs.csv").write_text("run;params;tokens\nm;1e6;2e7\n")
    (tmp_path / "logs").mkdir()
    code, _, error = run("convert", "lm-eval", "logs", "--runs", "runs.csv")
    assert code == 2
    assert "--separator" not in error
