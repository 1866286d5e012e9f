"""A law as JavaScript: expressions written down as one function of its draws."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

from t2jax._programs import kept_text
from t2jax.laws import Law
from t2jax.reporting.page.expressions import Node, expressions

__all__ = ["program", "written"]

_MATH = ("exp", "log", "log1p", "expm1", "sqrt", "cbrt", "tanh", "sin", "cos", "tan", "atan",
         "sinh", "cosh", "asinh", "abs", "sign", "floor", "ceil", "trunc", "max", "min",
         "pow")  # fmt: skip
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "eq": "===", "ne": "!==", "lt": "<",
          "le": "<=", "gt": ">", "ge": ">=", "and": "&&", "or": "||"}  # fmt: skip
_OTHER = {"neg": "(-{0})", "not": "(!{0})", "number": "(+{0})", "select": "({0}?{2}:{1})",
          "exp2": "(2**{0})", "rsqrt": "(1/Math.sqrt({0}))", "square": "({0}*{0})",
          "logistic": "(1/(1+Math.exp(-{0})))", "is_finite": "Number.isFinite({0})"}  # fmt: skip
_STARTS = {"add": "0", "mul": "1", "max": "-Infinity", "min": "Infinity"}


def program(law: Law) -> str:
    """A law of this form in JavaScript, exact in double precision.

    Args:
      law: a law; its coefficients do not matter.

    Returns:
      The source of a function of the coefficients' columns, in the order of the law's leaves. It
      returns `goal(i, n, d, x)`, what is minimised at draw i and logs of N, D and k;
      `slopes(i, n, d, x, out)`, which writes its slopes in the three; and `shown(goal)`, the
      law's own value.

    Raises:
      InputError: the law uses an operation that has no counterpart in JavaScript.

    >>> from t2jax.laws import Tied
    >>> print(program(Tied(E=1.8, A=400.0, B=800.0, alpha=0.33)).splitlines()[0])
    (C)=>{
    """
    return kept_text("javascript", law, lambda: _made(law))


def _made(law: Law) -> str:
    made = expressions(law)
    shared = _Shared(made.coefficients, [made.goal, *made.slopes])
    goal, slopes, shown = (_Body(shared) for _ in range(3))
    goal.write([made.goal])
    slopes.write(made.slopes)
    shown.write([made.shown])
    current = "if(i!==now)load(i);"
    lines = [
        f"goal(i,n,d,x){{{current}", *goal.lines, f"return {goal.text(made.goal)};}},",
        f"slopes(i,n,d,x,g){{{current}", *slopes.lines,
        *(f"g[{at}]={slopes.text(slope)};" for at, slope in enumerate(made.slopes)), "},",
        "shown(y){", *shown.lines, f"return {shown.text(made.shown)};}}",
    ]  # fmt: skip
    return "\n".join(["(C)=>{", *shared.lines(), "return{", *lines, "};}"])


def written(programs: Mapping[str, str]) -> str:
    """Programs by name as one statement, for a page to begin with."""
    parts = [f"{json.dumps(name)}: {text}," for name, text in programs.items()]
    return "\n".join(["const Programs = {", *parts, "};"])


def _number(value: float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if math.isnan(value):
        return "NaN"
    text = "Infinity" if math.isinf(value) else repr(abs(value)).removesuffix(".0")
    return f"(-{text})" if math.copysign(1.0, value) < 0 else text


def _ordered(roots: Iterable[Node], known: Iterable[Node] = ()) -> list[Node]:
    """Every node that roots need, operands first; known ones and what they need are left out."""
    found: dict[Node, None] = dict.fromkeys(known)
    skipped = len(found)
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            found[node] = None
        elif node not in found:
            stack.append((node, True))
            stack += [(arg, False) for arg in reversed(node.args) if arg not in found]
    return list(found)[skipped:]


def _is_whole(node: Node) -> bool:
    """Whether a node is made of whole arrays rather than lane by lane."""
    return node.op in ("take", "join") or (node.op == "reduce" and node.lanes > 1)


class _Shared:
    """What all functions of a program read: constant arrays, and what is computed once a draw.

    Attributes:
      names: of the values that coefficients alone decide, for the functions to read.
    """

    def __init__(self, coefficients: Sequence[Node], roots: Sequence[Node]):
        self.names: dict[Node, str] = {}
        self._tables: dict[tuple[float, ...], str] = {}
        self._buffers: list[int] = []
        moving: set[Node] = set()
        needed = dict.fromkeys(roots)
        for node in _ordered(roots):
            outside = node.op == "input" and node not in coefficients
            if outside or not moving.isdisjoint(node.args):
                moving.add(node)
                needed |= dict.fromkeys(node.args)
        fixed = [node for node in needed if node not in moving and node.op != "constant"]
        body = _Body(self)
        arrays = {}
        for at, node in enumerate(coefficients):
            body.names[node] = f"C[{at}][i]"
            if node.lanes > 1:
                arrays[node] = body.names[node] = f"a{at}"
        body.lines += [
            f"a{at}=C[{at}].subarray(i*{node.lanes},i*{node.lanes}+{node.lanes});"
            for at, node in enumerate(coefficients)
            if node.lanes > 1
        ]
        self.names |= arrays
        body.write([node for node in fixed if node not in arrays])
        self._load = body.lines
        for at, node in enumerate(fixed):
            if node in arrays:
                continue
            self.names[node] = f"p{at}"
            self._load.append(f"p{at}={body.text(node)};")

    def table(self, values: Iterable[float]) -> str:
        """The name of a constant array."""
        return self._tables.setdefault(tuple(values), f"K{len(self._tables)}")

    def buffer(self, lanes: int) -> str:
        """The name of an array to write to, made once: a search calls its functions often."""
        self._buffers.append(lanes)
        return f"b{len(self._buffers) - 1}"

    def lines(self) -> list[str]:
        """The statements that come first."""
        tables = [
            f"const {name}=Float64Array.of({','.join(map(_number, values))});"
            for values, name in self._tables.items()
        ]
        buffers = [f"const b{i}=new Float64Array({m});" for i, m in enumerate(self._buffers)]
        own = "".join(f",{name}" for name in self.names.values())
        load = ["const load=(i)=>{now=i;", *self._load, "};"]
        return [*tables, *buffers, f"let now=-1{own};", *load]


class _Body:
    """The statements of one function.

    They come by levels. Within a level all arrays of one length are computed in one loop, lane by
    lane; what needs a sum over lanes, or lanes in another order, waits for the next level.
    """

    def __init__(self, shared: _Shared):
        self.shared = shared
        self.names = dict(shared.names)
        self.lines: list[str] = []
        self._texts: dict[Node, str] = {}
        self._users: dict[Node, list[Node]] = {}
        self._roots: set[Node] = set()

    def text(self, node: Node, lane: str = "") -> str:
        """A node as an expression; of an array, one lane of it, or without `lane` its name."""
        if node.op == "constant":
            return _number(node.data) if node.lanes == 1 else self.shared.table(node.data) + lane
        if node in self.names:
            return self.names[node] + (lane if node.lanes > 1 else "")
        return self._texts[node]

    def write(self, roots: Sequence[Node]) -> None:
        """Write statements after which `text` knows every root."""
        nodes = [node for node in _ordered(roots, self.names) if node.op != "constant"]
        self._roots = set(roots)
        level: dict[Node, int] = {}
        for node in nodes:
            below = max((level.get(arg, 0) for arg in node.args), default=0)
            level[node] = below + (node.op == "reduce" or _is_whole(node))
            for arg in node.args:
                self._users.setdefault(arg, []).append(node)
        for here in range(max(level.values(), default=0) + 1):
            now = [node for node in nodes if level[node] == here and node.op != "reduce"]
            after = [node for node in nodes if level[node] == here + 1]
            for node in now:
                if node.op == "input":
                    self.names[node] = node.data
                elif node.lanes == 1:
                    self._scalar(node)
            inside = [node for node in now if node.lanes > 1 and not _is_whole(node)]
            sums = [node for node in after if node.op == "reduce" and node.lanes == 1]
            lengths = {n.lanes for n in inside} | {n.args[0].lanes for n in sums}
            for lanes in sorted(lengths):
                self._loop(
                    lanes,
                    [node for node in inside if node.lanes == lanes],
                    [node for node in sums if node.args[0].lanes == lanes],
                )
            for node in after:
                if _is_whole(node):
                    self._whole(node)

    def _formula(self, node: Node, lane: str = "") -> str:
        args = [self.text(arg, lane) for arg in node.args]
        if node.op in _INFIX:
            return f"({args[0]}{_INFIX[node.op]}{args[1]})"
        if node.op in _MATH:
            return f"Math.{node.op}({','.join(args)})"
        return _OTHER[node.op].format(*args)

    def _new(self, letter: str) -> str:
        """A name that this function does not have yet."""
        self._texts[Node("name")] = ""
        return f"{letter}{len(self._texts)}"

    def _scalar(self, node: Node) -> None:
        text = self._formula(node)
        users = self._users.get(node, [])
        # Into a loop a formula must not go: it would be computed for every lane.
        if len(users) + (node in self._roots) == 1 and all(user.lanes == 1 for user in users):
            self._texts[node] = text
        else:
            self.names[node] = self._new("t")
            self.lines.append(f"const {self.names[node]}={text};")

    def _loop(self, lanes: int, inside: list[Node], sums: list[Node]) -> None:
        """Arrays of one length, lane by lane, and what is summed over them."""
        here = {*inside, *sums}
        stored: dict[Node, str] = {}
        totals = {node: self._new("r") for node in sums}
        for node, name in totals.items():
            self.lines.append(f"let {name}={_STARTS[node.data[0]]};")
        self.lines.append(f"for(let j=0;j<{lanes};j++){{")
        for node in inside:
            self._texts[node] = self._formula(node, "[j]")
            users = self._users.get(node, [])
            outside = node in self._roots or not here.issuperset(users)
            if len(users) > 1 or outside:
                name = self._new("t")
                self.lines.append(f"const {name}={self._texts[node]};")
                self._texts[node] = name
            if outside:
                stored[node] = self.shared.buffer(lanes)
                self.lines.append(f"{stored[node]}[j]={self._texts[node]};")
        for node, name in totals.items():
            self.lines.append(_joined(node.data[0], name, self.text(node.args[0], "[j]")))
        self.lines.append("}")
        self.names |= stored | totals

    def _whole(self, node: Node) -> None:
        """An array out of others: lanes in another order, one after another, or sums of some."""
        name = self.names[node] = self.shared.buffer(node.lanes)
        source = self.text(node.args[0])
        each = f"for(let j=0;j<{node.lanes};j++)"
        if node.op == "take":
            self.lines.append(f"{each}{name}[j]={source}[{self.shared.table(node.data)}[j]];")
        elif node.op == "reduce":
            op, group = node.data
            sum_ = _joined(op, "s", f"{source}[j*{group}+q]")
            inner = f"for(let q=0;q<{group};q++)"
            self.lines.append(f"{each}{{let s={_STARTS[op]};{inner}{sum_}{name}[j]=s;}}")
        else:
            at = 0
            for part, lanes in zip(node.args, node.data, strict=True):
                text = self.text(part)
                fill = f"{name}.fill({text},{at},{at + lanes});"
                self.lines.append(fill if part.lanes == 1 else f"{name}.set({text},{at});")
                at += lanes


def _joined(op: str, total: str, text: str) -> str:
    """A statement that adds one more to a sum, or to a product or an extremum."""
    if op in _INFIX:
        return f"{total}{_INFIX[op]}={text};"
    return f"{total}=Math.{op}({total},{text});"
