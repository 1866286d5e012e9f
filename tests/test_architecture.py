"""The floor plan: who may import whom, and the house rules that a machine can read.

`ROOMS` is the plan as data. The checks work on a mapping from path to source text, so that the
same code judges the real tree and the violations planted below.
"""

import ast
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_LINES = 500

FLOOR_0 = ("_arguments", "_bounds", "_cache", "_devices", "_files", "_html", "_numeral",
           "_precision", "_programs", "_progress", "_result", "_seal", "_text", "_threads",
           "_typing", "beta", "cost", "errors", "hull", "passk")  # fmt: skip
DATA = ("observations", "importers", "datasets")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Room:
    """What one room may import.

    Args:
      ours: rooms, or single modules written `room.module`; a room may always import itself.
      third_party: packages allowed anywhere in the room.
      lazily: packages allowed inside functions only.
      only_in: packages allowed in one module of the room only, or one package of modules.
      lazy_ours: our rooms may be imported inside functions only.
    """

    ours: tuple[str, ...] = ()
    third_party: tuple[str, ...] = ()
    lazily: tuple[str, ...] = ()
    only_in: tuple[tuple[str, str], ...] = ()
    lazy_ours: bool = False


LAWS_AND_DATA = ("floor 0", "laws", *DATA)
DATA_ROOM = Room(ours=("floor 0", *DATA), third_party=("numpy",), lazily=("pandas", "pyarrow"))
JAX = ("jax", "jaxtyping", "numpy")
UP_TO_PLANNING = (*LAWS_AND_DATA, "fitting", "uncertainty", "planning")
UP_TO_PLANNER = (*UP_TO_PLANNING, "validation", "decision", "planner")
# NumPy is allowed wherever results are handed back, and nowhere in `laws`: an array there would
# be closed over by a jitted function and fix its precision at the first trace.
ROOMS = {
    "floor 0": Room(ours=("floor 0",), third_party=JAX, lazily=("pandas",)),
    "laws": Room(ours=("floor 0",), third_party=("jax", "jaxtyping")),
    "observations": DATA_ROOM,
    "importers": DATA_ROOM,
    "datasets": DATA_ROOM,
    "fitting": Room(ours=LAWS_AND_DATA, third_party=(*JAX, "optax")),
    "uncertainty": Room(
        ours=(*LAWS_AND_DATA, "fitting"),
        third_party=JAX,
        only_in=(("numpyro", "posterior"), ("scipy", "discrepancy")),
    ),
    "planning": Room(ours=(*LAWS_AND_DATA, "uncertainty.ensemble"), third_party=(*JAX, "optax")),
    "validation": Room(ours=UP_TO_PLANNING, third_party=(*JAX, "scipy")),
    "decision": Room(ours=UP_TO_PLANNING, third_party=(*JAX, "scipy")),
    "planner": Room(ours=(*UP_TO_PLANNING, "validation", "decision"), third_party=JAX),
    "reporting": Room(
        ours=UP_TO_PLANNER,
        third_party=("numpy",),
        only_in=(("matplotlib", "figures"), ("jax", "expressions")),
    ),
    "trainer": Room(
        ours=("floor 0", "observations"),
        third_party=(*JAX, "flax", "optax", "orbax"),
    ),
    "front door": Room(ours=(*UP_TO_PLANNER, "reporting")),
    "cli": Room(
        ours=(*UP_TO_PLANNER, "reporting", "trainer", "front door"),
        third_party=("tyro",),
        lazily=("numpy", "jax"),
        only_in=(("submitit", "submit"),),
        lazy_ours=True,
    ),
}

# Arrows that point down the stairs: of one module, inside functions only, with the reason.
BACK_DOORS = {
    ("t2jax._result", "reporting"): "a result draws itself, whatever it is",
    ("t2jax.planner.result", "reporting"): "a Plan says and saves itself as every result does",
    ("t2jax.planner.backtested", "reporting"): "a Backtest draws itself",
}

# Said in addition, because these arrows are the ones that people are tempted to draw.
WHY = {
    ("laws", "observations"): "laws are pure mathematics and never see a table",
    ("fitting", "uncertainty"): "a fit never depends on how its uncertainty is measured",
    ("fitting", "validation"): "a fit never depends on how it is judged",
    ("*", "trainer"): "only cli, experiments and benchmarks import the trainer",
}


def room_of(module: str) -> str | None:
    """The room that a dotted module name lives in, or None when it has none."""
    parts = module.split(".")
    if len(parts) == 1:
        return "front door"
    if parts[1] == "__main__":
        return "cli"
    if parts[1] in FLOOR_0:
        return "floor 0"
    return parts[1] if parts[1] in ROOMS else None


def module_of(path: str) -> str:
    """The dotted name of a source file given relative to the root."""
    parts = pathlib.PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def bare(module: str) -> str:
    """The last part of a dotted name without leading underscores."""
    return module.rsplit(".", 1)[-1].lstrip("_")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Import:
    """One import: the target's dotted name, its line, and whether importing the file runs it."""

    target: str
    line: int
    lazy: bool


def imports_of(path: str, source: str, modules: frozenset[str]) -> Iterator[Import]:
    """Every import of a file, those inside functions and under TYPE_CHECKING included."""
    package = module_of(path)
    if not path.endswith("__init__.py"):
        package = package.rpartition(".")[0]

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(target=alias.name, line=node.lineno, lazy=lazy)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                target = full if full in modules else base
                yield Import(target=target, line=node.lineno, lazy=lazy)
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func)
            name = node.args[0]
            if (
                called in ("importlib.import_module", "import_module", "__import__")
                and isinstance(name, ast.Constant)
                and isinstance(name.value, str)
            ):
                yield Import(target=name.value, line=node.lineno, lazy=lazy)
        deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from visit(child, True)
            for child in node.orelse:
                yield from visit(child, lazy)
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy or deferred)

    yield from visit(ast.parse(source), False)


def judge_import(path: str, found: Import) -> str | None:
    """The rule that one import of a package file breaks, as a sentence, or None."""
    module = module_of(path)
    home = room_of(module)
    where = f"{path} line {found.line} imports {found.target}"
    if home is None:
        return None  # reported once per file by `broken_rules`
    rules = ROOMS[home]
    top = found.target.split(".")[0]

    if top != "t2jax":
        if top in sys.stdlib_module_names or top in rules.third_party:
            return None
        if top in rules.lazily:
            if found.lazy:
                return None
            return f"{where} at import time: in '{home}' {top} belongs inside the function using it"
        for package, only in rules.only_in:
            if top == package:
                if only in (bare(module), *module.split(".")[2:-1]):
                    return None
                return f"{where}: in '{home}' only {only}.py may import {package}"
        allowed = ", ".join((*rules.third_party, *rules.lazily)) or "no third-party package"
        return f"{where}: '{home}' may import {allowed}"

    there = room_of(found.target)
    if there is None:
        return f"{where}, which has no room in the floor plan"
    if there == home:
        return None
    if found.lazy and (module, there) in BACK_DOORS:
        return None
    if there in rules.ours:
        if rules.lazy_ours and not found.lazy and there != "floor 0":
            return f"{where} at import time: '{home}' imports our rooms inside functions"
        return None
    if f"{there}.{bare(found.target)}" in rules.ours:
        return None
    why = WHY.get((home, there)) or WHY.get(("*", there))
    allowed = ", ".join(rules.ours) or "none of our rooms"
    return f"{where}: '{home}' may import {allowed}" + (f"; {why}" if why else "")


def judge_outside(path: str, found: Import) -> str | None:
    """The rule that one import of an experiment or benchmark breaks, or None."""
    parts = found.target.split(".")
    if parts[0] != "t2jax" or len(parts) == 1:
        return None
    where = f"{path} line {found.line} imports {found.target}"
    # the trainer has no front door: its modules are its public names
    if parts[1] == "trainer" and len(parts) == 3 and not parts[2].startswith("_"):
        return None
    # the front door does not load matplotlib: the figures have a door of their own
    if parts[1:] == ["reporting", "figures"]:
        return None
    if len(parts) > 2 or parts[1].startswith("_"):
        return f"{where}: experiments and benchmarks use the public API"
    return None


def cycle_among(graph: dict[str, set[str]]) -> list[str] | None:
    """One cycle of a directed graph as a list of nodes, or None."""
    done: set[str] = set()

    def walk(node: str, trail: list[str]) -> list[str] | None:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return None
        for after in sorted(graph.get(node, ())):
            if cycle := walk(after, [*trail, node]):
                return cycle
        done.add(node)
        return None

    for node in sorted(graph):
        if cycle := walk(node, []):
            return cycle
    return None


def house_rules(path: str, tree: ast.AST) -> Iterator[str]:
    """Rules about the text of a package file that are not about imports."""
    module = module_of(path)
    home = room_of(module)
    may_print = home == "cli" or (home == "reporting" and bare(module) == "tables")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not may_print and ast.unparse(node.func) == "print":
            yield f"{path} line {node.lineno} prints: only cli and reporting/tables print"
        if isinstance(node, ast.Name) and node.id == "hasattr" and home != "trainer":
            yield f"{path} line {node.lineno} asks hasattr: say what a thing is by its type"
        names_x64 = (isinstance(node, ast.Attribute) and "enable_x64" in node.attr) or (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.lower() == "jax_enable_x64"
        )
        if names_x64 and module != "t2jax._precision":
            line = getattr(node, "lineno", 0)
            yield f"{path} line {line} names enable_x64: only _precision knows that 64-bit exists"


def broken_rules(sources: dict[str, str]) -> list[str]:
    """Every broken rule in a tree of sources, each as one sentence."""
    modules = frozenset(module_of(path) for path in sources if path.startswith("t2jax/"))
    sentences = []
    between: dict[str, set[str]] = {}
    within: dict[str, set[str]] = {}
    for path, source in sources.items():
        lines = len(source.splitlines())
        if lines > MAX_LINES:
            sentences.append(f"{path} has {lines} lines: no file passes {MAX_LINES}")
        if bare(module_of(path)) in ("util", "utils"):
            sentences.append(f"{path}: there is no utils.py; name the file after what it holds")
        if path.startswith(("experiments/", "benchmarks/")):
            found = [judge_outside(path, i) for i in imports_of(path, source, modules)]
        elif path.startswith("t2jax/"):
            module = module_of(path)
            home = room_of(module)
            if home is None:
                sentences.append(f"{path} belongs to no room: give it one in the floor plan")
            imports = list(imports_of(path, source, modules))
            ours = {i.target for i in imports if i.target in modules} - {module}
            within[module] = {target for target in ours if room_of(target) == home}
            between.setdefault(home or "", set()).update(
                there
                for target in ours
                if (there := room_of(target)) and there != home
                if (module, there) not in BACK_DOORS
            )
            found = [judge_import(path, i) for i in imports]
            sentences.extend(house_rules(path, ast.parse(source)))
            sentences.extend(
                f"{path} line {number}: an ignore names its rule and, after --, its reason"
                for number, line in enumerate(source.splitlines(), start=1)
                if "pyright: ignore" in line and not re.search(r"ignore\[\w+\] -- \w", line)
            )
        else:
            found = []
        sentences.extend(sentence for sentence in found if sentence)
    for what, graph in (("rooms", between), ("modules", within)):
        if cycle := cycle_among(graph):
            sentences.append(f"the {what} have a cycle: {' -> '.join(cycle)}")
    return sentences


def read_tree() -> dict[str, str]:
    folders = ("t2jax", "tests", "experiments", "benchmarks")
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    return {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}


def test_the_tree_keeps_the_floor_plan():
    sources = read_tree()
    assert "t2jax/errors.py" in sources
    broken = broken_rules(sources)
    assert not broken, "\n".join(["the tree breaks the floor plan:", *broken])


def test_git_and_the_wheel_ignore_no_file_of_the_package():
    # The build follows .gitignore, so an entry meant for the root, such as `report/`, would also
    # drop a room of the same name from the package without a word.
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip(
            "needs git and a checkout: an unpacked source archive has no .gitignore to test"
        )
    files = [f.relative_to(ROOT).as_posix() for f in (ROOT / "t2jax").rglob("*") if f.is_file()]
    files = [file for file in files if "__pycache__" not in file]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=ROOT,
        input="\n".join([*files, "t2jax/reporting/__init__.py"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.split() == []


CLEAN = {
    "t2jax/__init__.py": "from t2jax.fitting import fit as fit\n",
    "t2jax/errors.py": "import enum\n",
    "t2jax/cost.py": "import jax\nfrom t2jax.errors import InputError\n",
    "t2jax/laws/__init__.py": "from ._law import Law\n",
    "t2jax/laws/_law.py": "import jax.numpy as jnp\nfrom t2jax import errors\n",
    "t2jax/observations.py": "import numpy\ndef read():\n    import pandas\n",
    "t2jax/fitting/__init__.py": "import optax\nfrom ..laws._law import Law\n",
    "t2jax/uncertainty/ensemble.py": "from t2jax import fitting, laws\n",
    "t2jax/uncertainty/posterior.py": "import numpyro\n",
    "t2jax/planning/solve.py": "from t2jax.uncertainty import ensemble\n",
    "t2jax/reporting/figures/frontier.py": "from matplotlib import figure\n",
    "t2jax/reporting/tables.py": "print(1)\n",
    "t2jax/cli/__init__.py": "import tyro\ndef main():\n    import t2jax\n    print(t2jax)\n",
    "experiments/01_a/run.py": "import t2jax as t2\nfrom t2jax import trainer\nimport torch\n",
    "experiments/02_a/run.py": "from t2jax.reporting import figures\n",
    "benchmarks/bench_fit.py": "import t2jax\nfrom t2jax.beta import log_beta_ratio\n",
}


def test_a_clean_tree_breaks_nothing():
    assert broken_rules(CLEAN) == []


@pytest.mark.parametrize(
    ("path", "source", "sentence"),
    [
        ("t2jax/laws/a.py", "from t2jax.observations import x", "never see a table"),
        ("t2jax/laws/a.py", "from ..observations import x", "never see a table"),
        ("t2jax/laws/a.py", "from t2jax import observations", "never see a table"),
        ("t2jax/laws/a.py", "import numpy as np", "'laws' may import jax, jaxtyping"),
        ("t2jax/laws/a.py", "def f():\n    import scipy", "'laws' may import"),
        (
            "t2jax/fitting/a.py",
            "import t2jax.uncertainty.ensemble",
            "how its uncertainty is measured",
        ),
        (
            "t2jax/fitting/a.py",
            "from t2jax import pass_at_k",
            "imports t2jax: 'fitting' may import",
        ),
        ("t2jax/fitting/a.py", "import importlib\nimportlib.import_module('flax')", "imports flax"),
        ("t2jax/planning/a.py", "from t2jax.uncertainty import bootstrap", "uncertainty.ensemble"),
        ("t2jax/planning/a.py", "def f():\n    import t2jax.trainer", "only cli, experiments"),
        ("t2jax/uncertainty/bootstrap.py", "import numpyro", "only posterior.py may"),
        ("t2jax/reporting/tables.py", "import matplotlib", "only figures.py may"),
        ("t2jax/planner/result.py", "from t2jax.reporting import tables", "'planner' may import"),
        (
            "t2jax/planner/saved.py",
            "def f():\n    from t2jax.reporting import tables",
            "'planner' may import",
        ),
        ("t2jax/reporting/page/write.py", "import jax", "only expressions.py may"),
        ("t2jax/reporting/page/write.py", "import matplotlib", "only figures.py may"),
        ("t2jax/observations.py", "import pandas", "inside the function using it"),
        ("t2jax/errors.py", "import t2jax.laws", "'floor 0' may import floor 0"),
        ("t2jax/fitting/a.py", "if 1:\n    from .. import trainer", "only cli, experiments"),
        ("t2jax/cli/plan.py", "import t2jax.fitting", "imports our rooms inside functions"),
        ("t2jax/__init__.py", "import t2jax.trainer", "only cli, experiments"),
        ("t2jax/__init__.py", "from t2jax.cli import main", "'front door' may import"),
        ("t2jax/extra.py", "", "belongs to no room"),
        ("t2jax/fitting/_utils.py", "", "there is no utils.py"),
        ("t2jax/fitting/a.py", "\n" * 501, "has 501 lines"),
        ("t2jax/fitting/a.py", "def f():\n    print('x')", "line 2 prints"),
        ("t2jax/fitting/a.py", "if hasattr(1, 'real'):\n    pass", "line 1 asks hasattr"),
        ("t2jax/fitting/a.py", "x = 1  # pyright: ignore", "names its rule and"),
        ("t2jax/fitting/a.py", "x = 1  # pyright: ignore[reportCallIssue]", "its reason"),
        (
            "t2jax/fitting/a.py",
            "import jax\njax.config.update('jax_enable_x64', True)",
            "only _precis",
        ),
        (
            "t2jax/fitting/a.py",
            "import jax\nwith jax.enable_x64(True):\n    pass",
            "only _precision",
        ),
        ("benchmarks/bench_a.py", "from t2jax.trainer.ladder.run import x", "use the public API"),
        ("benchmarks/bench_a.py", "from t2jax._precision import double", "use the public API"),
        ("experiments/02_b/run.py", "from t2jax.fitting.starts import grid", "use the public API"),
        ("experiments/02_b/run.py", "import t2jax.reporting.figures._style", "use the public API"),
    ],
)
def test_a_planted_violation_is_caught(path: str, source: str, sentence: str):
    planted = {**CLEAN, path: source}
    # `from package import name` is an import of a module only where such a module exists
    for module in (
        "fitting/starts",
        "uncertainty/bootstrap",
        "trainer/__init__",
        "trainer/ladder/run",
    ):
        planted.setdefault(f"t2jax/{module}.py", "")
    broken = broken_rules(planted)
    assert any(sentence in text and path in text for text in broken), broken


@pytest.mark.parametrize(
    ("path", "source", "sentence"),
    [
        ("t2jax/errors.py", "def f():\n    import t2jax.cost", "t2jax.cost -> t2jax.errors"),
        (
            "t2jax/laws/_law.py",
            "if TYPE_CHECKING:\n    from t2jax.laws import Law",
            "the modules have a cycle: t2jax.laws -> t2jax.laws._law -> t2jax.laws",
        ),
        (
            "t2jax/laws/_law.py",
            "def f():\n    from t2jax.fitting import fit",
            "the rooms have a cycle: fitting -> laws -> fitting",
        ),
    ],
)
def test_a_planted_cycle_is_caught(path: str, source: str, sentence: str):
    broken = broken_rules({**CLEAN, path: source + "\n"})
    assert any(sentence in text for text in broken), broken


def test_every_room_can_be_imported_by_its_name():
    # A room called like a public function would be hidden behind it.
    rooms = [path.parent.name for path in (ROOT / "t2jax").glob("*/__init__.py")]
    names = [f"t2jax.{room}" for room in rooms] + ["t2jax.planning.budget"]
    for name in names:
        scope: dict[str, object] = {}
        exec(f"import t2jax, {name} as it\nfor n in t2jax.__all__: getattr(t2jax, n)", scope)
        exec(f"import {name} as again", scope)
        assert scope["it"] is scope["again"] is sys.modules[name], name
        assert isinstance(scope["it"], types.ModuleType)
