"""What a table says of itself: a line, a paragraph, a notebook's table (floor 1, private)."""

from typing import Any

import numpy as np

from t2jax import _html
from t2jax.observations import _hull

__all__ = ["as_html", "describe", "one_line"]

# These are methods of `Observations`, whose module imports this one.


def describe(self: Any) -> str:
    """The table in one paragraph."""
    rows = "rows" if self.kind == "loss" else "checkpoints"
    parts = [f"{self.n_rows} {rows} of {len(set(self.run))} runs"]
    if self.trunk is not None:
        parts[0] += f" on {len(set(self.trunk))} trunks"
    parts[0] += f" from {self.source}"
    sizes = len(set(self.params))
    parts.append(
        f"{_hull.span(self.params)} parameters ({sizes} {'size' if sizes == 1 else 'sizes'}; "
        f"N: {self.params_definition})"
    )
    parts.append(f"{_hull.span(self.tokens)} training tokens")
    parts.append(f"{_hull.span(self.tokens_per_param)} tokens per parameter")
    low, high = self.train_flops.min(), self.train_flops.max()
    parts.append(f"{low:.2g} to {high:.2g} training FLOPs (6ND)")
    if self.loss is not None:
        parts.append(f"loss {self.loss.min():.4g} to {self.loss.max():.4g}")
    if self.samples is not None:
        parts.append(f"k {_hull.span(self.samples)}")
    if self.task is not None:
        what = "NLL" if self.kind == "nll" else "counts"
        names, counts = np.unique(self.task, return_counts=True)
        tasks = ", ".join(f"{n} {c}" for n, c in zip(names[:8], counts[:8], strict=True))
        more = f" and {len(names) - 8} more tasks" if len(names) > 8 else ""
        parts.append(f"{what} of {self.n_questions} questions ({tasks}{more})")
    if self.trials is not None:
        parts.append(f"{_hull.span(self.trials)} trials per question")
    return " ".join([", ".join(parts) + ".", *_noted(self)])


def one_line(self: Any) -> str:
    """The table in a line."""
    asked = "" if self.task is None else f" x {self.n_questions} questions"
    rows = "rows" if self.kind == "loss" else "checkpoints"
    sizes = _hull.span(self.params)
    return f"Observations({self.kind}: {self.n_rows} {rows}{asked}, N {sizes}, from {self.source})"


def as_html(self: Any) -> str:
    """The table as a notebook shows it: what it holds, a line each."""
    low, high = self.train_flops.min(), self.train_flops.max()
    lines = [
        ("checkpoints" if self.task is not None else "rows", f"{self.n_rows}"),
        ("runs", f"{len(set(self.run))}"),
        (f"parameters N ({self.params_definition})", _hull.span(self.params)),
        ("training tokens D", _hull.span(self.tokens)),
        ("tokens per parameter", _hull.span(self.tokens_per_param)),
        ("training FLOPs, 6ND", f"{low:.2g} to {high:.2g}"),
    ]
    if self.loss is not None:
        lines.append(("loss", f"{self.loss.min():.4g} to {self.loss.max():.4g}"))
    if self.samples is not None:
        lines.append(("samples k", _hull.span(self.samples)))
    if self.task is not None:
        what = "likelihoods (NLL)" if self.kind == "nll" else "counts of successes"
        tasks = len(set(self.task))
        lines.append((what, f"{self.n_questions} questions of {tasks} tasks"))
    notes = "".join(f"<p>{_html.escape(note)}</p>" for note in _noted(self))
    return _html.table([self.source, ""], lines) + notes


def _noted(self: Any) -> list[str]:
    return [f"{note[0].upper()}{note[1:]}." for note in self.notes if note]
