"""`t2jax report`: a fit and its draws in, the report folder with its page out."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import tyro

from t2jax.cli import _terminal
from t2jax.cli._budget import BudgetOptions
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import arg, positional
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.fitting import FitResult
    from t2jax.uncertainty import Ensemble

__all__ = ["Command", "paired"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, BudgetOptions):
    """Write the report of a fit: tables, figures, and a page whose planner needs no network.

    Without a budget it plans in the middle of the table.

    A second fit and its draws, of an accuracy law, judge the plan's pass@k.

    Example: t2jax report fit.json draws.npz --train-flops 1e22 --inference-flops 2e12 -o report/
    """

    models: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        positional("a fit (.json) and its draws (.npz); then those of an accuracy law",
                   "FIT.json [DRAWS.npz]"),
    ]  # fmt: skip
    out: Annotated[str, arg("folder of the report", "FOLDER", "-o")] = "report/"
    json: Annotated[bool, arg("print the paths as JSON instead of text")] = False

    def run(self) -> None:
        """Load, plan, write, print."""
        import t2jax as t2
        from t2jax.reporting import check_report

        check_report(self.out)
        (fit, draws), *others = paired(self.models)
        for model in (fit, draws, *(one for pair in others for one in pair)):
            self.certified(model)
        companion = others[0] if others else None
        made = t2.Plan.of(fit, draws, self.description(), companion=companion)
        names = [str(path) for path in made.save(self.out)]
        _terminal.say_json(names) if self.json else _terminal.say(
            _terminal.written(self.out, names)
        )


def paired(paths: tuple[str, ...]) -> "list[tuple[FitResult, Ensemble]]":
    """Fits and their draws, of one law or of a law and the accuracy law beside it.

    Raises:
      InputError: draws without a fit, more than two laws, draws of another law than the fit's.
    """
    import t2jax as t2
    from t2jax.uncertainty.ensemble import as_ensemble

    fits = [t2.FitResult.load(path) for path in paths if path.endswith(".json")]
    many = [t2.Ensemble.load(path) for path in paths if path.endswith(".npz")]
    if len(fits) + len(many) < len(paths) or not 1 <= len(fits) <= 2:
        raise InputError("a report is made of fits (.json) and their draws (.npz)",
                         remedy="e.g. t2jax report fit.json draws.npz -o report/")  # fmt: skip
    own = [[draws for draws in many if _is_of(draws, fit)] for fit in fits]
    if sum(map(bool, own)) < len(many):
        raise InputError("some draws belong to none of the fits",
                         remedy="name the fit that was resampled")  # fmt: skip
    if len(fits) == 2 and fits[1].law.kind != "accuracy":
        raise InputError(f"law '{fits[1].law.name}' is no accuracy law",
                         remedy="the second fit judges pass@k, e.g. beta_monotone")  # fmt: skip
    return [(fit, mine[0] if mine else as_ensemble(fit))
            for fit, mine in zip(fits, own, strict=True)]  # fmt: skip


def _is_of(draws: "Ensemble", fit: "FitResult") -> bool:
    """Whether draws are of that fit, whose law they may hold times a surface of misfit."""
    same = draws.point.coefficients() == fit.law.coefficients()
    return same and (draws.point.title, draws.point.kind) == (fit.law.title, fit.law.kind)
