"""A net one step on, while it is built: what is asked for, what is kept, and what that requires.

Every axis of a value that runs along the sequence is asked for either at the `fresh` positions or
at `all` of them, from the outputs backwards.  A product or fold over the sequence asks for all, and
there a value of one such axis is cut: what earlier calls computed comes from a cache, which has
room for `slots` positions, the rest is computed.  A weight matrix of queries and keys is computed
for the fresh queries and all keys.  Scans go on from the states they ended with.

That this is the same is proved, not assumed: nothing may look at later positions (`causality.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...spec.dims import Dim, numel, readable, symbol, symbols
from ...spec.errors import UsageError
from ...spec.place import Place
from ..artifact import FRESH, PAST, SLOTS
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ir.types import TensorType
from ..ops import OPS, new_builder
from ..ops.orders import aligned
from ..ops.products import letters
from .causality import VIEWS, Causality

NEW, ALL, LAST = "new", "all", "last"
View = tuple[str, ...]
"""For each axis: at which positions it is wanted; empty where it is none of the sequence."""


class NoStep(UsageError):
    """A part of the net has no form for fresh positions alone; it can be computed as a whole."""


class LooksAhead(UsageError):
    """A value of a net with which a position sees later ones, and its place."""

    def __init__(self, name: str, place: Place | None) -> None:
        where = f" ({place})" if place is not None else ""
        super().__init__(
            f"`{name}`{where} lets a position see later ones, so nothing can be kept",
            hint="a net that writes looks back only: attention(…, causal=true), recurrent layers "
            "from the beginning; --no-cache computes the whole net anew for each token",
        )
        self.name, self.place = name, place


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
    """What a scan or a delay left: an input, and the output `next_<name>`."""

    name: str
    type: TensorType


Rule = Callable[["Step", Node, View], int]
"""Builds the value of a node at the positions of a view."""


@dataclass(slots=True)
class Step:
    """The rewrite of one graph, whose inputs are `data` and whose sequence has the size `time`.

    With `prefixes`, positions may see all of a prefix, whose length is `prefix` in the end.
    """

    graph: Graph
    data: frozenset[str]
    time: str
    rules: Mapping[str, Rule]
    prefixes: bool = False
    prefix: int = 0
    b: Builder = field(default_factory=new_builder)
    moving: set[int] = field(default_factory=set)  # what depends on inputs along the sequence
    fed: set[int] = field(default_factory=set)  # what depends on any data
    known: dict[tuple[int, View], int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    caches: dict[str, tuple[Cache, int]] = field(default_factory=dict)
    carries: dict[str, tuple[Carry, int]] = field(default_factory=dict)
    prepared: dict[str, int] = field(default_factory=dict)
    loops: dict[object, tuple[int, ...]] = field(default_factory=dict)  # operands of scans
    causal: tuple[Causality, ...] = field(init=False)  # the strict one first

    def __post_init__(self) -> None:
        kinds = (False, True) if self.prefixes else (False,)
        self.causal = tuple(Causality(self.graph, self.source_axis, kind) for kind in kinds)
        for node in self.graph:
            if node.op == "input" and node["feed"] in self.data:
                self.fed.add(node.id)
                if any(self.along(dim) for dim in node.shape):
                    self.moving.add(node.id)
            if any(o in self.fed for o in node.operands):
                self.fed.add(node.id)
            if any(o in self.moving for o in node.operands):
                self.moving.add(node.id)

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
        return self.rule(node, view)(self, node, view)

    def rule(self, node: Node, view: View) -> Rule:
        """Raises: NoStep."""
        name = "map" if OPS[node.op].lowering == "map" else node.op
        if name in self.rules:
            return self.rules[name]
        if any(view):
            raise self.unable(node, f"`{node.op}` along the sequence")
        return self.rules["whole"]

    def last(self, node: Node, view: View) -> int:
        """The last of the fresh positions: cut off where nothing but the logits wants the value.

        A value that others read, such as the stream that blocks add to, is computed for all fresh
        positions anyway.
        """
        b = self.b
        alone = len(self.graph.users(node.id)) < 2
        narrow = node.op in ("broadcast", "contract") or (
            node.id in self.moving and OPS[node.op].lowering == "map"
        )
        if narrow and alone:
            return self.rule(node, view)(self, node, view)
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
        name = f".cache_{len(self.caches)}"
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

    def first(self) -> int:
        """bool: does nothing come before the fresh positions?"""
        b = self.b
        return b.map("eq", b.input(PAST, TensorType("i32", ())), b.constant(0, "i32"))

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
        others = [a for a, dim in enumerate(operand.shape) if self.along(dim) and a != axis]
        folded = node["axes"] if node.op != "contract" else ()
        for causal in self.causal:
            ask = causal.zero if what == "zero" else causal.low
            if any(ask(operand.id, (a, axis)) for a in others if a not in folded):
                self.prefix = max(self.prefix, causal.prefix)
                return
        raise self.ahead(node)

    def proved_product(self, node: Node, letter: str) -> None:
        """One of the factors must be zero for later positions."""
        first, second, result = letters(node["spec"])
        for causal in self.causal:
            for text, o in zip((first, second), node.operands, strict=True):
                if letter in text:
                    axis = text.index(letter)
                    for a, dim in enumerate(self.graph[o].shape):
                        wanted = self.along(dim) and text[a] in result
                        if wanted and causal.zero(o, (a, axis)):
                            self.prefix = max(self.prefix, causal.prefix)
                            return
        raise self.ahead(node)

    def ahead(self, node: Node) -> LooksAhead:
        """A position that sees later ones: what it gives would change with every new token."""
        return LooksAhead(node.name, node.place or self.b.place)

    def unable(self, node: Node, what: str) -> NoStep:
        place = node.place or self.b.place
        where = f" ({place})" if place is not None else ""
        return NoStep(
            f"`{node.name}`{where}: there is no step for {what}",
            hint="sample without the cache: --no-cache",
        )
