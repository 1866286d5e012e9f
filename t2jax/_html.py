"""Tables and summaries as HTML (floor 0): what a notebook shows, and part of the report's page."""

import html
import re
from collections.abc import Sequence
from typing import Protocol

from t2jax import _text

__all__ = ["escape", "of_summary", "table"]

_STYLE = "overflow-x:auto;font-variant-numeric:tabular-nums"  # colours are the notebook's own


class _Summarised(Protocol):
    def summary(self) -> str: ...


def escape(text: object) -> str:
    """Text as it stands between tags."""
    return html.escape(str(text).strip(), quote=False)


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] | None = None
) -> str:
    """An HTML table whose first column names the rows.

    Args:
      head: one title a column.
      rows: as many cells each.
      classes: of each column, empty for none.

    >>> print(table(["", "N"], [["a < b", "7B"]]))
    <table><thead><tr><th scope="col"></th><th scope="col">N</th></tr></thead>
    <tbody><tr><th scope="row">a &lt; b</th><td>7B</td></tr></tbody></table>
    """
    marks = [f' class="{name}"' if name else "" for name in classes or [""] * len(head)]
    heads = "".join(
        f'<th scope="col"{mark}>{escape(title)}</th>'
        for title, mark in zip(head, marks, strict=True)
    )
    lines = []
    for first, *rest in rows:
        cells = [
            f"<td{mark}>{escape(cell)}</td>" for cell, mark in zip(rest, marks[1:], strict=True)
        ]
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{"".join(cells)}</tr>')
    body = "\n".join(lines)
    return f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table>"


def of_summary(result: _Summarised) -> str:
    """What `summary()` says, its titles and tables as HTML: a result's `_repr_html_`.

    The summary itself is run, with its tables set aside, so that no table is written twice.
    """
    with _text.set_aside() as parts:
        text = result.summary()
    blocks = []
    for piece in re.split(f"({_text.PLACE.format('[0-9]+')})", text):
        if place := re.fullmatch(_text.PLACE.format("([0-9]+)"), piece):
            head, rows = parts[int(place[1])]
            blocks.append(table(head, rows) if rows else f"<strong>{escape(head[0])}</strong>")
            continue
        for paragraph in re.split(r"\n\s*\n", piece.strip()):
            if paragraph:
                blocks.append(f"<p>{'<br>'.join(map(escape, paragraph.splitlines()))}</p>")
    return f'<div class="t2jax" style="{_STYLE}">{"".join(blocks)}</div>'
