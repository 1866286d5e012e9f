"""What the fitter sees of a table: columns of numbers, as one pytree."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._typing import Floats, Ints
from t2jax.errors import InputError, Refusal
from t2jax.fitting.count_likelihood import Tally, tally, tally_of
from t2jax.laws import Centre, Law, spread_law
from t2jax.observations import Observations

__all__ = ["DEFAULT_SAMPLES", "Rows", "counts_rows", "sample_grid", "value_rows"]

DEFAULT_SAMPLES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
"""The k grid on which per-question likelihoods are summarised unless the caller names one."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Observed points of a law. Rows of one checkpoint at several k stand next to each other.

    Attributes:
      params: parameters [rows].
      tokens: training tokens [rows].
      samples: k [rows].
      unique_tokens: unique training tokens [rows]; infinite where nothing is repeated.
      value: loss in nats, or pass@k [rows].
      weight: how often the row counts [rows].
      place: which row of the table it is of [rows]; -1 of a row that only fills the columns.
      successes: solved attempts [rows, questions], for the count likelihood only.
      trials: attempts [rows, questions]; zero where a question was not asked.
      tally: the counts of each row's questions, weighed, for the likelihood.
      of_mean: the values are mean losses at one sample, which a linked law's own loss predicts.
    """

    params: Floats
    tokens: Floats
    samples: Floats
    unique_tokens: Floats
    value: Floats
    weight: Floats
    place: Ints
    successes: Floats | None = None
    trials: Floats | None = None
    tally: Tally | None = None
    of_mean: bool = dataclasses.field(default=False, metadata={"static": True})

    def predict(self, law: Law) -> Floats:
        """The law at every row."""
        told = law.base if self.of_mean else law
        return told(
            params=self.params,
            tokens=self.tokens,
            samples=self.samples,
            unique_tokens=self.unique_tokens,
        )

    def weighed(self, question_weight: Floats) -> "Rows":
        """The same rows with every question counted as often as its weight says [questions]."""
        assert self.successes is not None
        assert self.trials is not None
        assert self.tally is not None
        edges, kinds = self.tally.edges, self.tally.kinds
        counts = tally(self.successes, self.trials, question_weight, edges, kinds)
        return dataclasses.replace(self, tally=counts)

    def spread(self, law: Law) -> tuple[Floats, Floats]:
        """Beta parameters of every row's questions under a law of counts: a and b [rows]."""
        return spread_law(law, "be judged on counts").spread(
            params=self.params, tokens=self.tokens, unique_tokens=self.unique_tokens
        )

    def filled(self) -> "Rows":
        """The same rows and up to an eighth more of no weight, so that few lengths occur.

        A program is compiled for every length, which takes longer than it runs.
        """
        count = len(self.value)
        unit = max(8, (1 << count.bit_length()) >> 4)
        more = -count % unit
        if self.tally is not None or not more:
            return self
        rows = jax.tree.map(lambda x: jnp.asarray(np.pad(np.asarray(x), (0, more), "edge")), self)
        real = np.arange(count + more) < count
        weight, place = np.asarray(rows.weight), np.asarray(rows.place)
        return dataclasses.replace(
            rows, weight=jnp.asarray(np.where(real, weight, 0.0)),
            place=jnp.asarray(np.where(real, place, -1)),
        )  # fmt: skip

    def centre(self) -> Centre:
        """The centroid: means of the logs, and of the value as the stand-in for the loss."""
        return Centre(
            params=jnp.mean(jnp.log(self.params)),
            tokens=jnp.mean(jnp.log(self.tokens)),
            samples=jnp.mean(jnp.log(self.samples)),
            loss=jnp.mean(self.value),
        )


def sample_grid(
    runs: Observations, law: Law, samples: Sequence[float] | None
) -> tuple[float, ...] | None:
    """The k values to summarise questions at; None for a table that needs no summary."""
    if runs.kind == "loss":
        if samples is not None:
            raise InputError(
                "samples= chooses k for tables of questions, and this table holds losses",
                source=runs.source,
                remedy="leave samples out: a loss table brings its own column 'samples'",
            )
        return None
    if not law.uses_samples:
        return (1.0,)
    grid = DEFAULT_SAMPLES if samples is None else tuple(float(k) for k in samples)
    if runs.kind == "counts" and runs.trials is not None and samples is None:
        fewest = float(np.min(runs.trials[runs.trials > 0]))
        grid = tuple(k for k in grid if k <= fewest)
    if not grid or any(not k >= 1 for k in grid) or sorted(set(grid)) != list(grid):
        raise InputError(
            f"samples={list(grid)} is not a rising list of k >= 1", remedy="e.g. samples=[1,4,16]"
        )
    return grid


def _columns(runs: Observations, repeat: int) -> dict[str, np.ndarray]:
    unique = runs.unique_tokens
    if unique is None:
        unique = np.full(runs.n_rows, np.inf)
    columns = {"params": runs.params, "tokens": runs.tokens, "unique_tokens": unique,
               "place": np.arange(runs.n_rows)}  # fmt: skip
    return {name: np.repeat(column, repeat) for name, column in columns.items()}


def _rows(columns: dict[str, np.ndarray], **more: np.ndarray) -> Rows:
    given: dict[str, Any] = {name: jnp.asarray(x, float) for name, x in (columns | more).items()}
    given["place"] = jnp.asarray(columns["place"])
    return Rows(**given)


def value_rows(runs: Observations, law: Law, grid: tuple[float, ...] | None) -> Rows:
    """Rows of loss or of pass@k, one per checkpoint and k."""
    if runs.kind == "loss":
        if law.kind == "accuracy":
            raise Refusal(
                f"law '{law.name}' describes pass@k and {runs.source} holds losses",
                remedy="fit it to per-question nll, or to successes and trials",
            )
        if law.uses_samples and (runs.samples is None or len(np.unique(runs.samples)) < 3):
            raise Refusal(
                f"law '{law.name}' needs losses at three or more k and {runs.source} has "
                f"{0 if runs.samples is None else len(np.unique(runs.samples))}",
                remedy="add rows with a column 'samples', or bring per-question nll, or use "
                "law='additive'",
            )
        columns = _columns(runs, 1)
        samples = np.ones(runs.n_rows) if runs.samples is None else runs.samples
        value = np.asarray(runs.loss)
        if runs.samples is not None and not law.uses_samples:
            single = samples == 1.0
            if not single.any():
                raise Refusal(
                    f"law '{law.name}' describes one sample and {runs.source} has no row at k = 1",
                    remedy="add rows with samples = 1, or use law='softplus'",
                )
            columns = {name: column[single] for name, column in columns.items()}
            samples, value = samples[single], value[single]
    else:
        assert grid is not None
        columns = _columns(runs, len(grid))
        samples = np.tile(np.asarray(grid), runs.n_rows)
        accuracy = law.kind == "accuracy"
        value = (runs.pass_at_k(grid) if accuracy else runs.neg_log_pass(grid)).ravel()
    return _rows(columns, samples=samples, value=value, weight=np.ones_like(samples))


def counts_rows(runs: Observations) -> Rows:
    """Rows for the count likelihood; `value` is a crude loss, for starts only."""
    successes, trials = np.asarray(runs.successes), np.asarray(runs.trials)
    share = (successes.sum(1) + 0.5) / (trials.sum(1) + 1.0)
    one = np.ones(runs.n_rows)
    rows = _rows(
        _columns(runs, 1),
        samples=one,
        value=-np.log(share),
        weight=one,
        successes=successes,
        trials=trials,
    )
    return dataclasses.replace(rows, tally=tally_of(successes, trials))
