"""Budgets that cannot be are refused in one line that names the nearest one that can."""

# pyright: reportArgumentType=false

import functools

import pytest

from t2jax import Budget, Cost, InputError, Refusal, optimum, sensitivity
from t2jax.laws import Additive, T2Loss

CHECK = T2Loss.from_paper(E=0.5, A=482.01, B=2085.43, G=5.0, alpha=0.3478, beta=0.3658, gamma=0.3)
CHINCHILLA = Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
LIFETIME = Budget(total_flops=1e23, questions=1e5, tokens_per_sample=1e3)
alone = functools.partial(optimum, chinchilla=False)

REFUSED = [
    ({}, "no budget; give exactly one of"),
    ({"train_flops": 1e20, "total_flops": 1e20}, "contradict each other"),
    ({"target_loss": 2.0, "dollars": 5.0, "questions": 1.0}, "contradict each other"),
    ({"total_flops": 1e20, "inference_flops": 1e9}, "contradict each other"),
    ({"total_flops": 1e20}, "does not say what is served"),
    ({"total_flops": 1e20, "questions": 1.0, "inference_tokens": 1.0}, "is given both"),
    ({"train_flops": 1e20, "questions": 1e6}, "has no use for questions"),
    ({"dollars": 1e6, "questions": 1e6}, "needs prices"),
    ({"train_flops": 1e20, "cost": Cost(unit="dollars")}, "contradict each other"),
    ({"total_flops": 1e10, "questions": 1e9, "tokens_per_sample": 1e3}, "least that does is 2e.12"),
    ({"train_flops": 1e20, "inference_flops": 1e6, "min_params": 1e7}, "least that does is 2e.07"),
    ({"train_flops": 1e20, "max_params": 1e6, "min_params": 1e7}, "raise it to 1e.07"),
    ({"train_flops": 1e20, "max_tokens": 0.5}, "did you mean 0.5T or 0.5B; write max_tokens=0.5B"),
    ({"train_flops": 1e20, "max_tokens": 15}, "did you mean 15T or 15B; write max_tokens=15B"),
    ({"train_flops": 1e20, "max_params": "7"}, "would be 7 params in all; did you mean 7B"),
    ({"target_pass_at_k": 1.0, "questions": 1.0}, "out of reach"),
    ({"total_flops": 1e20, "questions": 1e6, "questions_factor": 0.5}, "below one"),
    ({"train_flops": 1e20, "cost": 3.0}, "is no Cost"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
def test_budgets_that_cannot_be_are_refused_with_the_nearest(fields, words):
    with pytest.raises(InputError, match=words) as caught:
        Budget(**fields)
    assert "\n" not in str(caught.value)


def test_targets_out_of_reach_are_refused_with_the_nearest():
    served = {"questions": 1e5, "tokens_per_sample": 1e3}
    with pytest.raises(Refusal, match=r"within these caps is 1\.69.*ask for a target above 1\.69"):
        alone(CHINCHILLA, Budget(target_loss=1.5, **served))
    with pytest.raises(Refusal, match="the smallest plan already reaches"):
        alone(CHINCHILLA, Budget(target_loss=1e5, **served))
    with pytest.raises(Refusal, match="give target_loss"):
        alone(CHECK, Budget(target_pass_at_k=0.5, **served))
    with pytest.raises(Refusal, match="when sampling stops"):
        alone(CHECK, Budget(train_flops=1e20, inference_flops=1e9, cost=Cost(stop_at_success=True)))
    with pytest.raises(InputError, match="model 'ours'"):
        optimum(CHECK, LIFETIME, rivals={"ours": (7e9, -1.0)})
    with pytest.raises(InputError, match="one number per budget"):
        sensitivity(CHECK, Budget(train_flops=[1e20, 1e21]))


def test_a_budget_is_written_and_read():
    budget = Budget(dollars=5e6, questions=1e9, questions_factor=3.0, tokens_per_sample=500.0,
                    unique_tokens=2e12, cost=Cost.on("h100", dollars_per_hour=2.0))  # fmt: skip
    again = Budget.from_dict(budget.to_dict())
    assert again.to_dict() == budget.to_dict()
    with pytest.raises(InputError, match="a budget has no 'train_flop'"):
        Budget.from_dict({"train_flop": 1e20})
