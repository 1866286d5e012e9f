"""Run by an interpreter that has lm-evaluation-harness: makes its logs and prints its figures.

python lm_eval_logs.py FOLDER
"""

import json
import math
import pathlib
import random
import sys

from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

DOCS = 12
SIZES = {"s": 1e6, "m": 4e6, "l": 1.6e7}
TOKENS = (2e7, 8e7, 3.2e8)

CHOICE = """
task: t_choice
dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
test_split: test
output_type: multiple_choice
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: "{{choices}}"
doc_to_target: "%s"
metric_list:
  - {metric: acc}
  - {metric: acc_norm}
  - {metric: acc_bytes}
  - {metric: acc_mutual_info}
"""
WORD = """
task: t_word
dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: " {{choices[0]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc}
"""
SUMS = """
task: %s
dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{sum}}"
generation_kwargs: {until: ["\\n"], do_sample: true, temperature: 1.0}
repeats: %d
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true,
     regexes_to_ignore: [",", "\\\\$"]}
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: "#### (\\\\-?[0-9\\\\.\\\\,]+)"},
                            {function: take_first}]}
  - {name: flexible, filter: [{function: regex, group_select: -1,
                               regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"},
                              {function: take_first}]}
"""


class Made(LM):
    """Log-likelihoods and answers drawn by rule: better for larger models and more tokens."""

    def __init__(self, params: float, tokens: float):
        super().__init__()
        self.level = 1 + 300 * params**-0.4 + 400 * tokens**-0.4

    def _draw(self, text: str) -> random.Random:
        return random.Random(f"{self.level} {text}")

    def loglikelihood(self, requests, disable_tqdm=False):
        found = []
        for context, continuation in (request.args for request in requests):
            draw = self._draw(context + continuation)
            ll = -self.level * (0.3 + draw.random()) - 0.5 * (hash_of(continuation) % 3)
            found.append((ll, draw.random() < math.exp(ll)))
        return found

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        return [-float(len(request.args[0])) for request in requests]

    def generate_until(self, requests, disable_tqdm=False):
        found = []
        seen: dict[str, int] = {}
        for context, _ in (request.args for request in requests):
            seen[context] = seen.get(context, 0) + 1
            draw = self._draw(f"{context} {seen[context]}")
            right = sum(int(part) for part in context.split(" ")[::2][:2])
            answer = right if draw.random() < math.exp(-self.level / 3) else right + 1
            form = draw.choice(["#### {}", "it is ${},", "{} or so", "#### 1,0{}"])
            found.append(form.format(answer))
        return found


def hash_of(text: str) -> int:
    return sum(map(ord, text))


def main(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    docs = folder / "docs.jsonl"
    lines = []
    for i in range(DOCS):
        choices = [f"word{i}{j}" * (j + 1) for j in range(4)]
        lines.append({"question": f"{i} + {i + 3} =", "choices": choices, "label": i % 4,
                      "name": choices[i % 4], "sum": str(2 * i + 3)})  # fmt: skip
    docs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    (tasks / "choice.yaml").write_text(CHOICE % (docs, "{{label}}"))
    named = CHOICE.replace("t_choice", "t_named").replace("  - {metric: acc_mutual_info}\n", "")
    (tasks / "named.yaml").write_text(named % (docs, "{{name}}"))
    (tasks / "word.yaml").write_text(WORD % docs)
    (tasks / "sums.yaml").write_text(SUMS % ("t_sums", docs, 1))
    (tasks / "again.yaml").write_text(SUMS % ("t_again", docs, 4))
    figures = []
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    for size, params in SIZES.items():
        for tokens in TOKENS:
            name = f"org/{size}-{tokens:g}"
            tracker = EvaluationTracker(output_path=str(folder / "logs"))
            tracker.general_config_tracker.log_experiment_args(
                model_source="hf", model_args=f"pretrained={name}", system_instruction=None,
                chat_template=None, fewshot_as_multiturn=False,
            )  # fmt: skip
            found = simple_evaluate(
                model=Made(params, tokens),
                tasks=["t_choice", "t_named", "t_word", "t_sums", "t_again"],
                task_manager=manager,
                evaluation_tracker=tracker,
                bootstrap_iters=0,
            )
            samples = found.pop("samples")
            found["config"] |= {"model_args": f"pretrained={name}", "model_num_parameters": params}
            tracker.save_results_aggregated(results=found, samples=samples)
            for task, rows in samples.items():
                tracker.save_results_samples(task_name=task, samples=rows)
            figures.append({"run": name, "params": params, "tokens": tokens,
                            "results": found["results"]})  # fmt: skip
    (folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
