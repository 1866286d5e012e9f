"""What a ladder will train and what it will cost, before anything is spent.

A trunk is one size and seed trained at a constant rate and batch. From each of its branch steps
a copy of the state is cooled down to a point: the checkpoint of one token budget. Trunk and
branches cost 1.2 D_max where separate runs would cost the sum of all D.
"""

import dataclasses
import hashlib
import json
import math

import numpy as np

from t2jax.errors import InputError
from t2jax.trainer.config import ModelConfig, TrainConfig, default_warmup_tokens
from t2jax.trainer.ladder.material import BuiltIn, Material, OwnText
from t2jax.trainer.ladder.presets import Preset, Size

__all__ = [
    "LadderPlan",
    "Point",
    "Shard",
    "Trunk",
    "plan_ladder",
    "tokens_per_second",
    "tuning_seconds",
]

# Training tokens per second of one core, by N, without what a step costs besides: measured with
# rows of 64 tokens.
_TOKENS_PER_SECOND = (
    (900.0, 300e3),
    (2560.0, 240e3),
    (8192.0, 145e3),
    (28672.0, 88e3),
    (106496.0, 40e3),
    (233472.0, 18e3),
    (455e3, 12e3),
)
_SECONDS_PER_STEP = 4e-4  # whatever the batch
_SECONDS_PER_POINT = 2.0  # evaluation and writing
_SECONDS_PER_TRUNK = 6.0  # compilation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One checkpoint of the ladder."""

    run: str  # its name
    flops: float  # level of training FLOPs, 6ND, that it stands for
    branch: int  # step at which it leaves the trunk
    stop: int  # step at which it is done
    tokens: float  # D expected; the exact count is made while training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk:
    """One size, seed and batch, and the points that branch off it."""

    name: str  # its name
    family: str  # size and seed, as the tables call the trunk: its batches share data and start
    train: TrainConfig  # of the longest point
    points: tuple[Point, ...]  # ascending in tokens
    seconds: float  # expected on one core

    @property
    def params(self) -> int:
        """N: matrices and unembedding."""
        return self.train.model.params


@dataclasses.dataclass(frozen=True, kw_only=True)
class LadderPlan:
    """All trunks of a ladder, in the order of its tables."""

    preset: Preset
    trunks: tuple[Trunk, ...]
    source: str = ""  # fingerprint of the rows
    text: OwnText | None = None  # trained on in place of the preset's corpus

    @property
    def material(self) -> Material:
        """What is trained on and asked."""
        return BuiltIn(self.preset.corpus) if self.text is None else self.text

    @property
    def points(self) -> tuple[tuple[Trunk, Point], ...]:
        """Every point with its trunk, in the order of the tables."""
        return tuple((trunk, point) for trunk in self.trunks for point in trunk.points)

    @property
    def seconds(self) -> float:
        """Core-seconds expected."""
        return sum(trunk.seconds for trunk in self.trunks)

    @property
    def decades(self) -> float:
        """Decades of training FLOPs between the cheapest and the dearest level."""
        levels = [point.flops for _, point in self.points]
        return math.log10(max(levels) / min(levels))

    def wall_seconds(self, workers: int) -> float:
        """Seconds expected where whoever is free takes the longest trunk that is left."""
        loads = [0.0] * workers
        for seconds in sorted((trunk.seconds for trunk in self.trunks), reverse=True):
            loads[loads.index(min(loads))] += seconds
        return max(loads)

    def overtrained(self, ratio: float = 200.0) -> int:
        """How many points have more than `ratio` tokens per parameter."""
        return sum(point.tokens / trunk.params > ratio for trunk, point in self.points)

    def fingerprint(self) -> str:
        """Changes when any setting of any point changes; kept with the results."""
        settled = {
            "trunks": [dataclasses.asdict(t) | {"seconds": None} for t in self.trunks],
            "questions": [self.preset.questions, self.preset.long_questions],
            "held_out": self.preset.held_out_rows,
            "corpus": self.material.name,
            "source": self.source,
        }
        text = json.dumps(settled, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def summary(self, workers: int = 1, *, finetune: bool = False) -> str:
        """The plan as a table, with its cost."""
        lines = [
            f"{'trunk':12} {'params':>9} {'rows':>5} {'rate':>6} {'points':>6} "
            f"{'tokens':>17} {'tokens/param':>15} {'core-s':>7}"
        ]
        for trunk in self.trunks:
            first, last = trunk.points[0], trunk.points[-1]
            n = trunk.params
            lines.append(
                f"{trunk.name:12} {n:9,} {trunk.train.batch_rows:5} "
                f"{trunk.train.learning_rate:6.3f} {len(trunk.points):6} "
                f"{f'{first.tokens / 1e6:.2f}-{last.tokens / 1e6:.2f}M':>17} "
                f"{f'{first.tokens / n:.3g}-{last.tokens / n:.4g}':>15} {trunk.seconds:7.0f}"
            )
        longest, wall = max(trunk.seconds for trunk in self.trunks), self.wall_seconds(workers)
        lines.append(
            f"{len(self.points)} checkpoints of {len(self.trunks)} trunks over {self.decades:.2f} "
            f"decades of training FLOPs, {self.overtrained()} beyond 200 tokens per parameter"
        )
        lines.append(
            f"about {self.seconds:,.0f} core-seconds, {wall / 60:.1f} minutes with {workers} "
            f"worker{'s' * (workers > 1)}; the longest trunk {longest:,.0f} s"
        )
        if finetune:
            more = sum(map(tuning_seconds, self.trunks))
            lines.append(f"finetuning every checkpoint in both ways: {more:,.0f} core-seconds more")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One of several equal shares of a ladder; shares of one plan have no trunk in common.

    >>> Shard.read("3/16")
    Shard(index=3, count=16)
    """

    index: int  # from 0, as job arrays count
    count: int  # shares

    def __post_init__(self):
        if not 0 <= self.index < self.count:
            raise InputError(
                f"there is no shard {self.index} of {self.count}",
                remedy="count them from 0: 0/16 to 15/16",
            )

    @classmethod
    def read(cls, text: str) -> "Shard":
        """The shard that is written `3/16`.

        Raises:
          InputError: it is written otherwise.
        """
        index, slash, count = text.partition("/")
        if not (slash and index.strip().isdecimal() and count.strip().isdecimal()):
            raise InputError(f"--shard is '{text}'", remedy="write it as 3/16, counting from 0")
        return cls(index=int(index), count=int(count))

    @property
    def number(self) -> str:
        """Its name in names of files."""
        return f"{self.index}of{self.count}"

    def of(self, plan: LadderPlan) -> LadderPlan:
        """The share: the longest trunk that is left goes to whoever has the least to do.

        The same for everybody who has the plan.
        """
        loads = [0.0] * self.count
        mine = set()
        for trunk in sorted(plan.trunks, key=lambda trunk: (-trunk.seconds, trunk.name)):
            place = loads.index(min(loads))
            loads[place] += trunk.seconds
            if place == self.index:
                mine.add(trunk.name)
        kept = tuple(trunk for trunk in plan.trunks if trunk.name in mine)
        return dataclasses.replace(plan, trunks=kept)


def plan_ladder(
    preset: Preset,
    *,
    tokens_per_row: float,
    seq_len: int,
    vocab_size: int,
    seeds: int | None = None,
    time_budget: float | None = None,
    workers: int = 1,
    source: str = "",
    text: OwnText | None = None,
) -> LadderPlan:
    """The trunks and points of a preset.

    At a level C of training FLOPs the sizes N in `[N*/below, N* above]` are taken, where
    `N* = sqrt(C / (6 ratio))` and `D = C / 6N` stays under the caps.

    Args:
      preset: the rule.
      tokens_per_row: mean loss tokens of a row.
      seq_len: tokens of a row.
      vocab_size: words of the corpus.
      seeds: seeds of every size, in place of the preset's.
      time_budget: seconds; the dearest levels are left out until the rest fits.
      workers: processes that share them.
      source: fingerprint of the rows.
      text: what is trained on in place of the preset's corpus.

    Returns:
      The plan, sizes ascending and seeds within them.

    Raises:
      InputError: no level fits, or there is no seed.
    """
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds is {seeds}", remedy="give at least 1")
    levels = preset.levels
    while levels:
        trunks = [
            trunk
            for size in preset.sizes
            for trunk in _trunks(preset, size, levels, tokens_per_row, seq_len, vocab_size, seeds)
        ]
        plan = LadderPlan(preset=preset, trunks=tuple(trunks), source=source, text=text)
        if trunks and (time_budget is None or plan.wall_seconds(workers) <= time_budget):
            return plan
        levels = levels[:-1]
    limit = "its caps" if time_budget is None else f"{time_budget:g} seconds"
    raise InputError(
        f"not even the cheapest level of '{preset.name}' fits in {limit}",
        remedy="give a longer --time-budget or a smaller --preset",
    )


def _trunks(
    preset: Preset,
    size: Size,
    levels: tuple[float, ...],
    tokens_per_row: float,
    seq_len: int,
    vocab_size: int,
    seeds: int | None,
) -> list[Trunk]:
    model = ModelConfig(
        d_model=size.d_model,
        n_layers=size.n_layers,
        head_dim=size.head_dim,
        vocab_size=vocab_size,
        seq_len=seq_len,
        compute_dtype=preset.compute_dtype,
    )
    trunks = []
    for seed in range(preset.seeds_of(model.params) if seeds is None else seeds):
        cap = min(preset.max_tokens, preset.repeat_tokens if seed else math.inf)
        wanted = [level for level in levels if _suits(preset, model.params, level, cap)]
        for place, group in enumerate(_groups(model, wanted, tokens_per_row)):
            trunk = _trunk(preset, model, seed, group, tokens_per_row, "-long" * place)
            if trunk is not None:
                trunks.append(trunk)
    return trunks


def _suits(preset: Preset, params: int, flops: float, cap: float) -> bool:
    """Whether a size is wanted at a level."""
    relative = params / math.sqrt(flops / (6 * preset.ratio))
    return 1 / preset.below <= relative <= preset.above and flops / (6 * params) <= cap


def _rows(model: ModelConfig, flops: float, tokens_per_row: float) -> int:
    """Rows of a step that suit the shortest point of a trunk."""
    run = TrainConfig(model=model, tokens=flops / (6 * model.params)).filled(tokens_per_row)
    assert run.batch_rows is not None
    return run.batch_rows


def _groups(model: ModelConfig, levels: list[float], tokens_per_row: float) -> list[list[float]]:
    """Levels of one size that share a trunk.

    A short run wants a small batch, with which a long one would be slow and no better. So one
    eight times as long begins another trunk where the rule gives it twice the batch, which costs
    little: the first trunk ends there.
    """
    groups: list[list[float]] = []
    for flops in levels:
        if groups:
            shortest = groups[-1][0]
            rows, before = (_rows(model, c, tokens_per_row) for c in (flops, shortest))
            if flops < 8 * shortest or rows < 2 * before or len(groups) == 2:
                groups[-1].append(flops)
                continue
        groups.append([flops])
    return groups


def _trunk(
    preset: Preset,
    model: ModelConfig,
    seed: int,
    levels: list[float],
    tokens_per_row: float,
    suffix: str,
) -> Trunk | None:
    """One trunk with a point for each level, or None where every level is too short."""
    n = model.params
    family = f"d{model.d_model}x{model.n_layers}-s{seed}"
    # One batch for all points of a trunk, so small that the shortest has steps enough.
    rows = _rows(model, levels[0], tokens_per_row)
    per_chunk = rows * tokens_per_row * preset.chunk
    points = []
    for flops in levels:
        chunks = round(flops / (6 * n) / per_chunk)
        if chunks < preset.min_chunks:
            continue
        cooling = max(1, round(preset.cooldown * chunks))
        points.append(
            Point(
                run=f"{family}-{flops:.2e}".replace("e+", "e"),
                flops=flops,
                branch=(chunks - cooling) * preset.chunk,
                stop=chunks * preset.chunk,
                tokens=chunks * per_chunk,
            )
        )
    if not points:
        return None
    train = TrainConfig(
        model=model,
        seed=seed,
        tokens=points[-1].tokens,
        batch_rows=rows,
        # of the shortest point: a longer rise would leave it undertrained
        warmup_tokens=default_warmup_tokens(model, points[0].tokens),
        cooldown=preset.cooldown,
        chunk=preset.chunk,
    ).filled(tokens_per_row)
    trained = sum((p.stop - p.branch) for p in points) + points[-1].branch
    seconds = trained / preset.chunk * per_chunk / tokens_per_second(n)
    seconds += trained * _SECONDS_PER_STEP
    return Trunk(
        name=family + suffix,
        family=family,
        train=train,
        points=tuple(points),
        seconds=seconds + _SECONDS_PER_POINT * len(points) + _SECONDS_PER_TRUNK,
    )


def tuning_seconds(trunk: Trunk) -> float:
    """Core-seconds expected for finetuning all points of a trunk in both ways."""
    return len(trunk.points) * (2.0 + trunk.params / 5e3)


def tokens_per_second(params: float) -> float:
    """Training tokens per second of one core, interpolated in log N between measurements.

    >>> round(tokens_per_second(8192))
    145000
    """
    sizes, rates = np.log(np.array(_TOKENS_PER_SECOND)).T
    slope = (rates[-1] - rates[-2]) / (sizes[-1] - sizes[-2])
    beyond = max(0.0, math.log(params) - sizes[-1])
    return float(np.exp(np.interp(math.log(params), sizes, rates) + slope * beyond))
