"""Contractions too thin for a product become maps and sums, which fuse with their neighbours.

    ak,ko->ao with k = 2      ->  a[:, 0] * k[0, :] + a[:, 1] * k[1, :]
    ak,ok->ao with o = 1      ->  sum(a * k[0, :], k)
    ao,ai->oi with i = 1 .. 4 ->  for every i: sum(ao * a[:, i], a), a piece of the result

A piece is written straight to its place in memory, so only results of the whole graph are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...spec.dims import Dim
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from ..ops.products import letters
from ..ops.rules import RULES
from .layout import THIN, narrow


@dataclass(frozen=True, slots=True)
class Piece:
    """The output `name` holds what a result of the original graph has at `index` of `axis`."""

    name: str
    axis: int
    index: int


MayCut = Callable[[int, int], bool]
"""May a result (by id) be cut along an axis?"""


def unroll(graph: Graph, may_cut: MayCut) -> tuple[Graph, Mapping[str, tuple[Piece, ...]]]:
    """The graph without thin contractions, and the pieces of the outputs that were cut."""
    forms = {node.id: form for node in graph if (form := _form(graph, node, may_cut)) is not None}
    return _Unrolling(graph, forms).run() if forms else (graph, {})


@dataclass(frozen=True, slots=True)
class _Form:
    """How a contraction is written out: `thin` is the letter whose elements are.

    `wide` is the slot of the operand that keeps its shape, None for a sum of outer products; `cut`
    says that the result is cut.
    """

    thin: str
    wide: int | None = None
    cut: bool = False


def _form(graph: Graph, node: Node, may_cut: MayCut) -> _Form | None:
    if node.op != "contract":
        return None
    first, second, result = letters(node["spec"])
    extents = _extents(graph, node)
    summed = [x for x in first if x in second and x not in result]
    if set(first) & set(second) & set(result) or len(summed) != 1:
        return None
    depth = extents[summed[0]]
    if isinstance(depth, int) and depth <= THIN:
        return _Form(summed[0])
    for wide, (mine, other) in enumerate(((first, second), (second, first))):
        own = [x for x in other if x in result]
        kept = mine.replace(summed[0], "")
        if len(own) != 1 or result.replace(own[0], "") != kept:
            continue
        count = extents[own[0]]
        if not narrow(graph[node.operands[wide]].shape) or not isinstance(count, int):
            continue
        if graph.users(node.id):
            if count == 1:
                return _Form(own[0], wide)
        elif count <= THIN and may_cut(node.id, result.index(own[0])):
            return _Form(own[0], wide, True)
    return None


def _extents(graph: Graph, node: Node) -> dict[str, Dim]:
    found: dict[str, Dim] = {}
    for text, operand in zip(letters(node["spec"])[:2], node.operands, strict=True):
        found |= zip(text, graph[operand].shape, strict=True)
    return found


class _Unrolling:
    """Copies a graph into a new builder, writing out thin contractions on the way."""

    def __init__(self, graph: Graph, forms: Mapping[int, _Form]) -> None:
        self.graph = graph
        self.forms = forms
        self.b = Builder(OPS, {})
        self.new: dict[int, int] = {}
        self.cut: dict[int, tuple[tuple[int, ...], int]] = {}

    def run(self) -> tuple[Graph, Mapping[str, tuple[Piece, ...]]]:
        for node in self.graph:
            form = self.forms.get(node.id)
            with self.b.like(node):
                if form is None:
                    self._copy(node)
                elif form.wide is None:
                    self.new[node.id] = self._written_out(node, form)
                elif form.cut:
                    self._cut(node, form)
                else:
                    self.new[node.id] = self._summed(node, form)
        return self._outputs()

    def _copy(self, node: Node) -> None:
        operands = tuple(self.new[o] for o in node.operands)
        self.new[node.id] = self.b.repeat(node, operands)

    def _outputs(self) -> tuple[Graph, Mapping[str, tuple[Piece, ...]]]:
        outputs: dict[str, int] = {}
        pieces: dict[str, tuple[Piece, ...]] = {}
        for name, i in self.graph.outputs.items():
            if i not in self.cut:
                view = OPS[self.b[self.new[i]].op].lowering == "view"
                outputs[name] = self.b.copy(self.new[i], name) if view else self.new[i]
                continue
            parts, axis = self.cut[i]
            pieces[name] = tuple(Piece(f"{name}.{k}", axis, k) for k in range(len(parts)))
            for piece, part in zip(pieces[name], parts, strict=True):
                taken = part in outputs.values()
                outputs[piece.name] = self.b.copy(part, piece.name) if taken else part
        self.b.outputs = outputs
        return self.b.graph(), pieces

    # ---- forms -----------------------------------------------------------------------------------

    def _written_out(self, node: Node, form: _Form) -> int:
        """The sum of outer products."""
        first, second, result = letters(node["spec"])
        total: int | None = None
        for k in range(self._count(node, form.thin)):
            sides = []
            for text, operand in ((first, node.operands[0]), (second, node.operands[1])):
                picked = self._pick(self.new[operand], text.index(form.thin), k)
                sides.append(self._spread(picked, text.replace(form.thin, ""), result, node.shape))
            term = self._map("mul", *sides)
            total = term if total is None else self._map("add", total, term)
        assert total is not None
        return self.b.rename(total, node.name)

    def _summed(self, node: Node, form: _Form) -> int:
        """A sum, spread again over the axis of one element."""
        part = self._part(node, form, 0)
        result = letters(node["spec"])[2]
        return self._spread(part, result.replace(form.thin, ""), result, node.shape)

    def _cut(self, node: Node, form: _Form) -> None:
        """A sum for every piece."""
        count, result = self._count(node, form.thin), letters(node["spec"])[2]
        parts = tuple(self._part(node, form, k) for k in range(count))
        for k, part in enumerate(parts):
            self.b.rename(part, node.name if count == 1 else f"{node.name}_{k}")
        self.cut[node.id] = parts, result.index(form.thin)

    def _part(self, node: Node, form: _Form, k: int) -> int:
        """sum(wide * thin[k]) over the summed index."""
        slot = form.wide or 0
        texts = letters(node["spec"])[:2]
        mine, other = texts[slot], texts[1 - slot]
        wide, thin = self.new[node.operands[slot]], self.new[node.operands[1 - slot]]
        picked = self._pick(thin, other.index(form.thin), k)
        left = other.replace(form.thin, "")
        spread = self._spread(picked, left, mine, self.b[wide].shape)
        axes = [axis for axis, letter in enumerate(mine) if letter in left]
        return self.b.sum(self._map("mul", wide, spread), axes, node.name)

    # ---- values ----------------------------------------------------------------------------------

    def _count(self, node: Node, letter: str) -> int:
        count = _extents(self.graph, node)[letter]
        assert isinstance(count, int)
        return count

    def _map(self, function: str, *operands: int) -> int:
        """A map that is simplified on insertion."""
        self.b.rules = RULES
        found = self.b.map(function, *operands)
        self.b.rules = {}
        return found

    def _pick(self, x: int, axis: int, index: int) -> int:
        """x[..., index, ...]"""
        shape = self.b[x].shape
        if shape[axis] != 1:
            starts = tuple(index if a == axis else 0 for a in range(len(shape)))
            sizes = tuple(1 if a == axis else e for a, e in enumerate(shape))
            x = self.b.slice(x, starts, sizes, (1,) * len(shape))
        return self.b.squeeze(x, (axis,))

    def _spread(self, x: int, mine: str, over: str, shape: tuple[Dim, ...]) -> int:
        """Repeat a value with axes `mine` over the axes `over` of `shape`."""
        ordered = sorted(mine, key=over.index)
        if "".join(ordered) != mine:
            x = self.b.transpose(x, [mine.index(letter) for letter in ordered])
        if mine == over:
            return x
        return self.b.broadcast(x, [over.index(letter) for letter in ordered], shape)
