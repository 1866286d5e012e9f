"""Kill commands at random moments: a rerun finishes as if nothing had been, or says what to do.

    python tests/kills.py [KILLS [COMMAND ...]]

Each command is run once alone, then killed that often, each time at a moment drawn from the time
that it took, in one folder that keeps whatever the kills leave. `trainer/kills_of_train.py` kills
training at its checkpoints, for every kind of data.
"""

import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TRAIN = ["train", "corpus:tiny", "--d-model", "8", "--batch-rows", "4", "--tokens", "30000"]
COMMANDS = {
    "convert": ["convert", "samples", "{in}/samples.jsonl", "--runs", "{in}/runs.csv",
                "-o", "{out}/table.parquet"],
    "fit": ["fit", "{in}/loss.csv", "-o", "{out}/fit.json"],
    "posterior": ["posterior", "{in}/loss.csv", "{in}/fit.json", "--draws", "600", "--chains", "2",
                  "--warmup", "300", "-o", "{out}/draws.npz"],
    "backtest": ["backtest", "{in}/loss.csv", "--levels", "1", "--draws", "4",
                 "-o", "{out}/backtest.json"],
    "plan": ["plan", "{in}/loss.csv", "--draws", "20", "-o", "{out}/report"],
    "train": [*TRAIN, "-o", "{out}/run"],
    "finetune": ["finetune", "{in}/run", "--max-tokens", "20000", "--pool", "64",
                 "-o", "{out}/tuned"],
    "ladder": ["ladder", "--preset", "smoke", "--workers", "1", "--resume", "-o", "{out}/ladder"],
}  # fmt: skip
TIMES = ("timing", "card.json", "ladder.json")  # what says when, not what


def made(folder: pathlib.Path) -> None:
    """What the commands are given."""
    import numpy as np

    import t2jax as t2

    t2.datasets.load_ladder(measure="loss").write(folder / "loss.csv")
    draw = np.random.default_rng(0)
    lines = [
        f'{{"run": "m{run}", "task": "sums", "question": "q{q}", "correct": {draw.integers(2)}}}'
        for run in range(4) for q in range(200) for _ in range(8)
    ]  # fmt: skip
    (folder / "samples.jsonl").write_text("\n".join(lines).replace(": 0}", ": false}")
                                          .replace(": 1}", ": true}"))  # fmt: skip
    rows = [f"m{run},{10**7 * 2**run},{10**9 * 3**run}" for run in range(4)]
    (folder / "runs.csv").write_text("run,params,tokens\n" + "\n".join(rows) + "\n")


def words(name: str, given: pathlib.Path, out: pathlib.Path) -> list[str]:
    filled = [w.replace("{in}", str(given)).replace("{out}", str(out)) for w in COMMANDS[name]]
    return [sys.executable, "-m", "t2jax", *filled]


def run(command: list[str], seconds: float | None = None) -> tuple[int | None, str]:
    """The exit code and what was complained of; None where it was killed."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # XLA complains of its own slowness where the machine has other work.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        start_new_session=True,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=seconds)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""


def state(out: pathlib.Path) -> dict[str, str]:
    """Hashes of all results, but for times and what a kill left half-made."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        # Programs that were compiled and claims of the dead are no result: a run that goes on
        # compiles fewer of them, and takes over what another had begun.
        aside = ("compiled", "claims")
        hidden = any(part.startswith(".") or part in aside for part in name.parts)
        if path.is_file() and not hidden and not any(t in path.name for t in TIMES):
            # A plan's settings name the folder that they were for.
            told = path.read_bytes().replace(str(out).encode(), b"")
            found[str(name)] = hashlib.sha256(told).hexdigest()
    return found


def killed(name: str, given: pathlib.Path, folder: pathlib.Path, kills: int) -> str:
    """Kill one command that often, let it finish, and compare; what was found."""
    alone, cut = folder / "alone", folder / "cut"
    for place in (alone, cut):
        place.mkdir()
    started = time.monotonic()
    code, said = run(words(name, given, alone))
    took = time.monotonic() - started
    assert code == 0, (name, code, said)
    draw, done, refused, whole = random.Random(f"{name} {time.time_ns()}"), 0, 0, 0
    while done < kills and whole < 2 * kills:
        started = time.monotonic()
        code, said = run(words(name, given, cut), draw.uniform(0.1, 1.0) * took)
        if code is None:
            done += 1
            sys.stderr.write(f"{name}: killed {done} times\n")
            continue
        if code == 0:
            # The machine has less to do than before, or the kills have left little to be done.
            took = max(took / 2, min(took, time.monotonic() - started))
            assert_same(name, alone, cut)
            whole += 1
        else:
            # It may say that something must be deleted, in one line, and that must be enough.
            assert (code, said.count("\n")) == (2, 1), (name, code, said)
            refused += 1
        shutil.rmtree(cut)
        cut.mkdir()
    code, said = run(words(name, given, cut))
    assert code == 0, (name, code, said)
    assert_same(name, alone, cut)
    return (
        f"{name}: {done} kills of {kills}, {refused} refusals, {whole + 1} times finished, "
        f"the same {len(state(alone))} files"
    )


def assert_same(name: str, alone: pathlib.Path, cut: pathlib.Path) -> None:
    """Whether a run that was killed left what one that was not has left."""
    one, other = state(alone), state(cut)
    differ = [path for path in one.keys() | other.keys() if one.get(path) != other.get(path)]
    assert not differ, (name, differ)


def main(kills: int, *names: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        given = pathlib.Path(place) / "in"
        given.mkdir()
        made(given)
        for name in names or COMMANDS:
            if name == "posterior" and not (given / "fit.json").exists():
                assert run(words("fit", given, given))[0] == 0
            if name == "finetune" and not (given / "run").exists():
                assert run(words("train", given, given))[0] == 0
            folder = pathlib.Path(place) / name
            folder.mkdir()
            sys.stdout.write(killed(name, given, folder, kills) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50, *sys.argv[2:])
