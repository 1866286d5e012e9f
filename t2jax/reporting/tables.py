"""The report in words and fixed-width tables, no line wider than `WIDTH` where words allow."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from t2jax import _text
from t2jax.decision import Decision, Design
from t2jax.errors import Status
from t2jax.fitting import FitResult
from t2jax.planner import Measured
from t2jax.planner.companion import Companion, predicted
from t2jax.planning import Frontier, Optimum
from t2jax.reporting.blocks import WIDTH, Bullets, Section, Table
from t2jax.reporting.measured_section import measured_section
from t2jax.uncertainty import Ensemble
from t2jax.validation import Profile

__all__ = ["WIDTH", "data_section", "decision_section", "doubts", "fit_section", "page",
           "plan_section", "sections"]  # fmt: skip

_COUNTS = {
    "params": "parameters N",
    "tokens": "training tokens D",
    "samples": "samples per question k",
    "tokens_per_param": "tokens per parameter",
}
_WORDS = {"params": "parameters", "tokens": "tokens", "samples": "samples",
          "tokens_per_param": "tokens per parameter"}  # fmt: skip
_OUTSIDE = ": this is extrapolation"
_FEW_UNITS = 30  # of resampling: below it the spread of the draws is itself poorly known


def page(*results: Any, **said: Any) -> str:
    """Everything that `t2jax plan` has to say, as text.

    Args:
      results: as for `sections`.
      said: as for `sections`.
    """
    return "\n\n".join(section.text() for section in sections(*results, **said))


def sections(
    fit: FitResult,
    draws: Ensemble,
    best: Optimum,
    front: Frontier,
    companion: Companion | None,
    inside: Optimum | None = None,
    measured: Measured | None = None,
    *,
    profiled: Profile | None = None,
    decision: Decision | None = None,
    design: Design | None = None,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> list[Section]:
    """Everything that `t2jax plan` has to say, in reading order.

    Args:
      fit: the fitted law.
      draws: its bootstrap.
      best: the optimum.
      front: the optima along training budgets.
      companion: the accuracy law, or None.
      inside: the best plan within the ranges of the table, where `best` lies outside.
      measured: the checkpoints' own comparison at these budgets, or None.
      profiled: profile intervals of the plan, or None.
      decision: what not knowing the law costs, or None.
      design: the runs to buy next, or None.
      notes: what was assumed, such as a budget that was not given.
      warnings: what else must be said among the doubts.
    """
    said = [*warnings, *doubts(fit, draws, best, front, companion)]
    return [
        data_section(fit),
        fit_section(fit, draws),
        plan_section(
            draws, best, companion, inside, profiled=profiled, notes=notes, label=value_label(fit)
        ),
        *([] if measured is None else [measured_section(measured)]),
        *([] if decision is None else [decision_section(decision, design)]),
        Section("What this does not know", [Bullets(said)]),
    ]


def decision_section(decision: Decision, design: Design | None) -> Section:
    """What not knowing the law costs, and what would lower that most."""
    blocks: list[str | Table | Bullets] = [_sentence(line) for line in decision.words()]
    if design is not None and design.picks[0].fall > 0:
        unit = "nats" if design.kind == "loss" else "of pass@k"
        rows = [[pick.purchase.words().rpartition(" (")[0], f"{pick.purchase.flops:.3g}",
                 _text.number(pick.fall, 2)] for pick in design.picks]  # fmt: skip
        blocks += [
            "Runs that would lower this regret most for their FLOPs, none dearer than the dearest "
            "in the table:",
            Table(["buy next", "FLOPs", f"regret falls, {unit}"], rows),
        ]
    return Section("What not knowing the law costs", blocks)


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}."


def data_section(fit: FitResult) -> Section:
    """The table in a paragraph."""
    return Section("The data", [fit.description])


def fit_section(fit: FitResult, draws: Ensemble, level: float = 0.9) -> Section:
    """The coefficients with intervals, and how well the law fits."""
    meanings = {card.name: card.meaning for card in fit.law.cards()}
    width = max(map(len, meanings.values()))
    rows = []
    for name, value in fit.law.coefficients().items():
        band = _text.interval(*draws.interval(name, level), _short) if draws.n_draws else "n/a"
        note = "at its bound" if name in fit.certificate.at_bound else ""
        rows.append([name, _text.number(value), band, meanings[name].ljust(width), note])
    head = ["coefficient", "estimate", f"{level:.0%} interval", "meaning".ljust(width), ""]
    k = "" if fit.samples is None else f" at k = {', '.join(_text.number(k) for k in fit.samples)}"
    quality = [f"{name} {_text.number(value, 3)}" for name, value in fit.criteria.items()]
    quality.append(f"{fit.certificate.agreement:.0%} of {len(fit.starts)} starts agree")
    facts = f"{fit.n_obs} values{k}; objective {fit.objective}; {', '.join(quality)}."
    blocks = [Table(head, rows), facts, _intervals_from(fit, draws)]
    return Section(f"The fit: law '{fit.law.name}'", blocks)


def _intervals_from(fit: FitResult, draws: Ensemble) -> str:
    if not draws.n_draws:
        return "No draws, hence no intervals."
    units = draws.diagnostics.get("units", "some")
    asked = fit.observations is not None and fit.observations.kind != "loss"
    return (
        f"Intervals: {draws.n_draws} {draws.kind} refits, resampling {units} {draws.unit}s"
        f"{' and the questions' if asked else ''}; "
        f"{draws.diagnostics.get('converged', 1.0):.1%} converged."
    )


def value_label(fit: FitResult) -> str:
    """What the law's value is, with its unit."""
    if fit.law.kind == "accuracy":
        return "mean pass@k"
    asked = fit.samples is not None or fit.law.uses_samples
    return "mean -log pass@k, nats" if asked else "loss, nats"


def plan_section(
    draws: Ensemble,
    best: Optimum,
    companion: Companion | None,
    inside: Optimum | None = None,
    *,
    label: str,
    profiled: Profile | None = None,
    notes: Sequence[str] = (),
    level: float = 0.9,
) -> Section:
    """The plan beside Chinchilla's choice, what it gains, and what more budget would buy."""
    rival = best.chinchilla if _has_rival(best) else None
    # A plan outside the data is the law's opinion: what the table supports stands before it.
    outside = _outside(draws, best)
    subject = "law's optimum" if outside else "the plan"
    columns: list[tuple[str, Optimum, Optimum | None]] = [(subject, best, best.draws)]
    if rival is not None:
        columns.append(("Chinchilla", rival, best.draws and best.draws.chinchilla))
    judges = [(label, draws)]
    judges += [] if companion is None else [("mean pass@k", companion.draws)]
    head, titles = [""], [*_COUNTS.values(), *(title for title, _ in judges)]
    rows = [[title] for title in titles]
    if inside is not None:
        head.append("in range")
        for row, cells in zip(rows, _column(inside, None, judges, level), strict=True):
            row.append(cells[0])
    for title, plan, drawn in columns:
        head += [title, f"{level:.0%} interval"]
        for row, cells in zip(rows, _column(plan, drawn, judges, level), strict=True):
            row += cells
    blocks: list[str | Table | Bullets] = [*notes, "", Table(head, rows), ""]
    blocks += _profile_words(profiled)
    blocks += [*_range_words(outside, inside), *_comparison(best, rival, subject, level)]
    if companion is not None:
        blocks += ["", *_accuracy_blocks(best, companion, level)]
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


def _column(
    plan: Optimum, drawn: Optimum | None, judges: Sequence[tuple[str, Ensemble]], level: float
) -> list[list[str]]:
    """One plan: its counts, and what each law predicts for it, with their intervals."""
    bands = _bands(drawn, level)
    cells = [[_text.count(float(getattr(plan, name))), bands.get(name, "n/a")] for name in _COUNTS]
    for _, judge in judges:
        value, low, high = predicted(judge, plan, level)
        cells.append([_short(value), _text.interval(low, high, _short)])
    return cells


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


def _range_words(outside: list[str], inside: Optimum | None) -> list[str]:
    """How far outside the table the optimum lies, and what the table itself supports."""
    if not outside:
        return []
    said = f"EXTRAPOLATION: the law's optimum leaves the measured range: {', '.join(outside)}."
    if inside is None:
        return [f"{said} No plan under these budgets lies inside the table.", ""]
    return [f"{said} The column 'in range' is the best plan that does not.", ""]


def _times(factor: float) -> str:
    """How far, as a factor, or in decades where the factor is hard to read."""
    return f"a factor of {factor:.2g}" if factor < 100 else f"{np.log10(factor):.1f} decades"


def _has_rival(best: Optimum) -> bool:
    """Without an inference budget Chinchilla's choice is the optimum itself."""
    return best.chinchilla is not None and float(best.inference_price) > 0


def _bands(draws: Optimum | None, level: float) -> dict[str, str]:
    if draws is None:
        return {}
    ends = [(1 - level) / 2, (1 + level) / 2]
    out = {}
    for name in _COUNTS:
        low, high = np.nanquantile(np.asarray(getattr(draws, name)), ends)
        out[name] = _text.interval(float(low), float(high), _text.count)
    return out


def _comparison(best: Optimum, rival: Optimum | None, name: str, level: float) -> list[str]:
    loss = best.kind == "loss"
    unit = "nats" if loss else "of pass@k"
    lines = []
    if rival is None:
        lines.append("One sample per question and no inference budget: Chinchilla's own problem.")
    else:
        gain = float(best.gain())
        subject = "The plan" if name == "the plan" else "The law's optimum"
        line = f"{subject} is {_short(abs(gain))} {unit} {'better' if gain >= 0 else 'WORSE'} than "
        line += "Chinchilla's size and tokens with the samples that its size affords"
        if best.draws is not None:
            low, high = best.gain_interval(level)
            line += f", {level:.0%} interval {_text.interval(low, high, _short)}"
        lines.append(line + ".")
        if Status.OVER_INFERENCE & int(np.asarray(rival.code)):
            lines.append(
                "Chinchilla's model is so large that one sample of it already exceeds the "
                "inference budget; it is judged at one sample all the same."
            )
    price, other = float(best.train_price) * np.log(2), float(best.inference_price) * np.log(2)
    verb = "takes {} nats off the loss" if loss else "adds {} to pass@k"
    line = f"Doubling the training budget {verb.format(_short(price))}"
    if rival is not None:
        line += f"; doubling the inference budget {verb.format(_short(other))}"
    return [*lines, line + "."]


def _accuracy_blocks(best: Optimum, companion: Companion, level: float) -> list[str | Table]:
    """What the accuracy law would do with the same budgets."""
    own = companion.best
    bands = _bands(own.draws, level)
    rows = [
        [title, _text.count(float(getattr(own, name))), bands.get(name, "n/a")]
        for name, title in _COUNTS.items()
    ]
    value, low, high = companion.pass_at_k(own, level)
    rows.append(["mean pass@k", _short(value), _text.interval(low, high, _short)])
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


def doubts(
    fit: FitResult,
    draws: Ensemble,
    best: Optimum,
    front: Frontier,
    companion: Companion | None,
) -> list[str]:
    """Everything that the intervals leave out, a sentence each."""
    # Of a fit that is not certified more is said below: why it is not.
    dull = (_OUTSIDE, *Status.UNCERTIFIED.sentences())
    said = [f"The plan: {s}." for s in best.status if not s.endswith(dull)]
    if _has_rival(best) and best.chinchilla is not None:
        if any(sentence.endswith(_OUTSIDE) for sentence in best.chinchilla.status):
            said.append("Chinchilla's choice lies outside the table too: this is extrapolation.")
    said += _draw_doubts(fit, draws, best)
    units = draws.diagnostics.get("units")
    if units is not None and units < _FEW_UNITS:
        said.append(
            f"Only {units} {draws.unit}s could be resampled: the intervals are uncertain "
            "themselves, and tend to be too narrow."
        )
    said += _misfit(fit)
    if companion is not None:
        name = companion.fit.law.name
        error = companion.fit.criteria.get("mean relative error")
        if error is not None:
            said.append(f"Law '{name}' misses the measured pass@k by {error:.1%} on average.")
        notes = _draw_doubts(companion.fit, companion.draws, companion.best)
        said += [f"Law '{name}': {note}" for note in notes]
    limits = np.unique(np.asarray(np.nan if front.saturation is None else front.saturation))
    if len(limits) == 1 and np.isfinite(limits[0]):
        said.append(
            f"At this inference budget N* cannot pass {_text.count(float(limits[0]))}, however "
            "much is spent on training: extreme tokens per parameter are partly that ceiling."
        )
    if fit.law.uses_samples:
        said.append("pass@k takes a correct answer to be recognised when it is sampled.")
    costs = "Training is counted as 6ND FLOPs"
    if fit.law.uses_samples:
        costs += (
            " and a sample as 2N per token, without attention, memory traffic or utilisation, "
            "which flatters small models"
        )
    said.append(costs + ".")
    if fit.params_definition == "unstated":
        said.append(
            "The table does not say what N counts (total, non-embedding, ...); 6ND and the plan's "
            "size inherit whatever it was. State it with --params-definition."
        )
    if fit.source == "the built-in ladder":
        said.append(
            "The built-in ladder holds tiny models trained on synthetic questions. It shows how a "
            "plan is made and says nothing about large models."
        )
    return said


def _draw_doubts(fit: FitResult, draws: Ensemble, best: Optimum) -> list[str]:
    said = [] if fit.success else [f"NOT CERTIFIED: {fit.message}."]
    shares = dict(draws.diagnostics.get("at_bound", {}))
    names = [*fit.certificate.at_bound, *(n for n in shares if n not in fit.certificate.at_bound)]
    for name in names:
        where = "in the fit" if name in fit.certificate.at_bound else ""
        share = f"{shares[name]:.0%} of the draws" if name in shares else ""
        where += (" and in " if where and share else "in " if share else "") + share
        said.append(
            f"{name} lies at its bound {where}: the data do not identify it, and intervals of "
            "coefficients that trade off with it are too narrow."
        )
    lost = 1.0 - float(draws.diagnostics.get("converged", 1.0))
    if lost > 0:
        said.append(f"{lost:.1%} of the refits did not converge.")
    if best.draws is not None:
        codes = np.asarray(best.draws.code, int)
        for flag in (Status.NOT_CONVERGED, Status.AT_SEARCH_EDGE, Status.SEVERAL_MODES):
            share = float(np.mean((codes & int(flag)) > 0))
            if share > 0:
                said.append(f"In {share:.0%} of the draws {flag.sentences()[0]}.")
    return said


def _misfit(fit: FitResult) -> list[str]:
    """How far the law is from the measurements, and where it is furthest."""
    if not len(fit.observed):
        return []
    error = fit.predicted / fit.observed - 1.0
    said = (
        f"Law '{fit.law.name}' misses a measured value by {np.mean(np.abs(error)):.1%} on average "
        f"and one in twenty by more than {np.quantile(np.abs(error), 0.95):.0%}"
    )
    if fit.samples is not None and len(fit.samples) > 1:
        by_k = np.mean(np.abs(error.reshape(-1, len(fit.samples))), axis=0)
        said += (
            f"; worst at k = {_text.number(fit.samples[int(np.argmax(by_k))])} ({by_k.max():.1%})"
        )
    runs = fit.observations
    if runs is not None and len(error) % runs.n_rows == 0:
        most = np.argsort(runs.train_flops, kind="stable")[-max(1, runs.n_rows // 10) :]
        bias = float(np.mean(error.reshape(runs.n_rows, -1)[most]))
        said += (
            f". In the tenth of the table with the most training it predicts {abs(bias):.1%} too "
            f"{'high' if bias > 0 else 'low'} on average"
        )
    return [said + ". The intervals assume that the law is right."]


def _short(value: float) -> str:
    return _text.number(value, 3)
