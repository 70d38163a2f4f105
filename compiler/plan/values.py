"""Which values of a graph are stored; everything else is recomputed where it is needed.

Maps, broadcasts, positions and random numbers are never kernels of their own: they are recomputed
in the *cone* of whoever needs them, back to the nearest stored value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...spec.dims import evaluate
from ..artifact import ITEM_BYTES
from ..ir.graph import Graph, Node
from ..ops import OPS
from .attention import Attention
from .crossings import Key, crossings
from .forms import Form, Forms, Plans
from .layout import narrow
from .windows import turned_from

STRIDED = {"convolve": (0,), "convolve_weight": (0,), "convolve_weight_put": (0,)}
"""Operands of heavy operations that may lie in memory in any order, sample by sample."""

DEAR = 8  # operations that take longer than reading a value again from a panel in cache
ROOT = 4  # operations of a root, which take longer than reading a number of each channel


def lowering(node: Node) -> str:
    """The lowering class of a node's op: leaf, map, view, alias, reindex, fold or heavy."""
    return OPS[node.op].lowering


@dataclass(frozen=True, slots=True)
class Joint:
    """Where a value lies: in the memory of a larger one, from an element on."""

    host: int
    offset: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """How a map is made in front of its `readers`: of the block that they load of `source`, and of
    what else it takes.  `written`: by the only one of them, for everybody else.
    """

    readers: tuple[int, ...]
    source: int
    written: bool
    moved: tuple[int, ...] = ()


class Values:
    """The stored values of a graph and the cones between them.

    `stored` is fixed once: `required` values (folds, outputs, operands of heavy and reindexing
    ops) and those that the sweep adds; `keep_dear` also stores those in `dear`, which a kernel of
    several passes then computes once.  `turned`: turned weights are read where the others lie.
    `plans` keeps what was planned, by form.  What `attention` streams is never stored; what it
    makes is a leaf.  On a GPU (`LoadedValues`) maps that convolutions carry out on what they load
    are `ahead`, and products that are one launch `totals`, all but the first of them `followers`;
    `writers` are launches that store other values than their own; `within` are values that lie in
    the memory of others, `parts` those of concatenations that nobody carries out.  A program may
    keep `kept` elements of a gradient in its registers.
    Units: `bytes_of` in bytes, at the nominal `sizes`.
    """

    def __init__(
        self,
        graph: Graph,
        sizes: Mapping[str, int],
        *,
        keep_dear: bool = False,
        turned: bool = False,
        plans: Plans | None = None,
        attention: Iterable[Attention] = (),
    ) -> None:
        self.graph = graph
        self.attention = tuple(attention)
        self.launches = {r: a for a in self.attention for r in a.results}
        self.streamed = frozenset(i for a in self.attention for i in a.streamed)
        self.turned = turned
        self.sizes = sizes
        self.dear: frozenset[int] = frozenset()
        self.outputs = frozenset(graph.outputs.values())
        self.stored: frozenset[int] = frozenset()
        self.plans = plans or Plans()
        self.forms = Forms(graph, self.plans)
        self.spaces: dict[frozenset[int], object] = {}
        self.keys: dict[int, list[list[Key | None]]] = {}
        self._counts: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        self.ahead: dict[int, Ahead] = {}
        self.writers: dict[int, int] = {}
        self.within: Mapping[int, Joint] = {}
        self.parts: Mapping[int, tuple[int, ...]] = {}
        self.kept = 0
        self._cones: dict[int, tuple[frozenset[int], frozenset[int]]] = {}
        self._joined: dict[frozenset[int], tuple[list[int], list[int]]] = {}
        self._bases: dict[int, int] = {}
        self._lying: dict[int, tuple[int, ...]] = {}
        self._taken: dict[frozenset[int], dict[int, int]] = {}
        self._formed: dict[tuple[tuple[int, ...], bool, bool], Form] = {}
        self.slopes = frozenset(node.id for node in graph if node.op == "slope")
        self.users = {node.id: graph.users(node.id) for node in graph}
        self.stored = frozenset(self._required())
        self.stored |= crossings(graph, lambda i: self.is_leaf(i) or i in self.stored)
        self.stored |= self._sweep()
        if keep_dear:
            self.dear = frozenset(node.id for node in graph if self._is_dear(node))
            self.stored |= self.dear
            self.stored |= {node.id for node in graph if self._is_scale(node)}
        self.totals: dict[int, tuple[int, ...]] = {}
        self.onto: dict[int, tuple[int, int]] = {}
        self.leaders: dict[int, int] = {}
        self.followers: frozenset[int] = frozenset()
        self.sources: dict[tuple[int, int], int] = {}
        self.forget()

    def forget(self) -> None:
        """Other values are stored now: what was found of cones is no longer so."""
        self._cones.clear()
        self._joined.clear()
        self._bases.clear()
        self._lying.clear()
        self._taken.clear()

    # ---- sizes -------------------------------------------------------------------------------

    def count(self, i: int) -> int:
        """Elements of a value at the nominal sizes."""
        total = self._counts.get(i)
        if total is None:
            total = 1
            for dim in self.graph[i].shape:
                total *= evaluate(dim, self.sizes)
            self._counts[i] = total
        return total

    def bytes_of(self, i: int) -> int:
        found = self._bytes.get(i)
        if found is None:
            found = self._bytes[i] = self.count(i) * ITEM_BYTES[self.graph[i].dtype]
        return found

    def flops(self, i: int) -> int:
        """Floating-point operations of a value that a loop kernel makes, at the nominal sizes."""
        node = self.graph[i]
        op = OPS[node.op]
        if op.lowering == "reindex" and op.work is not None:
            types = tuple(self.graph[o].type for o in node.operands)
            return evaluate(op.work(types, node.type, dict(node.attributes)), self.sizes)
        return op.flops * self.count(node.operands[0] if op.lowering == "fold" else i)

    def taken(self, roots: frozenset[int]) -> Mapping[int, int]:
        """The bytes that a kernel that makes `roots` reads of values of which it takes pieces or
        rows, and nothing else.
        """
        if roots not in self._taken:
            self._taken[roots] = self._pieces(self.cone(roots)[0]) if roots else {}
        return self._taken[roots]

    def _pieces(self, members: Iterable[int]) -> dict[int, int]:
        graph, whole, pieces = self.graph, set[int](), dict[int, int]()
        nodes = [graph[m] for m in members]
        cut = {n.id for n in nodes if n.op == "slice" and self.is_view(n.id)}
        for node in nodes:
            for slot, o in enumerate(node.operands):
                if o in cut:
                    continue
                source = self.base(o)
                if node.op in ("slice", "take") and slot == 0:
                    size = self.count(node.id) * ITEM_BYTES[graph[source].dtype]
                    pieces[source] = pieces.get(source, 0) + size
                else:
                    whole.add(source)
        found = ((i, size) for i, size in pieces.items() if i not in whole)
        return {i: size for i, size in found if size < self.bytes_of(i)}

    # ---- which values exist --------------------------------------------------------------------

    def is_leaf(self, i: int) -> bool:
        """Does the value exist without a loop kernel: fed, made by a template, or another's
        alias?
        """
        if i in self.launches or i in self.streamed:
            return i in self.launches
        if i in self.writers or i in self.parts:
            return True
        node = self.graph[i]
        return node.op == "input" or lowering(node) in ("heavy", "alias")

    def is_heavy(self, node: Node) -> bool:
        """Does a template of its own make the value?"""
        apart = node.id in self.launches or node.id in self.streamed or node.id in self.followers
        return lowering(node) == "heavy" and not apart

    def base(self, i: int) -> int:
        """The value in whose memory an alias, or a transposition that nobody stores, lies."""
        known = self._bases.get(i)
        if known is None:
            known = self.base(self.graph[i].operands[0]) if self._passes_on(i) else i
            self._bases[i] = known
        return known

    def lying(self, i: int) -> tuple[int, ...]:
        """The values that kernels make where a value lies: itself, or the parts of it."""
        source = self.base(i)
        if source not in self.parts:
            return (source,)
        if source not in self._lying:
            inner = (self.lying(part) for part in self.parts[source])
            self._lying[source] = tuple(value for values in inner for value in values)
        return self._lying[source]

    def is_view(self, i: int) -> bool:
        """Is this a transposition, or part of a turned weight, resolved by its reader's strides?"""
        node = self.graph[i]
        resolved = node.op == "transpose" or (node.op == "slice" and self.turned)
        return resolved and i not in self.stored

    def same_axis(self, i: int, dim: int) -> bool:
        """Is dimension `dim` of a value also that dimension of the memory it lies in?"""
        source = self.base(i)
        if source == i:
            return True
        return dim == 0 and self.graph[i].shape[:1] == self.graph[source].shape[:1]

    def _required(self) -> set[int]:
        found: set[int] = set()
        for node in self.graph:
            kind = lowering(node)
            if kind == "fold" or (node.id in self.outputs and not self.is_leaf(node.id)):
                found.add(node.id)
            if kind == "heavy" or node.id in self.launches:
                found |= {self._held(node, slot) for slot in range(len(node.operands))}
            if kind == "alias":
                found.add(node.operands[0])
            if node.phase and any(self.graph[u].phase > node.phase for u in self.users[node.id]):
                found.add(node.id)
            if node.op in ("table", "slope") or self._runs_along_two_axes(node):
                found.add(node.id)
            if kind == "reindex":
                found |= set(node.operands[:1] if node.op == "take" else node.operands)
        return {i for i in found if not self.is_leaf(i) and i not in self.streamed}

    def _runs_along_two_axes(self, node: Node) -> bool:
        """Is the value repeated along different axes of one shape?  One kernel cannot walk both,
        unless it reads them.
        """
        users = [self.graph[u] for u in self.users[node.id]]
        spread = {(u["shape"], u["dims"]) for u in users if u.op == "broadcast" and u["dims"]}
        return len(spread) > len({shape for shape, _ in spread})

    def _held(self, node: Node, slot: int) -> int:
        """What must exist for an operand: itself, or what it is a transposition of."""
        i = node.operands[slot]
        if slot == 1 and node.op == "convolve_input" and self.turned:
            weight = turned_from(self.graph, i)
            return i if weight is None else weight
        turned = self.graph[i].op == "transpose" and self.graph[i]["order"][0] == 0
        if slot in STRIDED.get(node.op, ()) and turned:
            return self.graph[i].operands[0]
        return i

    def _sweep(self) -> frozenset[int]:
        """Store a map with two readers whose recomputation reads two tensors as large as itself.

        Otherwise recomputation chains from layer to layer.  It costs nothing where it is not
        needed: a stored value read only inside its own kernel is never written.
        """
        found: set[int] = set()
        for node in self.graph:
            if lowering(node) != "map" or len(node.shape) < 2 or node.id in self.stored:
                continue
            if len(self.users[node.id]) < 2 or node.id in self.streamed:
                continue
            self.stored |= found
            leaves = self.cone(frozenset({node.id}))[1]
            if sum(map(self.bytes_of, leaves)) >= 2 * self.bytes_of(node.id):
                found.add(node.id)
                self._cones.clear()
                self._joined.clear()
        return frozenset(found)

    def _is_dear(self, node: Node) -> bool:
        """Is a map with two readers, narrow or stored anyway, quicker read than computed again?"""
        dear = lowering(node) == "map" and OPS[node.op].flops >= DEAR
        stored = narrow(node.shape) or node.id in self.outputs
        return dear and stored and len(self.users[node.id]) > (node.id not in self.outputs)

    def _is_scale(self, node: Node) -> bool:
        """Is it repeated over a batch: a copy, or a map with a root as in batch norm?"""
        if lowering(node) != "map" or any(not isinstance(dim, int) for dim in node.shape):
            return False
        users = (self.graph[u] for u in self.users[node.id])
        spread = any(
            user.op == "broadcast"
            and len(user.shape) - 1 in user["dims"]
            and not isinstance(user.shape[0], int)
            for user in users
        )
        dear = (OPS[self.graph[i].op].flops >= ROOT for i in self._cone_of(node.id)[0])
        return spread and (node.op == "copy" or any(dear))

    def made_as_one(self, i: int) -> tuple[int, tuple[int, ...]]:
        """What the launch of a heavy node makes: its value or a sum, and the nodes it adds up."""
        if i in self.onto:
            return self.onto[i][0], (i,)
        total = self.leaders.get(i)
        return (i, (i,)) if total is None else (total, self.totals[total])

    def memory(self, reader: int, i: int) -> int:
        """The value whose memory the template of a heavy node reads for an operand."""
        return self.base(self.sources.get((reader, i), i))

    def made_by(self, reader: int) -> list[int]:
        """The operands that a heavy node makes of what it loads."""
        terms = self.made_as_one(reader)[1]
        read = [(i, o) for i in terms for o in self.graph[i].operands]
        return list(dict.fromkeys(o for i, o in read if (i, o) in self.sources))

    def operands(self, node: Node) -> set[int]:
        """The memory that a heavy node reads, also for what it makes of it."""
        made = self.made_by(node.id)
        terms = (self.graph[i] for i in self.made_as_one(node.id)[1])
        stored = [o for term in terms for o in term.operands if o not in made]
        stored += [self.onto[node.id][1]] if node.id in self.onto else []
        read = (*stored, *(self.cone(made)[1] if made else ()))
        return {value for i in read for value in self.lying(i)}

    # ---- cones ---------------------------------------------------------------------------------

    def _cone_of(self, root: int) -> tuple[frozenset[int], frozenset[int]]:
        if root in self._cones:
            return self._cones[root]
        nodes = self.graph.nodes
        members, leaves = {root}, set()
        stack = list(nodes[root].operands)
        while stack:
            i = stack.pop()
            if i in members or i in leaves or nodes[i].op == "constant":
                continue
            if i in self.stored or self.is_leaf(i):
                leaves.add(i)
            else:
                members.add(i)
                stack.extend(nodes[i].operands)
        self._cones[root] = frozenset(members), frozenset(leaves)
        return self._cones[root]

    def cone(self, roots: Iterable[int]) -> tuple[list[int], list[int]]:
        """What a kernel that makes `roots` computes (members) and reads (leaves), ascending."""
        roots = frozenset(roots)
        if roots not in self._joined:
            members: set[int] = set()
            leaves: set[int] = set()
            for root in roots:
                inside, outside = self._cone_of(root)
                members |= inside
                leaves |= outside
            self._joined[roots] = sorted(members), sorted(leaves - members)
        return self._joined[roots]

    def cone_of(self, launch: Attention) -> tuple[list[int], list[int]]:
        """What a launch computes, products and results included, and what it reads, ascending."""
        members, leaves = map(set, self.cone(launch.sources))
        others = (launch.other(self.graph, r) for r in launch.results)
        leaves |= {o for o in others if o is not None}
        return sorted(members.union(launch.results)), sorted(leaves.difference(launch.results))

    def form(self, members: Iterable[int], *, named: bool, origins: bool = True) -> Form:
        """The form of some values that one kernel makes; `named`: and what its text calls them;
        `origins`: and how what it reads was made.
        """
        key = tuple(members), named, origins
        if key not in self._formed:
            found = self.forms.form(key[0], self._passes_on, named=named, origins=origins)
            self._formed[key] = found
        return self._formed[key]

    def _passes_on(self, i: int) -> bool:
        """Does the value lie in the memory of its operand?"""
        return lowering(self.graph[i]) == "alias" or self.is_view(i)
