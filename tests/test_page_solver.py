"""The page's JavaScript against Python: laws as they were written out, optima, flags, numbers."""

# pyright: reportArgumentType=false, reportIndexIssue=false

import json
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import page_laws
import pytest
from law_cases import draws_of, points, value, written

import t2jax as t2
from t2jax import _text
from t2jax.errors import Status
from t2jax.hull import Hull
from t2jax.laws import REGISTRY, Law
from t2jax.reporting import page
from t2jax.uncertainty.ensemble import Ensemble

HERE = pathlib.Path(__file__).resolve().parent
PAGE = pathlib.Path(page.__file__).parent
FORMS = [
    "additive", "tied", "coupled", "ceiling", "farseer", "size", "data_constrained",
    "t2_loss", "t2_loss_paper", "softplus", "softplus(tied)", "softplus(coupled)",
    "product", "product(tied)", "product(data_constrained)", "t2_accuracy",
    "beta_monotone", "beta_monotone(coupled)", *page_laws.OWN,
]  # fmt: skip
# A scan takes half a minute to compile for the reference: the rest is with the slow tests.
QUICK = [("softplus", "separate"), ("t2_loss", "total"), ("product", "separate"),
         ("ageing", "separate")]  # fmt: skip
HULL = Hull(
    params=(1e7, 1e10), tokens=(1e9, 1e12), samples=(1.0, 1e3), tokens_per_param=(5.0, 5e3),
    train_flops=(1e18, 1e22),
)  # fmt: skip


def ask(*questions: tuple[str, dict[str, Any]], laws: Sequence[Law] = ()) -> Any:
    """What the page's own code answers, run by node; `laws` are written out for it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node to run the page's JavaScript, and there is none on this machine")
    programs = page.written({form_of(law): page.program(law) for law in laws})
    done = subprocess.run(
        [node, str(HERE / "page_solver.mjs"), str(PAGE)],
        input=json.dumps([programs, questions]), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, parse_int=float)


def form_of(law: Law) -> str:
    return law.name if law.base is law else f"{law.name}({law.base.name})"


def ensemble(form: str, draws: list[dict[str, float]]) -> Ensemble:
    columns = {name: np.array([d[name] for d in draws]) for name in draws[0]}
    point = written(page_laws.template(form), draws[0])
    return Ensemble(law=point.replace(**columns), point=point, kind="written", hull=HULL)


def budgets(form: str, kind: str, seed: int, count: int = 20) -> list[dict[str, float]]:
    """Random budgets, some of them with caps that bind."""
    rng = np.random.default_rng(seed)
    sampled = page_laws.template(form).uses_samples
    found = []
    for i in range(count):
        if kind == "separate":
            given = {"train_flops": 10 ** rng.uniform(17, 25)}
            if sampled:
                given["inference_flops"] = 10 ** rng.uniform(8, 14)
        else:
            given = {"total_flops": 10 ** rng.uniform(19, 25), "questions": 10 ** rng.uniform(3, 9),
                     "tokens_per_sample": 10 ** rng.uniform(1, 3.5)}  # fmt: skip
        if i % 4 == 1:
            given["max_tokens"] = 10 ** rng.uniform(9, 12)
        if i % 4 == 2:
            given["max_params"] = 10 ** rng.uniform(7, 11)
        found.append(given)
    return found


def python_optima(form: str, draws: list[dict[str, float]], given: list[dict[str, float]]):
    """`t2jax.optimum` at every draw and budget: arrays [draws, budgets]."""
    keys = {key for one in given for key in one}
    huge = {"max_params": 1e300, "max_tokens": 1e300}
    arrays = {key: np.array([one.get(key, huge.get(key)) for one in given]) for key in keys}
    arrays["min_params"] = np.array([one.get("min_params", 1.0) for one in given])
    return t2.optimum(ensemble(form, draws), t2.Budget(**arrays), progress=False).draws


def page_optima(form: str, draws: list[dict[str, float]], given: list[dict[str, float]]):
    """The page's answers at every draw and budget."""
    law = page_laws.template(form)
    question = {"form": form_of(law), "base": form_of(law.base), "draws": draws, "budgets": given,
                "uses_samples": law.uses_samples, "hull": vars(HULL)}  # fmt: skip
    (found,) = ask(("optima", question), laws=(law, law.base))
    return found


def compare(form: str, kind: str, n_draws: int = 4) -> None:
    draws, given = draws_of(page_laws.template(form), n_draws, seed=7), budgets(form, kind, seed=11)
    best = python_optima(form, draws, given)
    assert best is not None
    assert best.chinchilla is not None
    found = page_optima(form, draws, given)
    sign = 1.0 if best.kind == "loss" else -1.0
    ours = np.array([[cell["value"] for cell in row] for row in found])
    theirs = np.asarray(best.value)
    stuck = (best.code.astype(int) & Status.NOT_CONVERGED) > 0  # Python says not to use these
    # Never worse than Python's optimum, and the same to ten digits.
    assert np.all(sign * (ours - theirs) <= 1e-10 * np.abs(theirs))
    near = np.isclose(ours, theirs, rtol=1e-9, atol=0) | stuck
    # A law that jumps has valleys narrower than the grid of Python's scan, which the page may find.
    assert near.mean() > 0.98 if form == "matrix" else near.all()
    stuck |= ~near
    # Where double precision cannot tell the values of two plans apart, either is the optimum:
    # past the data wall more parameters buy nothing, and a data term may be 1e-15 of the loss.
    tied = np.abs(ours - theirs) <= 1e-14 * np.abs(theirs)
    plans = np.array([[cell["plan"] for cell in row] for row in found])
    wanted = np.stack([best.params, best.tokens, best.samples], axis=-1)
    close = np.isclose(plans, wanted, rtol=3e-5, atol=0).all(axis=-1)
    assert np.all(close | tied | stuck)
    flat = "data_constrained" in form  # a quarter of the budgets have a wall, past which it is
    assert close.mean() > (0.5 if flat else 0.8)
    again = np.array([[cell["at"] for cell in row] for row in found])
    np.testing.assert_allclose(again[close], plans[close], rtol=3e-5)
    rivals = np.array([[cell["rival"] for cell in row] for row in found])
    other = best.chinchilla
    wanted = np.stack([other.params, other.tokens, other.samples, other.value], axis=-1)
    over = np.array([[cell["over"] for cell in row] for row in found])
    exceeds = (other.code.astype(int) & Status.OVER_INFERENCE) > 0
    if not flat:
        np.testing.assert_allclose(rivals[close], wanted[close], rtol=1e-4)
        # Where Chinchilla's choice is the plan itself, a rounding decides.
        itself = np.isclose(rivals[..., 0], plans[..., 0], rtol=1e-7, atol=0)
        np.testing.assert_array_equal(over[close & ~itself], exceeds[close & ~itself])
    for i, row in enumerate(found):
        for j, cell in enumerate(row):
            if not close[i, j]:
                continue
            flags = Status(int(best.code[i, j])) & ~(Status.SEVERAL_MODES | Status.NOT_CONVERGED)
            inside = {Status[name] for name in cell["flags"] if not name.startswith("OUTSIDE")}
            assert inside == set(flags), (form, kind, given[j], cell)


@jax.jit
def gradients(law: Law, rows: Any) -> Any:
    def one(row):
        params, tokens, samples = jnp.exp(row)
        return law(params=params, tokens=tokens, samples=samples)

    return jax.vmap(jax.grad(one))(rows)


def slopes_of(law: Law, rows: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(gradients(law, rows))


@pytest.mark.parametrize("form", FORMS)
def test_the_laws_have_pythons_values_and_slopes(form):
    draws, at = draws_of(page_laws.template(form), 4, seed=3), points(40, seed=5, near=True)
    rows = np.stack(list(at.values()), axis=1).tolist()
    law = page_laws.template(form)
    question = {"form": form_of(law), "draws": draws, "points": rows}
    (found,) = ask(("values", question), laws=[law])
    found = np.array(found)
    for drawn, numbers in zip(draws, found, strict=True):
        there = written(page_laws.template(form), drawn)
        np.testing.assert_allclose(numbers[:, 0], value(there, at), rtol=1e-9)
        slopes = slopes_of(there, np.log(rows))
        if law.kind == "loss" and np.allclose(numbers[:, 1], numbers[:, 0], rtol=1e-9):
            np.testing.assert_allclose(numbers[:, 2:], slopes, rtol=1e-8, atol=1e-300)
        else:
            # The goal is bent: its slopes have one common factor, below zero for pass@k.
            scale = np.abs(slopes).max(axis=1, keepdims=True)
            bent = np.abs(numbers[:, 2:]).max(axis=1, keepdims=True)
            sign = 1.0 if law.kind == "loss" else -1.0
            np.testing.assert_allclose(
                numbers[:, 2:] * scale, sign * slopes * bent, rtol=1e-8, atol=1e-300
            )


@pytest.mark.parametrize(("form", "kind"), QUICK)
def test_the_optima_are_pythons(form, kind):
    compare(form, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["separate", "total"])
@pytest.mark.parametrize("form", [form for form in FORMS if form != "size"])  # of one D
def test_the_optima_of_every_law_are_pythons(form, kind):
    compare(form, kind, n_draws=6)


def test_every_law_of_the_registry_is_tested_here():
    # Those that measure a spread have a file of their own.
    linked = {"linked", "linked_accuracy"}
    assert {page_laws.template(form).name for form in FORMS} | linked >= set(REGISTRY)


def test_a_law_with_a_step_that_javascript_lacks_is_refused():
    with pytest.raises(t2.InputError, match="'sort' of JAX has no counterpart"):
        page.program(page_laws.Sorted(E=1.0))


def test_a_program_is_made_of_what_a_law_computes_and_of_nothing_twice():
    text = page.program(page_laws.template("additive"))
    goal = text[text.index("goal") : text.index("slopes")]
    assert goal.count("Math.exp") == 2
    assert "Math.log" not in text[text.index("goal") :]  # of amplitudes, once a draw
    nodes = page.program(page_laws.template("nodes"))
    assert nodes.count("Float64Array.of") == 2  # nodes and weights; what is constant is folded
    assert nodes.count("for(let j=0;j<64;j++)") == 3  # the spread, the goal, the slopes
    assert len(nodes) < 8000


def test_budgets_that_afford_nothing_are_named():
    given = [{"train_flops": 1e5, "inference_flops": 1e9}, {"train_flops": 1e18,
             "inference_flops": 1.0}, {"total_flops": 1e6, "questions": 1e9,
             "tokens_per_sample": 10.0}, {"train_flops": 1e18, "inference_flops": 1e9}]  # fmt: skip
    found = page_optima("softplus", draws_of("softplus", 1), given)
    said = [cell["lacks"] for cell in found[0]]
    assert said == ["training budget", "inference budget", "lifetime budget", ""]
    for one in given[:3]:
        with pytest.raises(t2.InputError, match="affords"):
            t2.Budget(**one)


def test_quantiles_counts_and_numbers_are_pythons():
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=101)
    counts = [3.0, 999.4, 999.6, 1234.0, 434156624.0, 2.56e12, 0.0123]
    told = ask(
        ("quantiles", {"values": drawn.tolist(), "shares": [0.05, 0.5, 0.95]}),
        ("counts", {"values": counts}),
        ("parsed", {"texts": ["1e18", "2.5B", "300k", "1,000", "x", "", "-3", "1e18 FLOPs"]}),
        ("plain", {"values": [2.56e19, 500.0, 1.57e11, 3.0]}),
    )
    np.testing.assert_allclose(told[0], np.quantile(drawn, [0.05, 0.5, 0.95]), rtol=1e-12)
    assert told[1] == [_text.count(x) for x in counts]
    assert told[2] == [1e18, 2.5e9, 3e5, 1000.0, None, None, None, 1e18]
    assert [float(text) for text in told[3]] == [2.56e19, 500.0, 1.57e11, 3.0]
