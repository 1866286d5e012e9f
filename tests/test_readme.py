"""The README and the pages of the site tell the truth: Python, commands, files and links."""

import contextlib
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

import t2jax

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
QUESTIONS = ("table", "no_table", "law", "believe", "serving")
PAGES = ("README.md", *(f"docs/{name}.md" for name in (*QUESTIONS, "method")))
REFERENCE = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/reference/*.md"))
DOCUMENTS = (
    *PAGES, *REFERENCE, "docs/faults.md", "docs/first_result.md", "docs/gallery.md",
    "docs/ladder.md", "docs/pods.md", "CONTRIBUTING.md", "VISION.md", "SECURITY.md", "CHANGELOG.md",
)  # fmt: skip
TEXTS = {page: (ROOT / page).read_text("utf-8") for page in DOCUMENTS}


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of one language, in order, comments in HTML left out."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every command line of the bash blocks of the pages in order, split into words."""
    found = [block for page in PAGES for block in blocks("bash", TEXTS[page])]
    lines = [line for block in found for line in block.splitlines()]
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


def names_used(page: str) -> set[str]:
    return set(re.findall(r"\bt2\.(\w+)", "".join(blocks("python", TEXTS[page]))))


@pytest.mark.parametrize("page", PAGES)
def test_the_python_names_are_public(page: str):
    assert names_used(page)
    assert names_used(page) <= set(t2jax.__all__)


def told(page: str) -> list[tuple[str, str | None]]:
    """What each Python block of a page prints, and the text block that shows it if there is one."""
    pattern = r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?"
    space: dict = {}
    out = []
    for code, shown in re.findall(pattern, TEXTS[page], flags=re.DOTALL | re.MULTILINE):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, page, "exec"), space)
        out.append((printed.getvalue(), shown or None))
    return out


def slow_where_it_plans(page: str):
    return pytest.param(page, marks=[pytest.mark.slow] if "plan" in names_used(page) else [])


@pytest.mark.parametrize("page", [slow_where_it_plans(page) for page in PAGES])
def test_the_python_runs_and_prints_what_the_page_shows(page: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = told(page)
    assert any(printed for printed, _ in said)
    for printed, shown in said:
        assert shown is None or printed.strip() == shown.strip()
    if "plan" in names_used(page):
        assert list((tmp_path / "report").iterdir())


def test_the_readme_is_short_and_begins_with_python():
    assert len(README.splitlines()) <= 150
    assert README.partition("```python")[0].count("\n") < 40


def test_every_public_name_has_its_place_in_the_reference():
    listed = re.findall(
        r"^::: t2jax\.([\w.]+)$", "".join(TEXTS[page] for page in REFERENCE), re.MULTILINE
    )
    assert len(listed) == len(set(listed))
    rooms = {"datasets", "importers", "laws"}  # public themselves, listed by what is in them
    assert set(t2jax.__all__) == {name for name in listed if "." not in name} | rooms
    for name in listed:
        thing = t2jax
        for part in name.split("."):
            thing = getattr(thing, part)


def test_the_site_shows_every_page():
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert [page for page in DOCUMENTS if f": {page}\n" not in site] == []


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w./-]+):", makefile, flags=re.MULTILINE))
    asked = {word for words in commands() if words[0] == "make" for word in words[1:]}
    assert {"demo", "test"} <= asked <= targets


def test_the_commands_install_make_or_are_t2jax():
    others = [words for words in commands() if words[0] not in ("make", "t2jax")]
    assert others == [["pip", "install", "."]]


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
    text = re.sub(r"<!--.*?-->", "", TEXTS[document], flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    ours = [link for link in links if link and "://" not in link]
    assert [link for link in ours if not (ROOT / document).parent.joinpath(link).exists()] == []


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


def test_the_site_has_every_page_of_its_navigation_and_every_file_that_they_link_to():
    make = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    roots = [
        w for name in ("PAGES", "LINKED") for w in re.findall(rf"^{name} := (.*)$", make, re.M)
    ]
    there = [ROOT / word for word in " ".join(roots).split()]

    def served(path):
        return any(path == root or root in path.parents for root in there)

    nav = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    listed = sorted((ROOT / "experiments").glob("*/README.md"))
    assert set(listed) <= {ROOT / page for page in nav}
    for page in nav:
        assert served(ROOT / page), page
        for link in re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text(encoding="utf-8")):
            if "://" not in link and not link.startswith("mailto:"):
                target = ((ROOT / page).parent / link).resolve()
                assert target.exists(), (page, link)
                assert served(target), (page, link)
