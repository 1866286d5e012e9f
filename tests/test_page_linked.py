"""The page's JavaScript of laws with arrays of nodes and waves: Python's values and slopes."""

import json
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t2jax.laws import Coupled, Law, Linked, Warped, leaves_by_name
from t2jax.laws.spread import Quantile
from t2jax.laws.spread.quantile import NODES
from t2jax.reporting.page.javascript import program, written

DRAWS = 3
SCRIPT = """
const [columns, points] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const law = Programs.law(columns.map((column) => Float64Array.from(column)));
const out = points.map(([i, n, d, x]) => {
  const slopes = [0, 0, 0];
  law.slopes(i, n, d, x, slopes);
  return [law.shown(law.goal(i, n, d, x)), ...slopes];
});
process.stdout.write(JSON.stringify(out));
"""


def drawn(*, bent: bool) -> Linked:
    """Draws of a linked law whose loss has a surface."""
    rng = np.random.default_rng(1)
    inner = Coupled(
        E=rng.uniform(0.1, 0.5, DRAWS), A=rng.uniform(100, 300, DRAWS),
        B=rng.uniform(100, 300, DRAWS), alpha=rng.uniform(0.3, 0.4, DRAWS),
        beta=rng.uniform(0.2, 0.3, DRAWS), kappa=rng.uniform(0.7, 0.9, DRAWS),
    )  # fmt: skip
    waves = {name: rng.normal(size=(DRAWS, 5)) for name in ("by_params", "by_tokens")}
    sizes = {name: 0.02 * rng.normal(size=(DRAWS, 5)) for name in ("cosine", "sine")}
    nodes = {name: rng.normal(15.0, 4.0, (DRAWS, 3)) for name in ("params_nodes", "tokens_nodes")}
    lengths = {name: rng.uniform(1, 3, DRAWS) for name in ("params_length", "tokens_length")}
    warped = Warped(
        loss=inner, least=np.full(DRAWS, 1e5), height=0.05 * rng.normal(size=(DRAWS, 9)),
        **waves, **sizes, **nodes, **lengths,
    )  # fmt: skip
    more = {"bend": 0.1 * rng.normal(size=(DRAWS, NODES))} if bent else {}
    spread = Quantile(
        level=np.sort(rng.normal(0.5, 1.0, (DRAWS, NODES))),
        slope=rng.uniform(0.6, 1.5, (DRAWS, NODES)), centre=rng.uniform(0.8, 1.2, DRAWS),
        low=np.full(DRAWS, 0.5), high=np.full(DRAWS, 1.5), **more,
    )  # fmt: skip
    return Linked(loss=warped, spread=spread)


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("accuracy", [False, True])
def test_the_law_has_pythons_values_and_slopes(bent, accuracy):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node to run the page's JavaScript, and there is none on this machine")
    law: Law = drawn(bent=bent).accuracy() if accuracy else drawn(bent=bent)
    rng = np.random.default_rng(2)
    logs = rng.uniform([10.0, 14.0, 0.0], [18.0, 24.0, 9.0], (12, 3))
    points = [[i % DRAWS, *row] for i, row in enumerate(logs.tolist())]
    columns = [np.asarray(leaf).ravel().tolist() for leaf in leaves_by_name(law).values()]
    done = subprocess.run(
        [node, "-e", written({"law": program(jax.tree.map(lambda x: x[0], law))}) + SCRIPT],
        input=json.dumps([columns, points]), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = np.array(json.loads(done.stdout))
    with jax.enable_x64(True):

        def value(one, n, d, x):
            return one(params=jnp.exp(n), tokens=jnp.exp(d), samples=jnp.exp(x))

        for (i, *row), told in zip(points, found, strict=True):
            one = jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), law)
            assert told[0] == pytest.approx(float(value(one, *row)), rel=1e-9)
            slopes = np.array(jax.grad(value, argnums=(1, 2, 3))(one, *map(jnp.asarray, row)))
            common = told[1] / slopes[0]  # the goal may be bent: one factor for all slopes
            assert (common < 0) == accuracy
            np.testing.assert_allclose(told[1:], common * slopes, rtol=1e-7)
