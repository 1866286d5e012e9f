"""A page in Chromium: how it is opened, and which pages are made for it."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from law_cases import draws_of, written

import t2jax as t2
from t2jax.fitting.result import Certificate
from t2jax.hull import Hull
from t2jax.laws import Law
from t2jax.reporting import page

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
HULL = Hull(
    params=(1e7, 1e10), tokens=(1e9, 1e12), samples=(1.0, 1e3), tokens_per_param=(5.0, 5e3),
    train_flops=(1e18, 1e22),
)  # fmt: skip
START = {"train_flops": 1e20, "inference_flops": 1e11}


def launch() -> Any:
    """A context of a running Chromium, or a skip that says what is lacking."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (dev extra)")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs chromium to open the page, and there is none on this machine")
    return sync_api.sync_playwright(), path


@contextlib.contextmanager
def running() -> Iterator[Any]:
    """A browser for as long as the block runs."""
    started, path = launch()
    with started as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """A page, and everything that it said, asked for or failed at."""

    def __init__(self, browser: Any, path: pathlib.Path, **look: Any):
        self.context = browser.new_context(**look)
        self.context.set_default_timeout(120_000)  # of a busy machine
        self.page = self.context.new_page()
        self.trouble: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.trouble.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.trouble.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.url = path.as_uri()
        self.page.goto(self.url)

    def ready(self) -> "Opened":
        self.page.wait_for_function("!!window.t2jax")
        return self.rest()

    def rest(self) -> "Opened":
        self.page.evaluate("async () => { await window.t2jax.idle(); }")
        return self

    def type(self, dial: str, value: float) -> None:
        """Write a number into a dial's box, as somebody would, and leave it."""
        box = self.page.locator(f"#dial-{dial.replace('_', '-')}-box")
        box.fill(repr(value))
        box.press("Tab")

    def plan(self) -> dict[str, float]:
        """The active plan as the CSV file has it."""
        head, *rows = self.rest().page.evaluate("() => window.t2jax.rows()")
        numbers = [float(v) if isinstance(v, int | float) else v for v in rows[0]]
        return dict(zip(head, numbers, strict=True))

    def draws(self) -> dict[str, np.ndarray]:
        """The active plan of every draw, in their order."""
        columns = self.rest().page.evaluate("""() => Object.fromEntries(
            Object.entries(window.t2jax.plan.draws).map(([name, c]) => [name, Array.from(c)]))""")
        return {name: np.array(column, float) for name, column in columns.items()}


def ensemble(form: str | Law, n_draws: int, distinct: int = 0) -> t2.Ensemble:
    """Draws of a law that was written down; `distinct` of them, repeated."""
    drawn = draws_of(form, distinct or n_draws, seed=7)
    columns = {name: np.resize([d[name] for d in drawn], n_draws) for name in drawn[0]}
    point = written(form, drawn[0])
    return t2.Ensemble(law=point.replace(**columns), point=point, kind="written", hull=HULL)


def fit_of(draws: t2.Ensemble) -> t2.FitResult:
    """A fit that stands for a law written down: no data, no claim."""
    sure = Certificate(gradient_norm=0.0, expected_fall=0.0, positive_definite=True,
                       condition=1.0, agreement=1.0, at_bound=())  # fmt: skip
    return t2.FitResult(
        law=draws.point, success=True, message="", objective="none", objective_options={},
        objective_value=0.0, n_obs=0, n_free=0, nuisance={}, certificate=sure, starts=(),
        samples=None, hull=HULL, observed=np.zeros(0), predicted=np.zeros(0), criteria={},
        description="A law written down.", params_definition="total", source="", data_hash="",
        versions={},
    )  # fmt: skip


def write_page(path: pathlib.Path, draws: t2.Ensemble) -> pathlib.Path:
    """A page without figures, for a law written down."""
    given = START if draws.point.uses_samples else {"train_flops": START["train_flops"]}
    budget = t2.Budget.from_dict(given)
    path.write_text(page.page_html(plan_of(draws, budget)), encoding="utf-8")
    return path


def plan_of(draws: t2.Ensemble, budget: t2.Budget) -> t2.Plan:
    """A plan that was found by nothing but the law."""
    best = t2.optimum(draws.point, budget)
    front = t2.Frontier(train_flops=np.asarray(best.train_flops), optimum=best)
    return t2.Plan(fit=fit_of(draws), draws=draws, budget=budget, optimum=best, frontier=front)
