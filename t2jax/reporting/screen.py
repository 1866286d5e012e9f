"""The first screen: the answer first and complete, in at most `LINES` lines."""

import re

from t2jax import _text
from t2jax.observations import POOLED
from t2jax.planner import Plan
from t2jax.planning import Optimum
from t2jax.reporting.blocks import Table, wrap
from t2jax.reporting.tables import labelled, measured_cells, samples_text, short

__all__ = ["LINES", "first", "headline"]

LINES = 24
_TOLD = 2  # lines that one warning may take: what is cut is in the full text
_WARNINGS = 2
_FORBIDS = "do not use"


def first(plan: Plan, level: float = 0.9) -> str:
    """What to train, by how much it is better, whether to believe it, and where the rest is.

    Args:
      plan: what was found.
      level: of the intervals.
    """
    lines = wrap(headline(plan)).splitlines()
    # What forbids to use the plan stands where no lack of room can hide it.
    grave = [w for w in plan.warnings if _FORBIDS in w or w.startswith(POOLED)]
    for warning in grave:
        lines += wrap(warning).splitlines()
    lines += [*wrap(" ".join(plan.notes)).splitlines(), ""]
    lines += [*_table(plan, level).splitlines(), ""]
    lines += wrap(str(plan.verdict)).splitlines()
    if plan.backtest is not None:
        lines += wrap(plan.backtest.sentence()).splitlines()
    room = LINES - len(lines) - len(wrap(_rest(plan, 0)).splitlines())
    told: list[str] = []
    count = 0
    others = [warning for warning in plan.warnings if warning not in grave]
    for warning in others[:_WARNINGS]:
        shown = _cut(warning)
        if len(told) + len(shown) > room:
            break  # a lighter one in its place would hide it
        told, count = told + shown, count + 1
    rest = wrap(_rest(plan, count + len(grave))).splitlines()
    return "\n".join([*lines[: LINES - len(rest) - len(told)], *told, *rest])


def headline(plan: Plan) -> str:
    """The answer in a sentence: that of the measured runs where they contradict the law.

    Where the law's optimum lies outside the data, the best plan within them comes first.
    """
    best, found = plan.optimum, plan.measured
    if plan.verdict.headline == "measured" and found is not None:
        ours = found.repeated
        drawn = "" if found.once else f" with {_times(ours.samples)}"
        return (
            f"Measured at {found.train_flops:.3g} FLOPs, {_text.count(ours.params)} parameters on "
            f"{_text.count(ours.tokens)} tokens{drawn} was the best of "
            f"{found.sizes} sizes; the law says {_text.count(float(best.params))}."
        )
    if not _beyond(plan):
        return f"Train {_what(best)}."
    if plan.inside is None:
        return f"Beyond the data, the law says: train {_what(best)}. No plan lies within the data."
    return (
        f"Within the data: train {_what(plan.inside)}. "
        f"Beyond the data, the law says: train {_what(best)}."
    )


def _what(plan: Optimum) -> str:
    """A plan's numbers in words."""
    told = f"{_text.count(float(plan.params))} parameters on {_text.count(float(plan.tokens))} "
    asked = float(plan.samples) > 1 + 1e-9
    return told + "tokens" + (f", and {_times(float(plan.samples))}" if asked else "")


def _beyond(plan: Plan) -> bool:
    return any(sentence.endswith("extrapolation") for sentence in plan.optimum.status)


def _times(samples: float) -> str:
    return f"{samples_text(samples)} samples per question"


def _table(plan: Plan, level: float) -> str:
    """The plan, Chinchilla's choice by the law, and both as they were measured.

    Chinchilla's choice is what is best for one sample, with the samples that its size affords.
    """
    best, found = plan.optimum, plan.measured
    rival = best.rival is not None
    head = ["", "law's plan", f"{level:.0%} interval", *(["Chinchilla"] if rival else [])]
    head += ["best in range"] if plan.inside is not None else []
    if found is not None:
        head += ["best measured"] if found.once else ["best measured", "and Chinchilla's"]
    rows = []
    for record, label, show in labelled(plan, level):
        name = record["quantity"]
        if name == "value" and plan.backtest is not None and _beyond(plan):
            label += f" (backtest: {plan.backtest.error():.0%} off)"
        row = [label, show(record["plan"]),
               _text.interval(record["plan_low"], record["plan_high"], show)]  # fmt: skip
        row += [show(record["chinchilla"])] if rival else []
        row += [show(record["in_range"])] if plan.inside is not None else []
        row += list(measured_cells(found, name, plan.fit.law.kind)) if found is not None else []
        rows.append(row)
    if rival and not best.goal.startswith("target"):
        gain = _text.interval(*best.gain_interval(level), short)
        row = ["gain over Chinchilla", short(float(best.gain())), gain, ""]
        row += [""] if plan.inside is not None else []
        if found is not None:
            seen = found.loss_gain() if best.kind == "loss" else found.gain()
            row += [short(seen), ""]
        rows.append(row)
    return Table(head, rows).text()


def _cut(warning: str) -> list[str]:
    """As many whole sentences of a warning as its lines hold."""
    kept = ""
    for sentence in re.split(r"(?<=[.:;]) ", warning):
        longer = f"{kept} {sentence}".strip()
        if kept and len(wrap(longer, "- ", "  ").splitlines()) > _TOLD:
            break
        kept = longer
    return wrap(re.sub(r"[:;]$", ".", kept), "- ", "  ").splitlines()[:_TOLD]


def _rest(plan: Plan, shown: int) -> str:
    more = len(plan.warnings) - shown
    said = [f"{more} more warning{'s' * (more > 1)}"] if more > 0 else []
    bought = plan.design is not None and plan.design.beyond_noise
    said += ["the fit", *(["what to buy next"] if bought else [])]
    told = " and ".join([", ".join(said[:-1]), said[-1]] if said[1:] else said)
    asked = "" if plan.backtest is not None else "; `t2jax backtest` judges such plans on the table"
    return (
        f"{told[0].upper()}{told[1:]}: --full, or plan.summary(full=True){asked}; "
        "figures and a planner: index.html of the report."
    )
