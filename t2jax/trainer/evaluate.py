"""What a checkpoint knows: exact answer likelihoods, sampled successes, and their table.

A question is solved when its answer is one that the verifier accepts, so its NLL is that of the
whole accepted set, and `exp(-nll)` is the chance that one sample at temperature 1 is correct.
Counts of sampled successes estimate the same chance, and are needed at other temperatures or
where the accepted answers cannot be listed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from t2jax.errors import InputError
from t2jax.observations import Observations
from t2jax.trainer import sample
from t2jax.trainer.batches import Questions
from t2jax.trainer.config import ModelConfig
from t2jax.trainer.exam import Exam, check_vocabulary
from t2jax.trainer.model import Params

__all__ = [
    "Exam",
    "answer_log_probs",
    "likelihood",
    "question_table",
    "sampled",
    "select",
    "select_tasks",
    "task_means",
]

Check = Callable[[str, Sequence[int], Sequence[int]], bool]

_SAMPLES_HELD = 512  # samples of each question that are judged together


# Likelihood ---------------------------------------------------------------------------------


def likelihood(
    params: Params, config: ModelConfig, questions: Questions, *, temperature: float = 1.0
) -> Float[np.ndarray, " questions"]:
    """Negative log-probability that one sample of a question is accepted; see `Exam.likelihood`."""
    return Exam(questions, config.seq_len).likelihood(params, config, temperature=temperature)


def answer_log_probs(
    params: Params, config: ModelConfig, questions: Questions, *, temperature: float = 1.0
) -> Float[np.ndarray, " accepted"]:
    """Log-probability of every accepted answer; see `Exam.answer_log_probs`."""
    exam = Exam(questions, config.seq_len)
    return exam.answer_log_probs(params, config, temperature=temperature)


# Sampling -----------------------------------------------------------------------------------


def sampled(
    params: Params,
    config: ModelConfig,
    questions: Questions,
    *,
    samples: int,
    key: jax.Array,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new: int | None = None,
    stop: int | None = None,
    check: Check | None = None,
) -> Int[np.ndarray, " questions"]:
    """Sample answers and count those that are accepted.

    At temperature 1 the count is binomial with chance `exp(-likelihood)`; pass@k follows from
    it by `t2jax.pass_at_k`.

    Args:
      params: weights of the model.
      config: shape of the model.
      questions: the questions with all accepted answers.
      samples: independent samples of each question.
      key: from `jax.random.key`.
      temperature: logits are divided by it; 0 always takes the most likely token.
      top_p: sample from the smallest set of tokens that holds this probability.
      max_new: tokens after which a sample counts as wrong; the longest accepted answer unless
        given, beyond which no sample is accepted anyway.
      stop: token that ends a sample; by default the one that ends every accepted answer.
      check: `check(task, prompt, answer) -> bool` instead of the accepted answers, for answers
        that cannot be listed; called once for each distinct answer, which has no padding and
        ends with the stop token unless it was cut at `max_new`.

    Returns:
      `[questions]` int64 successes, at most `samples`.

    Raises:
      InputError: a number is out of its range, or accepted answers end in different tokens.

    Source: Chen et al. 2021, arXiv:2107.03374.
    """
    if samples < 1:
        raise InputError(f"samples is {samples}", remedy="give a whole number of at least 1")
    check_vocabulary(config, questions)
    end = _stop_token(questions) if stop is None else stop
    asked = np.arange(len(questions.task))
    successes = np.zeros(len(asked), np.int64)
    calls = -(-samples // _SAMPLES_HELD)
    per_call = -(-samples // calls)
    for call in range(calls):
        drawn = sample.sample(
            params,
            config,
            questions.prompts,
            questions.prompt_lengths,
            samples=per_call,
            max_new=max_new or int(questions.answer_lengths.max()),
            key=jax.random.fold_in(key, call),
            temperature=temperature,
            top_p=top_p,
            stop=end,
        )
        # Calls are of one size, for which one program serves; what the last draws too many goes.
        wanted = min(per_call, samples - call * per_call)
        tokens, lengths = drawn.tokens[:, :wanted], drawn.lengths[:, :wanted]
        if check:
            good = _checked(check, questions, tokens, lengths)
        else:
            good = _Trie.grow(questions, config.vocab_size).holds(tokens)
        successes += good.sum(axis=1)
    return successes


def _stop_token(questions: Questions) -> int:
    """The token that ends every accepted answer."""
    last = questions.answers[np.arange(len(questions.answers)), questions.answer_lengths - 1]
    if len(set(last.tolist())) > 1:
        raise InputError(
            "accepted answers end in different tokens", remedy="end each with the stop token"
        )
    return int(last[0])


class _Trie(NamedTuple):
    """Accepted answers of all questions as a tree, by which many samples are judged at once.

    A level holds its edges as sorted numbers `node * vocabulary + token`; an edge's position is
    the number of the node that it leads to, and the roots are the questions.
    """

    vocabulary: int
    edges: list[np.ndarray]
    ends: list[np.ndarray]  # whether an answer is complete there

    @classmethod
    def grow(cls, questions: Questions, vocabulary: int) -> "_Trie":
        """The tree of the accepted answers."""
        node = questions.owner.astype(np.int64)
        edges, ends = [], []
        for place in range(int(questions.answer_lengths.max())):
            alive = questions.answer_lengths > place
            level, target = np.unique(
                node[alive] * vocabulary + questions.answers[alive, place], return_inverse=True
            )
            node[alive] = target
            last = questions.answer_lengths[alive] == place + 1
            edges.append(level)
            ends.append(np.isin(np.arange(len(level)), target[last]))
        return cls(vocabulary, edges, ends)

    def holds(
        self, tokens: Int[np.ndarray, "questions samples new"]
    ) -> Bool[np.ndarray, "questions samples"]:
        """Whether each sample is an accepted answer of its question, as far as its stop token."""
        node = np.repeat(np.arange(len(tokens))[:, None], tokens.shape[1], axis=1)
        good = np.zeros(node.shape, bool)
        for place in range(min(len(self.edges), tokens.shape[2])):
            edge = node * self.vocabulary + tokens[:, :, place]
            at = np.searchsorted(self.edges[place], edge)
            at = np.minimum(at, len(self.edges[place]) - 1)
            found = self.edges[place][at] == edge
            good |= found & self.ends[place][at]
            node = np.where(found, at, -1)  # edges from there are below all others: never found
        return good


def _checked(
    check: Check,
    questions: Questions,
    tokens: Int[np.ndarray, "questions samples new"],
    lengths: Int[np.ndarray, "questions samples"],
) -> Bool[np.ndarray, "questions samples"]:
    """Ask a verifier about each distinct answer of each question."""
    good = np.zeros(lengths.shape, bool)
    for i, task in enumerate(questions.task.tolist()):
        prompt = questions.prompts[i, : questions.prompt_lengths[i]].tolist()
        verdicts: dict[tuple[int, ...], bool] = {}
        for j, length in enumerate(lengths[i].tolist()):
            answer = tuple(tokens[i, j, :length].tolist())
            if answer not in verdicts:
                verdicts[answer] = bool(check(task, prompt, answer))
            good[i, j] = verdicts[answer]
    return good


# Questions and tables -----------------------------------------------------------------------


def task_means(questions: Questions, values: Float[np.ndarray, " questions"]) -> dict[str, float]:
    """Mean of a number of each question over each task, in the order the tasks appear.

    Args:
      questions: the questions.
      values: `[questions]` such as NLLs in nats, or solved fractions.
    """
    tasks = dict.fromkeys(questions.task.tolist())
    return {task: float(np.mean(values[questions.task == task])) for task in tasks}


def select_tasks(questions: Questions, tasks: Sequence[str]) -> Questions:
    """The questions of some tasks.

    Args:
      questions: the questions.
      tasks: names of tasks.

    Raises:
      InputError: no question has such a task.
    """
    known = dict.fromkeys(questions.task.tolist())
    for task in tasks:
        if task not in known:
            raise InputError(f"no task '{task}'", remedy=f"the tasks are {', '.join(known)}")
    return select(questions, np.isin(questions.task, tasks))


def select(
    questions: Questions, places: Int[np.ndarray, " n"] | Bool[np.ndarray, " n"]
) -> Questions:
    """Some of the questions, with their accepted answers.

    Args:
      questions: the questions.
      places: a mask, or positions in ascending order.
    """
    kept = np.zeros(len(questions.task), bool)
    kept[places] = True
    number = np.cumsum(kept) - 1
    answers = kept[questions.owner]
    by_question = {
        name: getattr(questions, name)[kept]
        for name in ("task", "difficulty", "prompts", "prompt_lengths", "names")
    }
    return Questions(
        **by_question,
        answers=questions.answers[answers],
        answer_lengths=questions.answer_lengths[answers],
        owner=number[questions.owner[answers]],
    )


def question_table(
    questions: Questions,
    checkpoints: Sequence[Mapping[str, Any]],
    *,
    nll: Float[np.ndarray, "checkpoints questions"] | None = None,
    successes: Int[np.ndarray, "checkpoints questions"] | None = None,
    trials: int | None = None,
    params_definition: str = "matrices+head",
) -> Observations:
    """Results of checkpoints as the table that `t2jax.fit` takes.

    Args:
      questions: the questions, the same for all checkpoints.
      checkpoints: of each its `run`, `params` N, `tokens` D and perhaps its `trunk`; other
        entries are ignored.
      nll: `[checkpoints, questions]` from `likelihood`; or else
      successes: `[checkpoints, questions]` from `sampled`, with
      trials: the samples of each question.
      params_definition: what N counts.

    Returns:
      A question table, whose `write` makes CSV, TSV, JSONL or Parquet of it.

    Raises:
      InputError: neither NLLs nor counts, or a checkpoint without a run, params or tokens.
    """
    if (nll is None) == (successes is None) or (successes is None) != (trials is None):
        raise InputError(
            "a question table holds either NLLs or counts", remedy="give nll, or successes, trials"
        )
    for checkpoint in checkpoints:
        for name in ("run", "params", "tokens"):
            if name not in checkpoint:
                raise InputError(f"a checkpoint has no '{name}'", remedy="add it to its card")
    trunks = [checkpoint.get("trunk") for checkpoint in checkpoints]
    cells: dict[str, Any] = {"kind": "nll", "nll": nll}
    if successes is not None:
        full = np.full(np.shape(successes), trials, np.float64)
        cells = {"kind": "counts", "successes": successes, "trials": full}
    return Observations(
        **cells,
        run=np.array([str(checkpoint["run"]) for checkpoint in checkpoints]),
        params=np.array([checkpoint["params"] for checkpoint in checkpoints]),
        tokens=np.array([checkpoint["tokens"] for checkpoint in checkpoints]),
        trunk=None if None in trunks else np.array([str(trunk) for trunk in trunks]),
        question=questions.names,
        task=questions.task,
        params_definition=params_definition,
    )
