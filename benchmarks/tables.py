"""The tables that the benchmarks fit: public points where they are at hand, and simulations."""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import pandas as pd

import t2jax as t2

EPOCH = pathlib.Path(__file__).resolve().parents[2] / "shared/data/chinchilla_epoch/points.csv"

SAMPLES = 2.0 ** np.arange(14)
"""The k grid of arXiv:2604.01411."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """A table under the name that the results call it by."""

    name: str
    runs: t2.Observations


def epoch_points() -> Points:
    """The 240 points of arXiv:2404.10102: five largest losses left out, as there."""
    frame = pd.read_csv(EPOCH)
    frame = frame[frame.epoch_fit_subset == 1]
    runs = t2.Observations(
        kind="loss",
        run=frame.row.astype(str).to_numpy(),
        params=frame.n_params.to_numpy(float),
        tokens=frame.d_tokens.to_numpy(float),
        loss=frame.loss.to_numpy(float),
        source="Epoch's 240 points",
    )
    return Points(name="Epoch, 240 points", runs=runs)


CHINCHILLA = dict(E=1.8172, A=477.83, B=2143.4, alpha=0.34731, beta=0.36717)


def _additive(params, tokens):
    c = CHINCHILLA
    return c["E"] + c["A"] * params ** -c["alpha"] + c["B"] * tokens ** -c["beta"]


def twin_points() -> Points:
    """A simulated table of the shape and noise of Epoch's 240 points."""
    rng = np.random.default_rng(0)
    params = np.exp(rng.uniform(np.log(5.7e7), np.log(1.6e10), 240))
    tokens = params * np.exp(rng.uniform(np.log(1.5), np.log(300.0), 240))
    tokens = np.clip(tokens, 5e8, 3e11)
    loss = _additive(params, tokens) * np.exp(0.0041 * rng.standard_t(3, 240))
    runs = t2.Observations(
        kind="loss", run=np.arange(240).astype(str), params=params, tokens=tokens, loss=loss,
        source="a simulated twin of Epoch's points",
    )  # fmt: skip
    return Points(name="simulation, 240 points", runs=runs)


def clustered_points() -> Points:
    """A simulated table of 48 runs judged at five checkpoints each, with an effect of the run."""
    rng = np.random.default_rng(1)
    sizes = np.geomspace(5e7, 1.6e10, 12)
    run = np.repeat(np.arange(48), 5)
    params = np.repeat(np.repeat(sizes, 4), 5)
    ratio = np.tile([1.0, 3.0, 10.0, 30.0, 100.0], 48)
    tokens = params * ratio * np.repeat(np.tile([1.0, 1.3, 1.7, 2.2], 12), 5)
    effect = 0.008 * rng.standard_normal(48)
    loss = _additive(params, tokens) * np.exp(effect[run] + 0.003 * rng.standard_normal(240))
    runs = t2.Observations(
        kind="loss", run=run.astype(str), params=params, tokens=tokens, loss=loss,
        source="a simulated table of 48 runs",
    )  # fmt: skip
    return Points(name="simulation, 48 runs x 5 checkpoints", runs=runs)


def _paper_checkpoints() -> tuple[np.ndarray, np.ndarray]:
    """A design like the paper's: 85 checkpoints near 20 tokens per parameter, 21 overtrained."""
    sizes = np.geomspace(5e6, 901e6, 16)
    budgets = 1.25e16 * 2.0 ** np.arange(12)
    params, flops = (x.ravel() for x in np.meshgrid(sizes, budgets))
    ratio = flops / (6.0 * params**2)
    order = np.argsort(np.abs(np.log(ratio / 20.0)), kind="stable")
    beyond = order[85:][ratio[order[85:]] > 20.0]
    over = beyond[np.linspace(0, len(beyond) - 1, 21).astype(int)]
    chosen = np.concatenate([order[:85], over])
    return params[chosen], flops[chosen] / (6.0 * params[chosen])


PAPER_LAW = dict(E=0.5, A=60.0, B=600.0, G=1.5, alpha=0.25, beta=0.32, gamma=0.3)
SPREAD = dict(th0=2.0, th1=0.9, th2=0.95, th3=0.3, th4=-0.15)


@functools.cache
def paper_points(*, spread: bool) -> Points:
    """106 checkpoints x 14 k of `E[-log pass@k]`.

    Args:
      spread: questions follow a Beta spread, under which the law of Approach 1 is misspecified;
        else the law itself is true. Each checkpoint has an effect of 1%, each value noise of 0.3%.
    """
    params, tokens = _paper_checkpoints()
    if spread:
        inner = t2.laws.Additive(E=0.9, A=60.0, B=600.0, alpha=0.25, beta=0.32)
        truth = t2.laws.T2Accuracy(loss=inner, **SPREAD).neg_log_pass
    else:
        truth = t2.laws.T2Loss.from_paper(**PAPER_LAW)
    with jax.enable_x64(True):
        at = {"params": params[:, None], "tokens": tokens[:, None], "samples": SAMPLES[None, :]}
        loss = np.asarray(truth(**at))
    rng = np.random.default_rng(2)
    loss = loss * np.exp(0.01 * rng.standard_normal((106, 1)))
    loss = loss * np.exp(0.003 * rng.standard_normal(loss.shape))
    runs = t2.Observations(
        kind="loss",
        run=np.repeat(np.arange(106), 14).astype(str),
        params=np.repeat(params, 14),
        tokens=np.repeat(tokens, 14),
        samples=np.tile(SAMPLES, 106),
        loss=loss.ravel(),
        source="a simulated table of the paper's design",
    )
    kind = "a Beta spread of questions" if spread else "the law itself"
    return Points(name=f"simulation from {kind}, 106 checkpoints x 14 k", runs=runs)


def loss_draws(n_draws: int) -> t2.Ensemble:
    """Draws of `t2_loss` round one law, as a bootstrap would give them."""
    return _draws(t2.laws.T2Loss.from_paper(**PAPER_LAW), n_draws)


def accuracy_draws(n_draws: int) -> t2.Ensemble:
    """Draws of `t2_accuracy` round one law."""
    inner = t2.laws.Additive(E=0.9, A=60.0, B=600.0, alpha=0.25, beta=0.32)
    return _draws(t2.laws.T2Accuracy(loss=inner, **SPREAD), n_draws)


def _draws(law, n_draws: int) -> t2.Ensemble:
    rng = np.random.default_rng(3)
    point = jax.tree.map(float, law)
    many = jax.tree.map(lambda x: x * np.exp(0.03 * rng.standard_normal(n_draws)), point)
    return t2.Ensemble(law=many, point=point, kind="simulation", unit="nothing")
