"""Which run a log's model is: its parameters, tokens and trajectory (floor 1, private).

Logs of evaluations name a model and say nothing of how long it was trained. A table of runs or a
catalogue of public ladders says it.
"""

import dataclasses
import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from t2jax.errors import InputError
from t2jax.importers import catalogue as catalogues
from t2jax.importers._records import listing, show
from t2jax.importers.catalogue import Checkpoint
from t2jax.observations import UNSTATED, read_runs

__all__ = ["Manifest", "at_revision"]

# What may stand between the words of a name; a point is part of a number. Letters, marks and
# signs of every script tell names apart.
_WORDS = re.compile(rf"[^\s{re.escape(string.punctuation.replace('.', ''))}]+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """Checkpoints by the names that logs may give them.

    Args:
      known: name as it is written -> checkpoint.
      catalogue: name of a catalogue that is asked next, or "".
      definition: what N counts, as the caller or the table says it.
      source: what messages call the table.
    """

    known: Mapping[str, Checkpoint]
    catalogue: str
    definition: str
    source: str

    @classmethod
    def open(cls, runs: Any, catalogue: str | None, definition: str) -> "Manifest":
        """Read a table of runs: a file, a frame, or a mapping of names to `(params, tokens)`.

        Raises:
          InputError: the table is none, or the catalogue is not known.
        """
        if catalogue:
            catalogues.check(catalogue, definition)
        source = "the table of runs"
        if runs is None:
            known: dict[str, Checkpoint] = {}
        elif isinstance(runs, Mapping):
            known = dict(_of_mapping(runs))
        else:
            known, definition, source = _of_table(runs, definition)
        return cls(known=known, catalogue=catalogue or "", definition=definition, source=source)

    def find(self, names: Sequence[str], params: float | None) -> Checkpoint | None:
        """The checkpoint of a model, by the first of its names that is known.

        Args:
          names: from the one that says most to the one that says least.
          params: what the log itself counts, where it does; for tables without N.
        """
        found = next((self.known[name] for name in names if name in self.known), None)
        if found is None:
            loose: dict[str, list[Checkpoint]] = {}
            for name, checkpoint in self.known.items():
                loose.setdefault(plain(name), []).append(checkpoint)
            loose.pop("", None)  # of a name without a word nothing is left to compare
            fits = next((loose[plain(name)] for name in names if plain(name) in loose), [])
            if len(fits) > 1:
                raise InputError(
                    f"{show(names[0])} may be {' or '.join(show(fit.run) for fit in fits)}",
                    source=self.source,
                    remedy="write the name as the log has it",
                )
            found = fits[0] if fits else None
        if found is None and self.catalogue:
            found = catalogues.find(self.catalogue, names, self.definition)
        if found is not None and not found.params > 0:
            found = None if params is None else dataclasses.replace(found, params=params)
        return found

    def beside(self, known: Mapping[str, Checkpoint]) -> "Manifest":
        """The same with checkpoints that the log itself describes, which come second."""
        return dataclasses.replace(self, known={**known, **self.known})

    def counts_by_log(self) -> bool:
        """Whether N is what the log counts, as the table of runs does not say it."""
        return any(not checkpoint.params > 0 for checkpoint in self.known.values())

    def unknown(self, models: Iterable[Sequence[str]], source: str) -> InputError:
        """The error for models of which params or tokens are not known."""
        names = sorted({names[0] for names in models})
        if self.known:
            listed = ", ".join(show(name) for name in list(self.known)[:5])
            remedy = f"add them to the table of runs, which has {listed}"
        else:
            ladder = next((n for n in catalogues.LADDERS if catalogues.find(n, names[:1])), "")
            hint = f"pass --catalogue {ladder}" if ladder else ""
            table = "name a table of run,params,tokens with --runs runs.csv (runs= in Python)"
            remedy = " or ".join(filter(None, (hint, table)))
        return InputError(
            f"params and tokens are not known of {listing(names)}", source=source, remedy=remedy
        )


def plain(name: str) -> str:
    """A model's name without its owner, case and punctuation.

    >>> plain("EleutherAI__pythia-70m@step1000"), plain("pythia-70M,revision=step1000")
    ('pythia 70m step1000', 'pythia 70m step1000')
    """
    # One spelling of letters with marks, which file systems take apart.
    words = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    words = words.strip().replace("__", "/")
    head, _, tail = words.partition("@") if "@" in words else words.partition(",revision=")
    head = head.rstrip("/").rsplit("/", 1)[-1]
    return " ".join(_WORDS.findall(f"{head} {tail}"))


def at_revision(models: Sequence[str], revision: Any, folders: Sequence[str] = ()) -> list[str]:
    """What a model may be called at a revision, the fullest name first.

    A name without the revision would be another checkpoint of the same model, so that a folder
    counts only where it carries it.

    >>> at_revision(["m"], "step10", ["m", "m-step10", "m-step100"])
    ['m@step10', 'm,revision=step10', 'm-step10']
    >>> at_revision(["m"], "main", ["mine"])
    ['m', 'mine']
    """
    if revision in (None, "", "main"):
        return list(dict.fromkeys([*models, *folders]))
    carried = f" {plain(f'@{revision}')} "
    fixed = [name for m in models for name in (f"{m}@{revision}", f"{m},revision={revision}")]
    return list(dict.fromkeys([*fixed, *(f for f in folders if carried in f" {plain(f)} ")]))


def _of_mapping(runs: Mapping[Any, Any]) -> Iterable[tuple[str, Checkpoint]]:
    for name, value in runs.items():
        told = dict(value) if isinstance(value, Mapping) else None
        try:
            if told is None:
                params, tokens = value
                told = {"params": params, "tokens": tokens}
            params, tokens = float(told.get("params") or "nan"), float(told["tokens"])
        except (TypeError, ValueError, KeyError):
            params = tokens = np.nan
        if not (np.isfinite(tokens) and tokens > 0) or params <= 0 or np.isinf(params):
            raise InputError(
                f"run {show(str(name))} is {show(value)}",
                remedy="give (params, tokens), or a mapping with params, tokens and perhaps trunk",
            )
        trunk = None if told is None or told.get("trunk") is None else str(told["trunk"])
        yield str(name), Checkpoint(run=str(name), params=params, tokens=tokens, trunk=trunk)


def _of_table(runs: Any, definition: str) -> tuple[dict[str, Checkpoint], str, str]:
    rows = read_runs(runs, columns=None)
    names = rows.labels["run"].names[rows.labels["run"].codes].tolist()
    params = rows.numbers.get("params", np.full(len(rows), np.nan))
    trunk = [None] * len(rows)
    if "trunk" in rows.labels:
        trunk = rows.labels["trunk"].names[rows.labels["trunk"].codes].tolist()
    unique = rows.numbers.get("unique_tokens", np.full(len(rows), np.nan))
    if "params_definition" in rows.labels and definition == UNSTATED:
        said = set(rows.labels["params_definition"].names.tolist())
        if len(said) > 1:
            raise rows.table.error(
                "counts N in several ways", column="params_definition", remedy="convert N to one"
            )
        definition = said.pop()
    known = {
        name: Checkpoint(
            run=name, params=n, tokens=d, trunk=t, unique_tokens=None if np.isnan(u) else u
        )
        for name, n, d, t, u in zip(
            names, params.tolist(), rows.numbers["tokens"].tolist(), trunk, unique.tolist(),
            strict=True,
        )
    }  # fmt: skip
    return known, definition, rows.table.source
