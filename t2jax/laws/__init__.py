"""Scaling laws: pure functions of params, tokens and samples, one per file.

`REGISTRY` maps the name of each law that comes with t2jax to its class. A law of your own needs no
line here: `@final_law` makes it known by its name wherever its module has been imported.
"""

import difflib
import inspect
import re
from typing import Any

from t2jax._precision import host_array
from t2jax.errors import InputError
from t2jax.laws._law import DEFINED
from t2jax.laws._law import Centre as Centre
from t2jax.laws._law import Coefficient as Coefficient
from t2jax.laws._law import Law as Law
from t2jax.laws._law import Role as Role
from t2jax.laws._law import final_law as final_law
from t2jax.laws._law import leaves_by_name as leaves_by_name
from t2jax.laws._law import on_host as on_host
from t2jax.laws._law import with_leaves as with_leaves
from t2jax.laws._on_loss import BetaSpread as BetaSpread
from t2jax.laws._on_loss import OnLoss as OnLoss
from t2jax.laws._on_loss import sampling_law as sampling_law
from t2jax.laws._on_loss import spread_law as spread_law
from t2jax.laws._predict import predict as predict
from t2jax.laws._prior import Prior as Prior
from t2jax.laws._prior import Scale as Scale
from t2jax.laws._prior import log_normal as log_normal
from t2jax.laws.additive import A_CARD as A_CARD
from t2jax.laws.additive import B_CARD as B_CARD
from t2jax.laws.additive import E_CARD as E_CARD
from t2jax.laws.additive import Additive as Additive
from t2jax.laws.additive import exponent_card as exponent_card
from t2jax.laws.additive import power as power
from t2jax.laws.beta_monotone import BetaMonotone as BetaMonotone
from t2jax.laws.ceiling import Ceiling as Ceiling
from t2jax.laws.coupled import Coupled as Coupled
from t2jax.laws.data_constrained import DataConstrained as DataConstrained
from t2jax.laws.farseer import Farseer as Farseer
from t2jax.laws.linked import Link as Link
from t2jax.laws.linked import Linked as Linked
from t2jax.laws.linked import LinkedAccuracy as LinkedAccuracy
from t2jax.laws.product import Product as Product
from t2jax.laws.size import Size as Size
from t2jax.laws.softplus import Softplus as Softplus
from t2jax.laws.spread import Spread as Spread
from t2jax.laws.spread import from_dict as spread_from_dict
from t2jax.laws.stacked import Stacked as Stacked
from t2jax.laws.t2_accuracy import T2Accuracy as T2Accuracy
from t2jax.laws.t2_loss import T2Loss as T2Loss
from t2jax.laws.t2_loss_paper import T2LossPaper as T2LossPaper
from t2jax.laws.tied import Tied as Tied
from t2jax.laws.warped import Warped as Warped
from t2jax.laws.warped import flattened as flattened

REGISTRY: dict[str, type[Law]] = {
    law.name: law
    for law in (
        Additive,
        Tied,
        Coupled,
        Ceiling,
        Farseer,
        Size,
        DataConstrained,
        Linked,
        LinkedAccuracy,
        T2Loss,
        T2LossPaper,
        Softplus,
        Product,
        T2Accuracy,
        BetaMonotone,
    )
}


_ALIASES = {"chinchilla": "additive"}


def template(law: "str | type[Law] | Law") -> Law:
    """A law of the form that was asked for, by name, class or example.

    Args:
      law: a registry name, `"outer(inner)"` for an inner loss of one's own choice, a law
        class, or a law whose coefficients are to be replaced.

    Returns:
      A law with that structure.

    Raises:
      InputError: unknown name; the nearest one is suggested.

    >>> type(template("softplus(coupled)").base).__name__
    'Coupled'
    """
    if isinstance(law, Law):
        return law
    if isinstance(law, type):
        return law.template()
    named = re.fullmatch(r"([^()]+)(?:\(([^()]+)\))?", str(law).strip())
    outer, inner = named.groups() if named else (str(law), None)
    cls = _find(outer.strip())
    return cls.template(loss=_find(inner.strip()) if inner else None)


def from_dict(description: dict[str, Any]) -> Law:
    """Read back what `Law.to_dict` wrote.

    Raises:
      InputError: no such law, or a law of another version, with other coefficients.

    >>> law = Tied(E=1.8, A=400.0, B=800.0, alpha=0.33)
    >>> from_dict(law.to_dict()) == law
    True
    """
    values = dict(description)
    cls = _find(values.pop("law", ""))
    if isinstance(values.get("loss"), dict):
        values["loss"] = from_dict(values["loss"])
    if "members" in values:
        values["members"] = tuple(from_dict(member) for member in values["members"])
        values["weights"] = tuple(values["weights"])
    if isinstance(values.get("spread"), dict):
        values["spread"] = spread_from_dict(values["spread"])
    arrays = {name: host_array(x) for name, x in values.items() if isinstance(x, list)}
    known = inspect.signature(cls).parameters
    needed = {name for name, field in known.items() if field.default is field.empty}
    if odd := sorted((needed - values.keys()) | (values.keys() - known.keys())):
        raise InputError(
            f"law '{cls.name}' with other coefficients than this version's ({', '.join(odd)})",
            remedy="make it again, or use the version of t2jax that wrote it",
        )
    return cls(**values | arrays)


def _find(name: str) -> type[Law]:
    known = DEFINED | REGISTRY
    name = _ALIASES.get(name, name)
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise InputError(
        f"unknown law '{name}'",
        remedy=f"{hint}the laws are {', '.join(REGISTRY)}, and those of modules you import first",
    )
