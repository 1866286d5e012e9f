"""`predict`: what a law says of models that were not trained, with the noise of a new one."""

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._precision import double, floats
from t2jax._typing import ArrayLike
from t2jax.errors import InputError
from t2jax.laws import Law, OnLoss
from t2jax.uncertainty.ensemble import Ensemble

__all__ = ["predict"]

_NEW = (None, "run", "checkpoint")


@double
def predict(
    draws: Ensemble,
    *,
    params: ArrayLike,
    tokens: ArrayLike,
    samples: ArrayLike = 1.0,
    new: str | None = None,
    seed: int = 0,
) -> np.ndarray:
    """A law's value in every draw, alone or as a new run or checkpoint would show it.

    `y = spread(L(N, D) exp(e_run + e_checkpoint), k)`: noise acts on the mean loss and every k
    shares it. Quantiles over the first axis are intervals. Where a share of the questions is
    impossible, pass@k counts them in.

    Args:
      draws: of a law, from `t2jax.bootstrap` or `t2jax.posterior`.
      params: parameters N, broadcasting with the others.
      tokens: training tokens D.
      samples: samples k.
      new: None for the law itself, "run" for the mean over a new run's checkpoints, "checkpoint"
        for one checkpoint of a new run. Points that differ in k only are one checkpoint.
      seed: of the noise.

    Returns:
      Values [draws, *points].

    Raises:
      InputError: no draws, an unknown `new`, or draws that do not say how noisy a run is.

    >>> import t2jax as t2
    >>> fit = t2.fit(t2.datasets.load_ladder(measure="loss"))
    >>> draws = t2.bootstrap(fit, n_draws=8, progress=False)
    >>> t2.predict(draws, params=[1e4, 3e4], tokens=1e7, new="checkpoint").shape
    (8, 2)

    Source: of the value, Roberts et al. 2026, arXiv:2604.01411; the noise is measured on the
    table.
    """
    if not draws.n_draws:
        raise InputError("these are no draws", remedy="make some with t2jax.bootstrap")
    if new not in _NEW:
        raise InputError(f"new={new!r} is unknown", remedy='use new="checkpoint", or leave it out')
    given = (floats(params, "params"), floats(tokens, "tokens"), floats(samples, "samples"))
    n, d, k = (np.asarray(x, float) for x in np.broadcast_arrays(*given))
    noise = np.zeros((draws.n_draws, *n.shape))
    if new is not None:
        noise = _noise(draws, np.stack([n.ravel(), d.ravel()], axis=1), new, seed)
        noise = noise.reshape(draws.n_draws, *n.shape)
    value = np.asarray(_every(draws.law, *map(jnp.asarray, (n, d, k, noise))))
    possible = 1.0 - np.asarray(draws.nuisance.get("impossible", np.zeros(draws.n_draws)))
    return value * possible.reshape(-1, *[1] * n.ndim)


def _noise(draws: Ensemble, place: np.ndarray, new: str, seed: int) -> np.ndarray:
    """Deviations of log loss, alike for points of one checkpoint [draws, points]."""
    run, checkpoint = draws.nuisance.get("run_sd"), draws.nuisance.get("checkpoint_sd")
    if run is None or checkpoint is None:
        found = draws.diagnostics.get("noise")
        if found is None or draws.point.searched.kind != "loss":
            raise InputError(
                "these draws do not say how noisy a run is",
                remedy="make them with t2jax.bootstrap of a fit of losses or likelihoods",
            )
        run, checkpoint = (np.full(draws.n_draws, x) for x in found)
    models, code = np.unique(place, axis=0, return_inverse=True)
    total = np.asarray(run) if new == "run" else np.hypot(run, checkpoint)
    rng = np.random.default_rng([seed, 4])
    drawn = rng.normal(size=(draws.n_draws, len(models))) * total[:, None]
    return drawn[:, np.ravel(code)]


@jax.jit
def _every(law: Law, n, d, k, noise):
    def one(law, noise):
        if isinstance(law, OnLoss):
            return law.of_loss(law.base(params=n, tokens=d) * jnp.exp(noise), k)
        return law(params=n, tokens=d, samples=k) * jnp.exp(noise)

    return jax.vmap(one)(law, noise)
