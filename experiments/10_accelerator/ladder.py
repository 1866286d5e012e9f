"""A ladder of larger models on one accelerator, in one sitting of a few minutes.

    python experiments/10_accelerator/ladder.py --out OUT            # minutes of one GPU
    python experiments/10_accelerator/ladder.py --out OUT --dry      # the same code, on a CPU

The text and the questions are those of the built-in ladder, in rows of 128 tokens, so that both
can be fitted together. Tables are written anew after every level of training FLOPs: whenever the
sitting ends, what is there is a whole ladder up to that level.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import math
import os
import pathlib
import sys
import time

import jax
import numpy as np
import pandas as pd

from t2jax.trainer import checkpoint, count, evaluate, schedule
from t2jax.trainer.config import (
    ModelConfig,
    TrainConfig,
    default_warmup_tokens,
)
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.exam import Exam, held_out_loss
from t2jax.trainer.fleet import Fleet, member
from t2jax.trainer.ladder import BuiltIn, preset

HELD_OUT_SEED = 1_000_003  # of the rows that no model trains on
COOLDOWN = 0.2  # share of a run over which its rate falls to 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rung:
    """One size of the ladder, and how it is trained."""

    d_model: int
    n_layers: int
    head_dim: int
    batch: float  # over 2048 * 160 * (N / 108e6)^(2/3) tokens
    rate: float = 0.6  # over .7 / d_model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """All that decides which checkpoints there are."""

    rungs: tuple[Rung, ...]
    levels: tuple[float, ...]  # training FLOPs, 6ND, ascending
    seeds: tuple[int, ...]
    chunk: int  # steps of one call of the compiled program
    min_steps: int  # of every run: shorter ones say more of their warm-up than of their size
    max_tokens: float  # of every run
    questions: int  # of each task
    long_questions: int  # of each task, with its longest answers
    held_out_rows: int
    sampled: int  # checkpoints of which answers are sampled as well
    samples: int  # of each question


FULL = Scale(
    rungs=(
        Rung(d_model=64, n_layers=4, head_dim=32, batch=0.5),
        Rung(d_model=96, n_layers=4, head_dim=32, batch=0.5),
        Rung(d_model=128, n_layers=4, head_dim=32, batch=0.5),
        Rung(d_model=192, n_layers=4, head_dim=64, batch=0.25),
        Rung(d_model=256, n_layers=6, head_dim=64, batch=0.25),
    ),
    levels=tuple(2.5e13 * 2**j for j in range(7)),
    seeds=(0, 1, 2),
    chunk=32,
    min_steps=1000,
    max_tokens=335e6,
    questions=300,
    long_questions=100,
    held_out_rows=4096,
    sampled=6,
    samples=64,
)
DRY = Scale(
    rungs=(
        Rung(d_model=8, n_layers=2, head_dim=8, batch=0.5),
        Rung(d_model=12, n_layers=2, head_dim=12, batch=0.5),
    ),
    levels=(6e8, 1.2e9),
    seeds=(0, 1),
    chunk=4,
    min_steps=40,
    max_tokens=60e3,
    questions=6,
    long_questions=2,
    held_out_rows=8,
    sampled=1,
    samples=4,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One level of one size: where the seeds leave their trunk, and where they are done."""

    flops: float
    branch: int
    stop: int


class Column:
    """One size: its seeds as one fleet, and the points that they pass."""

    def __init__(self, scale: Scale, rung: Rung, corpus: Corpus):
        shape = ModelConfig(
            d_model=rung.d_model,
            n_layers=rung.n_layers,
            head_dim=rung.head_dim,
            vocab_size=corpus.vocab_size,
            seq_len=corpus.seq_len,
            compute_dtype="bfloat16",
        )
        per_row = corpus.tokens_per_row
        tokens_a_step = rung.batch * 2048 * 160 * (shape.params / 108e6) ** (2 / 3)
        rows = max(1, round(tokens_a_step / per_row))
        self.points: list[Point] = []
        for flops in scale.levels:
            tokens = flops / (6 * shape.params)
            chunks = round(tokens / (rows * per_row * scale.chunk))
            cooling = max(1, round(COOLDOWN * chunks))
            if chunks * scale.chunk >= scale.min_steps and tokens <= scale.max_tokens:
                stop = chunks * scale.chunk
                self.points.append(
                    Point(flops=flops, branch=stop - cooling * scale.chunk, stop=stop)
                )
        if not self.points:
            raise ValueError(f"no level suits d_model {rung.d_model}")
        shortest = self.points[0].stop * rows * per_row
        self.config = TrainConfig(
            model=shape,
            tokens=self.points[-1].stop * rows * per_row,
            batch_rows=rows,
            learning_rate=rung.rate * min(0.7 / shape.d_model, 0.06),
            warmup_tokens=default_warmup_tokens(shape, shortest),
            chunk=scale.chunk,
        )
        self.name = f"d{rung.d_model}x{rung.n_layers}"
        self.fleet = Fleet(self.config, corpus, scale.seeds)
        self.warmup = schedule.warmup_steps(self.config, per_row)
        self.seconds_per_step = math.nan
        self.state = None
        self.step = 0
        self.tokens = np.zeros(len(scale.seeds), np.int64)

    def probe(self, chunks: int) -> None:
        """Measure the seconds of a step, on a state that is thrown away."""
        chunk = self.config.chunk
        state, _ = self.fleet.run(self.fleet.init(), chunk, schedule.trunk(self.warmup))
        begun = time.monotonic()
        self.fleet.run(state, chunk * (1 + chunks), schedule.trunk(self.warmup))
        self.seconds_per_step = (time.monotonic() - begun) / (chunk * chunks)

    def steps_to(self, point: Point) -> int:
        """Steps that a point takes from the point before it: along the trunk, and its cooldown."""
        before = max([p.branch for p in self.points if p.branch < point.branch], default=0)
        return point.stop - before

    def tokens_per_second(self) -> float:
        """Loss tokens of all seeds per second, as the probe found it."""
        per_step = (self.config.batch_rows or 0) * self.fleet.tokens_per_row
        return len(self.fleet.seeds) * per_step / self.seconds_per_step

    def train_to(self, point: Point):
        """Parameters, tokens and last losses of every seed at a point; the trunk goes on."""
        if self.state is None:
            self.state = self.fleet.init()
        trunk = schedule.trunk(self.warmup)
        self.state, seen = self.fleet.run(self.state, point.branch, trunk)
        self.tokens += seen.tokens.sum(1, dtype=np.int64)
        self.step = point.branch
        course = schedule.branch(self.warmup, point.branch, point.stop)
        copy = jax.tree.map(lambda x: x.copy(), self.state)
        end, seen = self.fleet.run(copy, point.stop, course)
        quarter = max(self.config.chunk, seen.loss.shape[1] // 4)
        weights = seen.tokens[:, -quarter:].astype(np.float64)
        last = (seen.loss[:, -quarter:] * weights).sum(1) / weights.sum(1)
        return end.params, self.tokens + seen.tokens.sum(1, dtype=np.int64), last


def resume_is_exact(column: Column, folder: pathlib.Path) -> bool:
    """Whether a state that went through a file trains on to the same bits."""
    chunk, trunk = column.config.chunk, schedule.trunk(column.warmup)
    state, _ = column.fleet.run(column.fleet.init(), 2 * chunk, trunk)
    checkpoint.save(folder, 2 * chunk, state, {})
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )
    on, _ = column.fleet.run(state, 4 * chunk, trunk)
    restored, _ = checkpoint.restore(folder, abstract)
    again, _ = column.fleet.run(restored, 4 * chunk, trunk)
    pairs = zip(jax.tree.leaves(on), jax.tree.leaves(again), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


class Tables:
    """Rows and answers that have been collected, and their files."""

    def __init__(self, out: pathlib.Path, corpus: Corpus, scale: Scale):
        self.out, self.corpus = out, corpus
        asking = dataclasses.replace(
            preset("full"), questions=scale.questions, long_questions=scale.long_questions
        )
        self.questions = BuiltIn("small").asked(asking)
        self.exam = Exam(self.questions, corpus.seq_len)
        held_out = Corpus(corpus.preset, seed=HELD_OUT_SEED, seq_len=corpus.seq_len)
        self.held_out = held_out.rows(0, scale.held_out_rows)
        self.rows: list[dict] = []
        self.nll: list[np.ndarray] = []
        self.counts: list[pd.DataFrame] = []

    def measure(self, column: Column, params) -> tuple[np.ndarray, float]:
        """NLL of the questions and loss of held-out rows; in float32, whatever it trained in."""
        shape = dataclasses.replace(column.config.model, compute_dtype="float32")
        with jax.default_matmul_precision("highest"):
            return self.exam.likelihood(params, shape), held_out_loss(params, shape, self.held_out)

    def add(self, column: Column, point: Point, params, tokens, last) -> None:
        """Evaluate every seed at a point."""
        shape, sizes = column.config.model, count.counts(column.config.model)
        for place, seed in enumerate(column.fleet.seeds):
            nll, held_out = self.measure(column, member(params, place))
            means = evaluate.task_means(self.questions, nll)
            main = [mean for task, mean in means.items() if not task.startswith("long-")]
            self.nll.append(nll.astype(np.float32))
            self.rows.append(
                {
                    "run": f"{column.name}-s{seed}-{point.flops:.2e}".replace("e+", "e"),
                    "trunk": f"{column.name}-s{seed}",
                    "seed": seed,
                    "d_model": shape.d_model,
                    "n_layers": shape.n_layers,
                    "params": sizes.params,
                    "params_non_embedding": sizes.non_embedding,
                    "params_total": sizes.total,
                    "batch_rows": column.config.batch_rows,
                    "seq_len": shape.seq_len,
                    "learning_rate": column.config.learning_rate,
                    "tokens": int(tokens[place]),
                    "steps": point.stop,
                    "train_loss": float(last[place]),
                    "held_out_loss": held_out,
                    "level_flops": point.flops,
                    "train_flops": 6.0 * sizes.params * int(tokens[place]),
                    "nll_mean": float(np.mean(main)),
                    **{f"nll_{task}": mean for task, mean in means.items()},
                }
            )

    def sample(self, column: Column, params, place: int, samples: int) -> dict:
        """Sampled successes of a seed at a point, beside their exact chances.

        Args:
          column: the size.
          params: of every seed at the point.
          place: row of the first seed at the point.
          samples: of each question.
        """
        run, nll = self.rows[place]["run"], self.nll[place].astype(np.float64)
        shape = dataclasses.replace(column.config.model, compute_dtype="float32")
        with jax.default_matmul_precision("highest"):
            successes = evaluate.sampled(
                member(params, 0), shape, self.questions, samples=samples, key=jax.random.key(7)
            )
        chance = np.exp(-nll)
        variance = samples * chance * (1 - chance)
        z = ((successes - samples * chance) / np.sqrt(variance + 1e-12))[variance > 1]
        self.counts.append(
            pd.DataFrame(
                {
                    "run": run,
                    "task": self.questions.task,
                    "question": self.questions.names,
                    "successes": successes,
                    "trials": samples,
                }
            )
        )
        found = {"run": run, "questions": len(z)}
        # Nothing to judge by where hardly an answer is ever right.
        return found | (
            {"mean_z": float(z.mean()), "variance_of_z": float(z.var())} if len(z) else {}
        )

    def write(self) -> None:
        """All files anew, each whole or not at all."""
        runs = pd.DataFrame(self.rows)
        _replace(self.out / "runs.csv", lambda path: runs.to_csv(path, index=False))
        questions = len(self.questions.task)
        long = {
            name: pd.Categorical(np.repeat(runs[name].to_numpy(), questions))
            if name in ("run", "trunk")
            else np.repeat(runs[name].to_numpy(), questions)
            for name in ("run", "trunk", "params", "tokens")
        }
        for name, values in (("task", self.questions.task), ("question", self.questions.names)):
            long[name] = pd.Categorical(np.tile(values, len(runs)))
        long["nll"] = np.concatenate(self.nll)
        table = pd.DataFrame(long)
        _replace(
            self.out / "questions.parquet",
            lambda path: table.to_parquet(path, compression="zstd", index=False),
        )
        if self.counts:
            counts = pd.concat(self.counts).merge(
                runs[["run", "trunk", "params", "tokens"]], on="run"
            )
            _replace(
                self.out / "counts.parquet",
                lambda path: counts.to_parquet(path, compression="zstd", index=False),
            )


def _replace(path: pathlib.Path, write) -> None:
    partial = path.with_name(f".{path.name}")
    write(partial)
    os.replace(partial, path)


def chosen(scale: Scale, corpus: Corpus, sizes, levels) -> list[Column]:
    """The columns of a sitting; a column trains alike whatever else is left out."""
    columns = [Column(scale, rung, corpus) for rung in scale.rungs]
    for column in columns:
        if levels:
            column.points = [p for p in column.points if p.flops in levels]
    return [c for c in columns if c.points and (not sizes or c.name in sizes)]


def levels_that_fit(columns: list[Column], levels, seconds: float, per_point: float):
    """The cheapest levels that all columns together finish in so many seconds."""
    fitting, spent = [], 0.0
    for level in levels:
        for column in columns:
            for point in column.points:
                if point.flops == level:
                    spent += column.steps_to(point) * column.seconds_per_step + per_point
        if spent > seconds:
            break
        fitting.append(level)
    return fitting, spent


class Journal:
    """What happened, on the console and as one file of JSON."""

    def __init__(self, out: pathlib.Path):
        self.path, self.begun, self.facts = out / "journal.json", time.monotonic(), {}

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.begun

    def say(self, text: str, **facts) -> None:
        """One line, and facts that are kept."""
        sys.stdout.write(f"{self.seconds:7.1f} s  {text}\n")
        sys.stdout.flush()
        self.facts |= facts
        self.path.write_text(json.dumps(self.facts, indent=1) + "\n", encoding="utf-8")


def versions() -> str:
    """Device and packages."""
    import importlib.metadata

    names = ("t2jax", "jax", "jaxlib", "flax", "optax", "numpy")
    found = " ".join(f"{name}-{importlib.metadata.version(name)}" for name in names)
    return f"{jax.devices()[0].device_kind}; {found}"


def main(arguments: list[str] | None = None) -> int:
    """The sitting: compile, probe, check, then level by level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--dry", action="store_true", help="a hundredth of the size")
    parser.add_argument("--stop-after", type=float, default=500.0, help="seconds of the sitting")
    parser.add_argument("--sizes", nargs="*", help="such as d64x4: these alone")
    parser.add_argument("--levels", nargs="*", type=float, help="training FLOPs: these alone")
    parser.add_argument("--after", type=pathlib.Path, help="file to wait for before training")
    args = parser.parse_args(arguments)
    scale = DRY if args.dry else FULL
    args.out.mkdir(parents=True, exist_ok=True)
    journal = Journal(args.out)
    journal.say(versions(), versions=versions(), command=" ".join(sys.argv), scale=repr(scale))
    corpus = Corpus("small", seq_len=128)
    columns = chosen(scale, corpus, args.sizes, args.levels)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        compiled = pool.map(lambda column: column.fleet.compile(), columns)
        tables = Tables(args.out, corpus, scale)
        first = pool.map(lambda c: tables.measure(c, member(c.fleet.init().params, 0)), columns)
        list(compiled), list(first)
    journal.say(
        f"{len(columns)} sizes compiled, {len(tables.questions.task)} questions packed",
        compile_seconds=journal.seconds, corpus=corpus.fingerprint(),
    )  # fmt: skip
    while args.after and not args.after.exists():
        time.sleep(0.1)
    for column in columns:
        column.probe(chunks=20)
        n = column.config.model.params
        journal.say(
            f"{column.name}: N {n:,}, {1e3 * column.seconds_per_step:.2f} ms a step, "
            f"{column.tokens_per_second():,.0f} tokens/s over {len(scale.seeds)} seeds, "
            f"{6 * n * column.tokens_per_second():.3g} FLOP/s"
        )
    rates = {c.name: [1e3 * c.seconds_per_step, c.tokens_per_second()] for c in columns}
    exact = resume_is_exact(columns[0], args.out.absolute() / ".resume")
    journal.say(f"a resumed run repeats the bits: {exact}", exact_resume=exact, probe=rates)
    left = args.stop_after - journal.seconds
    levels, expected = levels_that_fit(columns, scale.levels, left, per_point=0.3)
    journal.say(f"{len(levels)} of {len(scale.levels)} levels fit in {left:.0f} s ({expected:.0f})")
    finish = run_levels(scale, columns, levels, tables, journal, args.stop_after)
    journal.say(finish, finished=finish, total_seconds=journal.seconds, points=len(tables.rows))
    return 0


def run_levels(scale, columns, levels, tables, journal, stop_after) -> str:
    """Train level by level, the cheapest first, all trunks staying on the device."""
    last = []
    for level in levels:
        for column in columns:
            for point in (p for p in column.points if p.flops == level):
                wanted = column.steps_to(point) * column.seconds_per_step
                if journal.seconds + wanted > stop_after:
                    continue
                begun, place = time.monotonic(), len(tables.rows)
                params, tokens, losses = column.train_to(point)
                trained = time.monotonic() - begun
                tables.add(column, point, params, tokens, losses)
                if level == levels[-1]:
                    last.append((column, params, place))
                row = tables.rows[-1]
                journal.say(
                    f"{row['run']}: {row['tokens'] / 1e6:.1f}M tokens, {point.stop} steps, "
                    f"{trained:.1f} s ({wanted:.1f} expected) + "
                    f"{time.monotonic() - begun - trained:.1f} s; train {row['train_loss']:.4f}, "
                    f"held out {row['held_out_loss']:.4f}, questions {row['nll_mean']:.3f} nats"
                )
        tables.write()
        journal.say(f"level {level:.3g}: tables of {len(tables.rows)} checkpoints written")
    drawn: list[dict] = []
    for column, params, place in last[: scale.sampled]:
        if journal.seconds < stop_after:
            drawn.append(tables.sample(column, params, place, scale.samples))
            tables.write()
            journal.say(f"sampled {drawn[-1]}", sampled=drawn)
    return f"{len(tables.rows)} checkpoints"


if __name__ == "__main__":
    sys.exit(main())
