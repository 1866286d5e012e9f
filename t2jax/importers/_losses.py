"""Histories of losses, one number a step, made into a loss table (floor 1, private)."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypedDict

import numpy as np

from t2jax.errors import InputError
from t2jax.importers._manifest import Manifest
from t2jax.importers._records import listing, show
from t2jax.observations import UNSTATED, Observations, from_columns

__all__ = ["History", "LossOptions", "Point"]


class LossOptions(TypedDict, total=False):
    """What every importer of losses takes besides its paths and runs.

    Attributes:
      step: "last", "all", or the number of a step: which losses of each history are read.
      tokens_per_step: tokens of a batch, where the history does not count tokens; by default the
        tokens of the table of runs belong to the last step.
      catalogue: a public ladder that knows params and tokens.
      params_definition: what N counts.
      progress: draw a bar on a terminal.
    """

    step: str | int
    tokens_per_step: float | None
    catalogue: str | None
    params_definition: str
    progress: bool


class Point(NamedTuple):
    """One loss of a history."""

    step: float
    loss: float
    tokens: float | None


class History:
    """The losses of several runs.

    Args:
      runs: the table of runs, as `Manifest.open` takes it.
      options: what the caller asked for.
      metric: what the loss is called, for messages.
    """

    def __init__(self, runs: Any, options: LossOptions, metric: str):
        unknown = set(options) - set(LossOptions.__annotations__)
        if unknown:
            raise InputError(
                f"no option '{min(unknown)}'",
                remedy=f"the options are {', '.join(LossOptions.__annotations__)}",
            )
        self.metric = metric
        self.step = _step(options.get("step", "last"))
        self.batch = options.get("tokens_per_step")
        if self.batch is not None and not (0 < self.batch < math.inf):
            raise InputError(f"tokens_per_step is {self.batch}", remedy="give a number above 0")
        self.progress = options.get("progress", True)
        given = options.get("params_definition", UNSTATED)
        self.manifest = Manifest.open(runs, options.get("catalogue"), given)
        self.notes: dict[str, None] = {}
        self._points: dict[tuple[str, ...], dict[float, Point]] = {}
        # Steps at which a run had no finite loss, as it diverged; of those that it went back on
        # the count only.
        self._bad: dict[tuple[str, ...], list[float]] = {}
        self._lost = 0

    def note(self, text: str) -> None:
        """Say something once beside the table."""
        self.notes[text] = None

    def add(self, names: Iterable[str], step: float, loss: float, tokens: float | None) -> None:
        """One loss; a later one at the same step, as a resumed run writes it, takes its place."""
        run = tuple(names)
        if not math.isfinite(loss):
            self._bad.setdefault(run, []).append(step)
            self._lost += 1
            return
        bad = self._bad.get(run)
        if bad and step <= max(bad):
            self._bad[run] = [one for one in bad if one < step]
        steps = self._points.setdefault(run, {})
        if step in steps and steps[step].loss != loss:
            self.note("where a run wrote a step twice, as after a restart, the later loss is read")
        steps[step] = Point(step, loss, tokens)

    def table(self, source: str) -> Observations:
        """The loss table.

        Raises:
          InputError: no loss, an unknown run, or no way from steps to tokens.
        """
        if not self._points:
            raise InputError(
                f"holds no finite {show(self.metric)}", source=source,
                remedy="name the loss with --metric",
            )  # fmt: skip
        if self._lost:
            self.note(f"left out losses that are not finite ({self._lost} rows)")
        without = [names[0] for names in self._bad if names not in self._points]
        if without:
            self.note(f"left out runs without a finite loss: {listing(without)}")
        columns: dict[str, list[Any]] = {
            name: [] for name in ("run", "trunk", "params", "tokens", "loss")
        }
        missing = []
        for names, points in self._points.items():
            found = self.manifest.find(names, None)
            if found is None:
                missing.append(names)
                continue
            end = self._end(names, points)
            for point in self._chosen(names[0], points, source):
                columns["run"].append(f"{found.run}@{point.step:.0f}" if self.step == "all"
                                      else found.run)  # fmt: skip
                columns["trunk"].append(found.trunk or found.run)
                columns["params"].append(found.params)
                columns["tokens"].append(self._tokens(point, end, found.tokens, source))
                columns["loss"].append(point.loss)
        if missing:
            raise self.manifest.unknown(missing, source)
        if self.step != "all" and len(set(columns["trunk"])) == len(columns["trunk"]):
            del columns["trunk"]
        if self.step == "all":
            self.note("losses before the end of a run lie on its schedule, not at the end of one")
        return from_columns(
            {
                name: (np.arange(len(values)), values)
                if name in ("run", "trunk")
                else np.array(values)
                for name, values in columns.items()
            },
            source=source,
            notes=tuple(self.notes),
            params_definition=self.manifest.definition,
        )

    def _end(self, names: tuple[str, ...], points: dict[float, Point]) -> float:
        """The last step that a run logged, whether its loss was finite there or not."""
        last = max(points)
        end = max([last, *self._bad.get(names, [])])
        if end > last:
            self.note(
                f"run {show(names[0])} ends in losses that are not finite: its last finite "
                f"one is of step {last:.0f} of {end:.0f}"
            )
        return end

    def _chosen(self, run: str, points: dict[float, Point], source: str) -> list[Point]:
        if self.step == "all":
            return [points[step] for step in sorted(points) if step > 0]
        if self.step == "last":
            return [points[max(points)]]
        assert isinstance(self.step, float)
        if self.step not in points:
            near = min(points, key=lambda step: abs(step - float(self.step)))
            raise InputError(
                f"run {show(run)} has no loss at step {self.step:.0f}",
                source=source,
                remedy=f"the nearest is step {near:.0f}",
            )
        return [points[self.step]]

    def _tokens(self, point: Point, end: float, total: float, source: str) -> float:
        """Tokens that a model had seen at a step."""
        if point.tokens is not None and point.tokens > 0:
            return point.tokens
        if self.batch is not None:
            # A loss of step s is of the batch after s updates; what is counted is what was read.
            return point.step * self.batch
        if point.step == end:
            return total
        if not end > 0:
            raise InputError("no step is above 0", source=source, remedy="give tokens_per_step")
        self.note("tokens of a step are its share of the run's tokens in the table of runs")
        return total * point.step / end


def _step(given: str | int) -> str | float:
    if given in ("last", "all"):
        return given
    try:
        step = float(given)
    except (TypeError, ValueError):
        step = math.nan
    if not step >= 0 or not math.isfinite(step):
        raise InputError(f"step is {show(given)}", remedy="use last, all, or a number")
    return step
