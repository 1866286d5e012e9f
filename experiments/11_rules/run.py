"""Which batch and learning rate suit every length of training, and what the old rules cost.

    python experiments/11_rules/run.py --table FOLDER/sweep.csv     # trains what is missing
    python experiments/11_rules/run.py                              # the card, from results/

A recipe is one trunk at constant rate with a cooldown for each length, as in a ladder. The only
state is the table: a recipe whose rows are there is skipped, so a sweep may be stopped and begun
again at any time.
"""

import argparse
import csv
import dataclasses
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).parent
TABLE = HERE / "results" / "sweep.csv"
HELD_OUT_SEED = 1_000_003  # of rows that no model trains on
OLD_RATE = 0.7  # over d_model, at most .06: the rate that a factor of 1 stands for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One trunk: a size, and how it is trained."""

    d_model: int
    batch: float  # over 2048 * 160 * (N / 108e6)^(2/3) tokens
    rate: float  # over min(.7 / d_model, .06)
    ratios: tuple[float, ...]  # tokens per parameter
    seed: int = 0
    warmup: float = 0.05  # of the shortest length
    cooldown: float = 0.2

    @property
    def name(self) -> str:
        """What its rows are called."""
        return (
            f"d{self.d_model}-b{self.batch:g}-r{self.rate:g}-w{self.warmup:g}"
            f"-c{self.cooldown:g}-s{self.seed}-to{self.ratios[-1]:g}"
        )


def _grid(d_model, ratios, pairs, **more):
    return [Recipe(d_model=d_model, batch=b, rate=r, ratios=ratios, **more) for b, r in pairs]


RULE = 0.0  # as batch and rate: those that the trainer takes unless told otherwise
SHORT, MIDDLE, LONG = (14.0,), (14.0, 50.0, 105.0), (14.0, 50.0, 100.0, 200.0, 400.0)
_SQUARE = [(b, r) for b in (1.0, 0.5, 0.25) for r in (1.0, 0.6)]
RECIPES = (
    *_grid(8, LONG, [*_SQUARE, (1.0, 0.36), (0.5, 0.36), (0.25, 0.36)]),
    *_grid(64, SHORT, [(1.0, 1.0), (0.5, 0.6), (0.25, 0.6)]),
    *_grid(32, MIDDLE, [(1.0, 1.0), (0.5, 0.6), (0.25, 0.6)]),
    *_grid(16, LONG, [(1.0, 1.0), (0.5, 0.6), (0.25, 0.6), (0.5, 1.0), (1.0, 0.6)]),
    *_grid(64, SHORT, [(0.125, 0.6), (0.25, 0.36), (0.25, 1.0), (0.125, 0.36), (0.5, 1.0)]),
    *_grid(32, MIDDLE, [(0.25, 0.36), (0.5, 0.36), (0.125, 0.36), (0.5, 1.0)]),
    *_grid(16, LONG, [(0.25, 1.0), (0.25, 0.36), (0.5, 0.36)]),
    # the rise and the fall of the rate, at the shortest length
    *_grid(16, SHORT, [(0.5, 0.6)], warmup=0.025),
    *_grid(16, SHORT, [(0.5, 0.6)], warmup=0.15),
    *_grid(16, SHORT, [(0.5, 0.6)], cooldown=0.4),
    *_grid(32, SHORT, [(0.25, 0.6)], warmup=0.025),
    *_grid(32, SHORT, [(0.25, 0.6)], warmup=0.15),
    *_grid(32, SHORT, [(0.25, 0.6)], cooldown=0.4),
    *_grid(32, LONG, [(0.5, 0.6), (0.25, 0.6)]),
    *_grid(64, (56.0,), [(0.25, 0.6), (0.5, 0.6)]),
    *_grid(8, LONG, [(1.0, 1.0), (1.0, 0.6), (0.5, 0.6), (0.25, 0.6)], seed=1),
    *_grid(16, LONG, [(1.0, 1.0), (0.5, 0.6), (0.25, 0.6)], seed=1),
    # what the rules of t2jax/trainer/config.py make of each length, which has a trunk of its own
    *(
        Recipe(d_model=d, batch=RULE, rate=RULE, ratios=(ratio,), seed=seed)
        for d, ratios, seeds in (
            (8, LONG, 2),
            (16, LONG, 2),
            (32, MIDDLE, 1),
            (64, (14.0, 56.0), 1),
        )
        for seed in range(seeds)
        for ratio in ratios
    ),
)
"""In the order in which they are trained: whenever the sweep ends, it says something."""


def train(recipe: Recipe):
    """Rows of a recipe, one for each length."""
    from t2jax.trainer import evaluate, schedule
    from t2jax.trainer.config import ModelConfig, TrainConfig, default_warmup_tokens
    from t2jax.trainer.corpus import Corpus
    from t2jax.trainer.exam import Exam, held_out_loss
    from t2jax.trainer.ladder import BuiltIn, preset
    from t2jax.trainer.train import Trainer, copy_state

    begun = time.process_time()
    model = ModelConfig(d_model=recipe.d_model, head_dim=min(16, recipe.d_model))
    corpus = Corpus("small", seed=recipe.seed)
    per_row, chunk = corpus.tokens_per_row, 16
    tokens_a_step = 2048 * 160 * (model.params / 108e6) ** (2 / 3)
    ruled = TrainConfig(model=model, tokens=recipe.ratios[0] * model.params).filled(per_row)
    rows, rate = ruled.batch_rows, ruled.learning_rate
    if recipe.batch != RULE:
        rows = max(1, round(recipe.batch * tokens_a_step / per_row))
        rate = recipe.rate * min(OLD_RATE / model.d_model, 0.06)
    stops = [round(r * model.params / (rows * per_row * chunk)) * chunk for r in recipe.ratios]
    config = TrainConfig(
        model=model,
        seed=recipe.seed,
        tokens=recipe.ratios[-1] * model.params,
        batch_rows=rows,
        learning_rate=rate,
        warmup_tokens=min(
            default_warmup_tokens(model, float("inf")),
            recipe.warmup * recipe.ratios[0] * model.params,
        ),
        chunk=chunk,
    )
    trainer = Trainer(config, corpus)
    warmup = schedule.warmup_steps(trainer.config, per_row)
    asking = dataclasses.replace(preset("full"), questions=150, long_questions=50)
    questions = BuiltIn("small").asked(asking)
    exam = Exam(questions, corpus.seq_len)
    held_out = Corpus("small", seed=HELD_OUT_SEED).rows(0, 1024)
    state, tokens = trainer.init(), 0
    for ratio, stop in zip(recipe.ratios, stops, strict=True):
        cooling = max(1, round(recipe.cooldown * stop / chunk)) * chunk
        state, seen = trainer.run(state, stop - cooling, schedule.trunk(warmup))
        tokens += int(seen.tokens.sum())
        course = schedule.branch(warmup, stop - cooling, stop)
        end, seen = trainer.run(copy_state(state), stop, course)
        means = evaluate.task_means(questions, exam.likelihood(end.params, model))
        now = time.process_time()
        yield {
            "recipe": recipe.name,
            **{k: v for k, v in dataclasses.asdict(recipe).items() if k != "ratios"},
            "ratio": ratio,
            "params": model.params,
            "batch_rows": rows,
            "learning_rate": config.learning_rate,
            "steps": stop,
            "tokens": tokens + int(seen.tokens.sum()),
            "held_out_loss": round(held_out_loss(end.params, model, held_out), 5),
            **{f"nll_{task}": round(float(mean), 4) for task, mean in means.items()},
            "cpu_seconds": round(now - begun, 2),
        }
        begun = now


def sweep(table: pathlib.Path) -> None:
    """Train what the table lacks; the rows of a recipe are written together."""
    table.parent.mkdir(parents=True, exist_ok=True)
    there = set()
    if table.exists():
        with table.open(newline="") as file:
            there = {row["recipe"] for row in csv.DictReader(file)}
    for recipe in RECIPES:
        if recipe.name in there:
            continue
        rows = list(train(recipe))
        with table.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            if not there:
                writer.writeheader()
            writer.writerows(rows)
        there.add(recipe.name)
        sys.stdout.write(f"{recipe.name}: {[row['held_out_loss'] for row in rows]}\n")
        sys.stdout.flush()


def card(table: pathlib.Path) -> str:
    """What the sweep says, as text."""
    import pandas as pd

    frame = pd.read_csv(table)
    usual = frame[(frame.warmup == 0.05) & (frame.cooldown == 0.2)]
    # a recipe that was trained to several lengths passes the shorter ones more than once
    usual = usual.drop_duplicates(["d_model", "ratio", "batch", "rate", "seed"], keep="last")
    lines = [
        f"{len(frame)} checkpoints of {frame.recipe.nunique()} trunks, "
        f"{frame.cpu_seconds.sum():,.0f} CPU-seconds",
        "held-out loss of seed 0, nats a token; batch and rate are shares of the old rule's",
        "",
        "   d   D/N  old rule  best of the sweep (batch, rate)  rule     rule over best",
    ]
    # the seed that every recipe has: between seeds lies more than between good recipes
    for (d_model, ratio), rows in usual[usual.seed == 0].groupby(["d_model", "ratio"]):
        means = rows.groupby(["batch", "rate"]).held_out_loss.mean()
        swept = means.drop((RULE, RULE), errors="ignore")
        if len(swept) < 2:
            continue
        (batch, rate), least = swept.idxmin(), swept.min()
        old, ruled = means.get((1.0, 1.0)), means.get((RULE, RULE))
        lines.append(
            f"{d_model:4} {ratio:5.0f}  {'' if old is None else f'{old:.3f}':>8}  "
            f"{least:.3f} ({batch:g}, {rate:g})".ljust(54)
            + ("" if ruled is None else f"{ruled:.3f}    {100 * (ruled / least - 1):+.1f}%")
        )
    lines += ["", "the rise and the fall of the rate, at 14 tokens a parameter"]
    for (d_model, batch, rate), rows in frame[frame.ratio == 14].groupby(
        ["d_model", "batch", "rate"]
    ):
        rows = rows[rows.seed == 0].drop_duplicates(["warmup", "cooldown"])
        if len(rows) > 2:
            each = (
                f"rise {r.warmup:g} fall {r.cooldown:g}: {r.held_out_loss:.3f}"
                for r in rows.itertuples()
            )
            lines.append(f"  d {d_model}, batch {batch:g}, rate {rate:g}: " + "; ".join(each))
    pairs = usual[usual.batch != RULE].pivot_table(
        index=["d_model", "ratio", "batch", "rate"], columns="seed", values="held_out_loss"
    )
    both = pairs.dropna()
    spread = (both[0] / both[1] - 1).abs() / 2**0.5
    lines += ["", f"between two seeds of one recipe: sd {100 * spread.mean():.1f}% of the loss"]
    return "\n".join(lines) + "\n"


def figure(table: pathlib.Path, path: pathlib.Path) -> None:
    """Held-out loss over the steps that a run has, a panel for each width."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import pandas as pd

    frame = pd.read_csv(table)
    usual = frame[(frame.warmup == 0.05) & (frame.cooldown == 0.2)]
    widths = sorted(usual.d_model.unique())
    drawn, axes = plt.subplots(1, len(widths), figsize=(3.1 * len(widths), 3.2), sharey=True)
    for axis, width in zip(axes, widths, strict=True):
        mine = usual[usual.d_model == width]
        for place, (ratio, rows) in enumerate(mine.groupby("ratio")):
            least = rows[rows.batch != RULE].held_out_loss.min()
            swept, ruled = rows[rows.batch != RULE], rows[rows.batch == RULE]
            colour = f"C{place}"
            excess = 100 * (swept.held_out_loss / least - 1)
            axis.scatter(swept.batch_rows, excess, 30 * swept.rate, colour, label=f"{ratio:g}")
            axis.scatter(
                ruled.batch_rows, 100 * (ruled.held_out_loss / least - 1), 90, colour, marker="_"
            )
        axis.set(xscale="log", title=f"d = {width}", xlabel="rows of a step")
        rows_of_a_step = sorted(mine.batch_rows.unique())
        axis.set_xticks(rows_of_a_step, labels=[f"{rows:g}" for rows in rows_of_a_step])
        axis.minorticks_off()
        axis.legend(title="tokens / parameter", fontsize="x-small", title_fontsize="x-small")
    axes[0].set_ylabel("held-out loss over the best, %")
    drawn.tight_layout()
    drawn.savefig(path, dpi=110)


def main() -> None:
    """Train the sweep, or say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=pathlib.Path, help="where to train what is missing")
    arguments = parser.parse_args()
    if arguments.table is None:
        (HERE / "results" / "card.txt").write_text(card(TABLE), encoding="utf-8")
        figure(TABLE, HERE / "results" / "sweep.png")
        return
    # One thread, read when JAX finds its devices: a sweep stands beside other work.
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ.update(XLA_FLAGS=flags, NPROC="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    sweep(arguments.table)


if __name__ == "__main__":
    main()
