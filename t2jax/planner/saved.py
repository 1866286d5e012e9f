"""`load`: whatever t2jax saved, by the format line in the file; and a plan's folder."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from t2jax._bounds import UNREADABLE, check_kind, read_whole
from t2jax._seal import check_seal, sealed
from t2jax.decision import Decision, Design
from t2jax.errors import InputError
from t2jax.fitting import FitResult
from t2jax.planner.backtested import Backtest
from t2jax.planner.companion import Companion
from t2jax.planner.equal_budgets import Measured
from t2jax.planner.result import Plan
from t2jax.planning import Budget, Frontier, Optimum
from t2jax.uncertainty import Ensemble
from t2jax.validation import Calibration, Profile

__all__ = ["OTHER_AIM", "Saved", "load", "save_plan"]

Saved = (FitResult | Ensemble | Optimum | Frontier | Profile | Calibration | Decision | Design
         | Backtest | Plan)  # fmt: skip
"""What `load` may return."""

_READERS: dict[str, Callable[[dict[str, Any]], Saved]] = {
    "t2jax.fit/1": FitResult.from_dict,
    "t2jax.optimum/1": Optimum.from_dict,
    "t2jax.frontier/1": Frontier.from_dict,
    "t2jax.profile/1": Profile.from_dict,
    "t2jax.calibration/1": Calibration.from_dict,
    "t2jax.decision/1": Decision.from_dict,
    "t2jax.design/1": Design.from_dict,
    "t2jax.backtest/1": Backtest.from_dict,
}
_NPZ = b"PK"  # NPZ files are ZIP archives
_PLAN = "t2jax.plan/1"

OTHER_AIM = ("companion.json", "companion.npz")
"""The fit and the draws of a plan's other aim."""


def load(path: str | os.PathLike) -> Saved:
    """Read back an object that its `save` wrote, whatever kind it is.

    The first entry of the file, such as `"format": "t2jax.fit/1"`, says what it holds. An
    optimum or a frontier comes back without its draws, which it does not write. A plan comes back
    from its folder whole but for the table, so that `runs` is None, and for the draws of its
    frontier, whose bands stand in `frontier.csv`. Laws are known by name: what was made of a law
    of your own is written, and not read.

    Args:
      path: a file: JSON of a fit, optimum, frontier, profile, calibration, decision, design
        or backtest, or NPZ of draws; or the folder of a plan.

    Returns:
      The object.

    Raises:
      InputError: the file is missing, broken, or was not written by t2jax.

    >>> import pathlib, tempfile
    >>> import t2jax as t2
    >>> law = t2.laws.Additive(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    >>> best = t2.optimum(law, t2.Budget(train_flops=1e21))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     best.save(pathlib.Path(folder) / "optimum.json")
    ...     again = t2.load(pathlib.Path(folder) / "optimum.json")
    >>> bool(again.params == best.params)
    True
    """
    path = pathlib.Path(path)
    remedy = f"name a file that t2jax saved: {', '.join(_READERS)}, or draws (.npz)"
    try:
        if path.is_dir():
            return _load_plan(path)
        data = read_whole(path)
        if data.startswith(_NPZ):
            draws = Ensemble.load(path)
            draws.summary()
            return draws
        described = json.loads(data.decode("utf-8"))
        name = described.get("format") if isinstance(described, dict) else None
        if name == _PLAN:
            raise InputError(
                "is part of a plan", remedy=f"name its folder, {path.absolute().parent}"
            )
        if name not in _READERS:
            found = "no format line of t2jax" if name is None else f"format '{name}'"
            raise InputError(f"has {found}", source=str(path), remedy=remedy)
        found = _READERS[name](check_seal(described))
        found.summary()  # what cannot be said holds words where numbers belong
        return found
    except InputError as error:
        if error.source:
            raise
        raise InputError(error.problem, source=str(path), remedy=error.remedy) from error
    except UNREADABLE as error:
        raise InputError(
            f"cannot be read ({type(error).__name__})", source=str(path), remedy=remedy
        ) from error


def save_plan(plan: Plan, folder: pathlib.Path) -> None:
    """Write what `load` needs to read a plan back, into a folder that exists."""
    plan.fit.save(folder / "fit.json")
    plan.draws.save(folder / "draws.npz")
    other = plan.companion
    if other is not None:
        other.fit.save(folder / OTHER_AIM[0])
        other.draws.save(folder / OTHER_AIM[1])
    told = plan.to_dict() | {
        "draws": plan.optimum.draws and plan.optimum.draws.to_dict(),
        "companion_draws": other and other.best.draws and other.best.draws.to_dict(),
        "frontier": plan.frontier.to_dict(),
    }
    names = ("fit.json", "draws.npz", *(OTHER_AIM if other is not None else ()))
    # By which the files of another plan are known, where a kill left some of each.
    told["files"] = {name: _hash(folder / name) for name in names}
    text = json.dumps(sealed(told))
    (folder / "plan.json").write_text(text + "\n", encoding="utf-8")


def _hash(path: pathlib.Path) -> str:
    check_kind(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_plan(folder: pathlib.Path) -> Plan:
    """A plan from the folder that `Plan.save` wrote."""
    _check_there(folder, ["plan.json", "fit.json", "draws.npz"])
    told = _sealed(folder / "plan.json")
    for name, known in told.get("files", {}).items():
        path = folder / pathlib.Path(name).name
        if not path.is_file() or _hash(path) != known:
            raise InputError(
                "is not the file that the plan beside it was saved with",
                source=str(path),
                remedy="save the plan again; the file itself may be loaded alone",
            )
    best, other = told["optimum"], None
    if "companion" in best:
        _check_there(folder, OTHER_AIM)
        fit, draws = (folder / name for name in OTHER_AIM)
        own = _with_draws(best["companion"], told["companion_draws"])
        other = Companion(fit=_fit(fit), draws=Ensemble.load(draws), best=own)

    def read(described: dict[str, Any] | None, reader: Callable[[dict[str, Any]], Any]) -> Any:
        return None if described is None else reader(described)

    return Plan(
        fit=_fit(folder / "fit.json"),
        draws=Ensemble.load(folder / "draws.npz"),
        budget=Budget.from_dict(told["budget"]),
        optimum=_with_draws(best, told["draws"]),
        frontier=Frontier.from_dict(told["frontier"]),
        companion=other,
        law_alone=read(told.get("law_alone"), Optimum.from_dict),
        inside=read(best.get("inside"), Optimum.from_dict),
        measured=read(told["measured"], Measured.from_dict),
        profile=read(told["profile"], Profile.from_dict),
        decision=read(told["regret"], Decision.from_dict),
        design=read(told["design"], Design.from_dict),
        backtest=read(told.get("backtest"), Backtest.from_dict),
        notes=tuple(told["notes"]),
        warnings=tuple(told["doubts"]),
    )  # fmt: skip


def _check_there(folder: pathlib.Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"is no folder of a plan: {' and '.join(missing)} cannot be read",
            source=str(folder),
            remedy="name the folder that Plan.save wrote",
        )


def _fit(path: pathlib.Path) -> FitResult:
    return FitResult.from_dict(_sealed(path))


def _sealed(path: pathlib.Path) -> dict[str, Any]:
    """What a file describes, as it was when it was written."""
    try:
        return check_seal(json.loads(read_whole(path).decode("utf-8")))
    except InputError as error:
        raise InputError(error.problem, source=str(path), remedy=error.remedy) from error


def _with_draws(point: dict[str, Any], draws: dict[str, Any] | None) -> Optimum:
    many = None if draws is None else Optimum.from_dict(draws)
    return dataclasses.replace(Optimum.from_dict(point), draws=many)
