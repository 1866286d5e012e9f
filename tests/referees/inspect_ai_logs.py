"""Run by an interpreter that has Inspect: makes its logs and prints what its own reader says.

python inspect_logs.py FOLDER
"""

import json
import pathlib
import random
import sys

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import match

SIZES = {"s": 1e6, "m": 4e6, "l": 1.6e7}
TOKENS = (2e7, 8e7, 3.2e8)
QUESTIONS, EPOCHS = 6, 3


def main(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = [
        Sample(id=i or "naïve", input=f"{i} + 1 =", target=str(i + 1)) for i in range(QUESTIONS)
    ]
    figures = []
    for size, params in SIZES.items():
        for tokens in TOKENS:
            draw = random.Random(f"{size} {tokens}")
            chance = 1 / (1 + 60 * params**-0.3 + 30 * tokens**-0.25)

            def answer(messages, *_, draw=draw, chance=chance):
                right = int(messages[-1].text.split(" ")[0]) + 1
                said = right if draw.random() < chance else -1
                output = ModelOutput.from_content("mockllm", f"the answer is {said}")
                # Stated, or the tool would fetch a tokenizer to count them.
                output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
                return output

            name = f"mockllm/{size}-{tokens:g}"
            model = get_model(name, custom_outputs=answer, memoize=False)
            log = eval(
                Task(name="sums", dataset=MemoryDataset(data), scorer=match(), epochs=EPOCHS),
                model=model, log_dir=str(folder / "logs"), display="none",
                log_format="json" if tokens == TOKENS[0] else "eval",
            )[0]  # fmt: skip
            again = read_eval_log(log.location)
            counts: dict[str, list[int]] = {}
            for sample in again.samples or []:
                value = next(iter(sample.scores.values())).value
                counts.setdefault(str(sample.id), []).append(value == "C")
            metrics = again.results.scores[0].metrics
            figures.append({"run": name, "params": params, "tokens": tokens,
                            "accuracy": metrics["accuracy"].value,
                            "successes": {q: sum(all_) for q, all_ in counts.items()}})  # fmt: skip
    (folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
