import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from t2jax import observations
from t2jax.cli import main
from t2jax.errors import InputError, Refusal
from t2jax.trainer import checkpoint, count, evaluate, exam, ladder
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.ladder import (
    BuiltIn,
    LadderPlan,
    Shard,
    Size,
    headline,
    merge,
    plan_ladder,
    preset,
    presets,
    run_ladder,
    worker,
)

# One size, so that a worker compiles once.
TINY = dataclasses.replace(
    preset("smoke"),
    name="tiny",
    sizes=(Size(d_model=4),),
    seeds=((1e9, 2),),
    save_tokens=4_000,
    questions=6,
    finetune_questions=64,
)
TABLES = ("runs.csv", "questions.parquet", "questions-apart.parquet", "questions.csv")
WRITTEN = ("questions.csv", "runs.csv", "questions.parquet", "questions-apart.parquet")

# run by itself, so that it can be killed with its workers
RUNNER = """
import sys
from test_ladder import run_ladder, tiny_plan
if __name__ == "__main__":
    run_ladder(tiny_plan(), sys.argv[1], workers=int(sys.argv[2]), resume=True)
"""


def tiny_plan() -> LadderPlan:
    corpus = Corpus(TINY.corpus)
    return plan_ladder(
        TINY,
        tokens_per_row=corpus.tokens_per_row,
        seq_len=corpus.seq_len,
        vocab_size=corpus.vocab_size,
        source=corpus.fingerprint(),
    )


def digests(folder: pathlib.Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in TABLES}


def command(*words: object) -> tuple[int, str, str]:
    """`t2jax ladder --preset tiny`: exit code, standard output, standard error."""
    printed, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
    ):
        patch.setitem(presets.PRESETS, "tiny", TINY)
        try:
            code = main(["ladder", "--preset", "tiny", *map(str, words)])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, printed.getvalue(), errors.getvalue()


def begun(folder: pathlib.Path, plan: LadderPlan) -> None:
    """Make the folder one of this plan."""
    facts = {"preset": plan.preset.name, "fingerprint": plan.fingerprint()}
    (folder / "ladder.json").write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A whole ladder, made by the command with one worker."""
    folder = tmp_path_factory.mktemp("whole") / "ladder"
    code, out, errors = command("--out", folder, "--workers", 1)
    assert code == 0, errors
    total = len(tiny_plan().points)
    assert out.startswith(tiny_plan().summary())
    assert out.splitlines()[-5:] == [
        f"{total} of {total} checkpoints in {folder}",
        *(f"  {name}" for name in WRITTEN),
    ]
    names = [line.split()[1].rstrip(",") for line in errors.splitlines()]
    assert sorted(names) == sorted(point.run for _, point in tiny_plan().points)
    return folder


@pytest.fixture
def warm(whole: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """An empty folder but for the compiled programs."""
    shutil.copytree(whole / "compiled", tmp_path / "ladder" / "compiled")
    return tmp_path / "ladder"


def test_json_says_what_is_planned_and_what_was_done(whole: pathlib.Path):
    code, out, _ = command("--out", whole, "--workers", 1, "--dry-run", "--json")
    planned = json.loads(out)
    assert code == 0
    points = [(t.params, p.tokens, p.flops) for t, p in tiny_plan().points]
    assert [tuple(point.values()) for point in planned["checkpoints"]] == points
    code, out, _ = command("--out", whole, "--workers", 1, "--resume", "--json")
    done = json.loads(out)
    assert code == 0
    assert done == planned | {
        "folder": str(whole),
        "done": len(points),
        "total": len(points),
        "tables": [str(whole / name) for name in WRITTEN],
    }


def rows(folder: pathlib.Path, name: str = "runs.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_has_the_points_of_the_plan_in_its_order(whole: pathlib.Path):
    plan = tiny_plan()
    found = rows(whole)
    assert [row["run"] for row in found] == [point.run for _, point in plan.points]
    for row, (trunk, point) in zip(found, plan.points, strict=True):
        assert int(row["steps"]) == point.stop
        assert int(row["tokens"]) == pytest.approx(point.tokens, rel=0.02)
        assert int(row["train_flops"]) == 6 * trunk.params * int(row["tokens"])
        per_token = count.train_flops(trunk.train.model)
        places = point.stop * int(row["batch_rows"]) * trunk.train.model.seq_len
        assert int(row["train_flops_exact"]) == per_token * places


def test_tokens_are_the_loss_tokens_of_the_rows(whole: pathlib.Path):
    from t2jax.trainer.batches import loss_mask

    for row in rows(whole):
        source = Corpus(TINY.corpus, seed=int(row["seed"]))
        batch = source.rows(0, int(row["steps"]) * int(row["batch_rows"]))
        assert int(row["tokens"]) == loss_mask(batch).sum()


def test_the_question_table_is_what_the_checkpoints_answer(whole: pathlib.Path):
    table = observations.read(whole / "questions.parquet")
    assert table.kind == "nll"
    assert table.params_definition == "matrices+head"
    assert table.trunk is not None
    assert table.nll is not None
    run = str(table.run[3])
    config, params, card = checkpoint.load_params(whole / "points" / run / "params")
    questions = BuiltIn(TINY.corpus).asked(TINY)
    exact = evaluate.likelihood(params, config, questions)
    assert set(table.task.tolist()) == {"knowledge", "causal", "spatial"}  # type: ignore[union-attr]
    where = {name: i for i, name in enumerate(questions.names.tolist())}
    order = [where[name] for name in table.question.tolist()]  # type: ignore[union-attr]
    np.testing.assert_allclose(table.nll[3], exact[order], rtol=1e-5)
    assert card["run"] == run
    assert card["tokens"] == table.tokens[3]


def test_tasks_that_are_learnt_in_a_step_are_told_apart(whole: pathlib.Path):
    apart = observations.read(whole / "questions-apart.parquet")
    assert apart.task is not None
    assert {"arithmetic", "pairs", "long-knowledge"} <= set(apart.task.tolist())
    assert not any(headline(task) for task in apart.task.tolist())
    for row in rows(whole):
        means = [float(row[f"nll_{task}"]) for task in ("knowledge", "causal", "spatial")]
        assert float(row["nll_mean"]) == pytest.approx(np.mean(means))


def test_the_held_out_loss_is_that_of_rows_nobody_trains_on(whole: pathlib.Path):
    row = rows(whole)[-1]
    config, params, _ = checkpoint.load_params(whole / "points" / row["run"] / "params")
    held_out = BuiltIn(TINY.corpus).held_out(TINY.held_out_rows)
    assert float(row["held_out_loss"]) == pytest.approx(
        exam.held_out_loss(params, config, held_out)
    )
    assert abs(float(row["held_out_loss"]) - float(row["train_loss"])) < 0.3
    trained = {tuple(tokens) for tokens in Corpus(TINY.corpus).rows(0, 2048).tokens.tolist()}
    assert not trained & {tuple(tokens) for tokens in held_out.tokens.tolist()}


def test_long_answers_are_tasks_of_their_own(whole: pathlib.Path):
    named = {row["task"] for row in rows(whole, "questions.csv")}
    assert {"arithmetic", "long-arithmetic"} <= named
    assert all(float(r["nll_chance_task"]) > 0 for r in rows(whole, "questions.csv"))


@pytest.mark.slow
def test_a_trunk_that_fails_stops_no_other_and_what_is_there_is_kept(
    whole: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    first, other = tiny_plan().trunks
    wild = dataclasses.replace(first, train=dataclasses.replace(first.train, learning_rate=1e38))
    plan = dataclasses.replace(tiny_plan(), trunks=(wild, other))
    begun(copy, plan)
    lost = other.points[-1].run
    for run in (lost, *(point.run for point in wild.points)):
        shutil.rmtree(copy / "points" / run)
    (copy / "points" / f".{lost}.123").mkdir()  # what a killed run was writing
    monkeypatch.setattr(ladder, "plan_ladder", lambda *_, **__: plan)
    code, _, errors = command("--out", copy, "--workers", 1, "--resume")
    assert code == 3
    last = errors.splitlines()[-1]
    assert last.startswith(
        f"t2jax: error: failed: {wild.name}; {wild.name}: the loss is not finite"
    )
    assert last.endswith("--resume tries again")
    # the other trunk is whole again, as it was, and no other point of it was made anew
    (made,) = [line for line in errors.splitlines() if "min left" in line]
    assert made.split()[1] == f"{lost},"
    assert rows(copy) == [row for row in rows(whole) if row["trunk"] == other.name]
    assert not list(copy.glob("points/.*"))


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_own_trunk_only(
    whole: pathlib.Path, tmp_path: pathlib.Path
):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    for trunk in tiny_plan().trunks:
        shutil.rmtree(copy / "points" / trunk.points[-1].run)

    killed = []

    def kill(progress: ladder.Progress) -> None:
        if not killed:
            (child,) = multiprocessing.active_children()
            assert child.pid
            os.kill(child.pid, signal.SIGKILL)
            killed.append(child)

    with pytest.raises(Refusal, match="ended with code -9"):
        run_ladder(tiny_plan(), copy, workers=1, resume=True, progress=kill)
    assert len(rows(copy)) >= len(tiny_plan().points) - 1


@contextlib.contextmanager
def signalled(number: int, folder: pathlib.Path) -> Iterator[None]:
    """Send this process a signal as soon as there is a point."""
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.01):
            if list(folder.glob("points/[!.]*")):
                os.kill(os.getpid(), number)
                return

    def unhandled(*_) -> None:
        raise AssertionError("nobody took the signal")

    before = signal.signal(number, unhandled)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        signal.signal(number, before)


def state_of(folder: pathlib.Path) -> set[tuple[str, int]]:
    """What was written so far, and when."""
    found = [*folder.glob("points/[!.]*"), *folder.glob("trunks/*/*")]
    with contextlib.suppress(FileNotFoundError):
        return {(str(path), path.stat().st_mtime_ns) for path in found}
    return set()


def kill_while_writing(folder: pathlib.Path, delay: float, workers: int) -> None:
    """Start the ladder, and kill it with all its workers `delay` after it first wrote something."""
    script = folder.parent / "runner.py"
    script.write_text(RUNNER, encoding="utf-8")
    here = pathlib.Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent.parent), os.environ.get("PYTHONPATH", "")])
    before = state_of(folder)
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder), str(workers)],
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
    )
    while process.poll() is None and state_of(folder) == before:
        time.sleep(0.005)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_interrupted_and_killed_it_ends_with_the_same_bytes(
    whole: pathlib.Path, warm: pathlib.Path
):
    with signalled(signal.SIGTERM, warm):
        code, _, errors = command("--out", warm, "--workers", 1)
    assert code == 143
    assert not multiprocessing.active_children()
    told = errors.splitlines()[-1]
    assert told.startswith(
        "t2jax: error: stopped by SIGTERM; finished checkpoints and their tables are in"
    )
    found = [row["run"] for row in rows(warm)]
    assert 1 <= len(found) < len(tiny_plan().points)
    assert all((warm / "points" / run / "point.json").exists() for run in found)
    kill_while_writing(warm, delay=0.1, workers=1)
    assert len(list(warm.glob("points/[!.]*"))) < len(tiny_plan().points)
    code, _, errors = command("--out", warm, "--workers", 2, "--resume")
    assert code == 0, errors
    assert digests(warm) == digests(whole)


@pytest.mark.slow
def test_killed_twenty_times_it_writes_the_same_bytes(whole: pathlib.Path, warm: pathlib.Path):
    draw, ladders = random.Random(2), 0
    for kill in range(21):
        complete = all(worker.has(warm, p.run, "base") for _, p in tiny_plan().points)
        if complete or kill == 20:
            run_ladder(tiny_plan(), warm, workers=2, resume=True)
            assert digests(warm) == digests(whole)
            ladders += 1
            for name in ("points", "trunks", *TABLES):
                place = warm / name
                shutil.rmtree(place) if place.is_dir() else place.unlink()
            (warm / "points").mkdir()
        if kill < 20:
            kill_while_writing(warm, draw.uniform(0, 1), workers=1 + kill % 2)
    print(f"killed 20 times; {ladders} ladders, all of them the same bytes")


@pytest.mark.slow
def test_shards_one_after_another_write_the_tables_of_one_process(
    whole: pathlib.Path, warm: pathlib.Path
):
    first, second = (Shard(index=index, count=2) for index in range(2))
    result = run_ladder(tiny_plan(), warm, workers=1, shard=first)
    assert result.complete
    assert not result.tables
    assert not (warm / "runs.csv").exists()
    partial = merge(tiny_plan(), warm)
    assert partial.done == result.done < partial.total
    assert len(rows(warm)) == partial.done
    assert run_ladder(tiny_plan(), warm, workers=1, shard=second).complete
    assert digests(warm) == digests(whole)
    noted = [warm / f"timing-{shard.number}.jsonl" for shard in (first, second)]
    lines = [line for path in noted for line in path.read_text("utf-8").splitlines()]
    trained = [json.loads(line)["run"] for line in lines]
    assert sorted(trained) == sorted(point.run for _, point in tiny_plan().points)


def test_a_folder_belongs_to_one_ladder(whole: pathlib.Path):
    with pytest.raises(InputError, match="--resume"):
        run_ladder(tiny_plan(), whole, workers=1)
    other = dataclasses.replace(tiny_plan(), source="other rows")
    with pytest.raises(InputError, match="other settings"):
        run_ladder(other, whole, workers=1, resume=True)
    with pytest.raises(InputError, match="--workers is 0"):
        run_ladder(tiny_plan(), whole, workers=0, resume=True)


def test_time_is_noted_beside_the_tables_only(whole: pathlib.Path):
    lines = (whole / "timing.jsonl").read_text("utf-8").splitlines()
    facts = [json.loads(line) for line in lines]
    assert {fact["run"] for fact in facts} == {row["run"] for row in rows(whole)}
    assert all(fact["seconds"] > 0 for fact in facts)
    assert not any("second" in name for name in rows(whole)[0])


def test_finetuned_points_have_tables_of_their_own(whole: pathlib.Path, tmp_path: pathlib.Path):
    trunk = tiny_plan().trunks[0]
    short = dataclasses.replace(trunk, points=trunk.points[:1])
    plan = dataclasses.replace(tiny_plan(), trunks=(short,))
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    begun(copy, plan)
    result = run_ladder(plan, copy, workers=1, resume=True, finetune=True)
    assert result.complete
    assert result.total == 3
    (base,) = rows(copy)
    spoken = json.loads((copy / "timing.jsonl").read_text("utf-8").splitlines()[-1])
    assert spoken["run"] == f"{base['run']}-sft"
    for variant in ("ft", "sft"):
        (tuned,) = rows(copy, f"runs-{variant}.csv")
        assert tuned["variant"] == variant
        # what pretraining was, and beside it what finetuning took
        for name in ("run", "trunk", "params", "tokens", "steps", "train_flops", "train_loss"):
            assert tuned[name] == base[name]
        assert tuned["finetune_converged"] in ("True", "False")
        steps, tokens = int(tuned["finetune_steps"]), int(tuned["finetune_tokens"])
        # the step that is best on the held-out questions may be the one before the first
        assert (steps == 0) == (tokens == 0)
        assert tokens <= spoken["tokens"] or variant == "ft"
        assert float(tuned["finetune_dev_nll"]) > 0
        table = observations.read(copy / f"questions-{variant}.parquet")
        assert table.n_rows == 1
        assert list(table.tokens) == [int(base["tokens"])]


def test_what_a_ladder_did_not_write_is_left_alone(whole: pathlib.Path, tmp_path: pathlib.Path):
    home = tmp_path / "home"
    shutil.copytree(whole, home)
    kept = [home / ".git/config", home / ".bashrc", home / "points/.notes"]
    partial = [home / ".runs.csv.0123456789ab", home / ".0123456789ab.questions.parquet"]
    for path in kept + partial:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    run_ladder(tiny_plan(), home, workers=1, resume=True)
    assert [path.read_text() for path in kept] == ["mine"] * 3
    assert not any(path.exists() for path in partial)


@pytest.mark.parametrize("name", ["runs.csv", "questions-apart.parquet", "trunks/x", "points/x"])
def test_files_of_a_ladders_names_are_not_overwritten(tmp_path: pathlib.Path, name: str):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    (tmp_path / "log.txt").write_text("of nobody's names")
    with pytest.raises(InputError, match=f"holds {name.split('/')[0]}, which would be overwritten"):
        run_ladder(tiny_plan(), tmp_path, workers=1)
    assert path.read_text() == "mine"
