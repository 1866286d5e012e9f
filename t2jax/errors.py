"""The ways t2jax says no, and the sentences it says with.

Every refusal is one line that names the place and the remedy.
The command line turns `T2Error.exit_code` into its own exit code.
"""

import enum

__all__ = ["InputError", "Refusal", "Status", "Stopped", "T2Error"]


def _one_line(text: str) -> str:
    """Text for a terminal: one line, with whatever does not print written as an escape."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


class T2Error(Exception):
    """Base of every error that t2jax raises on purpose."""

    exit_code = 1


class InputError(T2Error, ValueError):
    """The input is wrong: says where (file, row, column) and what to do.

    Args:
      problem: what is wrong, without a full stop.
      source: file or object the input came from.
      row: 1-based line of the file (the header is line 1), or None.
      row_word: what `row` counts: "line" of a text file, or "row" of a frame or Parquet file.
      column: column name, or None.
      remedy: what to do about it.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        source: str | None = None,
        row: int | None = None,
        row_word: str = "line",
        column: str | None = None,
        remedy: str | None = None,
    ):
        self.problem, self.source, self.row = problem, source, row
        self.column, self.remedy = column, remedy
        place = [str(source)] if source else []
        if row is not None:
            place.append(f"{row_word} {row}")
        if column is not None:
            place.append(f"column '{column}'")
        head = ", ".join(place)
        text = f"{head}: {problem}" if head else problem
        if remedy:
            text = f"{text}; {remedy}"
        super().__init__(_one_line(text))


class Refusal(T2Error):
    """The data cannot answer the question: says why, and which rows would answer it."""

    exit_code = 3

    def __init__(self, problem: str, *, remedy: str):
        self.problem, self.remedy = problem, remedy
        super().__init__(_one_line(f"{problem}; {remedy}"))


class Stopped(KeyboardInterrupt):
    """SIGTERM, which takes back what is half done as Ctrl-C does."""


class Status(enum.IntFlag):
    """What must be said beside a result; `sentences` turns a code into advice.

    A code is a sum of flags, so that it fits in an integer array and survives `jax.vmap`.
    """

    OK = 0
    NOT_CONVERGED = enum.auto()
    OUTSIDE_PARAMS = enum.auto()
    OUTSIDE_TOKENS = enum.auto()
    OUTSIDE_SAMPLES = enum.auto()
    OUTSIDE_RATIO = enum.auto()
    AT_MAX_PARAMS = enum.auto()
    AT_MAX_TOKENS = enum.auto()
    AT_ONE_SAMPLE = enum.auto()
    AT_SEARCH_EDGE = enum.auto()
    SEVERAL_MODES = enum.auto()
    OVER_INFERENCE = enum.auto()
    OUTSIDE_FLOPS = enum.auto()
    AT_MIN_PARAMS = enum.auto()
    UNREACHABLE = enum.auto()
    BUDGET_LEFT = enum.auto()
    OVER_TRAINING = enum.auto()
    BORROWED_REPETITION = enum.auto()
    UNCERTIFIED = enum.auto()
    UNTOLD_PARAMS = enum.auto()

    def sentences(self) -> list[str]:
        """The advice that goes with each flag that is set."""
        return [_SENTENCES[flag] for flag in Status if flag and flag in self]


_SENTENCES = {
    Status.NOT_CONVERGED: "the solver did not reach a stationary point: do not use this optimum",
    Status.OUTSIDE_PARAMS: "params lie outside the sizes in the table: this is extrapolation",
    Status.OUTSIDE_TOKENS: (
        "tokens lie outside the token counts in the table: this is extrapolation"
    ),
    Status.OUTSIDE_SAMPLES: (
        "samples lie outside the k the law was fitted on: this is extrapolation"
    ),
    Status.OUTSIDE_RATIO: "tokens per parameter lie outside the table: this is extrapolation",
    Status.AT_MAX_PARAMS: "the cap on params binds: a larger cap would lower the loss",
    Status.AT_MAX_TOKENS: "the cap on tokens binds: more data would lower the loss",
    Status.AT_ONE_SAMPLE: "the inference budget binds at one sample (k = 1)",
    Status.AT_SEARCH_EDGE: (
        "the law has no interior optimum here: it sits at the edge of the search"
    ),
    Status.SEVERAL_MODES: "the objective has a second optimum of nearly equal value",
    Status.OVER_INFERENCE: "one sample of this model already exceeds the inference budget",
    Status.OUTSIDE_FLOPS: "the training budget lies outside those in the table: "
    "this is extrapolation",
    Status.AT_MIN_PARAMS: "the least size allowed binds: a smaller model would be better",
    Status.UNREACHABLE: "no plan reaches the target",
    Status.OVER_TRAINING: "training this model costs more than the training budget",
    Status.BORROWED_REPETITION: "tokens repeat past the unique ones, at the decay published in "
    "arXiv:2305.16264 and not measured on these runs",
    Status.UNCERTIFIED: "the fit behind this is NOT CERTIFIED as a minimum: read its message first",
    Status.UNTOLD_PARAMS: "the 90% interval of params is wider than the sizes in the table: these "
    "rows do not tell the size",
    Status.BUDGET_LEFT: "the caps leave part of the budget unspent",
}
