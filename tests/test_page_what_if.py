"""The planner as a what-if: its headline, its address, its ranges, and two plans that agree."""

import browser
import numpy as np
import pytest

import t2jax as t2
from t2jax import _text
from t2jax.reporting import page, screen
from t2jax.reporting.tables import samples_text


@pytest.fixture(scope="module")
def chromium():
    with browser.running() as started:
        yield started


@pytest.fixture
def opened(chromium, tmp_path):
    draws = browser.ensemble("softplus", 20)
    path = browser.write_page(tmp_path / "index.html", draws)
    shown = browser.Opened(chromium, path, viewport={"width": 1280, "height": 900}).ready()
    yield shown
    shown.context.close()
    assert shown.trouble == []


def fill(shown, dial: str, text: str) -> None:
    """Type text into a dial's box, as somebody would."""
    box = shown.page.locator(f"#dial-{dial}-box")
    box.fill(text)
    box.press("Tab")
    shown.rest()


def test_the_headline_follows_the_sliders_and_comes_back(opened):
    before = opened.page.inner_text("h1")
    fill(opened, "train-flops", "10^21")
    told, plan = opened.page.inner_text("h1"), opened.plan()
    assert plan["train_flops"] == 1e21
    assert told != before
    assert f"rain {_text.count(plan['params'])} parameters on" in told
    assert f"{samples_text(plan['samples'])} samples per question" in told
    assert told in opened.page.title()
    assert "not the report's" in opened.page.inner_text("#lede")
    opened.page.click("#back")
    opened.rest()
    assert opened.page.inner_text("h1") == before
    assert "#" not in opened.page.url


def test_the_address_holds_the_state_and_restores_it(opened, chromium, tmp_path):
    fill(opened, "train-flops", "3e21")
    opened.page.click("[data-do=second]")
    opened.page.check("input[value=dollars]")
    fill(opened, "questions", "300M")
    fill(opened, "max-params", "2.5B")
    rows, told, address = (
        opened.page.evaluate("() => window.t2jax.rows().filter((row) => row[1] === 'plan')"),
        opened.page.inner_text("h1"),
        opened.page.url,
    )
    mailed = chromium.new_context().new_page()
    mailed.goto(address)
    mailed.wait_for_selector(".results tbody tr")
    mailed.evaluate("async () => { await window.t2jax.idle(); }")
    again = mailed.evaluate("() => window.t2jax.rows().filter((row) => row[1] === 'plan')")
    assert [row[:10] for row in again] == [row[:10] for row in rows]
    assert mailed.inner_text("h1") == told
    assert mailed.is_checked("input[value=B]")
    mailed.context.close()


def test_an_address_that_says_nonsense_changes_nothing(opened):
    before = opened.plan()
    opened.page.evaluate("location.hash = 'A=train_flops=-1,kind=none,x=3,max_params=much&on=B'")
    opened.page.wait_for_function("() => window.t2jax.active === 'A'")
    assert opened.plan() == before


def test_a_cap_in_billions_is_understood_and_said(opened):
    fill(opened, "max-params", "7")
    assert opened.plan()["max_params"] == 7e9
    assert "7 was taken as 7B" in opened.page.inner_text(".dials")


def test_the_measured_range_is_marked_and_far_beyond_it_is_said(opened):
    assert opened.page.locator(".measured:not([hidden])").count() == 4
    assert "measured 10¹⁸ to 10²²" in opened.page.inner_text(".dials")
    left = opened.page.evaluate("""() => document.querySelector('.measured').style
        .getPropertyValue('--from')""")
    assert float(left.rstrip("%")) == pytest.approx(100 / 8, abs=0.5)  # a decade of eight
    fill(opened, "train-flops", "1e24")
    assert "2 decades above what was measured" in opened.page.inner_text(".dials")
    assert opened.page.inner_text("h1").startswith("Beyond the data, by up to ")


def test_two_plans_that_agree_say_why(opened):
    opened.page.click("[data-do=second]")
    opened.rest()
    assert "still has the budgets of plan A" in opened.page.inner_text(".versus")
    fill(opened, "max-params", "900B")
    assert "which binds in neither" in opened.page.inner_text(".versus")
    fill(opened, "max-params", "1M")
    assert "worse than plan A" in opened.page.inner_text(".versus")


def test_tables_and_figures_can_be_scrolled_by_keyboard(chromium, tmp_path):
    draws = browser.ensemble("softplus", 8)
    path = browser.write_page(tmp_path / "index.html", draws)
    shown = browser.Opened(chromium, path, viewport={"width": 390, "height": 844}).ready()
    loose = shown.page.evaluate("""() => [...document.querySelectorAll('.scroller')]
        .filter((e) => e.tabIndex !== 0).length""")
    assert loose == 0
    shown.context.close()


def test_trust_stands_under_the_headline_and_draws_are_carried_once():
    draws = browser.ensemble("softplus", 8)
    plan = browser.plan_of(draws, t2.Budget.from_dict(browser.START))
    told = page.page_html(plan)
    places = ['class="trust"', str(plan.verdict), "Planner"]
    assert [told.index(word) for word in places] == sorted(told.index(word) for word in places)
    twice = page.planner_data(plan)["law"]["columns"]
    assert all(isinstance(text, str) and text != "=" for text in twice.values())
    assert np.all([len(text) > 8 for text in twice.values()])


def test_the_pages_headline_is_that_of_the_terminal():
    draws = browser.ensemble("softplus", 8)
    plan = browser.plan_of(draws, t2.Budget.from_dict(browser.START))
    told = page.page_html(plan)
    heading = told.split('<h1 id="headline">')[1].split("</h1>")[0]
    assert heading + "." == screen.headline(plan)


def test_ends_of_some_draws_are_not_shown_as_those_of_all(chromium, tmp_path):
    draws = browser.ensemble("softplus", 1000, distinct=1000)
    path = browser.write_page(tmp_path / "index.html", draws)
    shown = browser.Opened(chromium, path, viewport={"width": 1280, "height": 900}).ready()
    read = "[...document.querySelectorAll('.results tbody tr')].map((r) => r.innerText).join('|')"
    shown.page.locator("#dial-train-flops-box").fill("3e20")
    shown.page.locator("#dial-train-flops-box").press("Tab")
    during = shown.page.evaluate(f"[document.querySelector('.progress').textContent, {read}]")
    if during[0]:  # a fast machine may be done already
        assert "…" in during[1]
    shown.rest()
    assert "…" not in shown.page.evaluate(read)
    shown.context.close()
