"""`t2jax ladder`: many sizes and token budgets trained, evaluated and tabulated."""

import dataclasses
import json
import pathlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

from t2jax.cli import _terminal
from t2jax.cli._options import arg
from t2jax.errors import InputError, Stopped

if TYPE_CHECKING:
    from t2jax.trainer.ladder import LadderPlan, LadderResult, OwnText, Progress, Shard

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Train a ladder of checkpoints, on the corpus or your text, and write the tables of `plan`.

    Prints the plan and its cost first. Stopped or killed, it goes on with --resume.

    Example: t2jax ladder --preset smoke --out ladder/
    """

    preset: Annotated[str, arg("smoke, ci, laptop, full or pod", "NAME")] = "ci"
    out: Annotated[str, arg("folder of the ladder", "FOLDER", "-o")] = "ladder"
    seeds: Annotated[int | None, arg("seeds of every size, in place of the preset's", "N")] = None
    workers: Annotated[int | None, arg("processes; one for each core", "N")] = None
    time_budget: Annotated[
        float | None, arg("seconds: dear levels are left out until the plan fits", "SECONDS")
    ] = None
    finetune: Annotated[bool, arg("afterwards finetune every point, in both ways")] = False
    resume: Annotated[bool, arg("go on with a folder that was begun")] = False
    data: Annotated[
        str, arg("your text in place of the corpus: .jsonl, .txt, .npy, .bin or a folder", "PATH")
    ] = ""
    questions: Annotated[
        str, arg("with --data: JSONL of prompts and answers that each checkpoint is asked", "FILE")
    ] = ""
    tokenizer: Annotated[str, arg("bytes, or a tokenizer.json; for --data", "NAME")] = "bytes"
    seq_len: Annotated[int, arg("tokens of a row; for --data", "T")] = 256
    token_dtype: Annotated[str, arg("of a .bin file: uint16, uint32, int32, int64", "NAME")] = (
        "uint16"
    )
    shard: Annotated[
        str, arg("train share I of N only, from 0, beside the others in one folder", "I/N")
    ] = ""
    merge: Annotated[bool, arg("write the tables of what the shards have finished")] = False
    submit: Annotated[
        str, arg("hand the shards to a scheduler: slurm, or local to try it", "CLUSTER")
    ] = ""
    shards: Annotated[int, arg("jobs that --submit makes", "N")] = 1
    job: Annotated[
        str, arg("options of each job: slurm_partition=gpu,timeout_min=240", "NAME=VALUE,...")
    ] = ""
    dry_run: Annotated[bool, arg("print the plan and stop")] = False
    json: Annotated[bool, arg("print one JSON object instead of text")] = False

    def run(self) -> None:
        """Plan, say what it costs, train, say where the tables are."""
        from t2jax.trainer import ladder

        shard = self._shard()
        workers = ladder.chosen_workers(self.workers)
        plan = self._plan(workers * (shard.count if shard else self.shards))
        share = shard.of(plan) if shard else plan
        if not self.json and share.trunks:
            _terminal.say(share.summary(workers, finetune=self.finetune))
        if self.dry_run:
            if self.json:
                _terminal.say(json.dumps(_told(share, workers)))
            return
        if self.resume and not (pathlib.Path(self.out) / "ladder.json").exists():
            _terminal.announce(f"{self.out} holds no ladder to go on with: one is begun there")
        sys.stdout.flush()
        if self.submit:
            self._submit()
            return
        try:
            result = self._train(plan, workers, shard)
        except KeyboardInterrupt as ended:
            stopped = isinstance(ended, Stopped)
            how = "stopped by SIGTERM" if stopped else "interrupted"
            _terminal.complain(
                f"{how}; finished checkpoints and their tables are in {self.out}, and "
                f"{self._again} does the rest"
            )
            raise SystemExit(143 if stopped else 130) from None
        self._report(result, workers)

    @property
    def _again(self) -> str:
        """What goes on."""
        return "the same command" if self.shard else "the same command with --resume"

    def _shard(self) -> "Shard | None":
        from t2jax.trainer.ladder import Shard

        if bool(self.shard) + self.merge + bool(self.submit) > 1:
            raise InputError(
                "--shard, --merge and --submit are three ways to go on",
                remedy="give one of them",
            )
        if self.shards != 1 and not self.submit:
            raise InputError("--shards says nothing without --submit", remedy="give --shard I/N")
        return Shard.read(self.shard) if self.shard else None

    def _plan(self, workers: int) -> "LadderPlan":
        """The whole plan; several shards have workers in all."""
        from t2jax.trainer import ladder

        preset = ladder.preset(self.preset)
        text = self._text()
        return ladder.plan_ladder(
            preset,
            **ladder.shape(text or ladder.BuiltIn(preset.corpus)),
            seeds=self.seeds,
            time_budget=self.time_budget,
            workers=workers,
            text=text,
        )

    def _text(self) -> "OwnText | None":
        from t2jax.trainer.ladder import OwnText

        if not self.data:
            for name in ("questions", "tokenizer", "seq_len"):
                if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                    flag = name.replace("_", "-")
                    raise InputError(
                        f"--{flag} says nothing without --data", remedy="give --data FILE as well"
                    )
            return None
        if self.finetune:
            raise InputError(
                "--finetune needs the built-in corpus, whose questions have a pool of others",
                remedy="leave it out, and finetune single checkpoints with t2jax finetune",
            )
        return OwnText(
            path=str(pathlib.Path(self.data).absolute()),
            tokenizer=self.tokenizer,
            seq_len=self.seq_len,
            token_dtype=self.token_dtype,
            questions=str(pathlib.Path(self.questions).absolute()) if self.questions else "",
        )

    def _submit(self) -> None:
        """Make the shards jobs of a scheduler."""
        from t2jax.cli import _submit

        words = ["ladder"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("submit", "shards", "job", "resume") or value == field.default:
                continue
            flag = "--" + field.name.replace("_", "-")
            words += [flag] if value is True else [flag, str(value)]
        _submit.submit(words, self.submit, self.shards, self.job, self.out)

    def _report(self, result: "LadderResult", workers: int) -> None:
        if self.json:
            done = {
                "folder": str(result.folder),
                "done": result.done,
                "total": result.total,
                "tables": [str(path) for path in result.tables],
            }
            _terminal.say(json.dumps(_told(result.plan, workers) | done))
            return
        _terminal.say(f"{result.done} of {result.total} checkpoints in {self.out}")
        for path in result.tables:
            _terminal.say(f"  {path.name}")
        if self.shard and result.complete and not result.tables:
            _terminal.say("other shards are not done; the last of them writes the tables")
        if not result.complete and not self.merge:
            _terminal.say(f"the time was up; {self._again} does the rest")

    def _train(self, plan: "LadderPlan", workers: int, shard: "Shard | None") -> "LadderResult":
        from t2jax.trainer import ladder

        if self.merge:
            return ladder.merge(plan, self.out, finetune=self.finetune)
        try:
            return ladder.run_ladder(
                plan,
                self.out,
                workers=workers,
                resume=self.resume,
                finetune=self.finetune,
                stop_after=self.time_budget,
                shard=shard,
                progress=_draw,
            )
        finally:
            if sys.stderr.isatty():
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


def _told(plan: "LadderPlan", workers: int) -> dict[str, Any]:
    """The plan as JSON carries it: every checkpoint, and what all of them cost."""
    points = [
        {"params": trunk.params, "tokens": point.tokens, "train_flops": point.flops}
        for trunk, point in plan.points
    ]
    return {"checkpoints": points, "core_seconds": plan.seconds,
            "wall_seconds": plan.wall_seconds(workers), "workers": workers}  # fmt: skip


def _draw(progress: "Progress") -> None:
    """A bar on a terminal, a line for every finished checkpoint elsewhere."""
    left = progress.seconds_left
    remaining = f"{left / 60:.1f} min left" if left < float("inf") else ""
    if sys.stderr.isatty():
        filled = int(24 * progress.share)
        bar = "=" * filled + " " * (24 - filled)
        sys.stderr.write(f"\r[{bar}] {progress.done}/{progress.total}, {remaining} \x1b[K")
    elif progress.name:
        sys.stderr.write(f"{progress.done}/{progress.total} {progress.name}, {remaining}\n")
    sys.stderr.flush()
