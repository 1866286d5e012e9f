"""Which rows a condition such as `role == 'ladder' and xc >= 1` keeps (floor 1, private).

The condition is Python's own syntax, of which comparisons, arithmetic and `and`, `or`, `not`, `in`
are understood, and nothing is ever executed.
"""

import ast
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from t2jax._numeral import expand
from t2jax.errors import InputError
from t2jax.observations._cells import composed, show
from t2jax.observations._table import Table

__all__ = ["besides", "matching"]

_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_EXAMPLE = "write for instance where=\"role == 'ladder' and epochs <= 2.5\""


def matching(table: Table, where: str, rows: int) -> np.ndarray:
    """Which rows of a table meet a condition on its columns.

    Args:
      table: a table whose header is known.
      where: comparisons of columns with numbers and texts; a column whose name is no Python
        name stands in backticks.
      rows: how many rows the table has.

    Returns:
      `[rows]` True where the condition holds.

    Raises:
      InputError: the condition cannot be read, or names no column.
    """
    return _Condition(table, where, rows).mask()


class _Condition:
    """A parsed condition, and the columns that it reads."""

    def __init__(self, table: Table, where: str, rows: int):
        self.table, self.where, self.rows = table, where, rows
        self.quoted: dict[str, str] = {}
        try:
            named = re.sub(r"`([^`]*)`", self._quote, expand(where.strip()))
            self.tree = ast.parse(named, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._error("cannot be read") from None

    def mask(self) -> np.ndarray:
        try:
            found = self._truth(self.tree.body)
        except RecursionError:
            raise self._error("is nested too deeply") from None
        return np.asarray(found, dtype=bool)

    def _quote(self, match: re.Match) -> str:
        word = f"_t2jax_column_{len(self.quoted)}"
        self.quoted[word] = match[1]
        return word

    def _error(self, problem: str, remedy: str = _EXAMPLE) -> InputError:
        text = f"the condition {show(self.where)} {problem}"
        return InputError(text, source=self.table.source, remedy=remedy)

    def _truth(self, node: ast.AST) -> np.ndarray:
        """`[rows]` of booleans."""
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(part) for part in node.values]
            both = isinstance(node.op, ast.And)
            return (np.logical_and if both else np.logical_or).reduce(parts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            both = isinstance(node.op, ast.BitAnd)
            left, right = self._truth(node.left), self._truth(node.right)
            return left & right if both else left | right
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
            return ~self._truth(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            parts = [
                self._compare(a, op, b)
                for a, op, b in zip(sides[:-1], node.ops, sides[1:], strict=True)
            ]
            return np.logical_and.reduce(parts)
        if isinstance(node, ast.Name):
            return np.isin(self._names(self._column(node)), ("true", "1"))
        raise self._error(f"has no yes or no in {show(ast.unparse(node))}")

    def _compare(self, left: ast.AST, op: ast.cmpop, right: ast.AST) -> np.ndarray:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                raise self._error("asks 'in' of something that is no list")
            parts = [self._compare(left, ast.Eq(), item) for item in right.elts]
            found = np.logical_or.reduce(parts)
            return found if isinstance(op, ast.In) else ~found
        if type(op) not in _COMPARE:
            raise self._error(f"compares in a way that tables do not ({type(op).__name__})")
        for one, other, turned in ((left, right, False), (right, left, True)):
            if isinstance(other, ast.Constant) and isinstance(other.value, str | bool):
                if not isinstance(one, ast.Name):
                    raise self._error("compares a text with something that is no column")
                return self._text(one, op, other.value, turned)
        # Every name is looked up first: `role == ladder` lacks quotes, and is not about numbers.
        for name in (*ast.walk(left), *ast.walk(right)):
            if isinstance(name, ast.Name):
                self._column(name)
        values = self._number(left), self._number(right)
        return np.broadcast_to(_COMPARE[type(op)](*values), self.rows)

    def _text(self, name: ast.Name, op: ast.cmpop, value: str | bool, turned: bool) -> np.ndarray:
        """A column compared with a text, or with True or False."""
        column = self._column(name)
        if isinstance(value, bool):
            equal = np.isin(self._names(column), ("true", "1") if value else ("false", "0"))
        else:
            value = composed(value)  # as the names are
            equal = self._names(column, fold=False) == value
            if not isinstance(op, ast.Eq | ast.NotEq):
                texts = self._names(column, fold=False)
                sides = (value, texts) if turned else (texts, value)
                return np.asarray(_COMPARE[type(op)](*sides))
        return equal if isinstance(op, ast.Eq) else ~equal

    def _number(self, node: ast.AST) -> Any:
        """A number, or `[rows]` of them."""
        if isinstance(node, ast.Name):
            column = self._column(node)
            return self.table.load([], [column])[1][column]
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            try:
                return float(node.value)
            except OverflowError:
                return np.inf
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self._number(node.operand)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            left, right = np.asarray(self._number(node.left)), self._number(node.right)
            with np.errstate(all="ignore"):
                return _ARITHMETIC[type(node.op)](left, right)
        raise self._error(f"has no number in {show(ast.unparse(node))}")

    def _column(self, node: ast.Name) -> str:
        name = self.quoted.get(node.id, node.id)
        if name not in self.table.places:
            listed: Sequence[str] = [show(known) for known in self.table.header[:12]]
            raise self._error(
                f"names {show(name)}, which is no column",
                f"put texts in quotes; the table has {', '.join(listed)}",
            )
        return name

    def _names(self, column: str, fold: bool = True) -> np.ndarray:
        """`[rows]` of texts, empty where one is missing."""
        codes, names = self.table.load([column], [])[0][column]
        texts = np.append(names.astype(str), "")
        return (np.char.lower(texts) if fold else texts)[codes]


def besides(where: str | None, advice: str) -> str:
    """Advice whose condition keeps to the user's own one too, ready to paste."""
    own = (where or "").strip()
    if not own or '"' in own:
        return advice
    own = f"({own})" if re.search(r"\bor\b|\|", own) else own
    return advice.replace('--where "', f'--where "{own} and ')
