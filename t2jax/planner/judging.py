"""`backtest`: plans made of the cheaper runs, judged by the dearer ones that were measured."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from t2jax import _text, laws
from t2jax._arguments import check_level, check_whole
from t2jax.cost import INFERENCE_FLOPS, TRAIN_FLOPS
from t2jax.errors import InputError, Refusal
from t2jax.fitting import fit
from t2jax.fitting.default import default_law
from t2jax.laws import Law
from t2jax.laws import predict as of_law
from t2jax.observations import Observations
from t2jax.planner.backtested import Backtest, Case
from t2jax.planner.budgets import middling
from t2jax.planner.levels import Level, level_at, levels_of
from t2jax.planner.result import Announce, silent
from t2jax.planning import Budget, optimum
from t2jax.planning.driver import check_trend
from t2jax.planning.rivals.rules import RATIO
from t2jax.uncertainty import Ensemble, bootstrap, predict
from t2jax.uncertainty.ensemble import central_interval
from t2jax.validation.design_check import check_design

__all__ = ["backtest"]

_SHARES = (1 / 2, 1 / 3)  # of a budget: runs up to there are fitted
_AROUND = (1 / 4, 1.0, 4.0)  # inference budgets about the one that is asked about
_LEVELS = 3
_LEAST_SIZES = 4  # that a budget must have been measured at: among fewer any plan is right
_USUAL_SAMPLES = 1024.0  # likelihoods of questions know pass@k at any k
_SLACK = 1e-6
_ASKED = ("train_flops", "inference_flops")
_ENOUGH = 1e30  # FLOPs that stand in where the other budget alone is read


def backtest(
    runs: Observations,
    budget: Budget | Mapping[str, Any] | None = None,
    *,
    law: str | type[Law] | Law | None = None,
    objective: str | None = None,
    samples: Sequence[float] | None = None,
    shares: Sequence[float] = _SHARES,
    n_levels: int = _LEVELS,
    n_draws: int = 100,
    unit: str | None = None,
    seed: int = 0,
    discrepancy: bool = True,
    level: float = 0.9,
    progress: bool = True,
    announce: Announce | None = None,
) -> Backtest:
    """What our plans would have lost on budgets that were measured already.

    For training budgets C inside the table the runs up to `C/2`, then `C/3`, are fitted, a plan
    is made for C, and the size that it names is looked up among the checkpoints that were
    measured at C. `lost = loss of that size - least loss of any size measured at C`, each size
    with the samples that the inference budget affords it. The same is asked of others' choices.

    Sizes are read along their own runs, linearly in log D between two checkpoints, never between
    sizes: a planned size is judged by the nearest one that was measured.

    Args:
      runs: the table.
      budget: two separate budgets in 6ND and 2Nk, or fields of one. One training budget is
        ignored, as the table says where it can judge; an array of them is what is judged. The
        inference budget, by default one of the middle of the table, is asked about with a
        quarter and four times it.
      law: as for `fit`.
      objective: as for `fit`.
      samples: as for `fit`.
      shares: of a training budget, up to which runs are fitted. One stands for the whole table,
        whose plan is judged by runs that it was made of: how well the law describes them, and no
        foresight.
      n_levels: training budgets at most.
      n_draws: refits behind the interval of a promised value.
      unit: as for `bootstrap`.
      seed: of the resampling.
      discrepancy: as for `bootstrap`.
      level: of the intervals.
      progress: whether to draw progress bars on a terminal.
      announce: called with the name of every long step before it begins.

    Returns:
      One case per training budget, share and inference budget.

    Raises:
      InputError: bad arguments, or a budget that is not two separate ones.
      Refusal: the table cannot be split; what would make it possible is said.

    >>> import t2jax as t2
    >>> losses = t2.datasets.load_ladder(measure="loss")
    >>> found = t2.backtest(losses, n_levels=1, shares=[0.5], n_draws=8, discrepancy=False,
    ...                     progress=False)
    >>> [case.sizes for case in found.cases]
    [7]

    Source: the question is that of arXiv:2604.01411, asked of checkpoints instead of a law.
    """
    check_level(level)
    check_whole("n_draws", n_draws, usual=100)
    check_whole("n_levels", n_levels, usual=_LEVELS)
    if not len(shares) or not all(0 < share <= 1 for share in shares):
        raise InputError(
            f"shares is {list(shares)}", remedy="give shares of a budget, or 1 for the whole table"
        )
    form = laws.template(default_law(runs) if law in (None, "auto", "stack") else law)
    if runs.samples is not None and len(np.unique(runs.samples)) > 1:
        raise Refusal(
            f"{runs.source} holds losses at several k, which say nothing of the k between",
            remedy="bring a question table, or select the rows of one k",
        )
    asked = _asked(budget)
    inference = _inference_budgets(runs, asked, form)
    levels = _levels(runs, asked.get("train_flops"), shares, n_levels)
    say, cases, skipped = announce or silent, [], []
    for train, share, kept in _splits(runs, levels, shares):
        cheap = runs.select(kept)
        say(f"planning {train:.3g} FLOPs from {cheap.n_rows} cheaper rows")
        try:
            check_design(cheap, form, samples)
            found = fit(cheap, law, objective=objective, samples=samples)
            check_trend(found)
            draws = bootstrap(
                found, n_draws=n_draws, unit=unit, seed=seed, discrepancy=discrepancy,
                progress=progress,
            )  # fmt: skip
        except Refusal as refused:
            skipped.append(f"{train:.3g} FLOPs from runs of {share:.2g} of it: {refused.problem}")
            continue
        judge = _Judge(runs=runs, draws=draws, level=level, seed=seed, skipped=skipped)
        cases += judge.cases(level_at(runs, train), share, inference)
    if not cases:
        raise Refusal(
            f"no part of {runs.source} can be planned from its cheaper runs"
            + (f" ({skipped[0]})" if skipped else ""),
            remedy=_lacking(runs, min(shares)),
        )
    return Backtest(
        cases=tuple(cases), kind=form.kind, law=form.title, source=runs.source, level=level,
        n_sizes=len(np.unique(runs.params)), skipped=tuple(skipped),
    )  # fmt: skip


def _asked(budget: Budget | Mapping[str, Any] | None) -> dict[str, Any]:
    """The two budgets as numbers; a table is judged by nothing else.

    Raises:
      InputError: anything else is asked for, or what is no budget.
    """
    told = budget.to_dict() if isinstance(budget, Budget) else dict(budget or {})
    plain = Budget(train_flops=_ENOUGH).to_dict()
    odd = [n for n, v in told.items() if n not in _ASKED and v is not None and v != plain.get(n)]
    if odd:
        raise InputError(
            f"a backtest asks about two separate budgets in 6ND and 2Nk, not {', '.join(odd)}",
            remedy="give train_flops and inference_flops alone",
        )
    usual: dict[str, Any] = {"train_flops": _ENOUGH}
    numbers = {n: Budget(**usual | {n: told[n]}) for n in _ASKED if told.get(n) is not None}
    return {name: getattr(one, name) for name, one in numbers.items()}


def _inference_budgets(
    runs: Observations, asked: Mapping[str, Any], form: Law
) -> tuple[float | None, ...]:
    """Inference budgets about the one asked about; None alone where no samples are drawn."""
    flops = asked.get("inference_flops")
    if runs.kind == "loss" or not form.uses_samples:
        if flops is not None:
            raise Refusal(
                f"{runs.source} or law '{form.name}' says nothing of samples",
                remedy="leave the inference budget out, or bring a question table",
            )
        return (None,)
    if flops is None:
        most = _USUAL_SAMPLES if runs.trials is None else float(runs.trials.min())
        flops = INFERENCE_FLOPS * middling(runs) * float(np.sqrt(most))
    if np.ndim(flops):
        return tuple(np.asarray(flops, float).ravel().tolist())
    return tuple(float(flops) * factor for factor in _AROUND)


def _levels(
    runs: Observations, asked: Any, shares: Sequence[float], count: int
) -> tuple[float, ...]:
    """The training budgets to be judged."""
    if np.ndim(asked):
        return tuple(np.asarray(asked, float).ravel().tolist())
    found = levels_of(runs, count=count, least=_LEAST_SIZES, below=min(shares))
    if not found:
        raise Refusal(
            f"{runs.source} cannot be split: at no training budget were {_LEAST_SIZES} sizes "
            "measured, with checkpoints of three sizes below a part of it",
            remedy=_lacking(runs, min(shares)),
        )
    return found


def _lacking(runs: Observations, share: float) -> str:
    """Which runs would make a backtest possible, from the sizes at hand."""
    sizes = np.unique(runs.params)
    top = float(np.max(runs.train_flops))
    if len(sizes) >= _LEAST_SIZES:
        middle = len(sizes) // 2
        sizes = sizes[max(0, middle - 2) : middle + 2]
    each = ", ".join(
        f"{_text.count(n)} on {_text.count(top * share / (6 * n))} and {_text.count(top / (6 * n))}"
        for n in sizes
    )
    more = "" if len(sizes) >= _LEAST_SIZES else f", and {_LEAST_SIZES - len(sizes)} more sizes"
    return f"measure {_LEAST_SIZES} sizes at one training budget and below it: {each} tokens{more}"


def _splits(runs: Observations, levels: Sequence[float], shares: Sequence[float]):
    """Each budget with the rows that may be fitted; the same rows once only."""
    for train in levels:
        seen = 0
        for share in sorted(shares, reverse=True):
            most = np.inf if share == 1 else share * train * (1 + _SLACK)
            kept = runs.train_flops <= most
            if kept.any() and kept.sum() != seen:
                yield train, share, kept
            seen = int(kept.sum())


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Judge:
    """What was measured, and how it is compared with what a law says of it."""

    runs: Observations
    draws: Ensemble
    level: float
    seed: int
    skipped: list[str]

    @property
    def by_pass(self) -> bool:
        """Whether mean pass@k is the aim, rather than the loss."""
        return self.draws.point.kind == "accuracy"

    def cases(
        self, measured: Level, share: float, inference: Sequence[float | None]
    ) -> Iterator[Case]:
        """A case for each inference budget that enough of the measured sizes can serve."""
        for flops in inference:
            place = measured.affording(flops)
            where = f"{place.train_flops:.3g} FLOPs"
            where += "" if flops is None else f" with {flops:.3g} for inference"
            if len(place.params) < _LEAST_SIZES:
                self.skipped.append(
                    f"{where}: {len(place.params)} of the sizes measured can be served, and "
                    f"{_LEAST_SIZES} are needed"
                )
                continue
            samples = np.ones(len(place.params))
            if flops is not None:
                samples = flops / (INFERENCE_FLOPS * place.params)
                samples = np.floor(samples) if self.runs.kind == "counts" else samples
            found = self._case(place, share, flops, samples)
            if found is None:
                self.skipped.append(f"{where}: more samples are afforded than were drawn")
            else:
                yield found

    def _case(
        self, place: Level, share: float, flops: float | None, samples: np.ndarray
    ) -> Case | None:
        """One plan judged; None where more samples are afforded than were drawn."""
        loss, success = place.values(self.runs, samples)
        worth = success if self.by_pass else -loss
        if not np.isfinite(worth).all():
            return None
        budget = Budget(train_flops=place.train_flops, inference_flops=flops)
        best = optimum(self.draws.alone(), budget, progress=False)
        chosen = {"plan": _nearest(place, float(best.params))}
        if flops is not None:
            assert best.chinchilla is not None
            chosen["chinchilla"] = _nearest(place, float(best.chinchilla.params))
            once = place.values(self.runs, np.ones(len(samples)))
            chosen["chinchilla_measured"] = int(np.argmax(once[1] if self.by_pass else -once[0]))
        chosen["ratio"] = _nearest(place, np.sqrt(place.train_flops / (TRAIN_FLOPS * RATIO)))
        chosen |= {"smallest": 0, "largest": len(samples) - 1}
        mine = chosen["plan"]
        point = {"params": place.params[mine], "tokens": place.tokens[mine],
                 "samples": samples[mine]}  # fmt: skip
        # A checkpoint that was trained carries the noise of its training.
        new = None if self.by_pass else "checkpoint"
        drawn = predict(self.draws, **point, new=new, seed=self.seed)
        low, high = central_interval(np.asarray(drawn), self.level)
        return Case(
            train_flops=place.train_flops,
            share=share,
            fitted_flops=self.draws.hull.train_flops[1] if self.draws.hull else np.nan,
            inference_flops=np.nan if flops is None else flops,
            sizes=len(samples),
            planned=float(best.params),
            judged=float(place.params[mine]),
            best=float(place.params[int(np.argmax(worth))]),
            samples=float(samples[mine]),
            promised=float(np.asarray(of_law(self.draws.point, **point))),
            low=low,
            high=high,
            measured=float(success[mine] if self.by_pass else loss[mine]),
            lost={name: float(loss[i] - loss.min()) for name, i in chosen.items()},
            error_from_plan=self._errors(place, samples, worth, chosen),
            lost_pass={name: float(success.max() - success[i]) for name, i in chosen.items()},
        )

    def _errors(
        self, place: Level, samples: np.ndarray, worth: np.ndarray, chosen: Mapping[str, int]
    ) -> dict[str, float]:
        """Standard error of what each choice lost less what the plan lost.

        Of the questions, the same for both sizes, and of the runs, by the noise that the draws
        carry: none where they carry no misfit. Empty where there are neither.
        """
        questions = np.zeros((len(samples), 1))
        if self.runs.loss is None:
            loss, success = place.by_question(self.runs, samples)
            questions = success if self.by_pass else loss
        run, checkpoint = (
            np.median(self.draws.nuisance.get(f"{name}_sd", 0.0)) for name in ("run", "checkpoint")
        )
        if self.runs.loss is not None and not (run or checkpoint):
            return {}  # neither questions nor the noise of runs: nothing is known of luck
        of_runs = (worth * np.hypot(run, checkpoint)) ** 2 / place.repeats(self.runs)
        mine, out = chosen["plan"], {}
        for name, other in chosen.items():
            paired = np.var(questions[other] - questions[mine]) / max(1, questions.shape[1] - 1)
            both = 0.0 if other == mine else of_runs[other] + of_runs[mine]
            out[name] = float(np.sqrt(paired + both))
        return out


def _nearest(place: Level, params: float) -> int:
    """The measured size nearest to a planned one."""
    return int(np.argmin(np.abs(np.log(place.params / params))))
