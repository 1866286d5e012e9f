"""Public tables as `Observations`, and how each is split: what is fitted, what is judged."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

import t2jax as t2

SAMPLES = (1, 4, 16, 64, 256, 1024)


class Cell(NamedTuple):
    """One table and one split.

    Attributes:
      name: of the table.
      split: what was held out.
      runs: the whole table.
      fitted: rows that are fitted; the others are judged.
      samples: k at which they are judged.
    """

    name: str
    split: str
    runs: t2.Observations
    fitted: np.ndarray
    samples: tuple[float, ...]


def cells(folder: pathlib.Path) -> Iterator[Cell]:
    """Every table and split."""
    for name, runs in tables(folder).items():
        samples = SAMPLES if runs.kind == "nll" else (1,)
        ratio, flops = runs.tokens / runs.params, runs.train_flops
        if name.startswith("olmo"):
            yield Cell(name, "runs of 7B and 13B", runs, runs.params < 2e9, samples)
            continue
        yield Cell(name, "most FLOPs", runs, flops < np.quantile(flops, 0.75), samples)
        if name.startswith(("farseer", "ladder")):
            kept = (ratio <= 40) | ((ratio > 40) & (ratio <= 200) & False)
            judged = ratio > 200
            rows = np.flatnonzero(kept | judged)
            yield Cell(name, "D/N > 200 from <= 40", runs.select(rows), kept[rows], samples)
        else:
            most = np.quantile(ratio, 0.75)
            yield Cell(name, "most D/N", runs, ratio <= most, samples)


def tables(folder: pathlib.Path) -> dict[str, t2.Observations]:
    """The tables by name."""
    out = {}
    for task in ("openbookqa", "arc_challenge", "commonsense_qa"):
        out[task] = _gemstones(folder, task)
    losses = pd.read_csv(folder / "gemstones" / "val_losses.csv")
    out["gemstones loss"] = _losses(
        losses, run="model", params="n_params", tokens="d_tokens", loss="loss_val"
    )
    grid = pd.read_csv(folder / "porian2024" / "grid.csv")
    own = (grid.dataset == "rw") & (grid.hparams == "base") & (grid.warmup == "short")
    own &= (grid.decay == "chinchilla") & (grid.loss_split == "val") & (grid.n_count == "standard")
    out["porian"] = _losses(grid[own], params="n_params", tokens="d_tokens", loss="loss")
    hoffmann = pd.read_csv(folder / "chinchilla_epoch" / "points.csv")
    out["chinchilla"] = _losses(hoffmann, params="n_params", tokens="d_tokens", loss="loss")
    farseer = pd.read_csv(folder / "farseer" / "runs.csv")
    out["farseer"] = _losses(farseer, run="run", params="params", tokens="tokens", loss="loss")
    olmo = pd.read_csv(folder / "olmo_ladder" / "final.csv")
    first = olmo[olmo.task == "arc_challenge_test"]
    kept = first[first.role.isin(["ladder", "target"])]
    out["olmo C4"] = _losses(kept, run="run", params="n_params", tokens="d_tokens", loss="c4_loss")
    out["olmo ARC bpb"] = _losses(kept, run="run", params="n_params", tokens="d_tokens", loss="bpb")
    out["ladder_1 macro"] = _ladder(folder / "ladder_1")
    return out


def _losses(frame: pd.DataFrame, *, run: str | None = None, **columns: str) -> t2.Observations:
    names = [f"r{i}" for i in range(len(frame))] if run is None else frame[run].astype(str)
    values = {name: frame[column].to_numpy(float) for name, column in columns.items()}
    return t2.Observations(kind="loss", run=np.asarray(names, str), source="a public table",
                           **values)  # fmt: skip


def _gemstones(folder: pathlib.Path, task: str) -> t2.Observations:
    frame = pd.read_csv(folder / "gemstones" / f"per_question_nll_{task}.csv")
    columns = [name for name in frame if name.startswith("q")]
    return _questions(frame.model, frame.n_params, frame.d_tokens, frame[columns], task)


def _ladder(folder: pathlib.Path) -> t2.Observations:
    questions = pd.read_parquet(folder / "questions-base.parquet")
    own = questions[~questions.task.astype(str).str.startswith("long")]
    wide = own.pivot(index="run", columns="question", values="nll")
    runs = pd.read_csv(folder / "runs-base.csv").set_index("run").loc[wide.index]
    return _questions(runs.trunk, runs.params, runs.tokens, wide, "ladder_1")


def _questions(run, params, tokens, nll, source: str) -> t2.Observations:
    nll = nll.to_numpy(float)
    return t2.Observations(
        kind="nll", run=np.asarray(run, str), params=params.to_numpy(float),
        tokens=tokens.to_numpy(float), nll=nll, source=source,
        question=np.arange(nll.shape[1]).astype(str), task=np.full(nll.shape[1], "all"),
    )  # fmt: skip
