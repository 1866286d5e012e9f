"""Mutants: one line of the analysis made wrong at a time, to see whether a test notices.

`python tests/mutants.py` applies every change of the list in a copy of the checkout, runs the test
files that cover its file there, and prints the changes that no test noticed. What was found is kept
beside the copy, so that a pass can be stopped, resumed, or run a few mutants at a time. A mutant
runs again when its file has changed, and one that survived when its tests have.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

from mutant_list import MUTANTS, TESTS

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "t2jax"


class Mutant(NamedTuple):
    """One change: the text of a file that is replaced, and by what."""

    file: str
    old: str
    new: str

    @property
    def tests(self) -> list[str]:
        """The files that cover it, the likeliest to notice first, and the doctests of its own."""
        return [f"tests/{name}.py" for name in TESTS[self.file].split()] + [self.path]

    @property
    def path(self) -> str:
        return f"{PACKAGE}/{self.file}"

    @property
    def name(self) -> str:
        return f"{self.file}: {self.old} -> {self.new}"

    def changed(self, source: str) -> str:
        """The file with the change in it.

        Raises:
          ValueError: what is to be replaced is not there exactly once.
        """
        found = source.count(self.old)
        if found != 1:
            raise ValueError(f"{self.name}: found {found} times, and once is needed")
        return source.replace(self.old, self.new)

    def state(self, root: pathlib.Path) -> dict[str, str]:
        """What its answer rests on: the file as it should be, and the tests."""
        return {"of": _hash(root / self.path), "under": _hash(*(root / x for x in self.tests))}

    def answered(self, results: dict[str, dict[str, Any]]) -> bool:
        """Whether the answer is known: new tests cannot bring a killed mutant back."""
        found, now = results.get(self.name, {}), self.state(ROOT)
        known = found.get("of") == now["of"]
        return known and (found["killed"] or found["under"] == now["under"])


def _hash(*files: pathlib.Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def every_mutant() -> list[Mutant]:
    return [Mutant(file, *pair) for file, pairs in MUTANTS.items() for pair in pairs]


def copied(folder: pathlib.Path) -> pathlib.Path:
    """A fresh copy of the checkout, with what is not committed, and the tables beside it."""
    copy = folder / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(os.path.isfile, (ROOT / line for line in listed.splitlines())):
        target = copy / pathlib.Path(name).relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, target)
    beside = folder / "shared"
    if (ROOT.parent / "shared").is_dir() and not beside.exists():
        beside.symlink_to(ROOT.parent / "shared")
    return copy


def noticed(copy: pathlib.Path, tests: list[str], timeout: float) -> tuple[bool, str]:
    """Whether a test of the copy fails, or hangs, and the last line that was said."""
    # Byte code is not kept: a file changed twice within a second passes for unchanged.
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(copy.parent / "jax"))
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    options = "-q -x --no-header --tb=no --benchmark-disable -p no:cacheprovider -m".split()
    command = [sys.executable, "-m", "pytest", *options, "not slow", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, timeout=timeout, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return True, f"no end after {timeout:g} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    told = (lines or done.stdout.splitlines() or done.stderr.splitlines() or [""])[-1]
    # 5: nothing was collected, which is a list that names no test.
    if done.returncode in (2, 3, 4, 5) and not lines:
        raise RuntimeError(f"the tests did not run: {told}\n{done.stderr}")
    return done.returncode != 0, told


def tried(mutant: Mutant, copy: pathlib.Path, timeout: float) -> dict[str, Any]:
    """The answer for one mutant."""
    file = copy / mutant.path
    source = file.read_text(encoding="utf-8")
    begun = time.monotonic()
    try:
        file.write_text(mutant.changed(source), encoding="utf-8")
        killed, told = noticed(copy, mutant.tests, timeout)
    finally:
        file.write_text(source, encoding="utf-8")
    spent = round(time.monotonic() - begun, 1)
    return {"killed": killed, "by": told, "seconds": spent, **mutant.state(copy)}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", default="", help="mutants whose name holds this text")
    parser.add_argument("--most", type=int, default=10**6, help="how many to run now")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one mutant")
    folder = pathlib.Path(tempfile.gettempdir()) / f"{PACKAGE}-mutants"
    parser.add_argument("--folder", type=pathlib.Path, default=folder)
    asked = parser.parse_args()
    mutants = [mutant for mutant in every_mutant() if asked.only in mutant.name]
    for mutant in mutants:  # a list that has fallen behind the code is found before anything runs
        mutant.changed((ROOT / mutant.path).read_text(encoding="utf-8"))
    asked.folder.mkdir(parents=True, exist_ok=True)
    kept = asked.folder / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    waiting = [mutant for mutant in mutants if not mutant.answered(results)][: asked.most]
    copy = copied(asked.folder) if waiting else asked.folder
    for i, mutant in enumerate(waiting, start=1):
        results[mutant.name] = found = tried(mutant, copy, asked.timeout)
        kept.write_text(json.dumps(results, indent=1))
        word = "killed  " if found["killed"] else "SURVIVED"
        print(f"{i}/{len(waiting)} {word} {found['seconds']:6.1f} s  {mutant.name}", flush=True)
    known = [mutant.name for mutant in mutants if mutant.answered(results)]
    survivors = [name for name in known if not results[name]["killed"]]
    print(f"{len(known)} of {len(mutants)} mutants tried, {len(known) - len(survivors)} killed")
    print("\n".join(["survivors:", *survivors]) if survivors else "no survivors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
