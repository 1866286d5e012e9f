"""Numbers as people write them, in flags, files, columns and conditions."""

import json
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import t2jax as t2
from t2jax._numeral import expand, numeral, plain
from t2jax.cli._budget import BudgetOptions, sweep
from t2jax.cli._flags import numbers, pair, parse
from t2jax.cli.bootstrap import Command as Bootstrap
from t2jax.cli.design import Command as Design
from t2jax.errors import InputError

# Spellings of digits x 10^9, by what stands behind or around the digits.
SPELLINGS = [
    "{}e9", "{}E9", "{}e+9", "{}e09", "{}B", "{}b", "{} B", "{} b", "{}bn", "{} bn", "{}G",
    "{} billion", "{} Billion", "{}B tokens", "{}B params", "{}B parameters", "{} B FLOPs",
    "{}x10^9", "{} x 10^9", "{}*10^9", "{}*10**9", "{} \u00d7 10^9", "{}\u00d710^9", "${}B",
    "$ {} billion", "+{}B", " {}B ", "{}000M", "{}000 M", "{}000m", "{}000 million", "{}000mn",
    "{}000000k", "{}000000 K", "{}000000 thousand", "{}000000000", "{}000000000.0", "{}e9 FLOPs",
    "{},000,000,000", "{}_000_000_000", "{}e9 tokens", "{}e10%",
]  # fmt: skip


@given(st.sampled_from(SPELLINGS), st.integers(1, 999))
def test_forty_spellings_are_one_number(form, digits):
    wanted = digits * 1e8 if form.endswith("%") else digits * 1e9
    assert numeral(form.format(digits)) == pytest.approx(wanted, rel=1e-15)


@given(st.floats(1e-300, 1e300))
def test_a_plain_number_reads_back_exactly(value):
    assert numeral(plain(value)) == value
    assert numeral(repr(value)) == value


@given(st.sampled_from("kMBT"), st.decimals(1, 999, places=2))
def test_a_suffix_is_the_float_of_its_exponent(suffix, digits):
    powers = {"k": 3, "M": 6, "B": 9, "T": 12}
    assert numeral(f"{digits}{suffix}") == float(f"{digits}e{powers[suffix]}")


@given(st.text())
def test_any_text_is_a_number_or_none(text):
    found = numeral(text)
    assert found is None or isinstance(found, float)


@pytest.mark.parametrize("text", ["1,5", "12,34,567", "7Q", "B", "", "1e", "--3", "0x10", "1 2"])
def test_what_is_no_number_stays_none(text):
    assert numeral(text) is None


def test_every_flag_reads_them():
    asked = parse(Bootstrap, "bootstrap", ["a.csv", "fit.json", "--draws", "2k"])
    assert asked is not None
    assert asked.draws == 2000
    words = ["d.npz", "--train-flops", "10^22", "--most", "1.5 x 10^20", "--answer-tokens", "1k"]
    bought = parse(Design, "design", words)
    assert bought is not None
    assert (bought.most, bought.answer_tokens) == (1.5e20, 1000.0)
    assert bought.one("one")["train_flops"] == 1e22
    assert pair("7B:2T") == (7e9, 2e12)
    assert numbers("1,1k", "--samples", "1,4") == [1.0, 1000.0]
    assert numbers("1/2, 25%", "--shares", "1/2,1/3") == [0.5, 0.25]
    assert sweep("1B:4B:3") == pytest.approx([1e9, 2e9, 4e9])
    with pytest.raises(InputError, match=r"--draws '1\.5' is not a whole number"):
        parse(Bootstrap, "bootstrap", ["a.csv", "fit.json", "--draws", "1.5"])


def test_a_budget_and_its_file_read_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("plan.toml").write_text(
        'train_flops = "1.5e21"\nmax_params = "7B"\nmax_tokens = "15T"\n'
        '[cost]\nprompt_tokens = "2k"\n'
    )
    told = BudgetOptions(budget="plan.toml", unique_tokens="300B").description()
    budget = t2.Budget.from_dict(told)
    caps = (budget.max_params, budget.max_tokens, budget.unique_tokens)
    np.testing.assert_array_equal(np.array(caps, float), [7e9, 15e12, 3e11])
    assert float(np.asarray(budget.cost.prompt_tokens)) == 2000.0
    assert float(np.asarray(t2.Budget(train_flops="1e21").train_flops)) == 1e21


def test_columns_and_conditions_read_them(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,params,tokens,loss\na,70M,1.4B,3.5\nb,7B,300 B,2.5\nc,1e9,2e10,3.0\n")
    runs = t2.read(path)
    np.testing.assert_array_equal(runs.params, [70e6, 7e9, 1e9])
    np.testing.assert_array_equal(runs.tokens, [1.4e9, 300e9, 20e9])
    assert t2.read(path, where="tokens <= 20B and params >= 70M").n_rows == 2
    assert t2.read(path, units="tokens=1k").tokens[2] == 2e13
    assert expand("run == '7B' and `7B` > 1.5T") == "run == '7B' and `7B` > 1.5e12"


def test_a_decimal_comma_is_no_thousand(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text('run,params,tokens,loss\na,1e9,2e10,"2,345"\nb,1e9,2e10,"2,5"\n')
    with pytest.raises(InputError, match="line 2, column 'loss'"):
        t2.read(path)


def test_absurd_caps_are_questioned_in_flags(run):
    for flag, words in (("--max-params 7", "did you mean 7B; write --max-params 7B"),
                        ("--max-tokens 15", "did you mean 15T or 15B")):  # fmt: skip
        code, _, error = run("optimum", "x.json", "--train-flops", "1e21", *flag.split())
        assert code == 2
        assert words in error


def test_defaults_are_shown_as_people_write_them(run):
    assert "(default: 1e9)" in " ".join(run("frontier", "--help")[1].split())
    assert "(default: )" not in run("convert", "--help")[1]
    text = run("plan", "--help")[1]
    titles = ["table options", "fit options", "cost options", "budget options"]
    assert all(title in text for title in titles)
    assert json.dumps(plain(2.0**30)) == '"1073741824"'
