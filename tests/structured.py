"""Tables and logs as people and tools write them: names, types, encodings, quotes, separators.

Everything is drawn from a `random.Random`, which may be Hypothesis's own. A case knows how many
records it holds, so that none can be lost in silence.
"""

import csv
import functools
import gzip
import io
import json
import random
from typing import Any, NamedTuple

from malformed import FORMS, valid_frame

NAMES = {
    "run": ("run", "Run", "run_name", "model", "name", "checkpoint", "id", "experiment"),
    "params": ("params", "N", "n_params", "Params", "parameters", "model_size", "size"),
    "tokens": ("tokens", "D", "n_tokens", "Tokens", "train_tokens", "tokens_seen", "num_tokens"),
    "loss": ("loss", "Loss", "val_loss", "eval/loss", "L", "validation loss", "lm_loss"),
    "nll": ("nll", "NLL", "neg_log_likelihood", "loss"),
    "task": ("task", "Task", "dataset", "benchmark"),
    "question": ("question", "Question", "qid", "item", "doc_id", "example"),
    "successes": ("successes", "c", "correct", "n_correct", "passed"),
    "trials": ("trials", "n", "samples", "n_samples", "num_samples"),
    "samples": ("samples", "k", "n_samples"),
}  # fmt: skip
ODD_NAMES = ("", " ", "größe", "x" * 200, "a b", "a,b", 'a"b', "'a'", "#", "=1", "Unnamed: 0",
             "运行", "__class__", "0", "nan", "run", "params", "\u202e", "loss.1", "q",
             "\u200b")  # fmt: skip
ODD_CELLS = ("", " ", "nan", "NA", "inf", "-1", "0", "1e999", "abc", "1,5", "1.5e", "TRUE", "é",
             "0x1F", "#1", '"', "''", "a;b", "a,b", "a|b", "\t", "\u00a0", "\u22123", "1e400",
             "9" * 400)  # fmt: skip
ENCODINGS = ("utf-8",) * 8 + ("utf-8-sig", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252")
NESTED = ([], {}, [1, [2, [3]]], {"a": {"b": None}}, [{"loss": 1}], {"": []}, "[1]", {"params": 1})


class Case(NamedTuple):
    """A table to be written and read.

    Args:
      content: bytes of the file.
      suffix: how its name ends.
      records: lines that hold something, comments included; None where that is not countable.
      options: for `read`.
    """

    content: bytes
    suffix: str
    records: int | None
    options: dict[str, Any]


@functools.cache
def _valid(form: str) -> list[dict[str, Any]]:
    return valid_frame(form).to_dict("records")


def _number(draw: random.Random, value: Any) -> Any:
    """A number as it may be written."""
    if isinstance(value, str) or draw.random() < 0.7:
        return value
    ways = (str(value), f"{value:.17g}", f"{value:,.3f}", f" {value} ", f"{value:e}", f"+{value}")
    millions = f"{value / 1e6:.12g}M"
    return draw.choice((*ways, millions, str(value).replace(".", ","), round(value), f"${value}"))


def _renamed(draw: random.Random, rows: list[dict[str, Any]]) -> tuple[list[list], dict[str, str]]:
    names = {name: draw.choice(NAMES.get(name, (name,))) if draw.random() < 0.4 else name
             for name in rows[0]}  # fmt: skip
    if draw.random() < 0.2:
        names = {ours: draw.choice((f" {n}", f"{n} ", n.upper(), n)) for ours, n in names.items()}
    extra = [draw.choice(ODD_NAMES) for _ in range(draw.choice((0, 0, 0, 1, 2)))]
    found = []
    for row in rows:
        cells = [(names[name], _number(draw, value)) for name, value in row.items()]
        cells += [(name, draw.choice((*ODD_CELLS, 1, 2.5))) for name in extra]
        found.append(cells)
    if draw.random() < 0.3:
        order = list(range(len(found[0])))
        draw.shuffle(order)
        found = [[cells[i] for i in order] for cells in found]
    asked = {ours: theirs.strip() for ours, theirs in names.items() if ours != theirs}
    return found, asked if draw.random() < 0.5 else {}


def _spoilt(draw: random.Random, rows: list[list[tuple[str, Any]]], cells: tuple) -> None:
    for _ in range(draw.choice((0, 0, 1, 1, 2))):
        row = draw.choice(rows)
        place = draw.randrange(len(row))
        row[place] = (row[place][0], draw.choice(cells))
    if draw.random() < 0.1:
        rows.append(list(draw.choice(rows)))
    if draw.random() < 0.1:
        del rows[draw.randrange(len(rows))]


def _separated(draw: random.Random, rows: list[list[tuple[str, Any]]]) -> tuple[str, str, int]:
    """The text, its separator and its records."""
    comma = draw.choice((",",) * 6 + ("\t", ";", "|", ":", " "))
    quote = draw.choice((csv.QUOTE_MINIMAL,) * 3 + (csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    lines = []
    for cells in [[name for name, _ in rows[0]], *([v for _, v in row] for row in rows)]:
        out = io.StringIO()
        mark = "'" if draw.random() < 0.03 else '"'
        other = draw.choice(",;\t|") if draw.random() < 0.01 else comma
        csv.writer(out, delimiter=other, quoting=quote, lineterminator="", quotechar=mark).writerow(
            cells
        )
        lines.append(out.getvalue())
    for junk, chance in (("", 0.1), ("   ", 0.03), ("# a note", 0.1), (comma * 3, 0.03),
                         (lines[0], 0.05), ("#", 0.02)):  # fmt: skip
        if draw.random() < chance:
            lines.insert(draw.randrange(len(lines) + 1), junk)
    if draw.random() < 0.05:
        lines.insert(0, f"sep={comma}")
    if draw.random() < 0.05:
        lines = [line + comma for line in lines]
    end = draw.choice(("\n", "\n", "\n", "\r\n", "\r"))
    text = end.join(lines) + draw.choice((end, end, "", end * 2))
    held = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]
    above = [line for line in held if line.strip() and not line.startswith("sep=")]
    # Below the header a line of spaces is a row; above it, nothing.
    head = next((n for n, line in enumerate(above) if not line.lstrip().startswith("#")), 0)
    return text, comma, head + len(held) - held.index(above[head]) - 1


def _objects(draw: random.Random, rows: list[list[tuple[str, Any]]]) -> tuple[str, int]:
    """JSON Lines, and its records."""
    lines = []
    for row in rows:
        told = dict(row)
        if draw.random() < 0.03:
            told[draw.choice(list(told))] = draw.choice(NESTED)
        if draw.random() < 0.03:
            told = {"metrics": told} if draw.random() < 0.5 else {**told, "more": {"a": told}}
        plain = draw.random() < 0.5
        line = json.dumps(told, ensure_ascii=plain, default=str)
        if draw.random() < 0.02:
            line = draw.choice(
                (line + ",", f"[{line}]", line[:-1], line * 2, f"\ufeff{line}", "null")
            )
        lines.append(line)
    text = draw.choice(("\n", "\n", "\n", "\r\n", "\n\n")).join(lines)
    if draw.random() < 0.04:
        return json.dumps([dict(row) for row in rows], indent=1, default=str), -1
    return text + draw.choice(("\n", "")), len([line for line in lines if line.strip()])


def table(draw: random.Random) -> Case:
    """A table of any form, in any dress."""
    form = draw.choice(FORMS)
    rows, asked = _renamed(draw, _valid(form))
    _spoilt(
        draw, rows, (*ODD_CELLS, None, True, 10**30, *NESTED) if draw.random() < 0.3 else ODD_CELLS
    )
    options: dict[str, Any] = {"drop_incomplete": draw.random() < 0.5}
    if asked:
        options["columns"] = asked
    if draw.random() < 0.35:
        (text, records), suffix = _objects(draw, rows), ".jsonl"
    else:
        text, comma, records = _separated(draw, rows)
        suffix = {",": ".csv", "\t": ".tsv"}.get(comma, ".csv")
        if comma not in ",\t" and draw.random() < 0.6:
            options["separator"] = comma
    encoding = draw.choice(ENCODINGS)
    raw = text.encode(encoding, errors="replace")
    if draw.random() < 0.03:
        raw = b"\xef\xbb\xbf" + raw
    if draw.random() < 0.05:
        raw, suffix = gzip.compress(raw, 1, mtime=0), f"{suffix}.gz"
    countable = records >= 0 and encoding.startswith("utf-8")
    return Case(raw, suffix, records if countable else None, options)


def dressed(draw: random.Random, content: bytes, lines: bool) -> bytes:
    """A log in another dress, which holds what it held."""
    text = content.decode("utf-8", "surrogatepass")
    if lines:
        rows = text.split("\n")
        if draw.random() < 0.3:
            rows = [_shuffled(draw, row) for row in rows]
        if draw.random() < 0.2:
            draw.shuffle(rows)
        for _ in range(draw.choice((0, 0, 1, 3))):
            rows.insert(draw.randrange(len(rows) + 1), draw.choice(("", "  ", "\t")))
        text = draw.choice(("\n", "\n", "\r\n")).join(rows)
    raw = text.encode("utf-8", "surrogatepass")
    return b"\xef\xbb\xbf" + raw if draw.random() < 0.15 else raw


def _shuffled(draw: random.Random, line: str) -> str:
    """An object with its fields in another order, and others beside them."""
    try:
        told = json.loads(line)
    except ValueError:
        return line
    if not isinstance(told, dict):
        return line
    items = list(told.items())
    draw.shuffle(items)
    if draw.random() < 0.5:
        items.append((draw.choice(("", "größe", "x" * 50, "a.b", "$ref")), draw.choice(NESTED)))
    return json.dumps(dict(items), ensure_ascii=draw.random() < 0.5)
