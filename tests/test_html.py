"""What a notebook shows of a result: the words of its summary, as HTML that stands alone."""

import html.parser
import re
from typing import Any

import jax
import numpy as np
import pytest

import t2jax as t2
from t2jax import _html
from t2jax.decision.design import Pick
from t2jax.fitting import FitResult
from t2jax.fitting.held_out import HeldOut
from t2jax.fitting.result import Certificate
from t2jax.hull import Hull
from t2jax.laws import Additive
from t2jax.planning.sensitivity import Sensitivity
from t2jax.validation.profile import Interval

LAW = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
SOURCE = "<b>runs & more</b>.csv"


def fitted() -> FitResult:
    """A fit that was written down."""
    ends = (1.0, 1e12)
    return FitResult(
        law=LAW, success=False, message="went astray; use more starts", objective="huber",
        objective_options={}, objective_value=0.0123, n_obs=12, n_free=5, nuisance={"sd": 0.01},
        certificate=Certificate(gradient_norm=1e-9, expected_fall=1e-12, positive_definite=True,
                                condition=2e5, agreement=0.75, at_bound=("E",)),
        starts=({}, {}), samples=(1.0, 16.0),
        hull=Hull(params=ends, tokens=ends, samples=ends, tokens_per_param=ends, train_flops=ends),
        observed=np.ones(12), predicted=np.ones(12), criteria={"AICc": -12.5}, description="",
        params_definition="total", source=SOURCE, data_hash="", versions={},
    )  # fmt: skip


def made() -> dict[str, Any]:
    """One result of every kind that has a summary, each written down or solved for a known law."""
    many = jax.tree.map(lambda x: x * np.linspace(0.98, 1.02, 24), LAW)
    draws = t2.Ensemble(law=many, point=LAW, kind="bootstrap", unit="run",
                        diagnostics={"notes": ["a < b"]})  # fmt: skip
    row = np.asarray([[0.5, 0.75]])
    plan = {"params": 1e9, "tokens": 2e10, "samples": 1.0, "expected": 0.01, "high": 0.02}
    runs = [t2.Purchase(params=n, tokens=1e10, flops=6e10 * n, run_noise=0.01) for n in (1e8, 1e9)]
    spread = Interval(name="alpha", estimate=0.3478, low=0.3, high=0.4, level=0.9, dof=7.0,
                      standard_error=0.03)  # fmt: skip
    return {
        "fit": fitted(),
        "draws": draws,
        "best": t2.optimum(LAW, t2.Budget(train_flops=1e20)),
        "front": t2.frontier(LAW, t2.Budget(train_flops=np.geomspace(1e18, 1e20, 3))),
        "decision": t2.Decision(
            params=np.ones(3), tokens=np.ones(3), samples=np.ones(3), expected=np.ones(3),
            high=np.ones(3), best=plan, plug_in={**plan, "params": 2e9}, within=0.005,
            near=(5e8, 3e9), level=0.9, centre=np.zeros(3), covariance=np.eye(3), kind="loss"),
        "design": t2.Design(
            candidates=tuple(runs), fall=np.asarray([1e-3, 2e-3]), regret=0.004, kind="loss",
            picks=(Pick(purchase=runs[1], fall=2e-3, left=2e-3),), simulated={1: (1.9e-3, 1e-4)}),
        "sensitivity": Sensitivity(
            law_name="additive",
            table={"log train_flops": dict.fromkeys(("params", "tokens", "samples", "value",
                                                     "spent"), 0.5)}),
        "profile": t2.Profile(intervals={"alpha": spread}, law_name="additive", method="profile",
                              covariance="pooled", unit="run", units=12, level=0.9, source=SOURCE),
        "identification": t2.Identification(
            law_name="additive", rank=5, coefficients=5, condition=3e3, correlation={"A": 0.2},
            inflation={"A": 12.0, "E": 3.0}, rows=12),
        "calibration": t2.Calibration(
            coverage={"profile": {"alpha": (0.89, 0.95)}}, recommended="profile", law=LAW,
            tables=200, units=12, unit="run", rows=12, noise={"run": 0.01}, seed=0),
        "comparison": t2.Comparison(
            fits=(fitted(),), weights=np.ones(1), samples=None, failed={"tied": "a < b"},
            source=SOURCE,
            held_out=(HeldOut(law_name="additive", form="additive", quantity="relative error",
                              points=np.ones((2, 2)), point_error=np.asarray([0.01, 0.02]),
                              point_density=np.ones(2), axes=("train_flops",),
                              error=np.asarray([[0.02, 0.04]]), rows=np.ones((1, 2)),
                              converged=0.9),)),
        "extrapolation": t2.Extrapolation(
            method="law", run=np.asarray(["<r1>"]), params=np.asarray([1e8]),
            tokens=np.asarray([1e10]), samples=np.asarray([1.0, 64.0]), estimate=row, low=row / 2,
            high=row, beyond=row > 0.6, level=0.9, notes=("notes & such",)),
    }  # fmt: skip


KINDS = ("fit", "draws", "best", "front", "decision", "design", "sensitivity", "profile",
         "identification", "calibration", "comparison", "extrapolation")  # fmt: skip


class Reader(html.parser.HTMLParser):
    """The words of a document; refuses tags that do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        assert not any(name.startswith("on") or "url(" in (v or "") for name, v in attrs)
        if tag != "br":
            self.open.append(tag)
        self.text.append(" ")

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag
        self.text.append(" ")

    def handle_data(self, data):
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return made()


@pytest.mark.parametrize("name", KINDS)
def test_a_result_shows_the_words_of_its_summary_in_order(results, name):
    shown = read(results[name]._repr_html_())
    lines = results[name].summary().splitlines()
    said = [line for line in lines if not re.fullmatch("[=-]+", line)]
    assert "".join(shown.text).split() == " ".join(said).split()
    assert {"table", "strong", "th", "td"} <= set(shown.seen)
    assert not {"script", "style", "link", "img", "b"} & set(shown.seen)


@pytest.mark.parametrize("name", KINDS)
def test_a_result_is_a_data_frame_of_its_records(results, name):
    frame = results[name].to_frame()
    records = results[name].records()
    first, *others = records[0]
    assert frame.index.name == first
    assert list(frame.index) == [record[first] for record in records]
    assert set(others) <= set(frame.columns)


def test_colours_are_left_to_the_notebook(results):
    assert set(results) == set(KINDS)
    shown = "".join(results[name]._repr_html_() for name in KINDS)
    assert not re.search(r"color|background|#[0-9a-fA-F]{3}", shown)


def test_names_are_escaped(results):
    assert "<b>" not in results["fit"]._repr_html_()
    assert "&lt;b&gt;runs &amp; more&lt;/b&gt;.csv" in results["fit"]._repr_html_()


def test_a_table_cell_is_the_number_that_stands_in_its_column(results):
    fit = results["fit"]
    alpha = re.search(r'<th scope="row">alpha</th><td>([^<]+)</td>', fit._repr_html_())
    assert alpha
    assert float(alpha[1]) == pytest.approx(fit.law.alpha, rel=1e-5)


def test_a_result_is_one_short_line_where_it_is_only_named(results):
    for name, result in results.items():
        line = repr(result)
        assert "\n" not in line
        assert len(line) < 160, name
        assert type(result).__name__ in line
        assert result.summary().splitlines()[0] in line


def test_a_result_is_named_without_its_summary(results, monkeypatch):
    def summary(*_: object) -> str:
        raise AssertionError("a name needs no table")

    for result in results.values():
        monkeypatch.setattr(type(result), "summary", summary)
        assert result.title in repr(result)


def test_an_optimum_can_be_named_while_it_is_traced(results):
    seen = []
    jax.jit(lambda one: seen.append(repr(one)))(results["best"])
    assert results["best"].title in seen[0]


def test_an_array_of_optima_has_no_table(results):
    assert results["front"].optimum._repr_html_() is None


def test_summaries_are_text_again_afterwards(results):
    before = results["fit"].summary()
    results["fit"]._repr_html_()
    assert results["fit"].summary() == before
    assert "\x00" not in before

    class Broken:
        def summary(self) -> str:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        _html.of_summary(Broken())
    assert results["fit"].summary() == before
