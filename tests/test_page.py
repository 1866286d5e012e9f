"""The page in a real browser: its numbers are `t2jax.optimum`'s, and it needs nothing else."""

import base64
import dataclasses
import json
import pathlib
import re
import shlex

import browser
import jax
import numpy as np
import pytest
from law_cases import Ageing
from page_laws import Sorted, template
from test_page_solver import FORMS

import t2jax as t2
from t2jax import _text, cli
from t2jax.laws import predict
from t2jax.reporting import page

NAMES = ("params", "tokens", "samples", "tokens_per_param", "value")


@pytest.fixture(scope="module")
def chromium():
    with browser.running() as started:
        yield started


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of the law that `t2jax plan` fits, with the draws beside it."""
    folder = tmp_path_factory.mktemp("page")
    draws = browser.ensemble("softplus", 40)
    draws.save(folder / "draws.npz")
    return draws, browser.write_page(folder / "index.html", draws)


@pytest.fixture
def opened(chromium, made):
    """That page, opened and at rest; whatever it does, it stays quiet and offline."""
    shown = browser.Opened(chromium, made[1], viewport={"width": 1280, "height": 900}).ready()
    yield shown
    shown.context.close()
    assert shown.trouble == []
    assert [url for url in shown.requests if not url.startswith(("data:", "blob:"))] == [shown.url]


def budgets(kind: str, sampled: bool, count: int = 20) -> list[dict[str, float]]:
    rng = np.random.default_rng(3)
    found = []
    for i in range(count):
        if kind == "separate":
            given = {"train_flops": 10 ** rng.uniform(18, 24)}
            if sampled:
                given["inference_flops"] = 10 ** rng.uniform(9, 13)
        else:
            given = {"total_flops": 10 ** rng.uniform(20, 24), "questions": 10 ** rng.uniform(4, 9),
                     "tokens_per_sample": 10 ** rng.uniform(1, 3)}  # fmt: skip
        found.append({name: float(f"{value:.5g}") for name, value in given.items()})
        if i % 5 == 4:
            found[-1]["max_params"] = 1e9
    return found


def compare(shown, draws, kind: str) -> None:
    """Twenty budgets written into the boxes, against Python's optimum and intervals."""
    given = budgets(kind, draws.point.uses_samples)
    keys = {key for one in given for key in one}
    arrays = {key: np.array([one.get(key, 1e300) for one in given]) for key in keys}
    best = t2.optimum(draws, t2.Budget.from_dict(arrays), progress=False)
    shown.page.check(f"input[value={'separate' if kind == 'separate' else 'flops'}]")
    for i, one in enumerate(given):
        for name in keys:
            if name in one:
                shown.type(name, one[name])
            else:
                box = shown.page.locator(f"#dial-{name.replace('_', '-')}-box")
                box.fill("")
                box.press("Tab")
        told, page_draws = shown.plan(), shown.draws()
        # What each draw says of the plan that is printed; and of its own, which Python has too.
        printed = [told[name] for name in ("params", "tokens", "samples")]
        said = np.asarray(predict(draws.law, *printed))
        np.testing.assert_allclose(page_draws["value"], said, rtol=1e-9)
        own = [page_draws[name] for name in ("params", "tokens", "samples")]
        page_draws["value"] = np.asarray(predict(draws.law, *own))
        same = {
            "point": agree(draws.point, told, {n: np.asarray(getattr(best, n))[i] for n in NAMES}),
            "draws": agree(
                draws.law, page_draws, {n: np.asarray(getattr(best.draws, n))[:, i] for n in NAMES}
            ),
        }
        for who, which in same.items():
            assert which.all(), (who, kind, one, np.flatnonzero(~which))
        for name in NAMES:
            column, near = (said, 1e-9) if name == "value" else (page_draws[name], 1e-12)
            ends = np.quantile(column, [0.05, 0.95])
            pair = (told[f"{name}_low"], told[f"{name}_high"])
            np.testing.assert_allclose(pair, ends, rtol=near, err_msg=f"{kind} {name} {one}")


def agree(law, page_plan, plan) -> np.ndarray:
    """Where the page has Python's plan, or, where the law is flat, another just as good.

    Flat: past the best size for its data, where more parameters are worth nothing, and where
    pass@k is one to twelve digits.
    """
    value = np.asarray(plan["value"])
    close = [np.isclose(page_plan[n], plan[n], rtol=5e-5, atol=0) for n in NAMES]
    there = predict(law, page_plan["params"], page_plan["tokens"], page_plan["samples"])
    as_good = np.isclose(there, value, rtol=1e-11, atol=0)
    return np.isclose(page_plan["value"], value, rtol=5e-5, atol=0) & (
        np.all(close, axis=0) | as_good
    )


@pytest.mark.parametrize("kind", ["separate", pytest.param("total", marks=pytest.mark.slow)])
def test_twenty_budgets_have_pythons_plans_and_intervals(opened, made, kind):
    compare(opened, made[0], kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["separate", "total"])
@pytest.mark.parametrize(
    "form", [f for f in FORMS if f not in ("softplus", "tied", "coupled", "size")]
)
def test_every_laws_page_has_pythons_plans_and_intervals(chromium, tmp_path, form, kind):
    draws = browser.ensemble(template(form), 8)
    path = browser.write_page(tmp_path / "index.html", draws)
    shown = browser.Opened(chromium, path).ready()
    compare(shown, draws, kind)
    assert shown.trouble == []
    shown.context.close()


def test_sliders_move_by_mouse_and_by_keyboard(opened):
    slider = opened.page.locator("#dial-train-flops")
    before = opened.plan()
    box = slider.bounding_box()
    opened.page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    after = opened.plan()
    assert after["train_flops"] > 10 * before["train_flops"]
    assert after["value"] < before["value"]
    slider.press("ArrowLeft")
    stepped = opened.plan()
    assert stepped["train_flops"] == pytest.approx(after["train_flops"] * 10**-0.01, rel=3e-3)
    shown = opened.page.locator("#dial-train-flops-box").input_value()
    assert float(shown) == pytest.approx(stepped["train_flops"])
    assert slider.get_attribute("aria-valuetext").endswith("FLOPs")
    assert f"{stepped['value']:.4g}" in opened.page.inner_text(".results")
    assert f"{stepped['value']:.4g}" in opened.page.inner_text("#said")  # for screen readers


def test_everything_is_reached_by_tab_and_has_a_name(opened):
    unnamed = opened.page.evaluate("""() => [...document.querySelectorAll(
        'input, select, button, svg[role=img]')].filter((e) => !(e.labels?.length
        || e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.outerHTML)""")
    assert unnamed == []
    reached = set()
    opened.page.locator("body").press("Tab")
    for _ in range(30):
        reached.add(opened.page.evaluate("() => document.activeElement.id"))
        opened.page.keyboard.press("Tab")
    assert {"dial-train-flops", "dial-train-flops-box", "dial-inference-flops",
            "dial-max-params", "dial-max-tokens-box"} <= reached  # fmt: skip


def test_a_wrong_number_is_refused_and_changes_nothing(opened):
    before = opened.plan()
    for text in ("-3", "much", "1e400", ""):
        box = opened.page.locator("#dial-train-flops-box")
        box.fill(text)
        box.press("Tab")
        assert box.get_attribute("aria-invalid") == "true"
        assert "is no number above 0" in opened.page.inner_text("#dial-train-flops-wrong")
        assert opened.plan() == before


@pytest.mark.parametrize("kind", ["separate", "flops", "dollars"])
def test_the_command_line_gives_the_same_plan(opened, made, kind, monkeypatch, capsys):
    opened.page.check(f"input[value={kind}]")
    opened.type("max_params", 3.1e9)
    told = opened.plan()
    command = opened.page.inner_text("#command")
    monkeypatch.chdir(made[1].parent)
    words = shlex.split(command)
    assert words[:3] == ["t2jax", "optimum", "draws.npz"]
    assert cli.main([*words[1:], "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    for name in ("params", "tokens", "samples", "value"):
        assert answer[name] == pytest.approx(told[name], rel=5e-5)


def test_two_plans_stand_side_by_side(opened):
    opened.page.click("[data-do=second]")
    opened.type("train_flops", 1e22)
    opened.rest()
    text = opened.page.inner_text(".results")
    assert "Plan A" in text
    assert "Plan B" in text
    assert "Plan B is" in opened.page.inner_text(".versus")
    assert "better than plan A" in opened.page.inner_text(".versus")
    with opened.page.expect_download() as got:
        opened.page.click("[data-do=csv]")
    lines = pathlib.Path(got.value.path()).read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {"A", "B"}
    assert sum(",plan," in line for line in lines) == 2
    opened.page.click("[data-do=second]")
    assert "Plan B" not in opened.page.inner_text(".results")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_page_fits_its_window_in_both_looks(chromium, made, width, look):
    size = {"width": width, "height": 844}
    shown = browser.Opened(chromium, made[1], viewport=size, color_scheme=look).ready()
    assert shown.page.evaluate("document.documentElement.scrollWidth") == width
    paper = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(21, 23, 26)") == (look == "dark")
    shown.context.close()


def test_a_users_own_law_has_a_planner(chromium, tmp_path):
    draws = browser.ensemble(Ageing.template(), 8)
    shown = browser.Opened(chromium, browser.write_page(tmp_path / "index.html", draws)).ready()
    compare(shown, draws, "separate")
    assert shown.trouble == []
    shown.context.close()


def test_a_law_without_a_program_has_no_planner_and_is_told_why(chromium, tmp_path):
    law = Sorted(E=1.5)
    many = jax.tree.map(lambda x: np.full(3, x), law)
    draws = t2.Ensemble(law=many, point=law, kind="written", hull=browser.HULL)
    shown = browser.Opened(chromium, browser.write_page(tmp_path / "index.html", draws))
    assert "the operation 'sort' of JAX has no counterpart" in shown.page.inner_text("#planner")
    assert shown.page.locator("input").count() == 0
    assert shown.trouble == []
    shown.context.close()


def test_draws_are_carried_exactly_and_at_the_ends_of_a_thousand_steps(tmp_path):
    draws = browser.ensemble("softplus", 1500, distinct=1500)
    data = page.planner_data(browser.plan_of(draws, t2.Budget.from_dict(browser.START)))
    column = np.frombuffer(base64.b64decode(data["law"]["columns"]["loss.alpha"]), "<f8")
    assert len(column) == page.MOST_DRAWS
    assert np.isin(column, np.asarray(draws.law.coefficients()["alpha"])).all()
    assert "1001 of 1500" in data["note"]
    path = browser.write_page(tmp_path / "index.html", draws)
    assert path.stat().st_size < 1_000_000  # figures come on top


def test_the_draws_of_a_page_have_the_intervals_of_all(chromium, tmp_path):
    draws = browser.ensemble("softplus", 1500, distinct=1500)
    budget = t2.Budget.from_dict(browser.START)
    best = t2.optimum(draws, budget)
    plan = dataclasses.replace(browser.plan_of(draws, budget), optimum=best)
    data = page.planner_data(plan)
    # At the plan's budget the page has what the tables have, of all draws.
    assert data["whole"]["params"] == best.interval("params")
    told = {row["quantity"]: row for row in plan.records(0.9)}["value"]
    assert data["whole"]["value"] == (told["plan_low"], told["plan_high"])
    column = data["law"]["columns"]["loss.alpha"]
    carried = np.frombuffer(base64.b64decode(column), "<f8")
    chosen = np.isin(np.asarray(draws.law.coefficients()["alpha"]), carried)
    assert chosen.sum() == page.MOST_DRAWS
    for name in ("params", "tokens", "samples", "tokens_per_param"):
        ends = np.quantile(np.asarray(getattr(best.draws, name))[chosen], [0.05, 0.95])
        np.testing.assert_allclose(ends, best.interval(name), rtol=5e-4)
    path = tmp_path / "index.html"
    path.write_text(page.page_html(plan), encoding="utf-8")
    shown = browser.Opened(chromium, path).ready()
    first = shown.plan()
    assert (first["value_low"], first["value_high"]) == data["whole"]["value"]
    shown.type("train_flops", 2 * first["train_flops"])
    assert shown.plan()["params_low"] == pytest.approx(np.quantile(shown.draws()["params"], 0.05))
    shown.context.close()


@pytest.mark.slow
def test_a_thousand_draws_paint_in_a_second_and_follow_a_slider(chromium, tmp_path):
    draws = browser.ensemble("softplus", 1000, distinct=1000)
    path = browser.write_page(tmp_path / "index.html", draws)
    shown = browser.Opened(chromium, path).ready()
    painted = "performance.getEntriesByType('paint')"
    shown.page.wait_for_function(f"{painted}.length > 0")
    paint = shown.page.evaluate(f"{painted}.map((e) => e.startTime)")
    assert max(paint) < 1000
    for kind, dial in (("separate", "train-flops"), ("flops", "total-flops")):
        shown.page.check(f"input[value={kind}]")
        shown.rest()
        moves = []
        for _ in range(25):
            shown.page.locator(f"#dial-{dial}").press("ArrowRight")
            moves.append(shown.page.evaluate("window.t2jax.lastMove"))
        print(
            f"first paint {max(paint):.0f} ms, slider {np.median(moves):.1f} ms, "
            f"{max(moves):.1f} most"
        )
        assert np.quantile(moves, 0.9) < 50  # a move now and then meets another process
    shown.context.close()


def test_the_report_command_writes_the_page_and_refuses_what_does_not_belong(tmp_path, capsys):
    draws = browser.ensemble("softplus", 8)
    fit, many = str(tmp_path / "fit.json"), str(tmp_path / "draws.npz")
    browser.fit_of(draws).save(fit)
    draws.save(many)
    out = tmp_path / "report"
    words = ["report", fit, many, "--train-flops", "1e20", "--inference-flops", "1e11"]
    assert cli.main([*words, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    text = (out / "index.html").read_text()
    assert told[-1] == str(out / "index.html")
    best = t2.optimum(draws, t2.Budget(train_flops=1e20, inference_flops=1e11))
    assert f"rain {_text.count(float(best.params))} parameters on" in text
    assert text.count("<svg ") == 3  # each turns its colours on a dark screen
    assert len(text) < 3_000_000
    assert not re.search(r'(src|href)="(?!#|data:)', text.split("<svg")[0])
    stranger = browser.ensemble("t2_loss", 8)
    stranger.save(tmp_path / "other.npz")
    for wrong, why in (
        ([fit, str(tmp_path / "other.npz")], "belong to none of the fits"),
        ([many], "made of fits"),
        ([fit, "--train-flops", "1e18:1e20:4"], "one budget"),
    ):
        assert cli.main(["report", *wrong, "--out", str(tmp_path / "no")]) == 2
        assert why in capsys.readouterr().err
        assert not (tmp_path / "no").exists()
