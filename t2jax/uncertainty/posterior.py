"""The posterior: NumPyro's NUTS over the same law objects that the fitter minimises."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._arguments import check_seed, check_whole
from t2jax._precision import double, to_numpy
from t2jax._progress import track
from t2jax._typing import Floats
from t2jax.errors import InputError, Refusal
from t2jax.fitting import FitResult
from t2jax.laws import Law, Prior
from t2jax.observations import Observations
from t2jax.uncertainty import diagnostics
from t2jax.uncertainty.discrepancy import TAKEN_AS_TRUE, applies
from t2jax.uncertainty.ensemble import Ensemble, fitted_table
from t2jax.uncertainty.log_posterior import Inputs, Target
from t2jax.uncertainty.predictive import check
from t2jax.uncertainty.prepare import Prepared, prepare
from t2jax.uncertainty.run_noise import residual_noise

__all__ = ["posterior"]

_IMPOSSIBLE = "predictions count the impossible questions in: the law times 1 - impossible"
_CHUNK = 50  # iterations per compiled call, between two looks at the progress bar
_TREE_DEPTH = 8  # of NUTS: up to 255 steps, on coordinates whitened at the mode
_DENSE = 30  # coordinates up to which the mass matrix is adapted whole

R_HAT, EFFECTIVE = 1.01, 100.0  # bounds of arXiv:1903.08008; the second per chain


@double
def posterior(
    fit: FitResult,
    *,
    runs: Observations | None = None,
    seed: int = 0,
    n_draws: int = 1000,
    chains: int = 4,
    warmup: int = 500,
    effects: str | None = None,
    impossible: bool = False,
    priors: Mapping[str, Prior] | None = None,
    target_accept: float = 0.95,
    allow_failed: bool = False,
    progress: bool = True,
) -> Ensemble:
    """Sample the posterior of a fitted law.

    Losses follow a Student-t in log loss, counts a beta-binomial, whatever objective the fit
    minimised. Where losses are means over questions that the table holds, the questions count as
    drawn from many: every draw is moved as other questions would move the mode, beyond what
    noise already counts; diagnostics are those of the chains before. Sampling starts round the
    mode, in coordinates whitened there, and runs until every chain has its draws; chains that do
    not agree are refused, not reported.

    Args:
      fit: the fit whose law is sampled.
      runs: the table, where the fit was read from a file.
      seed: of the sampler.
      n_draws: draws kept per chain.
      chains: chains, run side by side.
      warmup: adaptation steps per chain, which are thrown away.
      effects: "checkpoint" gives every checkpoint its own deviation from the law: a shift of
        log loss shared by its rows, or of log b, the log odds against success, for counts.
        "run" gives one to every run (or trunk, where the table names them) besides, shared by
        its checkpoints; losses only. "none" takes rows, or questions, as independent. Unless
        given, what the table has, and "run" where it has five runs or more.
      impossible: whether a share of the questions, alike for all checkpoints, may be impossible;
        the law then describes the others, and `nuisance["impossible"]` holds the share.
      priors: by coefficient name, in place of the default ones.
      target_accept: acceptance that the step size is adapted to.
      allow_failed: hand draws on that failed a diagnostic, with the failure in their notes.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      The draws, as the law with a leading axis, chain after chain. `nuisance` holds the draws
      of the likelihood's own coefficients.

    Raises:
      InputError: no table at hand, another table, or options that do not fit.
      Refusal: R-hat above 1.01, fewer than 100 effective draws per chain, or a divergence.

    Source: NUTS of Hoffman & Gelman 2014, arXiv:1111.4246, by NumPyro, arXiv:1912.11554;
    diagnostics of Vehtari et al. 2021, arXiv:1903.08008.
    """
    table = fitted_table(fit, runs, "the posterior")
    check_whole("n_draws", n_draws, least=4, usual=1000)
    check_whole("chains", chains, least=2, usual=4)
    check_whole("warmup", warmup, least=20, usual=500)
    check_seed(seed)
    if not 0.5 <= target_accept < 1.0:
        raise InputError(
            f"target_accept={target_accept:g} is no acceptance to aim at", remedy="use 0.95"
        )
    prepared = prepare(fit, table, effects=effects, impossible=impossible, priors=priors)
    vectors, stats = _sample(
        prepared, seed, n_draws, chains, warmup, target_accept=target_accept, progress=progress
    )
    target, inputs = prepared.target, prepared.inputs
    vectors = vectors.reshape(chains * n_draws, -1)
    sampled, others = to_numpy(_unpack(target, jnp.asarray(vectors), inputs))
    tail = target.cards[len(fit.law.cards()) :]
    nuisance = {card.name: np.asarray(x) for card, x in zip(tail, others, strict=True)}
    judged = {n: x for n, x in (sampled.coefficients() | nuisance).items() if n in target.names}
    verdict = _judge(judged, stats, chains, n_draws)
    failed = verdict.pop("failed")
    if failed and not allow_failed:
        raise Refusal(
            f"the posterior of law '{fit.law.name}' failed its diagnostics: {'; '.join(failed)}",
            remedy=_remedy(stats, warmup, n_draws, target_accept, target.effects),
        )
    checks, misfits = check(target, inputs, vectors, seed=seed)
    law = sampled
    if prepared.moves is not None:
        moved = vectors + _choices(prepared.moves, len(vectors), seed)
        law = to_numpy(_unpack(target, jnp.asarray(moved), inputs)[0])
    notes = [
        f"{chains} chains of {n_draws} draws; {_told(verdict)}",
        *(f"FAILED DIAGNOSTIC, do not use these intervals: {text}" for text in failed),
        *prepared.notes,
        *_apart(law, fit, target.names),
        *misfits,
        *([TAKEN_AS_TRUE] if applies(fit) else []),
        *([_IMPOSSIBLE] if impossible else []),
    ]
    place = np.asarray(inputs.data.rows.place)
    told = {"failed": failed, "predictive_checks": checks, "notes": notes}
    return Ensemble(
        law=law,
        point=fit.law,
        kind="posterior",
        unit=prepared.unit,
        seed=seed,
        hull=fit.hull,
        diagnostics={**verdict, **told, "noise": residual_noise(fit, table, place)},
        source=fit.source,
        data_hash=fit.data_hash,
        uncertified=fit.uncertified,
        trendless=fit.trendless,
        nuisance=nuisance,
        chains=chains,
        log_density=-stats.potential.reshape(-1),
        diverging=stats.diverging.reshape(-1),
    )


class _Stats(NamedTuple):
    """What the sampler says of its draws, each [chains, draws]."""

    potential: np.ndarray
    diverging: np.ndarray
    steps: np.ndarray


class _Sampler(NamedTuple):
    """Compiled programs of one target and one set of settings."""

    begin: Callable[..., Any]
    advance: Callable[..., Any]


@functools.lru_cache(maxsize=8)
def _sampler(target: Target, warmup: int, target_accept: float, dense: bool) -> _Sampler:
    """The sampler's two programs, kept so that an equal problem compiles once."""
    # NumPyro alone takes a second to import, so the front door does not.
    from numpyro.infer.hmc import hmc

    def potential(inputs: Inputs, mode: Floats, root: Floats):
        return lambda white: target.value(mode + root @ white, inputs)

    first, following = hmc(potential_fn_gen=potential, algo="NUTS")

    @jax.jit
    def begin(keys, white, arguments):
        def one(key, start):
            return first(
                start,
                num_warmup=warmup,
                step_size=0.5,
                dense_mass=dense,
                target_accept_prob=target_accept,
                max_tree_depth=_TREE_DEPTH,
                model_args=arguments,
                rng_key=key,
            )

        return jax.vmap(one)(keys, white)

    @jax.jit
    def advance(state, arguments):
        def step(state, _):
            state = jax.vmap(lambda s: following(s, model_args=arguments))(state)
            kept = (state.z, state.potential_energy, state.diverging, state.num_steps)
            return state, kept

        return jax.lax.scan(step, state, None, length=_CHUNK)

    return _Sampler(begin, advance)


def _sample(
    prepared: Prepared,
    seed: int,
    n_draws: int,
    chains: int,
    warmup: int,
    *,
    target_accept: float,
    progress: bool,
) -> tuple[np.ndarray, _Stats]:
    """Vectors [chains, draws, coordinates] and the sampler's own word on them."""
    warmup = -(-warmup // _CHUNK) * _CHUNK
    size = len(prepared.mode)
    run = _sampler(prepared.target, warmup, target_accept, size <= _DENSE)
    start_key, chain_key = jax.random.split(jax.random.key(seed))
    white = jax.random.normal(start_key, (chains, size), float)
    arguments = (prepared.inputs, prepared.mode, prepared.root)
    state = run.begin(jax.random.split(chain_key, chains), white, arguments)
    kept = []
    total = warmup // _CHUNK + -(-n_draws // _CHUNK)
    for chunk in track(range(total), "posterior", show=progress):
        state, found = run.advance(state, arguments)
        found = to_numpy(found)
        if chunk >= warmup // _CHUNK:
            kept.append(found)
    columns = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    white, *rest = (column[:n_draws].swapaxes(0, 1) for column in columns)
    vectors = np.asarray(prepared.mode) + white @ np.asarray(prepared.root).T
    return vectors, _Stats(*rest)


def _apart(law: Law, fit: FitResult, names: tuple[str, ...]) -> list[str]:
    """A sentence where the fit is not among the draws of coefficients that were sampled."""
    drawn, fitted = law.coefficients(), fit.law.coefficients()
    ends = {n: np.quantile(np.asarray(drawn[n]), [0.01, 0.99]) for n in fitted if n in names}
    far = [n for n, (low, high) in ends.items() if not low <= float(fitted[n]) <= high]
    if not far:
        return []
    return [
        f"the fit lies outside 98% of the draws of {', '.join(far)}: likelihood and priors weigh "
        f"the rows otherwise than objective '{fit.objective}'; look at the residuals"
    ]


def _choices(moves: np.ndarray, n_draws: int, seed: int) -> np.ndarray:
    """Moves by as many choices of questions [draws, coordinates]."""
    rng = np.random.default_rng([seed, 2])
    return rng.normal(size=(n_draws, moves.shape[1])) @ moves.T


@functools.partial(jax.jit, static_argnums=0)
def _unpack(target: Target, vectors: Floats, inputs: Inputs) -> tuple[Law, tuple[Floats, ...]]:
    """Law and other coefficients of every vector."""
    return jax.vmap(lambda v: target.values(target.coordinates(v, inputs), inputs))(vectors)


def _judge(
    values: Mapping[str, np.ndarray], stats: _Stats, chains: int, n_draws: int
) -> dict[str, Any]:
    """The diagnostics, and a phrase for each that failed."""
    by_name = {}
    for name, column in values.items():
        parts = np.asarray(column).reshape(chains, n_draws)
        by_name[name] = {
            "r_hat": diagnostics.r_hat(parts),
            "ess_bulk": diagnostics.ess_bulk(parts),
            "ess_tail": diagnostics.ess_tail(parts),
        }
    worst = {
        "r_hat": max(by_name, key=lambda n: by_name[n]["r_hat"]),
        "ess_bulk": min(by_name, key=lambda n: by_name[n]["ess_bulk"]),
        "ess_tail": min(by_name, key=lambda n: by_name[n]["ess_tail"]),
    }
    out: dict[str, Any] = {k: float(by_name[name][k]) for k, name in worst.items()}
    out["divergences"] = int(np.sum(stats.diverging))
    out["coefficients"] = by_name
    failed = []
    if not out["r_hat"] <= R_HAT:
        failed.append(f"R-hat of {worst['r_hat']} is {out['r_hat']:.3f}, above {R_HAT}")
    for key, word in (("ess_bulk", "bulk"), ("ess_tail", "tail")):
        if not out[key] >= EFFECTIVE * chains:
            failed.append(
                f"{worst[key]} has {out[key]:.0f} effective draws ({word}), fewer than "
                f"{EFFECTIVE * chains:.0f}"
            )
    if out["divergences"]:
        failed.append(f"{out['divergences']} of {stats.diverging.size} draws diverged")
    return {**out, "failed": failed}


def _told(verdict: Mapping[str, Any]) -> str:
    return (
        f"R-hat up to {verdict['r_hat']:.4f}, effective draws {verdict['ess_bulk']:.0f} (bulk) and "
        f"{verdict['ess_tail']:.0f} (tails) or more, {verdict['divergences']} divergences"
    )


def _remedy(stats: _Stats, warmup: int, n_draws: int, target_accept: float, effects: str) -> str:
    """What to change, in the order of what went wrong."""
    less = "a law with fewer coefficients"
    if effects == "spread":
        less = "effects='none', whose intervals at models not sampled are too narrow, or " + less
    if np.any(stats.diverging):
        higher = 1.0 - (1.0 - target_accept) / 5
        return f"use target_accept={higher:.3g}, or {less}"
    return (
        f"use n_draws={2 * n_draws}, warmup={2 * warmup}, or {less}, or add "
        "runs that identify the ones it has"
    )
