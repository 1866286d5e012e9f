"""`page_html`: words, tables, figures and the planner in one HTML file that needs nothing else."""

import html
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from t2jax import _text
from t2jax.fitting import FitResult
from t2jax.planner import Plan
from t2jax.planner.companion import predicted
from t2jax.reporting.page.data import planner_data, why_not
from t2jax.reporting.page.javascript import written
from t2jax.reporting.screen import headline
from t2jax.reporting.tables import sections
from t2jax.uncertainty import Ensemble

__all__ = ["Drawing", "page_html"]

_SCRIPTS = ("numbers.js", "search.js", "work.js", "charts.js", "story.js", "address.js",
            "dials.js", "planner.js", "planner_charts.js")  # fmt: skip

Drawing = tuple[str, str, str]
"""A figure of a page: its title, what it shows in a sentence, and its SVG."""


def page_html(plan: Plan, drawings: Sequence[Drawing] = ()) -> str:
    """The whole page.

    Args:
      plan: what the page tells, and what its planner starts from.
      drawings: the figures.
    """
    data, lacking = planner_data(plan), why_not(plan.draws.point)
    told = headline(plan).removesuffix(".")
    numbers = {name: value for name, value in data.items() if name != "programs"}
    planner = _read("planner.html")
    if lacking:
        planner = (
            '<section id="planner"><h2>Planner</h2>\n'
            f'<p class="notice">{_escape(lacking)} The tables and figures below are complete; '
            "<code>t2jax optimum</code> answers other budgets.</p></section>"
        )
    parts = {
        "generator": _escape(f"t2jax {metadata.version('t2jax')}"),
        "title": _escape(f"{told} | t2jax"),
        "headline": _escape(told),
        "lede": _escape(lede(plan)),
        "trust": "".join(f"<li>{_escape(sentence)}</li>" for sentence in trust(plan)),
        "planner": planner,
        "sections": "\n".join(section.html() for section in sections(plan)),
        "figures": _figures(drawings),
        "colophon": _escape(_colophon(plan.fit, plan.draws)),
        "data": _json(_text.json_ready(numbers)),
        "style": _read("page.css"),
        "script": "" if lacking else "\n".join([written(data["programs"]), *map(_read, _SCRIPTS)]),
    }
    return re.sub(r"<!--@(\w+)-->|/\*@(\w+)\*/", lambda m: parts[m[1] or m[2]], _read("page.html"))


def lede(plan: Plan, level: float = 0.9) -> str:
    """What the headline leaves out: the law's value there, and what it gains."""
    best = plan.optimum
    unit = "a loss of {} nats" if best.kind == "loss" else "mean pass@k of {}"
    line = f"Law '{best.law_name}' predicts {unit.format(_text.number(float(best.value)))}"
    if best.draws is not None:
        _, low, high = predicted(plan.draws, best, level)
        line += f" ({level:.0%} interval {_text.number(low)} to {_text.number(high)})"
    if best.rival is None or best.goal.startswith("target"):
        return line + "."
    gain = float(best.gain())
    better = "better" if gain >= 0 else "WORSE"
    measure = "nats" if best.kind == "loss" else "of pass@k"
    line += f", {_text.number(abs(gain), 3)} {measure} {better} than Chinchilla's choice"
    if best.draws is not None:
        low, high = best.gain_interval(level)
        line += f" ({_text.number(low, 3)} to {_text.number(high, 3)})"
    return line + "."


def trust(plan: Plan) -> list[str]:
    """What a reader must know before believing the headline, the measured runs' verdict first."""
    error = plan.fit.criteria.get("mean relative error")
    said = [str(plan.verdict)]
    if error is not None:
        what = "pass@k" if plan.fit.law.kind == "accuracy" else "losses"
        said.append(f"The law misses the {what} it was fitted to by {error:.1%} on average.")
    said += plan.warnings[:2]
    more = len(plan.warnings) - 2
    if more > 0:
        said.append(f'{more} more such sentences stand below, under "What this does not know".')
    return said


def _colophon(fit: FitResult, draws: Ensemble) -> str:
    made = f"Made by t2jax {metadata.version('t2jax')} from {fit.source or 'a table in memory'}"
    made += f" (data {fit.data_hash[:12]})" if fit.data_hash else ""
    if draws.n_draws:
        made += f"; {draws.n_draws} {draws.kind} draws by {draws.unit or 'unit'}, seed {draws.seed}"
    return made + ". This file needs no network and sends nothing."


def _figures(drawings: Sequence[Drawing]) -> str:
    if not drawings:
        return ""
    parts = ['<section class="figures"><h2>Figures</h2>']
    for title, told, svg in drawings:
        label = _escape(f"{title}: {told}").replace('"', "&quot;")
        parts.append(
            f'<figure class="drawn"><figcaption><span class="chart-title">{_escape(title)}</span>'
            f"</figcaption><div>{_labelled(svg, label)}</div>"
            f'<p class="hint">{_escape(told)}</p></figure>'
        )
    return "\n".join([*parts, "</section>"])


def _labelled(svg: str, label: str) -> str:
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _json(data: Mapping[str, Any]) -> str:
    """JSON that no HTML parser ends early."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _read(name: str) -> str:
    folder = importlib.resources.files("t2jax.reporting.page")
    return (folder / name).read_text(encoding="utf-8")


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
