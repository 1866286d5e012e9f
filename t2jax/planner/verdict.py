"""`Verdict`: what the table itself says at a plan's budgets, against what the law says."""

import dataclasses
import math
from typing import Any

from t2jax import _text, cost
from t2jax.errors import Status
from t2jax.planner.equal_budgets import Measured
from t2jax.planning import Optimum

__all__ = ["Verdict", "verdict_on"]

_SAME = 1.2  # budgets further apart have optima of their own


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The measured runs judge the law.

    Attributes:
      agrees: whether sizes for which the best one measured speaks lie in the law's interval, and
        its gain over Chinchilla's choice or the promised one in the other's; None where the
        table says nothing at these budgets.
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
    asked = cost.TRAIN_FLOPS * float(best.params) * float(best.tokens)
    if best.goal == "train_flops" and abs(math.log(found.train_flops / asked)) > math.log(_SAME):
        return Verdict(
            agrees=None,
            headline="law",
            sentences=(
                f"The nearest runs measured spent {found.train_flops:.2g} FLOPs, not {asked:.2g}, "
                f"and do not judge this plan; the best of {found.sizes} sizes there was "
                f"{_text.count(found.repeated.params)}.",
            ),
        )
    size = _size(best, found, level)
    gain = _gain(best, found, level)
    against = [said for agrees, said in (size, gain) if not agrees]
    along = [said for agrees, said in (size, gain) if agrees and said]
    if not against:
        # An interval wider than the table holds whatever was measured, and that is no agreement.
        wide = int(best.code) & Status.UNTOLD_PARAMS
        opening = "The measured runs " + ("cannot judge so wide an interval" if wide else "agree")
        low, high = best.interval("params", level)
        if not wide and not low <= found.repeated.params <= high:
            opening += " as far as their sizes tell"
        return Verdict(
            agrees=None if wide else True, headline="law", sentences=(f"{opening}: {along[0]}.",
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
    """Whether the best size measured may be the best of the law's sizes, in words.

    It speaks for every size to which it is the nearest of those measured.
    """
    low, high = best.interval("params", level)
    params = found.repeated.params
    least, most = found.speaks_for
    inside = not (params < low or params > high)
    agrees = inside or (least <= high and most >= low)
    band = f"{level:.0%} interval {_text.interval(low, high, _text.count)}"
    place = "inside" if inside else "outside"
    if agrees and not inside and found.once:
        place = "as good within the scatter as sizes in"
    elif agrees and not inside:
        end = "upper" if params > high else "lower"
        place = f"of those measured the nearest to the {end} end of"
    said = f"the best of {found.sizes} sizes trained with {found.train_flops:.3g} FLOPs is "
    said += f"{_text.count(params)}, {place} the law's {band}"
    if found.at_edge:
        said += ", and at the edge of what was measured there"
    return agrees, said


def _gain(best: Optimum, found: Measured, level: float) -> tuple[bool, str]:
    """Whether the gain over Chinchilla that was measured and the promised one may be the same.

    Either may lie in the interval of the other: the measured one is noisy too.
    """
    if best.rival is None or best.goal.startswith("target"):
        return True, ""
    by_loss = best.kind == "loss"
    gain = found.loss_gain() if by_loss else found.gain()
    ends = found.loss_gain_interval if by_loss else found.gain_interval
    if gain != gain:
        return True, ""
    unit = "nats" if by_loss else "of pass@k"
    low, high = best.gain_interval(level)
    promised = float(best.gain())
    agrees = not (gain < low or gain > high) or ends[0] <= promised <= ends[1]
    said = f"the best measured size gained {_short(gain)} {unit} "
    said += f"{_text.interval(*ends, _short)} "
    said += "over the one that is best at one sample, "
    said += "as the law promises" if agrees else "where the law promises"
    return agrees, f"{said} {_short(promised)} {_text.interval(low, high, _short)}"


def _short(value: float) -> str:
    return f"{value:.3f}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
