"""A graph of a whole batch, for one of several processes that have a part of it each.

    s = sum(x[B, C])              ->  p = sum(x[b, C]);  s = all_reduce(p)
    size(B)                       ->  all_reduce(size(b))
    d_w = x[B, K].T @ d[B, N]     ->  x[b, K].T @ d[b, N], a part that the caller adds up

A value of the batch keeps its samples, one without samples is either the same in all processes or a
part of a sum over them.  Parts stay parts as long as what follows is linear; where a sample or a
function of the sum needs them they are added up, once, as early as this takes no more numbers.  So
a plain network exchanges one number, and one with batch norms a few vectors of channels, forward
and backward.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...spec.dims import Dim, exact_quotient, symbol, symbols
from ...spec.errors import UsageError
from ...spec.polynomial import Symbol, terms_of
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS, RULES
from ..ops.products import letters

OWN, PART, SAME = "own", "part", "same"
"""What a value is: of our samples, a part of a sum over the processes, or the same in all."""

SCALED = ("mul", "div", "add", "sub", "neg", "copy", "again", "stop_gradient", "reshape", "cast")
"""Operations of one part that give as many numbers as it has."""

ONE_BY_ONE = (
    "neg",
    "copy",
    "again",
    "stop_gradient",
    "reshape",
    "transpose",
    "squeeze",
    "slice",
    "pad",
)
"""Linear operations of one operand."""

SUMS = ("sum", "contract", "scatter_add", "convolve_weight", "convolve_weight_put")
"""What may add up samples."""


def join(graph: Graph, batch: str, apart: Collection[str]) -> Graph:
    """The graph for a part of the samples, of which there are `batch`.

    Of the outputs `apart` the caller adds up those of all processes; others are the same in all.

    Raises: UsageError where samples depend on each other otherwise than by sums.
    """
    return _Joining(graph, batch, apart).run()


class _Joining:
    """One rewriting; `new` and `kind` are those of the values of the old graph."""

    def __init__(self, graph: Graph, batch: str, apart: Collection[str]) -> None:
        self.graph, self.batch, self.apart = graph, batch, apart
        self.early: set[int] = set()

    def run(self) -> Graph:
        """Again as long as a part is found that should have been added up where it was made."""
        while True:
            known = len(self.early)
            graph = self._rewritten()
            if len(self.early) == known:
                return graph

    def _rewritten(self) -> Graph:
        self.b = Builder(OPS, RULES)
        self.new: dict[int, int] = {}
        self.kind: dict[int, str] = {}
        self._reduced: dict[int, int] = {}
        for node in self.graph:
            with self.b.like(node):
                made, kind = self._value(node)
                if kind == PART and node.id in self.early:
                    made, kind = self._reduce(made, node.name), SAME
                self.new[node.id], self.kind[node.id] = made, kind
        for name, i in self.graph.outputs.items():
            with self.b.like(self.graph[i]):
                self.b.outputs[name] = self._result(name, i)
        return self.b.graph()

    # ---- values ----------------------------------------------------------------------------------

    def _value(self, node: Node) -> tuple[int, str]:
        own = self._samples(node.shape)
        if len(own) > 1:
            raise self._refused(node)
        if node.op == "size" and self.batch in symbols(node["dim"]):
            return self._size(node), SAME
        if node.op == "iota" and own == [node["axis"]]:
            raise self._refused(node)
        kinds = [self.kind[o] for o in node.operands]
        if OWN in kinds:
            return self._of_samples(node, own)
        if own:
            return self.b.repeat(node, [self._same(o) for o in node.operands]), OWN
        if kinds == [PART, PART] and node.op in ("mul", "div", "contract"):
            kinds = [PART, SAME]
        if PART in kinds and self._linear(node, kinds):
            both = zip(node.operands, kinds, strict=True)
            operands = [self.new[o] if kind == PART else self._same(o) for o, kind in both]
            if node.op in ("add", "sub"):
                both = zip(operands, kinds, strict=True)
                operands = [i if kind == PART else self._our_share(i) for i, kind in both]
            return self.b.repeat(node, operands), PART
        return self.b.repeat(node, [self._same(o) for o in node.operands]), SAME

    def _samples(self, shape: Sequence[Dim]) -> list[int]:
        """The axes along which there are samples."""
        return [axis for axis, extent in enumerate(shape) if self.batch in symbols(extent)]

    def _of_samples(self, node: Node, own: list[int]) -> tuple[int, str]:
        """What is made of samples: of each by itself, or of all."""
        operands = [self.new[o] if self.kind[o] == OWN else self._same(o) for o in node.operands]
        if own:
            extent = node.shape[own[0]]
            if exact_quotient(extent, symbol(self.batch)) is None or self._mixes(node):
                raise self._refused(node)
            return self.b.repeat(node, operands), OWN
        if node.op not in SUMS:
            raise self._refused(node)
        return self.b.repeat(node, operands), PART

    def _mixes(self, node: Node) -> bool:
        """Does a product sum over samples and make others, or are samples picked?"""
        if node.op == "take":
            return self.kind[node.operands[0]] == OWN
        if node.op == "scatter_add":
            return True
        if node.op != "contract":
            return False
        *sides, result = letters(node["spec"])
        extents = {
            letter: extent
            for text, o in zip(sides, node.operands, strict=True)
            for letter, extent in zip(text, self.graph[o].shape, strict=True)
        }
        return any(self._samples([extents[letter]]) for letter in extents if letter not in result)

    def _linear(self, node: Node, kinds: Sequence[str]) -> bool:
        """Is a function of parts a part of the function of their sums?"""
        if node.op in ONE_BY_ONE or (node.op == "cast" and node.dtype == "f32"):
            return True
        if node.op in ("add", "sub"):
            return True
        if node.op in ("mul", "contract"):
            return sorted(kinds) == [PART, SAME]
        if node.op == "div":
            return kinds == [PART, SAME]
        if node.op == "concat":
            return set(kinds) == {PART}
        return node.op in ("sum", "broadcast")

    def _size(self, node: Node) -> int:
        """A polynomial in the number of all samples."""
        b = self.b
        total: int | None = None
        for monomial, coefficient in terms_of(node["dim"]).items():
            term = b.constant(coefficient)
            for atom, power in monomial:
                if not isinstance(atom, Symbol):
                    raise self._refused(node)
                whole = atom.name == self.batch
                value = self._all_samples() if whole else b.size(symbol(atom.name))
                for _ in range(power):
                    term = b.map("mul", term, value)
                if atom.multiple != 1 and whole:
                    raise self._refused(node)
            total = term if total is None else b.map("add", total, term)
        assert total is not None
        return total

    def _all_samples(self) -> int:
        return self._reduce(self.b.size(symbol(self.batch)), "samples")

    def _same(self, old: int) -> int:
        """A value that all processes have."""
        i, node = self.new[old], self.graph[old]
        if self.kind[old] != PART:
            return i
        while node.op in SCALED and [self.kind[o] for o in node.operands].count(PART) == 1:
            node = self.graph[next(o for o in node.operands if self.kind[o] == PART)]
        self.early.add(node.id)
        return self._reduce(i, self.graph[old].name)

    def _reduce(self, i: int, name: str) -> int:
        if i not in self._reduced:
            b = self.b
            with b.like(b[i]):
                whole = b[i].dtype
                sums = b.insert("all_reduce", (b.cast(i, "f32"),), name)
                self._reduced[i] = b.cast(sums, whole)
        return self._reduced[i]

    # ---- results ---------------------------------------------------------------------------------

    def _result(self, name: str, i: int) -> int:
        kind = self.kind[i]
        if kind == OWN:
            raise self._refused(self.graph[i])
        if name not in self.apart:
            return self._same(i)
        if kind == PART:
            return self.new[i]
        return self._our_share(self.new[i])

    def _our_share(self, i: int) -> int:
        """A part of what all processes have: as much as they have samples."""
        b = self.b
        share = b.map("div", b.size(symbol(self.batch)), self._all_samples())
        return b.map("mul", i, b.broadcast(share, (), b[i].shape), name=b[i].name)

    def _refused(self, node: Node) -> UsageError:
        where = f"{node.place}: " if node.place is not None else ""
        return UsageError(
            f"{where}`{node.name}` ({node.op}) needs the samples of all processes",
            hint="train without --sync: then each process has the statistics of its own samples",
        )
