"""The report in words and fixed-width tables, no line wider than `WIDTH` where words allow."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from t2jax import _text
from t2jax.decision import Decision, Design
from t2jax.errors import Status
from t2jax.fitting import FitResult
from t2jax.planner import Companion, Measured, Plan
from t2jax.planning import Optimum
from t2jax.planning.result import price_words
from t2jax.reporting.blocks import WIDTH, Bullets, Section, Table
from t2jax.uncertainty import Ensemble
from t2jax.validation import Profile

__all__ = [
    "COUNTS",
    "WIDTH",
    "fit_section",
    "labelled",
    "measured_cells",
    "measured_section",
    "page",
    "plan_section",
    "samples_text",
    "sections",
    "short",
    "value_label",
]

COUNTS = {
    "params": "parameters N",
    "tokens": "training tokens D",
    "samples": "samples per question k",
    "tokens_per_param": "tokens per parameter",
}
_FEW, _WHOLE = 10, 10_000  # samples that are written out as whole numbers
_WORDS = {"params": "parameters", "tokens": "tokens", "samples": "samples",
          "tokens_per_param": "tokens per parameter"}  # fmt: skip


def page(plan: Plan, level: float = 0.9) -> str:
    """Everything that `t2jax plan` has to say, as text.

    Args:
      plan: what was found.
      level: of the intervals.
    """
    return "\n\n".join(section.text() for section in sections(plan, level))


def sections(plan: Plan, level: float = 0.9) -> list[Section]:
    """Everything that `t2jax plan --full` has to say, in order of weight.

    Args:
      plan: what was found.
      level: of the intervals.
    """
    found = [Section("The verdict", [str(plan.verdict)]), plan_section(plan, level)]
    if plan.measured is not None:
        found.append(measured_section(plan.measured))
    if plan.backtest is not None:
        found.append(Section("Judged by runs it was not made of", [plan.backtest.sentence()]))
    found.append(Section("What this does not know", [Bullets(plan.warnings)]))
    if plan.decision is not None:
        found.append(_decision_section(plan.decision, plan.design))
    data = Section("The data", [plan.fit.description, *_defined(plan.fit)])
    return [*found, fit_section(plan, level), data]


def _defined(fit: FitResult) -> list[str]:
    """Words of the table that not everybody knows, explained."""
    said = []
    if "trunk" in fit.description:
        said.append("A trunk is one training whose runs share data and seed.")
    if fit.params_definition == "matrices+head":
        said.append("N (matrices+head) counts the weight matrices and the output layer, and not "
                    "the embedding of the input.")  # fmt: skip
    return said


def measured_section(found: Measured) -> Section:
    """The measured comparison as a table and a verdict."""
    uneven = found.unevenness - 1
    within = "" if uneven < 0.005 else f" (equal to within {uneven:.0%})"
    start = (
        f"Measured, without a law: {found.sizes} sizes trained with {found.train_flops:.3g} FLOPs"
    )
    start += (
        "."
        if found.once
        else (f"{within}, each with the samples that the inference budget affords it.")
    )
    titles = {**COUNTS, "value": "mean -log pass@k, nats", "pass_at_k": "mean pass@k"}
    if found.once:
        titles |= {"value": "loss, nats"}
        del titles["pass_at_k"], titles["samples"]
    rows = [[title, *measured_cells(found, name, "loss")] for name, title in titles.items()]
    averaged = [str(choice.checkpoints) for choice in (found.repeated, found.single)]
    rows.append(["checkpoints read", *averaged[: len(rows[0]) - 1]])
    head = ["", "best size", "Chinchilla's"][: len(rows[0])]
    blocks = [start, Table(head, rows), *([] if found.once else [_measured_verdict(found)])]
    return Section("Without a law", blocks, silent=True)


def measured_cells(found: Measured, quantity: str, kind: str) -> tuple[str, ...]:
    """What was measured of a quantity of a plan, for the best size and for Chinchilla's.

    Of losses there is one choice, the best size.

    Args:
      found: the measured comparison.
      quantity: as `Plan.records` names it.
      kind: "loss" or "accuracy": what the law's value is.
    """
    shown = {
        "params": lambda c: _text.count(c.params),
        "tokens": lambda c: _text.count(c.tokens),
        "samples": lambda c: samples_text(c.samples),
        "tokens_per_param": lambda c: _text.count(c.tokens / c.params),
        "value": lambda c: short(c.loss if kind == "loss" else c.pass_at_k),
        "pass_at_k": lambda c: short(c.pass_at_k),
    }
    show = shown.get(quantity, lambda _: "")
    both = (found.repeated,) if found.once else (found.repeated, found.single)
    return tuple(show(choice) for choice in both)


def samples_text(samples: float) -> str:
    """Samples as people draw them: a whole number, unless they are so few that the rest counts."""
    if not _FEW <= samples < _WHOLE:  # NaN among them
        return _text.count(samples)
    return str(max(1, round(samples)))


def _measured_verdict(found: Measured) -> str:
    if found.repeated.params == found.single.params:
        said = "Both choose the same size: here the measurements see no gain from a smaller one."
    else:
        gain, (low, high) = found.gain(), found.gain_interval
        said = f"pass@k of the best size is {abs(gain):.3f} {'higher' if gain >= 0 else 'LOWER'}"
        said += f", {found.level:.0%} interval {_text.interval(low, high, lambda x: f'{x:.3f}')}"
        said += " when sizes are chosen on some of the questions and compared on the others."
    if found.at_edge:
        said += " That size is at the edge of the sizes measured: a better one may lie beyond."
    return said


def _decision_section(decision: Decision, design: Design | None) -> Section:
    """What not knowing the law costs, and what would lower that most."""
    blocks: list[str | Table | Bullets] = [_sentence(line) for line in decision.words()]
    if design is not None and design.beyond_noise:
        unit = "nats" if design.kind == "loss" else "of pass@k"
        fall: dict[str, list[float]] = {}
        for pick in design.picks:
            words = pick.purchase.words().rpartition(" (")[0]
            fall.setdefault(words, []).append(pick.fall)
        price = {p.purchase.words().rpartition(" (")[0]: p.purchase.flops for p in design.picks}
        rows = [[f"{words}{f', {len(falls)} times' if len(falls) > 1 else ''}",
                 f"{price[words] * len(falls):.3g}", _text.number(sum(falls), 2)]
                for words, falls in fall.items()]  # fmt: skip
        blocks += [
            "Runs that would lower this cost most for their FLOPs, none dearer than the dearest "
            "in the table:",
            Table(["buy next", "FLOPs", f"cost falls, {unit}"], rows),
        ]
    return Section("What not knowing the law costs", blocks)


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}."


def fit_section(plan: Plan, level: float = 0.9) -> Section:
    """The coefficients with intervals, and how well the law fits."""
    fit, draws = plan.fit, plan.draws
    meanings = {card.name: card.meaning for card in fit.law.cards()}
    width = max(map(len, meanings.values()))
    rows = []
    for name, value in fit.law.coefficients().items():
        band = _text.interval(*draws.interval(name, level), short) if draws.n_draws else "n/a"
        note = "at its bound" if name in fit.certificate.at_bound else ""
        rows.append([name, _text.number(value), band, meanings[name].ljust(width), note])
    head = ["coefficient", "estimate", f"{level:.0%} interval", "meaning".ljust(width), ""]
    k = "" if fit.samples is None else f" at k = {', '.join(_text.number(k) for k in fit.samples)}"
    quality = [f"{name} {_text.number(value, 3)}" for name, value in fit.criteria.items()]
    quality.append(f"{fit.certificate.agreement:.0%} of {len(fit.starts)} starts agree")
    facts = f"{fit.n_obs} values{k}; objective {fit.objective}; {', '.join(quality)}."
    blocks = [Table(head, rows), facts, _intervals_from(fit, draws)]
    if plan.law_alone is not None:
        size = _text.count(float(plan.law_alone.params))
        blocks.append(
            "The plan is of this law times a smooth surface in log N and log D that follows what "
            f"the law misses (misfit). The coefficients alone put N* at {size}."
        )
    return Section(f"The fit: law '{fit.law.name}'", blocks)


def _intervals_from(fit: FitResult, draws: Ensemble) -> str:
    if not draws.n_draws:
        return "No draws, hence no intervals."
    units = draws.diagnostics.get("units", "some")
    return (
        f"Intervals: {draws.n_draws} {draws.kind} refits, resampling {units} {draws.unit}s"
        f"{' and the questions' if fit.samples is not None else ''}; "
        f"{draws.diagnostics.get('converged', 1.0):.1%} converged."
    )


def value_label(fit: FitResult) -> str:
    """What the law's value is, with its unit."""
    if fit.law.kind == "accuracy":
        return "mean pass@k"
    asked = fit.samples is not None or fit.law.uses_samples
    return "mean -log pass@k, nats" if asked else "loss, nats"


def labelled(plan: Plan, level: float) -> Iterator[tuple[dict[str, Any], str, Callable[..., str]]]:
    """The records of a plan that a table shows, each with its label and how its numbers look."""
    labels = {**COUNTS, "value": value_label(plan.fit), "pass_at_k": "mean pass@k"}
    if plan.optimum.goal != "train_flops":
        labels["spent"] = f"cost, {plan.optimum.unit}"
    for record in plan.records(level):
        name = record["quantity"]
        if name in labels:
            show = samples_text if name == "samples" else _text.count if name in COUNTS else short
            yield record, labels[name], show


def plan_section(plan: Plan, level: float = 0.9) -> Section:
    """The plan beside Chinchilla's choice, what it gains, and what more budget would buy."""
    best = plan.optimum
    # A plan outside the data is the law's opinion: what the table supports stands before it.
    outside = _outside(plan.draws, best)
    subject, title = ("the law's optimum", "law's optimum") if outside else ("the plan",) * 2
    titles = {"plan": title, "chinchilla": "Chinchilla"}
    head = ["", *(["in range"] if plan.inside is not None else [])]
    shown = [name for name in titles if name == "plan" or best.rival is not None]
    for name in shown:
        head += [titles[name], f"{level:.0%} interval"]
    rows = []
    for found, label, show in labelled(plan, level):
        row = [label]
        if plan.inside is not None:
            row.append(show(found["in_range"]))
        for of in shown:
            low, high = found[f"{of}_low"], found[f"{of}_high"]
            row += [show(found[of]), _text.interval(low, high, show)]
        rows.append(row)
    blocks: list[str | Table | Bullets] = [*plan.notes, "", Table(head, rows), ""]
    blocks += _profile_words(plan.profile)
    blocks += [*_range_words(outside, plan), *_comparison(best, subject, level)]
    if plan.companion is not None:
        blocks += ["", *_other_aim(best, plan.companion, level)]
    return Section("The plan", blocks)


def _profile_words(profiled: Profile | None) -> list[str | Bullets]:
    """The intervals by profile likelihood in a sentence, and what must be said beside them."""
    if profiled is None:
        return []
    shown = [
        f"{_WORDS[i.name]} {_text.interval(i.low, i.high, _text.count)}"
        for i in profiled.intervals.values() if i.name in _WORDS
    ]  # fmt: skip
    shown[0] += f" round {_text.count(profiled['params'].estimate)}"
    return [
        f"{profiled.level:.0%} intervals by profile likelihood, which cover as they say in "
        f"simulation: {', '.join(shown)}. Whether to trust them here: t2jax calibrate.",
        *([Bullets([f"{n[0].upper()}{n[1:]}." for n in profiled.notes])] if profiled.notes else []),
        "",
    ]


def _outside(draws: Ensemble, best: Optimum) -> list[str]:
    """In what, and by how much, an optimum lies outside the table."""
    if draws.hull is None:
        return []
    far = []
    for name, word in _WORDS.items():
        low, high = getattr(draws.hull, name)
        value = float(getattr(best, name))
        times = max(low / value, value / high)
        if times > 1 + 1e-6:
            far.append(f"{word} by {_times(times)}")
    return far


def _range_words(outside: list[str], plan: Plan) -> list[str]:
    """How far outside the table the optimum lies, and what the table itself supports."""
    if not outside:
        return []
    said = f"EXTRAPOLATION: the law's optimum leaves the measured range: {', '.join(outside)}."
    if plan.inside is None:
        said += " No plan under these budgets lies inside the table."
    else:
        said += " The column 'in range' is the best plan that does not."
    return [said, ""]


def _times(factor: float) -> str:
    """How far, as a factor, or in decades where the factor is hard to read."""
    return f"a factor of {factor:.2g}" if factor < 100 else f"{np.log10(factor):.1f} decades"


def _comparison(best: Optimum, subject: str, level: float) -> list[str]:
    """What the plan gains on Chinchilla's choice, and what more budget would buy."""
    rival = best.rival
    lines = []
    if rival is None:
        lines.append("One sample per question and no inference budget: Chinchilla's own problem.")
    elif best.goal.startswith("target"):
        saved = 1 - float(best.spent) / float(rival.spent)
        if math.isfinite(saved):
            lines.append(f"{subject[0].upper()}{subject[1:]} costs {abs(saved):.1%} "
                         f"{'less' if saved >= 0 else 'MORE'} than reaching the target with "
                         "Chinchilla's size and tokens.")  # fmt: skip
    else:
        gain, unit = float(best.gain()), "nats" if best.kind == "loss" else "of pass@k"
        line = f"{subject[0].upper()}{subject[1:]} is {short(abs(gain))} {unit} "
        line += f"{'better' if gain >= 0 else 'WORSE'} than "
        line += "Chinchilla's size and tokens with the samples that its size affords"
        if best.draws is not None:
            line += f", {level:.0%} interval "
            line += _text.interval(*best.gain_interval(level), short)
        lines.append(line + ".")
    if rival is not None and Status.OVER_INFERENCE & int(np.asarray(rival.code)):
        lines.append(
            "Chinchilla's model is so large that one sample of it already exceeds the "
            "inference budget; it is judged at one sample all the same."
        )
    prices = price_words(best)
    return [*lines, *([_sentence("; ".join(prices))] if prices else [])]


def _other_aim(best: Optimum, companion: Companion, level: float) -> list[str | Table]:
    """What the accuracy law would do with the same budgets."""
    own = companion.best
    rows = []
    for name, title in COUNTS.items():
        low, high = own.interval(name, level)
        show = samples_text if name == "samples" else _text.count
        rows.append([title, show(float(getattr(own, name))), _text.interval(low, high, show)])
    value, low, high = companion.pass_at_k(own, level)
    rows.append(["mean pass@k", short(value), _text.interval(low, high, short)])
    head = [f"law '{companion.fit.law.name}'", "most pass@k", f"{level:.0%} interval"]
    if companion.disagrees(best, level):
        verdict = (
            "The two aims DISAGREE: their intervals of N* have nothing in common. The mean of "
            "-log pass@k is governed by the hardest questions, mean pass@k by those within reach: "
            "decide which of them you want to improve before you train."
        )
    else:
        verdict = "The two aims agree within their intervals of N*."
    start = "If mean pass@k is what counts, rather than the mean of its log:"
    return [start, Table(head, rows), verdict]


def short(value: float) -> str:
    """Three significant digits."""
    return _text.number(value, 3)
