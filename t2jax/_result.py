"""`Result`: what every result of a public function says, shows and writes (floor 0)."""

import json
import os
from typing import TYPE_CHECKING, Any

from t2jax import _html
from t2jax._files import write_whole
from t2jax._seal import sealed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Result", "SavedResult"]


class Result:
    """Base of the results: text, a notebook's table and a data frame."""

    @property
    def title(self) -> str:
        """The result in a line, of what needs no work: traced ones have it too."""
        raise TypeError(f"{type(self).__name__} has no title")

    def summary(self) -> str:
        """The result as fixed-width text, its title first."""
        raise TypeError(f"{type(self).__name__} has no text")

    def records(self) -> list[dict[str, Any]]:
        """The result as flat records, the first field naming each."""
        raise TypeError(f"{type(self).__name__} has no records")

    def to_frame(self, **options: Any) -> "pd.DataFrame":
        """The records as a pandas data frame, indexed by their first field.

        Args:
          options: those of `records`, such as `level` where it has one.
        """
        import pandas as pd

        records = self.records(**options)
        return pd.DataFrame.from_records(records, index=next(iter(records[0]), None))

    def plot(self) -> Any:
        """The result as a matplotlib `Figure`, which `savefig` writes.

        Raises:
          InputError: there is no figure of it.
        """
        from t2jax.reporting import figures

        return figures.plot(self)

    def __repr__(self) -> str:
        """The result in a line: its fields may be thousands of numbers."""
        return f"<{type(self).__name__}: {self.title}; summary() says the rest>"

    def _repr_html_(self) -> str | None:
        return _html.of_summary(self)


class SavedResult(Result):
    """A result that is written as one JSON file, which `t2jax.load` reads."""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description, its format first."""
        raise TypeError(f"{type(self).__name__} has no description")

    def save(self, path: str | os.PathLike) -> None:
        """Write the result as JSON."""
        text = json.dumps(sealed(self.to_dict()), indent=1)
        write_whole(path, lambda part: part.write_text(text + "\n", encoding="utf-8"))
