"""Tables under other names: what to type is in the message, and typing it reads the table."""

import itertools
import re
import shlex

import pandas as pd
import pytest

from t2jax.errors import InputError
from t2jax.observations import read

FLAGS = {"--columns": "columns", "--where": "where", "--task": "task"}


def advised(message):
    """The flags that a message names, as options of `read`."""
    words = shlex.split(re.sub(r"[;,]( |$)", " ", message.replace("'", '"\'"')))
    flags = dict(itertools.pairwise(words))
    options = {FLAGS[name]: value for name, value in flags.items() if name in FLAGS}
    assert options, message
    return options


def pasted(source, **options):
    """The table, read with the flags of one message after the other, and how many there were."""
    for told in range(6):
        try:
            return read(source, **options), told, options
        except InputError as error:
            message = str(error)
        options |= advised(message)
    raise AssertionError(options)


def grid(**more):
    """Six checkpoints under the names that others give to our columns."""
    frame = pd.DataFrame(
        {
            "n_params": [1e6, 1e6, 2e6, 2e6, 4e6, 4e6],
            "d_tokens": [2e7, 4e7, 2e7, 4e7, 2e7, 4e7],
            "loss": [4.0, 3.8, 3.7, 3.5, 3.4, 3.2],
        }
    )
    return frame.assign(**more)


def test_a_column_of_several_sizes_is_no_run():
    frame = grid(model="chinchilla")
    with pytest.raises(InputError, match="no columns 'params', 'tokens'") as caught:
        read(frame)
    assert "pass --columns params=n_params,tokens=d_tokens" in str(caught.value)
    table, told, _ = pasted(frame)
    assert told == 1
    assert len(set(table.run)) == 6


def test_a_column_of_one_size_each_is_the_run_in_the_same_flag():
    table, told, options = pasted(grid(model=["a", "a", "b", "b", "c", "c"]))
    assert told == 1
    assert options["columns"] == "run=model,params=n_params,tokens=d_tokens"
    assert len(set(table.run)) == 3


def test_a_run_that_was_named_wrongly_need_not_be_named():
    with pytest.raises(InputError, match="leave run=model out of --columns"):
        read(grid(model="all"), columns="run=model,params=n_params,tokens=d_tokens")


def test_the_choice_of_n_is_one_flag_with_the_rest():
    frame = grid(model=["a", "a", "b", "b", "c", "c"], n_params_no_embed=5e5)
    with pytest.raises(InputError) as caught:
        read(frame)
    assert "say which of 'n_params', 'n_params_no_embed' is N" in str(caught.value)
    assert pasted(frame)[2]["columns"] == "run=model,params=n_params,tokens=d_tokens"


def test_tasks_are_offered_by_name():
    frame = pd.concat([grid(run=list("aabbcc"), task=task, bpb=1.0) for task in ("arc", "sciq")])
    table, told, options = pasted(frame.drop(columns="loss"))
    assert (told, options["task"]) == (2, "arc")
    assert table.n_rows == 6


def test_what_tells_repeats_apart_is_a_condition_beside_ones_own():
    parts = [
        grid(model=list("aabbcc"), kind=kind, shots=shots, tuned=kind)
        for kind in ("main", "hot")
        for shots in (0, 5)
    ]
    frame = pd.concat([*parts, grid(model="d", kind="main", shots=9).iloc[:1]])
    table, told, options = pasted(frame)
    assert told == 2
    assert "kind ==" in options["where"]
    assert "shots ==" in options["where"]
    assert "tuned" not in options["where"]
    assert table.n_rows in (6, 7)
    columns = "run=model,params=n_params,tokens=d_tokens"
    with pytest.raises(InputError, match=r'--where "loss > 1 and ') as caught:
        read(frame, columns=columns, where="loss > 1")
    assert "(loss > 1 or shots < 3) and " not in str(caught.value)
    with pytest.raises(InputError, match=r'--where "\(loss > 1 or shots < 3\) and '):
        read(frame, columns=columns, where="loss > 1 or shots < 3")


def test_repeats_that_nothing_tells_apart_are_still_refused():
    with pytest.raises(InputError, match=r"repeats .*; keep one of them$"):
        read(pd.concat([grid(run=list("aabbcc"))] * 2).rename(
            columns={"n_params": "params", "d_tokens": "tokens"}))  # fmt: skip


def test_checkpoints_before_training_have_their_condition():
    frame = grid(run=list("aabbcc"))
    frame.loc[0, "d_tokens"] = 0
    table, _, options = pasted(frame)
    assert options["where"] == "d_tokens > 0"
    assert table.n_rows == 5


def test_a_likelihood_of_a_checkpoint_is_a_loss():
    table, told, options = pasted(grid(run=list("aabbcc")).rename(columns={"loss": "nll"}))
    assert told == 1
    assert options["columns"].endswith("loss=nll")
    assert table.kind == "loss"


def test_accuracies_alone_are_told_what_a_law_needs():
    frame = grid(model=list("abcdef"), mmlu=0.5).drop(columns="loss")
    with pytest.raises(InputError, match="mean accuracies fit none"):
        read(frame, columns="run=model,params=n_params,tokens=d_tokens")
