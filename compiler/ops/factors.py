"""A value as a product: scale * factors, and zero where one of its conditions is false.  Sums of
products of which a part is known already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..ir.builder import Builder
from ..ir.graph import Node
from ..ir.types import FLOATS
from .products import letters

REAL = frozenset(FLOATS)


class Nodes(Protocol):
    """A graph, or the builder of one."""

    def __getitem__(self, i: int, /) -> Node: ...


@dataclass(frozen=True, slots=True)
class Factors:
    """`factors` ascending, as often as they occur."""

    scale: float
    factors: tuple[int, ...]
    conditions: frozenset[int]

    def without(self, i: int) -> Factors:
        """The product without one factor."""
        rest = list(self.factors)
        rest.remove(i)
        return Factors(self.scale, tuple(rest), self.conditions)

    def same(self, other: Factors) -> bool:
        """Do two products differ in nothing but their scale?"""
        return (self.factors, self.conditions) == (other.factors, other.conditions)


def factors(nodes: Nodes, i: int, *, rounded: bool = False) -> Factors:
    """The factors of a value, through products, signs and `where(condition, x, 0)`.

    `rounded`: also through casts from one real type to another.
    """
    scale, found, conditions = 1.0, list[int](), set[int]()
    stack = [i]
    while stack:
        i = stack.pop()
        node = nodes[i]
        if node.op == "mul":
            stack.extend(node.operands)
        elif node.op == "neg":
            scale = -scale
            stack.append(node.operands[0])
        elif node.op == "constant" and node.dtype != "bool":
            scale *= node["value"]
        elif node.op == "where" and _is_zero(nodes[node.operands[2]]):
            conditions.add(node.operands[0])
            stack.append(node.operands[1])
        elif rounded and node.op == "cast" and {node.dtype, nodes[node.operands[0]].dtype} <= REAL:
            stack.append(node.operands[0])
        else:
            found.append(i)
    return Factors(scale, tuple(sorted(found)), frozenset(conditions))


def _is_zero(node: Node) -> bool:
    return node.op == "constant" and node["value"] == 0


def aligned(known: Sequence[tuple[str, str]], text: str) -> str | None:
    """`text` in other letters, given texts that say the same in both; None where they disagree."""
    names: dict[str, str] = {}
    for old, new in known:
        for a, b in zip(old, new, strict=True):
            if names.setdefault(a, b) != b:
                return None
    if len(set(names.values())) < len(names) or any(x not in names for x in text):
        return None
    return "".join(names[x] for x in text)


def sum_behind_product(b: Builder, _: str, x: tuple[int, ...], a: dict[str, Any]) -> int | None:
    """sum_s(w[t, s] (d v')[t, s]) -> sum_e(d[t, e] (w v)[t, e]), where w v is known.

    So the row sums of a softmax's gradient need no scores.
    """
    if b[x[0]].op not in ("mul", "where"):
        return None
    product = factors(b, x[0])
    for z in product.factors:
        if b[z].op == "contract" and b[z].shape == b[x[0]].shape:
            for slot in (0, 1):
                found = _through(b, product.without(z), b[z], slot, a["axes"])
                if found is not None:
                    return found
    return None


def _through(b: Builder, weights: Factors, z: Node, slot: int, axes: Sequence[int]) -> int | None:
    """The sum along `axes` of weights * z as one of d * (weights v), where v is an operand of z.

    The product of weights and v is older than z, so that nothing is turned back.
    """
    v, d = z.operands[slot], z.operands[1 - slot]
    texts = letters(z["spec"])
    of_v, of_d, result = texts[slot], texts[1 - slot], texts[2]
    summed = {result[axis] for axis in axes}
    if summed != set(of_v) & set(result) - set(of_d):
        return None
    for known in b.nodes[v + 1 : z.id]:
        if known.op != "contract" or v not in known.operands:
            continue
        there = known.operands.index(v)
        mine = factors(b, known.operands[1 - there])
        if (
            not weights.same(mine)
            or mine.scale == 0
            or b[known.operands[1 - there]].shape != z.shape
        ):
            continue
        theirs = letters(known["spec"])
        renamed = aligned(((theirs[there], of_v), (theirs[1 - there], result)), theirs[2])
        if renamed is None or sorted(renamed) != sorted(of_d):
            continue
        both = b.map("mul", d, b.transpose(known.id, [renamed.index(x) for x in of_d]))
        left = [x for x in of_d if x in result]
        total = b.sum(both, [axis for axis, letter in enumerate(of_d) if letter not in result])
        turned = b.transpose(total, [left.index(x) for x in result if x not in summed])
        return b.map("mul", turned, weights.scale / mine.scale)
    return None
