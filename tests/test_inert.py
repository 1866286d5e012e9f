"""Names out of data are text: in the page, in figures and on the console nothing of them is run."""

import dataclasses
import subprocess
import sys
from typing import Any

import browser
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import t2jax as t2
from t2jax.datasets.public_models import PublicModel
from t2jax.reporting import figures, page
from t2jax.reporting.figures import _style
from t2jax.reporting.figures.public import mark_models

SCRIPT = '<script>window.hacked = 1; document.title = "hacked"</script>'
PICTURE = '"><img src="x:" onerror="window.hacked = 2"> \' onmouseover=\'window.hacked=3'
ENDS = "</script></style></title></table><svg onload='window.hacked = 4'>-->]]>&lt;b&gt;"
EVIL = (SCRIPT, PICTURE, ENDS)
TEX = (r"$\frac{1}{$", "$x^2$", r"a\$b$c$", "$", "_hidden", r"\unknown{", "run $1 for $2")
ESCAPES = ("\x1b]0;title\x07", "\x1b[2J", "a\x08b", "\u202erun", "\x9b31m", "two\rlines")


def curves(names) -> Figure:
    one = {name: np.array([0.1 + i / 50, 0.4, 0.8]) for i, name in enumerate(names)}
    laws = {name: (y, y, y) for name, y in one.items()}
    k = np.array([1, 8, 64])
    return figures.alone(lambda ax: figures.pass_at_k_panel(k, one, ax=ax, laws=laws))


def shown(figure: Figure) -> list[str]:
    """Every text of a figure as it is drawn; what is typeset as mathematics is left out."""
    found = [drawn(t) for t in figure.findobj(Text) if isinstance(t, Text) and t.get_visible()]
    return [text for text, mathematics in found if not mathematics]


def drawn(text: Text) -> tuple[str, bool]:
    """A text as it is drawn, and whether as mathematics."""
    told: Any = text
    return told._preprocess_math(text.get_text())


def test_names_are_not_typeset_and_not_left_out(tmp_path):
    names = (*TEX, *EVIL, *ESCAPES)
    figure = curves(names)
    for ending in ("png", "svg", "pdf"):
        figures.save(figure, tmp_path / f"figure.{ending}")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    told = [drawn(t) for t in legend.get_texts()]
    escaped = ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in name) for name in names]
    assert [(text.strip(), kind) for text, kind in told] == [(n.strip(), False) for n in escaped]
    assert any(TEX[0] in text for text in shown(curves(TEX[:1])))  # the title, which names it


def test_models_of_ones_own_are_not_typeset_either():
    models = [
        PublicModel(name=name, params=1e9, tokens=2e10 * (i + 1), source="")
        for i, name in enumerate(TEX)
    ]

    def draw(ax):
        ax.set(xscale="log", yscale="log", xlim=(1e18, 1e23), ylim=(1e8, 1e10))
        mark_models(models, "params", ax, (1e18, 1e23), (1e8, 1e10))

    figure = figures.alone(draw)
    figure.draw_without_rendering()
    assert {name.strip() for name in TEX} <= {text.strip() for text in shown(figure)}


def evil_plan() -> t2.Plan:
    """A plan every word of which, as far as it may come out of a file, is hostile."""
    plan = browser.plan_of(browser.ensemble("softplus", 8), t2.Budget.from_dict(browser.START))
    words = " ".join(EVIL)
    fit = dataclasses.replace(
        plan.fit, source=words, description=words, data_hash=words, objective=words,
        params_definition=words, message=words, versions={words: words},
    )  # fmt: skip
    draws = dataclasses.replace(
        plan.draws, kind=words, unit=words, source=words, uncertified=words,
        diagnostics={"notes": [words], words: words},
    )  # fmt: skip
    return dataclasses.replace(plan, fit=fit, draws=draws, notes=EVIL, warnings=EVIL)


@pytest.fixture(scope="module")
def chromium():
    with browser.running() as started:
        yield started


ADDRESS = (
    f"#A=train_flops={SCRIPT},hardware=constructor,toString=5,__proto__=1,kind={SCRIPT}"
    f"&on={SCRIPT}&B={PICTURE}"
)


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_nothing_that_a_name_says_is_run_in_the_page(address, chromium, tmp_path):
    picture = _style.svg(curves(EVIL), "a")
    title, told = EVIL[:2]
    html = page.page_html(evil_plan(), [(title, told, picture)])
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    opened = browser.Opened(chromium, tmp_path / "index.html").ready()
    if address:
        opened.page.goto(opened.url + address)
        opened.page.reload()
        opened.ready()
    assert opened.page.evaluate("window.hacked") is None
    assert "hacked" not in opened.page.title()
    assert opened.page.locator("img, [onerror], [onload], [onmouseover]").count() == 0
    text = opened.page.locator("body").inner_text()
    assert SCRIPT in text  # said, not run
    assert opened.trouble == []
    assert {url.partition("#")[0] for url in opened.requests} == {opened.url}
    opened.context.close()


def test_nothing_that_a_name_says_is_run_in_a_notebook(chromium, tmp_path):
    plan = evil_plan()
    html = "".join(x._repr_html_() or "" for x in (plan.fit, plan.draws, plan))
    (tmp_path / "index.html").write_text(f"<!doctype html><body>{html}", encoding="utf-8")
    opened = browser.Opened(chromium, tmp_path / "index.html")
    opened.page.wait_for_load_state("load")
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("script, img, svg, [onmouseover]").count() == 0
    assert SCRIPT in opened.page.locator("body").inner_text()
    opened.context.close()


def test_names_do_not_reach_the_terminal(run, tmp_path):
    name = "\x1b]0;title\x07\x1b[2J"
    path = tmp_path / f"a{name}.csv"
    rows = "".join(f"b{n},1e{n},1e9,{2 + n}\n" for n in range(6, 9))
    for head, words in (
        ("run,params,tokens,loss\n", [path]),
        (f"run,params,tokens,loss{name}\n", [path]),
        (f"run,params,tokens,{name}\n", [path, "--where", f"{name} > 1"]),
        ("run,params,tokens,loss\n", [path, "--law", name]),
        ("run,params,tokens,loss\n", [path, f"--{name}"]),
        ("run,params,tokens,loss\n", [tmp_path / f"none{name}"]),
    ):
        path.write_text(head + rows.replace("b8", f'"{name}"'))
        code, out, error = run("fit", *words)
        assert code in (2, 3), (code, words)
        assert (out + error).replace("\n", "").isprintable(), (words, out, error)
    code, out, error = run(name)
    assert code == 2
    assert error.replace("\n", "").isprintable()


def test_a_warning_of_a_command_shows_no_escapes(tmp_path):
    """What Python itself prints, such as the name of a script that warns, is another's."""
    told = subprocess.run(
        [sys.executable, "-m", "t2jax", "plan", "a\x1b[2J.csv", "--quiet"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert told.stderr.rstrip("\n").isprintable()
