"""One worker: trains trunks and finetunes points, and leaves whole points in the ladder's folder.

A point is a folder with the parameters, `point.json` and `nll.npz`. It is made under another
name and renamed: what has its name is whole. Everything in it is a function of the plan alone.
"""

import dataclasses
import functools
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import shutil
import socket
import threading
import time
import uuid
from typing import Any

import numpy as np

from t2jax.errors import InputError, T2Error
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.ladder.material import Material, headline
from t2jax.trainer.ladder.plan import LadderPlan, Point, Trunk
from t2jax.trainer.ladder.presets import Preset

__all__ = [
    "STAGES",
    "VARIANTS",
    "Advance",
    "Finished",
    "Job",
    "has",
    "point_folder",
    "serve",
    "write_text",
]

VARIANTS = ("base", "ft", "sft")
"""What a point may be: as trained, finetuned on whole sequences, on answers only."""
STAGES = {"base": VARIANTS[:1], "tuned": VARIANTS[1:]}
"""What is made when: every point is trained before the first is finetuned."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker does in one go."""

    stage: str  # one of `STAGES`
    trunk: Trunk
    runs: tuple[str, ...]  # runs of which a point is missing
    points: int  # missing, of all variants of the stage
    seconds: float  # expected


@dataclasses.dataclass(frozen=True, kw_only=True)
class Advance:
    """A worker's news."""

    share: float  # of the job that is done
    run: str = ""  # point that is whole since now
    seconds: float = 0.0  # that it took
    evaluation_seconds: float = 0.0  # of these
    cpu_seconds: float = 0.0  # of this process: others may have had the cores meanwhile
    tokens: int = 0  # trained on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """A worker is done with its job."""

    error: str = ""  # why it could not be done


def point_folder(folder: pathlib.Path, run: str, variant: str) -> pathlib.Path:
    """Where a point of the ladder in `folder` is kept."""
    return folder / "points" / (run if variant == "base" else f"{run}-{variant}")


def has(folder: pathlib.Path, run: str, variant: str) -> bool:
    """Whether a point is there, and so whole."""
    return point_folder(folder, run, variant).is_dir()


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a file whole or not at all."""
    # Processes of different machines may have one number.
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def check_rows(plan: LadderPlan) -> None:
    """Refuse to go on with other rows than those that were planned.

    Raises:
      InputError: the code that writes the corpus was changed since.
    """
    if plan.source and plan.material.fingerprint() != plan.source:
        raise InputError(
            f"the text '{plan.material.name}' is not the one that the ladder was planned with",
            remedy="use the text and the t2jax that it was begun with, or begin another",
        )


def visible_devices() -> list[str]:
    """NVIDIA devices that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    found = pathlib.Path("/proc/driver/nvidia/gpus")
    return [str(place) for place, _ in enumerate(found.iterdir())] if found.is_dir() else []


def serve(connection: Any, folder: str, plan: LadderPlan, place: int = 0) -> None:
    """Do the jobs that come through a connection until it is closed; a process's main function.

    Args:
      connection: of `multiprocessing.Pipe`.
      folder: of the ladder.
      plan: the whole plan.
      place: among the workers; each has an accelerator of its own where there are several.
    """
    out = pathlib.Path(folder)
    accelerators = visible_devices()
    if len(accelerators) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = accelerators[place % len(accelerators)]
    # One thread each: workers would only fight for the cores, and a sum would depend on how many
    # threads made it. Read when JAX finds its devices, which has not happened yet.
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    os.environ.update(NPROC="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from t2jax.trainer import devices

        # Programs of a CPU are made for that CPU: machines that share the folder do not share them.
        devices.cache_compilation(out / "compiled" / socket.gethostname())
        while True:
            job = connection.recv()
            do = _train if job.stage == "base" else _tune
            try:
                do(out, plan, job, connection.send)
                connection.send(Finished())
            except BrokenPipeError:
                return
            except (T2Error, OSError) as error:
                connection.send(Finished(error=str(error)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


def _end_with_parent() -> None:
    """Wait for the end of the process that gives out the jobs, then end this one at once.

    Another may be given the same jobs, and two must not write the same trunk.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _train(out: pathlib.Path, plan: LadderPlan, job: Job, report: Any) -> None:
    """Train a trunk as far as its missing points need it, and cool down to each of them."""
    from t2jax.trainer import checkpoint, schedule
    from t2jax.trainer.train import Trainer, copy_state

    trunk, preset = job.trunk, plan.preset
    check_rows(plan)
    source = plan.material.source(trunk.train.seed)
    trainer = Trainer(trunk.train, source)
    warmup = schedule.warmup_steps(trunk.train, trainer.tokens_per_row)
    missing = [point for point in trunk.points if point.run in job.runs]
    folder = out / "trunks" / trunk.name
    card = checkpoint.make_card(trainer.config, source)

    done, tokens = checkpoint.latest(folder), 0
    if done is not None and done <= missing[0].branch:
        state, found = checkpoint.restore(folder, trainer.abstract_state())
        checkpoint.check(found, card, folder)
        tokens = int(found["tokens"])
    else:
        shutil.rmtree(folder, ignore_errors=True)
        done, state = 0, trainer.init()

    work = _Work(start=done, trunk=trunk, missing=missing, report=report)
    for stop in _stops(preset, trainer, missing, done):
        if stop > done:
            state, seen = trainer.run(state, stop, schedule.trunk(warmup), watch=work.watch)
            tokens += int(seen.tokens.sum(dtype=np.int64))
            work.spend(stop - done)
            done = stop
            checkpoint.save(folder, stop, state, {**card, "tokens": tokens})
        for point in missing:
            if point.branch != stop:
                continue
            plan_of_rate = schedule.branch(warmup, point.branch, point.stop)
            end, seen = trainer.run(copy_state(state), point.stop, plan_of_rate, watch=work.watch)
            work.spend(point.stop - point.branch)
            begun = time.monotonic()
            facts = {
                "tokens": tokens + int(seen.tokens.sum(dtype=np.int64)),
                "steps": point.stop,
                "schedule": trunk.train.schedule,
                "train_loss": _last_loss(seen, preset.chunk),
            }
            write_point(out, plan, trunk, point, "base", end.params, card, facts)
            work.finish(point, time.monotonic() - begun)
    if all(has(out, point.run, "base") for point in trunk.points):
        shutil.rmtree(folder, ignore_errors=True)


def _stops(preset: Preset, trainer: Any, missing: list[Point], done: int) -> list[int]:
    """Steps at which the trunk pauses: the branches, and every so often to save."""
    last = missing[-1].branch
    stops = {point.branch for point in missing}
    if preset.save_tokens < float("inf"):
        per_chunk = trainer.config.batch_rows * trainer.tokens_per_row * preset.chunk
        every = max(1, round(preset.save_tokens / per_chunk)) * preset.chunk
        stops |= set(range(every, last, every))
    return sorted(stop for stop in stops if stop >= done)


def _last_loss(seen: Any, chunk: int) -> float:
    """Mean loss per token over the last quarter of a cooldown, at least one chunk."""
    count = max(chunk, len(seen.loss) // 4)
    weights = seen.tokens[-count:].astype(np.float64)
    return float((seen.loss[-count:].astype(np.float64) * weights).sum() / weights.sum())


class _Work:
    """How far a trunk is, and what its points took."""

    def __init__(self, *, start: int, trunk: Trunk, missing: list[Point], report: Any):
        self.report, self.trunk = report, trunk
        branches = sum(point.stop - point.branch for point in missing)
        self.total = max(1, missing[-1].branch - start + branches)
        self.done = self.pending = 0
        self.begun = self.said = time.monotonic()
        self.cpu = time.process_time()
        self.tokens = 0

    def watch(self, step: int, metrics: Any) -> None:
        """Say now and then how far it is; called after every chunk."""
        self.pending += len(metrics.tokens)
        self.tokens += int(metrics.tokens.sum())
        if time.monotonic() - self.said > 1.0:
            self.said = time.monotonic()
            self.report(Advance(share=min(1.0, (self.done + self.pending) / self.total)))

    def spend(self, steps: int) -> None:
        """Take note of steps that are done."""
        self.done += steps
        self.pending = 0

    def finish(self, point: Point, evaluation: float) -> None:
        """Say that a point is whole."""
        now, cpu = time.monotonic(), time.process_time()
        self.report(
            Advance(
                share=self.done / self.total,
                run=point.run,
                seconds=now - self.begun,
                evaluation_seconds=evaluation,
                cpu_seconds=cpu - self.cpu,
                tokens=self.tokens,
            )
        )
        self.begun, self.cpu, self.tokens = now, cpu, 0


def write_point(
    out: pathlib.Path,
    plan: LadderPlan,
    trunk: Trunk,
    point: Point,
    variant: str,
    params: Any,
    card: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """Evaluate parameters and leave them as a point.

    Args:
      out: folder of the ladder.
      plan: the whole plan.
      trunk: of the point.
      point: which one.
      variant: one of `VARIANTS`.
      params: the parameters.
      card: from `checkpoint.make_card`.
      facts: what was counted while they were trained.
    """
    from t2jax.trainer import checkpoint, count

    model = trunk.train.model
    sizes = count.counts(model)
    answers, losses = _measured(plan, model, params)
    unique = plan.material.unique_tokens
    row = {
        "run": point.run,
        "trunk": trunk.family,
        "seed": trunk.train.seed,
        "variant": variant,
        "d_model": model.d_model,
        "n_layers": model.n_layers,
        "params": sizes.params,
        "params_non_embedding": sizes.non_embedding,
        "params_total": sizes.total,
        "batch_rows": trunk.train.batch_rows,
        "learning_rate": trunk.train.learning_rate,
        **facts,
        **({} if unique is None else {"unique_tokens": unique}),
        "level_flops": point.flops,
        "train_flops": 6 * sizes.params * facts["tokens"],
        "train_flops_exact": count.train_flops(model)
        * facts["steps"]
        * (trunk.train.batch_rows or 0)
        * model.seq_len,
        **losses,
        "source": card["source"],
        "versions": " ".join(f"{name}-{v}" for name, v in sorted(card["versions"].items())),
    }
    place = point_folder(out, point.run, variant)
    partial = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}")
    checkpoint.save_params(
        partial / "params", params, {**card, **facts, "run": point.run, "variant": variant}
    )
    if answers is not None:
        np.savez(partial / "nll.npz", nll=answers.astype(np.float32))
    write_text(partial / "point.json", json.dumps(row, indent=1) + "\n")
    try:
        os.rename(partial, place)
    except OSError:
        # another process, which was thought dead, was faster: what it wrote is the same
        shutil.rmtree(partial)


@functools.lru_cache(maxsize=1)
def _exam(material: Material, preset: Preset, seq_len: int) -> Any:
    """The questions, packed once for all points of a worker."""
    from t2jax.trainer.exam import Exam

    questions = material.asked(preset)
    assert questions is not None
    return Exam(questions, seq_len)


def _measured(
    plan: LadderPlan, model: Any, params: Any
) -> tuple[np.ndarray | None, dict[str, float]]:
    """NLL of every question, if there are any, and the columns that tell the losses.

    `nll_mean` is the mean over the tasks of the headline; the others are beside it.
    """
    from t2jax.trainer import evaluate
    from t2jax.trainer.exam import held_out_loss

    held_out = plan.material.held_out(plan.preset.held_out_rows)
    losses = {"held_out_loss": held_out_loss(params, model, held_out)}
    questions = plan.material.asked(plan.preset)
    if questions is None:
        return None, losses
    nll = _exam(plan.material, plan.preset, model.seq_len).likelihood(params, model)
    means = {task: float(mean) for task, mean in evaluate.task_means(questions, nll).items()}
    losses["nll_mean"] = float(np.mean([mean for task, mean in means.items() if headline(task)]))
    return nll, losses | {f"nll_{task}": mean for task, mean in means.items()}


def _tune(out: pathlib.Path, plan: LadderPlan, job: Job, report: Any) -> None:
    """Finetune the points of a trunk in both ways, as far as they are missing."""
    from t2jax.trainer import checkpoint, finetune

    trunk, preset = job.trunk, plan.preset
    check_rows(plan)
    corpus = Corpus(preset.corpus)
    wanted = [(run, v) for run in job.runs for v in STAGES[job.stage] if not has(out, run, v)]
    for number, (run, variant) in enumerate(wanted, start=1):
        begun, cpu = time.monotonic(), time.process_time()
        point = next(point for point in trunk.points if point.run == run)
        base = point_folder(out, run, "base")
        model, params, card = checkpoint.load_params(base / "params")
        result = finetune.finetune(
            params, model, corpus, mode=variant, pool=preset.finetune_questions
        )
        facts = json.loads((base / "point.json").read_text("utf-8"))
        write_point(
            out,
            plan,
            trunk,
            point,
            variant,
            result.params,
            card,
            {name: facts[name] for name in ("tokens", "steps", "schedule", "train_loss")}
            | {
                "finetune_tokens": result.document_tokens,
                "finetune_steps": result.steps,
                "finetune_dev_nll": result.dev_nll,
                "finetune_converged": result.converged,
            },
        )
        report(
            Advance(
                share=number / len(wanted),
                run=point_folder(out, run, variant).name,
                seconds=time.monotonic() - begun,
                cpu_seconds=time.process_time() - cpu,
                tokens=result.spent_tokens,
            )
        )
