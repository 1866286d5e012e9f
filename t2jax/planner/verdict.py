"""`Verdict`: what the table itself says at a plan's budgets, against what the law says."""

import dataclasses
from typing import Any

from t2jax import _text
from t2jax.planner.equal_budgets import Measured
from t2jax.planning import Optimum

__all__ = ["Verdict", "verdict_on"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The measured runs judge the law.

    Attributes:
      agrees: whether the best size measured and its gain over Chinchilla's choice lie where the
        law says; None where the table says nothing at these budgets.
      headline: "measured" where the law is contradicted, else "law": whose answer comes first.
      sentences: the verdict in words, the weightiest first.
    """

    agrees: bool | None
    headline: str
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        """The sentences in a row."""
        return " ".join(self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        return dataclasses.asdict(self) | {"sentences": list(self.sentences)}


def verdict_on(best: Optimum, found: Measured | None, why: str, level: float = 0.9) -> Verdict:
    """Judge a law's plan by the checkpoints that were measured at its budgets.

    Args:
      best: the law's plan, with draws.
      found: what was measured, or None.
      why: why nothing was.
      level: of the intervals.
    """
    if found is None:
        return Verdict(
            agrees=None,
            headline="law",
            sentences=(f"No measured run judges this plan: {why or 'none is at hand'}.",),
        )
    size = _size(best, found, level)
    gain = _gain(best, found, level)
    against = [said for agrees, said in (size, gain) if not agrees]
    along = [said for agrees, said in (size, gain) if agrees and said]
    if not against:
        return Verdict(
            agrees=True, headline="law", sentences=(f"The measured runs agree: {along[0]}.",
                                                    *(f"{_upper(x)}." for x in along[1:])),
        )  # fmt: skip
    return Verdict(
        agrees=False,
        headline="measured",
        sentences=(
            f"THE MEASURED RUNS DO NOT BEAR THE LAW OUT: {against[0]}.",
            *(f"{_upper(x)}." for x in (*against[1:], *along)),
        ),
    )


def _size(best: Optimum, found: Measured, level: float) -> tuple[bool, str]:
    """Whether the best size measured lies in the interval of the plan's, in words."""
    low, high = best.interval("params", level)
    params = found.repeated.params
    agrees = not (params < low or params > high)
    band = _text.interval(low, high, _text.count)
    said = f"the best of {found.sizes} sizes trained with {found.train_flops:.3g} FLOPs is "
    said += f"{_text.count(params)}, {'inside' if agrees else 'outside'} the law's {band}"
    if found.at_edge:
        said += ", and at the edge of what was measured there"
    return agrees, said


def _gain(best: Optimum, found: Measured, level: float) -> tuple[bool, str]:
    """Whether the measured gain over Chinchilla lies in the promised interval, in words."""
    if best.rival is None or best.goal.startswith("target"):
        return True, ""
    by_loss = best.kind == "loss"
    gain = found.loss_gain() if by_loss else found.gain()
    ends = found.loss_gain_interval if by_loss else found.gain_interval
    if gain != gain:
        return True, ""
    unit = "nats" if by_loss else "of pass@k"
    low, high = best.gain_interval(level)
    agrees = not (gain < low or gain > high)
    said = f"the best measured size gained {_short(gain)} {unit} "
    said += f"{_text.interval(*ends, _short)} "
    said += "over the one that is best at one sample, "
    said += "as the law promises" if agrees else "where the law promises"
    return agrees, f"{said} {_short(float(best.gain()))} {_text.interval(low, high, _short)}"


def _short(value: float) -> str:
    return f"{value:.3f}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
