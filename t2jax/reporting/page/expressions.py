"""A law as expressions: what JAX traced, without its calls, its constants folded, nothing twice.

The page evaluates a law and its slopes in log N, log D and log k. Both are read off JAX's own
programs here; `javascript` writes them down. An array is flat: a node with many lanes.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from t2jax._precision import double
from t2jax.errors import InputError
from t2jax.laws import Law

__all__ = ["Expressions", "Node", "expressions"]

_CALLS = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call",
          "checkpoint", "remat")  # fmt: skip
_SAME = ("copy", "copy_p", "reduce_precision", "optimization_barrier")
_MOVES = ("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "rev",
          "split", "unstack")  # fmt: skip
_JOINS = ("concatenate", "stack", "pad")
_ELEMENTWISE = ("neg", "exp", "exp2", "log", "log1p", "expm1", "sqrt", "rsqrt", "cbrt", "tanh",
                "logistic", "sin", "cos", "tan", "atan", "sinh", "cosh", "asinh", "abs", "sign",
                "floor", "ceil", "is_finite", "not", "square", "add", "sub", "mul", "div", "pow",
                "max", "min", "eq", "ne", "lt", "le", "gt", "ge", "and", "or")  # fmt: skip
_REDUCTIONS = {"reduce_sum": "add", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "mul"}
# What may be taken off a law from outside without moving its optimum; true where it rises.
_MONOTONE = {"neg": False, "exp": True, "expm1": True, "log": True, "log1p": True, "sqrt": True,
             "logistic": True, "tanh": True, "copy": True,
             "convert_element_type": True}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One value: an operation and what it is applied to.

    Attributes:
      op: its name, "input", "constant", "reduce", "take" or "join".
      args: its operands.
      lanes: how many numbers it stands for; all operands have as many, or one.
      data: the number or numbers of a constant, the name of an input, the operation and group of
        a reduction, the places of a take.
    """

    op: str
    args: tuple["Node", ...] = ()
    lanes: int = 1
    data: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expressions:
    """What a page needs of a law.

    Attributes:
      coefficients: inputs, in the order of the law's leaves.
      point: inputs log N, log D and log k.
      goal: what is minimised: the law, or something that rises and falls with it and keeps its
        digits where the law has none left.
      slopes: of the goal, in each of `point`.
      given: an input that stands for the goal.
      shown: the law's own value, from `given`.
    """

    coefficients: tuple[Node, ...]
    point: tuple[Node, ...]
    goal: Node
    slopes: tuple[Node, ...]
    given: Node
    shown: Node


def _node_shape(leaf: Any) -> tuple[int, ...]:
    """Nodes of a leaf, whatever its draws: a law's own shape, () or (nodes,)."""
    return tuple(np.shape(leaf)[-1:])


def expressions(law: Law) -> Expressions:
    """The expressions of a law of this form, whatever its coefficients.

    Raises:
      InputError: the law uses an operation that has no counterpart in JavaScript.
    """
    shapes = tuple(_node_shape(leaf) for leaf in jax.tree.leaves(law))
    return _expressions(jax.tree.structure(law), shapes)


@functools.cache
@double
def _expressions(form: Any, shapes: tuple[tuple[int, ...], ...]) -> Expressions:
    kind = jax.tree.unflatten(form, [math.nan] * form.num_leaves).kind

    def value(coefficients, n, d, x):
        law = jax.tree.unflatten(form, coefficients)
        return law(params=jnp.exp(n), tokens=jnp.exp(d), samples=jnp.exp(x))

    number = jax.ShapeDtypeStruct((), float)
    leaves = [jax.ShapeDtypeStruct(shape, float) for shape in shapes]
    like = (leaves, number, number, number)
    traced = jax.make_jaxpr(value)(*like)
    inside, tail, rises = _peeled(traced.jaxpr)
    sign = 1.0 if rises == (kind == "loss") else -1.0
    inner = core.jaxpr_as_fun(
        core.ClosedJaxpr(traced.jaxpr.replace(outvars=[inside]), traced.consts)
    )

    def goal(coefficients, n, d, x):
        return sign * inner(*coefficients, n, d, x)[0].astype(float)

    graph = _Graph()
    inputs = [graph.input(f"c{i}", *shape) for i, shape in enumerate(shapes)]
    inputs += [graph.input(name) for name in "ndx"]
    (found,) = graph.run(jax.make_jaxpr(goal)(*like), inputs)
    slopes = graph.run(jax.make_jaxpr(jax.grad(goal, argnums=(1, 2, 3)))(*like), inputs)
    given = graph.input("y")
    env = {inside: graph.make("mul", given, graph.constant(sign))}
    graph.steps(tail, env)
    return Expressions(
        coefficients=tuple(inputs[:-3]), point=tuple(inputs[-3:]), goal=found,
        slopes=tuple(slopes), given=given, shown=graph.read(env, traced.jaxpr.outvars[0]),
    )  # fmt: skip


def _peeled(jaxpr: Any) -> tuple[Any, list[Any], bool]:
    """The last monotone steps of a program, taken off: `1 - exp(-y)` rises with y.

    Returns:
      The variable that is left, the steps from it to the output, and whether these rise.
    """
    makers = {out: eqn for eqn in jaxpr.eqns for out in eqn.outvars}
    here, tail, rises = jaxpr.outvars[0], [], True
    while not isinstance(here, core.Literal) and here in makers:
        eqn = makers[here]
        moving = [v for v in eqn.invars if not isinstance(v, core.Literal)]
        if len(moving) != 1 or moving[0] in jaxpr.constvars:
            break
        way = _direction(eqn)
        if way is None:
            break
        here, rises = moving[0], rises == way
        tail.insert(0, eqn)
    return here, tail, rises


def _direction(eqn: Any) -> bool | None:
    """Whether a step with one moving operand rises with it; None where it may do both."""
    name = eqn.primitive.name
    if name in _MONOTONE:
        return _MONOTONE[name]
    fixed = [float(v.val) for v in eqn.invars if isinstance(v, core.Literal)]
    first = not isinstance(eqn.invars[0], core.Literal)
    if name in ("add", "sub"):
        return name == "add" or first
    if name in ("mul", "div") and fixed[0] != 0 and (first or name == "mul"):
        return fixed[0] > 0
    return None


class _Graph:
    """Makes nodes: equal ones once, simple ones simpler."""

    def __init__(self) -> None:
        self.known: dict[Any, Node] = {}

    # Making nodes -----------------------------------------------------------------------------

    def input(self, name: str, lanes: int = 1) -> Node:
        return self._once(Node("input", lanes=lanes, data=name))

    def constant(self, value: Any) -> Node:
        """A number, or flat numbers; equal numbers are one."""
        flat = np.ravel(np.asarray(value))
        if flat.dtype != bool:
            flat = flat.astype(float)
        if np.all(flat == flat[0]) or np.all(np.isnan(flat)):
            return self._once(Node("constant", data=flat[0].item()))
        return self._once(Node("constant", lanes=len(flat), data=tuple(flat.tolist())))

    def make(self, op: str, *args: Node) -> Node:
        lanes = max(arg.lanes for arg in args)
        return self._simpler(op, args) or self._once(Node(op, args, lanes))

    def take(self, source: Node, places: np.ndarray) -> Node:
        """Lanes of a node, in another order or several times."""
        places = np.ravel(places)
        if source.op == "take":
            return self.take(source.args[0], np.asarray(source.data)[places])
        if source.lanes == 1 or np.array_equal(places, np.arange(source.lanes)):
            return source
        if np.all(places == places[0]):
            return self._lane(source, int(places[0]))
        return self._once(Node("take", (source,), len(places), tuple(places.tolist())))

    def reduce(self, op: str, source: Node, group: int) -> Node:
        """Every `group` neighbours of a node made one."""
        if group == 1 or (source.lanes == 1 and op in ("max", "min")):
            return source
        if source.lanes == 1:
            times = self.constant(float(group))
            return self.make("mul" if op == "add" else "pow", source, times)
        return self._once(Node("reduce", (source,), source.lanes // group, (op, group)))

    def join(self, parts: Sequence[Node], lanes: Sequence[int]) -> Node:
        """Nodes one after another."""
        if len(parts) == 1:
            return parts[0]
        return self._once(Node("join", tuple(parts), sum(lanes), tuple(lanes)))

    def _once(self, node: Node) -> Node:
        # Signs of zero tell apart, and not-a-number is itself.
        key = (node.op, tuple(map(id, node.args)), node.lanes, repr(node.data))
        return self.known.setdefault(key, node)

    def _lane(self, node: Node, at: int) -> Node:
        if node.lanes == 1:
            return node
        if node.op == "constant":
            return self.constant(node.data[at])
        if node.op == "join":
            for part, lanes in zip(node.args, node.data, strict=True):
                if at < lanes:
                    return self._lane(part, at)
                at -= lanes
        if node.op == "take":
            return self._lane(node.args[0], node.data[at])
        if node.op == "reduce":
            op, group = node.data
            places = np.arange(at * group, (at + 1) * group)
            return self.reduce(op, self.take(node.args[0], places), group)
        return self.make(node.op, *(self._lane(arg, at) for arg in node.args))

    def _simpler(self, op: str, args: tuple[Node, ...]) -> Node | None:
        """What an operation comes to where that is known without computing it."""
        first, last = args[0], args[-1]
        numbers = [arg.data if arg.op == "constant" and arg.lanes == 1 else None for arg in args]
        if op == "log" and first.op == "exp":
            return first.args[0]
        if op == "neg" and first.op == "neg":
            return first.args[0]
        if op == "sub" and first is last:
            return self.constant(0.0)
        if op == "add" and 0 in numbers:
            return last if numbers[0] == 0 else first
        if op in ("sub", "div") and numbers[1] == (0 if op == "sub" else 1):
            return first
        if op == "sub" and numbers[0] == 0:
            return self.make("neg", last)
        if (op in ("mul", "div") and numbers[0] == 0) or (op == "mul" and numbers[1] == 0):
            return self.constant(0.0)
        if op == "mul" and (1 in numbers or -1 in numbers):
            at = 0 if numbers[0] in (1, -1) else 1
            return args[1 - at] if numbers[at] == 1 else self.make("neg", args[1 - at])
        if op == "mul":
            # Of the slope of log N by N, times that of N by log N.
            for one, other in (args, args[::-1]):
                if one.op == "div" and one.args[1] is other and other.op == "exp":
                    return one.args[0]
        if op in ("max", "min") and math.inf * (1 if op == "min" else -1) in numbers:
            return last if numbers[0] is not None else first
        if op == "select" and numbers[0] is not None:
            return args[2] if numbers[0] else args[1]
        if op == "select" and args[1] is args[2]:
            return last
        return None

    # Reading JAX's programs -------------------------------------------------------------------

    def run(self, traced: Any, inputs: Iterable[Node]) -> list[Node]:
        """What a traced program returns."""
        jaxpr = getattr(traced, "jaxpr", traced)
        env = dict(zip(jaxpr.invars, inputs, strict=True))
        consts = getattr(traced, "consts", ())
        env |= {var: self.constant(c) for var, c in zip(jaxpr.constvars, consts, strict=True)}
        self.steps(jaxpr.eqns, env)
        return [self.read(env, var) for var in jaxpr.outvars]

    def steps(self, eqns: Iterable[Any], env: dict[Any, Node]) -> None:
        """Add what steps of a program make to what is known."""
        for eqn in eqns:
            args = [self.read(env, var) for var in eqn.invars]
            env.update(zip(eqn.outvars, self._step(eqn, args), strict=True))

    def read(self, env: dict[Any, Node], var: Any) -> Node:
        return self.constant(var.val) if isinstance(var, core.Literal) else env[var]

    def _step(self, eqn: Any, args: list[Node]) -> list[Node]:
        name = eqn.primitive.name.replace("add_any", "add")
        if name in _CALLS:
            return self.run(eqn.params.get("call_jaxpr", eqn.params.get("jaxpr")), args)
        if all(arg.op == "constant" for arg in args):
            return self._folded(eqn, args)
        shapes = [var.aval.shape for var in eqn.invars]
        if name in _SAME:
            return args
        if name in (*_ELEMENTWISE, "select_n", "clamp"):
            # Operands may have axes of one where others have many.
            full = eqn.outvars[0].aval.shape
            wide = [np.broadcast_to(_places(shape), full) for shape in shapes]
            args = [self.take(arg, places) for arg, places in zip(args, wide, strict=True)]
        whole = eqn.invars[0].aval.dtype.kind in "iu" and name in ("div", "and", "or", "not")
        if name in _ELEMENTWISE and not whole:  # of whole numbers these mean something else
            return [self.make(name, *args)]
        if name in (*_MOVES, *_JOINS):
            return self._moved(eqn, args, shapes)
        if name in _REDUCTIONS:
            return [self._reduced(_REDUCTIONS[name], args[0], shapes[0], eqn.params["axes"])]
        special: Callable[..., Node] | None = getattr(self, f"_{name}", None)
        if special is None:
            raise InputError(
                f"the operation '{name}' of JAX has no counterpart on a page",
                remedy="write the law with sums, products, powers, exp, log and where",
            )
        return [special(eqn, args, shapes)]

    def _folded(self, eqn: Any, args: list[Node]) -> list[Node]:
        values = [
            np.broadcast_to(np.asarray(arg.data), (math.prod(var.aval.shape),))
            .reshape(var.aval.shape).astype(var.aval.dtype)
            for arg, var in zip(args, eqn.invars, strict=True)
        ]  # fmt: skip
        out = eqn.primitive.bind(*map(jnp.asarray, values), **eqn.params)
        return [self.constant(o) for o in (out if eqn.primitive.multiple_results else [out])]

    def _moved(self, eqn: Any, args: list[Node], shapes: Any) -> list[Node]:
        """What a step makes that only moves numbers: it says so itself, given their places."""
        sizes = [math.prod(shape) for shape in shapes]
        starts = np.cumsum([0, *sizes[:-1]])
        places = [jnp.asarray(_places(s) + start) for s, start in zip(shapes, starts, strict=True)]
        out = eqn.primitive.bind(*places, **eqn.params)
        source = self.join(args, sizes)
        outs = out if eqn.primitive.multiple_results else [out]
        return [self.take(source, np.asarray(o)) for o in outs]

    def _reduced(self, op: str, source: Node, shape: tuple[int, ...], axes: Any) -> Node:
        kept = [axis for axis in range(len(shape)) if axis not in axes]
        group = math.prod(shape[axis] for axis in axes)
        order = _places(shape).transpose([*kept, *axes])
        return self.reduce(op, self.take(source, order), group)

    # Operations with something of their own; named as JAX names them.

    def _select_n(self, eqn: Any, args: list[Node], shapes: Any) -> Node:
        return self.make("select", *args)

    def _clamp(self, eqn: Any, args: list[Node], shapes: Any) -> Node:
        low, x, high = args
        return self.make("min", self.make("max", x, low), high)

    def _integer_pow(self, eqn: Any, args: list[Node], shapes: Any) -> Node:
        y = eqn.params["y"]
        square = self.make("mul", args[0], args[0]) if abs(y) == 2 else args[0]
        if abs(y) in (1, 2):
            return square if y > 0 else self.make("div", self.constant(1.0), square)
        return self.make("pow", args[0], self.constant(float(y)))

    def _convert_element_type(self, eqn: Any, args: list[Node], shapes: Any) -> Node:
        was, now = (np.dtype(v.aval.dtype).kind for v in (eqn.invars[0], eqn.outvars[0]))
        if was == "b" and now != "b":
            return self.make("number", args[0])
        if was != "b" and now == "b":
            return self.make("ne", args[0], self.constant(0.0))
        return self.make("trunc", args[0]) if was == "f" and now in "iu" else args[0]

    def _dot_general(self, eqn: Any, args: list[Node], shapes: Any) -> Node:
        (left, right), batch = eqn.params["dimension_numbers"]
        if any(batch):
            raise InputError(
                "a product of batches of matrices has no counterpart on a page",
                remedy="write the law with sums of products",
            )
        size = math.prod(shapes[0][axis] for axis in left)
        rows = np.moveaxis(_places(shapes[0]), left, range(-len(left), 0)).reshape(-1, 1, size)
        cols = np.moveaxis(_places(shapes[1]), right, range(-len(right), 0)).reshape(1, -1, size)
        rows, cols = np.broadcast_arrays(rows, cols)
        product = self.make("mul", self.take(args[0], rows), self.take(args[1], cols))
        return self.reduce("add", product, size)


def _places(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)
