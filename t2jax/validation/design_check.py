"""Whether the rows of a table can identify a law at all, before anything is fitted."""

from collections.abc import Sequence

from t2jax.errors import Refusal
from t2jax.fitting.default import default_law
from t2jax.laws import Law, template
from t2jax.observations import Observations
from t2jax.validation.identify import identify

__all__ = ["check_design"]


def check_design(runs: Observations, law: str | Law, samples: Sequence[float] | None) -> None:
    """Refuse a table whose rows cannot identify a law, with the cheapest rows that would.

    A law of accuracy is judged only by whether N and D can be told apart at all: counts say
    nothing of the zero of its inner loss.

    Raises:
      Refusal: the design cannot answer.
    """
    if law in ("auto", "stack"):
        law = default_law(runs)
    form = template(law)
    if form.kind == "loss":
        identify(runs, form, samples=samples)
        return
    if not form.base.uses_tokens:
        return
    try:
        runs.check_identifies()
    except Refusal:
        identify(runs, form.base)
        raise
