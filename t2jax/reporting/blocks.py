"""`Section`: a part of the report as paragraphs, tables and lists, before it is text or HTML."""

import dataclasses
import textwrap
from collections.abc import Sequence

from t2jax import _html, _text

__all__ = ["WIDTH", "Bullets", "Section", "Table", "wrap"]

WIDTH = 98


@dataclasses.dataclass(frozen=True)
class Table:
    """A header and rows of cells; the first column names the row.

    Args:
      head: one title a column.
      rows: as many cells each.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Fixed-width lines."""
        return _text.table(self.head, self.rows)

    def html(self) -> str:
        """An HTML table."""
        classes = ["meaning" if title.strip() == "meaning" else "" for title in self.head]
        table = _html.table(self.head, self.rows, classes)
        return f'<div class="scroller" tabindex="0">{table}</div>'


@dataclasses.dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]

    def text(self) -> str:
        """Lines with a dash before the first of each."""
        return "\n".join(wrap(item, "- ", "  ") for item in self.items)

    def html(self) -> str:
        """An HTML list."""
        items = "\n".join(f"<li>{_html.escape(item)}</li>" for item in self.items)
        return f"<ul>\n{items}\n</ul>"


@dataclasses.dataclass(frozen=True)
class Section:
    """A title and what stands under it: paragraphs, tables and lists.

    Args:
      title: the heading.
      blocks: in reading order; an empty string is a blank line of the text.
      silent: the text goes on without the heading.
    """

    title: str
    blocks: Sequence["str | Table | Bullets"]
    silent: bool = False

    def text(self) -> str:
        """No line wider than `WIDTH` where words allow.

        >>> print(Section("The data", ["Two runs."]).text())
        The data
        --------
        Two runs.
        """
        lines = [] if self.silent else [_text.underline(self.title, "-")]
        lines += [b and wrap(b) if isinstance(b, str) else b.text() for b in self.blocks]
        return "\n".join(lines)

    def html(self) -> str:
        """The same as an HTML section.

        >>> print(Section("A < B", ["Two runs."]).html())
        <section class="words"><h2>A &lt; B</h2>
        <p>Two runs.</p>
        </section>
        """
        parts = [f'<section class="words"><h2>{_html.escape(self.title)}</h2>']
        for block in self.blocks:
            if not isinstance(block, str):
                parts.append(block.html())
            elif block:
                parts.append(f"<p>{_html.escape(block)}</p>")
        return "\n".join([*parts, "</section>"])


def wrap(text: str, first: str = "", later: str = "") -> str:
    """Lines of at most `WIDTH`, whole words only."""
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=later,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip
