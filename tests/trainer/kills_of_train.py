"""Kill `t2jax train` again and again: every source, bits and printed results as if left alone.

    python tests/trainer/kills_of_train.py [KILLS]

Each run is killed with a checkpoint on disk, at a moment drawn at random, until it is done.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

WORDS = ["--d-model", "8", "--batch-rows", "4", "--checkpoint-every", "16", "--json"]


def sources(folder: pathlib.Path) -> dict[str, list[str]]:
    """Arguments of every kind of source."""
    lines = [{"text": f"line {n} of a text: {'na' * (n % 29)}"} for n in range(300)]
    (folder / "text.jsonl").write_text("\n".join(map(json.dumps, lines)))
    solved = [{"prompt": f"{n} and {n}: ", "answer": str(2 * n)} for n in range(300)]
    (folder / "solved.jsonl").write_text("\n".join(map(json.dumps, solved)))
    (folder / "plain.txt").write_text("\n".join(line["text"] for line in lines))
    stream = np.random.default_rng(0).integers(0, 90, 20_000)
    np.save(folder / "stream.npy", stream.astype(np.uint16))
    stream.astype(np.uint16).tofile(folder / "stream.bin")
    names = ("text.jsonl", "solved.jsonl", "plain.txt", "stream.npy", "stream.bin")
    own = {name: [str(folder / name), "--seq-len", "64"] for name in names}
    return {"corpus:tiny": ["corpus:tiny"], "corpus:small": ["corpus:small"], **own}


def start(words: list[str], out: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "t2jax", "train", *words, *WORDS, "--tokens", "60000"]
    return subprocess.Popen(
        [*command, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finished(words: list[str], out: pathlib.Path) -> dict:
    printed, _ = start(words, out).communicate()
    return json.loads(printed) | {"out": None}


def state(out: pathlib.Path) -> dict[str, bytes]:
    """What a run leaves: parameters and metrics."""
    with np.load(out / "arrays.npz") as file:
        arrays = {name: file[name].tobytes() for name in file.files}
    return arrays | {"metrics": (out / "metrics.jsonl").read_bytes()}


def main(kills: int) -> None:
    draw, done = random.Random(3), 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        kinds = sources(folder)
        alone = {}
        for place, (kind, words) in enumerate(kinds.items()):
            out = folder / f"alone-{place}"
            alone[kind] = (finished(words, out), state(out))
        each = -(-kills // len(kinds))
        for place, (kind, words) in enumerate(kinds.items()):
            out = folder / f"cut-{place}"
            done += kill(words, out, each, draw)
            assert (finished(words, out), state(out)) == alone[kind], kind
            # asked once more, a finished run says the same
            assert finished(words, out) == alone[kind][0], kind
            sys.stdout.write(f"{kind}: as if left alone, after {done} kills in all\n")
            sys.stdout.flush()


def kill(words: list[str], out: pathlib.Path, times: int, draw: random.Random) -> int:
    """Start a run and kill it, each time with another checkpoint on disk; how often it went."""
    for done in range(times):
        before = set(out.glob("checkpoints/*/card.json"))
        process = start(words, out)
        while process.poll() is None and set(out.glob("checkpoints/*/card.json")) == before:
            time.sleep(0.005)
        try:
            process.wait(draw.uniform(0, 0.2))
            process.communicate()
            return done  # it was finished before it was killed
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return times


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
