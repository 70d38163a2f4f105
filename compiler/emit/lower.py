"""One group of stored values -> one loop-IR kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...spec.dims import Dim
from ..ir.graph import Graph, Node
from ..plan.crossings import Key
from ..plan.forms import shifted
from ..plan.layout import Layout
from ..plan.space import Space, space
from ..plan.values import Values, lowering
from .loops import (
    Affine,
    Axis,
    Draw,
    Gather,
    Guard,
    Kernel,
    KernelBuffer,
    Load,
    Operand,
    Position,
    Size,
    Statement,
    Store,
)
from .reindex import REINDEX
from .statements import Coordinate, Statements, row_major_index, unused

Numbers = Mapping[int, int] | Sequence[int]  # of values or streams, by others


@dataclass
class Lowering:
    """Writes the statements of one kernel."""

    values: Values
    roots: frozenset[int]
    written: frozenset[int]
    layout: Callable[[int], Layout]
    space: Space
    text: Statements = field(default_factory=Statements)
    names: dict[int, str] = field(default_factory=dict)
    buffers: dict[tuple[int, str, Dim, int | None], KernelBuffer] = field(default_factory=dict)
    loads: dict[tuple[object, ...], str] = field(default_factory=dict)
    streams: dict[int, int] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        return self.values.graph

    def __post_init__(self) -> None:
        rows, columns = self.space.rows, self.space.columns
        self.axes: dict[Key, Axis] = {}
        for prefix, keys in (("row", rows), ("column", columns)):
            for position, key in enumerate(keys):
                name = prefix if len(keys) == 1 else f"{prefix}_{position}"
                self.axes[key] = Axis(name, self.space.extents[key])
        self.outermost = self.axes[rows[0]] if rows else None

    # ---- reading -----------------------------------------------------------------------------

    def coordinates(self, node: Node) -> tuple[Coordinate, ...]:
        """Where a member's dimensions lie in the iteration space."""
        return tuple(
            ((((self.axes[a], 1),), 0) if a is not None else ((), 0)) for a in self.space.of(node)
        )

    def buffer(self, i: int, role: str, index: Affine, at: tuple[Coordinate, ...]) -> KernelBuffer:
        """The pointer argument for a value accessed at `index`."""
        source = self.values.base(i)
        step = next((s for t, s in index.terms if t == self.outermost), 0)
        along = self.along(i, at)
        key = (source, "in" if role == "in" else "out", step, along)
        if key not in self.buffers:
            node = self.graph[source]
            name = node["feed"] if node.op == "input" else node.name
            found = unused(name, {b.name for b in self.buffers.values()})
            shape = f"[{', '.join(map(str, node.shape))}]"
            self.buffers[key] = KernelBuffer(found, source, role, node.dtype, step, along, shape)
        return self.buffers[key]

    def along(self, i: int, at: tuple[Coordinate, ...]) -> int | None:
        """The dimension that is walked by the outermost row, one for one, and no other."""
        found = [d for d, (terms, _) in enumerate(at) if any(t == self.outermost for t, _ in terms)]
        if len(found) != 1 or at[found[0]] != (((self.outermost, 1),), 0):
            return None
        return found[0] if self.values.same_axis(i, found[0]) else None

    def address(self, i: int, at: tuple[Coordinate, ...]) -> Affine:
        """The place of an element in its buffer."""
        terms: dict[Axis | str, Dim] = {}
        offset: Dim = 0
        for (coordinate, start), stride in zip(at, self.layout(i).strides, strict=True):
            offset = offset + start * stride
            for term, step in coordinate:
                terms[term] = terms.get(term, 0) + step * stride
        return Affine(tuple((t, s) for t, s in terms.items() if s != 0), offset)

    def load(
        self, i: int, at: tuple[Coordinate, ...], guards: tuple[Guard, ...] = (), other: float = 0.0
    ) -> str:
        index = self.address(i, at)
        buffer = self.buffer(i, "in", index, at)
        key = (buffer.name, index, guards, other)
        if key not in self.loads:
            target = self.text.fresh(buffer.name)
            kind = self.text.kind((), (*at, *((g.index.terms, 0) for g in guards)))
            self.text.define(
                target, Load(target, buffer.name, index, guards, other), kind, buffer.dtype
            )
            self.loads[key] = target
        return self.loads[key]

    def read(self, o: int, at: tuple[Coordinate, ...]) -> Operand:
        """An operand at given coordinates: a number, a member's value, or a load."""
        node = self.graph[o]
        if node.op == "constant":
            return node["value"]
        if o in self.inside:
            return self.names[o] if o in self.names else self.member(o)
        return self.load(o, at)

    # ---- members -----------------------------------------------------------------------------

    def member(self, i: int) -> Operand:
        node = self.graph[i]
        kind = lowering(node)
        at = self.coordinates(node)
        if kind == "view":
            found = self.view(node, at)
        elif kind == "reindex":
            found = REINDEX[node.op](self, node, at)
        elif kind == "fold":
            return self.fold(node)
        elif kind == "leaf":
            found = self.leaf(node, at)
        else:
            operands = tuple(self.read(o, at) for o in node.operands)
            if node.op in ("stop_gradient", "copy", "again", "slope"):
                found = operands[0]
            else:
                found = self.text.let(node.name, node.op, operands, node.dtype)
        if isinstance(found, str):
            self.names[i] = found
        return found

    def view(self, node: Node, at: tuple[Coordinate, ...]) -> Operand:
        operand = self.graph[node.operands[0]]
        if node.op == "broadcast":
            inner = tuple(at[d] for d in node["dims"])
        elif node.op == "transpose":
            inner = tuple(at[node["order"].index(d)] for d in range(len(at)))
        else:
            kept = iter(at)
            inner = tuple(
                ((), 0) if d in node["axes"] else next(kept) for d in range(len(operand.shape))
            )
        return self.read(operand.id, inner)

    def leaf(self, node: Node, at: tuple[Coordinate, ...]) -> str:
        target = self.text.fresh(node.name)
        statement: Statement
        if node.op == "table":
            return self.table(node, at)
        if node.op == "size":
            statement, kind = Size(target, node["dim"]), "scalar"
        elif node.op == "iota":
            statement, kind = (
                Position(target, Affine(*at[node["axis"]])),
                self.text.kind((), (at[node["axis"]],)),
            )
        else:
            index = row_major_index(node.shape, at)
            statement, kind = (
                Draw(target, node["kind"], self.stream(node), index),
                self.text.kind((), at),
            )
        return self.text.define(target, statement, kind, node.dtype)

    def stream(self, node: Node) -> int:
        """The kernel's number for the stream of a random value."""
        return self.streams.setdefault(node["stream"], len(self.streams))

    def table(self, node: Node, at: tuple[Coordinate, ...]) -> str:
        index = row_major_index(node.shape, at)
        place = self.text.define(
            where := self.text.fresh("place"), Position(where, index), self.text.kind((), at), "i32"
        )
        return self.text.let(node.name, "table", (place, *node["values"]), node.dtype)

    def fold(self, node: Node) -> str:
        """A fold over columns, a gather over rows, or one after the other."""
        operand = node.operands[0]
        shape = self.graph[operand].shape
        own = iter(self.coordinates(node))
        at = tuple(
            self._folded(node, d) if d in node["axes"] else next(own) for d in range(len(shape))
        )
        source = self.read(operand, at)
        if not isinstance(source, str):
            source = self.text.let("filled", "cast", (source,), node.dtype)
        axes = self.space.folded(node)
        if any(a in self.space.columns for a in axes):
            source = self.text.fold(node.name, node.op, source, node.dtype)
        if any(a in self.space.rows for a in axes):
            index = self.address(node.id, self.coordinates(node))
            buffer = self.buffer(node.id, "gather", index, self.coordinates(node))
            self.text.sink(Gather(buffer.name, source, index))
        self.names[node.id] = source
        return source

    def _folded(self, node: Node, dim: int) -> Coordinate:
        axis = self.space.axis[-1 - node.id, dim]
        return ((), 0) if axis is None else (((self.axes[axis], 1),), 0)

    # ---- the kernel --------------------------------------------------------------------------

    def run(self) -> Kernel:
        """The kernel, but for its name, its lines of the spec and its costs."""
        members, _ = self.values.cone(self.roots)
        self.inside = frozenset(members)
        for i in members:
            if i not in self.names and (i in self.roots or lowering(self.graph[i]) == "fold"):
                self.member(i)
        for i in sorted(self.written):
            node = self.graph[i]
            if lowering(node) == "fold" and any(
                a in self.space.rows for a in self.space.folded(node)
            ):
                continue
            found = self.read(i, self.coordinates(node))
            index = self.address(i, self.coordinates(node))
            buffer = self.buffer(i, "out", index, self.coordinates(node))
            self.text.sink(Store(buffer.name, found, index))
        self._keep_dear()
        axes = (
            tuple(self.axes[a] for a in self.space.rows),
            tuple(self.axes[a] for a in self.space.columns),
        )
        return Kernel(
            "",
            *axes,
            self.text.passes(),
            self.text.infos,
            tuple(self.buffers.values()),
            (),
            0,
            0,
            tuple(self.streams),
            tuple(self.starts),
            object(),
        )

    def _keep_dear(self) -> None:
        """Dear values that several passes need are stored in the first of them and then loaded."""
        for i in sorted(self.roots & self.values.dear):
            name = self.names[i]
            if len(self.text.passes_with(name)) < 2:
                continue
            at = self.coordinates(self.graph[i])
            index = self.address(i, at)
            self.text.keep(name, self.buffer(i, "out", index, at).name, index)


def lower(
    values: Values,
    roots: frozenset[int],
    written: list[int],
    layout: Callable[[int], Layout],
    name: str,
    places: Mapping[int, str],
    bytes_: int,
    flops: int,
) -> Kernel:
    """The kernel that makes `roots` and stores those `written`, for values laid out by `layout`."""
    members, _ = values.cone(roots)
    form = values.form(members, named=True)
    ranks = form.ranks()
    laid = tuple(layout(i) for i in form.ids if values.graph[i].op != "constant")
    marks = [sorted(ranks[i] for i in some) for some in (roots, written, roots & values.dear)]
    key = form.key, laid, *map(tuple, marks)
    known: Kernel | None = values.plans.kernels.get(key)
    if known is None:
        lowering = Lowering(values, roots, frozenset(written), layout, space(values, roots))
        streams = {stream: rank for rank, stream in enumerate(form.streams)}
        known = values.plans.kernels[key] = of_values(lowering.run(), ranks, streams, ranks)
    lines = tuple(dict.fromkeys(places[i] for i in members if i in places))
    graph = values.graph
    starts = {
        rank: graph[form.ids[rank]]["starts"][shifted(graph, graph[form.ids[rank]])]
        for rank in known.starts
    }
    about: dict[str, Any] = {"name": name, "places": lines, "bytes": bytes_, "flops": flops}
    return of_values(known, form.ids, form.streams, starts, **about)


def of_values(
    kernel: Kernel, ids: Numbers, streams: Numbers, starts: Numbers, **about: Any
) -> Kernel:
    """The kernel of other values of the same form; `about`: what else differs."""
    return replace(
        kernel,
        buffers=tuple(b.of(ids[b.value]) for b in kernel.buffers),
        streams=tuple(streams[s] for s in kernel.streams),
        starts=tuple(starts[s] for s in kernel.starts),
        **about,
    )
