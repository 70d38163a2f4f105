"""Products in 16 bits: their operands are rounded, all else stays in float32.

    contract(x, w)     ->  up(contract(down(x), down(w)))        on a GPU: stored in 16 bits
    contract(x, w)     ->  up(down(contract(up(down(x)), …)))    `packed=False`: the same numbers

`down` casts to the low type and rounds to nearest even, `up` back to float32.  Products add in
float32.  What a product reads is rounded once, where it is made, and everybody reads the rounded
value: it is stored in 16 bits, for the backward pass too.  Sums, normalisation, softmax and losses
see float32, and so do the parameters, their gradients and the optimizer: a weight is cast at the
beginning of the step.  Results of a product that become outputs of the graph, such as gradients of
parameters, are not rounded.

Source: Micikevicius et al. 2018, "Mixed Precision Training".
"""

from __future__ import annotations

from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from ..ops.rules import RULES

LOW = ("bf16", "f16")
"""The types that products may be computed in beside f32."""

PRODUCTS = ("contract", "convolve", "convolve_input", "convolve_weight")
"""The operations that are computed in the low type."""

MOVES = ("reshape", "transpose", "squeeze", "broadcast", "slice", "pad", "concat")
"""What commutes with rounding: elements come from elsewhere, or are zero."""

SUMMED = (*MOVES, "copy", "add", "mul")
"""What stands between a product and an output for which its result is not rounded: sums of it,
and multiples, such as by the inverse of a loss scale."""


def reduce_precision(graph: Graph, dtype: str, *, packed: bool) -> Graph:
    """The graph with its products in `dtype`; `packed`: kernels read and write 16 bits."""
    return _Rounding(graph, dtype, packed).run()


class _Rounding:
    """Copies a graph into a new builder, rounding on the way."""

    def __init__(self, graph: Graph, dtype: str, packed: bool) -> None:
        self.graph, self.dtype, self.packed = graph, dtype, packed
        self.b = Builder(OPS, RULES)
        self.new: dict[int, int] = {}
        self.read: dict[int, int] = {}
        self.products = [n for n in graph if n.op in PRODUCTS and n.dtype == "f32"]
        self.rounded = self._sources()
        self.whole = self._whole()

    def run(self) -> Graph:
        products = {node.id for node in self.products}
        for node in self.graph:
            with self.b.like(node):
                if node.id in products:
                    found = self._product(node)
                else:
                    found = self._moved(node)
                self.new[node.id] = self._up(found) if node.id in self.rounded else found
        self.b.outputs = {name: self._output(name, self.new[i]) for name, i in self._outputs()}
        return self.b.graph()

    # ---- what is rounded -------------------------------------------------------------------------

    def _sources(self) -> frozenset[int]:
        """The maps that products read, directly or through moves."""
        found: set[int] = set()
        seen: set[int] = set()
        stack = [o for node in self.products for o in node.operands]
        while stack:
            i = stack.pop()
            node = self.graph[i]
            if i in seen or node.dtype != "f32":
                continue
            seen.add(i)
            if _moves(node):
                stack += node.operands
            elif OPS[node.op].lowering == "map":
                found.add(i)
        return frozenset(found)

    def _whole(self) -> frozenset[int]:
        """The values of which outputs are sums or copies."""
        found: set[int] = set()
        stack = list(self.graph.outputs.values())
        while stack:
            i = stack.pop()
            if i not in found:
                found.add(i)
                stack += self.graph[i].operands if self.graph[i].op in SUMMED else ()
        return frozenset(found)

    # ---- values ----------------------------------------------------------------------------------

    def _product(self, node: Node) -> int:
        operands = [self._operand(self.new[o]) for o in node.operands]
        whole = node.id in self.whole
        if not self.packed:
            found = self._copied(node, operands)
            return found if whole else self._up(found)
        if whole:
            return self._copied(node, operands, to="f32")
        return self.b.cast(self._copied(node, operands), "f32")

    def _moved(self, node: Node) -> int:
        """The value of a node; a reshape of what is in 16 bits moves those, as what it reads is
        stored.
        """
        operands = [self.new[o] for o in node.operands]
        source = self.b[operands[0]] if node.op == "reshape" and self.packed else None
        if source is None or source.op != "cast":
            return self._copied(node, operands)
        low = self.b[source.operands[0]]
        if low.dtype != self.dtype or source.dtype != "f32":
            return self._copied(node, operands)
        return self.b.cast(self._copied(node, [low.id]), "f32")

    def _copied(self, node: Node, operands: list[int], **more: str) -> int:
        return self.b.insert(node.op, operands, node.name, **dict(node.attributes), **more)

    def _operand(self, i: int) -> int:
        """A float32 value as products read it; moves are made of what is moved."""
        if i not in self.read:
            node = self.b[i]
            source = self.b[node.operands[0]] if node.op == "cast" else None
            if node.dtype == self.dtype:
                self.read[i] = i
            elif source is not None and source.dtype == self.dtype:
                self.read[i] = source.id if self.packed else i
            elif _moves(node):
                self.read[i] = self._copied(node, [self._operand(o) for o in node.operands])
            else:
                self.read[i] = self.b.cast(i, self.dtype) if self.packed else self._up(i)
        return self.read[i]

    def _up(self, i: int) -> int:
        """The value as everybody reads it: rounded, in float32."""
        return self.b.cast(self.b.cast(i, self.dtype), "f32")

    # ---- outputs ---------------------------------------------------------------------------------

    def _outputs(self) -> list[tuple[str, int]]:
        return list(self.graph.outputs.items())

    def _output(self, name: str, i: int) -> int:
        """Outputs keep memory of their own where rounding made them something else's view."""
        plain = self.b[i].op in ("input", "constant")
        return (
            self.b.copy(i, name) if plain or OPS[self.b[i].op].lowering in ("alias", "view") else i
        )


def _moves(node: Node) -> bool:
    return node.op in MOVES and not (node.op == "pad" and node["value"])
