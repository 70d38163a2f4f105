"""The only mutator of a graph: infers types, merges equal values, simplifies on insertion."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ...spec.dims import Dim, shape_text
from ...spec.place import Place
from .graph import Graph, Node
from .op import Op, ShapeError
from .types import FLOATS, NARROW, Shape, TensorType

Rule = Callable[["Builder", str, tuple[int, ...], dict[str, Any]], int | None]

INDEXED = ("argmax", "argmin")


class Builder:
    """Builds a graph value by value; every method returns the id of a value.

    `rules` maps an op name to rewrites tried before a value is inserted; the first that returns
    an id wins.  Equal values (same op, operands, attributes, type) of one `phase` are one value.
    """

    def __init__(self, ops: Mapping[str, Op], rules: Mapping[str, Sequence[Rule]]) -> None:
        self.ops = ops
        self.rules = rules
        self.nodes: list[Node] = []
        self.outputs: dict[str, int] = {}
        self.place: Place | None = None
        self.scope = ""
        self.phase = 0
        self._known: dict[tuple[Any, ...], int] = {}

    # ---- insertion ---------------------------------------------------------------------------

    def __getitem__(self, i: int) -> Node:
        return self.nodes[i]

    def graph(self) -> Graph:
        """The graph built so far, with the outputs named so far."""
        return Graph(self.nodes, self.outputs)

    @contextmanager
    def at(self, place: Place | None, scope: str | None = None) -> Iterator[None]:
        """Values inserted inside carry this place and scope."""
        before = self.place, self.scope
        self.place = place if place is not None else self.place
        self.scope = scope if scope is not None else self.scope
        try:
            yield
        finally:
            self.place, self.scope = before

    @contextmanager
    def like(self, node: Node) -> Iterator[None]:
        """Values inserted inside carry the place, scope and phase of a node."""
        before, self.phase = self.phase, node.phase
        try:
            with self.at(node.place, node.scope):
                yield
        finally:
            self.phase = before

    def repeat(self, node: Node, operands: Sequence[int]) -> int:
        """The operation of a node, of any graph, on these operands.  Raises: as `insert`."""
        return self.insert(node.op, operands, node.name, **dict(node.attributes))

    def insert(
        self, op: str, operands: Sequence[int] = (), name: str = "", **attributes: Any
    ) -> int:
        """Add a value, or find it.  Raises: ShapeError when the operands do not fit."""
        operands = tuple(operands)
        for rule in self.rules.get(op, ()):
            found = rule(self, op, operands, attributes)
            if found is not None:
                if name and self.nodes[found].name == self.nodes[found].op:
                    self.rename(found, name)
                return found
        pairs = tuple(sorted(attributes.items())) if attributes else ()
        key = (op, operands, pairs, self.phase)  # which decide the type
        known = self._known.get(key)
        if known is not None:
            return known
        type = self.ops[op].infer(tuple([self.nodes[i].type for i in operands]), attributes)
        node = Node(
            len(self.nodes),
            op,
            operands,
            pairs,
            type,
            name or op,
            self.place,
            self.scope,
            self.phase,
        )
        self.nodes.append(node)
        self._known[key] = node.id
        return node.id

    def rename(self, i: int, name: str) -> int:
        """Suggest another name for a value; leaves and constants keep theirs."""
        n = self.nodes[i]
        if n.name != name and n.op not in ("input", "constant"):
            self.nodes[i] = Node(
                i, n.op, n.operands, n.attributes, n.type, name, n.place, n.scope, n.phase
            )
        return i

    # ---- leaves ------------------------------------------------------------------------------

    def input(self, name: str, type: TensorType) -> int:
        """A value that the caller feeds: data, a parameter, an optimizer state."""
        return self.insert("input", (), name, feed=name, type=type)

    def constant(self, value: float | bool, dtype: str = "f32") -> int:
        """A number; maps take it as an operand of any shape."""
        value = bool(value) if dtype == "bool" else float(value) if dtype in FLOATS else int(value)
        return self.insert("constant", (), "constant", value=value, dtype=dtype)

    def table(self, values: Sequence[float], shape: Sequence[int], dtype: str = "f32") -> int:
        """Numbers, row by row; where all are the same it is that number, repeated."""
        kind = float if dtype in FLOATS else int
        flat = tuple(map(kind, values))
        if len(set(flat)) == 1:
            return self.broadcast(self.constant(flat[0], dtype), (), tuple(shape))
        return self.insert("table", (), "table", values=flat, shape=tuple(shape), dtype=dtype)

    def size(self, dim: Dim) -> int:
        """A dimension as an f32 scalar, known at run time."""
        if isinstance(dim, int):
            return self.constant(dim)
        return self.insert("size", (), "size", dim=dim)

    def iota(self, shape: Shape, axis: int) -> int:
        """i32 counting along `axis`."""
        return self.insert("iota", (), "position", shape=tuple(shape), axis=axis)

    def random(self, kind: str, shape: Shape, stream: int) -> int:
        """`uniform` in [0, 1) or `normal` numbers; `stream` tells apart the random ops of a
        program.
        """
        return self.insert("random", (), kind, kind=kind, shape=tuple(shape), stream=stream)

    def value(self, i: int) -> float | None:
        """The number of a constant, else None."""
        node = self.nodes[i]
        return node["value"] if node.op == "constant" else None

    # ---- scalar functions ----------------------------------------------------------------------

    def map(self, function: str, *operands: int | float, name: str = "") -> int:
        """A scalar function of operands of one shape; numbers become constants."""
        return self.insert(function, tuple(self._operand(o, operands) for o in operands), name)

    def _operand(self, operand: int | float, others: Sequence[int | float]) -> int:
        if isinstance(operand, bool) or not isinstance(operand, float):
            return int(operand)
        for other in others:
            if isinstance(other, int) and self.nodes[other].op != "constant":
                dtype = self.nodes[other].dtype
                whole = (
                    dtype != "bool" and operand == int(operand) if math.isfinite(operand) else False
                )
                return self.constant(operand, dtype if dtype in FLOATS or whole else "f32")
        return self.constant(operand)

    def elementwise(self, function: str, *operands: int, name: str = "") -> int:
        """A scalar function with NumPy broadcasting and promotion bool < i32 < f32."""
        operands = tuple(operands)
        shape = self.broadcast_shape([self.nodes[o].shape for o in operands])
        skip = 1 if function == "where" else 0
        dtypes = [self.nodes[o].dtype for o in operands[skip:]]
        order = ("bool", "i32", "i64", "f16", "bf16", "f32", "f64")
        target = max(dtypes, key=order.index)
        if self.ops[function].real:
            target = target if target in FLOATS else "f32"
        cast = [*operands[:skip], *(self.cast(o, target) for o in operands[skip:])]
        return self.map(function, *(self._spread(o, shape) for o in cast), name=name)

    def _spread(self, x: int, shape: Shape) -> int:
        return x if self.nodes[x].op == "constant" else self.expand(x, shape)

    def cast(self, x: int, dtype: str) -> int:
        """The same values as another element type."""
        if self.nodes[x].dtype == dtype:
            return x
        known = self.value(x)
        if known is not None:
            return self.constant(known, dtype)
        return self.insert("cast", (x,), self.nodes[x].name, dtype=dtype)

    # ---- shapes ------------------------------------------------------------------------------

    def broadcast_shape(self, shapes: Sequence[Shape]) -> Shape:
        """NumPy's rule on symbolic shapes.  Raises: ShapeError E401 naming the two operands."""
        rank = max(len(s) for s in shapes)
        result: list[Dim] = [1] * rank
        origin = [0] * rank
        for index, shape in enumerate(shapes):
            for axis, extent in enumerate(shape, rank - len(shape)):
                if extent == 1 or extent == result[axis]:
                    continue
                if result[axis] != 1:
                    raise ShapeError(
                        "E401",
                        f"{shape_text(shapes[origin[axis]])} and {shape_text(shape)} "
                        "do not broadcast",
                        (origin[axis], index),
                    )
                result[axis], origin[axis] = extent, index
        return tuple(result)

    def rounded(self, x: int, dtype: str) -> int:
        """The numbers as a type has them; those of 16 bits are f32 that hold no more."""
        return self.cast(self.cast(x, dtype), "f32") if dtype in NARROW else self.cast(x, dtype)

    def expand(self, x: int, shape: Shape) -> int:
        """Broadcast to `shape` by NumPy's rule: trailing axes match, extents of 1 repeat."""
        node = self.nodes[x]
        if node.shape == tuple(shape):
            return x
        offset = len(shape) - len(node.shape)
        ones = tuple(a for a, e in enumerate(node.shape) if e == 1 and shape[a + offset] != 1)
        kept = tuple(a + offset for a in range(len(node.shape)) if a not in ones)
        return self.broadcast(self.squeeze(x, ones), kept, shape)

    def broadcast(self, x: int, dims: Sequence[int], shape: Shape) -> int:
        """Operand axis `i` becomes axis `dims[i]` of `shape`; other axes repeat the values."""
        return self.insert(
            "broadcast", (x,), self.nodes[x].name, dims=tuple(dims), shape=tuple(shape)
        )

    def squeeze(self, x: int, axes: Sequence[int]) -> int:
        """Drop axes of extent 1."""
        if not axes:
            return x
        return self.insert("squeeze", (x,), self.nodes[x].name, axes=tuple(sorted(axes)))

    def transpose(self, x: int, order: Sequence[int]) -> int:
        """Result axis `i` is operand axis `order[i]`."""
        return self.insert("transpose", (x,), self.nodes[x].name, order=tuple(order))

    def reshape(self, x: int, shape: Sequence[Dim]) -> int:
        """The same elements in row-major order under another shape."""
        return self.insert("reshape", (x,), self.nodes[x].name, shape=tuple(shape))

    def slice(
        self, x: int, starts: Sequence[Dim], sizes: Sequence[Dim], steps: Sequence[int]
    ) -> int:
        """Elements `start + step * i` of every axis, `size` of them."""
        return self.insert(
            "slice",
            (x,),
            self.nodes[x].name,
            starts=tuple(starts),
            sizes=tuple(sizes),
            steps=tuple(steps),
        )

    def pad(self, x: int, low: Sequence[Dim], high: Sequence[Dim], value: float = 0.0) -> int:
        """`value` before and after the elements of every axis."""
        return self.insert(
            "pad", (x,), self.nodes[x].name, low=tuple(low), high=tuple(high), value=value
        )

    def concat(self, xs: Sequence[int], axis: int) -> int:
        """The operands one after the other along `axis`; those of extent 0 are left out."""
        xs = [x for x in xs if self.nodes[x].shape[axis] != 0] or xs[:1]
        if len(xs) == 1:
            return xs[0]
        return self.insert("concat", tuple(xs), "concat", axis=axis)

    # ---- reductions and contractions ------------------------------------------------------------

    def reduce(self, function: str, x: int, axes: Sequence[int], name: str = "") -> int:
        """`sum`, `max`, `min`, `logsumexp`, `argmax` or `argmin` over `axes`, which disappear."""
        axes = tuple(sorted(axes))
        if not axes and function not in INDEXED:
            return x
        return self.insert(function, (x,), name or f"{function}_{self.nodes[x].name}", axes=axes)

    def sum(self, x: int, axes: Sequence[int], name: str = "") -> int:
        return self.reduce("sum", x, axes, name)

    def mean(self, x: int, axes: Sequence[int], name: str = "") -> int:
        """The sum over the number of elements, which may be symbolic."""
        total = self.sum(x, axes)
        count: Dim = 1
        for axis in axes:
            count = count * self.nodes[x].shape[axis]
        shape = self.nodes[total].shape
        if isinstance(count, int):
            return self.map("mul", total, 1.0 / max(count, 1), name=name or "mean")
        inverse = self.map("div", self.constant(1.0), self.size(count), name="inverse_count")
        return self.map("mul", total, self.broadcast(inverse, (), shape), name=name or "mean")

    def contract(self, spec: str, a: int, b: int, name: str = "") -> int:
        """A product of two tensors summed over shared letters, in einsum notation ("ik,kj->ij")."""
        return self.insert("contract", (a, b), name, spec=spec)

    def take(self, table: int, indices: int) -> int:
        """Rows of `table` (its first axis) at integer `indices`: shape indices.shape +
        table.shape[1:].
        """
        return self.insert("take", (table, indices), self.nodes[table].name)

    def scatter_add(self, indices: int, updates: int, entries: Dim) -> int:
        """A table of `entries` rows in which each update is added to the row its index names."""
        return self.insert("scatter_add", (indices, updates), "scatter", entries=entries)

    def copy(self, x: int, to: str) -> int:
        """The same value in memory of its own: an output called `to`."""
        return self.insert("copy", (x,), to, to=to)

    def stop_gradient(self, x: int) -> int:
        """The same value, with a gradient of zero."""
        return self.insert("stop_gradient", (x,), self.nodes[x].name)
