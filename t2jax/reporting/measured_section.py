"""What the checkpoints themselves say at equal budgets, in words: no law stands between."""

from t2jax import _text
from t2jax.planner import Measured
from t2jax.planner.equal_budgets import Choice
from t2jax.reporting.blocks import Section, Table

__all__ = ["measured_section"]


def measured_section(found: Measured) -> Section:
    """The measured comparison as a table and a verdict."""
    uneven = found.unevenness - 1
    within = "" if uneven < 0.005 else f" (equal to within {uneven:.0%})"
    start = (
        f"Measured, without a law: {found.sizes} sizes trained with {found.train_flops:.3g} "
        f"FLOPs{within}, each with the samples that the inference budget affords it."
    )
    head = ["", "T2's choice", "Chinchilla's"]
    shown = {
        "parameters N": lambda c: _text.count(c.params),
        "training tokens D": lambda c: _text.count(c.tokens),
        "samples per question k": lambda c: _text.count(c.samples),
        "tokens per parameter": lambda c: _text.count(c.tokens / c.params),
        "mean -log pass@k, nats": lambda c: _text.number(c.loss, 3),
        "mean pass@k": lambda c: _text.number(c.pass_at_k, 3),
        "checkpoints averaged": lambda c: str(c.checkpoints),
    }
    choices: tuple[Choice, Choice] = (found.repeated, found.single)
    rows = [[title, *map(show, choices)] for title, show in shown.items()]
    blocks = [start, Table(head, rows), _verdict(found)]
    return Section("Without a law", blocks, silent=True)


def _verdict(found: Measured) -> str:
    if found.repeated.params == found.single.params:
        said = "Both choose the same size: here the measurements see no gain from a smaller one."
    else:
        gain, (low, high) = found.gain(), found.gain_interval
        said = f"pass@k of T2's choice is {abs(gain):.3f} {'higher' if gain >= 0 else 'LOWER'}"
        said += f", {found.level:.0%} interval {_text.interval(low, high, lambda x: f'{x:.3f}')}"
        said += " when sizes are chosen on some of the questions and compared on the others."
    if found.at_edge:
        said += (
            " T2's choice is at the edge of the sizes measured there: the best size may lie beyond."
        )
    return said
