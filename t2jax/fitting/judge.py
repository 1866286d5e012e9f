"""Laws fitted to one table and ordered by what they make of rows held out; `law="auto"`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from t2jax.errors import Refusal
from t2jax.fitting.default import ON_PROOF, PREFERRED
from t2jax.fitting.held_out import HeldOut, held_out
from t2jax.fitting.result import FitResult, goodness
from t2jax.laws import Law, Stacked
from t2jax.observations import Observations

__all__ = ["Judged", "best_of", "choose", "judge", "stack", "win_shares"]

_LEAST_SHARE = 0.02  # of draws, below which a law is not worth its coefficients in every one
_REPLICATES = 4000  # of the table's runs: a share of wins is then known to a percent


class Judged(NamedTuple):
    """Laws on one table.

    Attributes:
      found: each fit with what it made of rows held out, the chosen one first, then certified
        fits before others and the least error first among them.
      failed: laws that could not be fitted or judged, with the reason.
    """

    found: list[tuple[FitResult, HeldOut]]
    failed: dict[str, str]


def judge(
    runs: Observations,
    fits: Mapping[str, Callable[[], FitResult]],
    *,
    each: bool = True,
    progress: bool = False,
) -> Judged:
    """Fit every law and judge it by what it was not fitted to.

    Args:
      runs: the table.
      fits: what fits each law to it, by name.
      each: hold out every checkpoint in turn too, not only the far ends of the axes.
      progress: whether to draw progress bars on a terminal.

    Raises:
      Refusal: no law could be fitted and judged.
    """
    found, failed = [], {}
    for name, fit_it in fits.items():
        try:
            fit = fit_it()
            found.append((fit, held_out(fit, runs, each=each, progress=progress)))
        except Refusal as refused:
            failed[name] = str(refused)
    if not found:
        told = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise Refusal(
            f"no law could be judged on {runs.source} ({told})",
            remedy="add checkpoints, or name a law with fewer coefficients, such as law='additive'",
        )
    found.sort(key=lambda pair: (not pair[0].success, pair[1].score))
    sound = [judged for fit, judged in found if fit.success]
    if sound:
        best = best_of(sound)
        found.sort(key=lambda pair: pair[1] is not best)
    return Judged(found, failed)


def best_of(judged: list[HeldOut]) -> HeldOut:
    """The law to plan with, of those judged on the same rows.

    A difference within its standard error is a tie. Among the laws that tie with the least error
    over all axes the first of `PREFERRED` is taken. A law of `ON_PROOF` bends more than a quiet
    part of a table can tell, and loses badly where it is wrong: it must win along the first axis,
    and lose along none, by more than a standard error.
    """

    def beats(one: HeldOut, other: HeldOut, axes: tuple[str, ...] | None = None) -> bool:
        gap = one.mean(axes, beside=other)
        return gap.value < -gap.error

    plain = [each for each in judged if each.form not in ON_PROOF] or judged
    least = min(plain, key=lambda each: each.score)
    chosen = min((e for e in plain if not beats(least, e)), key=_preference)
    for other in sorted(judged, key=lambda each: each.axis_error[each.axes[0]]):
        worse = any(beats(chosen, other, (axis,)) for axis in other.axes if axis in chosen.axes)
        if other not in plain and beats(other, chosen, other.axes[:1]) and not worse:
            chosen = other
    return chosen


def _preference(judged: HeldOut) -> tuple[int, float]:
    place = [*PREFERRED, judged.form].index(judged.form)
    return place, judged.score


def win_shares(judged: list[HeldOut]) -> np.ndarray:
    """How often each law has the least error along the first axis, runs being drawn again.

    Runs are drawn by flat Dirichlet weights (Rubin 1981, doi:10.1214/aos/1176345338). Laws that
    the held-out runs do not tell apart share the draws; one that they refute has none.

    Args:
      judged: laws judged on the same rows.

    Returns:
      Shares that sum to one [laws].
    """
    far = judged[0].rows[0] > 0
    error = np.stack(
        [np.where(np.isfinite(e), e, 1e300) for e in (j.error[0][far] for j in judged)]
    )
    weight = np.random.default_rng(0).exponential(size=(_REPLICATES, error.shape[1]))
    wins = np.argmin(weight @ error.T, axis=1)
    return np.bincount(wins, minlength=len(judged)) / _REPLICATES


def choose(runs: Observations, fits: Mapping[str, Callable[[], FitResult]]) -> FitResult:
    """The law to plan with, by what was held out where plans extrapolate.

    Returns:
      The fit of the chosen law; its message says what was compared.

    Raises:
      Refusal: no law has a certified fit that could be judged.
    """
    found, failed = judge(runs, fits, each=False)
    best, judged = found[0]
    if not best.success:
        raise _none_certified(runs, best)
    return dataclasses.replace(best, message=f"{best.message}; {_told(judged, found, failed)}")


def stack(runs: Observations, fits: Mapping[str, Callable[[], FitResult]]) -> FitResult:
    """All laws that the far end of the table does not refute, by `win_shares`.

    Returns:
      A fit of law "stack", whose certificate is that of its first member, with the bounds of all.

    Raises:
      Refusal: no law has a certified fit that could be judged.
    """
    found, failed = judge(runs, fits, each=False)
    sound = [(fit, judged) for fit, judged in found if fit.success]
    if not sound:
        raise _none_certified(runs, found[0][0])
    shares = win_shares([judged for _, judged in sound])
    shares = np.where(shares < _LEAST_SHARE, 0.0, shares) / shares[shares >= _LEAST_SHARE].sum()
    kept = [(fit, float(w)) for (fit, _), w in zip(sound, shares, strict=True) if w > 0]
    best = kept[0][0]
    law = _stacked([f.law for f, _ in kept], [w for _, w in kept])
    predicted = np.sum([weight * fit.predicted for fit, weight in kept], axis=0)
    names = [judged.law_name for fit, judged in sound if any(fit is one for one, _ in kept)]
    told = ", ".join(f"{name} {w:.2f}" for name, (_, w) in zip(names, kept, strict=True))
    axis = sound[0][1].axes[0]
    bounds = [(f.law.searched.form, name) for f, _ in kept for name in f.certificate.at_bound]
    certificate = dataclasses.replace(
        best.certificate, at_bound=tuple(f"{form}.{name}" for form, name in bounds)
    )
    return dataclasses.replace(
        best, law=law, predicted=predicted, criteria=goodness(best.observed, predicted),
        n_free=sum(fit.n_free for fit, _ in kept) + len(kept) - 1, certificate=certificate,
        trend=max((fit.trend for fit, _ in kept if fit.trend is not None), default=None),
        message=f"laws weighed by how often each is best where {axis} is largest and held out: "
        f"{told}; {_told(sound[0][1], found, failed)}",
    )  # fmt: skip


def _stacked(members: list[Law], weights: list[float]) -> Law:
    """Laws as one; linked laws share their spread, so that their losses are stacked."""
    searched = tuple(law.searched for law in members)
    return members[0].with_searched(Stacked(members=searched, weights=tuple(weights)))


def _none_certified(runs: Observations, best: FitResult) -> Refusal:
    return Refusal(
        f"no law could be chosen for {runs.source}: {best.law.name}: {best.message}",
        remedy="name a law, such as law='additive'",
    )


def _told(judged: HeldOut, found: list, failed: dict[str, str]) -> str:
    """What was compared, in words."""
    scores = ", ".join(
        "{} {:.4g} (se {:.2g})".format(each.law_name, *each.mean()) for _, each in found
    )
    text = (
        f"laws judged by their {judged.quantity} where {', '.join(judged.axes)} are largest and "
        f"held out: {scores}"
    )
    doubted = {
        each.law_name: f"{1 - each.converged:.0%} of its refits did not converge"
        for _, each in found
        if each.converged < 1
    }
    doubted |= {each.law_name: "not certified" for fit, each in found if not fit.success}
    for head, notes in (("left out", failed), ("doubtful", doubted)):
        if notes:
            text += f" ({head}: {'; '.join(f'{name}: {why}' for name, why in notes.items())})"
    return text
