"""The tables of a ladder, made from the points that are there, in the order of the plan.

They hold nothing that a clock, a process number or the order of finishing could change: whatever
happened on the way, the same points give the same bytes.
"""

import csv
import io
import json
import os
import pathlib
import uuid

import numpy as np

from t2jax.observations import _write
from t2jax.trainer.batches import Questions
from t2jax.trainer.ladder import worker
from t2jax.trainer.ladder.material import headline
from t2jax.trainer.ladder.plan import LadderPlan

__all__ = ["write_tables"]

PARAMS_DEFINITION = "matrices+head"
"""What the column `params` counts."""


def write_tables(folder: pathlib.Path, plan: LadderPlan) -> tuple[pathlib.Path, ...]:
    """Write `runs.csv` and `questions.parquet`, and the same for finetuned points.

    A law is fitted to one variant at a time, so each has its own files: those of finetuned points
    are called `runs-ft.csv`, `questions-sft.parquet` and so on. `questions.parquet` holds the
    tasks of the headline; those that no power law fits, and the long answers, are in
    `questions-apart.parquet`. What the questions are, and how hard, is in `questions.csv`.

    Args:
      folder: of the ladder.
      plan: whose points are looked for.

    Returns:
      The files.
    """
    from t2jax.trainer import evaluate

    questions = plan.material.asked(plan.preset)
    written = [] if questions is None else [_write_questions(folder, plan, questions)]
    for variant in worker.VARIANTS:
        found = [
            (point.run, worker.point_folder(folder, point.run, variant))
            for _, point in plan.points
            if worker.has(folder, point.run, variant)
        ]
        if not found:
            continue
        suffix = "" if variant == "base" else f"-{variant}"
        rows = [json.loads((place / "point.json").read_text("utf-8")) for _, place in found]
        runs = folder / f"runs{suffix}.csv"
        worker.write_text(runs, _csv(rows))
        written.append(runs)
        if questions is None:
            continue
        matrix = np.stack([_nll(place) for _, place in found])
        main = np.array([headline(task) for task in questions.task.tolist()])
        for mask, name in ((main, f"questions{suffix}"), (~main, f"questions-apart{suffix}")):
            if mask.any():
                path = folder / f"{name}.parquet"
                _write_answers(path, rows, evaluate.select(questions, mask), matrix[:, mask])
                written.append(path)
    return tuple(written)


def _nll(place: pathlib.Path) -> np.ndarray:
    with np.load(place / "nll.npz") as file:
        return file["nll"]


def _csv(rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_questions(folder: pathlib.Path, plan: LadderPlan, questions: Questions) -> pathlib.Path:
    """The questions with their difficulty and the chance level of their task."""
    chance = plan.material.guesses(plan.preset)
    rows = [
        {
            "task": task,
            "question": name,
            "difficulty": hard,
            "accepted": accepted,
            "nll_chance_task": round(chance[task], 4) if task in chance else "",
        }
        for task, name, hard, accepted in zip(
            questions.task.tolist(),
            questions.names.tolist(),
            questions.difficulty.tolist(),
            np.bincount(questions.owner, minlength=len(questions.task)).tolist(),
            strict=True,
        )
    ]
    path = folder / "questions.csv"
    worker.write_text(path, _csv(rows))
    return path


def _write_answers(
    path: pathlib.Path, rows: list[dict], questions: Questions, nll: np.ndarray
) -> None:
    """A question table: one line per checkpoint and question."""
    columns: dict[str, np.ndarray] = {
        name: np.array([row[name] for row in rows])
        for name in ("run", "trunk", "params", "tokens", "unique_tokens", "seed", "variant")
        if name in rows[0]
    }
    columns |= {"task": questions.task, "question": questions.names, "nll": nll}
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")
    _write.write(columns, PARAMS_DEFINITION, partial)
    os.replace(partial, path)
