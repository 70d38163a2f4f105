"""A net over whole sequences -> the same net one step on: some new positions, and what is kept.

    tokens [B, T] -> logits [B, T, V]
    tokens [B, fresh], past, caches [.., slots, ..] -> logits [B, V], new entries of the caches

Every axis of a value that runs along the sequence is asked for either at the `fresh` positions or
at `all` of them, from the outputs backwards.  A product or fold over the sequence asks for all, and
there a value of one such axis is cut: what earlier calls computed comes from a cache, which has
room for `slots` positions, the rest is computed.  A weight matrix of queries and keys is computed
for the fresh queries and all keys.  Recurrences go on from the states they ended with.

That this is the same is proved, not assumed: nothing may look at later positions (`causality.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ...spec.dims import Dim, numel, readable, symbol, symbols
from ...spec.errors import UsageError
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ir.types import TensorType
from ..ops import OPS, new_builder
from ..ops.orders import aligned
from ..ops.products import letters
from .causality import VIEWS, Causality

FRESH, SLOTS, PAST = "FRESH", "SLOTS", "past"
NEW, ALL, LAST = "new", "all", "last"
FRAMES = 8  # Python calls for each value
View = tuple[str, ...]
"""For each axis: at which positions it is wanted; empty where it is none of the sequence."""


class NoStep(UsageError):
    """A part of the net has no form for fresh positions alone; it can be computed as a whole."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A value that is kept for every position: an input of `type` with `slots` along `axis`.

    The entries of the fresh positions are the output `new_<name>`.
    """

    name: str
    type: TensorType
    axis: int


@dataclass(frozen=True, slots=True)
class Carry:
    """The last state of a recurrence: an input, and the output `next_<name>`."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Decoding:
    """The step graph of a net, and what surrounds it.

    `graph` has the outputs `logits`, `new_<cache>` and `next_<carry>`; `tokens` are its inputs that
    run along the sequence.  `prepared` names values that do not: nodes of the net's own graph that
    are computed once, or inputs as they are.
    """

    graph: Graph
    time: str
    tokens: tuple[str, ...]
    caches: tuple[Cache, ...]
    carries: tuple[Carry, ...]
    prepared: Mapping[str, int]


def decode(graph: Graph, output: str, data: Collection[str]) -> Decoding:
    """The step graph for one output of a net, whose inputs are `data`.

    Raises: UsageError where the net has no sequence, or a position sees later ones.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, FRAMES * len(graph)))  # it walks down to the inputs
    try:
        return _Decode(graph, output, frozenset(data)).run()
    finally:
        sys.setrecursionlimit(before)


def time_of(graph: Graph, output: str) -> str:
    """The size along which the net predicts: the second to last of its output, and of an input.

    Raises: UsageError.
    """
    node = graph[graph.outputs[output]]
    hint = "a net that writes has an input such as `tokens: i32[B, T]` and gives [B, T, entries]"
    dim = node.shape[1] if len(node.shape) == 3 else None
    names = symbols(dim) if dim is not None and not isinstance(dim, int) else frozenset()
    if len(names) != 1 or dim != symbol(next(iter(names))):
        shape = ", ".join(map(readable, node.shape))
        raise UsageError(f"`{output}` [{shape}] is no prediction for each position", hint=hint)
    return next(iter(names))


@dataclass(slots=True)
class _Decode:
    """The rewrite of one graph: `value(node, view)` builds what is asked for, once."""

    graph: Graph
    output: str
    data: frozenset[str]
    b: Builder = field(default_factory=new_builder)
    time: str = ""
    moving: set[int] = field(default_factory=set)  # what depends on inputs along the sequence
    fed: set[int] = field(default_factory=set)  # what depends on any data
    known: dict[tuple[int, View], int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    caches: dict[str, tuple[Cache, int]] = field(default_factory=dict)
    carries: dict[str, tuple[Carry, int]] = field(default_factory=dict)
    prepared: dict[str, int] = field(default_factory=dict)
    causal: Causality | None = None

    def run(self) -> Decoding:
        self.time = time_of(self.graph, self.output)
        self.causal = Causality(self.graph, self.source_axis)
        for node in self.graph:
            if node.op == "input" and node["feed"] in self.data:
                self.fed.add(node.id)
                if any(self.along(dim) for dim in node.shape):
                    self.moving.add(node.id)
            if any(o in self.fed for o in node.operands):
                self.fed.add(node.id)
            if any(o in self.moving for o in node.operands):
                self.moving.add(node.id)
        out = self.graph[self.graph.outputs[self.output]]
        b, (batch, _, entries) = self.b, out.shape
        logits = b.reshape(self.value(out.id, ("", LAST, "")), (batch, entries))
        b.outputs = {"logits": logits}
        b.outputs |= {f"new_{name}": new for name, (_, new) in self.caches.items()}
        b.outputs |= {f"next_{name}": last for name, (_, last) in self.carries.items()}
        return Decoding(
            b.graph(),
            self.time,
            tuple(self.tokens),
            tuple(cache for cache, _ in self.caches.values()),
            tuple(carry for carry, _ in self.carries.values()),
            dict(self.prepared),
        )

    # ---- what is asked for -----------------------------------------------------------------------

    def value(self, i: int, view: View) -> int:
        """The value at the wanted positions."""
        key = i, view
        if key not in self.known:
            node = self.graph[i]
            with self.b.at(node.place, node.scope):
                self.known[key] = self.build(node, view)
        return self.known[key]

    def build(self, node: Node, view: View) -> int:
        wanted = set(view) - {""}
        if LAST in wanted:
            return self.last(node, view)
        if node.id in self.moving and not wanted:
            raise self.ahead(node)
        if node.id in self.fed and node.id not in self.moving and not wanted:
            return self.prepare(node)
        once = wanted == {ALL} and view.count(ALL) == 1
        if once and node.id in self.moving and (node.op not in VIEWS or self.turned(node)):
            return self.cached(node, view.index(ALL))
        rule: Callable[[Node, View], int] | None = getattr(self, f"_{node.op}", None)
        if rule is None and OPS[node.op].lowering == "map":
            rule = self._map
        if rule is None:
            if not wanted:
                return self.copied(node)
            raise self.unable(node, f"`{node.op}` along the sequence")
        return rule(node, view)

    def last(self, node: Node, view: View) -> int:
        """The last of the fresh positions: cut off where nothing but the logits wants the value.

        A value that others read, such as the stream that blocks add to, is computed for all fresh
        positions anyway.
        """
        b = self.b
        alone = len(self.graph.users(node.id)) < 2
        if node.id in self.moving and alone and OPS[node.op].lowering == "map":
            return self._map(node, view)
        if node.op == "broadcast" and alone:
            return self._broadcast(node, view)
        if node.op == "contract" and alone:
            return self._contract(node, view)
        fresh = self.value(node.id, tuple(NEW if c == LAST else c for c in view))
        if node.id not in self.moving and LAST not in view:
            return fresh
        shape = b[fresh].shape
        starts = [e - 1 if c == LAST else 0 for e, c in zip(shape, view, strict=True)]
        sizes = [1 if c == LAST else e for e, c in zip(shape, view, strict=True)]
        return b.slice(fresh, starts, sizes, (1,) * len(shape))

    def prepare(self, node: Node) -> int:
        """What does not move along the sequence is computed once, outside."""
        name = node["feed"] if node.op == "input" else f"given_{node.id}"
        self.prepared[name] = node.id
        return self.b.input(name, node.type)

    def turned(self, node: Node) -> bool:
        """Does a view only lay a value out as its one reader wants it?  It is kept like that."""
        (operand,) = node.operands
        alone = len(self.graph.users(operand)) == 1
        return alone and numel(node.shape) == numel(self.graph[operand].shape)

    def cached(self, node: Node, axis: int) -> int:
        """All positions: those of earlier calls from a cache, then the fresh ones."""
        name = f"cache_{len(self.caches)}"
        fresh = self.value(node.id, self.new_view(node))
        shape = [symbol(SLOTS) if self.along(dim) else dim for dim in node.shape]
        kept = self.b.input(name, TensorType(node.dtype, tuple(shape)))
        self.caches[name] = Cache(name, self.b[kept].type, axis), self.b.copy(fresh, f"new_{name}")
        return self.b.concat((kept, fresh), axis)

    # ---- sizes and positions ---------------------------------------------------------------------

    def along(self, dim: Dim) -> bool:
        """Is this the size of the sequence?"""
        return dim == symbol(self.time)

    def new_view(self, node: Node) -> View:
        return tuple(NEW if self.along(dim) else "" for dim in node.shape)

    def extent(self, dim: Dim, wanted: str, node: Node) -> Dim:
        """A size of a result in which an axis of the sequence is wanted like this."""
        if self.along(dim):
            return {NEW: symbol(FRESH), ALL: symbol(SLOTS) + symbol(FRESH), LAST: 1}[wanted]
        if not isinstance(dim, int) and self.time in symbols(dim):
            raise self.unable(node, f"the size {readable(dim)}")
        return dim

    def shape(self, node: Node, view: View) -> tuple[Dim, ...]:
        return tuple(self.extent(d, c, node) for d, c in zip(node.shape, view, strict=True))

    def positions(self, wanted: str) -> int:
        """i32 along the wanted positions; empty places of the caches lie beyond the newest."""
        b, fresh, slots = self.b, symbol(FRESH), symbol(SLOTS)
        length = {NEW: fresh, ALL: slots + fresh, LAST: 1}[wanted]
        index = b.iota((length,), 0)
        past = b.broadcast(b.input(PAST, TensorType("i32", ())), (), (length,))
        count = b.broadcast(b.cast(b.size(fresh), "i32"), (), (length,))
        if wanted == NEW:
            return b.map("add", index, past)
        if wanted == LAST:
            return b.map("sub", b.map("add", past, count), b.constant(1, "i32"))
        room = b.broadcast(b.cast(b.size(slots), "i32"), (), (length,))
        kept = b.map("where", b.map("lt", index, past), index, b.map("add", past, count))
        newer = b.map("add", b.map("sub", index, room), past)
        return b.map("where", b.map("ge", index, room), newer, kept)

    # ---- rules -----------------------------------------------------------------------------------

    def copied(self, node: Node) -> int:
        """A value without the sequence, as it is."""
        operands = [self.value(o, ("",) * len(self.graph[o].shape)) for o in node.operands]
        if any(self.along(d) for o in node.operands for d in self.graph[o].shape):
            raise self.unable(node, f"`{node.op}` along the sequence")
        return self.b.insert(node.op, operands, node.name, **dict(node.attributes))

    def _input(self, node: Node, view: View) -> int:
        feed = node["feed"]
        made = self.b.input(feed, TensorType(node.dtype, self.shape(node, view)))
        if feed in self.data:
            self.tokens[feed] = made
        return made

    def _constant(self, node: Node, view: View) -> int:
        return self.b.constant(node["value"], node.dtype)

    def _size(self, node: Node, view: View) -> int:
        dim = node["dim"]
        if not isinstance(dim, int) and self.time in symbols(dim):
            raise self.unable(node, "the length of the sequence")
        return self.b.size(dim)

    def _iota(self, node: Node, view: View) -> int:
        axis, shape = node["axis"], self.shape(node, view)
        if not view[axis]:
            return self.b.iota(shape, axis)
        return self.b.broadcast(self.positions(view[axis]), (axis,), shape)

    def _map(self, node: Node, view: View) -> int:
        operands = [self.value(o, view if self.graph[o].shape else ()) for o in node.operands]
        return self.b.insert(node.op, operands, node.name, **dict(node.attributes))

    def _broadcast(self, node: Node, view: View) -> int:
        inner = self.value(node.operands[0], tuple(view[d] for d in node["dims"]))
        return self.b.broadcast(inner, node["dims"], self.shape(node, view))

    def _transpose(self, node: Node, view: View) -> int:
        order = node["order"]
        inner = tuple(view[order.index(axis)] for axis in range(len(order)))
        return self.b.transpose(self.value(node.operands[0], inner), order)

    def _squeeze(self, node: Node, view: View) -> int:
        rank = len(self.graph[node.operands[0]].shape)
        kept = [axis for axis in range(rank) if axis not in node["axes"]]
        inner = tuple(view[kept.index(a)] if a in kept else "" for a in range(rank))
        return self.b.squeeze(self.value(node.operands[0], inner), node["axes"])

    def _reshape(self, node: Node, view: View) -> int:
        operand = self.graph[node.operands[0]]
        inner = [""] * len(operand.shape)
        for axis, wanted in enumerate(view):
            if wanted:
                source = self.source_axis(node, axis)
                if source is None:
                    raise self.unable(node, "a reshape that joins the sequence with other axes")
                inner[source] = wanted
        return self.b.reshape(self.value(operand.id, tuple(inner)), self.shape(node, view))

    def _fold(self, node: Node, view: View) -> int:
        operand = self.graph[node.operands[0]]
        kept = [axis for axis in range(len(operand.shape)) if axis not in node["axes"]]
        inner = [view[kept.index(a)] if a in kept else "" for a in range(len(operand.shape))]
        for axis in node["axes"]:
            if self.along(operand.shape[axis]):
                self.proved(node, operand, axis, "zero" if node.op == "sum" else "low")
                inner[axis] = ALL
        return self.b.reduce(node.op, self.value(operand.id, tuple(inner)), node["axes"], node.name)

    _sum = _logsumexp = _max = _fold

    def _contract(self, node: Node, view: View) -> int:
        first, second, result = letters(node["spec"])
        wanted = dict(zip(result, view, strict=True))
        operands = []
        for text, o in zip((first, second), node.operands, strict=True):
            operand = self.graph[o]
            inner = [
                wanted.get(letter, ALL if self.along(dim) else "")
                for letter, dim in zip(text, operand.shape, strict=True)
            ]
            operands.append(self.value(o, tuple(inner)))
        summed = {
            letter
            for text, o in zip((first, second), node.operands, strict=True)
            for letter, dim in zip(text, self.graph[o].shape, strict=True)
            if letter not in result and self.along(dim)
        }
        for letter in summed:
            self.proved_product(node, letter)
        return self.b.contract(node["spec"], operands[0], operands[1], node.name)

    def _take(self, node: Node, view: View) -> int:
        table, index = (self.graph[o] for o in node.operands)
        rank = len(index.shape)
        if self.along(table.shape[0]):
            raise self.unable(node, "an index into the sequence")
        rest = view[rank:]
        return self.b.take(self.value(table.id, ("", *rest)), self.value(index.id, view[:rank]))

    def _slice(self, node: Node, view: View) -> int:
        """The first T rows of a table are those of the wanted positions."""
        operand = self.graph[node.operands[0]]
        starts, sizes, steps = node["starts"], node["sizes"], node["steps"]
        inner: list[str] = []
        picked: list[int] = []
        for axis, wanted in enumerate(view):
            whole = starts[axis] == 0 and steps[axis] == 1
            if wanted and whole and self.along(operand.shape[axis]):
                inner.append(wanted)
            elif wanted and whole and operand.id not in self.fed and wanted != ALL:
                inner.append("")
                picked.append(axis)
            elif wanted or self.along(operand.shape[axis]):
                raise self.unable(node, "a part of the sequence")
            else:
                inner.append("")
        b, made = self.b, self.value(operand.id, tuple(inner))
        for axis in picked:
            order = [axis, *(a for a in range(len(view)) if a != axis)]
            rows = b.take(b.transpose(made, order), self.positions(view[axis]))
            made = b.transpose(rows, [order.index(a) for a in range(len(view))])
        now = b[made].shape
        passed = [axis for axis, wanted in enumerate(view) if wanted]
        starts = [0 if a in passed else starts[a] for a in range(len(view))]
        sizes = [now[a] if a in passed else sizes[a] for a in range(len(view))]
        return b.slice(made, starts, sizes, steps)

    def _concat(self, node: Node, view: View) -> int:
        if view[node["axis"]]:
            raise self.unable(node, "a sequence put together from parts")
        return self.b.concat([self.value(o, view) for o in node.operands], node["axis"])

    def _pad(self, node: Node, view: View) -> int:
        if any(c and (node["low"][a], node["high"][a]) != (0, 0) for a, c in enumerate(view)):
            raise self.unable(node, "a sequence that is padded")
        made = self.value(node.operands[0], view)
        return self.b.pad(made, node["low"], node["high"], node["value"])

    def _recurrence(self, node: Node, view: View) -> int:
        gates, weight, bias, *begin = node.operands
        b, units = self.b, self.graph[weight].shape[1]
        batch = node.shape[0]
        first = b.map("eq", b.input(PAST, TensorType("i32", ())), b.constant(0, "i32"))
        starts, carried = [], []
        for state in begin:
            name = f"state_{len(self.carries)}"
            carry = Carry(name, TensorType(node.dtype, (batch, units)))
            own = self.value(state, ("", ""))
            before = b.input(name, carry.type)
            starts.append(b.map("where", b.broadcast(first, (), (batch, units)), own, before))
            self.carries[name] = carry, before
            carried.append(name)
        operands = [self.value(gates, ("", NEW, ""))]
        operands += [self.value(o, ("",) * len(self.graph[o].shape)) for o in (weight, bias)]
        made = b.insert("recurrence", (*operands, *starts), node.name, cell=node["cell"])
        for k, name in enumerate(carried):
            last = b.slice(made, (0, symbol(FRESH) - 1, units * k), (batch, 1, units), (1, 1, 1))
            self.carries[name] = self.carries[name][0], b.squeeze(last, (1,))
        return made

    # ---- proofs and refusals ---------------------------------------------------------------------

    def source_axis(self, node: Node, axis: int) -> int | None:
        """Which axis of a view's operand an axis of the view is."""
        operand = self.graph[node.operands[0]]
        if node.op == "broadcast":
            return node["dims"].index(axis) if axis in node["dims"] else None
        if node.op == "transpose":
            return int(node["order"][axis])
        if node.op == "squeeze":
            return [a for a in range(len(operand.shape)) if a not in node["axes"]][axis]
        for mine, made in aligned(operand.shape, node.shape) or ():
            if axis in made:
                same = [a for a in mine if operand.shape[a] == node.shape[axis]]
                alone = len([a for a in made if node.shape[a] == node.shape[axis]]) == 1
                return same[0] if len(same) == 1 and alone else None
        return None

    def proved(self, node: Node, operand: Node, axis: int, what: str) -> None:
        """Raises: UsageError unless later positions count for nothing."""
        assert self.causal is not None
        ask = self.causal.zero if what == "zero" else self.causal.low
        others = (a for a, dim in enumerate(operand.shape) if self.along(dim) and a != axis)
        folded = node["axes"] if node.op != "contract" else ()
        if not any(ask(operand.id, (a, axis)) for a in others if a not in folded):
            raise self.ahead(node)

    def proved_product(self, node: Node, letter: str) -> None:
        """One of the factors must be zero for later positions."""
        assert self.causal is not None
        first, second, result = letters(node["spec"])
        for text, o in zip((first, second), node.operands, strict=True):
            if letter in text:
                axis = text.index(letter)
                for a, dim in enumerate(self.graph[o].shape):
                    if self.along(dim) and text[a] in result and self.causal.zero(o, (a, axis)):
                        return
        raise self.ahead(node)

    def ahead(self, node: Node) -> UsageError:
        """A position that sees later ones: what it gives would change with every new token."""
        place = node.place or self.b.place
        where = f" ({place})" if place is not None else ""
        return UsageError(
            f"`{node.name}`{where} lets a position see later ones, so nothing can be kept",
            hint="a net that writes looks back only: attention(…, causal=true)",
        )

    def unable(self, node: Node, what: str) -> NoStep:
        place = node.place or self.b.place
        where = f" ({place})" if place is not None else ""
        return NoStep(
            f"`{node.name}`{where}: there is no step for {what}",
            hint="sample without the cache: --no-cache",
        )
