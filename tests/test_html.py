"""What a notebook shows of a result: the words of its summary, as HTML that stands alone."""

import html.parser
import re

import numpy as np
import pandas as pd
import pytest

import t2jax as t2
from t2jax import _html
from t2jax.laws import Additive

LAW = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
SOURCE = "<b>runs & more</b>.csv"
NAMES = ("fit", "draws", "best", "front", "decision", "design", "sensitivity", "profile",
         "identification")  # fmt: skip


@pytest.fixture(scope="module")
def results():
    """One small table, and everything that follows from it."""
    rng = np.random.default_rng(0)
    grid = [(n, n * r) for n in (1e7, 3e7, 1e8, 3e8) for r in (5.0, 20.0, 80.0)]
    rows = [
        {"run": f"r{i}", "params": n, "tokens": d,
         "loss": float(LAW(params=n, tokens=d)) * np.exp(0.005 * rng.standard_normal())}
        for i, (n, d) in enumerate(grid)
    ]  # fmt: skip
    runs = t2.read(pd.DataFrame(rows))
    runs = t2.Observations(**{**vars(runs), "source": SOURCE})
    fit = t2.fit(runs, law="additive", n_starts=2)
    draws = t2.bootstrap(fit, draws=40, progress=False)
    budget = t2.Budget(train_flops=1e20)
    return {
        "fit": fit,
        "draws": draws,
        "best": t2.optimum(draws, budget),
        "front": t2.frontier(draws, t2.Budget(train_flops=np.geomspace(1e18, 1e20, 3))),
        "decision": t2.regret(draws, budget),
        "design": t2.design(draws, budget, candidates=[(1e8, 1e9), (1e9, 1e10)], noise=0.01,
                            simulate=False),
        "sensitivity": t2.sensitivity(fit, budget),
        "profile": t2.profile(fit, quantities=["alpha"]),
        "identification": t2.identify(runs),
    }  # fmt: skip


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


@pytest.mark.parametrize("name", NAMES)
def test_a_result_shows_the_words_of_its_summary_in_order(results, name):
    shown = read(results[name]._repr_html_())
    said = [
        line for line in results[name].summary().splitlines() if not re.fullmatch("[=-]+", line)
    ]
    assert "".join(shown.text).split() == " ".join(said).split()
    assert {"table", "strong", "th", "td"} <= set(shown.seen)
    assert not {"script", "style", "link", "img", "b"} & set(shown.seen)


def test_colours_are_left_to_the_notebook(results):
    shown = "".join(results[name]._repr_html_() for name in NAMES)
    assert not re.search(r"color|background|#[0-9a-fA-F]{3}", shown)


def test_names_are_escaped(results):
    assert "<b>" not in results["fit"]._repr_html_()
    assert "&lt;b&gt;runs &amp; more&lt;/b&gt;.csv" in results["fit"]._repr_html_()


def test_a_table_cell_is_the_number_that_stands_in_its_column(results):
    fit = results["fit"]
    alpha = re.search(r'<th scope="row">alpha</th><td>([^<]+)</td>', fit._repr_html_())
    assert alpha
    assert float(alpha[1]) == pytest.approx(fit.law.alpha, rel=1e-5)


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
