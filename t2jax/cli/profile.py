"""`t2jax profile`: a table in, intervals of coefficients and of a plan out."""

import dataclasses
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._models import CertifiedOptions
from t2jax.cli._options import IntervalOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CertifiedOptions, IntervalOptions):
    """Intervals of coefficients, and of N*, D*, k* under two budgets, by profile likelihood.

    Example: t2jax profile runs.csv --train-flops 2.56e19 --inference-flops 2e9
    """

    level: Annotated[float, arg("of the intervals", "SHARE")] = 0.9
    method: Annotated[str, arg("profile, or laplace: its quadratic approximation", "NAME")] = (
        "profile"
    )

    def run(self) -> None:
        """Read, fit, profile, write, print."""
        import t2jax as t2
        from t2jax.validation.held_fit import check_law
        from t2jax.validation.profile import check_method

        check_method(self.method)
        budget, fit = self.budget(), self.fitted(check_law)
        self.certified(fit)
        _terminal.announce(f"intervals of law '{fit.law.name}'")
        found = t2.profile(
            fit, budget=budget, level=self.level, unit=self.unit or None, method=self.method
        )
        if self.out:
            _terminal.write(self.out, found.save)
        if self.out != "-":
            _terminal.tell(found, as_json=self.json)
