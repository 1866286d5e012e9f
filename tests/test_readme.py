"""The README tells the truth: its Python runs, its commands, files and links exist."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "VISION.md", "CHANGELOG.md")


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of one language, in order, comments in HTML left out."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every command line of the bash blocks, split into words."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_python(code: str, folder: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_blocks_are_found():
    text = "```bash\na\n```\n<!--\n```bash\nhidden\n```\n-->\n```bash\nb # c\n```\n"
    assert blocks("bash", text) == ["a\n", "b # c\n"]
    assert blocks("python")
    assert commands()


def test_the_python_names_are_public():
    import t2jax

    names = set(re.findall(r"\bt2\.(\w+)", "".join(blocks("python"))))
    assert names
    assert names <= set(t2jax.__all__)


@pytest.mark.slow
def test_the_python_runs(tmp_path: pathlib.Path):
    done = run_python("\n".join(blocks("python")), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert list((tmp_path / "report").iterdir())


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w./-]+):", makefile, flags=re.MULTILINE))
    asked = {word for words in commands() if words[0] == "make" for word in words[1:]}
    assert {"demo", "test"} <= asked <= targets


def test_the_commands_are_make_and_t2jax():
    assert {words[0] for words in commands()} == {"make", "t2jax"}


@pytest.mark.parametrize(
    "words", [words for words in commands() if words[0] == "t2jax"], ids=" ".join
)
def test_the_commands_and_their_flags_exist(words: list[str], tmp_path: pathlib.Path):
    main = "import sys; from t2jax.cli import main; sys.exit(main())"
    done = run_python(main, tmp_path, words[1], "--help")
    assert done.returncode == 0, done.stderr
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    known = set(re.findall(r"--[\w-]+", done.stdout))
    assert set(flags) <= known


@pytest.mark.slow
def test_the_commands_run_in_their_order(tmp_path: pathlib.Path, monkeypatch, capsys):
    """On the files they name: a simulated runs.csv, its draws, and a budget."""
    import numpy as np

    import t2jax as t2
    from t2jax import cli

    monkeypatch.chdir(tmp_path)
    grid = np.meshgrid(np.geomspace(1e7, 2e9, 6), [5.0, 20.0, 80.0, 320.0], [1.0, 16.0, 256.0])
    params, ratio, samples = (axis.ravel() for axis in grid)
    law = t2.laws.T2Loss.from_paper(
        E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3
    )
    value = np.asarray(law(params=params, tokens=params * ratio, samples=samples), float)
    noise = np.random.default_rng(0).normal(0, 0.01, len(value))
    names = [f"{n:.3g}-{r:.3g}" for n, r in zip(params, ratio, strict=True)]
    t2.Observations(kind="loss", run=np.array(names), params=params, tokens=params * ratio,
                    samples=samples, loss=value * np.exp(noise)).write("runs.csv")  # fmt: skip
    t2.bootstrap(t2.fit(t2.read("runs.csv"), "t2_loss"), n_draws=100).save("draws.npz")
    pathlib.Path("plan.toml").write_text(
        "[budget]\ndollars = 5e6\nquestions = 1e9\ntokens_per_sample = 500\n"
        "[budget.cost]\nhardware = 'h100'\ndollars_per_hour = 2\n"
    )
    ran = 0
    for words in commands():
        if words[0] == "t2jax":
            code = cli.main(words[1:])
            assert code == 0, (words, capsys.readouterr().err)
            ran += 1
    assert ran >= 13
    for made in ("report/index.html", "frontier.csv", "ladder/questions.parquet", "run", "tuned"):
        assert pathlib.Path(made).exists(), made


def test_the_ci_runs_the_test_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_links_lead_somewhere(document: str):
    text = re.sub(r"<!--.*?-->", "", (ROOT / document).read_text("utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [link for link in links if link and "://" not in link and not (ROOT / link).exists()]
    assert missing == []


def tree() -> list[str]:
    """The paths that the README's tree names, from indentation by two spaces."""
    (text,) = (block for block in blocks("text") if block.startswith("t2jax/\n"))
    paths, above = [], []
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[:depth], line.split()[0]]
        paths.append("".join(above))
    return paths


def test_the_tree_names_what_exists():
    assert [path for path in tree() if not (ROOT / path).exists()] == []


def test_the_tree_names_every_public_room():
    package = ROOT / "t2jax"
    rooms = {f"t2jax/{file.name}" for file in package.glob("[a-z]*.py")}
    rooms |= {f"t2jax/{file.parent.name}/" for file in package.glob("[a-z]*/__init__.py")}
    assert rooms
    assert sorted(rooms - set(tree())) == []
